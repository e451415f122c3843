/** The executor's LINEAR step: weights packed once, then blocks of samples. */
#ifndef FUSION_EXECUTE_EXECUTE_LINEAR_H
#define FUSION_EXECUTE_EXECUTE_LINEAR_H

#include "execute/gemm_kernels.h"
#include "program/program.h"

struct linear_packed {
  const struct program_step *step; /* borrowed */
  const struct program_weights *weights;
  struct shape in;
  size_t rows, depth, pairs; /* of one group: outputs, inputs times taps, depth in pairs */
  int16_t *narrow;           /* owned: [out][pairs][2] */
  uint64_t row_sum;          /* largest sum of |weight| over a row */
  const struct gemm_kernels *kernels;
};

fusion_status linear_pack(struct linear_packed *out, const struct model *model, uint32_t step) FUSION_MUST_CHECK;
void linear_packed_free(struct linear_packed *p);

/** x [samples][in], y [samples][out]; y wrapped to the step's ring. Large steps are shared by up to `threads` threads;
 * the result does not depend on them. */
fusion_status execute_linear(const struct linear_packed *p, const int64_t *x, int64_t *y, size_t samples,
                             unsigned threads) FUSION_MUST_CHECK;

#endif
