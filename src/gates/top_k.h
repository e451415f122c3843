/** The k largest of each row of shared values with their indices (argmax is k = 1).
 *
 *  Ideal functionality: shares of x in; shares of the indices, and if wanted of the values, of the k best out, best
 *  first, the lowest index winning ties. Exact for values in range; error probability 0; leaks nothing: what is
 *  compared with what is fixed by (width, k), and the messages are those of relu_truncate, with its argument about a
 *  cheating server.
 *
 *  A value and its index travel as one key, x * 2^index_bits + (2^index_bits - 1 - index). Keys are all distinct, so
 *  plain maxima of keys settle ties, and one ReLU moves both. At the end the index is read off the low bits of the
 *  key locally, the value by one exact truncation. The network: sorted runs of at least k, halved pairwise by bitonic
 *  merges; for k = 1 a tournament.
 *
 *  Cost: top_k_cost(). Source: DESIGN 6.6; Batcher's merges. */
#ifndef FUSION_GATES_TOP_K_H
#define FUSION_GATES_TOP_K_H

#include "gates/carry_shape.h"
#include "gates/party.h"

/** indices [rows][k] modulo 2^index_bits, values [rows][k] modulo 2^in_bits (NULL: not wanted).
 *  index_bits = top_k_index_bits(). |x| < 2^(value_bits-1), value_bits <= in_bits,
 *  value_bits + index_bits + 1 <= 62, 1 <= k <= width. */
struct top_k {
  uint32_t width, k;
  uint8_t value_bits, in_bits;
  bool indices_only;      /* values are not computed; both parties and the cost go by this, not by the pointer */
  enum garbling garbled;  /* relu_truncate.h */
  enum carry_shape shape; /* of the comparison trees */
};
static inline unsigned top_k_index_bits(const struct top_k *params) {
  const unsigned bits = log2_up(params->width);
  return bits ? bits : 1;
}
fusion_status top_k(struct party *p, const struct top_k *params, const uint64_t *x, uint64_t *indices, uint64_t *values,
                    size_t rows) FUSION_MUST_CHECK;
void top_k_cost(struct cost *cost, const struct top_k *params, size_t rows);
/** Bytes that a party takes while it works, at most; x and the results not counted. */
size_t top_k_memory(const struct top_k *params, enum role role, size_t rows);

#endif
