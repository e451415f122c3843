/** What the files of quantisation share. */
#ifndef FUSION_MODEL_QUANTISE_INTERNAL_H
#define FUSION_MODEL_QUANTISE_INTERNAL_H

#include "model/quantise.h"

struct widths {
  unsigned weight, activation, input, output;
};

/** Integer range of a step's values over the calibration samples. */
struct step_range {
  int64_t low, high;
};

/** Scales and integer weights of every step, with rings so wide that nothing wraps on the calibration samples. */
fusion_status quantise_scales(struct model **out, const struct network *net, const struct widths *widths,
                              fusion_error *err) FUSION_MUST_CHECK;

/** Replaces the wide rings by the narrowest that hold the calibrated ranges and the margin. */
fusion_status quantise_rings(struct model *model, const struct step_range *ranges, unsigned margin_bits,
                             fusion_error *err) FUSION_MUST_CHECK;

/** For each raw step the RELU or TRUNCATE that ends its tree of additions; 0 for clean ones. `roots` [plan->count]. */
void plan_find_roots(const struct plan *plan, uint32_t *roots);

#endif
