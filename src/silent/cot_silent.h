/** Correlated OT for a whole session: SoftSpoken starts it, silent iterations keep it going, each direction by itself.
 *
 *  Functionality: `struct cot` (ot/cot.h), any number of correlations in each direction, in the order taken.
 *  A direction's first take extends SoftSpoken once and runs a first iteration; after that a batch of iterations
 *  runs whenever a take finds the stock empty, often of both directions at once (the rule: ot/silent_schedule.h).
 *  Why a cheating server learns nothing: base OT, SoftSpoken and the iterations are each secure against it, and a check
 *  has passed before any correlation is handed out, but where the caller uses choice bits alone (cot_postpone_check).
 * The session number is hashed from both parties' nonces, the client's sent last, so a cheating server cannot choose it
 * (it enters hash tweaks and the choice of LPN matrices). Cost: cot_open_silent_cost() and cost_take_cots() in
 * ot/cot_cost.h. Source: DESIGN 6.1 to 6.3. */
#ifndef FUSION_SILENT_COT_SILENT_H
#define FUSION_SILENT_COT_SILENT_H

#include "ot/cot.h"
#include "rand/prg.h"
#include "silent/silent_set.h"

/** k of the SoftSpoken correlations that a direction starts from: 2 bytes each. They are few, so bytes count for more
 * than time. */
enum { SILENT_FIELD_BITS = 8 };

/** Opens both directions; both parties call it at the same point with equal `params`. Returns owned (cot_close). */
fusion_status cot_open_silent(struct cot **out, const struct cot_opening *opening,
                              const struct silent_params *params) FUSION_MUST_CHECK;

/** Most memory that one party's end holds, both directions together. */
size_t cot_silent_memory(const struct silent_params *params);

#endif
