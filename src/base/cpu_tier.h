/** CPU tiers: which kernels run. Probed once; the only mutable global of the library. */
#ifndef FUSION_BASE_CPU_TIER_H
#define FUSION_BASE_CPU_TIER_H

#include "base/base.h"

/** The tiers of this architecture, each with all that the one before it has. */
enum cpu_tier {
  CPU_TIER_C = 0, /**< portable C */
#ifdef FUSION_ARM_TIERS
  CPU_TIER_NEON, /**< ARMv8-A with AdvSIMD, AES and PMULL (64 x 64 bits) */
#else
  CPU_TIER_AVX2,   /**< AVX2, FMA, AES-NI, PCLMUL, BMI2 */
  CPU_TIER_VAES,   /**< these, VAES and VPCLMULQDQ on 256-bit registers */
  CPU_TIER_AVX512, /**< AVX-512 F/BW/DQ/VL/IFMA/VBMI/VBMI2/VNNI/BITALG/VPOPCNTDQ, VAES, VPCLMUL, GFNI */
#endif
  CPU_TIER_COUNT,
};

/** The tier in force: the best that the CPU has, or a lower one forced. */
enum cpu_tier cpu_tier(void);

/** Forces a tier at or below what the CPU has. Before any session opens. FUSION_E_USAGE when the CPU lacks it. */
fusion_status cpu_tier_force(enum cpu_tier tier) FUSION_MUST_CHECK;

/** The best tier that this CPU has. */
enum cpu_tier cpu_tier_best(void);

/** Cores that this process may use, at least 1. */
unsigned cpu_cores(void);
/** Cores that all processes of this machine or container may use together, those of process 1; at least cpu_cores(). */
unsigned cpu_cores_of_all(void);

/** "c", "avx2", "vaes", "avx512"; "c", "neon". */
const char *cpu_tier_name(enum cpu_tier tier);

#endif
