/* Tile sizes by tier, and the portable tile. Sizes keep all sums in registers: 4x8 (8 SSE), 6x16 (12 AVX), 8x32 (16
 * AVX-512), with the columns few enough that the small maps late in a network still fill a tile. */
#include "graph/float_tile.h"

#include "base/cpu_tier.h"

enum { ROWS = 4, COLUMNS = 8 };

void float_tile_c(float *c, const float *a, const float *b, size_t depth) {
  float sum[ROWS][COLUMNS] = {{0}};
  for (size_t k = 0; k < depth; k++, a += ROWS, b += COLUMNS) {
    for (int r = 0; r < ROWS; r++) {
      for (int j = 0; j < COLUMNS; j++) sum[r][j] += a[r] * b[j];
    }
  }
  memcpy(c, sum, sizeof sum);
}

struct float_tile float_tile_best(void) {
#ifdef FUSION_X86_TIERS
  if (cpu_tier() >= CPU_TIER_AVX512) return (struct float_tile){float_tile_avx512, 8, 32};
  if (cpu_tier() >= CPU_TIER_AVX2 && __builtin_cpu_supports("fma")) return (struct float_tile){float_tile_avx2, 6, 16};
#endif
  return (struct float_tile){float_tile_c, ROWS, COLUMNS};
}
