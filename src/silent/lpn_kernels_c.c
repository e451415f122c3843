#include "silent/lpn_kernels.h"

static uint32_t position(uint32_t number, const struct lpn_vectors *v) {
  const uint32_t x = number & (uint32_t)low_mask(LPN_NUMBER_BITS);
  const uint32_t high = (x >> v->shift) * v->factor >> (LPN_NUMBER_BITS - v->shift);
  return high << v->shift | (x & (uint32_t)low_mask(v->shift));
}

static void batch_positions(const struct aes_key *key, uint64_t batch, const struct lpn_vectors *v,
                            uint32_t out[LPN_BATCH_POSITIONS]) {
  block stream[LPN_BATCH_BLOCKS];
  aes_kernels_of(CPU_TIER_C)->counter(key, stream, batch * LPN_BATCH_BLOCKS, LPN_BATCH_BLOCKS);
  for (size_t group = 0; group < LPN_BATCH_GROUPS; group++) {
    uint32_t words[32], *at = out + LPN_GROUP_POSITIONS * group;
    for (size_t i = 0; i < 16; i++) {
      const block b = stream[8 * group + i / 2];
      const uint64_t half = i % 2 ? b.hi : b.lo;
      words[2 * i] = (uint32_t)half;
      words[2 * i + 1] = (uint32_t)(half >> 32);
    }
    for (size_t i = 0; i < 16; i++) {
      at[i] = position(words[i], v);
      at[16 + i] = position(words[16 + i], v);
      at[32 + i] = position(words[i] >> LPN_NUMBER_BITS | words[16 + i] >> LPN_NUMBER_BITS << 11, v);
    }
  }
}

static void encode_c(const struct aes_key *key, block *rows, size_t stride, uint64_t first_row, size_t count,
                     const struct lpn_vectors *v) {
  uint32_t positions[LPN_BATCH_POSITIONS];
  for (size_t done = 0; done < count; done += LPN_BATCH_ROWS) {
    batch_positions(key, (first_row + done) / LPN_BATCH_ROWS, v, positions);
    for (size_t row = 0; row < LPN_BATCH_ROWS; row++) {
      const uint32_t *const at = positions + LPN_WEIGHT * row;
      block *const out = rows + done + row;
      for (size_t vector = 0; vector < v->count; vector++)
        for (size_t i = 0; i < LPN_WEIGHT; i++)
          out[vector * stride] = block_xor(out[vector * stride], v->blocks[at[i] * v->width + vector]);
    }
  }
}
const struct lpn_kernels lpn_kernels_c = {.encode = encode_c};
