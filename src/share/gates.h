/** share: two-party gates on shares, one per file. This file: what they have in common, and the list of them.
 *
 *  Arithmetic shares are uint64_t arrays: value = server's + client's modulo 2^bits; bits above are ignored on input and
 *  zero on output. Every gate is called by both parties with the same public parameters, works in chunks so that memory and
 *  simultaneous traffic stay bounded for any count, and has a _cost twin that declares its messages exactly.
 *  A gate's messages are uniform to their receiver (masked by correlations of ot/): each header gives the argument. */
#ifndef FUSION_SHARE_GATES_H
#define FUSION_SHARE_GATES_H

#include "net/channel.h"
#include "net/cost.h"
#include "ot/cot.h"
#include "rand/prg.h"

/** One party in a session, as the gates see it. */
struct party {
  enum role role;
  struct channel *channel; /* borrowed */
  struct cot *cot;         /* borrowed */
  struct prg *prg;         /* borrowed: this party's own secret randomness */
};

struct relu_truncate {
  uint8_t in_bits;    /* ring of x, guard included, 3..62 */
  uint8_t shift;      /* bits dropped, guard included, < in_bits - 1 */
  uint8_t out_bits;   /* ring of y, <= 62 */
  uint64_t add;       /* public constant added to x first (rounding, guard correction) */
  bool relu;          /* y = max(x + add, 0) >> shift; else y = (x + add) >> shift, arithmetic */
  bool fast;          /* rounding may be one unit off: the low bits are dropped locally (DESIGN 6.5) */
};

/** y = relu/truncation of x (DESIGN 6.5). x, y: `count` shares; y == x allowed. */
fusion_status relu_truncate(struct party *p, const struct relu_truncate *params, const uint64_t *x, uint64_t *y,
                            size_t count) FUSION_MUST_CHECK;
void relu_truncate_cost(struct cost *cost, const struct relu_truncate *params, size_t count);

/** z = x * y modulo 2^bits, elementwise; x == y (the same pointer) is a square and cheaper. */
fusion_status multiply(struct party *p, const uint64_t *x, const uint64_t *y, uint64_t *z, size_t count,
                       unsigned bits) FUSION_MUST_CHECK;
void multiply_cost(struct cost *cost, bool square, size_t count, unsigned bits);

/** Elementwise maximum of signed values: z = max(x, y); |x|,|y| < 2^(value_bits-1). x, y modulo 2^in_bits >= value_bits+1;
 *  z modulo 2^out_bits (in_bits >= out_bits). */
struct maximum {
  uint8_t value_bits, in_bits, out_bits;
};
fusion_status maximum(struct party *p, const struct maximum *params, const uint64_t *x, const uint64_t *y, uint64_t *z,
                      size_t count) FUSION_MUST_CHECK;
void maximum_cost(struct cost *cost, const struct maximum *params, size_t count);

/** Max pooling of [samples*channels] planes of in_h x in_w, separable (rows, then columns) by pairwise maxima in a tree;
 *  padding never wins. out_bits <= in_bits (the ring of x). */
struct maxpool {
  uint32_t in_h, in_w, out_h, out_w;
  uint32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
  uint8_t value_bits, in_bits, out_bits;
};
fusion_status maxpool(struct party *p, const struct maxpool *params, const uint64_t *x, uint64_t *y,
                      size_t planes) FUSION_MUST_CHECK;
void maxpool_cost(struct cost *cost, const struct maxpool *params, size_t planes);

/** The k largest of each row of `width` signed values with their indices, best first, the lowest index winning ties:
 *  indices [rows][k] modulo 2^index_bits, values [rows][k] modulo 2^in_bits (values may be NULL: then not computed where
 *  k = 1). index_bits = log2_up(width), at least 1. */
struct top_k {
  uint32_t width, k;
  uint8_t value_bits, in_bits;
};
static inline unsigned top_k_index_bits(const struct top_k *params) {
  const unsigned bits = log2_up(params->width);
  return bits ? bits : 1;
}
fusion_status top_k(struct party *p, const struct top_k *params, const uint64_t *x, uint64_t *indices, uint64_t *values,
                    size_t rows) FUSION_MUST_CHECK;
void top_k_cost(struct cost *cost, const struct top_k *params, size_t rows);

#endif
