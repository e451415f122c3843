/** Integer matrix products with AVX2: two rows by 48 columns stay in registers; VPMADDWD makes sixteen products. */
#include "execute/gemm_taps.h"

#include <immintrin.h>

enum { LANES = 8, VECTORS = GEMM_COLUMNS / LANES };

static __m256i load_pair(const int16_t *w) {
  int32_t pair;
  memcpy(&pair, w, sizeof pair);
  return _mm256_set1_epi32(pair);
}

/** `vectors` is a constant at each place of call: the sums stay in registers. */
__attribute__((always_inline)) static inline void two_rows(uint32_t *out, const int16_t *w0, const int16_t *w1,
                                                           const int16_t *x, size_t pairs, size_t vectors) {
  __m256i a[VECTORS], b[VECTORS];
  for (size_t v = 0; v < vectors; v++) a[v] = b[v] = _mm256_setzero_si256();
  for (size_t p = 0; p < pairs; p++) {
    const __m256i u0 = load_pair(w0 + 2 * p), u1 = load_pair(w1 + 2 * p);
    const int16_t *column = x + 2 * p * GEMM_COLUMNS;
#pragma GCC unroll 6
    for (size_t v = 0; v < vectors; v++) {
      const __m256i t = _mm256_load_si256((const __m256i *)(const void *)(column + 2 * v * LANES));
      a[v] = _mm256_add_epi32(a[v], _mm256_madd_epi16(t, u0));
      b[v] = _mm256_add_epi32(b[v], _mm256_madd_epi16(t, u1));
    }
  }
  for (size_t v = 0; v < vectors; v++) {
    _mm256_store_si256((__m256i *)(void *)(out + v * LANES), a[v]);
    if (w1 != w0) _mm256_store_si256((__m256i *)(void *)(out + GEMM_COLUMNS + v * LANES), b[v]);
  }
}

static void gemm_narrow_avx2(uint32_t *out, const int16_t *w, const int16_t *x, size_t rows, size_t pairs,
                             size_t columns) {
  for (size_t r = 0; r < rows; r += 2) {
    const int16_t *first = w + 2 * r * pairs, *second = r + 1 < rows ? first + 2 * pairs : first;
    if (columns <= 2 * LANES)
      two_rows(out + r * GEMM_COLUMNS, first, second, x, pairs, 2);
    else
      two_rows(out + r * GEMM_COLUMNS, first, second, x, pairs, VECTORS);
  }
}

static void gemm_taps_avx2(uint32_t *out, const struct gemm_taps *taps, size_t width, size_t stride) {
  taps_row(out, taps, width, stride);
}

/** 64-bit low product by a small signed weight: low * w + (high * w << 32). */
static void gemm_wide_avx2(uint64_t *out, const int16_t *w, size_t stride, const int64_t *x, size_t rows,
                           size_t depth) {
  for (size_t r = 0; r < rows; r++) {
    for (size_t c = 0; c < GEMM_COLUMNS; c += 4) {
      __m256i acc = _mm256_setzero_si256();
      for (size_t k = 0; k < depth; k++) {
        const __m256i weight = _mm256_set1_epi64x(w[r * stride + k]);
        const __m256i t = _mm256_load_si256((const __m256i *)(const void *)(x + k * GEMM_COLUMNS + c));
        /* The weight is signed: unsigned 32x32 products of its halves, the high half being all sign. */
        const __m256i low = _mm256_mul_epu32(t, weight);
        const __m256i cross = _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(t, 32), weight),
                                               _mm256_mul_epu32(t, _mm256_srli_epi64(weight, 32)));
        acc = _mm256_add_epi64(acc, _mm256_add_epi64(low, _mm256_slli_epi64(cross, 32)));
      }
      _mm256_store_si256((__m256i *)(void *)(out + r * GEMM_COLUMNS + c), acc);
    }
  }
}

const struct gemm_kernels gemm_kernels_avx2 = {
    .narrow = gemm_narrow_avx2, .taps = gemm_taps_avx2, .wide = gemm_wide_avx2};
