#include <immintrin.h>

#include "gates/planes_loops.h"

static inline __m256i two_pairs(const uint64_t *low, const uint64_t *high) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)low)),
                                 _mm_loadu_si128((const __m128i *)high), 1);
}

/* Low or upper halves of four values in each half of the register. */
static inline __m256i halves(__m256i a, __m256i b, bool upper) {
  const __m256 x = _mm256_castsi256_ps(a), y = _mm256_castsi256_ps(b);
  return _mm256_castps_si256(upper ? _mm256_shuffle_ps(x, y, 0xdd) : _mm256_shuffle_ps(x, y, 0x88));
}

/* bytes[b]: byte 4*upper + b of 32 values. */
static inline void gather_bytes(__m256i bytes[4], const uint64_t *values, bool upper) {
  /* In each half of a register, bytes 0 of four values, then bytes 1, .. */
  const __m256i by_byte =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  __m256i d[4];
  for (unsigned i = 0; i < 4; i++) {
    const uint64_t *at = values + 4 * i;
    d[i] = _mm256_shuffle_epi8(halves(two_pairs(at, at + 16), two_pairs(at + 2, at + 18), upper), by_byte);
  }
  const __m256i low0 = _mm256_unpacklo_epi32(d[0], d[1]), low1 = _mm256_unpacklo_epi32(d[2], d[3]);
  const __m256i high0 = _mm256_unpackhi_epi32(d[0], d[1]), high1 = _mm256_unpackhi_epi32(d[2], d[3]);
  bytes[0] = _mm256_unpacklo_epi64(low0, low1);
  bytes[1] = _mm256_unpackhi_epi64(low0, low1);
  bytes[2] = _mm256_unpacklo_epi64(high0, high1);
  bytes[3] = _mm256_unpackhi_epi64(high0, high1);
}

/* The highest bits of 64 bytes. */
static inline uint64_t signs(__m256i low, __m256i high) {
  return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
}

/* The first `count` bits of 64 bytes, a plane each. */
static inline void put_bits(uint64_t *planes, size_t stride, __m256i low, __m256i high, unsigned count) {
  for (unsigned i = 0; i < count; i++) { /* what comes from the byte below stays below the sign */
    const int up = 7 - (int)i;
    planes[i * stride] = signs(_mm256_slli_epi16(low, up), _mm256_slli_epi16(high, up));
  }
}

static inline void split_word(uint64_t *planes, size_t stride, const uint64_t *values, unsigned bits) {
  for (unsigned at = 0; at < bits; at += 32) {
    __m256i low[4], high[4];
    gather_bytes(low, values, at > 0);
    gather_bytes(high, values + 32, at > 0);
    for (unsigned b = 0; b < 4; b++, planes += 8 * stride) {
      if (at + 8 * b + 8 <= bits)
        put_bits(planes, stride, low[b], high[b], 8);
      else if (at + 8 * b < bits)
        put_bits(planes, stride, low[b], high[b], bits - at - 8 * b);
    }
  }
}

static void split_avx2(uint64_t *planes, size_t stride, const uint64_t *values, size_t words, unsigned bits) {
  planes_split(planes, stride, values, words, bits, split_word);
}

const struct planes_kernels planes_kernels_avx2 = {.split = split_avx2};
