/** Two residues at a time, as doubles: the arithmetic of slots_kernels_loops.h, which also gives the bounds. Transforms
 *  take two levels at a time. */
#include <arm_neon.h>

#include "slots/slots_kernels.h"

typedef float64x2_t lanes;

enum { LANES = 2 };

struct prime {
  lanes p, inverse;
};

static inline struct prime prime_of(const struct slots_modulus *m) {
  return (struct prime){vdupq_n_f64((double)m->p), vdupq_n_f64(m->inverse)};
}

struct twiddle {
  lanes w, ratio; /* ratio: w / p */
};

static inline struct twiddle twiddle_at(const double *real, const double *ratio, size_t i) {
  return (struct twiddle){vdupq_n_f64(real[i]), vdupq_n_f64(ratio[i])};
}
/* Of two blocks. */
static inline struct twiddle twiddle_two(const double *real, const double *ratio, size_t i) {
  return (struct twiddle){vld1q_f64(real + i), vld1q_f64(ratio + i)};
}

/* y * w - quotient * p: h is the product rounded, and what it lacks is exact. */
static inline lanes product_less(lanes y, lanes w, lanes h, lanes quotient, lanes p) {
  return vsubq_f64(vfmsq_f64(h, quotient, p), vfmsq_f64(h, y, w));
}

static inline lanes times(lanes y, struct twiddle t, lanes p) {
  return product_less(y, t.w, vmulq_f64(y, t.w), vrndnq_f64(vmulq_f64(y, t.ratio)), p);
}

static inline lanes product(lanes a, lanes b, struct prime m) {
  const lanes h = vmulq_f64(a, b);
  return product_less(a, b, h, vrndnq_f64(vmulq_f64(h, m.inverse)), m.p);
}

/* To [-p/2, p/2], or just beyond. */
static inline lanes reduce(lanes x, struct prime m) {
  return vfmsq_f64(x, vrndnq_f64(vmulq_f64(x, m.inverse)), m.p);
}

static inline lanes masked(uint64x2_t mask, lanes p) {
  return vreinterpretq_f64_u64(vandq_u64(mask, vreinterpretq_u64_f64(p)));
}

/* (-p, 2p) to [0, p) */
static inline lanes normal(lanes x, lanes p) {
  x = vaddq_f64(x, masked(vcltzq_f64(x), p));
  return vsubq_f64(x, masked(vcgeq_f64(x, p), p));
}

static inline lanes load_words(const uint64_t *a) {
  return vcvtq_f64_u64(vld1q_u64(a));
}
static inline void store_words(uint64_t *a, lanes x) {
  vst1q_u64(a, vcvtq_u64_f64(x));
}

static inline void butterfly_forward(lanes *x, lanes *y, struct twiddle t, lanes p) {
  const lanes z = times(*y, t, p);
  *y = vsubq_f64(*x, z);
  *x = vaddq_f64(*x, z);
}

static inline void butterfly_inverse(lanes *x, lanes *y, struct twiddle t, lanes p) {
  const lanes difference = vsubq_f64(*x, *y);
  *x = vaddq_f64(*x, *y);
  *y = times(difference, t, p);
}

/* Levels `half` and half / 2 of the block at a. */
static inline void forward_pair(double *a, size_t half, size_t block, const struct slots_table *t, struct prime m) {
  const size_t quarter = half / 2;
  const struct twiddle t1 = twiddle_at(t->forward_real, t->forward_ratio, block);
  const struct twiddle t2 = twiddle_at(t->forward_real, t->forward_ratio, 2 * block);
  const struct twiddle t3 = twiddle_at(t->forward_real, t->forward_ratio, 2 * block + 1);
  for (size_t i = 0; i < quarter; i += LANES) {
    lanes a0 = reduce(vld1q_f64(a + i), m), a1 = reduce(vld1q_f64(a + i + quarter), m);
    lanes a2 = vld1q_f64(a + i + half), a3 = vld1q_f64(a + i + half + quarter);
    butterfly_forward(&a0, &a2, t1, m.p);
    butterfly_forward(&a1, &a3, t1, m.p);
    butterfly_forward(&a0, &a1, t2, m.p);
    butterfly_forward(&a2, &a3, t3, m.p);
    vst1q_f64(a + i, a0);
    vst1q_f64(a + i + quarter, a1);
    vst1q_f64(a + i + half, a2);
    vst1q_f64(a + i + half + quarter, a3);
  }
}

/* The level of halves 2. */
static inline void forward_two(double *a, size_t block, const struct slots_table *t, struct prime m) {
  lanes x = reduce(vld1q_f64(a), m), y = vld1q_f64(a + LANES);
  butterfly_forward(&x, &y, twiddle_at(t->forward_real, t->forward_ratio, block), m.p);
  vst1q_f64(a, x);
  vst1q_f64(a + LANES, y);
}

/* The level of halves 1 on four values; block: number of the first. */
static inline void forward_last(uint64_t *words, size_t block, const struct slots_table *t, struct prime m) {
  const float64x2x2_t v = vld2q_f64((const double *)(const void *)words);
  lanes x = reduce(v.val[0], m), y = v.val[1];
  butterfly_forward(&x, &y, twiddle_two(t->forward_real, t->forward_ratio, block), m.p);
  const uint64x2x2_t out = {{vcvtq_u64_f64(normal(reduce(x, m), m.p)), vcvtq_u64_f64(normal(reduce(y, m), m.p))}};
  vst2q_u64(words, out);
}

static void forward_neon(uint64_t *words, const struct slots_table *t) {
  const struct prime m = prime_of(&t->m);
  double *a = (double *)(void *)words;
  size_t blocks = 1, half = t->n / 2;
  for (size_t i = 0; i < t->n; i += LANES) vst1q_f64(a + i, load_words(words + i));
  for (; half >= 2 * LANES; blocks *= 4, half /= 4)
    for (size_t b = 0; b < blocks; b++) forward_pair(a + 2 * b * half, half, blocks + b, t, m);
  if (half == LANES)
    for (size_t b = 0; b < t->n / 4; b++) forward_two(a + 4 * b, t->n / 4 + b, t, m);
  for (size_t i = 0; i < t->n; i += 2 * LANES) forward_last(words + i, (t->n + i) / 2, t, m);
}

static inline void inverse_first(uint64_t *words, size_t block, const struct slots_table *t, struct prime m) {
  const uint64x2x2_t v = vld2q_u64(words);
  lanes x = vcvtq_f64_u64(v.val[0]), y = vcvtq_f64_u64(v.val[1]);
  butterfly_inverse(&x, &y, twiddle_two(t->inverse_real, t->inverse_ratio, block), m.p);
  const float64x2x2_t out = {{reduce(x, m), y}};
  vst2q_f64((double *)(void *)words, out);
}

static inline void inverse_two(double *a, size_t block, const struct slots_table *t, struct prime m) {
  lanes x = vld1q_f64(a), y = vld1q_f64(a + LANES);
  butterfly_inverse(&x, &y, twiddle_at(t->inverse_real, t->inverse_ratio, block), m.p);
  vst1q_f64(a, reduce(x, m));
  vst1q_f64(a + LANES, y);
}

/* Levels half / 2 and `half` of the block at a; block: number of that of level `half`. */
static inline void inverse_pair(double *a, size_t half, size_t block, const struct slots_table *t, struct prime m) {
  const size_t quarter = half / 2;
  const struct twiddle t1 = twiddle_at(t->inverse_real, t->inverse_ratio, block);
  const struct twiddle t2 = twiddle_at(t->inverse_real, t->inverse_ratio, 2 * block);
  const struct twiddle t3 = twiddle_at(t->inverse_real, t->inverse_ratio, 2 * block + 1);
  for (size_t i = 0; i < quarter; i += LANES) {
    lanes a0 = vld1q_f64(a + i), a1 = vld1q_f64(a + i + quarter);
    lanes a2 = vld1q_f64(a + i + half), a3 = vld1q_f64(a + i + half + quarter);
    butterfly_inverse(&a0, &a1, t2, m.p);
    butterfly_inverse(&a2, &a3, t3, m.p);
    a0 = reduce(a0, m);
    a2 = reduce(a2, m);
    butterfly_inverse(&a0, &a2, t1, m.p);
    butterfly_inverse(&a1, &a3, t1, m.p);
    vst1q_f64(a + i, a0);
    vst1q_f64(a + i + quarter, reduce(a1, m));
    vst1q_f64(a + i + half, a2);
    vst1q_f64(a + i + half + quarter, a3);
  }
}

static void inverse_neon(uint64_t *words, const struct slots_table *t) {
  const struct prime m = prime_of(&t->m);
  double *a = (double *)(void *)words;
  size_t blocks = t->n / 8, half = 4; /* of the upper level of a pair */
  for (size_t i = 0; i < t->n; i += 2 * LANES) inverse_first(words + i, (t->n + i) / 2, t, m);
  if (log2_up(t->n) % 2 == 0) { /* an odd number of levels is left */
    for (size_t b = 0; b < t->n / 4; b++) inverse_two(a + 4 * b, t->n / 4 + b, t, m);
    blocks /= 2;
    half *= 2;
  }
  for (; blocks; blocks /= 4, half *= 4)
    for (size_t b = 0; b < blocks; b++) inverse_pair(a + 2 * b * half, half, blocks + b, t, m);
  const lanes scale = vdupq_n_f64((double)t->scale);
  for (size_t i = 0; i < t->n; i += LANES) store_words(words + i, normal(product(vld1q_f64(a + i), scale, m), m.p));
}

static void multiply_neon(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t count,
                          const struct slots_modulus *m) {
  const struct prime prime = prime_of(m);
  size_t i = 0;
  for (; i + LANES <= count; i += LANES)
    store_words(out + i, normal(product(load_words(a + i), load_words(b + i), prime), prime.p));
  for (; i < count; i++) out[i] = slots_multiply(a[i], b[i], m);
}

static void multiply_add_neon(uint64_t *sum, const uint64_t *a, const uint64_t *b, size_t count,
                              const struct slots_modulus *m) {
  const struct prime prime = prime_of(m);
  size_t i = 0;
  for (; i + LANES <= count; i += LANES) {
    const lanes x = product(load_words(a + i), load_words(b + i), prime);
    store_words(sum + i, normal(vaddq_f64(x, load_words(sum + i)), prime.p));
  }
  for (; i < count; i++) sum[i] = slots_add(sum[i], slots_multiply(a[i], b[i], m), m->p);
}

const struct slots_kernels slots_kernels_neon = {
    .forward = forward_neon, .inverse = inverse_neon, .multiply = multiply_neon, .multiply_add = multiply_add_neon};
