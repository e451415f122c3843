/* The check's field by PMULL. */
#include "base/pmull_neon.h"
#include "silent/silent_field_kernels.h"

static inline block reduce_neon(const struct pmull_sum *s) {
  const uint64_t words[4] = {vgetq_lane_u64(s->low, 0), vgetq_lane_u64(s->low, 1) ^ vgetq_lane_u64(s->middle, 0),
                             vgetq_lane_u64(s->high, 0) ^ vgetq_lane_u64(s->middle, 1), vgetq_lane_u64(s->high, 1)};
  return field_reduce(words);
}

static block multiply_neon(block a, block b) {
  struct pmull_sum s = pmull_zero();
  pmull_add(&s, pmull_load(&a), pmull_load(&b));
  return reduce_neon(&s);
}

/* Two sums, so that no product waits for the one before. */
static block fold_neon(const block *a, const block *b) {
  struct pmull_sum even = pmull_zero(), odd = pmull_zero();
  for (size_t i = 0; i < FIELD_FOLD; i += 2) {
    pmull_add(&even, pmull_load(&a[i]), pmull_load(&b[i]));
    pmull_add(&odd, pmull_load(&a[i + 1]), pmull_load(&b[i + 1]));
  }
  even.low = veorq_u64(even.low, odd.low);
  even.middle = veorq_u64(even.middle, odd.middle);
  even.high = veorq_u64(even.high, odd.high);
  return reduce_neon(&even);
}

const struct silent_field_kernels silent_field_kernels_neon = {.multiply = multiply_neon, .fold = fold_neon};
