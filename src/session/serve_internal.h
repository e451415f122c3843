/** What the accept loop and the connections share. */
#ifndef FUSION_SESSION_SERVE_INTERNAL_H
#define FUSION_SESSION_SERVE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/cursor.h"
#include "session/messages.h"
#include "session/serve.h"

enum {
  SERVER_TRIES = 3,     /* a job may run each of its samples so often: lost shards run again */
  JOB_LINGER_MS = 2000, /* a job whose connections are all lost waits so long for new ones */
  DONE_IDS = 64         /* of so many jobs that were done last, connections that come late are known */
};

/** A client's job, shared by its connections. */
struct job {
  struct job *next;
  uint8_t id[SESSION_JOB_LEN]; /* chosen by the client; never logged */
  uint64_t number;             /* ours */
  char address[NET_ADDRESS_LEN];
  uint64_t declared, begun, finished; /* samples */
  uint64_t bytes_sent, bytes_received;
  uint32_t connections, open; /* ever, now */
  double started;
  double left;          /* when the last connection ended, while none is open */
  fusion_error failure; /* of the first connection that failed */
};

struct connection {
  struct connection *next;
  struct server *server;
  int fd;                  /* until the handshake took it */
  bool overflow;           /* above the limit: it is only told so */
  struct channel *channel; /* guarded by the server's lock: server_stop cancels it */
  struct net_peer peer;
  struct job *job;
  const struct engine *engine; /* what the client named, of those that the server runs */
  enum session_purpose purpose;
  uint64_t memory;            /* reserved */
  bool receipt;               /* the client wants one, and gets it */
  uint64_t declared, samples; /* for the receipt: of the greeting; run on this connection */
  uint32_t shards;
};

struct server {
  fusion_server_settings settings; /* its texts are gone */
  struct server_handles handles;
  uint64_t max_memory;   /* bytes, for the shards of all connections together */
  char *state;           /* owned: file that keeps the count of the day's samples; NULL: none */
  char *prepared_folder; /* owned; NULL: no prepared runs */
  struct listener *listener;
  struct writer manifest;
  uint8_t manifest_hash[SESSION_HASH_LEN];
  uint8_t certificate[TLS_HASH_LEN]; /* zeros without TLS */
  atomic_int stopping;               /* number of server_stop calls */

  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t changed;
  struct connection *connections;
  struct job *jobs;
  uint32_t active, overflowing;
  uint64_t memory_reserved;
  uint64_t prepared_bytes, prepared_making; /* of the states in the folder; of those that are being made */
  double day_began;                         /* monotonic; may lie before the server's start */
  uint64_t day_samples;                     /* begun since then */
  uint64_t job_counter;
  uint8_t done_ids[DONE_IDS][SESSION_JOB_LEN]; /* a ring; [i] is that of the i-th, (i + DONE_IDS)-th, ... done job */
  fusion_server_totals totals;                 /* `connections` is filled in when they are read */

  pthread_mutex_t log_lock;
  pthread_mutex_t state_lock; /* one writer of the state file; taken before `lock` */
};

/** A connection's whole life, in its own thread; frees the connection. */
void *connection_main(void *arg);

void server_log(struct server *s, const char *format, ...) FUSION_PRINTF(2, 3);

/** Finds or makes the job of a greeting and counts the connection in. */
fusion_status job_join(struct server *s, struct connection *c, const struct client_hello *hello,
                       fusion_error *why) FUSION_MUST_CHECK;
/** Counts the connection out, with how it ended. A job that has run everything is logged when its last one leaves. */
void job_leave(struct server *s, struct connection *c, const fusion_error *failure);
/** Logs and forgets the jobs without connections to which nobody came back in time (`now`: all of them). */
void job_expire(struct server *s, bool now);
/** What is left of the day's allowance; a day that is over is a new one. Called with the lock held. */
uint64_t day_left(struct server *s);
/** Keeps the path of the state file (NULL: none) and reads it, if it is there. FUSION_E_IO, FUSION_E_INPUT,
 *  FUSION_E_MEMORY. */
fusion_status day_load(struct server *s, const char *path, fusion_error *err) FUSION_MUST_CHECK;
/** Writes the state file, if the server has one. Called without the lock. FUSION_E_IO, FUSION_E_MEMORY. */
fusion_status day_save(struct server *s, fusion_error *err) FUSION_MUST_CHECK;
/** Books `samples` on the job and on the day; FUSION_E_LIMIT when a limit would be passed. */
fusion_status job_book(struct server *s, struct connection *c, uint64_t samples, fusion_error *why) FUSION_MUST_CHECK;
/** Counts `samples` that were booked and have run. */
void job_finish(struct server *s, struct connection *c, uint64_t samples);
/** Reserves memory for shards of at most *samples samples, lowering *samples to what there is room for. */
fusion_status job_reserve(struct server *s, struct connection *c, uint32_t *samples,
                          fusion_error *why) FUSION_MUST_CHECK;

/** Takes the folder of prepared runs (NULL: none), which no other server uses: what is old or was left goes. */
fusion_status prepared_open(struct server *s, const char *folder, fusion_error *err) FUSION_MUST_CHECK;
/** Whether the server does this for the connection. FUSION_E_LIMIT. */
fusion_status prepared_allow(struct connection *c, enum session_purpose purpose,
                             fusion_error *failure) FUSION_MUST_CHECK;
/** A shard of a connection that prepares; the state is on the disk before the client gets its number. */
fusion_status prepared_make(struct connection *c, struct engine_session *session, uint32_t samples,
                            fusion_error *failure) FUSION_MUST_CHECK;
/** A shard of a connection that uses what was prepared; the state is spent on the disk before the run's first message.
 */
fusion_status prepared_use(struct connection *c, struct engine_session *session, uint32_t samples,
                           fusion_error *failure) FUSION_MUST_CHECK;

#endif
