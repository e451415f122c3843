/** The NEON tier: transforms and modular products on 4 lanes, the matrix product by 32-bit products in 64 bits. */
#include <arm_neon.h>

#include "lattice/lattice_kernels_common.h"

static inline uint32x4_t subtract_once(uint32x4_t x, uint32x4_t bound) {
  return vminq_u32(x, vsubq_u32(x, bound));
}

/* (2 x y) >> 32, of signed words; not both -2^31. */
static inline uint32x4_t doubled_high(uint32x4_t x, uint32x4_t y) {
  return vreinterpretq_u32_s32(vqdmulhq_s32(vreinterpretq_s32_u32(x), vreinterpretq_s32_u32(y)));
}

/* --- transforms ---
 *
 * One instruction gives the upper half of a doubled signed product, so twiddles have the companion
 * floor(shoup / 2) = floor(w * 2^31 / p). For x < 2^31 the quotient is then at most 1 below floor(x * w / p), and
 * products are in [0, 2p) as in the portable tier. All values are below 26p < 2^31. Levels are taken two at a time. */

struct twiddle {
  uint32x4_t w, half; /* half: of its Shoup companion */
};

static inline uint32x4_t times(uint32x4_t x, struct twiddle t, uint32x4_t p) {
  return vmlsq_u32(vmulq_u32(x, t.w), doubled_high(x, t.half), p);
}

static inline struct twiddle twiddle_make(uint32_t w, uint32_t shoup) {
  return (struct twiddle){vdupq_n_u32(w), vdupq_n_u32(shoup >> 1)};
}
/* Of two blocks, two lanes each; of four blocks. */
static inline struct twiddle twiddle_two(const uint32_t *w, const uint32_t *shoup) {
  const uint32x2_t a = vld1_u32(w), b = vshr_n_u32(vld1_u32(shoup), 1);
  return (struct twiddle){vcombine_u32(vdup_lane_u32(a, 0), vdup_lane_u32(a, 1)),
                          vcombine_u32(vdup_lane_u32(b, 0), vdup_lane_u32(b, 1))};
}
static inline struct twiddle twiddle_four(const uint32_t *w, const uint32_t *shoup) {
  return (struct twiddle){vld1q_u32(w), vshrq_n_u32(vld1q_u32(shoup), 1)};
}

struct prime {
  uint32x4_t p, p2;
};

static inline void butterfly_forward(uint32x4_t *x, uint32x4_t *y, struct twiddle t, struct prime m) {
  const uint32x4_t product = times(*y, t, m.p);
  *y = vsubq_u32(vaddq_u32(*x, m.p2), product);
  *x = vaddq_u32(*x, product);
}

static inline void butterfly_inverse(uint32x4_t *x, uint32x4_t *y, struct twiddle t, struct prime m) {
  const uint32x4_t difference = vsubq_u32(vaddq_u32(*x, m.p2), *y);
  *x = subtract_once(vaddq_u32(*x, *y), m.p2);
  *y = times(difference, t, m.p);
}

/* The lower and upper words of pairs of lanes. */
static inline uint32x4_t lower_pairs(uint32x4_t x, uint32x4_t y) {
  return vreinterpretq_u32_u64(vtrn1q_u64(vreinterpretq_u64_u32(x), vreinterpretq_u64_u32(y)));
}
static inline uint32x4_t upper_pairs(uint32x4_t x, uint32x4_t y) {
  return vreinterpretq_u32_u64(vtrn2q_u64(vreinterpretq_u64_u32(x), vreinterpretq_u64_u32(y)));
}

/* Levels `half` and half / 2 of the block at a. */
static inline void forward_pair(uint32_t *a, size_t half, size_t block, const struct ntt_table *t, struct prime m) {
  const uint32_t *w = t->forward, *shoup = t->forward_shoup;
  const size_t quarter = half / 2, next = 2 * block;
  const struct twiddle t1 = twiddle_make(w[block], shoup[block]);
  const struct twiddle t2 = twiddle_make(w[next], shoup[next]), t3 = twiddle_make(w[next + 1], shoup[next + 1]);
  for (size_t i = 0; i < quarter; i += 4) {
    uint32_t *at[4] = {a + i, a + quarter + i, a + half + i, a + half + quarter + i};
    uint32x4_t x[4];
    for (int k = 0; k < 4; k++) x[k] = vld1q_u32(at[k]);
    butterfly_forward(&x[0], &x[2], t1, m);
    butterfly_forward(&x[1], &x[3], t1, m);
    butterfly_forward(&x[0], &x[1], t2, m);
    butterfly_forward(&x[2], &x[3], t3, m);
    for (int k = 0; k < 4; k++) vst1q_u32(at[k], x[k]);
  }
}

/* The level of halves 4. */
static void forward_four(uint32_t *a, const struct ntt_table *t, struct prime m) {
  for (size_t block = t->n / 8; block < t->n / 4; block++, a += 8) {
    uint32x4_t x = vld1q_u32(a), y = vld1q_u32(a + 4);
    butterfly_forward(&x, &y, twiddle_make(t->forward[block], t->forward_shoup[block]), m);
    vst1q_u32(a, x);
    vst1q_u32(a + 4, y);
  }
}

/* The levels of halves 2 and 1, and the reduction to [0, p). */
static void forward_last(uint32_t *a, const struct ntt_table *t, struct prime m) {
  const uint32_t *w = t->forward, *shoup = t->forward_shoup;
  const struct twiddle one = {vdupq_n_u32(1), vdupq_n_u32(t->m.barrett >> 1)};
  for (size_t i = 0; i < t->n; i += 8) {
    const size_t b2 = (t->n + i) / 4, b1 = (t->n + i) / 2;
    const uint32x4_t v0 = vld1q_u32(a + i), v1 = vld1q_u32(a + i + 4);
    uint32x4_t x = lower_pairs(v0, v1), y = upper_pairs(v0, v1);
    butterfly_forward(&x, &y, twiddle_two(w + b2, shoup + b2), m);
    uint32x4x2_t v = {{vtrn1q_u32(x, y), vtrn2q_u32(x, y)}};
    butterfly_forward(&v.val[0], &v.val[1], twiddle_four(w + b1, shoup + b1), m);
    for (int k = 0; k < 2; k++) v.val[k] = subtract_once(times(v.val[k], one, m.p), m.p);
    vst2q_u32(a + i, v);
  }
}

static void ntt_forward_neon(uint32_t *a, const struct ntt_table *t) {
  const struct prime m = {vdupq_n_u32(t->m.p), vdupq_n_u32(2 * t->m.p)};
  size_t blocks = 1, half = t->n / 2;
  bound_assert(a, t->n, 0, 2 * t->m.p - 1);
  for (; half >= 8; blocks *= 4, half /= 4)
    for (size_t b = 0; b < blocks; b++) forward_pair(a + 2 * b * half, half, blocks + b, t, m);
  if (half == 4) forward_four(a, t, m);
  forward_last(a, t, m);
  bound_assert(a, t->n, 0, t->m.p - 1);
}

/* The levels of halves 1 and 2. */
static void inverse_first(uint32_t *a, const struct ntt_table *t, struct prime m) {
  const uint32_t *w = t->inverse, *shoup = t->inverse_shoup;
  for (size_t i = 0; i < t->n; i += 8) {
    const size_t b2 = (t->n + i) / 4, b1 = (t->n + i) / 2;
    uint32x4x2_t v = vld2q_u32(a + i);
    butterfly_inverse(&v.val[0], &v.val[1], twiddle_four(w + b1, shoup + b1), m);
    uint32x4_t x = vtrn1q_u32(v.val[0], v.val[1]), y = vtrn2q_u32(v.val[0], v.val[1]);
    butterfly_inverse(&x, &y, twiddle_two(w + b2, shoup + b2), m);
    vst1q_u32(a + i, lower_pairs(x, y));
    vst1q_u32(a + i + 4, upper_pairs(x, y));
  }
}

/* The level of halves 4. */
static void inverse_four(uint32_t *a, const struct ntt_table *t, struct prime m) {
  for (size_t block = t->n / 8; block < t->n / 4; block++, a += 8) {
    uint32x4_t x = vld1q_u32(a), y = vld1q_u32(a + 4);
    butterfly_inverse(&x, &y, twiddle_make(t->inverse[block], t->inverse_shoup[block]), m);
    vst1q_u32(a, x);
    vst1q_u32(a + 4, y);
  }
}

/* Levels half / 2 and `half` of the block at a; block: number of that of level `half`. */
static inline void inverse_pair(uint32_t *a, size_t half, size_t block, const struct ntt_table *t, struct prime m) {
  const uint32_t *w = t->inverse, *shoup = t->inverse_shoup;
  const size_t quarter = half / 2, next = 2 * block;
  const struct twiddle t1 = twiddle_make(w[block], shoup[block]);
  const struct twiddle t2 = twiddle_make(w[next], shoup[next]), t3 = twiddle_make(w[next + 1], shoup[next + 1]);
  for (size_t i = 0; i < quarter; i += 4) {
    uint32_t *at[4] = {a + i, a + quarter + i, a + half + i, a + half + quarter + i};
    uint32x4_t x[4];
    for (int k = 0; k < 4; k++) x[k] = vld1q_u32(at[k]);
    butterfly_inverse(&x[0], &x[1], t2, m);
    butterfly_inverse(&x[2], &x[3], t3, m);
    butterfly_inverse(&x[0], &x[2], t1, m);
    butterfly_inverse(&x[1], &x[3], t1, m);
    for (int k = 0; k < 4; k++) vst1q_u32(at[k], x[k]);
  }
}

/* The last level, with the division by n in its twiddles. */
static void inverse_last(uint32_t *a, const struct ntt_table *t, struct prime m) {
  const size_t half = t->n / 2;
  const struct twiddle scale = twiddle_make(t->scale, t->scale_shoup);
  const struct twiddle last = twiddle_make(t->last_scale, t->last_scale_shoup);
  for (size_t i = 0; i < half; i += 4) {
    const uint32x4_t x = vld1q_u32(a + i), y = vld1q_u32(a + half + i);
    const uint32x4_t sum = vaddq_u32(x, y), difference = vsubq_u32(vaddq_u32(x, m.p2), y);
    vst1q_u32(a + i, subtract_once(times(sum, scale, m.p), m.p));
    vst1q_u32(a + half + i, subtract_once(times(difference, last, m.p), m.p));
  }
}

static void ntt_inverse_neon(uint32_t *a, const struct ntt_table *t) {
  const struct prime m = {vdupq_n_u32(t->m.p), vdupq_n_u32(2 * t->m.p)};
  size_t blocks = t->n / 16, half = 8; /* of the upper level of a pair */
  bound_assert(a, t->n, 0, 2 * t->m.p - 1);
  inverse_first(a, t, m);
  if (log2_up(t->n) % 2 == 0) { /* an odd number of levels is left before the last one */
    inverse_four(a, t, m);
    blocks /= 2;
    half *= 2;
  }
  for (; blocks > 1; blocks /= 4, half *= 4)
    for (size_t b = 0; b < blocks; b++) inverse_pair(a + 2 * b * half, half, blocks + b, t, m);
  inverse_last(a, t, m);
  bound_assert(a, t->n, 0, t->m.p - 1);
}

/* --- products modulo p --- */

/* a * b / 2^32 = (ab - kp) / 2^32 with k = ab / p mod 2^32: the lower halves of both products are the same, so half the
 * difference of their doubled upper halves. In (-p/2, 3p/4) for a < 2^30, b < p; then in [0, p). */
static void multiply_neon(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t count, const struct modulus *m) {
  const uint32x4_t p = vdupq_n_u32(m->p), inverse = vdupq_n_u32(0 - m->neg_inverse);
  size_t i = 0;
  bound_assert(a, count, 0, MULTIPLY_BOUND - 1);
  bound_assert(b, count, 0, m->p - 1);
  for (; i + 4 <= count; i += 4) {
    const uint32x4_t x = vld1q_u32(a + i), y = vld1q_u32(b + i);
    const uint32x4_t k = vmulq_u32(vmulq_u32(x, y), inverse);
    const int32x4_t upper = vreinterpretq_s32_u32(doubled_high(x, y));
    const uint32x4_t r = vreinterpretq_u32_s32(vhsubq_s32(upper, vreinterpretq_s32_u32(doubled_high(k, p))));
    vst1q_u32(out + i, vminq_u32(r, vaddq_u32(r, p)));
  }
  multiply_common(out + i, a + i, b + i, count - i, m);
  bound_assert(out, count, 0, m->p - 1);
}

/* Four 64-bit values: lanes 0 and 1, 2 and 3. */
struct wide {
  uint64x2_t low, high;
};

static inline struct wide wide_load(const uint64_t *a) {
  return (struct wide){vld1q_u64(a), vld1q_u64(a + 2)};
}
static inline struct wide wide_multiply(uint32x4_t a, uint32x4_t b) {
  return (struct wide){vmull_u32(vget_low_u32(a), vget_low_u32(b)), vmull_high_u32(a, b)};
}
static inline struct wide wide_multiply_add(struct wide t, uint32x4_t a, uint32x4_t b) {
  return (struct wide){vmlal_u32(t.low, vget_low_u32(a), vget_low_u32(b)), vmlal_high_u32(t.high, a, b)};
}
static inline struct wide wide_add(struct wide a, struct wide b) {
  return (struct wide){vaddq_u64(a.low, b.low), vaddq_u64(a.high, b.high)};
}
/* Modulo 2^64. */
static inline struct wide wide_shifted_32(uint32x4_t a) {
  const uint32x4_t zero = vdupq_n_u32(0);
  return (struct wide){vreinterpretq_u64_u32(vzip1q_u32(zero, a)), vreinterpretq_u64_u32(vzip2q_u32(zero, a))};
}
static inline uint32x4_t wide_lower(struct wide t) {
  return vuzp1q_u32(vreinterpretq_u32_u64(t.low), vreinterpretq_u32_u64(t.high));
}
static inline uint32x4_t wide_upper(struct wide t) {
  return vuzp2q_u32(vreinterpretq_u32_u64(t.low), vreinterpretq_u32_u64(t.high));
}

/* The constants of struct modulus. */
struct reducer {
  uint32x4_t p, p2, neg_inverse, r1, r2;
};

static inline struct reducer reducer_of(const struct modulus *m) {
  return (struct reducer){vdupq_n_u32(m->p), vdupq_n_u32(2 * m->p), vdupq_n_u32(m->neg_inverse), vdupq_n_u32(m->r1),
                          vdupq_n_u32(m->r2)};
}

/* The functions of modular.h on four values. */
static inline uint32x4_t montgomery(struct wide t, const struct reducer *m) {
  return wide_upper(wide_multiply_add(t, vmulq_u32(wide_lower(t), m->neg_inverse), m->p));
}
static inline uint32x4_t multiply_montgomery(uint32x4_t a, uint32x4_t b, const struct reducer *m) {
  return subtract_once(montgomery(wide_multiply(a, b), m), m->p);
}
static inline uint32x4_t reduce_63(struct wide u, const struct reducer *m) {
  const struct wide t = wide_multiply_add(wide_multiply(wide_lower(u), m->r1), wide_upper(u), m->r2);
  return subtract_once(subtract_once(montgomery(t, m), m->p2), m->p);
}
static inline uint32x4_t centre(uint32x4_t v, uint32x4_t p) {
  return vsubq_u32(v, vandq_u32(p, vcgtq_u32(v, vshrq_n_u32(p, 1))));
}

static void multiply_sum_neon(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t step, size_t terms,
                              size_t count, const struct modulus *m) {
  enum { VECTORS = 4, STEP = 4 * VECTORS };
  const struct reducer r = reducer_of(m);
  if (count % STEP) {
    multiply_sum_common(out, a, b, step, terms, count, m);
    return;
  }
  for (size_t k = 0; BOUND_ASSERTS && k < terms; k++) {
    bound_assert(a + k * count, count, 0, m->p - 1);
    bound_assert(b + k * step, count, 0, m->p - 1);
  }
  for (size_t i = 0; i < count; i += STEP) {
    struct wide sum[VECTORS];
    for (size_t v = 0; v < VECTORS; v++) sum[v] = wide_multiply(vld1q_u32(a + i + 4 * v), vld1q_u32(b + i + 4 * v));
    for (size_t k = 1; k < terms; k++) {
      const uint32_t *x = a + k * count + i, *y = b + k * step + i;
      for (size_t v = 0; v < VECTORS; v++)
        sum[v] = wide_multiply_add(sum[v], vld1q_u32(x + 4 * v), vld1q_u32(y + 4 * v));
    }
    for (size_t v = 0; v < VECTORS; v++) vst1q_u32(out + i + 4 * v, subtract_once(montgomery(sum[v], &r), r.p));
  }
  bound_assert(out, count, 0, m->p - 1);
}

static inline uint32x4_t reduce_signed(struct wide v, const struct reducer *m, struct wide lift) {
  return reduce_63(wide_add(v, lift), m);
}

/* A multiple of p that makes values above -2^61 positive. */
static inline struct wide lift_of(const struct modulus *m) {
  const uint64x2_t lift = vdupq_n_u64((uint64_t)m->p << 36);
  return (struct wide){lift, lift};
}

static void reduce_signed_neon(uint32_t *out, const int64_t *in, size_t count, const struct modulus *m) {
  const struct reducer r = reducer_of(m);
  const struct wide lift = lift_of(m);
  size_t i = 0;
  bound_assert(in, count, 1 - REDUCE_BOUND, REDUCE_BOUND - 1);
  for (; i + 4 <= count; i += 4) vst1q_u32(out + i, reduce_signed(wide_load((const uint64_t *)in + i), &r, lift));
  reduce_signed_common(out + i, in + i, count - i, m);
  bound_assert(out, count, 0, m->p - 1);
}

static void centre_wide_neon(int32_t *out, const uint64_t *low, const uint64_t *high, size_t count,
                             const struct modulus *m) {
  const struct reducer r = reducer_of(m);
  const uint32x4_t factor = vdupq_n_u32(mod_power(2, 40, m->p));
  size_t i = 0;
  bound_assert(low, count, 0, CENTRE_BOUND - 1);
  for (; i + 4 <= count; i += 4) {
    struct wide u = wide_load(low + i);
    if (high) u = wide_multiply_add(u, reduce_63(wide_load(high + i), &r), factor);
    vst1q_s32(out + i, vreinterpretq_s32_u32(centre(reduce_63(u, &r), r.p)));
  }
  centre_wide_common(out + i, low + i, high ? high + i : NULL, count - i, m);
  bound_assert(out, count, -(int32_t)(m->p / 2), (int32_t)(m->p / 2));
}

/* See encode_common(). */
static void encode_neon(uint32_t *out, const uint64_t *x, size_t count, unsigned ring_bits, uint64_t q_low,
                        const struct modulus *m) {
  const struct reducer r = reducer_of(m);
  const struct wide lift = lift_of(m);
  const uint64x2_t half = vdupq_n_u64(UINT64_C(1) << (ring_bits - 1)), mask = vdupq_n_u64(low_mask(ring_bits));
  const uint32x4_t q0 = vdupq_n_u32((uint32_t)q_low), q1 = vdupq_n_u32((uint32_t)(q_low >> 32));
  const uint32_t inverse = mod_inverse(mod_power(2, ring_bits, m->p), m->p);
  const uint32x4_t factor = vdupq_n_u32((uint32_t)((uint64_t)inverse * m->r1 % m->p));
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const struct wide v = wide_load(x + i);
    const uint32x4_t low = wide_lower(v), cross = vmlaq_u32(vmulq_u32(low, q1), wide_upper(v), q0);
    struct wide z = wide_add(wide_multiply(low, q0), wide_shifted_32(cross)); /* q_low * x */
    z.low = vsubq_u64(half, vandq_u64(vaddq_u64(z.low, half), mask));
    z.high = vsubq_u64(half, vandq_u64(vaddq_u64(z.high, half), mask));
    vst1q_u32(out + i, multiply_montgomery(reduce_signed(z, &r, lift), factor, &r));
  }
  encode_common(out + i, x + i, count - i, ring_bits, q_low, m);
  bound_assert(out, count, 0, m->p - 1);
}

static void noise_neon(int32_t *out, const uint64_t *random, size_t count) {
  const uint32x4_t mask = vdupq_n_u32((uint32_t)low_mask(RLWE_NOISE_PAIRS));
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const struct wide v = wide_load(random + i);
    const uint32x4_t next =
        vshrn_high_n_u64(vshrn_n_u64(v.low, RLWE_NOISE_PAIRS), v.high, RLWE_NOISE_PAIRS); /* 32 of them */
    const int8x16_t a = vcntq_s8(vreinterpretq_s8_u32(vandq_u32(wide_lower(v), mask)));
    const int8x16_t b = vcntq_s8(vreinterpretq_s8_u32(vandq_u32(next, mask)));
    vst1q_s32(out + i, vpaddlq_s16(vpaddlq_s8(vsubq_s8(a, b))));
  }
  noise_common(out + i, random + i, count - i);
  bound_assert(out, count, -RLWE_NOISE_PAIRS, RLWE_NOISE_PAIRS);
}

/* See add_fraction_common(). */
static void add_fraction_neon(uint64_t *sum, const uint32_t *a, size_t count, uint32_t k_montgomery,
                              const struct modulus *m) {
  const struct reducer r = reducer_of(m);
  const uint64_t high = UINT64_MAX / m->p, rest = UINT64_MAX % m->p + 1;
  const uint32x4_t high_0 = vdupq_n_u32((uint32_t)high), high_1 = vdupq_n_u32((uint32_t)(high >> 32));
  const uint32x4_t low_0 = vdupq_n_u32((uint32_t)((rest << 32) / m->p)), k = vdupq_n_u32(k_montgomery);
  size_t i = 0;
  bound_assert(a, count, 0, m->p - 1);
  for (; i + 4 <= count; i += 4) {
    const uint32x4_t y = multiply_montgomery(vld1q_u32(a + i), k, &r);
    const struct wide lower = wide_multiply(y, low_0);
    struct wide s = wide_add(wide_load(sum + i), wide_shifted_32(vmulq_u32(y, high_1)));
    s = wide_multiply_add(s, y, high_0);
    vst1q_u64(sum + i, vsraq_n_u64(s.low, lower.low, 32));
    vst1q_u64(sum + i + 2, vsraq_n_u64(s.high, lower.high, 32));
  }
  add_fraction_common(sum + i, a + i, count - i, k_montgomery, m);
}

/* With one lower digit: (residue - d0) / p0; else, or with values that fill no register, as the portable tier. */
static void mixed_digit_neon(uint32_t *out, const uint32_t *residue, const uint32_t *const *lower, size_t limb,
                             size_t count, const struct modulus *moduli) {
  const struct modulus *m = &moduli[limb];
  if (limb != 1 || count % 4) {
    mixed_digit_common(out, residue, lower, limb, count, moduli);
    return;
  }
  const struct reducer r = reducer_of(m);
  const uint32_t inverse = mod_inverse(moduli[0].p % m->p, m->p);
  const uint32x4_t factor = vdupq_n_u32((uint32_t)((uint64_t)inverse * m->r1 % m->p));
  const uint32x4_t weight = vdupq_n_u32((uint32_t)((uint64_t)(m->p - inverse) * m->r1 % m->p));
  bound_assert(residue, count, 0, m->p - 1);
  bound_assert(lower[0], count, 0, moduli[0].p - 1);
  for (size_t i = 0; i < count; i += 4) {
    const struct wide t = wide_multiply(vld1q_u32(residue + i), factor);
    const struct wide u = wide_multiply_add(t, vld1q_u32(lower[0] + i), weight);
    vst1q_u32(out + i, subtract_once(montgomery(u, &r), r.p));
  }
  bound_assert(out, count, 0, m->p - 1);
}

/* --- the matrix product --- */

enum { OUTS = 4 }; /* outputs computed together; with 8 lanes 16 accumulators */

/* [group of outputs][row][output in group], 32 bits; outputs that are missing have weights 0. */
static fusion_status matrix_pack_neon(struct matrix_weights *w, const int16_t *weights, size_t outs, size_t rows,
                                      unsigned weight_bits) {
  *w = (struct matrix_weights){.outs = outs, .rows = rows, .weight_bits = weight_bits};
  matrix_assert_weights(weights, outs * rows, weight_bits);
  if (!size_mul(div_up(outs, OUTS) * OUTS, rows, &w->packed_len) ||
      !size_mul(w->packed_len, sizeof(int32_t), &w->packed_len))
    return FUSION_E_LIMIT;
  int32_t *const packed = mem_alloc(w->packed_len, 1);
  w->packed = packed;
  if (!packed) return FUSION_E_MEMORY;
  for (size_t o = 0; o < outs; o++)
    for (size_t r = 0; r < rows; r++) packed[(o / OUTS * rows + r) * OUTS + o % OUTS] = weights[o * rows + r];
  return FUSION_OK;
}

static size_t matrix_scratch_neon(size_t rows) {
  (void)rows;
  return 0;
}

/* OUTS outputs, 8 lanes; the first `count` are stored. */
static inline void product_group(int64_t *out, const int32_t *a, const uint32_t *row_base, const int32_t *weights,
                                 size_t rows, size_t count) {
  int64x2_t sum[OUTS][4];
  for (int o = 0; o < OUTS; o++)
    for (int k = 0; k < 4; k++) sum[o][k] = vdupq_n_s64(0);
#define ADD_OUT(o)                                                \
  sum[o][0] = vmlal_laneq_s32(sum[o][0], vget_low_s32(v0), w, o); \
  sum[o][1] = vmlal_high_laneq_s32(sum[o][1], v0, w, o);          \
  sum[o][2] = vmlal_laneq_s32(sum[o][2], vget_low_s32(v1), w, o); \
  sum[o][3] = vmlal_high_laneq_s32(sum[o][3], v1, w, o)
  for (size_t r = 0; r < rows; r++) {
    const int32x4_t v0 = vld1q_s32(a + row_base[r]), v1 = vld1q_s32(a + row_base[r] + 4);
    const int32x4_t w = vld1q_s32(weights + OUTS * r);
    ADD_OUT(0);
    ADD_OUT(1);
    ADD_OUT(2);
    ADD_OUT(3);
  }
#undef ADD_OUT
  for (size_t o = 0; o < OUTS && o < count; o++)
    for (size_t k = 0; k < 4; k++) vst1q_s64(out + o * MATRIX_LANES + 2 * k, sum[o][k]);
}

/* One output, 32 lanes. */
static inline void product_single(int64_t *out, const int32_t *a, const uint32_t *row_base, const int32_t *weights,
                                  size_t rows) {
  int64x2_t sum[16];
  for (int k = 0; k < 16; k++) sum[k] = vdupq_n_s64(0);
  for (size_t r = 0; r < rows; r++) {
    const int32x4_t w = vdupq_n_s32(weights[OUTS * r]);
    for (size_t k = 0; k < 8; k++) {
      const int32x4_t v = vld1q_s32(a + row_base[r] + 4 * k);
      sum[2 * k] = vmlal_s32(sum[2 * k], vget_low_s32(v), vget_low_s32(w));
      sum[2 * k + 1] = vmlal_high_s32(sum[2 * k + 1], v, w);
    }
  }
  for (size_t k = 0; k < 16; k++) vst1q_s64(out + 2 * k, sum[k]);
}

static void matrix_neon(int64_t *out, const int32_t *a, const uint32_t *row_base, const struct matrix_weights *w,
                        void *scratch) {
  (void)scratch;
  matrix_assert_lanes(a, row_base, w);
  for (size_t o = 0; o < w->outs; o += OUTS) {
    const int32_t *weights = (const int32_t *)w->packed + o * w->rows;
    int64_t *to = out + o * MATRIX_LANES;
    const size_t count = w->outs - o;
    for (size_t first = 0; count > 1 && first < MATRIX_LANES; first += 8)
      product_group(to + first, a + first, row_base, weights, w->rows, count);
    for (size_t first = 0; count == 1 && first < MATRIX_LANES; first += 32)
      product_single(to + first, a + first, row_base, weights, w->rows);
  }
  matrix_assert_sums(out, w);
}

const struct lattice_kernels lattice_kernels_neon = {
    .ntt_forward = ntt_forward_neon,
    .ntt_inverse = ntt_inverse_neon,
    .columns_forward = columns_forward_common,
    .columns_inverse = columns_inverse_common,
    .multiply = multiply_neon,
    .multiply_sum = multiply_sum_neon,
    .product = product_common,
    .reduce_signed = reduce_signed_neon,
    .add = add_common,
    .subtract = subtract_common,
    .centre_wide = centre_wide_neon,
    .centre_extend = centre_extend_common,
    .add_small = add_small_common,
    .lift = lift_common,
    .encode = encode_neon,
    .accept_below = accept_below_common,
    .noise = noise_neon,
    .ternary = ternary_common,
    .add_fraction = add_fraction_neon,
    .mixed_digit = mixed_digit_neon,
    .compose = compose_common,
    .cut_digits = cut_digits_common,
    .transpose = transpose_common,
    .matrix_pack = matrix_pack_neon,
    .matrix_scratch = matrix_scratch_neon,
    .matrix = matrix_neon,
};
