/** Declared cost of silent correlations: a take declares the refill that it sets off at that very point. */
#ifndef FUSION_SILENT_COT_SILENT_COST_H
#define FUSION_SILENT_COT_SILENT_COST_H

#include "net/cost.h"
#include "silent/silent.h"
#include "silent/silent_schedule.h"

/** Model of one session's silent correlations. Owned by the caller, who must keep it as long as the cost that points to
 *  it is added to. */
struct cot_cost {
  struct cost_source source;
  struct silent_schedule schedule;
  uint32_t opened_server, opened_client; /* depths */
  bool postponed;
  struct silent_settled settled; /* of what is postponed */
};

/** Declares cot_open_silent() and attaches `model` to the cost: takes then declare their refills. */
void cot_open_silent_cost(struct cost *cost, struct cot_cost *model, const struct silent_params *params);

enum { SILENT_STORE_HEAD_LEN = 8 * 8 /* before each harvest of a stock */ };
/** Declares that the stock of both directions is filled until `counts`, by who is the sender, can be taken from it, and
 *  the bytes that each party then keeps of it (cot_stock.h). */
void cot_silent_fill_cost(struct cost *cost, struct cot_cost *model, const uint64_t counts[2]);

/** Seconds of a correlation that a session of so many takes to make, at either party, from those of a correlation made
 *  by SoftSpoken with SILENT_FIELD_BITS, of one grown by an iteration of silent_set_lan, and of a row of its code
 *  through the vectors of four iterations. */
double cot_silent_price(const struct silent_params *params, double base, double grown, double row);

#endif
