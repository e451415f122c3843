/* LPN encoding: positions by VAES, sums by 128-bit loads. The positions of the next batch are made between the loads of
 * this one's, so that the rounds fill the waits for the second-level cache. */
#include "ot/lpn.h"
#include "rand/aes_avx512.h"

enum {
  POSITIONS = LPN_BATCH_GROUPS * LPN_GROUP_POSITIONS,
  PAIRS = LPN_BATCH_GROUPS / 2,
  PAIR_ROWS = LPN_BATCH_ROWS / PAIRS,
  /* Truth tables of ternary logic: a ? b : c, a ^ b ^ c. */
  SELECT = 0xca,
  XOR_3 = 0x96,
};

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
  a = _mm_ternarylogic_epi64(a, vector_avx512(v, o[0]), vector_avx512(v, o[1]), XOR_3);
  __m128i b = _mm_ternarylogic_epi64(vector_avx512(v, o[2]), vector_avx512(v, o[3]), vector_avx512(v, o[4]), XOR_3);
  __m128i c = _mm_ternarylogic_epi64(vector_avx512(v, o[5]), vector_avx512(v, o[6]), vector_avx512(v, o[7]), XOR_3);
  a = _mm_ternarylogic_epi64(a, vector_avx512(v, o[8]), vector_avx512(v, o[9]), XOR_3);
  _mm_storeu_si128((__m128i *)(void *)row, _mm_ternarylogic_epi64(a, b, c, XOR_3));
}

static void encode_avx512(const struct aes_key *key, block *rows, uint64_t first_row, size_t count, const block *vector,
                          unsigned log_k) {
  const struct aes_rounds_avx512 r = aes_rounds_avx512(key->round);
  const __m512i mask = _mm512_set1_epi32((int)(low_mask(log_k) << 4));
  const uint8_t *const v = (const uint8_t *)vector;
  _Alignas(64) uint32_t buffers[2][POSITIONS];
  const uint64_t first = first_row / LPN_BATCH_ROWS;
  const size_t batches = count / LPN_BATCH_ROWS;
  for (size_t pair = 0; pair < PAIRS; pair++) pair_offsets_avx512(&r, first, pair, mask, buffers[0]);
  for (size_t batch = 0; batch < batches; batch++) {
    const uint32_t *o = buffers[batch % 2];
    uint32_t *const ahead = buffers[(batch + 1) % 2];
    block *row = rows + LPN_BATCH_ROWS * batch;
    for (size_t pair = 0; pair < PAIRS; pair++) {
      pair_offsets_avx512(&r, first + batch + 1, pair, mask, ahead);
      const size_t n = pair + 1 < PAIRS ? PAIR_ROWS : LPN_BATCH_ROWS - PAIR_ROWS * (PAIRS - 1);
      for (size_t i = 0; i < n; i++, o += LPN_WEIGHT) row_avx512(row++, o, v);
    }
  }
}

const struct lpn_ops lpn_ops_avx512 = {.encode = encode_avx512};
