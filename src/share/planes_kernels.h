/** Kernels of planes.c, one struct of function pointers for each CPU tier. */
#ifndef FUSION_SHARE_PLANES_KERNELS_H
#define FUSION_SHARE_PLANES_KERNELS_H

#include "base/cpu.h"

struct planes_kernels {
  /** Transposes a 64x64 bit matrix in place: bit j of row i and bit i of row j change places. rows: 64-byte aligned. */
  void (*transpose)(uint64_t rows[64]);
};

extern const struct planes_kernels planes_kernels_c;
#ifdef FUSION_X86_TIERS
extern const struct planes_kernels planes_kernels_avx512;
#endif
const struct planes_kernels *planes_kernels_get(enum cpu_tier tier);

#endif
