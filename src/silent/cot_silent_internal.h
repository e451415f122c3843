/** What a session's silent correlations consist of: for the files that make, keep and restore them. */
#ifndef FUSION_SILENT_COT_SILENT_INTERNAL_H
#define FUSION_SILENT_COT_SILENT_INTERNAL_H

#include "ot/softspoken.h"
#include "silent/cot_silent.h"
#include "silent/grown.h"
#include "silent/silent.h"
#include "silent/silent_schedule.h"

enum {
  SILENT_UNIT_MAX = 1 << 12,  /* correlations of a tree of all iterations that share a matrix */
  SILENT_AHEAD_MAX = 1 << 18, /* correlations that a direction grows ahead: 4 MiB */
};

/* What is left of iterations that share a matrix: trees [next, end) of each to be taken, [end, last) held back for the
 * next batch. */
struct store {
  struct silent_harvest *harvest;
  size_t next, end, last;
  size_t unit; /* correlations of one tree of each */
};

/* One direction's stock, used from its head on. How much of it may be taken is the schedule's. */
struct direction {
  enum role sender;
  struct store *stores;
  size_t head, count;
  struct grown grown; /* before what the stores still have: the trees in use, and those grown ahead */
};

struct cot_silent {
  struct cot cot; /* first: a struct cot * is one of these */
  struct prg *prg;
  struct softspoken_opening *opening; /* NULL: it is complete, or failed */
  struct softspoken_sender *sender;
  struct softspoken_receiver *receiver;
  struct silent_schedule schedule;
  block *early[2]; /* by who is the sender, from the heap: base correlations of the first batch; NULL: none yet, or used
                    */
  struct direction directions[2]; /* by who is the OT sender */
  bool stocked;                   /* made ahead (cot_stock.h): there is no more than the stock */
  bool postponed;                 /* see cot_postpone_check() */
  struct silent_check *check;     /* of the last batch; NULL: it is settled */
  fusion_status failed;           /* the first failure; nothing is handed out after it */
};

extern const struct cot_ops cot_silent_ops;

/** Runs the next batch of direction `empty`, and of the other if it joins, in the same flights. */
fusion_status cot_silent_refill(struct cot_silent *s, enum role empty) FUSION_MUST_CHECK;

#endif
