/** A job cut into shards, and the queue from which workers take them. */
#ifndef FUSION_SESSION_SHARDS_H
#define FUSION_SESSION_SHARDS_H

#include "engine/engine.h"

/** Samples [first, first + count) of the shuffled batch. */
struct shard {
  size_t first, count;
  unsigned tries; /* runs begun */
};

/** How many shards of at most `limit` samples `samples` samples make: as few as possible, but at least one for each
 * worker and a multiple of the workers' number where that costs no more than one sample a shard too little. */
size_t shards_count(size_t samples, size_t limit, size_t workers);
/** The i-th of `shards` balanced parts: sizes differ by one at most. */
struct shard shard_at(size_t samples, size_t shards, size_t i);

/** Most samples, at most `limit`, for which a party of the engine needs at most `memory` bytes; 0 when even one does
 * not fit. */
size_t shard_limit(const struct engine *engine, const struct program *program, enum role role, size_t limit,
                   uint64_t memory);

/** The same where shards are of another phase. */
struct shard_place {
  const struct engine *engine;
  enum engine_phase phase;
  const struct program *program;
  enum role role;
  size_t expected; /* samples that the session expects */
};
size_t shard_phase_limit(const struct shard_place *p, size_t limit, uint64_t memory);

/** First in, first out; not thread-safe: the job's lock guards it. */
struct shard_queue {
  struct shard *shards; /* owned: ring of `capacity` */
  size_t capacity, begin, waiting;
  size_t running, done; /* `done` counts shards that have ended well */
};

/** Cuts the samples that are not `done` (NULL: none is) into balanced shards of at most `limit`. */
fusion_status shard_queue_fill(struct shard_queue *q, size_t samples, size_t limit, const bool *done) FUSION_MUST_CHECK;
void shard_queue_free(struct shard_queue *q);
/** Takes a waiting shard; false when none waits. */
bool shard_queue_take(struct shard_queue *q, struct shard *out);
/** Puts a shard that was taken back to wait again. */
void shard_queue_return(struct shard_queue *q, const struct shard *s);
void shard_queue_finish(struct shard_queue *q);
bool shard_queue_all_done(const struct shard_queue *q);

#endif
