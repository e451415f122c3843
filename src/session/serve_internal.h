/** What the accept loop and the connections share. */
#ifndef FUSION_SESSION_SERVE_INTERNAL_H
#define FUSION_SESSION_SERVE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/cursor.h"
#include "session/messages.h"
#include "session/one_time_file.h"
#include "session/serve.h"

enum {
  SERVER_TRIES = 3,       /* a job may run each of its samples so often: lost shards run again */
  JOB_LINGER_MS = 2000,   /* a job whose connections are all lost waits so long for new ones */
  DONE_IDS = 64,          /* of so many jobs that were done last, connections that come late are known */
  ARRIVING_MAX = 512,     /* connections at once that have no place yet: a thread and its TLS buffers each */
  ARRIVING_EACH = 64,     /* of them from one network address */
  ARRIVING_KEPT_MS = 250, /* so long nobody makes room for a newer one */
  ARRIVING_BUCKETS = 1024 /* by which networks are counted */
};

/** A client, while it has connections or jobs, or samples that count on its day. */
struct account {
  struct account *next;
  char name[NET_NAME_LEN];
  uint32_t connections, jobs;
  uint64_t memory;                   /* reserved */
  uint64_t day_samples, day_claimed; /* as the server's; counted when the client has a limit of its own */
};

/** A client that has prepared runs here, by a hash of its name: it has them when it is away, too. */
struct holder {
  struct holder *next;
  uint8_t owner[ONE_TIME_OWNER_LEN];
  uint64_t kept, making; /* bytes of its states in the folder; of those that are being made */
};

/** A client's job, shared by its connections. It begins with the first START. */
struct job {
  struct job *next;
  uint8_t id[SESSION_JOB_LEN]; /* chosen by the client; never logged */
  char id_text[EVENT_JOB_ID_LEN];
  uint64_t number; /* ours */
  char address[NET_ADDRESS_LEN];
  struct account *account; /* counted in it */
  struct client_limits limits;
  const struct engine *engine;
  const struct served_model *model;   /* held */
  char asked[SESSION_MODEL_LEN];      /* what the client called it */
  uint64_t declared, begun, finished; /* samples */
  uint64_t claimed;                   /* of the day's allowance: what the job may still begin */
  bool has_claim;
  uint64_t bytes_sent, bytes_received;
  uint32_t connections, open; /* that were granted their place, ever; that are here, now */
  double started;
  double left;          /* when the last connection ended, while none is open */
  bool ended_well;      /* the client said of the last connection that ended that it is done */
  fusion_error failure; /* of the first connection that failed */
};

/** A kept set-up (serve_keep.c). */
struct kept_half;

/** What the server keeps of a prepared run of so many samples; none with samples 0. */
struct priced {
  uint32_t samples;
  uint64_t len; /* bytes of the state alone */
};

struct connection {
  struct connection *next;
  struct server *server;
  int fd;       /* until the handshake took it */
  int cut;      /* a copy of it, to end a connection that has no place yet; -1: none */
  double since; /* when it came */
  unsigned bucket;
  bool cut_off;            /* while arriving: made room for another */
  bool proxied;            /* its proxy has yet to say whom it comes from */
  bool probe;              /* it left without having sent a byte */
  bool greeted;            /* HELLO has come */
  bool placed;             /* counted among the active ones; else it is arriving */
  bool granted;            /* READY has gone out */
  struct channel *channel; /* guarded by the server's lock: server_stop cancels it */
  struct net_peer peer;
  char client[NET_NAME_LEN]; /* the certificate's name, else the host of the address */
  struct client_limits limits;
  struct account *account;
  pid_t thread; /* the system's number of it, once the connection is placed */
  struct job *job;
  const struct served_model *model; /* held; NULL before HELLO */
  const struct engine *engine;      /* what the client named, of those that the server runs */
  enum session_purpose purpose;
  uint64_t expected;          /* samples, as START says: how states are made follows from it */
  struct priced priced[2];    /* shards of a job come in two sizes */
  unsigned price_next;        /* the one to forget */
  uint64_t memory;            /* reserved */
  bool receipt;               /* the client wants one, and gets it */
  uint64_t declared, samples; /* for the receipt: of the greeting; run on this connection */
  uint32_t shards;
  struct state_name *made; /* owned: what a connection that prepares has made so far */
  size_t made_count;
  struct kept_setup *use_setup, *keep_setup; /* owned, guarded, until the engine has opened; NULL: none */
  uint8_t keep_number[SESSION_STATE_LEN];    /* of what this connection leaves */
  bool keep_listed;                          /* it is in the server's list */
};

struct server {
  fusion_server_settings settings; /* its texts are gone */
  struct server_handles handles;
  uint64_t max_memory;   /* bytes, for the shards of all connections together */
  uint32_t share;        /* connections of one client */
  int niceness;          /* of the process */
  char *state;           /* owned: file that keeps the count of the day's samples; NULL: none */
  char *prepared_folder; /* owned; NULL: no prepared runs */
  int state_file_lock;   /* descriptor that keeps other servers off the file; -1: none */
  struct listener *listener;
  struct model_list *models;     /* the handles', or: */
  struct model_list *own_models; /* owned; NULL: none */
  uint8_t bucket_key[16];        /* random: nobody can aim at another's bucket */
  atomic_int stopping;           /* number of server_stop calls */
  atomic_bool reload_asked;      /* by server_reload */

  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t changed;
  struct connection *connections;
  struct job *jobs;
  struct account *accounts;
  uint32_t active, arriving;
  uint16_t arriving_of[ARRIVING_BUCKETS]; /* of them, by network */
  uint64_t memory_reserved;
  double prepared_swept;  /* when the folder was last looked through */
  struct holder *holders; /* of prepared runs */
  struct kept_half *kept; /* set-ups for next jobs, the newest first */
  double day_began;       /* monotonic; may lie before the server's start */
  uint64_t day_samples;   /* begun since then */
  uint64_t day_claimed;   /* by jobs, not begun yet */
  uint64_t job_counter, done_counter;
  uint8_t done_ids[DONE_IDS][SESSION_JOB_LEN]; /* a ring; [i] is that of the i-th, (i + DONE_IDS)-th, ... done job */
  fusion_server_totals totals;                 /* `connections` is filled in when they are read */

  pthread_mutex_t log_lock;
  pthread_mutex_t claim_lock; /* one claim on the allowances, and one writer of the state file; taken before `lock` */
};

/** A connection's whole life, in its own thread; frees the connection. */
void *connection_main(void *arg);

/** To the log and to the hooks. Called without the lock. */
void server_tell(struct server *s, const struct event *e);

/** Takes fd: a thread for a connection that has no place yet, if need be in that of the one that holds it longest. */
void arrival_admit(struct server *s, int fd);
/** Its proxy has said whom it comes from: it counts on that network. FUSION_E_BUSY when that has too many connections
 * already. */
fusion_status arrival_move(struct server *s, struct connection *c, const uint8_t network[NET_NETWORK_LEN],
                           fusion_error *why) FUSION_MUST_CHECK;
/** Counts a connection out that ends without a place, or gets one. Called with the lock held. */
void arrival_leave(struct server *s, struct connection *c);
/** Whether there is a place for one more connection of this client: FUSION_E_BUSY, FUSION_E_LIMIT. */
fusion_status place_check(struct server *s, struct connection *c, fusion_error *why) FUSION_MUST_CHECK;
/** The same, and takes it: c->account is set. Called with the lock held. */
fusion_status place_take(struct server *s, struct connection *c, fusion_error *why) FUSION_MUST_CHECK;
/** Gives it back. Called with the lock held. */
void place_leave(struct server *s, struct connection *c);
/** Forgets a client of whom nothing is counted any more. Called with the lock held. */
void account_drop(struct server *s, struct account *a);

/** Finds the model that the client asks for, of a job that runs its own: c->model. */
fusion_status job_model(struct server *s, struct connection *c, const struct client_hello *hello,
                        fusion_error *why) FUSION_MUST_CHECK;
/** Whether a job of this size may run at all, as far as can be told before it takes its place. */
fusion_status job_check(struct server *s, struct connection *c, const struct client_hello *hello,
                        fusion_error *why) FUSION_MUST_CHECK;
/** Takes the connection's place, finds or makes its job and claims its allowance; c->job is set when it must be counted
 *  out, also after a failure. */
fusion_status job_start(struct server *s, struct connection *c, const struct client_hello *hello,
                        fusion_error *why) FUSION_MUST_CHECK;
/** READY has gone out: a job's first connection makes it begin. */
void job_granted(struct server *s, struct connection *c);
/** Counts the connection out, with how it ended. A job that has run everything is told when its last one leaves. */
void job_leave(struct server *s, struct connection *c, const fusion_error *failure);
/** Tells and forgets the jobs without connections to which nobody came back in time (`now`: all of them). */
void job_expire(struct server *s, bool now);
/** Books `samples` on the job and on the day; FUSION_E_LIMIT or FUSION_E_BUSY when a limit would be passed. */
fusion_status job_book(struct server *s, struct connection *c, uint64_t samples, fusion_error *why) FUSION_MUST_CHECK;
/** Counts `samples` that were booked and have run. */
void job_finish(struct server *s, struct connection *c, uint64_t samples);
/** Reserves memory for shards of at most *samples samples, lowering *samples to what there is room for. */
fusion_status job_reserve(struct server *s, struct connection *c, uint32_t *samples,
                          fusion_error *why) FUSION_MUST_CHECK;

/** Allowances: whether `samples` more fit the day, beside what other jobs have claimed. Called with the lock held. */
fusion_status day_check(struct server *s, const struct account *a, const struct client_limits *limits, uint64_t samples,
                        fusion_error *why) FUSION_MUST_CHECK;
/** Claims a job's samples; does nothing the second time. Called without the lock. */
fusion_status day_claim(struct server *s, struct job *j, fusion_error *why) FUSION_MUST_CHECK;
/** Books samples that begin, of the claim first, and writes the state file. Called without the lock. */
fusion_status day_book(struct server *s, struct job *j, uint64_t samples, fusion_error *why) FUSION_MUST_CHECK;
/** Gives back what a job that has left the list did not use. `ended`: as it is told, NULL: not at all. Without the
 * lock.
 */
void day_release(struct server *s, struct job *j, const struct event *ended);
/** Keeps the path of the state file (NULL: none), locks it, reads it if it is there and writes it. FUSION_E_IO,
 *  FUSION_E_INPUT, FUSION_E_MEMORY. */
fusion_status day_load(struct server *s, const char *path, fusion_error *err) FUSION_MUST_CHECK;
/** Lets go of the state file. */
void day_unload(struct server *s);
/** Takes the folder of prepared runs (NULL: none), which no other server uses: what is old or was left goes. */
fusion_status prepared_open(struct server *s, const char *folder, fusion_error *err) FUSION_MUST_CHECK;
void prepared_close(struct server *s);
/** Of the connection's purpose. */
static inline enum engine_phase phase_of(const struct connection *c) {
  static const enum engine_phase phases[] = {
      [PURPOSE_RUN] = ENGINE_AT_ONCE, [PURPOSE_PREPARE] = ENGINE_AHEAD, [PURPOSE_RUN_PREPARED] = ENGINE_ONLINE};
  return phases[c->purpose];
}

/** Whether the server does this for the connection. FUSION_E_LIMIT. */
fusion_status prepared_allow(struct connection *c, enum session_purpose purpose,
                             fusion_error *failure) FUSION_MUST_CHECK;
/** Before READY: room for a job that is to be prepared, in shards of at most so many samples; or whether all states are
 *  here that a prepared job names, for this client and model. Nothing is spent. FUSION_E_LIMIT, FUSION_E_BUSY. */
fusion_status prepared_check(struct connection *c, uint64_t samples, uint32_t shard_samples,
                             fusion_error *failure) FUSION_MUST_CHECK;
/** A shard of a connection that prepares; the state is on the disk before the client gets its number. */
fusion_status prepared_make(struct connection *c, struct engine_session *session, uint32_t samples,
                            fusion_error *failure) FUSION_MUST_CHECK;
/** The connection has ended; `well`: its client has all that was prepared. If not, it is removed. */
void prepared_end(struct connection *c, bool well);
/** Before READY: whether the server keeps what this connection's set-up leaves, and whether it has what START names;
 *  that is spent then. */
fusion_status kept_answer(struct connection *c, const struct start *start, struct ready *ready,
                          fusion_error *failure) FUSION_MUST_CHECK;
/** The engine has opened: what it began from is wiped, and what it left (`kept`) is there for the next job. */
void kept_opened(struct connection *c, bool kept);
/** The connection has ended; not `well`: what it left is wiped. */
void kept_ended(struct connection *c, bool well);
/** Wipes what is too old. Called without the lock. */
void kept_expire(struct server *s);
void kept_free(struct server *s);
/** A shard of a connection that uses what was prepared; the state is spent on the disk before the run's first message.
 */
fusion_status prepared_use(struct connection *c, struct engine_session *session, uint32_t samples,
                           fusion_error *failure) FUSION_MUST_CHECK;

#endif
