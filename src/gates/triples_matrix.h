/** Linear layers by one triple a layer, in the form of matrices, as in SecureML: the mask of a weight serves all
 * positions and samples of a call, that of an input all its weights.
 *
 *  Ideal functionality: that of product_cot.h. Exact; error probability 0; leaks nothing.
 *
 *  The server draws B, a word modulo 2^ring_bits for each weight, the client A, one for each input; both get shares of
 *  B (*) A from correlations in which bits of B choose rows of A (product_cot_words()): what can be done before weights
 *  and inputs are known. Then the client opens D = x_C - A, the server E = W - B, and
 *  W (*) x = W (*) (x_S + D) + E (*) A + B (*) A: the first at the server, the second at the client, the third shared.
 *
 *  Why a cheating server learns nothing: product_cot.h for B (*) A, whose messages are one-time pads; D is masked by A,
 *  uniform, drawn for this call and used once. The client puts E into sums alone and sends nothing afterwards that
 *  depends on it: no selective failure. A wrong E or B is an error in the client's share, which mix-and-check sees.
 *  Why the client learns nothing of W: E is masked by B, uniform, drawn for this call and used once.
 *  Cost: triples_matrix_cost(). Source: Mohassel, Zhang: "SecureML", S&P 2017, sec. IV.A, C; Gilboa 1999. */
#ifndef FUSION_GATES_TRIPLES_MATRIX_H
#define FUSION_GATES_TRIPLES_MATRIX_H

#include "gates/layer_rows.h"
#include "gates/party.h"

/** As triples_layer(). */
fusion_status triples_matrix(struct party *p, const struct layer_shape *shape, const struct layer_weights *w,
                             const uint64_t *x, uint64_t *y, size_t samples) FUSION_MUST_CHECK;
void triples_matrix_cost(struct cost *cost, const struct layer_shape *shape, size_t samples);
size_t triples_matrix_memory(const struct layer_shape *shape, enum role role, size_t samples);

/** Bytes that a product takes of the triple, where many share its correlations. */
static inline double triples_matrix_bytes(unsigned ring_bits) {
  return ring_bits * (ring_bits + 1) / 16.0;
}

#endif
