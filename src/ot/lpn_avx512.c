/* LPN encoding: positions by VAES, sums by 128-bit loads. The positions of the next batch are made between the loads of
 * this one's, so that the rounds fill the waits for the second-level cache. */
#include "ot/lpn.h"
#include "rand/aes_avx512.h"

enum { POSITIONS = LPN_BATCH_GROUPS * LPN_GROUP_POSITIONS, SELECT = 0xca };

/* Positions as byte offsets into the vector, 16 a block; groups 2 * pair and 2 * pair + 1 of the batch. */
static inline void pair_offsets_avx512(const struct aes_rounds_avx512 *r, uint64_t batch, size_t pair, __m512i mask,
                                       uint32_t *out) {
  const __m512i upper = _mm512_set1_epi32(0x7ff << 15);
  const __m512i swap = _mm512_broadcast_i32x4(_mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 7, 6, 5, 4, 3, 2, 1, 0));
  const long long first = (long long)(batch * LPN_BATCH_BLOCKS + AES_TILE_BLOCKS_AVX512 * pair);
  __m512i w[AES_TILE_AVX512];
  for (int i = 0; i < AES_TILE_AVX512; i++) {
    const __m512i counters =
        _mm512_set_epi64(first + 4 * i + 3, 0, first + 4 * i + 2, 0, first + 4 * i + 1, 0, first + 4 * i, 0);
    w[i] = _mm512_shuffle_epi8(counters, swap);
  }
  aes_tile_avx512(r, w);
  uint32_t *at = out + 2 * LPN_GROUP_POSITIONS * pair;
  for (size_t i = 0; i < AES_TILE_AVX512; i += 2, at += LPN_GROUP_POSITIONS) {
    const __m512i a = w[i], b = w[i + 1];
    const __m512i rest = _mm512_ternarylogic_epi32(upper, _mm512_srli_epi32(b, 6), _mm512_srli_epi32(a, 17), SELECT);
    _mm512_store_si512(at, _mm512_and_si512(_mm512_slli_epi32(a, 4), mask));
    _mm512_store_si512(at + 16, _mm512_and_si512(_mm512_slli_epi32(b, 4), mask));
    _mm512_store_si512(at + 32, _mm512_and_si512(rest, mask));
  }
}

static inline __m128i vector_avx512(const uint8_t *vector, uint32_t offset) {
  return _mm_load_si128((const __m128i *)(const void *)(vector + offset));
}

static inline void row_avx512(block *row, const uint32_t *o, const uint8_t *v) {
  __m128i a = _mm_loadu_si128((const __m128i *)(const void *)row);
  a = _mm_ternarylogic_epi64(a, vector_avx512(v, o[0]), vector_avx512(v, o[1]), 0x96);
  __m128i b = _mm_ternarylogic_epi64(vector_avx512(v, o[2]), vector_avx512(v, o[3]), vector_avx512(v, o[4]), 0x96);
  __m128i c = _mm_ternarylogic_epi64(vector_avx512(v, o[5]), vector_avx512(v, o[6]), vector_avx512(v, o[7]), 0x96);
  a = _mm_ternarylogic_epi64(a, vector_avx512(v, o[8]), vector_avx512(v, o[9]), 0x96);
  _mm_storeu_si128((__m128i *)(void *)row, _mm_ternarylogic_epi64(a, b, c, 0x96));
}

static void encode_avx512(const struct aes_key *key, block *rows, uint64_t first_row, size_t count, const block *vector,
                          unsigned log_k) {
  const struct aes_rounds_avx512 r = aes_rounds_avx512(key->round);
  const __m512i mask = _mm512_set1_epi32((int)(low_mask(log_k) << 4));
  const uint8_t *const v = (const uint8_t *)vector;
  _Alignas(64) uint32_t offsets[POSITIONS];
  for (size_t done = 0; done < count; done += LPN_BATCH_ROWS) {
    const uint64_t batch = (first_row + done) / LPN_BATCH_ROWS;
    for (size_t pair = 0; pair < LPN_BATCH_GROUPS / 2; pair++) pair_offsets_avx512(&r, batch, pair, mask, offsets);
    for (size_t row = 0; row < LPN_BATCH_ROWS; row++) row_avx512(&rows[done + row], offsets + LPN_WEIGHT * row, v);
  }
}

const struct lpn_ops lpn_ops_avx512 = {.encode = encode_avx512};
