#include "base/cpu_tier.h"

#include <sched.h>
#include <stdatomic.h>
#ifdef FUSION_X86_TIERS
#include <cpuid.h>
#endif
#ifdef FUSION_ARM_TIERS
#include <sys/auxv.h>
#endif

static _Atomic int tier_in_force = -1;

#ifdef FUSION_X86_TIERS
/* Leaf 7, ECX bit 9: clang 14 has no name for it. */
static bool has_vaes(void) {
  unsigned eax, ebx, ecx = 0, edx;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ecx >> 9 & 1);
}
#endif

#ifdef FUSION_ARM_TIERS
/* Bits of AT_HWCAP: Linux, arch/arm64/include/uapi/asm/hwcap.h. */
enum { HAS_ASIMD = 1 << 1, HAS_AES = 1 << 3, HAS_PMULL = 1 << 4 };
#endif

enum cpu_tier cpu_tier_best(void) {
#if defined FUSION_X86_TIERS
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("aes") &&
                    __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("bmi2") &&
                    __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("fma");
  if (!avx2) return CPU_TIER_C;
  if (!__builtin_cpu_supports("vpclmulqdq") || !has_vaes()) return CPU_TIER_AVX2;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512ifma") && __builtin_cpu_supports("avx512vbmi") &&
                      __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512vnni") &&
                      __builtin_cpu_supports("avx512bitalg") && __builtin_cpu_supports("avx512vpopcntdq") &&
                      __builtin_cpu_supports("gfni");
  return avx512 ? CPU_TIER_AVX512 : CPU_TIER_VAES;
#elif defined FUSION_ARM_TIERS
  const unsigned long needed = HAS_ASIMD | HAS_AES | HAS_PMULL;
  return (getauxval(AT_HWCAP) & needed) == needed ? CPU_TIER_NEON : CPU_TIER_C;
#else
  return CPU_TIER_C;
#endif
}

enum cpu_tier cpu_tier(void) {
  int tier = atomic_load_explicit(&tier_in_force, memory_order_relaxed);
  if (tier < 0) {
    tier = (int)cpu_tier_best();
    atomic_store_explicit(&tier_in_force, tier, memory_order_relaxed);
  }
  return (enum cpu_tier)tier;
}

fusion_status cpu_tier_force(enum cpu_tier tier) {
  if (tier > cpu_tier_best()) return FUSION_E_USAGE;
  atomic_store_explicit(&tier_in_force, (int)tier, memory_order_relaxed);
  return FUSION_OK;
}

static unsigned cores_of(pid_t process) {
  cpu_set_t set;
  CPU_ZERO(&set);
  /* Fails on machines with more cores than a cpu_set_t holds: then as many. */
  if (sched_getaffinity(process, sizeof set, &set)) return CPU_SETSIZE;
  const int cores = CPU_COUNT(&set);
  return cores > 0 ? (unsigned)cores : 1;
}

unsigned cpu_cores(void) {
  return cores_of(0);
}

unsigned cpu_cores_of_all(void) {
  const unsigned all = cores_of(1), own = cpu_cores();
  return all > own ? all : own;
}

const char *cpu_tier_name(enum cpu_tier tier) {
#ifdef FUSION_ARM_TIERS
  static const char *const names[] = {"c", "neon"};
#else
  static const char *const names[] = {"c", "avx2", "vaes", "avx512"};
#endif
  return tier < CPU_TIER_COUNT ? names[tier] : "?";
}
