/** The meaning of gemm_kernels.taps, in a form that compilers make vectors of: each tier compiles it for itself. */
#ifndef FUSION_EXECUTE_GEMM_TAPS_H
#define FUSION_EXECUTE_GEMM_TAPS_H

#include "execute/gemm_kernels.h"

enum { TAPS_CHUNK = 64 }; /* sums that stay in registers, or near */

static inline void taps_chunk(uint32_t *restrict out, const struct gemm_taps *t, size_t first, size_t count,
                              size_t stride) {
  uint32_t acc[TAPS_CHUNK] = {0};
  for (size_t k = 0; k < t->count; k++) {
    const int32_t w = t->weights[k];
    const int16_t *restrict x = t->x + t->at[k] + first * stride;
    if (count == TAPS_CHUNK)
      for (size_t i = 0; i < TAPS_CHUNK; i++) acc[i] += (uint32_t)(w * x[i * stride]);
    else
      for (size_t i = 0; i < count; i++) acc[i] += (uint32_t)(w * x[i * stride]);
  }
  for (size_t i = 0; i < count; i++) out[first + i] = acc[i];
}

static inline void taps_row(uint32_t *out, const struct gemm_taps *t, size_t width, size_t stride) {
  for (size_t first = 0; first < width; first += TAPS_CHUNK) {
    const size_t count = size_min(TAPS_CHUNK, width - first);
    if (stride == 1)
      taps_chunk(out, t, first, count, 1);
    else if (stride == 2)
      taps_chunk(out, t, first, count, 2);
    else
      taps_chunk(out, t, first, count, stride);
  }
}

#endif
