/* LPN encoding: positions by AES-NI, sums by 128-bit loads. */
#include "ot/lpn.h"
#include "rand/aes_avx2.h"

enum { POSITIONS = LPN_BATCH_GROUPS * LPN_GROUP_POSITIONS };

/* Positions as byte offsets into the vector, 16 a block. */
static void batch_offsets_avx2(const struct aes_rounds_avx2 *r, uint64_t batch, unsigned log_k,
                               uint32_t out[POSITIONS]) {
  const __m256i mask = _mm256_set1_epi32((int)(low_mask(log_k) << 4));
  const __m256i upper = _mm256_set1_epi32(0x7ff << 15);
  const uint64_t first = batch * LPN_BATCH_BLOCKS;
  for (size_t group = 0; group < LPN_BATCH_GROUPS; group++) {
    __m128i x[AES_TILE_AVX2];
    __m256i w[4];
    for (size_t i = 0; i < AES_TILE_AVX2; i++) {
      x[i] = _mm_set_epi64x((long long)__builtin_bswap64(first + 8 * group + i), 0);
    }
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
}

static inline __m128i vector_avx2(const uint8_t *vector, uint32_t offset) {
  return _mm_load_si128((const __m128i *)(const void *)(vector + offset));
}

static void encode_avx2(const struct aes_key *key, block *rows, uint64_t first_row, size_t count, const block *vector,
                        unsigned log_k) {
  const struct aes_rounds_avx2 r = aes_rounds_avx2(key->round);
  const uint8_t *const v = (const uint8_t *)vector;
  _Alignas(64) uint32_t offsets[POSITIONS];
  for (size_t done = 0; done < count; done += LPN_BATCH_ROWS) {
    batch_offsets_avx2(&r, (first_row + done) / LPN_BATCH_ROWS, log_k, offsets);
    for (size_t row = 0; row < LPN_BATCH_ROWS; row++) {
      const uint32_t *const o = offsets + LPN_WEIGHT * row;
      __m128i even = aes_load_avx2(&rows[done + row]), odd = vector_avx2(v, o[9]);
      for (size_t i = 0; i < 8; i += 2) {
        even = _mm_xor_si128(even, vector_avx2(v, o[i]));
        odd = _mm_xor_si128(odd, vector_avx2(v, o[i + 1]));
      }
      even = _mm_xor_si128(even, vector_avx2(v, o[8]));
      aes_store_avx2(&rows[done + row], _mm_xor_si128(even, odd));
    }
  }
}

const struct lpn_ops lpn_ops_avx2 = {.encode = encode_avx2};
