/* The portable loops, and the choice of a tier. */
#include "gates/cross_loops.h"

const struct cross_kernels cross_kernels_c = CROSS_KERNELS;

const struct cross_kernels *cross_kernels_get(enum cpu_tier tier) {
#ifdef FUSION_X86_TIERS
  if (tier >= CPU_TIER_AVX512) return &cross_kernels_avx512;
  if (tier >= CPU_TIER_AVX2) return &cross_kernels_avx2;
#endif
  (void)tier;
  return &cross_kernels_c;
}
