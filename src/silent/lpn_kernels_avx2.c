/* LPN encoding: positions by AES-NI, sums by 128-bit loads, or by lines of four blocks. The positions of the next batch
 * are made between the loads of this one's, so that the rounds fill the waits for the second-level cache. */
#include "rand/aes_avx2.h"
#include "silent/lpn_kernels.h"

enum {
  POSITIONS = LPN_BATCH_GROUPS * LPN_GROUP_POSITIONS,
  PAIRS = LPN_BATCH_GROUPS / 2,
};

/* What turns numbers into byte offsets. */
struct places {
  __m256i numbers, low, factor; /* masks of 21 bits and of the lowest `shift`; the factor */
  int shift, down, up;          /* down: 21 - shift; up: log2 of the bytes from one position to the next */
};

static inline __m256i offsets_avx2(const struct places *p, __m256i number) {
  const __m256i x = _mm256_and_si256(number, p->numbers);
  const __m256i high = _mm256_srli_epi32(_mm256_mullo_epi32(_mm256_srli_epi32(x, p->shift), p->factor), p->down);
  const __m256i position = _mm256_or_si256(_mm256_slli_epi32(high, p->shift), _mm256_and_si256(x, p->low));
  return _mm256_slli_epi32(position, p->up);
}

/* Positions as byte offsets into the vector; one group of the batch. */
static inline void group_offsets_avx2(const struct aes_rounds_avx2 *r, uint64_t batch, size_t group,
                                      const struct places *p, uint32_t *out) {
  const __m256i lowest = _mm256_set1_epi32(0x7ff);
  const uint64_t first = batch * LPN_BATCH_BLOCKS + AES_TILE_AVX2 * group;
  __m128i x[AES_TILE_AVX2];
  __m256i w[4];
  for (size_t i = 0; i < AES_TILE_AVX2; i++) x[i] = _mm_set_epi64x((long long)__builtin_bswap64(first + i), 0);
  aes_tile_avx2(r, x);
  for (size_t i = 0; i < 4; i++) w[i] = _mm256_set_m128i(x[2 * i + 1], x[2 * i]);
  __m256i *at = (__m256i *)(void *)(out + LPN_GROUP_POSITIONS * group);
  for (size_t i = 0; i < 4; i++) _mm256_store_si256(at + i, offsets_avx2(p, w[i]));
  for (size_t i = 0; i < 2; i++) {
    const __m256i low = _mm256_srli_epi32(w[i], 21), high = _mm256_srli_epi32(w[2 + i], 10);
    _mm256_store_si256(at + 4 + i, offsets_avx2(p, _mm256_or_si256(low, _mm256_andnot_si256(lowest, high))));
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

static inline __m256i pair_avx2(const uint8_t *vector, uint32_t offset) {
  return _mm256_load_si256((const __m256i *)(const void *)(vector + offset));
}

/* One row of up to four vectors: ten lines. */
static inline void line_avx2(block *row, size_t stride, size_t vectors, const uint32_t *o, const uint8_t *v) {
  __m256i low = pair_avx2(v, o[0]), high = pair_avx2(v, o[0] + 32);
  for (size_t i = 1; i < LPN_WEIGHT; i++) {
    low = _mm256_xor_si256(low, pair_avx2(v, o[i]));
    high = _mm256_xor_si256(high, pair_avx2(v, o[i] + 32));
  }
  const __m128i sums[LPN_TOGETHER] = {_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1),
                                      _mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1)};
  for (size_t i = 0; i < LPN_TOGETHER && i < vectors; i++)
    aes_store_avx2(row + i * stride, _mm_xor_si128(aes_load_avx2(row + i * stride), sums[i]));
}

static void encode_avx2(const struct aes_key *key, block *rows, size_t stride, uint64_t first_row, size_t count,
                        const struct lpn_vectors *vectors) {
  const struct aes_rounds_avx2 r = aes_rounds_avx2(key->round);
  const bool single = vectors->width == 1;
  const struct places p = {.numbers = _mm256_set1_epi32((int)low_mask(LPN_NUMBER_BITS)),
                           .low = _mm256_set1_epi32((int)low_mask(vectors->shift)),
                           .factor = _mm256_set1_epi32((int)vectors->factor),
                           .shift = (int)vectors->shift,
                           .down = LPN_NUMBER_BITS - (int)vectors->shift,
                           .up = single ? 4 : 6};
  const uint8_t *const v = (const uint8_t *)vectors->blocks;
  _Alignas(64) uint32_t buffers[2][POSITIONS];
  const uint64_t first = first_row / LPN_BATCH_ROWS;
  const size_t batches = count / LPN_BATCH_ROWS;
  for (size_t group = 0; group < LPN_BATCH_GROUPS; group++) group_offsets_avx2(&r, first, group, &p, buffers[0]);
  for (size_t batch = 0; batch < batches; batch++) {
    const uint32_t *const o = buffers[batch % 2];
    uint32_t *const ahead = buffers[(batch + 1) % 2];
    block *const row = rows + LPN_BATCH_ROWS * batch;
    for (size_t pair = 0; pair < PAIRS; pair++) {
      const size_t begin = LPN_BATCH_ROWS * pair / PAIRS, end = LPN_BATCH_ROWS * (pair + 1) / PAIRS;
      group_offsets_avx2(&r, first + batch + 1, 2 * pair, &p, ahead);
      group_offsets_avx2(&r, first + batch + 1, 2 * pair + 1, &p, ahead);
      for (size_t i = begin; single && i < end; i++) row_avx2(row + i, o + i * LPN_WEIGHT, v);
      for (size_t i = begin; !single && i < end; i++) line_avx2(row + i, stride, vectors->count, o + i * LPN_WEIGHT, v);
    }
  }
}

const struct lpn_kernels lpn_kernels_avx2 = {.encode = encode_avx2};
