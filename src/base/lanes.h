/** Values of a few instances side by side, in vectors; and tables of such values that move by amounts of their own, in
 * a number of steps that depends on the table's size alone. The type is an extension of gcc and clang: a compiler that
 * has to find the vectors itself may choose the loop over the table instead. */
#ifndef FUSION_BASE_LANES_H
#define FUSION_BASE_LANES_H

#include <stdint.h>

enum { LANES = 8 /* a divisor of 64 */ };

typedef uint64_t lanes __attribute__((vector_size(LANES * sizeof(uint64_t))));

/** All ones where bit k of a word is set, in lane k. */
static inline void lanes_mask(lanes *mask, uint64_t word) {
  const lanes each = {0, 1, 2, 3, 4, 5, 6, 7};
  *mask = -(word >> each & 1);
}

/** to[j] = from[j + 1 << bit] where the mask is all ones, from[j] where it is 0; indices modulo `count`, a power of
 * two. */
static inline void lanes_rotate(lanes *restrict to, const lanes *restrict from, unsigned count, unsigned bit,
                                const lanes *restrict mask) {
  for (unsigned j = 0; j < count; j++) {
    const lanes here = from[j], there = from[(j + (1u << bit)) & (count - 1)];
    to[j] = here ^ ((here ^ there) & *mask);
  }
}

/** The same for j ^ 1 << bit. */
static inline void lanes_exchange(lanes *restrict to, const lanes *restrict from, unsigned count, unsigned bit,
                                  const lanes *restrict mask) {
  for (unsigned j = 0; j < count; j++) {
    const lanes here = from[j], there = from[j ^ 1u << bit];
    to[j] = here ^ ((here ^ there) & *mask);
  }
}

#endif
