#include "base/matrix_product.h"

/* One row of one channel. */
static void row_run(const struct matrix_product *q, const uint64_t *restrict a, const uint64_t *restrict b,
                    uint64_t *restrict y) {
  if (q->transposed) {
    for (size_t c = 0; c < q->columns; c++, b += q->depth) {
      uint64_t sum = 0;
      for (size_t j = 0; j < q->depth; j++) sum += a[j] * b[j];
      y[c] = sum;
    }
    return;
  }
  memset(y, 0, q->columns * sizeof *y);
  for (size_t j = 0; j < q->depth; j++, b += q->columns)
    for (size_t c = 0; c < q->columns; c++) y[c] += a[j] * b[c];
}

void matrix_product_run(const struct matrix_product *q, const uint64_t *a, const uint64_t *b, uint64_t *y) {
  for (size_t g = 0; g < q->channels; g++, b += (size_t)q->depth * q->columns)
    for (size_t i = 0; i < q->rows; i++, a += q->depth, y += q->columns) row_run(q, a, b, y);
}
