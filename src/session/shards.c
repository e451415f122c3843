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

size_t shard_limit(const struct stack *stack, const struct plan *plan, enum role role, size_t limit, uint64_t memory) {
  size_t fits = 0, high = limit + 1; /* `fits` fits, `high` does not or is above the limit */
  while (high - fits > 1) {
    const size_t middle = fits + (high - fits) / 2;
    if (stack->memory(plan, middle, role) <= memory)
      fits = middle;
    else
      high = middle;
  }
  return fits;
}

fusion_status shard_queue_fill(struct shard_queue *q, size_t samples, size_t shards) {
  *q = (struct shard_queue){.shards = mem_alloc(shards, sizeof *q->shards), .capacity = shards, .waiting = shards};
  if (!q->shards) return FUSION_E_MEMORY;
  for (size_t i = 0; i < shards; i++) q->shards[i] = shard_at(samples, shards, i);
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
