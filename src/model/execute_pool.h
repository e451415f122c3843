/** The pooling steps of a plan on integers. */
#ifndef FUSION_MODEL_EXECUTE_POOL_H
#define FUSION_MODEL_EXECUTE_POOL_H

#include "model/plan.h"

/** One sample: y [channels][out_h][out_w] of step `s` (MAXPOOL or SUMPOOL), x [channels][in_h][in_w] of tensor `in`. */
void execute_pool(const struct plan_step *s, const struct plan_tensor *in, const int64_t *x, int64_t *y);

#endif
