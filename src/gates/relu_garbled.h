/** ReLU and truncation by a garbled circuit: relu_truncate() with params->garbled.
 *
 *  Ideal functionality, exactness, `fast`: those of relu_truncate.h. The server's share is its input, the client's is
 *  known to the garbler; truncation costs nothing, the circuit (garble/circuit_gates.h) leaves out the low bits. Two
 *  messages a chunk whatever the widths: the server's choices, the client's tables. in_bits - 1 ANDs of 32 bytes
 *  (the first: 16), and for a ReLU three values for each bit of the result.
 *
 *  Why a cheating server learns nothing: garble/garbled.h; nothing else is sent. Leaks: nothing. Error probability: 0.
 *  Cost: relu_garbled_cost(). Source: as garble/garbled.h; truncation alone as DESIGN 6.5. */
#ifndef FUSION_GATES_RELU_GARBLED_H
#define FUSION_GATES_RELU_GARBLED_H

#include "gates/relu_truncate.h"

fusion_status relu_garbled(struct party *p, const struct relu_truncate *params, const uint64_t *x, uint64_t *y,
                           size_t count) FUSION_MUST_CHECK;
void relu_garbled_cost(struct cost *cost, const struct relu_truncate *params, size_t count);
size_t relu_garbled_memory(const struct relu_truncate *params, enum role role, size_t count);

#endif
