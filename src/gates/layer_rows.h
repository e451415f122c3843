/** A linear layer as rows and columns, for the gates that multiply weights with shares: a column is an output position
 *  of a sample, a row is an input channel with a tap of the kernel. Weights are numbered row by row: those of row r are
 *  the outputs of the row's group. All of it is public geometry. */
#ifndef FUSION_GATES_LAYER_ROWS_H
#define FUSION_GATES_LAYER_ROWS_H

#include "base/base.h"
#include "base/layer_shape.h"

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
