/** Carry-less products of blocks by PMULL, unreduced: sums of 256 bits, for the kernels of the NEON tier. */
#ifndef FUSION_BASE_PMULL_NEON_H
#define FUSION_BASE_PMULL_NEON_H

#include <arm_neon.h>

#include "base/block.h"

/** low + X^64 middle + X^128 high. */
struct pmull_sum {
  uint64x2_t low, middle, high;
};

static inline uint64x2_t pmull_load(const block *b) {
  return vld1q_u64(&b->lo);
}
static inline struct pmull_sum pmull_zero(void) {
  return (struct pmull_sum){vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0)};
}
/** Of the lower words, and of the upper words. */
static inline uint64x2_t pmull_low(uint64x2_t a, uint64x2_t b) {
  return vreinterpretq_u64_p128(vmull_p64((poly64_t)vgetq_lane_u64(a, 0), (poly64_t)vgetq_lane_u64(b, 0)));
}
static inline uint64x2_t pmull_high(uint64x2_t a, uint64x2_t b) {
  return vreinterpretq_u64_p128(vmull_high_p64(vreinterpretq_p64_u64(a), vreinterpretq_p64_u64(b)));
}

/** sum += a * b */
static inline void pmull_add(struct pmull_sum *sum, uint64x2_t a, uint64x2_t b) {
  const uint64x2_t turned = vextq_u64(b, b, 1);
  sum->low = veorq_u64(sum->low, pmull_low(a, b));
  sum->high = veorq_u64(sum->high, pmull_high(a, b));
  sum->middle = veorq_u64(sum->middle, veorq_u64(pmull_low(a, turned), pmull_high(a, turned)));
}

#endif
