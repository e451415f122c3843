/** Transpositions of bits, for the kernels of the NEON tier. */
#ifndef FUSION_BASE_SWAP_BITS_NEON_H
#define FUSION_BASE_SWAP_BITS_NEON_H

#include <arm_neon.h>

/** Rows whose numbers differ in one bit exchange parts of 1, 2 or 4 bits; mask: the places, or columns, whose number
 *  has this bit. */
#define SWAP_BITS(a, b, width, mask)                        \
  do {                                                      \
    const uint8x16_t m_ = vdupq_n_u8(mask), a_ = a, b_ = b; \
    a = vbslq_u8(m_, vshlq_n_u8(b_, width), a_);            \
    b = vbslq_u8(m_, b_, vshrq_n_u8(a_, width));            \
  } while (0)

#endif
