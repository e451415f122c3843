/** The tables of a module's kernels: one struct of function pointers for each CPU tier, and the choice among them.
 *
 *  A module `name` declares `struct name_kernels` in name_kernels.h and ends that header with KERNEL_TABLES(name). The
 *  files name_kernels_c.c, name_kernels_avx2.c and name_kernels_avx512.c each define the table of their tier. The
 *  portable table is the meaning of the kernels; every other gives exactly its results. Every module is listed in
 *  kernels/kernel_registry.c. */
#ifndef FUSION_BASE_KERNEL_TABLES_H
#define FUSION_BASE_KERNEL_TABLES_H

#include "base/cpu_tier.h"

#ifdef FUSION_X86_TIERS
#define KERNEL_CHOICE(name, tier)                               \
  do {                                                          \
    if (tier >= CPU_TIER_AVX512) return &name##_kernels_avx512; \
    if (tier >= CPU_TIER_AVX2) return &name##_kernels_avx2;     \
  } while (0)
#define KERNEL_CHOICE_VAES(name, tier)                                                \
  do {                                                                                \
    if (tier >= CPU_TIER_VAES && tier < CPU_TIER_AVX512) return &name##_kernels_vaes; \
  } while (0)
#else
#define KERNEL_CHOICE(name, tier) (void)tier
#define KERNEL_CHOICE_VAES(name, tier) (void)tier
#endif
#define KERNEL_CHOICE_NONE(name, tier) (void)tier

/** name_kernels_of(tier): the table of a tier, which this CPU must have; name_kernels(): of the tier in force. The
 *  tables of the x86 tiers exist where FUSION_X86_TIERS is defined. */
#define KERNEL_TABLES(name) KERNEL_TABLES_(name, KERNEL_CHOICE_NONE)
#define KERNEL_TABLES_VAES(name)                          \
  extern const struct name##_kernels name##_kernels_vaes; \
  KERNEL_TABLES_(name, KERNEL_CHOICE_VAES)
#define KERNEL_TABLES_(name, more)                                                                 \
  extern const struct name##_kernels name##_kernels_c, name##_kernels_avx2, name##_kernels_avx512; \
  static inline const struct name##_kernels *name##_kernels_of(enum cpu_tier tier) {               \
    more(name, tier);                                                                              \
    KERNEL_CHOICE(name, tier);                                                                     \
    return &name##_kernels_c;                                                                      \
  }                                                                                                \
  static inline const struct name##_kernels *name##_kernels(void) {                                \
    return name##_kernels_of(cpu_tier());                                                          \
  }                                                                                                \
  struct name##_kernels /* takes the semicolon */

#endif
