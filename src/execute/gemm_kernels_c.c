/** Portable integer matrix products, and the choice among the tiers. */
#include "execute/gemm_kernels.h"

#include "base/cpu_tier.h"
#include "execute/gemm_taps.h"

static void gemm_narrow_c(uint32_t *out, const int16_t *w, const int16_t *x, size_t rows, size_t pairs,
                          size_t columns) {
  for (size_t r = 0; r < rows; r++) {
    uint32_t *restrict acc = out + r * GEMM_COLUMNS;
    memset(acc, 0, GEMM_COLUMNS * sizeof *acc);
    for (size_t p = 0; p < pairs; p++) {
      const int32_t w0 = w[2 * (r * pairs + p)], w1 = w[2 * (r * pairs + p) + 1];
      const int16_t *restrict column = x + 2 * p * GEMM_COLUMNS;
      for (size_t c = 0; c < columns; c++)
        acc[c] += (uint32_t)(w0 * column[2 * c]) + (uint32_t)(w1 * column[2 * c + 1]);
    }
  }
}

static void gemm_wide_c(uint64_t *out, const int16_t *w, size_t stride, const int64_t *x, size_t rows, size_t depth) {
  for (size_t r = 0; r < rows; r++) {
    uint64_t *restrict acc = out + r * GEMM_COLUMNS;
    memset(acc, 0, GEMM_COLUMNS * sizeof *acc);
    for (size_t k = 0; k < depth; k++) {
      const uint64_t weight = (uint64_t)(int64_t)w[r * stride + k];
      const int64_t *restrict column = x + k * GEMM_COLUMNS;
      for (size_t c = 0; c < GEMM_COLUMNS; c++) acc[c] += weight * (uint64_t)column[c];
    }
  }
}

static void gemm_taps_c(uint32_t *out, const struct gemm_taps *taps, size_t width, size_t stride) {
  taps_row(out, taps, width, stride);
}

const struct gemm_kernels gemm_kernels_c = {.narrow = gemm_narrow_c, .taps = gemm_taps_c, .wide = gemm_wide_c};
