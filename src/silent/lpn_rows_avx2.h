/** What the LPN kernels on 256-bit registers share: positions from numbers, and the rows' sums. */
#ifndef FUSION_SILENT_LPN_ROWS_AVX2_H
#define FUSION_SILENT_LPN_ROWS_AVX2_H

#include "rand/aes_avx2.h"
#include "silent/lpn_kernels.h"

/* What turns numbers into byte offsets. */
struct places {
  __m256i numbers, low, factor; /* masks of 21 bits and of the lowest `shift`; the factor */
  int shift, down, up;          /* down: 21 - shift; up: log2 of the bytes from one position to the next */
  bool power;                   /* the factor is 1 */
};

static inline __m256i offsets_avx2(const struct places *p, __m256i number) {
  if (p->power) return _mm256_slli_epi32(_mm256_and_si256(number, p->low), p->up);
  const __m256i x = _mm256_and_si256(number, p->numbers);
  const __m256i high = _mm256_srli_epi32(_mm256_mullo_epi32(_mm256_srli_epi32(x, p->shift), p->factor), p->down);
  const __m256i position = _mm256_or_si256(_mm256_slli_epi32(high, p->shift), _mm256_and_si256(x, p->low));
  return _mm256_slli_epi32(position, p->up);
}

static inline struct places places_avx2(const struct lpn_vectors *vectors) {
  return (struct places){.numbers = _mm256_set1_epi32((int)low_mask(LPN_NUMBER_BITS)),
                         .low = _mm256_set1_epi32((int)low_mask(vectors->shift)),
                         .factor = _mm256_set1_epi32((int)vectors->factor),
                         .shift = (int)vectors->shift,
                         .down = LPN_NUMBER_BITS - (int)vectors->shift,
                         .up = (int)lpn_stride_bits(vectors->width),
                         .power = vectors->factor == 1};
}

/* Positions of a group, from its 32 words. */
static inline void group_positions_avx2(const __m256i w[4], const struct places *p, uint32_t *out) {
  const __m256i lowest = _mm256_set1_epi32(0x7ff);
  __m256i *at = (__m256i *)(void *)out;
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

/* One row of two vectors: ten halves of lines. */
static inline void half_line_avx2(block *row, size_t stride, const uint32_t *o, const uint8_t *v) {
  __m256i even = pair_avx2(v, o[0]), odd = pair_avx2(v, o[1]);
  for (size_t i = 2; i < LPN_WEIGHT; i += 2) {
    even = _mm256_xor_si256(even, pair_avx2(v, o[i]));
    odd = _mm256_xor_si256(odd, pair_avx2(v, o[i + 1]));
  }
  even = _mm256_xor_si256(even, odd);
  aes_store_avx2(row, _mm_xor_si128(aes_load_avx2(row), _mm256_castsi256_si128(even)));
  aes_store_avx2(row + stride, _mm_xor_si128(aes_load_avx2(row + stride), _mm256_extracti128_si256(even, 1)));
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

/* Rows [begin, end) of a batch whose positions are at o, those of the next batch's first rows at next. */
static inline void rows_avx2(block *row, size_t stride, size_t begin, size_t end, const uint32_t *o,
                             const uint32_t *next, const struct lpn_vectors *vectors) {
  const uint8_t *const v = (const uint8_t *)vectors->blocks;
  for (size_t i = begin; i < end; i++) {
    lpn_ask(v, i, o, next);
    const uint32_t *const here = o + i * LPN_WEIGHT;
    if (vectors->width == 1) row_avx2(row + i, here, v);
    if (vectors->width == 2) half_line_avx2(row + i, stride, here, v);
    if (vectors->width == LPN_TOGETHER) line_avx2(row + i, stride, vectors->count, here, v);
  }
}

#endif
