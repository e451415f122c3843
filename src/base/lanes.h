/** Values of a few instances side by side, which the compiler makes vectors of; and tables of such values that move by
 *  amounts of their own, in a number of steps that depends on the table's size alone. */
#ifndef FUSION_BASE_LANES_H
#define FUSION_BASE_LANES_H

#include <stdint.h>

enum { LANES = 8 /* a divisor of 64 */ };

typedef uint64_t lanes[LANES];

/** to[j] = from[j + 1 << bit] where the mask is all ones, from[j] where it is 0; indices modulo `count`, a power of
 * two. */
static inline void lanes_rotate(lanes *restrict to, const lanes *restrict from, unsigned count, unsigned bit,
                                const uint64_t *restrict mask) {
  for (unsigned j = 0; j < count; j++) {
    const uint64_t *here = from[j], *there = from[(j + (1u << bit)) & (count - 1)];
    for (unsigned k = 0; k < LANES; k++) to[j][k] = here[k] ^ ((here[k] ^ there[k]) & mask[k]);
  }
}

/** The same for j ^ 1 << bit. */
static inline void lanes_exchange(lanes *restrict to, const lanes *restrict from, unsigned count, unsigned bit,
                                  const uint64_t *restrict mask) {
  for (unsigned j = 0; j < count; j++) {
    const uint64_t *here = from[j], *there = from[j ^ 1u << bit];
    for (unsigned k = 0; k < LANES; k++) to[j][k] = here[k] ^ ((here[k] ^ there[k]) & mask[k]);
  }
}

#endif
