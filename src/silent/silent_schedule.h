/** The public rule by which both parties, and the cost model, decide when silent iterations run, of which set and how
 *  many side by side. It depends on the session's expectations and on the counts taken so far, on nothing secret.
 *
 *  A direction's iterations run in batches, one batch in the three flights of a single iteration. Of a batch as much is
 *  held back as the next batch will start from, in whole trees of all iterations that share a matrix (an iteration of
 * `lan` yields what nine others start from). The first batch of a direction is one `lan` iteration, from SoftSpoken
 * correlations. How many the next one has: as many as the expectation still asks for, in equal parts if that is more
 * than SILENT_BATCH_LEN bears; beyond the expectation (or without one) a third of what there is by then.
 *
 *  A refill begins when a take finds a direction's stock empty. The other direction joins in, in the same flights, when
 *  it will need a batch in any case and its own stock is below half a batch. */
#ifndef FUSION_SILENT_SILENT_SCHEDULE_H
#define FUSION_SILENT_SILENT_SCHEDULE_H

#include "silent/silent_set.h"

/** Bytes of base correlations that the iterations of one batch hold in one direction: sixteen of `lan`, four of
 *  `wan`. */
#define SILENT_BATCH_LEN ((size_t)20 << 20)

/** One direction. */
struct silent_supply {
  const struct silent_set *set;  /* of the next batch */
  size_t next;                   /* its iterations */
  const struct silent_set *made; /* of the last batch; NULL before the first */
  size_t made_count;             /* its iterations */
  uint64_t expected;             /* 0 when unknown */
  uint64_t ready;                /* correlations that can be taken without a refill */
  uint64_t released;             /* taken and ready */
  uint64_t iterations;           /* so far */
};

struct silent_schedule {
  const struct silent_set *main;  /* of the profile */
  struct silent_supply supply[2]; /* by who is the OT sender */
};

struct silent_schedule silent_schedule_start(const struct silent_params *params);
/** Which directions (by sender) run their next batch when the stock of direction `empty` is. */
void silent_schedule_joins(const struct silent_schedule *s, enum role empty, bool joins[2]);
/** Moves past the batches of those directions. */
void silent_schedule_refill(struct silent_schedule *s, const bool joins[2]);

/** Most iterations in a batch of this set. */
size_t silent_batch_max(const struct silent_set *set);

/** How many iterations of a batch of `count` of this set, from iteration `first` on, share a matrix. */
size_t silent_group_size(const struct silent_set *set, size_t first, size_t count);

#endif
