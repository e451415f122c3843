/* The check's field by PCLMULQDQ. */
#include <immintrin.h>

#include "silent/silent_field_kernels.h"

struct wide_avx2 {
  __m128i low, middle, high;
};

static inline __m128i load_avx2(const block *b) {
  return _mm_loadu_si128((const __m128i *)(const void *)b);
}

static inline void accumulate_avx2(struct wide_avx2 *w, __m128i a, __m128i b) {
  w->low = _mm_xor_si128(w->low, _mm_clmulepi64_si128(a, b, 0x00));
  w->high = _mm_xor_si128(w->high, _mm_clmulepi64_si128(a, b, 0x11));
  w->middle = _mm_xor_si128(w->middle, _mm_clmulepi64_si128(a, b, 0x01));
  w->middle = _mm_xor_si128(w->middle, _mm_clmulepi64_si128(a, b, 0x10));
}

static inline block reduce_avx2(const struct wide_avx2 *w) {
  block low, middle, high;
  _mm_store_si128((__m128i *)(void *)&low, w->low);
  _mm_store_si128((__m128i *)(void *)&middle, w->middle);
  _mm_store_si128((__m128i *)(void *)&high, w->high);
  const uint64_t words[4] = {low.lo, low.hi ^ middle.lo, high.lo ^ middle.hi, high.hi};
  return field_reduce(words);
}

static block multiply_avx2(block a, block b) {
  struct wide_avx2 w = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
  accumulate_avx2(&w, load_avx2(&a), load_avx2(&b));
  return reduce_avx2(&w);
}

static block fold_avx2(const block *a, const block *b) {
  struct wide_avx2 w = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
  for (size_t i = 0; i < FIELD_FOLD; i++) accumulate_avx2(&w, load_avx2(&a[i]), load_avx2(&b[i]));
  return reduce_avx2(&w);
}

const struct silent_field_kernels silent_field_kernels_avx2 = {.multiply = multiply_avx2, .fold = fold_avx2};
