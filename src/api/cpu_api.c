/* Public face of base/cpu.h: tiers by name. */
#include <fusion/cpu.h>

#include "base/cpu_tier.h"

/* Of every architecture: what another one has is lacking here, not unknown. */
static bool is_tier(const char *name) {
  static const char *const names[] = {"c", "avx2", "vaes", "avx512", "neon"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(name, names[i]) == 0) return true;
  return false;
}

fusion_status fusion_cpu_tier_set(const char *name, fusion_error *err) {
  if (!is_tier(name))
    return error_set(err, FUSION_E_USAGE, "'%s': no such processor tier; give c, avx2, vaes, avx512 or neon", name);
  for (int tier = 0; tier < CPU_TIER_COUNT; tier++)
    if (strcmp(name, cpu_tier_name((enum cpu_tier)tier)) == 0 && cpu_tier_force((enum cpu_tier)tier) == FUSION_OK)
      return FUSION_OK;
  return error_set(err, FUSION_E_USAGE, "'%s': this processor lacks that tier; its best is %s", name,
                   cpu_tier_name(cpu_tier_best()));
}

const char *fusion_cpu_tier(void) {
  return cpu_tier_name(cpu_tier());
}
