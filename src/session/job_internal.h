/** What the client's workers share. */
#ifndef FUSION_SESSION_JOB_INTERNAL_H
#define FUSION_SESSION_JOB_INTERNAL_H

#include <pthread.h>

#include "session/job.h"
#include "session/messages.h"
#include "session/shards.h"

struct client_job;

struct worker {
  struct client_job *job;
  pthread_t thread;
  bool started;
  struct channel *channel; /* guarded by the job's lock for cancelling; else the worker's own */
  struct engine_session *session;
};

struct client_job {
  const struct job_settings *settings;
  const struct job_input *input;
  uint8_t id[SESSION_JOB_LEN];
  size_t samples, todo; /* all, and those without a kept answer */

  /* From the first greeting; read-only once the workers run. */
  struct program program;
  bool has_program;
  uint8_t manifest_hash[SESSION_HASH_LEN];
  struct net_peer peer;
  size_t input_size, answer_size;
  double round_trip_seconds; /* of the greeting; 0 before it */
  size_t worker_count;       /* connections side by side */
  uint32_t shard_samples;
  uint64_t predicted_bytes;          /* of the whole job, for progress and limits; 0: unknown */
  int64_t *queries, *public_samples; /* owned, secret and public: quantised */
  struct mix *mix;
  bool *done;       /* owned: [samples], the journal has the answer; NULL: none */
  int64_t *answers; /* owned: [samples][answer_size], shuffled order; each worker writes its shards' rows */

  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t changed;
  struct shard_queue queue;
  struct worker *workers; /* [worker_room] */
  size_t worker_room;     /* fixed from the start */
  size_t working;         /* workers that have not given up */
  bool ended;             /* failed or cancelled: workers stop */
  fusion_error failure;   /* why */
  fusion_error last_loss;
  uint64_t samples_done, bytes_sent, bytes_received;
  uint32_t depth, connections;
  struct engine_stats stages;
  double greeting_seconds;
};

/** Connects and greets: leaves w->channel after READY. The first greeting of a job brings the program and checks it. */
fusion_status worker_connect(struct worker *w, fusion_error *why) FUSION_MUST_CHECK;
/** Closes the worker's connection and adds its counts to the job's. */
void worker_disconnect(struct worker *w);
/** The first worker's thread before all others start: worker_connect, and the job fails if it does. */
void *worker_greet_main(void *arg);
/** A worker's thread: takes shards until none is left. */
void *worker_main(void *arg);

/** Ends the job with a failure; the first one stays. */
void job_fail(struct client_job *job, fusion_status status, const char *text);

/** Chooses workers and the shards' size, from the program and the round trip, within the client's limits. */
fusion_status job_cut(struct client_job *job, fusion_error *why) FUSION_MUST_CHECK;
/** Checks the manifest against the client's limits and prepares inputs and mix; reads or begins the journal. */
fusion_status job_take_manifest(struct client_job *job, const uint8_t *bytes, size_t len,
                                fusion_error *why) FUSION_MUST_CHECK;

#endif
