/** Products and squares of shared vectors: Gilboa's multiplication over correlations.
 *
 *  Ideal functionality: shares of x and y modulo 2^bits in, shares of x * y modulo 2^bits out, elementwise. Exact.
 *
 *  x*y = xS*yS + xC*yC + xC*yS + xS*yC. A cross term is the sum over bits i of one party's share times 2^i times the
 *  other's value, where bit i needs a product modulo 2^(bits-i) only (cross.h). xC*yS has the server as sender, xS*yC
 *  the client; both run in one flight. A square needs 2*xS*xC alone: bits - 1 products modulo 2^(bits-1), in which
 *  the first half of a chunk has the server as sender, the second the client: work and traffic are even.
 *
 *  Why a cheating server learns nothing: the client's messages are masked choices and masked values as in cross.h;
 *  nothing is opened. Leaks: nothing. Error probability: 0.
 *  Cost: multiply_cost(), one flight a chunk. Source: Gilboa 1999; DESIGN 6.6. */
#ifndef FUSION_GATES_MULTIPLY_H
#define FUSION_GATES_MULTIPLY_H

#include "gates/party.h"

/** Elements that share their flight: a power of two, so chosen that a chunk's pads take 32 MiB at most. */
size_t multiply_chunk(bool square, unsigned bits);

/** z = x * y modulo 2^bits, elementwise, 1 <= bits <= 62; x == y (the same pointer) is a square and cheaper. z may be x
 * or y. Errors: closed, peer, memory; internal for bits out of range. */
fusion_status multiply(struct party *p, const uint64_t *x, const uint64_t *y, uint64_t *z, size_t count,
                       unsigned bits) FUSION_MUST_CHECK;
void multiply_cost(struct cost *cost, bool square, size_t count, unsigned bits);
/** Bytes that a party takes while it works, x, y and z not counted. */
size_t multiply_memory(bool square, size_t count, unsigned bits);

#endif
