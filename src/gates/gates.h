/** gates: two-party gates on shares, one per file. This file: what they have in common, and the list of them.
 *
 *  Arithmetic shares are uint64_t arrays: value = server's + client's modulo 2^bits; bits above are ignored on input
 * and zero on output. Every gate is called by both parties with the same public parameters, works in chunks so that
 * memory and simultaneous traffic stay bounded for any count, and has a _cost twin that declares its messages exactly.
 *  A gate's messages are uniform to their receiver (masked by correlations of ot/): each header gives the argument. */
#ifndef FUSION_GATES_GATES_H
#define FUSION_GATES_GATES_H

#include "gates/compare.h"
#include "gates/field_ring.h"
#include "gates/lookup.h"
#include "gates/matmul.h"
#include "gates/maxpool.h"
#include "gates/multiply.h"
#include "gates/multiply_garbled.h"
#include "gates/party.h"
#include "gates/product_cot.h"
#include "gates/relu_truncate.h"
#include "gates/top_k.h"
#include "gates/triples.h"
#include "gates/triples_matrix.h"

#endif
