#include <immintrin.h>

#include "gates/planes_loops.h"

/* bytes[b]: byte 4*upper + b of 64 values. */
static inline void gather_bytes(__m512i bytes[4], const uint64_t *values, bool upper) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i half = upper ? _mm512_or_si512(even, _mm512_set1_epi32(1)) : even;
  /* In each quarter, bytes 0 of four values, then bytes 1, .. */
  const __m512i by_byte = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  /* Double words: four of one byte in each quarter, brought together. */
  const __m512i together = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  __m512i q[4];
  for (unsigned i = 0; i < 4; i++) {
    const __m512i a = _mm512_loadu_si512(values + 16 * i), b = _mm512_loadu_si512(values + 16 * i + 8);
    const __m512i words = _mm512_permutex2var_epi32(a, half, b);
    q[i] = _mm512_permutexvar_epi32(together, _mm512_shuffle_epi8(words, by_byte)); /* quarter b: byte b of 16 values */
  }
  const __m512i low0 = _mm512_shuffle_i32x4(q[0], q[1], 0x44), low1 = _mm512_shuffle_i32x4(q[2], q[3], 0x44);
  const __m512i high0 = _mm512_shuffle_i32x4(q[0], q[1], 0xee), high1 = _mm512_shuffle_i32x4(q[2], q[3], 0xee);
  bytes[0] = _mm512_shuffle_i32x4(low0, low1, 0x88);
  bytes[1] = _mm512_shuffle_i32x4(low0, low1, 0xdd);
  bytes[2] = _mm512_shuffle_i32x4(high0, high1, 0x88);
  bytes[3] = _mm512_shuffle_i32x4(high0, high1, 0xdd);
}

/* The first `count` bits of 64 bytes, a plane each. */
static inline void put_bits(uint64_t *planes, size_t stride, __m512i bytes, unsigned count) {
  for (unsigned i = 0; i < count; i++)
    planes[i * stride] = _mm512_test_epi8_mask(bytes, _mm512_set1_epi8((char)(1u << i)));
}

static inline void split_word(uint64_t *planes, size_t stride, const uint64_t *values, unsigned bits) {
  for (unsigned at = 0; at < bits; at += 32) {
    __m512i bytes[4];
    gather_bytes(bytes, values, at > 0);
    for (unsigned b = 0; b < 4; b++, planes += 8 * stride) {
      if (at + 8 * b + 8 <= bits)
        put_bits(planes, stride, bytes[b], 8);
      else if (at + 8 * b < bits)
        put_bits(planes, stride, bytes[b], bits - at - 8 * b);
    }
  }
}

static void split_avx512(uint64_t *planes, size_t stride, const uint64_t *values, size_t words, unsigned bits) {
  planes_split(planes, stride, values, words, bits, split_word);
}

const struct planes_kernels planes_kernels_avx512 = {.split = split_avx512};
