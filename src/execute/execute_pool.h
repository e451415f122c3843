/** The pooling steps of a program on integers. */
#ifndef FUSION_EXECUTE_EXECUTE_POOL_H
#define FUSION_EXECUTE_EXECUTE_POOL_H

#include "program/program.h"

/** One sample: y [channels][out_h][out_w] of step `s` (MAXPOOL or SUMPOOL), x [channels][in_h][in_w] of tensor `in`. */
void execute_pool(const struct program_step *s, const struct program_tensor *in, const int64_t *x, int64_t *y);

#endif
