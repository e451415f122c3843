/** Integer matrix products with AVX-512 VNNI: eight rows by 48 columns stay in registers; VPDPWSSD makes 32 products
 * and adds them without saturating. */
#include "execute/gemm_taps.h"

#include <immintrin.h>

enum { LANES = 16, VECTORS = GEMM_COLUMNS / LANES, WIDE_LANES = 8 };

static __m512i load_pair(const int16_t *w) {
  int32_t pair;
  memcpy(&pair, w, sizeof pair);
  return _mm512_set1_epi32(pair);
}

/** `rows` <= 8; the rows that are missing repeat the last one and are not stored. `vectors` is a constant at each place
 * of call: the sums stay in registers. */
__attribute__((always_inline)) static inline void row_block(uint32_t *out, const int16_t *w, const int16_t *x,
                                                            size_t rows, size_t pairs, size_t vectors) {
  __m512i acc[GEMM_ROWS][VECTORS];
  const int16_t *row[GEMM_ROWS];
#pragma GCC unroll 8
  for (size_t r = 0; r < GEMM_ROWS; r++) {
    row[r] = w + 2 * pairs * (r < rows ? r : rows - 1);
#pragma GCC unroll 3
    for (size_t v = 0; v < vectors; v++) acc[r][v] = _mm512_setzero_si512();
  }
  for (size_t p = 0; p < pairs; p++) {
    __m512i column[VECTORS];
#pragma GCC unroll 3
    for (size_t v = 0; v < vectors; v++) column[v] = _mm512_load_si512(x + 2 * (p * GEMM_COLUMNS + v * LANES));
#pragma GCC unroll 8
    for (size_t r = 0; r < GEMM_ROWS; r++) {
      const __m512i u = load_pair(row[r] + 2 * p);
#pragma GCC unroll 3
      for (size_t v = 0; v < vectors; v++) acc[r][v] = _mm512_dpwssd_epi32(acc[r][v], column[v], u);
    }
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < GEMM_ROWS; r++) {
    if (r >= rows) break;
#pragma GCC unroll 3
    for (size_t v = 0; v < vectors; v++) _mm512_store_si512(out + r * GEMM_COLUMNS + v * LANES, acc[r][v]);
  }
}

static void gemm_narrow_avx512(uint32_t *out, const int16_t *w, const int16_t *x, size_t rows, size_t pairs,
                               size_t columns) {
  for (size_t r = 0; r < rows; r += GEMM_ROWS) {
    uint32_t *to = out + r * GEMM_COLUMNS;
    const int16_t *from = w + 2 * r * pairs;
    const size_t count = size_min(GEMM_ROWS, rows - r);
    if (columns <= LANES)
      row_block(to, from, x, count, pairs, 1);
    else if (columns <= 2 * LANES)
      row_block(to, from, x, count, pairs, 2);
    else
      row_block(to, from, x, count, pairs, VECTORS);
  }
}

static void gemm_taps_avx512(uint32_t *out, const struct gemm_taps *taps, size_t width, size_t stride) {
  taps_row(out, taps, width, stride);
}

static void gemm_wide_avx512(uint64_t *out, const int16_t *w, size_t stride, const int64_t *x, size_t rows,
                             size_t depth) {
  for (size_t r = 0; r < rows; r++) {
    __m512i acc[GEMM_COLUMNS / WIDE_LANES];
    for (size_t v = 0; v < GEMM_COLUMNS / WIDE_LANES; v++) acc[v] = _mm512_setzero_si512();
    for (size_t k = 0; k < depth; k++) {
      const __m512i weight = _mm512_set1_epi64(w[r * stride + k]);
#pragma GCC unroll 6
      for (size_t v = 0; v < GEMM_COLUMNS / WIDE_LANES; v++)
        acc[v] = _mm512_add_epi64(acc[v],
                                  _mm512_mullo_epi64(weight, _mm512_load_si512(x + k * GEMM_COLUMNS + v * WIDE_LANES)));
    }
    for (size_t v = 0; v < GEMM_COLUMNS / WIDE_LANES; v++)
      _mm512_store_si512(out + r * GEMM_COLUMNS + v * WIDE_LANES, acc[v]);
  }
}

const struct gemm_kernels gemm_kernels_avx512 = {
    .narrow = gemm_narrow_avx512, .taps = gemm_taps_avx512, .wide = gemm_wide_avx512};
