/** Products of matrices, one for each channel. */
#ifndef FUSION_BASE_MATRIX_PRODUCT_H
#define FUSION_BASE_MATRIX_PRODUCT_H

#include "base/base.h"

/** out [channels][rows][columns] = a [channels][rows][depth] times b [channels][depth][columns], or, `transposed`,
 * times the transpose of b [channels][columns][depth]. */
struct matrix_product {
  uint32_t channels, rows, depth, columns;
  bool transposed;
};

static inline size_t matrix_product_left(const struct matrix_product *q) {
  return (size_t)q->channels * q->rows * q->depth;
}
static inline size_t matrix_product_right(const struct matrix_product *q) {
  return (size_t)q->channels * q->depth * q->columns;
}
static inline size_t matrix_product_size(const struct matrix_product *q) {
  return (size_t)q->channels * q->rows * q->columns;
}
/** Where element (j, c) of b lies within its channel. */
static inline size_t matrix_product_place(const struct matrix_product *q, size_t j, size_t c) {
  return q->transposed ? c * q->depth + j : j * q->columns + c;
}

/** y = a * b modulo 2^64, for one sample. */
void matrix_product_run(const struct matrix_product *q, const uint64_t *a, const uint64_t *b, uint64_t *y);

#endif
