/** A public function of a shared value by a garbled circuit: lookup() with params->garbled.
 *
 *  Ideal functionality and exactness: those of lookup.h. The server's share is its input, the client's is known to the
 *  garbler: a circuit of the carry out of the low bits, one AND a low bit, and a table in place of a multiplexer and a
 *  product (garble/garble_table.h). Two messages a chunk, whatever the widths. The client's share is its masks,
 * whatever the server says.
 *
 *  Why a cheating server learns nothing: garble/garbled.h, and for the table garble/garble_table.h; nothing else is
 *  sent. Leaks: nothing. Error probability: 0.
 *  Cost: lookup_garbled_cost(). Source: as garble/garbled.h; the table is ours. */
#ifndef FUSION_GATES_LOOKUP_GARBLED_H
#define FUSION_GATES_LOOKUP_GARBLED_H

#include "gates/lookup.h"

fusion_status lookup_garbled(struct party *p, const struct lookup *params, const uint64_t *x, uint64_t *y,
                             size_t count) FUSION_MUST_CHECK;
void lookup_garbled_cost(struct cost *cost, const struct lookup *params, size_t count);
size_t lookup_garbled_memory(const struct lookup *params, enum role role, size_t count);

#endif
