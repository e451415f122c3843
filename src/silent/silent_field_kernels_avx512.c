/* The check's field by VPCLMULQDQ. */
#include <immintrin.h>

#include "silent/silent_field_kernels.h"

static inline block xor_lanes_avx512(__m512i x) {
  const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
  const __m128i one = _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  block out;
  _mm_store_si128((__m128i *)(void *)&out, one);
  return out;
}

static block multiply_avx512(block a, block b) {
  return silent_field_kernels_avx2.multiply(a, b);
}

static block fold_avx512(const block *a, const block *b) {
  __m512i low = _mm512_setzero_si512(), high = low, inner = low, outer = low;
  for (size_t i = 0; i < FIELD_FOLD; i += 4) {
    const __m512i x = _mm512_loadu_si512(&a[i]), y = _mm512_loadu_si512(&b[i]);
    low = _mm512_xor_si512(low, _mm512_clmulepi64_epi128(x, y, 0x00));
    high = _mm512_xor_si512(high, _mm512_clmulepi64_epi128(x, y, 0x11));
    inner = _mm512_xor_si512(inner, _mm512_clmulepi64_epi128(x, y, 0x01));
    outer = _mm512_xor_si512(outer, _mm512_clmulepi64_epi128(x, y, 0x10));
  }
  const block l = xor_lanes_avx512(low), h = xor_lanes_avx512(high),
              m = xor_lanes_avx512(_mm512_xor_si512(inner, outer));
  const uint64_t words[4] = {l.lo, l.hi ^ m.lo, h.lo ^ m.hi, h.hi};
  return field_reduce(words);
}

const struct silent_field_kernels silent_field_kernels_avx512 = {.multiply = multiply_avx512, .fold = fold_avx512};
