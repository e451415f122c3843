/** Products of shared matrices from correlations.
 *
 *  Ideal functionality: shares of A and B modulo 2^ring_bits in, shares of A * B modulo 2^ring_bits out, a product of
 *  matrices for each channel of each sample. Exact.
 *
 *  A*B = A_S*B_S + A_C*B_C + A_S*B_C + A_C*B_S. The first two are local. In the third the server's share is what
 *  product_cot.h calls words, a matrix of which every bit chooses a row of B_C; the fourth is the transpose of
 *  (B_S)^T * (A_C)^T. Each channel of each sample is a group of its own.
 *
 *  Why a cheating server learns nothing: product_cot.h, whatever its words are; nothing is opened. Leaks: nothing.
 *  Error probability: 0.
 *  Cost: matmul_cost(), about ring_bits^2 bits for each multiplication of the clear product; four flights a batch.
 *  Source: Gilboa 1999, with the vectors of SecureML. */
#ifndef FUSION_GATES_MATMUL_H
#define FUSION_GATES_MATMUL_H

#include "base/matrix_product.h"
#include "gates/party.h"

struct matmul {
  struct matrix_product product;
  uint8_t ring_bits; /* 2..62 */
};

/** a [samples][left], b [samples][right], y [samples][size] of the product; bits of a and b above the ring are ignored.
 *  a and b may be one array. Errors: closed, peer, memory; internal for a ring out of range. */
fusion_status matmul(struct party *p, const struct matmul *q, const uint64_t *a, const uint64_t *b, uint64_t *y,
                     size_t samples) FUSION_MUST_CHECK;
void matmul_cost(struct cost *cost, const struct matmul *q, size_t samples);
/** Bytes that a party takes while it works, a, b and y not counted. */
size_t matmul_memory(const struct matmul *q, enum role role, size_t samples);

#endif
