/* LPN encoding: positions by AES-NI, sums by 128-bit loads. The positions of the next batch are made between the loads
 * of this one's, so that the rounds fill the waits for the second-level cache. */
#include "ot/lpn.h"
#include "rand/aes_avx2.h"

enum {
  POSITIONS = LPN_BATCH_GROUPS * LPN_GROUP_POSITIONS,
  PAIRS = LPN_BATCH_GROUPS / 2,
  PAIR_ROWS = LPN_BATCH_ROWS / PAIRS,
};

/* Positions as byte offsets into the vector, 16 a block; one group of the batch. */
static inline void group_offsets_avx2(const struct aes_rounds_avx2 *r, uint64_t batch, size_t group, __m256i mask,
                                      uint32_t *out) {
  const __m256i upper = _mm256_set1_epi32(0x7ff << 15);
  const uint64_t first = batch * LPN_BATCH_BLOCKS + AES_TILE_AVX2 * group;
  __m128i x[AES_TILE_AVX2];
  __m256i w[4];
  for (size_t i = 0; i < AES_TILE_AVX2; i++) x[i] = _mm_set_epi64x((long long)__builtin_bswap64(first + i), 0);
  aes_tile_avx2(r, x);
  for (size_t i = 0; i < 4; i++) w[i] = _mm256_set_m128i(x[2 * i + 1], x[2 * i]);
  __m256i *at = (__m256i *)(void *)(out + LPN_GROUP_POSITIONS * group);
  for (size_t i = 0; i < 4; i++) _mm256_store_si256(at + i, _mm256_and_si256(_mm256_slli_epi32(w[i], 4), mask));
  for (size_t i = 0; i < 2; i++) {
    const __m256i low = _mm256_andnot_si256(upper, _mm256_srli_epi32(w[i], 17));
    const __m256i high = _mm256_and_si256(upper, _mm256_srli_epi32(w[2 + i], 6));
    _mm256_store_si256(at + 4 + i, _mm256_and_si256(_mm256_or_si256(low, high), mask));
  }
}

static inline __m128i vector_avx2(const uint8_t *vector, uint32_t offset) {
  return _mm_load_si128((const __m128i *)(const void *)(vector + offset));
}

static inline void row_avx2(block *row, const uint32_t *o, const uint8_t *v) {
  __m128i even = aes_load_avx2(row), odd = vector_avx2(v, o[9]);
  for (size_t i = 0; i < 8; i += 2) {
    even = _mm_xor_si128(even, vector_avx2(v, o[i]));
    odd = _mm_xor_si128(odd, vector_avx2(v, o[i + 1]));
  }
  even = _mm_xor_si128(even, vector_avx2(v, o[8]));
  aes_store_avx2(row, _mm_xor_si128(even, odd));
}

static void encode_avx2(const struct aes_key *key, block *rows, uint64_t first_row, size_t count, const block *vector,
                        unsigned log_k) {
  const struct aes_rounds_avx2 r = aes_rounds_avx2(key->round);
  const __m256i mask = _mm256_set1_epi32((int)(low_mask(log_k) << 4));
  const uint8_t *const v = (const uint8_t *)vector;
  _Alignas(64) uint32_t buffers[2][POSITIONS];
  const uint64_t first = first_row / LPN_BATCH_ROWS;
  const size_t batches = count / LPN_BATCH_ROWS;
  for (size_t group = 0; group < LPN_BATCH_GROUPS; group++) group_offsets_avx2(&r, first, group, mask, buffers[0]);
  for (size_t batch = 0; batch < batches; batch++) {
    const uint32_t *o = buffers[batch % 2];
    uint32_t *const ahead = buffers[(batch + 1) % 2];
    block *row = rows + LPN_BATCH_ROWS * batch;
    for (size_t pair = 0; pair < PAIRS; pair++) {
      group_offsets_avx2(&r, first + batch + 1, 2 * pair, mask, ahead);
      group_offsets_avx2(&r, first + batch + 1, 2 * pair + 1, mask, ahead);
      const size_t n = pair + 1 < PAIRS ? PAIR_ROWS : LPN_BATCH_ROWS - PAIR_ROWS * (PAIRS - 1);
      for (size_t i = 0; i < n; i++, o += LPN_WEIGHT) row_avx2(row++, o, v);
    }
  }
}

const struct lpn_ops lpn_ops_avx2 = {.encode = encode_avx2};
