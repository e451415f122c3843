#include "ot/lpn.h"

enum { LOW_BITS = 21 };

static void batch_positions(const struct aes_key *key, uint64_t batch, unsigned log_k,
                            uint32_t out[LPN_BATCH_GROUPS * LPN_GROUP_POSITIONS]) {
  block stream[LPN_BATCH_BLOCKS];
  const uint32_t mask = (uint32_t)low_mask(log_k);
  aes_ops_of(CPU_TIER_C)->counter(key, stream, batch * LPN_BATCH_BLOCKS, LPN_BATCH_BLOCKS);
  for (size_t group = 0; group < LPN_BATCH_GROUPS; group++) {
    uint32_t words[32], *at = out + LPN_GROUP_POSITIONS * group;
    for (size_t i = 0; i < 16; i++) {
      const block b = stream[8 * group + i / 2];
      const uint64_t half = i % 2 ? b.hi : b.lo;
      words[2 * i] = (uint32_t)half;
      words[2 * i + 1] = (uint32_t)(half >> 32);
    }
    for (size_t i = 0; i < 16; i++) {
      at[i] = words[i] & mask;
      at[16 + i] = words[16 + i] & mask;
      at[32 + i] = ((words[i] >> LOW_BITS) | (words[16 + i] >> LOW_BITS << 11)) & mask;
    }
  }
}

static void encode_c(const struct aes_key *key, block *rows, uint64_t first_row, size_t count, const block *vector,
                     unsigned log_k) {
  uint32_t positions[LPN_BATCH_GROUPS * LPN_GROUP_POSITIONS];
  for (size_t done = 0; done < count; done += LPN_BATCH_ROWS) {
    batch_positions(key, (first_row + done) / LPN_BATCH_ROWS, log_k, positions);
    for (size_t row = 0; row < LPN_BATCH_ROWS; row++) {
      block sum = rows[done + row];
      for (size_t i = 0; i < LPN_WEIGHT; i++) sum = block_xor(sum, vector[positions[LPN_WEIGHT * row + i]]);
      rows[done + row] = sum;
    }
  }
}

const struct lpn_ops *lpn_ops_of(enum cpu_tier tier) {
  static const struct lpn_ops portable = {.encode = encode_c};
#ifdef FUSION_X86_TIERS
  if (tier == CPU_TIER_AVX512) return &lpn_ops_avx512;
  if (tier == CPU_TIER_AVX2) return &lpn_ops_avx2;
#endif
  (void)tier;
  return &portable;
}
