/** The tables of a module's kernels: one struct of function pointers for each CPU tier, and the choice among them.
 *
 *  A module `name` declares `struct name_kernels` in name_kernels.h and ends that header with KERNEL_TABLES(name), or
 *  with the macro of its further tiers. The files name_kernels_c.c, name_kernels_avx2.c and name_kernels_avx512.c each
 *  define the table of their tier, and so do name_kernels_vaes.c and name_kernels_neon.c. The portable table is the
 *  meaning of the kernels; every other gives exactly its results. Every module is listed in kernels/kernel_registry.c.
 */
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
#ifdef FUSION_ARM_TIERS
#define KERNEL_CHOICE_NEON(name, tier)                      \
  do {                                                      \
    if (tier >= CPU_TIER_NEON) return &name##_kernels_neon; \
  } while (0)
#else
#define KERNEL_CHOICE_NEON(name, tier) (void)tier
#endif
#define KERNEL_CHOICE_NONE(name, tier) (void)tier
#define KERNEL_CHOICE_VAES_NEON(name, tier) \
  KERNEL_CHOICE_VAES(name, tier);           \
  KERNEL_CHOICE_NEON(name, tier)

/** name_kernels_of(tier): the table of a tier, which this CPU must have; name_kernels(): of the tier in force. The
 *  tables of the x86 tiers exist where FUSION_X86_TIERS is defined, those of `neon` where FUSION_ARM_TIERS is. A module
 *  without a table for `neon` runs its portable kernels there, which compilers make vectors of too. */
#define KERNEL_TABLES(name) KERNEL_TABLES_(name, KERNEL_CHOICE_NONE)
#define KERNEL_TABLES_NEON(name)                          \
  extern const struct name##_kernels name##_kernels_neon; \
  KERNEL_TABLES_(name, KERNEL_CHOICE_NEON)
#define KERNEL_TABLES_VAES_NEON(name)                                          \
  extern const struct name##_kernels name##_kernels_vaes, name##_kernels_neon; \
  KERNEL_TABLES_(name, KERNEL_CHOICE_VAES_NEON)
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
