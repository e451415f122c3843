#include "session/shards.h"

size_t shards_count(size_t samples, size_t limit, size_t workers) {
  const size_t fewest = div_up(samples, limit);
  const size_t even = div_up(fewest, workers) * workers;
  return size_min(samples, even);
}

struct shard shard_at(size_t samples, size_t shards, size_t i) {
  const size_t part = samples / shards, longer = samples % shards;
  return (struct shard){.first = i * part + size_min(i, longer), .count = part + (i < longer)};
}

size_t shard_limit(const struct engine *engine, const struct program *program, enum role role, size_t limit,
                   uint64_t memory) {
  return shard_phase_limit(&(struct shard_place){engine, ENGINE_AT_ONCE, program, role, limit}, limit, memory);
}

size_t shard_phase_limit(const struct shard_place *p, size_t limit, uint64_t memory) {
  size_t fits = 0, high = limit + 1; /* `fits` fits, `high` does not or is above the limit */
  while (high - fits > 1) {
    const size_t middle = fits + (high - fits) / 2;
    if (engine_phase_memory(p->engine, p->phase, p->program, p->expected, middle, p->role) <= memory)
      fits = middle;
    else
      high = middle;
  }
  return fits;
}

/* The next run of samples that are not done, from `from` on; of length 0 when there is none. */
static struct shard next_gap(const bool *done, size_t samples, size_t from) {
  while (done && from < samples && done[from]) from++;
  size_t end = done ? from : samples;
  while (end < samples && !done[end]) end++;
  return (struct shard){.first = from, .count = end - from};
}

fusion_status shard_queue_fill(struct shard_queue *q, size_t samples, size_t limit, const bool *done) {
  size_t shards = 0, at = 0;
  struct shard gap = {0};
  for (; (gap = next_gap(done, samples, gap.first + gap.count)).count;) shards += div_up(gap.count, limit);
  *q = (struct shard_queue){.shards = mem_alloc(shards, sizeof *q->shards), .capacity = shards, .waiting = shards};
  if (!q->shards) return FUSION_E_MEMORY;
  for (gap = (struct shard){0}; (gap = next_gap(done, samples, gap.first + gap.count)).count;) {
    const size_t parts = div_up(gap.count, limit);
    for (size_t i = 0; i < parts; i++) {
      q->shards[at] = shard_at(gap.count, parts, i);
      q->shards[at++].first += gap.first;
    }
  }
  return FUSION_OK;
}

void shard_queue_free(struct shard_queue *q) {
  mem_free(q->shards);
  *q = (struct shard_queue){0};
}

bool shard_queue_take(struct shard_queue *q, struct shard *out) {
  if (!q->waiting) return false;
  *out = q->shards[q->begin];
  q->begin = (q->begin + 1) % q->capacity;
  q->waiting--;
  q->running++;
  return true;
}

void shard_queue_return(struct shard_queue *q, const struct shard *s) {
  assert(q->running > 0 && q->waiting < q->capacity);
  q->shards[(q->begin + q->waiting) % q->capacity] = *s;
  q->waiting++;
  q->running--;
}

void shard_queue_finish(struct shard_queue *q) {
  assert(q->running > 0);
  q->running--;
  q->done++;
}

bool shard_queue_all_done(const struct shard_queue *q) {
  return q->done == q->capacity;
}
