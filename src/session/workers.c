#include "session/workers.h"

#include <math.h>

#include "session/shards.h"

/* Both measured, one core of 2.6 GHz with AVX-512 a party: set-up of a connection, and run time over declared traffic,
 * which is the same within 10 % from a small dense network to ResNet50. The choice needs no more than their scale. */
static const double setup_seconds = 0.045, seconds_a_byte = 15e-9;

/* Estimated seconds of the job with `workers` connections; infinite when their shards do not fit the memory. */
static double job_seconds(const struct workers_choice *c, size_t workers) {
  struct cost cost = {0};
  const size_t limit =
      shard_limit(c->engine, c->program, ROLE_CLIENT, size_min(c->shard_samples, c->samples), c->max_memory / workers);
  if (!limit) return INFINITY;
  const size_t shards = shards_count(c->samples, limit, workers);
  if (shards < workers) return INFINITY;
  /* The longest worker's part. */
  const size_t count = div_up(shards, workers);
  size_t *sizes = mem_alloc(count, sizeof *sizes);
  if (!sizes) return INFINITY;
  for (size_t i = 0; i < count; i++) sizes[i] = shard_at(c->samples, shards, i).count;
  const fusion_status status = engine_cost(c->engine, c->program, sizes, count, &cost);
  mem_free(sizes);
  if (status != FUSION_OK) return INFINITY;
  const double computing = setup_seconds + seconds_a_byte * (double)(cost.bytes_to_client + cost.bytes_to_server);
  const double waiting = cost.depth_client * c->round_trip_seconds / 2;
  const double a_core = (double)workers / (double)size_min(workers, c->cores);
  return fmax(computing + waiting, a_core * computing);
}

size_t workers_choose(const struct workers_choice *c) {
  double best = INFINITY, seconds[WORKERS_AUTO_MAX + 1];
  for (size_t w = 1; w <= WORKERS_AUTO_MAX; w++) {
    seconds[w] = job_seconds(c, w);
    best = fmin(best, seconds[w]);
  }
  for (size_t w = 1; w <= WORKERS_AUTO_MAX; w++)
    if (seconds[w] <= 1.1 * best) return w;
  return 1;
}
