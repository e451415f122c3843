/** What the client's workers share. */
#ifndef FUSION_SESSION_JOB_INTERNAL_H
#define FUSION_SESSION_JOB_INTERNAL_H

#include <pthread.h>

#include "session/job.h"
#include "session/job_prediction.h"
#include "session/messages.h"
#include "session/prepare.h"
#include "session/shards.h"
#include "session/task.h"

struct client_job;

struct worker {
  struct client_job *job;
  pthread_t thread;
  bool started;
  struct channel *channel; /* guarded by the job's lock for cancelling; else the worker's own */
  struct net_peer peer;    /* of this connection, as are: */
  uint64_t samples;        /* that have run */
  uint32_t shards;
  struct engine_session *session;
  struct keep *keep;       /* borrowed, of the first worker alone; NULL: it keeps nothing */
  bool finished;           /* the connection ended as it should */
  struct keeping *keeping; /* of this connection, until its session opens; NULL: none */
};

struct client_job {
  struct job_terms terms;
  uint8_t id[SESSION_JOB_LEN];
  uint64_t declared;         /* samples of the whole job, of which this is a task; 0: what is left to do */
  struct prepared_job ready; /* by the first greeting or the journal; read-only once the workers run */
  struct net_peer peer;
  double round_trip_seconds; /* of the first greeting; 0 before it */

  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t changed;
  struct shard_queue queue;
  struct worker *workers; /* [worker_room] */
  size_t worker_room;     /* fixed from the start */
  size_t working;         /* workers that have not given up */
  bool ended;             /* failed or cancelled: workers stop */
  fusion_error failure;   /* why */
  fusion_error last_loss;
  uint64_t predicted_bytes; /* of what is left, for progress; 0: unknown */
  struct job_prediction prediction;
  uint64_t samples_done, bytes_sent, bytes_received;
  uint32_t depth, connections;
  struct engine_stats stages;
  double greeting_seconds;
  uint8_t receipt_key[RECEIPT_KEY_LEN]; /* that the first greeting announced */
  uint8_t (*receipts)[RECEIPT_LEN];     /* owned, [receipt_room]; verified, of connections that ran samples */
  size_t receipt_count, receipt_room;
  uint64_t receipt_samples;
};

/** Connects and greets: leaves w->channel after READY. The first greeting of a job brings the program and checks it. */
fusion_status worker_connect(struct worker *w, fusion_error *why) FUSION_MUST_CHECK;
/** The server's greeting against what the client wants of receipts, before START. */
fusion_status worker_check_offer(struct worker *w, const struct server_hello *hello,
                                 fusion_error *why) FUSION_MUST_CHECK;
/** The work on this connection is done: says so, takes the server's receipt if it gives one, and closes. A receipt that
 *  is not right ends the job; one that is lost with its connection is missing. */
void worker_finish(struct worker *w);
/** Closes the worker's connection and adds its counts to the job's. */
void worker_disconnect(struct worker *w);
/** The first worker's thread before all others start: worker_connect, and the job fails if it does. */
void *worker_greet_main(void *arg);
/** A worker's thread: takes shards until none is left. */
void *worker_main(void *arg);

/** Runs a shard by the client's run_task, and takes over its report. */
fusion_status task_send(struct client_job *job, const struct shard *s, fusion_error *why) FUSION_MUST_CHECK;
/** Of a task that runs here: its samples and room for its answers, once the program is known; and its report. */
fusion_status task_take_rows(struct prepared_job *p, const struct task *task, fusion_error *why) FUSION_MUST_CHECK;
void task_report_write(uint8_t *report, const struct client_job *job);

/** Ends the job with a failure; the first one stays. */
void job_fail(struct client_job *job, fusion_status status, const char *text);

#endif
