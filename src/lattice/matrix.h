/** Products of shared matrices by encryption: the cross terms A_S * B_C and A_C * B_S, in which the server's share is a
 *  plaintext, uniform in the ring, times the client's, encrypted under its key.
 *
 *  shares of 2^guard * (A * B) + eps modulo 2^(ring_bits + guard_bits), eps in {-2, -1, 0}: a product of matrices for
 *  each channel of each sample. Protocol, noise and arguments: docs/protocols/matmul.md. */
#ifndef FUSION_LATTICE_MATRIX_H
#define FUSION_LATTICE_MATRIX_H

#include "base/matrix_product.h"
#include "lattice/linear.h"

/** Public. */
struct matrix_layer {
  struct matrix_product product; /* of one sample */
  uint8_t ring_bits, guard_bits;
  uint8_t levels; /* 2^levels products share an answer: from matrix_choose_levels() */
};

/** The levels with the fewest bytes for so many samples, keys included; 0 where the noise or the sizes leave none. */
uint8_t matrix_choose_levels(const struct matrix_layer *layer, size_t samples);
/** Raises the keys to what the layer uses. */
void rlwe_keys_add_matrix(struct rlwe_keys *keys, const struct matrix_layer *layer);

/** a [samples][left], b [samples][right], y [samples][size] of the product; bits of a and b above the ring are ignored.
 *  Errors: closed, peer, memory; internal for a layer that does not fit or a session without its keys. */
fusion_status matrix_server(struct rlwe *r, const struct matrix_layer *layer, const uint64_t *a, const uint64_t *b,
                            uint64_t *y, size_t samples) FUSION_MUST_CHECK;
fusion_status matrix_client(struct rlwe *r, const struct matrix_layer *layer, const uint64_t *a, const uint64_t *b,
                            uint64_t *y, size_t samples) FUSION_MUST_CHECK;
void matrix_cost(struct cost *cost, const struct matrix_layer *layer, size_t samples);
/** For predictions: ciphertexts that the server multiplies and merges, its products for them, answers, and polynomials
 *  that the client encrypts. */
struct matrix_work {
  double units, products, answers, queries;
};
struct matrix_work matrix_work(const struct matrix_layer *layer, size_t samples);
/** Bytes that a party takes, a, b and y not counted. */
size_t matrix_memory(const struct matrix_layer *layer, enum role role);

#endif
