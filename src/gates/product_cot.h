/** Products of the server's weights with a shared tensor, from correlations: what a linear layer is without encryption.
 *
 *  Ideal functionality: the server has weights W and biases, both parties have shares of x; both get shares of
 *  W (*) x + bias modulo 2^ring_bits, for dense layers and convolutions. Exact; error probability 0; leaks nothing.
 *
 *  W times the server's share is local. For W times the client's share x_C, a weight is the sum over its bits k of
 *  +-2^k w_k, the sign negative for the top bit. A bit of a weight is the choice of one correlation in which the client
 *  is the sender; what is chosen is a whole vector: the input that this weight multiplies, at every output position of
 *  every sample, of which bits 0 .. ring_bits - k - 1 matter. So 16 bytes or less make a correlation that serves all
 *  positions and samples, and traffic is near the sum over k of (ring_bits - k) bits a product.
 *
 *  From a correlation (client K, server M = K ^ c * Delta) the server says d = c ^ w_k. The client takes K' = K ^ d *
 *  Delta, so that M = K' ^ w_k * Delta. Both stretch their hashes: r0 from K', r1 from K' ^ Delta at the client,
 * r_(w_k) at the server. The client sends D = r0 - r1 + x; its share is -r0, the server's r_w + w * D = r0 + w * x.
 *
 *  The other orientation (bits of the client's share choose, columns of W are chosen) needs ring_bits^2 / 2 bits a
 *  product, as a share has all of its ring's bits: more than weight_bits * ring_bits for the weights that there are,
 *  except for single samples with weights of 7 bits or more. It is not offered.
 *
 *  Why a cheating server learns nothing: of the two vectors r0, r1 it can know one, as it does not know Delta (the
 *  correlations' check has passed before they are handed out), whatever it says for d. So D, all that the client sends,
 *  is under a fresh one-time pad of which the server lacks one half. The client branches on nothing that the server
 *  sends, opens nothing and cannot fail on a value, so there is no selective failure: a server that lies in d computes
 *  with other weights.
 *  Why the client learns nothing of W: d is masked by the uniform c.
 *
 *  Streams: a vector is stretched from its 16-byte hash by AES in counter mode, the correlation's index in the nonce; a
 *  vector of at most 16 bytes is the hash itself.
 *  Cost: product_cot_cost(); two flights a batch of PRODUCT_COT_BATCH correlations.
 *  Source: CrypTFlow2 (Rathee et al. 2020), after Gilboa 1999 and the vectors of SecureML. Malicious-secure
 * correlations and the tweaked hash are ours. */
#ifndef FUSION_GATES_PRODUCT_COT_H
#define FUSION_GATES_PRODUCT_COT_H

#include "gates/layer_rows.h"
#include "gates/party.h"

/** Correlations whose hashes a party holds at once: 16 MiB at the client. */
enum { PRODUCT_COT_BATCH = 1 << 19 };

/** x [samples][in], y [samples][out]; bits of x above the ring are ignored. Server: x may be NULL, a share of zeros.
 *  Errors: closed, peer, memory. */
fusion_status product_cot_server(struct party *p, const struct layer_shape *shape, const struct layer_weights *w,
                                 const uint64_t *x, uint64_t *y, size_t samples) FUSION_MUST_CHECK;
fusion_status product_cot_client(struct party *p, const struct layer_shape *shape, const uint64_t *x, uint64_t *y,
                                 size_t samples) FUSION_MUST_CHECK;
/** The server's end with words modulo 2^ring_bits in place of weights, [layer_weight_count()] in the order of
 *  layer_rows.h, shares of zeros and no bias; shape->weight_bits is ring_bits at both parties. */
fusion_status product_cot_words(struct party *p, const struct layer_shape *shape, const uint64_t *words, uint64_t *y,
                                size_t samples) FUSION_MUST_CHECK;
void product_cot_cost(struct cost *cost, const struct layer_shape *shape, size_t samples);
/** Bytes that a party takes while it works, x and y not counted. */
size_t product_cot_memory(const struct layer_shape *shape, enum role role, size_t samples);

/** Bits that the client sends for one product. */
static inline unsigned product_cot_bits(const struct layer_shape *q) {
  unsigned bits = 0;
  for (unsigned k = 0; k < q->weight_bits && k < q->ring_bits; k++) bits += q->ring_bits - k;
  return bits;
}

#endif
