/* 8 x 32 tile: 16 sums in registers. */
#include <immintrin.h>

#include "graph/float_tile_kernels.h"

enum { ROWS = 8, COLUMNS = 32 };

static void multiply_avx512(float *c, const float *a, const float *b, size_t depth) {
  __m512 sum[ROWS][2];
  for (int r = 0; r < ROWS; r++) sum[r][0] = sum[r][1] = _mm512_setzero_ps();
  for (size_t k = 0; k < depth; k++, a += ROWS, b += COLUMNS) {
    const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
      const __m512 w = _mm512_set1_ps(a[r]);
      sum[r][0] = _mm512_add_ps(sum[r][0], _mm512_mul_ps(w, b0));
      sum[r][1] = _mm512_add_ps(sum[r][1], _mm512_mul_ps(w, b1));
    }
  }
  for (int r = 0; r < ROWS; r++) {
    _mm512_storeu_ps(c + r * COLUMNS, sum[r][0]);
    _mm512_storeu_ps(c + r * COLUMNS + 16, sum[r][1]);
  }
}

const struct float_tile_kernels float_tile_kernels_avx512 = {
    .multiply = multiply_avx512, .rows = ROWS, .columns = COLUMNS};
