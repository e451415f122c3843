/** half_gates: what its files share. */
#ifndef FUSION_GARBLE_HALF_GATES_INTERNAL_H
#define FUSION_GARBLE_HALF_GATES_INTERNAL_H

#include "base/bits.h"
#include "garble/half_gates.h"

/** [GARBLE_BATCH]; the garbler's are those for 0. */
static inline block *garble_labels(const struct garble_batch *b, uint32_t wire) {
  return b->ws->labels + (size_t)wire * GARBLE_BATCH;
}

/** Writes the rows, and takes the mask off the garbler's share. `factor`: [count], NULL: 1; the term's own is not read.
 *  Uses the workspace's `term` and `values`. */
void garble_term(const struct garble_batch *b, const struct circuit_term *term, const uint64_t *factor,
                 struct bit_writer *w, uint64_t tweak);
/** Opens the row of the labels at hand: reads all of them. */
void evaluate_term(const struct garble_batch *b, const struct circuit_term *term, struct bit_reader *r, uint64_t tweak);

#endif
