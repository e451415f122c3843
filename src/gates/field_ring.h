/** Shares modulo a prime to shares modulo a power of two.
 *
 *  Ideal functionality: x = server's + client's share modulo t, both below t, an integer in [0, t); both get shares of
 *  x - offset modulo 2^ring_bits. Exact; error probability 0.
 *
 *  a + b = x + t * wrap, wrap = [a + b >= t]. With k = bits of t, the server's a + 2^k - t and the client's b are of k
 *  bits, and wrap is the carry of their sum into bit k (carry.h). Its XOR shares wS, wC become x's by
 *  wrap = wS + wC - 2 wS wC: one product of a bit with a bit (cross.h), modulo 2^(ring_bits-1).
 *
 *  Why a cheating server learns nothing: the client sends masked choices and openings of carry.h and a masked choice of
 *  cross.h, as in every comparison; nothing is opened, and no message depends on what the peer sent. Leaks: nothing.
 *  Cost: field_ring_cost(); 3 + (levels of the tree) flights a chunk.
 *  Source: the wrap of CrypTFlow2 (Rathee et al. 2020) sec. 3.1; going to a ring at once, where that paper stays in the
 *  field, is ours: the gates behind are those of every engine. */
#ifndef FUSION_GATES_FIELD_RING_H
#define FUSION_GATES_FIELD_RING_H

#include "gates/carry_shape.h"
#include "gates/party.h"

/** Elements that share their flights; the longest takes 60 bytes an element, in the fixed tree, whose tables go one
 * way.
 */
#define FIELD_RING_CHUNK ((size_t)1 << 19)

struct field_ring {
  uint64_t modulus;       /* t, odd, 2^3 < t < 2^61 */
  uint64_t offset;        /* public */
  uint8_t ring_bits;      /* 2..62 */
  enum carry_shape shape; /* of the comparison tree */
};

/** x: `count` shares below t; y == x is allowed. Errors: closed, peer, memory; internal for parameters out of range. */
fusion_status field_ring(struct party *p, const struct field_ring *params, const uint64_t *x, uint64_t *y,
                         size_t count) FUSION_MUST_CHECK;
void field_ring_cost(struct cost *cost, const struct field_ring *params, size_t count);
/** Bytes that a party takes while it works, x and y not counted. */
size_t field_ring_memory(const struct field_ring *params, enum role role, size_t count);

#endif
