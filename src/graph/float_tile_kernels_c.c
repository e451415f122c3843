/* 4 x 8 tile: 8 sums in SSE registers. */
#include "graph/float_tile_kernels.h"

enum { ROWS = 4, COLUMNS = 8 };

static void multiply_c(float *c, const float *a, const float *b, size_t depth) {
  float sum[ROWS][COLUMNS] = {{0}};
  for (size_t k = 0; k < depth; k++, a += ROWS, b += COLUMNS) {
    for (int r = 0; r < ROWS; r++) {
      for (int j = 0; j < COLUMNS; j++) sum[r][j] += a[r] * b[j];
    }
  }
  memcpy(c, sum, sizeof sum);
}

const struct float_tile_kernels float_tile_kernels_c = {.multiply = multiply_c, .rows = ROWS, .columns = COLUMNS};
