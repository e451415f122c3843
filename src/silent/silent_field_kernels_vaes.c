/* The check's field by VPCLMULQDQ: two products at a time. */
#include <immintrin.h>

#include "silent/silent_field_kernels.h"

static block multiply_vaes(block a, block b) {
  return silent_field_kernels_avx2.multiply(a, b);
}

static inline __m256i pair_vaes(const block *b) {
  return _mm256_loadu_si256((const __m256i *)(const void *)b);
}

static inline block lanes_vaes(__m256i x) {
  block out;
  _mm_store_si128((__m128i *)(void *)&out, _mm_xor_si128(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)));
  return out;
}

/* Two sums of each kind, so that the XORs of one need not wait for each other. */
static block fold_vaes(const block *a, const block *b) {
  __m256i low[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()}, high[2] = {low[0], low[0]},
          middle[2] = {low[0], low[0]};
  for (size_t i = 0; i < FIELD_FOLD; i += 4)
    for (size_t k = 0; k < 2; k++) {
      const __m256i x = pair_vaes(&a[i + 2 * k]), y = pair_vaes(&b[i + 2 * k]);
      const __m256i crossed =
          _mm256_xor_si256(_mm256_clmulepi64_epi128(x, y, 0x01), _mm256_clmulepi64_epi128(x, y, 0x10));
      low[k] = _mm256_xor_si256(low[k], _mm256_clmulepi64_epi128(x, y, 0x00));
      high[k] = _mm256_xor_si256(high[k], _mm256_clmulepi64_epi128(x, y, 0x11));
      middle[k] = _mm256_xor_si256(middle[k], crossed);
    }
  const block l = lanes_vaes(_mm256_xor_si256(low[0], low[1])), m = lanes_vaes(_mm256_xor_si256(middle[0], middle[1])),
              h = lanes_vaes(_mm256_xor_si256(high[0], high[1]));
  const uint64_t words[4] = {l.lo, l.hi ^ m.lo, h.lo ^ m.hi, h.hi};
  return field_reduce(words);
}

const struct silent_field_kernels silent_field_kernels_vaes = {.multiply = multiply_vaes, .fold = fold_vaes};
