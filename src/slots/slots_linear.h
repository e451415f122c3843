/** A linear layer on the client's share, by slot encryption.
 *
 *  Ideal functionality: the client has x, read as signed modulo 2^ring_bits, the server a matrix W; they get shares
 *  modulo the prime t of W x + offset, both numbers below t, the server's uniform. 0 <= W x + offset < t, so what they
 *  share is an integer (gates/field_ring.h makes shares modulo 2^ring_bits of it).
 *
 *  The client sends ciphertexts of x, the server answers with ciphertexts of W x - mask (slots_layout.h: how the layer
 *  lies in slots). The mask covers all slots, those that no output has included.
 *  Why a cheating server learns nothing: it sees ciphertexts under the client's fresh keys alone (slots.h); their
 * number follows from public sizes, and nothing that it sends is ever acted on: any bytes decrypt to some numbers below
 * t. What the client learns: W x - mask (slots_server.c). Error probability: below 2^-80 for each coefficient of an
 * answer. Cost: slots_linear_cost(). */
#ifndef FUSION_SLOTS_SLOTS_LINEAR_H
#define FUSION_SLOTS_SLOTS_LINEAR_H

#include "slots/slots_layout.h"

/** x [samples][in_channels][in_h][in_w], higher bits ignored; field [samples][out_channels][out_h][out_w]. Sends the
 *  rotation keys first that the session lacks. */
fusion_status slots_linear_client(struct slots *s, const struct slots_layout *l, const uint64_t *x,
                                  uint64_t *field) FUSION_MUST_CHECK;
/** weights [out][in/groups][kh][kw]. */
fusion_status slots_linear_server(struct slots *s, const struct slots_layout *l, const int16_t *weights,
                                  uint64_t *field) FUSION_MUST_CHECK;
/** `have`: the rotation keys that have been sent; gets those of the layer. */
void slots_linear_cost(struct cost *cost, const struct slots_layout *l, struct slots_elements *have);
/** Bytes that a party takes while it works, x and field not counted. */
size_t slots_linear_memory(const struct slots_layout *l, enum role role);

/** y = W x + bias modulo 2^64 in the clear, for the server's own share; x NULL: zeros. */
void slots_linear_local(const struct layer_shape *layer, const int16_t *weights, const int64_t *bias, const uint64_t *x,
                        uint64_t *y, size_t samples);

#endif
