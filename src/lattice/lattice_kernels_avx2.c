/** The AVX2 tier: transforms on 8 lanes, the matrix product by 16-bit word products or 32-bit products. */
#include <immintrin.h>

#include "lattice/lattice_kernels_common.h"

/* --- transforms ------------------------------------------------------------------------------------------------- */

typedef __m256i residues;
enum { LANES = 8 };

struct twiddle {
  __m256i w, shoup;
};

/* x * w mod p in [0, 2p), lane by lane; see mod_multiply_shoup. */
static inline __m256i multiply_shoup(__m256i x, struct twiddle t, __m256i p) {
  const __m256i even = _mm256_srli_epi64(_mm256_mul_epu32(x, t.shoup), 32);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(t.shoup, 32));
  const __m256i quotient = _mm256_blend_epi32(even, odd, 0xAA);
  return _mm256_sub_epi32(_mm256_mullo_epi32(x, t.w), _mm256_mullo_epi32(quotient, p));
}

static inline __m256i subtract_once(__m256i x, __m256i bound) {
  return _mm256_min_epu32(x, _mm256_sub_epi32(x, bound));
}

/* mod_reduce_32. */
static inline __m256i reduce_32(__m256i x, __m256i barrett, __m256i p) {
  const __m256i even = _mm256_srli_epi64(_mm256_mul_epu32(x, barrett), 32);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), barrett);
  return subtract_once(_mm256_sub_epi32(x, _mm256_mullo_epi32(_mm256_blend_epi32(even, odd, 0xAA), p)), p);
}

static inline __m256i load(const uint32_t *a) {
  return _mm256_loadu_si256((const __m256i *)(const void *)a);
}
static inline void store(uint32_t *a, __m256i v) {
  _mm256_storeu_si256((__m256i *)(void *)a, v);
}

static inline __m256i spread(uint32_t v) {
  return _mm256_set1_epi32((int)v);
}
static inline __m256i add_lanes(__m256i x, __m256i y) {
  return _mm256_add_epi32(x, y);
}
static inline __m256i subtract_lanes(__m256i x, __m256i y) {
  return _mm256_sub_epi32(x, y);
}

static inline struct twiddle twiddle_of(uint32_t w, uint32_t shoup) {
  return (struct twiddle){spread(w), spread(shoup)};
}

static inline __m256i first_lanes(size_t lanes) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
/* Its first `lanes` lanes; the others are 0. */
static inline __m256i load_lanes(const uint32_t *a, size_t lanes) {
  return lanes == LANES ? load(a) : _mm256_maskload_epi32((const int *)a, first_lanes(lanes));
}
static inline void store_lanes(uint32_t *a, size_t lanes, __m256i v) {
  if (lanes == LANES) {
    store(a, v);
    return;
  }
  _mm256_maskstore_epi32((int *)a, first_lanes(lanes), v);
}

#include "lattice/ntt_levels.h"

/* The last three levels within 16 values in two registers; elements at level `half`:
 *   half 4: 0-3, 8-11 · half 2: 0 1 4 5, 8 9 12 13 · half 1: 0 4 2 6, 8 12 10 14. */
#define TWIDDLES_4 _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1)
#define TWIDDLES_2 _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)
#define TWIDDLES_1 _mm256_setr_epi32(0, 2, 1, 3, 4, 6, 5, 7)

static inline struct twiddle twiddles(const uint32_t *w, const uint32_t *shoup, size_t at, __m256i order) {
  return (struct twiddle){_mm256_permutevar8x32_epi32(load(w + at), order),
                          _mm256_permutevar8x32_epi32(load(shoup + at), order)};
}

static inline __m256i shuffle_floats(__m256i x, __m256i y, bool odd) {
  const __m256 a = _mm256_castsi256_ps(x), b = _mm256_castsi256_ps(y);
  return _mm256_castps_si256(odd ? _mm256_shuffle_ps(a, b, 0xDD) : _mm256_shuffle_ps(a, b, 0x88));
}

static void forward_last_levels(uint32_t *a, const struct ntt_table *t) {
  const __m256i p = spread(t->m.p), p2 = spread(2 * t->m.p);
  const __m256i barrett = spread(t->m.barrett);
  const __m256i order_4 = TWIDDLES_4, order_2 = TWIDDLES_2, order_1 = TWIDDLES_1;
  const uint32_t *w = t->forward, *shoup = t->forward_shoup;
  for (size_t i = 0; i < t->n; i += 16) {
    const size_t b4 = (t->n + i) / 8, b2 = (t->n + i) / 4, b1 = (t->n + i) / 2;
    const __m256i v0 = load(a + i), v1 = load(a + i + 8);
    __m256i x = _mm256_permute2x128_si256(v0, v1, 0x20), y = _mm256_permute2x128_si256(v0, v1, 0x31);
    butterfly_forward(&x, &y, twiddles(w, shoup, b4, order_4), p, p2);
    __m256i x2 = _mm256_unpacklo_epi64(x, y), y2 = _mm256_unpackhi_epi64(x, y);
    butterfly_forward(&x2, &y2, twiddles(w, shoup, b2, order_2), p, p2);
    x = shuffle_floats(x2, y2, false);
    y = shuffle_floats(x2, y2, true);
    butterfly_forward(&x, &y, twiddles(w, shoup, b1, order_1), p, p2);
    x = reduce_32(x, barrett, p);
    y = reduce_32(y, barrett, p);
    x2 = _mm256_unpacklo_epi32(x, y);
    y2 = _mm256_unpackhi_epi32(x, y);
    x = _mm256_unpacklo_epi64(x2, y2);
    y = _mm256_unpackhi_epi64(x2, y2);
    store(a + i, _mm256_permute2x128_si256(x, y, 0x20));
    store(a + i + 8, _mm256_permute2x128_si256(x, y, 0x31));
  }
}

static void ntt_forward_avx2(uint32_t *a, const struct ntt_table *t) {
  bound_assert(a, t->n, 0, 2 * t->m.p - 1);
  forward_levels(a, t);
  forward_last_levels(a, t);
  bound_assert(a, t->n, 0, t->m.p - 1);
}

static void inverse_first_levels(uint32_t *a, const struct ntt_table *t) {
  const __m256i p = spread(t->m.p), p2 = spread(2 * t->m.p);
  const __m256i order_4 = TWIDDLES_4, order_2 = TWIDDLES_2, order_1 = TWIDDLES_1;
  const uint32_t *w = t->inverse, *shoup = t->inverse_shoup;
  for (size_t i = 0; i < t->n; i += 16) {
    const size_t b4 = (t->n + i) / 8, b2 = (t->n + i) / 4, b1 = (t->n + i) / 2;
    const __m256i v0 = load(a + i), v1 = load(a + i + 8);
    __m256i x = _mm256_permute2x128_si256(v0, v1, 0x20), y = _mm256_permute2x128_si256(v0, v1, 0x31);
    __m256i x2 = _mm256_unpacklo_epi64(x, y), y2 = _mm256_unpackhi_epi64(x, y);
    x = shuffle_floats(x2, y2, false);
    y = shuffle_floats(x2, y2, true);
    butterfly_inverse(&x, &y, twiddles(w, shoup, b1, order_1), p, p2);
    x2 = _mm256_unpacklo_epi32(x, y);
    y2 = _mm256_unpackhi_epi32(x, y);
    butterfly_inverse(&x2, &y2, twiddles(w, shoup, b2, order_2), p, p2);
    x = _mm256_unpacklo_epi64(x2, y2);
    y = _mm256_unpackhi_epi64(x2, y2);
    butterfly_inverse(&x, &y, twiddles(w, shoup, b4, order_4), p, p2);
    store(a + i, _mm256_permute2x128_si256(x, y, 0x20));
    store(a + i + 8, _mm256_permute2x128_si256(x, y, 0x31));
  }
}

static void ntt_inverse_avx2(uint32_t *a, const struct ntt_table *t) {
  bound_assert(a, t->n, 0, 2 * t->m.p - 1);
  inverse_first_levels(a, t);
  inverse_levels(a, t);
  bound_assert(a, t->n, 0, t->m.p - 1);
}

static void columns_forward_avx2(uint32_t *a, size_t stride, size_t columns, const struct ntt_table *t) {
  columns_forward_levels(a, stride, columns, t);
}

static void columns_inverse_avx2(uint32_t *a, size_t stride, size_t columns, const struct ntt_table *t) {
  columns_inverse_levels(a, stride, columns, t);
}

/* --- the matrix product ----------------------------------------------------------------------------------------- */

enum {
  OUTS = 2,           /* outputs computed together: 8 accumulators with 4 panel registers */
  QUARTER_LANES = 16, /* lanes computed together */
  PANEL_PAIR = 4 * 32 /* a pair of rows of those lanes as words: two registers of low digits, two of high ones */
};

static fusion_status matrix_pack_avx2(struct matrix_weights *w, const int16_t *weights, size_t outs, size_t rows,
                                      unsigned weight_bits) {
  return matrix_pack_groups(w, weights, outs, rows, weight_bits, OUTS);
}

static size_t matrix_scratch_avx2(size_t rows) {
  return row_pairs(rows) * PANEL_PAIR;
}

static inline __m256i load_signed(const int32_t *a) {
  return _mm256_loadu_si256((const __m256i *)(const void *)a);
}

static void pack_panel(int8_t *panel, const int32_t *a, const uint32_t *row_base, size_t rows) {
  const __m256i round = _mm256_set1_epi32(1 << (WORD_BITS - 1));
  for (size_t r = 0; r < rows; r += 2, panel += PANEL_PAIR) {
    for (size_t half = 0; half < 2; half++) {
      const __m256i v0 = load_signed(a + row_base[r] + 8 * half);
      const __m256i v1 = r + 1 < rows ? load_signed(a + row_base[r + 1] + 8 * half) : _mm256_setzero_si256();
      const __m256i low0 = _mm256_srai_epi32(_mm256_slli_epi32(v0, 32 - WORD_BITS), 32 - WORD_BITS);
      const __m256i low1 = _mm256_srai_epi32(_mm256_slli_epi32(v1, 32 - WORD_BITS), 16 - WORD_BITS);
      const __m256i high0 = _mm256_srai_epi32(_mm256_add_epi32(v0, round), WORD_BITS);
      const __m256i high1 = _mm256_slli_epi32(_mm256_srai_epi32(_mm256_add_epi32(v1, round), WORD_BITS), 16);
      _mm256_store_si256((__m256i *)(void *)(panel + 32 * half), _mm256_blend_epi16(low0, low1, 0xAA));
      _mm256_store_si256((__m256i *)(void *)(panel + 64 + 32 * half), _mm256_blend_epi16(high0, high1, 0xAA));
    }
  }
}

static inline __attribute__((always_inline)) void add_wide(int64_t *out, __m256i low, __m256i high, bool fresh) {
  for (int k = 0; k < 2; k++) {
    __m256i *at = (__m256i *)(void *)(out + 4 * k);
    const __m128i l = k ? _mm256_extracti128_si256(low, 1) : _mm256_castsi256_si128(low);
    const __m128i h = k ? _mm256_extracti128_si256(high, 1) : _mm256_castsi256_si128(high);
    __m256i sum = _mm256_add_epi64(_mm256_cvtepi32_epi64(l), _mm256_slli_epi64(_mm256_cvtepi32_epi64(h), WORD_BITS));
    if (!fresh) sum = _mm256_add_epi64(sum, _mm256_loadu_si256(at));
    _mm256_storeu_si256(at, sum);
  }
}

static inline __attribute__((always_inline)) void words_group(int64_t *out, const int8_t *panel, const int32_t *weights,
                                                              size_t pairs, size_t block, int count) {
  for (size_t begin = 0; begin < pairs; begin += block) {
    const size_t end = size_min(begin + block, pairs);
    __m256i sum[OUTS][4];
    for (int o = 0; o < count; o++)
      for (int k = 0; k < 4; k++) sum[o][k] = _mm256_setzero_si256();
    for (size_t r = begin; r < end; r++) {
      __m256i lanes[4];
      for (int k = 0; k < 4; k++)
        lanes[k] = _mm256_load_si256((const __m256i *)(const void *)(panel + r * PANEL_PAIR + 32 * (size_t)k));
      for (int o = 0; o < count; o++) {
        const __m256i w = _mm256_set1_epi32(weights[r * OUTS + (size_t)o]);
        for (int k = 0; k < 4; k++) sum[o][k] = _mm256_add_epi32(sum[o][k], _mm256_madd_epi16(lanes[k], w));
      }
    }
    for (int o = 0; o < count; o++)
      for (int k = 0; k < 2; k++) add_wide(out + o * MATRIX_LANES + 8 * k, sum[o][k], sum[o][2 + k], begin == 0);
  }
}

static inline __attribute__((always_inline)) void wide_group(int64_t *out, const int32_t *a, const uint32_t *row_base,
                                                             const int64_t *weights, size_t rows, int count) {
  __m256i sum[OUTS][4];
  for (int o = 0; o < count; o++)
    for (int k = 0; k < 4; k++) sum[o][k] = _mm256_setzero_si256();
  for (size_t r = 0; r < rows; r++) {
    __m256i lanes[4];
    for (int k = 0; k < 4; k++)
      lanes[k] = _mm256_cvtepi32_epi64(_mm_loadu_si128((const __m128i *)(const void *)(a + row_base[r] + 4 * k)));
    for (int o = 0; o < count; o++) {
      const __m256i w = _mm256_set1_epi64x(weights[r * OUTS + (size_t)o]);
      for (int k = 0; k < 4; k++) sum[o][k] = _mm256_add_epi64(sum[o][k], _mm256_mul_epi32(lanes[k], w));
    }
  }
  for (int o = 0; o < count; o++)
    for (int k = 0; k < 4; k++) _mm256_storeu_si256((__m256i *)(void *)(out + o * MATRIX_LANES + 4 * k), sum[o][k]);
}

static void matrix_avx2(int64_t *out, const int32_t *a, const uint32_t *row_base, const struct matrix_weights *w,
                        void *scratch) {
  matrix_assert_lanes(a, row_base, w);
  const size_t rows = w->rows, pairs = row_pairs(rows);
  const bool words = w->weight_bits <= WORD_WEIGHT_BITS;
  const size_t block = words ? word_block(w->weight_bits) / 2 : 0;
  for (size_t first = 0; first < MATRIX_LANES; first += QUARTER_LANES) {
    const int32_t *lanes = a + first;
    if (words) pack_panel(scratch, lanes, row_base, rows);
    for (size_t o = 0; o < w->outs; o += OUTS) {
      int64_t *at = out + o * MATRIX_LANES + first;
      const bool pair = o + 1 < w->outs;
      const int32_t *pair_weights = (const int32_t *)w->packed + o * pairs;
      const int64_t *wide_weights = (const int64_t *)w->packed + o * rows;
      if (words && pair)
        words_group(at, scratch, pair_weights, pairs, block, 2);
      else if (words)
        words_group(at, scratch, pair_weights, pairs, block, 1);
      else if (pair)
        wide_group(at, lanes, row_base, wide_weights, rows, 2);
      else
        wide_group(at, lanes, row_base, wide_weights, rows, 1);
    }
  }
  matrix_assert_sums(out, w);
}

/* t / 2^32 modulo p in the high words, at most t / 2^32 + p; t < 2^63. */
static inline __m256i montgomery_step(__m256i t, __m256i neg_inverse, __m256i p) {
  return _mm256_add_epi64(t, _mm256_mul_epu32(_mm256_mul_epu32(t, neg_inverse), p));
}

static void multiply_sum_avx2(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t step, size_t terms,
                              size_t count, const struct modulus *m) {
  const __m256i p = _mm256_set1_epi32((int)m->p), neg_inverse = _mm256_set1_epi32((int)m->neg_inverse);
  if (count % 8) {
    multiply_sum_common(out, a, b, step, terms, count, m);
    return;
  }
  for (size_t k = 0; BOUND_ASSERTS && k < terms; k++) {
    bound_assert(a + k * count, count, 0, m->p - 1);
    bound_assert(b + k * step, count, 0, m->p - 1);
  }
  for (size_t i = 0; i < count; i += 8) {
    __m256i even = _mm256_setzero_si256(), odd = even;
    for (size_t k = 0; k < terms; k++) {
      const __m256i x = load(a + k * count + i), y = load(b + k * step + i);
      even = _mm256_add_epi64(even, _mm256_mul_epu32(x, y));
      odd = _mm256_add_epi64(odd, _mm256_mul_epu32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(y, 32)));
    }
    even = _mm256_srli_epi64(montgomery_step(even, neg_inverse, p), 32);
    odd = montgomery_step(odd, neg_inverse, p);
    store(out + i, subtract_once(_mm256_blend_epi32(even, odd, 0xAA), p));
  }
  bound_assert(out, count, 0, m->p - 1);
}

/* mod_reduce_63 of 8 sums in words of 64 bits, of even and of odd columns. */
static inline __m256i reduce_63(__m256i even, __m256i odd, const struct modulus *m) {
  const __m256i p = _mm256_set1_epi32((int)m->p), p2 = _mm256_set1_epi32((int)(2 * m->p));
  const __m256i r1 = _mm256_set1_epi32((int)m->r1), r2 = _mm256_set1_epi32((int)m->r2);
  const __m256i neg_inverse = _mm256_set1_epi32((int)m->neg_inverse);
  __m256i *const half[2] = {&even, &odd};
  for (int k = 0; k < 2; k++) {
    const __m256i u = *half[k];
    const __m256i t = _mm256_add_epi64(_mm256_mul_epu32(u, r1), _mm256_mul_epu32(_mm256_srli_epi64(u, 32), r2));
    *half[k] = montgomery_step(t, neg_inverse, p);
  }
  const __m256i v = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
  return subtract_once(subtract_once(v, p2), p);
}

enum { PRODUCT_OUTS = 4 /* outputs computed together: 8 accumulators */ };

/* Each of `count` outputs on 8 columns: the sums of even ones and of odd ones. */
static inline __attribute__((always_inline)) void product_group(uint32_t *out, const uint32_t *a, const uint32_t *b,
                                                                const struct residue_product *s,
                                                                const struct modulus *m, int count) {
  __m256i even[PRODUCT_OUTS], odd[PRODUCT_OUTS];
  for (int o = 0; o < count; o++) even[o] = odd[o] = _mm256_setzero_si256();
  for (size_t k = 0; k < s->terms; k++) {
    const __m256i y = load(b + s->row_base[k]), shifted = _mm256_srli_epi64(y, 32);
    for (int o = 0; o < count; o++) {
      const __m256i x = _mm256_set1_epi32((int)a[(size_t)o * s->terms + k]);
      even[o] = _mm256_add_epi64(even[o], _mm256_mul_epu32(x, y));
      odd[o] = _mm256_add_epi64(odd[o], _mm256_mul_epu32(x, shifted));
    }
  }
  for (int o = 0; o < count; o++) store(out + (size_t)o * s->columns, reduce_63(even[o], odd[o], m));
}

static void product_avx2(uint32_t *out, const uint32_t *a, const uint32_t *b, const struct residue_product *s,
                         const struct modulus *m) {
  if (s->columns % 8) {
    product_common(out, a, b, s, m);
    return;
  }
  product_assert(a, b, s, m->p);
  for (size_t o = 0; o < s->outs; o += PRODUCT_OUTS) {
    const uint32_t *rows = a + o * s->terms;
    for (size_t i = 0; i < s->columns; i += 8) {
      uint32_t *at = out + o * s->columns + i;
      switch (s->outs - o) {
        case 1: product_group(at, rows, b + i, s, m, 1); break;
        case 2: product_group(at, rows, b + i, s, m, 2); break;
        case 3: product_group(at, rows, b + i, s, m, 3); break;
        default: product_group(at, rows, b + i, s, m, PRODUCT_OUTS);
      }
    }
  }
  bound_assert(out, s->outs * s->columns, 0, m->p - 1);
}

/* Eight rows of eight words: two of four each in a register, exchanged by steps of 1, 2 and 4 words. */
static inline void transpose_block(uint32_t *out, size_t out_stride, const uint32_t *in, size_t in_stride) {
  __m256i x[8], y[8];
  for (size_t k = 0; k < 8; k++) x[k] = load(in + k * in_stride);
  for (size_t k = 0; k < 8; k += 2) {
    y[k] = _mm256_unpacklo_epi32(x[k], x[k + 1]);
    y[k + 1] = _mm256_unpackhi_epi32(x[k], x[k + 1]);
  }
  for (size_t k = 0; k < 8; k += 4) {
    x[k] = _mm256_unpacklo_epi64(y[k], y[k + 2]);
    x[k + 1] = _mm256_unpackhi_epi64(y[k], y[k + 2]);
    x[k + 2] = _mm256_unpacklo_epi64(y[k + 1], y[k + 3]);
    x[k + 3] = _mm256_unpackhi_epi64(y[k + 1], y[k + 3]);
  }
  for (size_t k = 0; k < 4; k++) {
    store(out + k * out_stride, _mm256_permute2x128_si256(x[k], x[k + 4], 0x20));
    store(out + (k + 4) * out_stride, _mm256_permute2x128_si256(x[k], x[k + 4], 0x31));
  }
}

void lattice_transpose_avx2(uint32_t *out, size_t out_stride, const uint32_t *in, size_t in_stride, size_t rows,
                            size_t columns) {
  const size_t i_end = rows - rows % 8, j_end = columns - columns % 8;
  for (size_t j = 0; j < j_end; j += 8)
    for (size_t i = 0; i < i_end; i += 8)
      transpose_block(out + j * out_stride + i, out_stride, in + i * in_stride + j, in_stride);
  transpose_common(out + j_end * out_stride, out_stride, in + j_end, in_stride, i_end, columns - j_end);
  transpose_common(out + i_end, out_stride, in + i_end * in_stride, in_stride, rows - i_end, columns);
}

const struct lattice_kernels lattice_kernels_avx2 = {
    .ntt_forward = ntt_forward_avx2,
    .ntt_inverse = ntt_inverse_avx2,
    .columns_forward = columns_forward_avx2,
    .columns_inverse = columns_inverse_avx2,
    .multiply = multiply_common,
    .multiply_sum = multiply_sum_avx2,
    .product = product_avx2,
    .reduce_signed = reduce_signed_common,
    .add = add_common,
    .subtract = subtract_common,
    .centre_wide = centre_wide_common,
    .centre_extend = centre_extend_common,
    .add_small = add_small_common,
    .lift = lift_common,
    .encode = encode_common,
    .accept_below = accept_below_common,
    .noise = noise_common,
    .ternary = ternary_common,
    .add_fraction = add_fraction_common,
    .mixed_digit = mixed_digit_common,
    .compose = compose_common,
    .cut_digits = cut_digits_common,
    .transpose = lattice_transpose_avx2,
    .matrix_pack = matrix_pack_avx2,
    .matrix_scratch = matrix_scratch_avx2,
    .matrix = matrix_avx2,
};
