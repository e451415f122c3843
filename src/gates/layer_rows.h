/** A linear layer as rows and columns, for the gates that multiply weights with shares: a column is an output position
 *  of a sample, a row is an input channel with a tap of the kernel. Weights are numbered row by row: those of row r are
 *  the outputs of the row's group. All of it is public geometry. */
#ifndef FUSION_GATES_LAYER_ROWS_H
#define FUSION_GATES_LAYER_ROWS_H

#include "base/base.h"

/** Groups, kernel, stride, padding, dilation as in program.h. A dense layer has in_h = in_w = kernel = 1. */
struct layer_shape {
  uint32_t in_channels, in_h, in_w, out_channels, out_h, out_w, groups;
  uint32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
  uint8_t ring_bits;   /* 2..62 */
  uint8_t weight_bits; /* weights lie in [-2^(weight_bits-1), 2^(weight_bits-1)): 2..16, of words (product_cot.h) up to
                          62 */
};

/** The server's secret: weights [out][in/groups][kh][kw], bias [out]. */
struct layer_weights {
  const int16_t *weights;
  const int64_t *bias;
};

struct layer_rows {
  const struct layer_shape *shape; /* borrowed */
  size_t columns, plane;           /* of all samples; of one */
  size_t depth, per_row;           /* rows of a group; weights of a row */
  uint64_t weights;
};

/** Weights of a layer. */
static inline uint64_t layer_weight_count(const struct layer_shape *s) {
  return (uint64_t)(s->in_channels / s->groups) * s->kernel_h * s->kernel_w * s->out_channels;
}

struct layer_rows layer_rows_of(const struct layer_shape *shape, size_t samples);
/** Of weight t: its row, its output channel, its place in layer_weights.weights. */
uint64_t layer_row(const struct layer_rows *l, uint64_t t);
size_t layer_channel(const struct layer_rows *l, uint64_t t);
size_t layer_place(const struct layer_rows *l, uint64_t t);
/** out[i] = what row r has in column first + i of x [samples][in]; 0 in the padding. */
void layer_rows_read(const struct layer_rows *l, const uint64_t *x, uint64_t r, size_t first, size_t count,
                     uint64_t *out);
/** y [samples][out] = sums [out_channels][columns] + bias (NULL: none) modulo 2^ring_bits. */
void layer_rows_store(const struct layer_rows *l, const uint64_t *sums, const int64_t *bias, uint64_t *y);

#endif
