/* Public face of base/cpu.h: tiers by name. */
#include <fusion/cpu.h>

#include "base/cpu_tier.h"

fusion_status fusion_cpu_tier_set(const char *name, fusion_error *err) {
  for (int tier = 0; tier < CPU_TIER_COUNT; tier++) {
    if (strcmp(name, cpu_tier_name((enum cpu_tier)tier)) != 0) continue;
    if (cpu_tier_force((enum cpu_tier)tier) == FUSION_OK) return FUSION_OK;
    return error_set(err, FUSION_E_USAGE, "'%s': this processor lacks that tier; its best is %s", name,
                     cpu_tier_name(cpu_tier_best()));
  }
  return error_set(err, FUSION_E_USAGE, "'%s': no such processor tier; give c, avx2 or avx512", name);
}

const char *fusion_cpu_tier(void) {
  return cpu_tier_name(cpu_tier());
}
