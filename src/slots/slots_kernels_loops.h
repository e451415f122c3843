/** The vector kernels: four residues at a time, as doubles. The product a*b is h + l exactly (fused multiply-add), its
 *  quotient by p a rounded double, off by less than 1.2 for the sizes that occur; h - quotient * p and the sum with l
 *  are integers below 2^53, so exact. Results are brought to [0, p): the same as the portable tier's.
 *
 *  Transforms take two levels at a time. Bounds of absolute values, in p: the forward one reduces what is not
 *  multiplied once in two levels, 1.7 then 2.7; the inverse one keeps all below 1 after a pair of levels.
 *  Source: van der Hoeven, Schulz, "Fast Fourier transforms over small prime fields" as FLINT's fft_small has it.
 *  Included by the tiers' files alone. */
#ifndef FUSION_SLOTS_SLOTS_KERNELS_LOOPS_H
#define FUSION_SLOTS_SLOTS_KERNELS_LOOPS_H

#include <immintrin.h>

#include "slots/slots_kernels.h"

typedef __m256d lanes;

enum { LANES = 4 };

struct prime {
  lanes p, inverse;
};

static inline struct prime prime_of(const struct slots_modulus *m) {
  return (struct prime){_mm256_set1_pd((double)m->p), _mm256_set1_pd(m->inverse)};
}

#define NEAREST (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

/* y * w - round(y * ratio) * p, ratio = w / p */
static inline lanes times(lanes y, lanes w, lanes ratio, lanes p) {
  const lanes h = _mm256_mul_pd(y, w), quotient = _mm256_round_pd(_mm256_mul_pd(y, ratio), NEAREST);
  return _mm256_add_pd(_mm256_fnmadd_pd(quotient, p, h), _mm256_fmsub_pd(y, w, h));
}

static inline lanes product(lanes a, lanes b, struct prime m) {
  const lanes h = _mm256_mul_pd(a, b), quotient = _mm256_round_pd(_mm256_mul_pd(h, m.inverse), NEAREST);
  return _mm256_add_pd(_mm256_fnmadd_pd(quotient, m.p, h), _mm256_fmsub_pd(a, b, h));
}

/* To [-p/2, p/2], or just beyond. */
static inline lanes reduce(lanes x, struct prime m) {
  return _mm256_fnmadd_pd(_mm256_round_pd(_mm256_mul_pd(x, m.inverse), NEAREST), m.p, x);
}

/* (-p, 2p) to [0, p) */
static inline lanes normal(lanes x, lanes p) {
  const lanes zero = _mm256_setzero_pd();
  x = _mm256_add_pd(x, _mm256_and_pd(_mm256_cmp_pd(x, zero, _CMP_LT_OQ), p));
  return _mm256_sub_pd(x, _mm256_and_pd(_mm256_cmp_pd(x, p, _CMP_GE_OQ), p));
}

/* Integers below 2^52 and doubles: the mantissa of 2^52 + x is x. */
static inline lanes load_words(const uint64_t *a) {
  const lanes magic = _mm256_set1_pd(0x1p52);
  const __m256i words = _mm256_loadu_si256((const __m256i *)(const void *)a);
  return _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(words, _mm256_castpd_si256(magic))), magic);
}
static inline void store_words(uint64_t *a, lanes x) {
  const lanes magic = _mm256_set1_pd(0x1p52);
  const __m256i words = _mm256_castpd_si256(_mm256_xor_pd(_mm256_add_pd(x, magic), magic));
  _mm256_storeu_si256((__m256i *)(void *)a, words);
}

static inline lanes load(const double *a) {
  return _mm256_loadu_pd(a);
}
static inline void store(double *a, lanes x) {
  _mm256_storeu_pd(a, x);
}

/* One twiddle for all lanes. */
struct twiddle {
  lanes w, ratio;
};
static inline struct twiddle twiddle_at(const double *real, const double *ratio, size_t i) {
  return (struct twiddle){_mm256_set1_pd(real[i]), _mm256_set1_pd(ratio[i])};
}
/* Of two blocks, two lanes each; of four blocks. */
static inline struct twiddle twiddle_two(const double *real, const double *ratio, size_t i) {
  return (struct twiddle){_mm256_permute4x64_pd(_mm256_castpd128_pd256(_mm_loadu_pd(real + i)), 0x50),
                          _mm256_permute4x64_pd(_mm256_castpd128_pd256(_mm_loadu_pd(ratio + i)), 0x50)};
}
static inline struct twiddle twiddle_four(const double *real, const double *ratio, size_t i) {
  return (struct twiddle){load(real + i), load(ratio + i)};
}

static inline void butterfly_forward(lanes *x, lanes *y, struct twiddle t, lanes p) {
  const lanes z = times(*y, t.w, t.ratio, p);
  *y = _mm256_sub_pd(*x, z);
  *x = _mm256_add_pd(*x, z);
}

static inline void butterfly_inverse(lanes *x, lanes *y, struct twiddle t, lanes p) {
  const lanes difference = _mm256_sub_pd(*x, *y);
  *x = _mm256_add_pd(*x, *y);
  *y = times(difference, t.w, t.ratio, p);
}

/* Levels `half` and half / 2 of the block at a. */
static inline void forward_pair(double *a, size_t half, size_t block, const struct slots_table *t, struct prime m) {
  const size_t quarter = half / 2;
  const struct twiddle t1 = twiddle_at(t->forward_real, t->forward_ratio, block);
  const struct twiddle t2 = twiddle_at(t->forward_real, t->forward_ratio, 2 * block);
  const struct twiddle t3 = twiddle_at(t->forward_real, t->forward_ratio, 2 * block + 1);
  for (size_t i = 0; i < quarter; i += LANES) {
    lanes a0 = reduce(load(a + i), m), a1 = reduce(load(a + i + quarter), m);
    lanes a2 = load(a + i + half), a3 = load(a + i + half + quarter);
    butterfly_forward(&a0, &a2, t1, m.p);
    butterfly_forward(&a1, &a3, t1, m.p);
    butterfly_forward(&a0, &a1, t2, m.p);
    butterfly_forward(&a2, &a3, t3, m.p);
    store(a + i, a0);
    store(a + i + quarter, a1);
    store(a + i + half, a2);
    store(a + i + half + quarter, a3);
  }
}

static inline void forward_four(double *a, size_t block, const struct slots_table *t, struct prime m) {
  lanes x = reduce(load(a), m), y = load(a + LANES);
  butterfly_forward(&x, &y, twiddle_at(t->forward_real, t->forward_ratio, block), m.p);
  store(a, x);
  store(a + LANES, y);
}

/* The levels of halves 2 and 1 on eight values; block: number of the first of level 2. */
static inline void forward_last(uint64_t *words, size_t block, const struct slots_table *t, struct prime m) {
  double *a = (double *)(void *)words;
  const lanes v0 = load(a), v1 = load(a + LANES);
  lanes x = reduce(_mm256_permute2f128_pd(v0, v1, 0x20), m), y = _mm256_permute2f128_pd(v0, v1, 0x31);
  butterfly_forward(&x, &y, twiddle_two(t->forward_real, t->forward_ratio, block), m.p);
  lanes x2 = _mm256_unpacklo_pd(x, y), y2 = _mm256_unpackhi_pd(x, y);
  butterfly_forward(&x2, &y2, twiddle_four(t->forward_real, t->forward_ratio, 2 * block), m.p);
  x2 = normal(reduce(x2, m), m.p);
  y2 = normal(reduce(y2, m), m.p);
  x = _mm256_unpacklo_pd(x2, y2);
  y = _mm256_unpackhi_pd(x2, y2);
  store_words(words, _mm256_permute2f128_pd(x, y, 0x20));
  store_words(words + LANES, _mm256_permute2f128_pd(x, y, 0x31));
}

static void forward_lanes(uint64_t *words, const struct slots_table *t) {
  const struct prime m = prime_of(&t->m);
  double *a = (double *)(void *)words;
  size_t blocks = 1, half = t->n / 2;
  for (size_t i = 0; i < t->n; i += LANES) store(a + i, load_words(words + i));
  for (; half >= 2 * LANES; blocks *= 4, half /= 4)
    for (size_t b = 0; b < blocks; b++) forward_pair(a + 2 * b * half, half, blocks + b, t, m);
  for (; half == LANES; blocks *= 2, half /= 2)
    for (size_t b = 0; b < blocks; b++) forward_four(a + 2 * b * half, blocks + b, t, m);
  for (size_t i = 0; i < t->n; i += 2 * LANES) forward_last(words + i, blocks + i / LANES, t, m);
}

static inline void inverse_first(uint64_t *words, size_t block, const struct slots_table *t, struct prime m) {
  double *a = (double *)(void *)words;
  const lanes v0 = load_words(words), v1 = load_words(words + LANES);
  const lanes u0 = _mm256_permute2f128_pd(v0, v1, 0x20), u1 = _mm256_permute2f128_pd(v0, v1, 0x31);
  lanes x2 = _mm256_unpacklo_pd(u0, u1), y2 = _mm256_unpackhi_pd(u0, u1);
  butterfly_inverse(&x2, &y2, twiddle_four(t->inverse_real, t->inverse_ratio, 2 * block), m.p);
  x2 = reduce(x2, m);
  lanes x = _mm256_unpacklo_pd(x2, y2), y = _mm256_unpackhi_pd(x2, y2);
  butterfly_inverse(&x, &y, twiddle_two(t->inverse_real, t->inverse_ratio, block), m.p);
  x = reduce(x, m);
  store(a, _mm256_permute2f128_pd(x, y, 0x20));
  store(a + LANES, _mm256_permute2f128_pd(x, y, 0x31));
}

static inline void inverse_four(double *a, size_t block, const struct slots_table *t, struct prime m) {
  lanes x = load(a), y = load(a + LANES);
  butterfly_inverse(&x, &y, twiddle_at(t->inverse_real, t->inverse_ratio, block), m.p);
  store(a, reduce(x, m));
  store(a + LANES, y);
}

/* Levels half / 2 and `half` of the block at a; block: number of that of level `half`. */
static inline void inverse_pair(double *a, size_t half, size_t block, const struct slots_table *t, struct prime m) {
  const size_t quarter = half / 2;
  const struct twiddle t1 = twiddle_at(t->inverse_real, t->inverse_ratio, block);
  const struct twiddle t2 = twiddle_at(t->inverse_real, t->inverse_ratio, 2 * block);
  const struct twiddle t3 = twiddle_at(t->inverse_real, t->inverse_ratio, 2 * block + 1);
  for (size_t i = 0; i < quarter; i += LANES) {
    lanes a0 = load(a + i), a1 = load(a + i + quarter);
    lanes a2 = load(a + i + half), a3 = load(a + i + half + quarter);
    butterfly_inverse(&a0, &a1, t2, m.p);
    butterfly_inverse(&a2, &a3, t3, m.p);
    a0 = reduce(a0, m);
    a2 = reduce(a2, m);
    butterfly_inverse(&a0, &a2, t1, m.p);
    butterfly_inverse(&a1, &a3, t1, m.p);
    store(a + i, a0);
    store(a + i + quarter, reduce(a1, m));
    store(a + i + half, a2);
    store(a + i + half + quarter, a3);
  }
}

static void inverse_lanes(uint64_t *words, const struct slots_table *t) {
  const struct prime m = prime_of(&t->m);
  double *a = (double *)(void *)words;
  size_t blocks = t->n / LANES, half = LANES;
  for (size_t i = 0; i < t->n; i += 2 * LANES) inverse_first(words + i, blocks + i / LANES, t, m);
  blocks /= 2;
  if (log2_up(t->n) % 2) {
    for (size_t b = 0; b < blocks; b++) inverse_four(a + 2 * b * half, blocks + b, t, m);
    blocks /= 2;
    half *= 2;
  }
  for (blocks /= 2, half *= 2; blocks; blocks /= 4, half *= 4)
    for (size_t b = 0; b < blocks; b++) inverse_pair(a + 2 * b * half, half, blocks + b, t, m);
  const lanes scale = _mm256_set1_pd((double)t->scale);
  for (size_t i = 0; i < t->n; i += LANES) store_words(words + i, normal(product(load(a + i), scale, m), m.p));
}

static void multiply_lanes(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t count,
                           const struct slots_modulus *m) {
  const struct prime prime = prime_of(m);
  size_t i = 0;
  for (; i + LANES <= count; i += LANES)
    store_words(out + i, normal(product(load_words(a + i), load_words(b + i), prime), prime.p));
  for (; i < count; i++) out[i] = slots_multiply(a[i], b[i], m);
}

static void multiply_add_lanes(uint64_t *sum, const uint64_t *a, const uint64_t *b, size_t count,
                               const struct slots_modulus *m) {
  const struct prime prime = prime_of(m);
  size_t i = 0;
  for (; i + LANES <= count; i += LANES) {
    const lanes x = product(load_words(a + i), load_words(b + i), prime);
    store_words(sum + i, normal(_mm256_add_pd(x, load_words(sum + i)), prime.p));
  }
  for (; i < count; i++) sum[i] = slots_add(sum[i], slots_multiply(a[i], b[i], m), m->p);
}

#define SLOTS_KERNELS \
  { .forward = forward_lanes, .inverse = inverse_lanes, .multiply = multiply_lanes, .multiply_add = multiply_add_lanes }

#endif
