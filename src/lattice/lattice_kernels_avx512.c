/** The AVX-512 tier: transforms and products of residues on 16 lanes by IFMA, the matrix product by VNNI word products
 * (weights of at most 13 bits) or IFMA. */
#include <immintrin.h>

#include "lattice/lattice_kernels_common.h"

/* --- transforms ------------------------------------------------------------------------------------------------- */

typedef __m512i residues;
enum { LANES = 16 };

/* Of even and of odd lanes: the low words of 64 bits count. Shoup companions are times 2^20, and nothing lies beside
 * them: then the high half of a 104-bit product is the quotient. */
struct twiddle {
  __m512i w, w_odd, shoup, shoup_odd;
};

/* x * w mod p in [0, 2p), lane by lane; see mod_multiply_shoup. IFMA takes 4 cycles, a 32-bit product 10. */
static inline __m512i multiply_shoup(__m512i x, struct twiddle t, __m512i p) {
  const __m512i zero = _mm512_setzero_si512(), minus_p = _mm512_sub_epi32(zero, p);
  const __m512i odd = _mm512_srli_epi64(x, 32);
  const __m512i quotient = _mm512_madd52hi_epu64(zero, _mm512_maskz_mov_epi32(0x5555, x), t.shoup);
  const __m512i quotient_odd = _mm512_madd52hi_epu64(zero, odd, t.shoup_odd);
  const __m512i rest = _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(zero, x, t.w), quotient, minus_p);
  const __m512i rest_odd = _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(zero, odd, t.w_odd), quotient_odd, minus_p);
  return _mm512_mask_blend_epi32(0xAAAA, rest, _mm512_shuffle_epi32(rest_odd, _MM_PERM_CCAA));
}

static inline __m512i subtract_once(__m512i x, __m512i bound) {
  return _mm512_min_epu32(x, _mm512_sub_epi32(x, bound));
}

/* mod_reduce_32. */
static inline __m512i reduce_32(__m512i x, __m512i barrett, __m512i p) {
  const __m512i even = _mm512_mul_epu32(x, barrett), odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), barrett);
  const __m512i quotient = _mm512_mask_blend_epi32(0x5555, odd, _mm512_shuffle_epi32(even, _MM_PERM_DDBB));
  return subtract_once(_mm512_sub_epi32(x, _mm512_mullo_epi32(quotient, p)), p);
}

static inline __m512i load(const uint32_t *a) {
  return _mm512_loadu_si512(a);
}
static inline void store(uint32_t *a, __m512i v) {
  _mm512_storeu_si512(a, v);
}

static inline __m512i spread(uint32_t v) {
  return _mm512_set1_epi32((int)v);
}
static inline __m512i add_lanes(__m512i x, __m512i y) {
  return _mm512_add_epi32(x, y);
}
static inline __m512i subtract_lanes(__m512i x, __m512i y) {
  return _mm512_sub_epi32(x, y);
}

static inline struct twiddle twiddle_of(uint32_t w, uint32_t shoup) {
  const __m512i of_w = spread(w), of_shoup = _mm512_set1_epi64((int64_t)shoup << 20);
  return (struct twiddle){of_w, of_w, of_shoup, of_shoup};
}

static inline __mmask16 first_lanes(size_t lanes) {
  return (__mmask16)low_mask((unsigned)lanes);
}
/* Its first `lanes` lanes; the others are 0. */
static inline __m512i load_lanes(const uint32_t *a, size_t lanes) {
  return lanes == LANES ? load(a) : _mm512_maskz_loadu_epi32(first_lanes(lanes), a);
}
static inline void store_lanes(uint32_t *a, size_t lanes, __m512i v) {
  _mm512_mask_storeu_epi32(a, first_lanes(lanes), v);
}

#include "lattice/ntt_levels.h"

/* The last four levels work within 32 values in two registers. At level `half` the registers hold the elements without
 * and with bit `half` set, in an order that suits cheap shuffles:
 *   half 8: 0-7, 16-23 · half 4: 0-3, 16-19, 8-11, 24-27 · half 2: 0 1 4 5, 16 17 20 21, 8 9 12 13, 24 25 28 29 ·
 *   half 1: 0 4 2 6, 16 20 18 22, 8 12 10 14, 24 28 26 30. The twiddle of an element is number element / (2 half). */
#define TWIDDLES_8 _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)
#define TWIDDLES_4 _mm512_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2, 1, 1, 1, 1, 3, 3, 3, 3)
#define TWIDDLES_2 _mm512_setr_epi32(0, 0, 1, 1, 4, 4, 5, 5, 2, 2, 3, 3, 6, 6, 7, 7)
#define TWIDDLES_1 _mm512_setr_epi32(0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15)

static inline struct twiddle twiddles(const uint32_t *w, const uint32_t *shoup, size_t at, __m512i order) {
  const __m512i of_w = _mm512_permutexvar_epi32(order, load(w + at));
  const __m512i of_shoup = _mm512_permutexvar_epi32(order, load(shoup + at));
  return (struct twiddle){of_w, _mm512_srli_epi64(of_w, 32), _mm512_slli_epi64(of_shoup, 20),
                          _mm512_slli_epi64(_mm512_srli_epi64(of_shoup, 32), 20)};
}

static inline __m512i shuffle_floats(__m512i x, __m512i y, bool odd) {
  const __m512 a = _mm512_castsi512_ps(x), b = _mm512_castsi512_ps(y);
  return _mm512_castps_si512(odd ? _mm512_shuffle_ps(a, b, 0xDD) : _mm512_shuffle_ps(a, b, 0x88));
}

/* Pairs of registers side by side: a product by a twiddle takes long, and twice as many are under way. */
enum { PAIRS = 2 };

struct pair {
  __m512i x, y;
};

static void forward_last_levels(uint32_t *a, const struct ntt_table *t) {
  const __m512i p = spread(t->m.p), p2 = spread(2 * t->m.p);
  const __m512i barrett = spread(t->m.barrett);
  const __m512i order_8 = TWIDDLES_8, order_4 = TWIDDLES_4, order_2 = TWIDDLES_2, order_1 = TWIDDLES_1;
  const __m512i first = _mm512_setr_epi32(0, 16, 2, 18, 1, 17, 3, 19, 8, 24, 10, 26, 9, 25, 11, 27);
  const __m512i second = _mm512_setr_epi32(4, 20, 6, 22, 5, 21, 7, 23, 12, 28, 14, 30, 13, 29, 15, 31);
  const uint32_t *w = t->forward, *shoup = t->forward_shoup;
  for (size_t i = 0; i < t->n; i += 32 * PAIRS) {
    const size_t b8 = (t->n + i) / 16, b4 = (t->n + i) / 8, b2 = (t->n + i) / 4, b1 = (t->n + i) / 2;
    struct pair v[PAIRS], u[PAIRS];
    for (size_t k = 0; k < PAIRS; k++) {
      const __m512i v0 = load(a + i + 32 * k), v1 = load(a + i + 32 * k + 16);
      v[k] = (struct pair){_mm512_shuffle_i64x2(v0, v1, 0x44), _mm512_shuffle_i64x2(v0, v1, 0xEE)};
    }
    for (size_t k = 0; k < PAIRS; k++) {
      butterfly_forward(&v[k].x, &v[k].y, twiddles(w, shoup, b8 + 2 * k, order_8), p, p2);
      u[k] = (struct pair){_mm512_shuffle_i32x4(v[k].x, v[k].y, 0x88), _mm512_shuffle_i32x4(v[k].x, v[k].y, 0xDD)};
    }
    for (size_t k = 0; k < PAIRS; k++) {
      butterfly_forward(&u[k].x, &u[k].y, twiddles(w, shoup, b4 + 4 * k, order_4), p, p2);
      v[k] = (struct pair){_mm512_unpacklo_epi64(u[k].x, u[k].y), _mm512_unpackhi_epi64(u[k].x, u[k].y)};
    }
    for (size_t k = 0; k < PAIRS; k++) {
      butterfly_forward(&v[k].x, &v[k].y, twiddles(w, shoup, b2 + 8 * k, order_2), p, p2);
      u[k] = (struct pair){shuffle_floats(v[k].x, v[k].y, false), shuffle_floats(v[k].x, v[k].y, true)};
    }
    for (size_t k = 0; k < PAIRS; k++)
      butterfly_forward(&u[k].x, &u[k].y, twiddles(w, shoup, b1 + 16 * k, order_1), p, p2);
    for (size_t k = 0; k < PAIRS; k++) {
      const __m512i x = reduce_32(u[k].x, barrett, p), y = reduce_32(u[k].y, barrett, p);
      store(a + i + 32 * k, _mm512_permutex2var_epi32(x, first, y));
      store(a + i + 32 * k + 16, _mm512_permutex2var_epi32(x, second, y));
    }
  }
}

static void ntt_forward_avx512(uint32_t *a, const struct ntt_table *t) {
  if (t->n < 32 * PAIRS) {
    ntt_forward_c(a, t);
    return;
  }
  bound_assert(a, t->n, 0, 2 * t->m.p - 1);
  forward_levels(a, t);
  forward_last_levels(a, t);
  bound_assert(a, t->n, 0, t->m.p - 1);
}

static void inverse_first_levels(uint32_t *a, const struct ntt_table *t) {
  const __m512i p = spread(t->m.p), p2 = spread(2 * t->m.p);
  const __m512i order_8 = TWIDDLES_8, order_4 = TWIDDLES_4, order_2 = TWIDDLES_2, order_1 = TWIDDLES_1;
  const __m512i even = _mm512_setr_epi32(0, 4, 2, 6, 16, 20, 18, 22, 8, 12, 10, 14, 24, 28, 26, 30);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  const __m512i to_8_low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
  const __m512i to_8_high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  const uint32_t *w = t->inverse, *shoup = t->inverse_shoup;
  for (size_t i = 0; i < t->n; i += 32 * PAIRS) {
    const size_t b8 = (t->n + i) / 16, b4 = (t->n + i) / 8, b2 = (t->n + i) / 4, b1 = (t->n + i) / 2;
    struct pair v[PAIRS], u[PAIRS];
    for (size_t k = 0; k < PAIRS; k++) {
      const __m512i v0 = load(a + i + 32 * k), v1 = load(a + i + 32 * k + 16);
      v[k] = (struct pair){_mm512_permutex2var_epi32(v0, even, v1), _mm512_permutex2var_epi32(v0, odd, v1)};
    }
    for (size_t k = 0; k < PAIRS; k++) {
      butterfly_inverse(&v[k].x, &v[k].y, twiddles(w, shoup, b1 + 16 * k, order_1), p, p2);
      u[k] = (struct pair){_mm512_unpacklo_epi32(v[k].x, v[k].y), _mm512_unpackhi_epi32(v[k].x, v[k].y)};
    }
    for (size_t k = 0; k < PAIRS; k++) {
      butterfly_inverse(&u[k].x, &u[k].y, twiddles(w, shoup, b2 + 8 * k, order_2), p, p2);
      v[k] = (struct pair){_mm512_unpacklo_epi64(u[k].x, u[k].y), _mm512_unpackhi_epi64(u[k].x, u[k].y)};
    }
    for (size_t k = 0; k < PAIRS; k++) {
      butterfly_inverse(&v[k].x, &v[k].y, twiddles(w, shoup, b4 + 4 * k, order_4), p, p2);
      u[k] = (struct pair){_mm512_permutex2var_epi64(v[k].x, to_8_low, v[k].y),
                           _mm512_permutex2var_epi64(v[k].x, to_8_high, v[k].y)};
    }
    for (size_t k = 0; k < PAIRS; k++) {
      butterfly_inverse(&u[k].x, &u[k].y, twiddles(w, shoup, b8 + 2 * k, order_8), p, p2);
      store(a + i + 32 * k, _mm512_shuffle_i64x2(u[k].x, u[k].y, 0x44));
      store(a + i + 32 * k + 16, _mm512_shuffle_i64x2(u[k].x, u[k].y, 0xEE));
    }
  }
}

static void ntt_inverse_avx512(uint32_t *a, const struct ntt_table *t) {
  if (t->n < 32 * PAIRS) {
    ntt_inverse_c(a, t);
    return;
  }
  bound_assert(a, t->n, 0, 2 * t->m.p - 1);
  inverse_first_levels(a, t);
  inverse_levels(a, t);
  bound_assert(a, t->n, 0, t->m.p - 1);
}

static void columns_forward_avx512(uint32_t *a, size_t stride, size_t columns, const struct ntt_table *t) {
  columns_forward_levels(a, stride, columns, t);
}

static void columns_inverse_avx512(uint32_t *a, size_t stride, size_t columns, const struct ntt_table *t) {
  columns_inverse_levels(a, stride, columns, t);
}

static size_t accept_below_avx512(uint32_t *out, size_t want, const uint32_t *words, size_t count, uint32_t p) {
  const __m512i mask = _mm512_set1_epi32((int)low_mask(RLWE_LIMB_BITS)), bound = _mm512_set1_epi32((int)p);
  size_t got = 0, i = 0;
  for (; i + 16 <= count && got + 16 <= want; i += 16) {
    const __m512i v = _mm512_and_si512(_mm512_loadu_si512(words + i), mask);
    const __mmask16 below = _mm512_cmplt_epu32_mask(v, bound);
    _mm512_storeu_si512(out + got, _mm512_maskz_compress_epi32(below, v));
    /* gcc 12 may spill the mask as 16 bits and count 32 (seen with -fsanitize=thread): the bits are cut in a register.
     */
    uint32_t bits = below;
    __asm__("" : "+r"(bits));
    got += (size_t)__builtin_popcount(bits & 0xffff);
  }
  bound_assert(out, got, 0, p - 1);
  return got + accept_below_common(out + got, want - got, words + i, count - i, p);
}

/* One 64-bit half of a Montgomery product of the even lanes: t + (t * neg_inverse mod 2^32) * p, its result in the high
 * word. */
static inline __m512i montgomery_step(__m512i t, __m512i neg_inverse, __m512i p) {
  return _mm512_add_epi64(t, _mm512_mul_epu32(_mm512_mul_epu32(t, neg_inverse), p));
}

static void multiply_avx512(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t count,
                            const struct modulus *m) {
  const __m512i p = _mm512_set1_epi32((int)m->p), neg_inverse = _mm512_set1_epi32((int)m->neg_inverse);
  bound_assert(a, count, 0, MULTIPLY_BOUND - 1);
  bound_assert(b, count, 0, m->p - 1);
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m512i x = load(a + i), y = load(b + i);
    const __m512i even = montgomery_step(_mm512_mul_epu32(x, y), neg_inverse, p);
    const __m512i odd =
        montgomery_step(_mm512_mul_epu32(_mm512_srli_epi64(x, 32), _mm512_srli_epi64(y, 32)), neg_inverse, p);
    store(out + i, subtract_once(_mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd), p));
  }
  multiply_common(out + i, a + i, b + i, count - i, m);
  bound_assert(out, count, 0, m->p - 1);
}

static void multiply_sum_avx512(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t step, size_t terms,
                                size_t count, const struct modulus *m) {
  const __m512i p = _mm512_set1_epi32((int)m->p), neg_inverse = _mm512_set1_epi32((int)m->neg_inverse);
  for (size_t k = 0; BOUND_ASSERTS && k < terms; k++) {
    bound_assert(a + k * count, count, 0, m->p - 1);
    bound_assert(b + k * step, count, 0, m->p - 1);
  }
  for (size_t i = 0; i < count; i += 16) {
    const __mmask16 lanes = first_lanes(size_min(LANES, count - i));
    __m512i even = _mm512_setzero_si512(), odd = even;
    for (size_t k = 0; k < terms; k++) {
      const __m512i x = _mm512_maskz_loadu_epi32(lanes, a + k * count + i);
      const __m512i y = _mm512_maskz_loadu_epi32(lanes, b + k * step + i);
      even = _mm512_add_epi64(even, _mm512_mul_epu32(x, y));
      odd = _mm512_add_epi64(odd, _mm512_mul_epu32(_mm512_srli_epi64(x, 32), _mm512_srli_epi64(y, 32)));
    }
    even = _mm512_srli_epi64(montgomery_step(even, neg_inverse, p), 32);
    odd = montgomery_step(odd, neg_inverse, p);
    _mm512_mask_storeu_epi32(out + i, lanes, subtract_once(_mm512_mask_blend_epi32(0xAAAA, even, odd), p));
  }
  bound_assert(out, count, 0, m->p - 1);
}

/* --- the matrix product ----------------------------------------------------------------------------------------- */

enum {
  OUTS = 6,        /* outputs computed together: 24 accumulators with 4 panel registers */
  HALF_LANES = 32, /* lanes computed together */
};

static fusion_status matrix_pack_avx512(struct matrix_weights *w, const int16_t *weights, size_t outs, size_t rows,
                                        unsigned weight_bits) {
  return matrix_pack_groups(w, weights, outs, rows, weight_bits, OUTS);
}

/* A pair of rows of HALF_LANES lanes as words: two registers of low digits, two of high digits. */
enum { PANEL_PAIR = 4 * 64 };

static size_t matrix_scratch_avx512(size_t rows) {
  return row_pairs(rows) * PANEL_PAIR;
}

static void pack_panel(int8_t *panel, const int32_t *a, const uint32_t *row_base, size_t rows) {
  const __m512i round = _mm512_set1_epi32(1 << (WORD_BITS - 1));
  for (size_t r = 0; r < rows; r += 2, panel += PANEL_PAIR) {
    for (size_t half = 0; half < 2; half++) {
      const __m512i v0 = _mm512_loadu_si512(a + row_base[r] + 16 * half);
      const __m512i v1 = r + 1 < rows ? _mm512_loadu_si512(a + row_base[r + 1] + 16 * half) : _mm512_setzero_si512();
      const __m512i low0 = _mm512_srai_epi32(_mm512_slli_epi32(v0, 32 - WORD_BITS), 32 - WORD_BITS);
      const __m512i low1 = _mm512_srai_epi32(_mm512_slli_epi32(v1, 32 - WORD_BITS), 16 - WORD_BITS);
      const __m512i high0 = _mm512_srai_epi32(_mm512_add_epi32(v0, round), WORD_BITS);
      const __m512i high1 = _mm512_slli_epi32(_mm512_srai_epi32(_mm512_add_epi32(v1, round), WORD_BITS), 16);
      _mm512_store_si512(panel + 64 * half, _mm512_mask_blend_epi16(0xAAAAAAAA, low0, low1));
      _mm512_store_si512(panel + 128 + 64 * half, _mm512_mask_blend_epi16(0xAAAAAAAA, high0, high1));
    }
  }
}

static inline __attribute__((always_inline)) void add_wide(int64_t *out, __m512i low, __m512i high, bool fresh) {
  for (int k = 0; k < 2; k++) {
    const __m256i l = k ? _mm512_extracti64x4_epi64(low, 1) : _mm512_castsi512_si256(low);
    const __m256i h = k ? _mm512_extracti64x4_epi64(high, 1) : _mm512_castsi512_si256(high);
    __m512i sum = _mm512_add_epi64(_mm512_cvtepi32_epi64(l), _mm512_slli_epi64(_mm512_cvtepi32_epi64(h), WORD_BITS));
    if (!fresh) sum = _mm512_add_epi64(sum, _mm512_loadu_si512(out + 8 * k));
    _mm512_storeu_si512(out + 8 * k, sum);
  }
}

/* *sum += pairs of products. By intrinsic gcc copies the 24 sums about, and half of them through memory: half the
 * speed. */
static inline __attribute__((always_inline)) void add_products(__m512i *sum, __m512i a, __m512i b) {
#if defined(__clang__)
  *sum = _mm512_dpwssd_epi32(*sum, a, b);
#else
  __asm__("vpdpwssd %2, %1, %0" : "+v"(*sum) : "v"(a), "v"(b));
#endif
}

/* `count` outputs of a group on HALF_LANES lanes; count is a constant at each call and every loop over the sums is
 * unrolled, so that they stay in registers: a single loop that is not sends them all through memory. */
static inline __attribute__((always_inline)) void words_group(int64_t *out, const int8_t *panel, const int32_t *weights,
                                                              size_t pairs, size_t block, int count) {
  for (size_t begin = 0; begin < pairs; begin += block) {
    const size_t end = size_min(begin + block, pairs);
    __m512i sum[OUTS][4];
#pragma GCC unroll 8
    for (int o = 0; o < count; o++)
#pragma GCC unroll 8
      for (int k = 0; k < 4; k++) sum[o][k] = _mm512_setzero_si512();
    for (size_t r = begin; r < end; r++) {
      __m512i lanes[4];
#pragma GCC unroll 8
      for (int k = 0; k < 4; k++) lanes[k] = _mm512_load_si512(panel + r * PANEL_PAIR + 64 * k);
#pragma GCC unroll 8
      for (int o = 0; o < count; o++) {
        const __m512i w = _mm512_set1_epi32(weights[r * OUTS + (size_t)o]);
#pragma GCC unroll 8
        for (int k = 0; k < 4; k++) add_products(&sum[o][k], lanes[k], w);
      }
    }
#pragma GCC unroll 8
    for (int o = 0; o < count; o++)
#pragma GCC unroll 8
      for (int k = 0; k < 2; k++) add_wide(out + o * MATRIX_LANES + 16 * k, sum[o][k], sum[o][2 + k], begin == 0);
  }
}

static inline __attribute__((always_inline)) void wide_group(int64_t *out, const int32_t *a, const uint32_t *row_base,
                                                             const int64_t *weights, size_t rows, size_t block,
                                                             int count) {
  for (size_t begin = 0; begin < rows; begin += block) {
    const size_t end = size_min(begin + block, rows);
    __m512i sum[OUTS][4];
#pragma GCC unroll 8
    for (int o = 0; o < count; o++)
#pragma GCC unroll 8
      for (int k = 0; k < 4; k++) sum[o][k] = _mm512_setzero_si512();
    for (size_t r = begin; r < end; r++) {
      __m512i lanes[4];
#pragma GCC unroll 8
      for (int k = 0; k < 4; k++)
        lanes[k] = _mm512_cvtepi32_epi64(_mm256_loadu_si256((const __m256i *)(const void *)(a + row_base[r] + 8 * k)));
#pragma GCC unroll 8
      for (int o = 0; o < count; o++) {
        const __m512i w = _mm512_set1_epi64(weights[r * OUTS + (size_t)o]);
#pragma GCC unroll 8
        for (int k = 0; k < 4; k++) sum[o][k] = _mm512_madd52lo_epu64(sum[o][k], lanes[k], w);
      }
    }
#pragma GCC unroll 8
    for (int o = 0; o < count; o++) {
#pragma GCC unroll 8
      for (int k = 0; k < 4; k++) {
        int64_t *at = out + o * MATRIX_LANES + 8 * k;
        const __m512i exact = _mm512_srai_epi64(_mm512_slli_epi64(sum[o][k], 12), 12);
        _mm512_storeu_si512(at, begin ? _mm512_add_epi64(exact, _mm512_loadu_si512(at)) : exact);
      }
    }
  }
}

/* The same code for each number of outputs in a group. */
#define EACH_COUNT(count, call) \
  switch (count) {              \
    case 1: call(1); break;     \
    case 2: call(2); break;     \
    case 3: call(3); break;     \
    case 4: call(4); break;     \
    case 5: call(5); break;     \
    default: call(6); break;    \
  }

static void matrix_avx512(int64_t *out, const int32_t *a, const uint32_t *row_base, const struct matrix_weights *w,
                          void *scratch) {
  matrix_assert_lanes(a, row_base, w);
  const size_t rows = w->rows, pairs = row_pairs(rows);
  const bool words = w->weight_bits <= WORD_WEIGHT_BITS;
  /* Wide sums are kept modulo 2^52, signed; their terms are at most 2^(26 + weight_bits). */
  const size_t block = words ? word_block(w->weight_bits) / 2 : ((size_t)1 << (25 - w->weight_bits)) - 1;
  for (size_t first = 0; first < MATRIX_LANES; first += HALF_LANES) {
    const int32_t *lanes = a + first;
    if (words) pack_panel(scratch, lanes, row_base, rows);
    for (size_t o = 0; o < w->outs; o += OUTS) {
      int64_t *at = out + o * MATRIX_LANES + first;
      const size_t count = size_min(OUTS, w->outs - o);
      const int32_t *pair_weights = (const int32_t *)w->packed + o * pairs;
      const int64_t *wide_weights = (const int64_t *)w->packed + o * rows;
#define WORDS(n) words_group(at, scratch, pair_weights, pairs, block, n)
#define WIDE(n) wide_group(at, lanes, row_base, wide_weights, rows, block, n)
      if (words) {
        EACH_COUNT(count, WORDS)
      } else {
        EACH_COUNT(count, WIDE)
      }
    }
  }
  matrix_assert_sums(out, w);
}

/* --- the product of residue matrices ---------------------------------------------------------------------------- */

/* mod_reduce_63 of 16 sums in words of 64 bits, of even and of odd columns. */
static inline __m512i reduce_63(__m512i even, __m512i odd, const struct modulus *m) {
  const __m512i p = _mm512_set1_epi32((int)m->p), p2 = _mm512_set1_epi32((int)(2 * m->p));
  const __m512i r1 = _mm512_set1_epi32((int)m->r1), r2 = _mm512_set1_epi32((int)m->r2);
  const __m512i neg_inverse = _mm512_set1_epi32((int)m->neg_inverse);
  __m512i *const half[2] = {&even, &odd};
  for (int k = 0; k < 2; k++) {
    const __m512i u = *half[k];
    const __m512i t = _mm512_add_epi64(_mm512_mul_epu32(u, r1), _mm512_mul_epu32(_mm512_srli_epi64(u, 32), r2));
    *half[k] = montgomery_step(t, neg_inverse, p);
  }
  const __m512i v = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
  return subtract_once(subtract_once(v, p2), p);
}

enum { PRODUCT_OUTS = 8 /* outputs computed together: 16 accumulators */ };

/* Each of `count` outputs on the columns of a register that `lanes` names: the sums of even ones and of odd ones.
 * Products of residues are below 2^52. */
static inline __attribute__((always_inline)) void product_group(uint32_t *out, const uint32_t *a, const uint32_t *b,
                                                                const struct residue_product *s,
                                                                const struct modulus *m, __mmask16 lanes, int count) {
  __m512i even[PRODUCT_OUTS], odd[PRODUCT_OUTS];
#pragma GCC unroll 8
  for (int o = 0; o < count; o++) even[o] = odd[o] = _mm512_setzero_si512();
  for (size_t k = 0; k < s->terms; k++) {
    const __m512i y = _mm512_maskz_loadu_epi32(lanes, b + s->row_base[k]);
    const __m512i y_even = _mm512_maskz_mov_epi32(0x5555, y), y_odd = _mm512_srli_epi64(y, 32);
#pragma GCC unroll 8
    for (int o = 0; o < count; o++) {
      const __m512i x = _mm512_maskz_set1_epi32(0x5555, (int)a[(size_t)o * s->terms + k]);
      even[o] = _mm512_madd52lo_epu64(even[o], x, y_even);
      odd[o] = _mm512_madd52lo_epu64(odd[o], x, y_odd);
    }
  }
#pragma GCC unroll 8
  for (int o = 0; o < count; o++)
    _mm512_mask_storeu_epi32(out + (size_t)o * s->columns, lanes, reduce_63(even[o], odd[o], m));
}

static void product_avx512(uint32_t *out, const uint32_t *a, const uint32_t *b, const struct residue_product *s,
                           const struct modulus *m) {
  product_assert(a, b, s, m->p);
  for (size_t o = 0; o < s->outs; o += PRODUCT_OUTS) {
    const uint32_t *rows = a + o * s->terms;
    for (size_t i = 0; i < s->columns; i += 16) {
      const __mmask16 lanes = first_lanes(size_min(LANES, s->columns - i));
      uint32_t *at = out + o * s->columns + i;
      const size_t count = size_min(PRODUCT_OUTS, s->outs - o);
#define PRODUCT(n) product_group(at, rows, b + i, s, m, lanes, n)
      switch (count) {
        case 1: PRODUCT(1); break;
        case 2: PRODUCT(2); break;
        case 3: PRODUCT(3); break;
        case 4: PRODUCT(4); break;
        case 5: PRODUCT(5); break;
        case 6: PRODUCT(6); break;
        case 7: PRODUCT(7); break;
        default: PRODUCT(8);
      }
    }
  }
  bound_assert(out, s->outs * s->columns, 0, m->p - 1);
}

const struct lattice_kernels lattice_kernels_avx512 = {
    .ntt_forward = ntt_forward_avx512,
    .ntt_inverse = ntt_inverse_avx512,
    .columns_forward = columns_forward_avx512,
    .columns_inverse = columns_inverse_avx512,
    .multiply = multiply_avx512,
    .multiply_sum = multiply_sum_avx512,
    .product = product_avx512,
    .reduce_signed = reduce_signed_common,
    .add = add_common,
    .subtract = subtract_common,
    .centre_wide = centre_wide_common,
    .centre_extend = centre_extend_common,
    .add_small = add_small_common,
    .lift = lift_common,
    .encode = encode_common,
    .accept_below = accept_below_avx512,
    .noise = noise_common,
    .ternary = ternary_common,
    .add_fraction = add_fraction_common,
    .mixed_digit = mixed_digit_common,
    .compose = compose_common,
    .cut_digits = cut_digits_common,
    .transpose = lattice_transpose_avx2,
    .matrix_pack = matrix_pack_avx512,
    .matrix_scratch = matrix_scratch_avx512,
    .matrix = matrix_avx512,
};
