/* 6 x 16 tile: 12 sums in registers. */
#include <immintrin.h>

#include "graph/float_tile_kernels.h"

enum { ROWS = 6, COLUMNS = 16 };

static void multiply_avx2(float *c, const float *a, const float *b, size_t depth) {
  __m256 sum[ROWS][2];
  for (int r = 0; r < ROWS; r++) sum[r][0] = sum[r][1] = _mm256_setzero_ps();
  for (size_t k = 0; k < depth; k++, a += ROWS, b += COLUMNS) {
    const __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++) {
      const __m256 w = _mm256_broadcast_ss(a + r);
      sum[r][0] = _mm256_add_ps(sum[r][0], _mm256_mul_ps(w, b0));
      sum[r][1] = _mm256_add_ps(sum[r][1], _mm256_mul_ps(w, b1));
    }
  }
  for (int r = 0; r < ROWS; r++) {
    _mm256_storeu_ps(c + r * COLUMNS, sum[r][0]);
    _mm256_storeu_ps(c + r * COLUMNS + 8, sum[r][1]);
  }
}

const struct float_tile_kernels float_tile_kernels_avx2 = {.multiply = multiply_avx2, .rows = ROWS, .columns = COLUMNS};
