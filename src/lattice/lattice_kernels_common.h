/** Portable bodies of the kernels, compiled once per tier with that tier's instruction set (the compiler vectorises
 * these plain loops). Included by lattice_kernels_c.c, lattice_kernels_avx2.c and lattice_kernels_avx512.c only. */
#ifndef FUSION_LATTICE_LATTICE_KERNELS_COMMON_H
#define FUSION_LATTICE_LATTICE_KERNELS_COMMON_H

#include "lattice/bound_assert.h"
#include "lattice/lattice_kernels.h"
#include "lattice/params.h"

static void multiply_common(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t count,
                            const struct modulus *m) {
  const struct modulus mod = *m;
  bound_assert(a, count, 0, MULTIPLY_BOUND - 1);
  bound_assert(b, count, 0, mod.p - 1);
  for (size_t i = 0; i < count; i++) out[i] = mod_multiply_montgomery(a[i], b[i], &mod);
  bound_assert(out, count, 0, mod.p - 1);
}

/* Whole chunks of sums stay in registers or the first cache: at most 8 products below 2^52. */
static inline void multiply_sum_common(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t step, size_t terms,
                                       size_t count, const struct modulus *m) {
  enum { CHUNK = 128 };
  const struct modulus mod = *m;
  for (size_t k = 0; k < terms; k++) {
    bound_assert(a + k * count, count, 0, mod.p - 1);
    bound_assert(b + k * step, count, 0, mod.p - 1);
  }
  for (size_t first = 0; first < count; first += CHUNK) {
    const size_t len = size_min(CHUNK, count - first);
    uint64_t sum[CHUNK] = {0};
    for (size_t k = 0; k < terms; k++) {
      const uint32_t *x = a + k * count + first, *y = b + k * step + first;
      for (size_t i = 0; i < len; i++) sum[i] += (uint64_t)x[i] * y[i];
    }
    for (size_t i = 0; i < len; i++) out[first + i] = mod_subtract_once(mod_montgomery(sum[i], &mod), mod.p);
  }
  bound_assert(out, count, 0, mod.p - 1);
}

/* Columns transformed together: they stay in the first cache. */
enum { COLUMNS = 64 };

static inline void columns_assert(const uint32_t *a, size_t stride, size_t columns, size_t n, uint32_t bound) {
  for (size_t i = 0; BOUND_ASSERTS && i < n; i++) bound_assert(a + i * stride, columns, 0, bound - 1);
}

/* The levels of ntt_forward_c and ntt_inverse_c (ntt.c), with rows in place of values. */
static inline void columns_forward_common(uint32_t *a, size_t stride, size_t columns, const struct ntt_table *t) {
  const struct modulus m = t->m;
  columns_assert(a, stride, columns, t->n, 2 * m.p);
  for (size_t first = 0; first < columns; first += COLUMNS) {
    const size_t len = size_min(COLUMNS, columns - first);
    for (size_t blocks = 1, half = t->n / 2; half; blocks *= 2, half /= 2) {
      for (size_t r = 0; r < t->n / 2; r++) {
        const size_t b = r >> log2_up(half);
        const uint32_t w = t->forward[blocks + b], shoup = t->forward_shoup[blocks + b];
        uint32_t *restrict low = a + first + (b * half + r) * stride, *restrict high = low + half * stride;
        for (size_t i = 0; i < len; i++) {
          const uint32_t x = low[i], y = mod_multiply_shoup(high[i], w, shoup, m.p);
          low[i] = x + y;
          high[i] = x + 2 * m.p - y;
        }
      }
    }
    for (size_t r = 0; r < t->n; r++) {
      uint32_t *row = a + first + r * stride;
      for (size_t i = 0; i < len; i++) row[i] = mod_reduce_32(row[i], &m);
    }
  }
  columns_assert(a, stride, columns, t->n, m.p);
}

static inline void columns_inverse_common(uint32_t *a, size_t stride, size_t columns, const struct ntt_table *t) {
  const uint32_t p = t->m.p;
  columns_assert(a, stride, columns, t->n, 2 * p);
  for (size_t first = 0; first < columns; first += COLUMNS) {
    const size_t len = size_min(COLUMNS, columns - first);
    for (size_t blocks = t->n / 2, half = 1; blocks > 1; blocks /= 2, half *= 2) {
      for (size_t r = 0; r < t->n / 2; r++) {
        const size_t b = r >> log2_up(half);
        const uint32_t w = t->inverse[blocks + b], shoup = t->inverse_shoup[blocks + b];
        uint32_t *restrict low = a + first + (b * half + r) * stride, *restrict high = low + half * stride;
        for (size_t i = 0; i < len; i++) {
          const uint32_t x = low[i], y = high[i];
          low[i] = mod_subtract_once(x + y, 2 * p);
          high[i] = mod_multiply_shoup(x + 2 * p - y, w, shoup, p);
        }
      }
    }
    for (size_t r = 0; r < t->n / 2; r++) {
      uint32_t *restrict low = a + first + r * stride, *restrict high = low + t->n / 2 * stride;
      for (size_t i = 0; i < len; i++) {
        const uint32_t x = low[i], y = high[i];
        low[i] = mod_subtract_once(mod_multiply_shoup(x + y, t->scale, t->scale_shoup, p), p);
        high[i] = mod_subtract_once(mod_multiply_shoup(x + 2 * p - y, t->last_scale, t->last_scale_shoup, p), p);
      }
    }
  }
  columns_assert(a, stride, columns, t->n, p);
}

static inline void product_assert(const uint32_t *a, const uint32_t *b, const struct residue_product *s, uint32_t p) {
  bound_assert(a, s->outs * s->terms, 0, p - 1);
  for (size_t k = 0; BOUND_ASSERTS && k < s->terms; k++) bound_assert(b + s->row_base[k], s->columns, 0, p - 1);
}

static inline void product_common(uint32_t *out, const uint32_t *a, const uint32_t *b, const struct residue_product *s,
                                  const struct modulus *m) {
  const struct modulus mod = *m;
  product_assert(a, b, s, mod.p);
  for (size_t o = 0; o < s->outs; o++) {
    for (size_t first = 0; first < s->columns; first += COLUMNS) {
      const size_t len = size_min(COLUMNS, s->columns - first);
      uint64_t sum[COLUMNS] = {0};
      for (size_t k = 0; k < s->terms; k++) {
        const uint32_t x = a[o * s->terms + k], *y = b + s->row_base[k] + first;
        for (size_t i = 0; i < len; i++) sum[i] += (uint64_t)x * y[i];
      }
      for (size_t i = 0; i < len; i++) out[o * s->columns + first + i] = mod_reduce_63(sum[i], &mod);
    }
  }
  bound_assert(out, s->outs * s->columns, 0, mod.p - 1);
}

static void reduce_signed_common(uint32_t *out, const int64_t *in, size_t count, const struct modulus *m) {
  const struct modulus mod = *m;
  bound_assert(in, count, 1 - REDUCE_BOUND, REDUCE_BOUND - 1);
  for (size_t i = 0; i < count; i++) out[i] = mod_reduce_signed(in[i], &mod);
  bound_assert(out, count, 0, mod.p - 1);
}

static void add_common(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t count, const struct modulus *m) {
  const uint32_t p = m->p;
  bound_assert(a, count, 0, p - 1);
  bound_assert(b, count, 0, p - 1);
  for (size_t i = 0; i < count; i++) out[i] = mod_subtract_once(a[i] + b[i], p);
  bound_assert(out, count, 0, p - 1);
}

static void subtract_common(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t count,
                            const struct modulus *m) {
  const uint32_t p = m->p;
  bound_assert(a, count, 0, p - 1);
  bound_assert(b, count, 0, p - 1);
  for (size_t i = 0; i < count; i++) out[i] = mod_subtract_once(a[i] + p - b[i], p);
  bound_assert(out, count, 0, p - 1);
}

/* v in [0, p) to its representative of least absolute value. */
static inline int32_t centre_one(uint32_t v, uint32_t p) {
  return (int32_t)(v - (p & (0 - ((p / 2 - v) >> 31))));
}

static void centre_wide_common(int32_t *out, const uint64_t *low, const uint64_t *high, size_t count,
                               const struct modulus *m) {
  const struct modulus mod = *m;
  bound_assert(low, count, 0, CENTRE_BOUND - 1);
  if (!high) {
    for (size_t i = 0; i < count; i++) out[i] = centre_one(mod_reduce_63(low[i], &mod), mod.p);
  } else {
    const uint64_t factor = mod_power(2, 40, mod.p);
    bound_assert(high, count, 0, CENTRE_BOUND - 1);
    for (size_t i = 0; i < count; i++)
      out[i] = centre_one(mod_reduce_63(low[i] + mod_reduce_63(high[i], &mod) * factor, &mod), mod.p);
  }
  bound_assert(out, count, -(int32_t)(mod.p / 2), (int32_t)(mod.p / 2));
}

static void centre_extend_common(int32_t *out, const uint32_t *a, size_t n, size_t more, const struct modulus *m) {
  const uint32_t p = m->p;
  bound_assert(a, n, 0, p - 1);
  for (size_t i = 0; i < n; i++) out[i] = centre_one(a[i], p);
  for (size_t i = 0; i < more; i++) out[n + i] = -centre_one(a[i], p);
  bound_assert(out, n + more, -(int32_t)(p / 2), (int32_t)(p / 2));
}

static void add_small_common(uint32_t *out, const uint32_t *a, const int32_t *small, size_t count,
                             const struct modulus *m) {
  const uint32_t p = m->p;
  bound_assert(a, count, 0, p - 1);
  bound_assert(small, count, 1 - (int32_t)p, (int32_t)p - 1);
  for (size_t i = 0; i < count; i++) {
    const uint32_t sum = a[i] + (uint32_t)small[i];
    out[i] = mod_subtract_once(sum + (p & (0 - (sum >> 31))), p);
  }
  bound_assert(out, count, 0, p - 1);
}

static void lift_common(uint32_t *out, const int32_t *small, size_t count, const struct modulus *m) {
  const uint32_t p = m->p;
  bound_assert(small, count, 1 - (int32_t)p, (int32_t)p - 1);
  for (size_t i = 0; i < count; i++) out[i] = (uint32_t)small[i] + p;
  bound_assert(out, count, 1, 2 * p - 1);
}

/* With z = q*x + 2^(l-1): round(q*x / 2^l) = (z - z mod 2^l) / 2^l, and z = 2^(l-1) mod p as p divides q. So the
 * residue is (2^(l-1) - (z mod 2^l)) / 2^l mod p, and z mod 2^l needs the low words alone. */
static void encode_common(uint32_t *out, const uint64_t *x, size_t count, unsigned ring_bits, uint64_t q_low,
                          const struct modulus *m) {
  const struct modulus mod = *m;
  const uint64_t half = UINT64_C(1) << (ring_bits - 1), mask = low_mask(ring_bits);
  const uint32_t power = mod_power(2, ring_bits, mod.p);
  const uint32_t inverse = mod_inverse(power, mod.p);                     /* 2^-l */
  const uint32_t factor = (uint32_t)((uint64_t)inverse * mod.r1 % mod.p); /* in Montgomery form */
  for (size_t i = 0; i < count; i++) {
    const int64_t v = (int64_t)half - (int64_t)((q_low * x[i] + half) & mask);
    out[i] = mod_multiply_montgomery(mod_reduce_signed(v, &mod), factor, &mod);
  }
  bound_assert(out, count, 0, mod.p - 1);
}

static inline uint64_t popcount_21(uint64_t x) {
#ifdef __POPCNT__
  return (uint64_t)__builtin_popcountll(x & 0x1fffff);
#else
  x &= 0x1fffff;
  x -= (x >> 1) & 0x155555;
  x = (x & 0x333333) + ((x >> 2) & 0x333333);
  x = (x + (x >> 4)) & 0x0f0f0f;
  return ((x * 0x010101) >> 16) & 0x1f;
#endif
}

static void noise_common(int32_t *out, const uint64_t *random, size_t count) {
  for (size_t i = 0; i < count; i++)
    out[i] = (int32_t)(popcount_21(random[i]) - popcount_21(random[i] >> RLWE_NOISE_PAIRS));
  bound_assert(out, count, -RLWE_NOISE_PAIRS, RLWE_NOISE_PAIRS);
}

static void ternary_common(int32_t *out, const uint64_t *random, size_t count) {
  /* The top two bits of 3r/4 with r of 62 bits: 0, 1 or 2. */
  for (size_t i = 0; i < count; i++) out[i] = (int32_t)(((random[i] >> 2) * 3) >> 62) - 1;
  bound_assert(out, count, -1, 1);
}

static void add_fraction_common(uint64_t *sum, const uint32_t *a, size_t count, uint32_t k_montgomery,
                                const struct modulus *m) {
  const struct modulus mod = *m;
  /* 2^96 / p in three words: only the lower two matter, as whole multiples of 2^64 vanish. */
  const uint64_t high = UINT64_MAX / mod.p;     /* floor(2^64 / p), p odd */
  const uint64_t rest = UINT64_MAX % mod.p + 1; /* 2^64 mod p */
  const uint64_t low = (rest << 32) / mod.p;    /* next 32 bits */
  bound_assert(a, count, 0, mod.p - 1);
  bound_assert(&k_montgomery, 1, 0, mod.p - 1);
  const uint32_t high_0 = (uint32_t)high, high_1 = (uint32_t)(high >> 32), low_0 = (uint32_t)low;
  for (size_t i = 0; i < count; i++) {
    const uint32_t y = mod_multiply_montgomery(a[i], k_montgomery, &mod);
    sum[i] += (uint64_t)y * high_0 + (((uint64_t)y * high_1) << 32) + (((uint64_t)y * low_0) >> 32);
  }
}

static void mixed_digit_common(uint32_t *out, const uint32_t *residue, const uint32_t *const *lower, size_t limb,
                               size_t count, const struct modulus *moduli) {
  const struct modulus m = moduli[limb];
  /* d = (r - d0 - d1*p0) / (p0*p1): negative products in Montgomery form, one factor per lower digit. */
  uint64_t product = 1;
  for (size_t k = 0; k < limb; k++) product = product * (moduli[k].p % m.p) % m.p;
  const uint32_t inverse = mod_inverse((uint32_t)product, m.p);
  const uint32_t factor = (uint32_t)((uint64_t)inverse * m.r1 % m.p);
  bound_assert(residue, count, 0, m.p - 1);
  for (size_t k = 0; BOUND_ASSERTS && k < limb; k++) bound_assert(lower[k], count, 0, moduli[k].p - 1);
  uint32_t weight[RLWE_LIMBS_MAX] = {0};
  uint64_t base = 1;
  for (size_t k = 0; k < limb; k++) {
    weight[k] = (uint32_t)((m.p - base * inverse % m.p) * m.r1 % m.p);
    base = base * (moduli[k].p % m.p) % m.p;
  }
  if (limb == 1) { /* the usual case, without an inner loop */
    const uint32_t *d0 = lower[0];
    const uint32_t weight_0 = weight[0];
    for (size_t i = 0; i < count; i++) {
      const uint64_t t = (uint64_t)residue[i] * factor + (uint64_t)d0[i] * weight_0;
      out[i] = mod_subtract_once(mod_montgomery(t, &m), m.p);
    }
    bound_assert(out, count, 0, m.p - 1);
    return;
  }
  for (size_t i = 0; i < count; i++) {
    uint64_t t = (uint64_t)residue[i] * factor; /* each product below 2^54 */
    for (size_t k = 0; k < limb; k++) t += (uint64_t)lower[k][i] * weight[k];
    out[i] = mod_subtract_once(mod_montgomery(t, &m), m.p);
  }
  bound_assert(out, count, 0, m.p - 1);
}

static void compose_common(int64_t *out, const uint32_t *a, const uint32_t *b, size_t count,
                           const struct modulus *moduli) {
  const struct modulus m = moduli[1];
  const uint32_t p0 = moduli[0].p;
  const uint64_t half = ((uint64_t)p0 * m.p) >> 1;
  const uint32_t factor = (uint32_t)((uint64_t)mod_inverse(p0, m.p) * m.r1 % m.p); /* in Montgomery form */
  bound_assert(a, count, 0, p0 - 1);
  bound_assert(b, count, 0, m.p - 1);
  /* Half of q added, (p - 1)/2 modulo each prime, makes the number non-negative. p0 < 2 p1. */
  for (size_t i = 0; i < count; i++) {
    const uint32_t low = mod_subtract_once(a[i] + p0 / 2, p0), second = b[i] + m.p / 2;
    const uint32_t high = mod_multiply_montgomery(second + 2 * m.p - low, factor, &m);
    out[i] = (int64_t)(low + (uint64_t)p0 * high - half);
  }
  bound_assert(out, count, -(int64_t)half, (int64_t)half);
}

/* Digits are taken from two words of 32 bits, each with half of them. */
static void cut_digits_common(int32_t *out, const int64_t *v, size_t count, const struct digit_cut *cut) {
  enum { CHUNK = 64 };
  const unsigned bits = cut->bits, low_bits = (unsigned)(cut->digits / 2) * bits, skipped = cut->skipped;
  const int32_t middle = INT32_C(1) << (bits - 1);
  const int64_t limit = INT64_C(1) << (skipped + bits * cut->digits - 1);
  int64_t offset = INT64_C(1) << (skipped - 1);
  for (size_t k = 0; k < cut->digits; k++) offset += (int64_t)middle << (bits * k + skipped);
  bound_assert(v, count, 1 - limit, limit - 1);
  for (size_t first = 0; first < count; first += CHUNK) {
    const size_t len = size_min(CHUNK, count - first);
    uint32_t word[2][CHUNK];
    for (size_t i = 0; i < len; i++) {
      const uint64_t u = (uint64_t)(v[first + i] + offset) >> skipped; /* v + offset is not negative */
      word[0][i] = (uint32_t)u & (uint32_t)low_mask(low_bits);
      word[1][i] = (uint32_t)(u >> low_bits);
    }
    for (size_t k = 0; k < cut->digits; k++) {
      const unsigned shift = bits * (unsigned)k - (k < cut->digits / 2 ? 0 : low_bits);
      const uint32_t mask = k + 1 < cut->digits ? (uint32_t)low_mask(bits) : UINT32_MAX;
      const uint32_t *from = word[k >= cut->digits / 2];
      for (size_t i = 0; i < len; i++) out[k * count + first + i] = (int32_t)(from[i] >> shift & mask) - middle;
    }
  }
  bound_assert(out, cut->digits * count, -middle, middle + 1);
}

static inline void transpose_common(uint32_t *out, size_t out_stride, const uint32_t *in, size_t in_stride, size_t rows,
                                    size_t columns) {
  for (size_t j = 0; j < columns; j++)
    for (size_t i = 0; i < rows; i++) out[j * out_stride + i] = in[i * in_stride + j];
}

static inline size_t accept_below_common(uint32_t *out, size_t want, const uint32_t *words, size_t count, uint32_t p) {
  size_t got = 0;
  for (size_t i = 0; i < count && got < want; i++) {
    const uint32_t v = words[i] & (uint32_t)low_mask(RLWE_LIMB_BITS);
    out[got] = v;
    got += v < p;
  }
  bound_assert(out, got, 0, p - 1);
  return got;
}

static inline void matrix_assert_weights(const int16_t *weights, size_t count, unsigned weight_bits) {
  const int32_t limit = 1 << (weight_bits - 1);
  bound_assert(weights, count, (int16_t)-limit, (int16_t)(limit > INT16_MAX ? INT16_MAX : limit));
}

static inline void matrix_assert_lanes(const int32_t *a, const uint32_t *row_base, const struct matrix_weights *w) {
  for (size_t r = 0; BOUND_ASSERTS && r < w->rows; r++)
    bound_assert(a + row_base[r], MATRIX_LANES, -MATRIX_BOUND, MATRIX_BOUND);
}

static inline void matrix_assert_sums(const int64_t *out, const struct matrix_weights *w) {
  bound_assert(out, w->outs * MATRIX_LANES, 1 - REDUCE_BOUND, REDUCE_BOUND - 1);
}

/* --- weights of the vector tiers' matrix products ---
 *
 * Weights of at most WORD_WEIGHT_BITS go as 16-bit words: a lane is cut into a low digit of WORD_BITS bits, signed, and
 * the high rest, so that both are at most 2^13 in absolute value, and one instruction adds the products of two rows of
 * a lane into 32 bits. Wider weights are multiplied in 64 bits. */
enum { WORD_WEIGHT_BITS = 13, WORD_BITS = 14 };

static inline size_t row_pairs(size_t rows) {
  return div_up(rows, 2);
}

/* Rows between which 32-bit sums of digit products, each at most 2^(12 + weight_bits), are emptied into 64 bits. Even.
 */
static inline size_t word_block(unsigned weight_bits) {
  return ((size_t)1 << (19 - weight_bits)) - 2;
}

/* Words: [group of outputs][pair of rows][output in group] of two 16-bit weights. Else [group][row][output] of 64 bits.
 */
static inline fusion_status matrix_pack_groups(struct matrix_weights *w, const int16_t *weights, size_t outs,
                                               size_t rows, unsigned weight_bits, size_t group_outs) {
  *w = (struct matrix_weights){.outs = outs, .rows = rows, .weight_bits = weight_bits};
  matrix_assert_weights(weights, outs * rows, weight_bits);
  const bool words = weight_bits <= WORD_WEIGHT_BITS;
  const size_t groups = div_up(outs, group_outs), depth = words ? 2 * row_pairs(rows) : rows;
  const size_t element = words ? sizeof(int16_t) : sizeof(int64_t);
  if (!size_mul(groups * group_outs, depth, &w->packed_len) || !size_mul(w->packed_len, element, &w->packed_len))
    return FUSION_E_LIMIT;
  w->packed = mem_alloc(w->packed_len, 1);
  if (!w->packed) return FUSION_E_MEMORY;
  for (size_t o = 0; o < outs; o++) {
    for (size_t r = 0; r < rows; r++) {
      const size_t begin = o / group_outs * group_outs * depth, within = o % group_outs;
      const int16_t v = weights[o * rows + r];
      if (words)
        ((int16_t *)w->packed)[begin + (r / 2 * group_outs + within) * 2 + r % 2] = v;
      else
        ((int64_t *)w->packed)[begin + r * group_outs + within] = v;
    }
  }
  return FUSION_OK;
}

#endif
