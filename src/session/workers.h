/** How many connections a job opens when the user leaves it open. */
#ifndef FUSION_SESSION_WORKERS_H
#define FUSION_SESSION_WORKERS_H

#include "engine/engine.h"

enum { WORKERS_AUTO_MAX = 16 };

/** What the choice depends on; all public. */
struct workers_choice {
  const struct engine *engine;
  const struct program *program;
  size_t samples;
  size_t shard_samples;      /* at most so many in a shard */
  uint64_t max_memory;       /* of all workers together */
  double round_trip_seconds; /* measured; 0 when unknown */
  unsigned cores;            /* this machine's; the server's are not known and taken as many */
};

/** The number of workers, 1 to WORKERS_AUTO_MAX, with which the job is estimated to end soonest; the smallest of those
 *  that differ by little. A connection waits while its messages travel: the longer the round trip, the more of them it
 *  takes to keep a core busy. Each costs its own keys and first correlations, and a smaller share of the memory. */
size_t workers_choose(const struct workers_choice *c);

#endif
