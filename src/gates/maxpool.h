/** Maximum of two shared vectors, and max pooling as a tree of such maxima (DESIGN 6.6).
 *
 *  Ideal functionality: shares in, shares of the maxima out. max(x, y) = y + relu(x - y), the difference compared in
 *  value_bits + 1 bits: y + max(d, 0) with d = x - y read as signed modulo 2^(value_bits+1), which is the maximum for
 *  values in range. Exact; error probability 0; leaks nothing.
 *  Messages are those of relu_truncate alone, with its argument about a cheating server.
 *  Cost: maximum_cost(), maxpool_cost(). Source: DESIGN 6.6. */
#ifndef FUSION_GATES_MAXPOOL_H
#define FUSION_GATES_MAXPOOL_H

#include "gates/carry_shape.h"
#include "gates/party.h"

/** Elementwise maximum of signed values: z = max(x, y); |x|,|y| < 2^(value_bits-1). x, y modulo 2^in_bits >=
 * value_bits+1; z modulo 2^out_bits (in_bits >= out_bits). z may be x or y. */
struct maximum {
  uint8_t value_bits, in_bits, out_bits;
  enum garbling garbled;  /* relu_truncate.h */
  enum carry_shape shape; /* of the comparison tree */
};
fusion_status maximum(struct party *p, const struct maximum *params, const uint64_t *x, const uint64_t *y, uint64_t *z,
                      size_t count) FUSION_MUST_CHECK;
void maximum_cost(struct cost *cost, const struct maximum *params, size_t count);
/** Bytes that a party takes while it works, x, y and z not counted. */
size_t maximum_memory(const struct maximum *params, enum role role, size_t count);

/** Max pooling of [samples*channels] planes of in_h x in_w, separable (rows, then columns) by pairwise maxima in a
 * tree; padding never wins; every window must hold at least one element. out_bits <= in_bits (the ring of x).
 * Overlapping windows share the maxima that they have in common. in_bits == value_bits is taken too, at the price of
 * extending x first. */
struct maxpool {
  uint32_t in_h, in_w, out_h, out_w;
  uint32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
  uint8_t value_bits, in_bits, out_bits;
  enum garbling garbled;  /* relu_truncate.h */
  enum carry_shape shape; /* of the comparison trees */
};
fusion_status maxpool(struct party *p, const struct maxpool *params, const uint64_t *x, uint64_t *y,
                      size_t planes) FUSION_MUST_CHECK;
void maxpool_cost(struct cost *cost, const struct maxpool *params, size_t planes);
/** Bytes that a party takes while it works, x and y not counted. */
size_t maxpool_memory(const struct maxpool *params, enum role role, size_t planes);

#endif
