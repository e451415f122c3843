/** Counts of what happens, fed by events, and written as Prometheus reads them. */
#ifndef FUSION_SERVICE_METRICS_H
#define FUSION_SERVICE_METRICS_H

#include <pthread.h>

#include "base/cursor.h"
#include "session/events.h"
#include "session/messages.h"

enum { METRICS_REASONS = 16, METRICS_BUCKETS = 7, METRICS_MODELS = 64 };

/** Of one model; the last stands for all that had no room. */
struct model_metrics {
  char name[SESSION_MODEL_LEN];
  uint64_t begun, done, failed, samples, bytes_received, bytes_sent;
};

struct metrics {
  pthread_mutex_t lock; /* guards what follows */
  uint64_t reloads, reloads_failed, ledger_errors;
  struct model_metrics models[METRICS_MODELS];
  size_t model_count;
  struct {
    const char *word; /* event_status_word: static */
    uint64_t count;
  } refused[METRICS_REASONS];
  uint64_t seconds_within[METRICS_BUCKETS]; /* jobs that took at most metrics_bounds[i] */
  double seconds;
  double started; /* of the day */
};

/** What is asked at the moment, not counted. */
struct metrics_now {
  uint64_t connections;
  bool ready;
};

void metrics_open(struct metrics *m);
void metrics_close(struct metrics *m);
void metrics_take(struct metrics *m, const struct event *e);
void metrics_ledger_error(struct metrics *m);
/** Prometheus text format 0.0.4. */
void metrics_write(struct metrics *m, const struct metrics_now *now, struct writer *out);

#endif
