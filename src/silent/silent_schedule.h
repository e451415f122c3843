/** The public rule by which both parties, and the cost model, decide when silent iterations run, of which set, with how
 *  many trees and how many side by side. It depends on the session's expectations and on the counts taken so far, on
 *  nothing secret.
 *
 *  A direction's iterations run in batches, one batch in the three flights of a single iteration. What is expected is
 *  made in as few batches as the set allows, of equal parts and with no more trees than it takes.
 *
 *  What a batch starts from is held back from the one before, in whole trees of all iterations that share a matrix. A
 *  direction's first batch, and one after all that was expected, start from SoftSpoken instead: one iteration of `lan`
 *  or, in the profile SILENT_LAN, two, if they are enough for all that is expected. More begin with an iteration of
 *  `lan` that yields what the batch behind it starts from. Without an expectation, or beyond it, a batch
 * makes about three quarters of what there is by then.
 *
 *  A refill begins when a take finds a direction's stock empty. The other direction joins in, in the same flights, when
 *  it will need a batch in any case and its own stock is below half a batch. */
#ifndef FUSION_SILENT_SILENT_SCHEDULE_H
#define FUSION_SILENT_SILENT_SCHEDULE_H

#include "silent/silent_set.h"

/** One direction. */
struct silent_supply {
  struct silent_set set;  /* of the next batch, with the trees of each of its iterations */
  size_t next;            /* its iterations */
  bool held;              /* what it starts from is held back; else SoftSpoken makes it */
  struct silent_set made; /* of the last batch */
  size_t made_count;      /* its iterations; 0 before the first */
  uint64_t expected;      /* 0 when unknown */
  uint64_t ready;         /* correlations that can be taken without a refill */
  uint64_t released;      /* taken and ready */
  uint64_t iterations;    /* so far */
};

/** Correlations that its next batch starts from. */
static inline size_t silent_supply_base(const struct silent_supply *d) {
  return d->next * silent_set_base(&d->set);
}

struct silent_schedule {
  const struct silent_set *main;  /* of the profile */
  size_t begun_together;          /* most iterations that start from SoftSpoken at once */
  bool begun_early;               /* silent_params */
  struct silent_supply supply[2]; /* by who is the OT sender */
};

struct silent_schedule silent_schedule_start(const struct silent_params *params);
/** Whether the SoftSpoken correlations of a direction's first batch, which is still to come, are made before its first
 *  take: if it is expected to be used. Where the server sends they are made when the source is completed, in the other
 *  direction by cot_begin(). */
bool silent_schedule_early(const struct silent_schedule *s, enum role sender);
/** Which directions (by sender) run their next batch when the stock of direction `empty` is. */
void silent_schedule_joins(const struct silent_schedule *s, enum role empty, bool joins[2]);
/** Moves past the batches of those directions. */
void silent_schedule_refill(struct silent_schedule *s, const bool joins[2]);

/** Of a batch of `count` of this set, the groups that share a matrix of which holding back `need` correlations leaves
 *  something, from the first on. */
size_t silent_groups_left(const struct silent_set *set, size_t count, uint64_t need);

/** How many iterations of a batch of `count` of this set, from iteration `first` on, share a matrix. */
size_t silent_group_size(const struct silent_set *set, size_t first, size_t count);

#endif
