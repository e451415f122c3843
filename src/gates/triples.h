/** Products of shared vectors, squares, and linear layers by multiplication triples, as in ABY.
 *
 *  Ideal functionality: shares of x and y modulo 2^bits in, shares of x * y modulo 2^bits out, elementwise; for a layer
 *  shares of W (*) x + bias. Exact.
 *
 *  A triple is shares of a uniform a, a uniform b and c = a * b. Each party draws its own shares of a and b; the cross
 *  terms come from correlations in both directions (multiply.h). Then both open d = x - a and e = y - b, and a share of
 *  the product is c + d * b + e * a, at one of them + d * e. A square takes (a, a * a) and one opening. A triple serves
 *  one product: a layer takes one for each weight, position and sample, the weight being a shared number like any other
 *  (the client's share is zero). That is what ABY does and costs; product_cot.h shares the work over positions.
 *  The triples of a chunk are made directly before its openings, so that memory stays bounded.
 *
 *  Why a cheating server learns nothing: for the triples see multiply.h. The client opens x_C - a_C and y_C - b_C, with
 *  a_C and b_C its own, uniform and used once: c reveals neither, as multiply.h gives the server a uniform share. Where
 *  y is a weight, y_C is zero and the opening is -b_C, which says nothing of a_C either. What the server opens is
 * uniform to the client for the same reason, and the client puts it into sums alone: no message of it depends on what
 * the server says, so there is no selective failure. A wrong opening adds an error to the product, which mix-and-check
 * sees. Leaks: nothing. Error probability: 0. Cost: the _cost functions; two flights a chunk. Source: Demmler,
 * Schneider, Zohner: "ABY", NDSS 2015, sec. III.A; Beaver 1991; Gilboa 1999. Malicious-secure correlations are ours. */
#ifndef FUSION_GATES_TRIPLES_H
#define FUSION_GATES_TRIPLES_H

#include "gates/layer_rows.h"
#include "gates/party.h"

/** As multiply(): z = x * y modulo 2^bits, 1 <= bits <= 62; equal pointers x and y are a square. z may be x or y. */
fusion_status triples_multiply(struct party *p, const uint64_t *x, const uint64_t *y, uint64_t *z, size_t count,
                               unsigned bits) FUSION_MUST_CHECK;
void triples_multiply_cost(struct cost *cost, bool square, size_t count, unsigned bits);
/** Bytes that a party takes while it works, x, y and z not counted. */
size_t triples_multiply_memory(bool square, size_t count, unsigned bits);

/** As product_cot_*: x [samples][in], y [samples][out]. w: NULL at the client. x NULL: a share of zeros. */
fusion_status triples_layer(struct party *p, const struct layer_shape *shape, const struct layer_weights *w,
                            const uint64_t *x, uint64_t *y, size_t samples) FUSION_MUST_CHECK;
void triples_layer_cost(struct cost *cost, const struct layer_shape *shape, size_t samples);
size_t triples_layer_memory(const struct layer_shape *shape, size_t samples);

#endif
