/** Products and squares of shared vectors in which the client alone sends values: Gilboa's multiplication as the terms
 *  of a circuit without gates.
 *
 *  Ideal functionality: that of multiply.h. x*y = xS*yS + xC*yC + xS*yC + yS*xC; a square's cross terms are
 *  xS * (2*xC). The server's bits of xS and yS are input wires, and the term of bit i is worth 2^i times the client's
 *  value, which it knows (garble/circuit_gates.h). So the client's share is its masks, whatever the server says.
 *
 *  Why a cheating server learns nothing: garble/garbled.h; nothing else is sent. Leaks: nothing. Error probability: 0.
 *  Cost: multiply_garbled_cost(). Source: Gilboa 1999; garble/half_gates.h. */
#ifndef FUSION_GATES_MULTIPLY_GARBLED_H
#define FUSION_GATES_MULTIPLY_GARBLED_H

#include "gates/party.h"

struct multiply_garbled {
  uint8_t bits; /* of the ring, 1..62 */
  bool square;  /* x and y are the same vector; y is not read */
  enum garbling phase;
};
/** As multiply(): z = x * y modulo 2^bits. z may be x or y. */
fusion_status multiply_garbled(struct party *p, const struct multiply_garbled *params, const uint64_t *x,
                               const uint64_t *y, uint64_t *z, size_t count) FUSION_MUST_CHECK;
void multiply_garbled_cost(struct cost *cost, const struct multiply_garbled *params, size_t count);
size_t multiply_garbled_memory(const struct multiply_garbled *params, enum role role, size_t count);

#endif
