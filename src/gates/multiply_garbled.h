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

/** As multiply(): z = x * y modulo 2^bits, 1 <= bits <= 62; equal pointers x and y are a square. z may be x or y. */
fusion_status multiply_garbled(struct party *p, const uint64_t *x, const uint64_t *y, uint64_t *z, size_t count,
                               unsigned bits) FUSION_MUST_CHECK;
void multiply_garbled_cost(struct cost *cost, bool square, size_t count, unsigned bits);
size_t multiply_garbled_memory(bool square, size_t count, unsigned bits);

#endif
