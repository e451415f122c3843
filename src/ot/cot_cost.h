/** Declared cost of taking correlations. A gate's cost twin calls cost_take_cots() wherever the gate calls
 * cot_take_*(): the refill that such a take sets off is declared at that very point. Without a model (`refill` NULL)
 * takes are only counted. */
#ifndef FUSION_OT_COT_COST_H
#define FUSION_OT_COT_COST_H

#include "net/cost.h"
#include "ot/silent_schedule.h"

/** Model of one session's silent correlations. Owned by the caller, who must keep it as long as the cost that points to
 *  it is added to. */
struct cot_cost {
  struct silent_schedule schedule;
};

/** `count` correlations taken in which `sender` is the sender, by one cot_take_* call. */
void cost_take_cots(struct cost *cost, enum role sender, uint64_t count);

/** Declares cot_open_silent() and attaches `model` to the cost: takes then declare their refills. */
void cot_open_silent_cost(struct cost *cost, struct cot_cost *model, const struct silent_params *params);

#endif
