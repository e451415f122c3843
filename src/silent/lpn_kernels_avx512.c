/* LPN encoding: positions by VAES, sums by 128-bit loads, or by lines of four blocks. The positions of the next batch
 * are made between the loads of this one's, so that the rounds fill the waits for the second-level cache. */
#include "rand/aes_avx512.h"
#include "silent/lpn_kernels.h"

enum {
  /* Truth tables of ternary logic: a ? b : c, a ^ b ^ c. */
  SELECT = 0xca,
  OR_AND = 0xf8, /* a | (b & c) */
  XOR_3 = 0x96,
};

/* What turns numbers into byte offsets. */
struct places {
  __m512i numbers, low, factor; /* masks of 21 bits and of the lowest `shift`; the factor */
  unsigned shift, down, up;     /* down: 21 - shift; up: log2 of the bytes from one position to the next */
};

static inline __m512i offsets_avx512(const struct places *p, __m512i number) {
  const __m512i x = _mm512_and_si512(number, p->numbers);
  const __m512i high = _mm512_srli_epi32(_mm512_mullo_epi32(_mm512_srli_epi32(x, p->shift), p->factor), p->down);
  return _mm512_slli_epi32(_mm512_ternarylogic_epi32(_mm512_slli_epi32(high, p->shift), x, p->low, OR_AND), p->up);
}

/* Positions as byte offsets into the vector, of groups 2 * pair and 2 * pair + 1 of the batch. */
static inline void pair_offsets_avx512(const struct aes_rounds_avx512 *r, uint64_t batch, size_t pair,
                                       const struct places *p, uint32_t *out) {
  const __m512i lowest = _mm512_set1_epi32(0x7ff);
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
    const __m512i rest = _mm512_ternarylogic_epi32(lowest, _mm512_srli_epi32(a, 21), _mm512_srli_epi32(b, 10), SELECT);
    _mm512_store_si512(at, offsets_avx512(p, a));
    _mm512_store_si512(at + 16, offsets_avx512(p, b));
    _mm512_store_si512(at + 32, offsets_avx512(p, rest));
  }
}

static inline __m128i vector_avx512(const uint8_t *vector, uint32_t offset) {
  return _mm_load_si128((const __m128i *)(const void *)(vector + offset));
}

static inline __m256i pair_avx512(const uint8_t *vector, uint32_t offset) {
  return _mm256_load_si256((const __m256i *)(const void *)(vector + offset));
}

static inline void row_avx512(block *row, const uint32_t *o, const uint8_t *v) {
  __m128i a = _mm_loadu_si128((const __m128i *)(const void *)row);
  a = _mm_ternarylogic_epi64(a, vector_avx512(v, o[0]), vector_avx512(v, o[1]), XOR_3);
  __m128i b = _mm_ternarylogic_epi64(vector_avx512(v, o[2]), vector_avx512(v, o[3]), vector_avx512(v, o[4]), XOR_3);
  __m128i c = _mm_ternarylogic_epi64(vector_avx512(v, o[5]), vector_avx512(v, o[6]), vector_avx512(v, o[7]), XOR_3);
  a = _mm_ternarylogic_epi64(a, vector_avx512(v, o[8]), vector_avx512(v, o[9]), XOR_3);
  _mm_storeu_si128((__m128i *)(void *)row, _mm_ternarylogic_epi64(a, b, c, XOR_3));
}

/* One row of two vectors: ten halves of lines. */
static inline void half_line_avx512(block *row, size_t stride, const uint32_t *o, const uint8_t *v) {
  __m256i a = pair_avx512(v, o[0]), b = pair_avx512(v, o[1]);
  for (size_t i = 2; i < LPN_WEIGHT; i += 2) {
    a = _mm256_xor_si256(a, pair_avx512(v, o[i]));
    b = _mm256_xor_si256(b, pair_avx512(v, o[i + 1]));
  }
  a = _mm256_xor_si256(a, b);
  for (size_t k = 0; k < 2; k++) {
    __m128i *const out = (__m128i *)(void *)(row + k * stride);
    const __m128i sum = k ? _mm256_extracti128_si256(a, 1) : _mm256_castsi256_si128(a);
    _mm_storeu_si128(out, _mm_xor_si128(_mm_loadu_si128(out), sum));
  }
}

/* One row of four vectors: ten lines. */
static inline __m512i lines_avx512(const uint32_t *o, const uint8_t *v) {
  __m512i a = _mm512_load_si512(v + o[0]), b = _mm512_load_si512(v + o[1]);
  for (size_t i = 2; i < LPN_WEIGHT; i += 4) {
    a = _mm512_ternarylogic_epi64(a, _mm512_load_si512(v + o[i]), _mm512_load_si512(v + o[i + 1]), XOR_3);
    b = _mm512_ternarylogic_epi64(b, _mm512_load_si512(v + o[i + 2]), _mm512_load_si512(v + o[i + 3]), XOR_3);
  }
  return _mm512_xor_si512(a, b);
}

/* Four rows of up to four vectors, turned round so that each vector's four rows are one line. */
static inline void quad_avx512(block *rows, size_t stride, size_t vectors, const uint32_t *o, const uint8_t *v) {
  enum { LOW_HALVES = 0x44, HIGH_HALVES = 0xee, EVEN = 0x88, ODD = 0xdd };
  __m512i r[LPN_TOGETHER], t[4];
  for (size_t i = 0; i < LPN_TOGETHER; i++) r[i] = lines_avx512(o + i * LPN_WEIGHT, v);
  t[0] = _mm512_shuffle_i64x2(r[0], r[1], LOW_HALVES);
  t[1] = _mm512_shuffle_i64x2(r[2], r[3], LOW_HALVES);
  t[2] = _mm512_shuffle_i64x2(r[0], r[1], HIGH_HALVES);
  t[3] = _mm512_shuffle_i64x2(r[2], r[3], HIGH_HALVES);
  r[0] = _mm512_shuffle_i64x2(t[0], t[1], EVEN);
  r[1] = _mm512_shuffle_i64x2(t[0], t[1], ODD);
  r[2] = _mm512_shuffle_i64x2(t[2], t[3], EVEN);
  r[3] = _mm512_shuffle_i64x2(t[2], t[3], ODD);
  for (size_t i = 0; i < LPN_TOGETHER && i < vectors; i++) {
    block *const out = rows + i * stride;
    _mm512_storeu_si512(out, _mm512_xor_si512(r[i], _mm512_loadu_si512(out)));
  }
}

static void encode_avx512(const struct aes_key *key, block *rows, size_t stride, uint64_t first_row, size_t count,
                          const struct lpn_vectors *vectors) {
  enum { QUADS = LPN_BATCH_ROWS / 4 };
  const struct aes_rounds_avx512 r = aes_rounds_avx512(key->round);
  const struct places p = {.numbers = _mm512_set1_epi32((int)low_mask(LPN_NUMBER_BITS)),
                           .low = _mm512_set1_epi32((int)low_mask(vectors->shift)),
                           .factor = _mm512_set1_epi32((int)vectors->factor),
                           .shift = vectors->shift,
                           .down = LPN_NUMBER_BITS - vectors->shift,
                           .up = lpn_stride_bits(vectors->width)};
  const uint8_t *const v = (const uint8_t *)vectors->blocks;
  /* Longer than the second-level cache. Shorter ones, and several side by side, take no less time when asked for. */
  const bool far = (uint64_t)vectors->factor << vectors->shift > UINT64_C(1) << 17;
  _Alignas(64) uint32_t buffers[2][LPN_BATCH_POSITIONS];
  const uint64_t first = first_row / LPN_BATCH_ROWS;
  const size_t batches = count / LPN_BATCH_ROWS;
  for (size_t pair = 0; pair < LPN_BATCH_PAIRS; pair++) pair_offsets_avx512(&r, first, pair, &p, buffers[0]);
  for (size_t batch = 0; batch < batches; batch++) {
    const uint32_t *const o = buffers[batch % 2];
    uint32_t *const ahead = buffers[(batch + 1) % 2];
    block *const row = rows + LPN_BATCH_ROWS * batch;
    for (size_t pair = 0; pair < LPN_BATCH_PAIRS; pair++) {
      const size_t begin = QUADS * pair / LPN_BATCH_PAIRS, end = QUADS * (pair + 1) / LPN_BATCH_PAIRS;
      pair_offsets_avx512(&r, first + batch + 1, pair, &p, ahead);
      for (size_t i = 4 * begin; vectors->width == 1 && i < 4 * end; i++) {
        if (far) lpn_ask(v, i, o, ahead);
        row_avx512(row + i, o + i * LPN_WEIGHT, v);
      }
      for (size_t i = 4 * begin; vectors->width == 2 && i < 4 * end; i++)
        half_line_avx512(row + i, stride, o + i * LPN_WEIGHT, v);
      for (size_t i = begin; vectors->width == LPN_TOGETHER && i < end; i++)
        quad_avx512(row + 4 * i, stride, vectors->count, o + 4 * i * LPN_WEIGHT, v);
    }
  }
}

const struct lpn_kernels lpn_kernels_avx512 = {.encode = encode_avx512};
