/** The inner loops of the lattice code, one table per CPU tier. Every tier gives exactly the results of the portable
 * one. All run in time that depends on the counts alone. */
#ifndef FUSION_LATTICE_LATTICE_KERNELS_H
#define FUSION_LATTICE_LATTICE_KERNELS_H

#include "base/kernel_tables.h"
#include "lattice/ntt.h"

enum {
  MATRIX_LANES = 64 /* lanes of a block of the matrix product; arrays are padded so that whole blocks can be read */
};

/* Ranges that the kernels take. */
#define MULTIPLY_BOUND (UINT32_C(1) << 30) /* multiply: a */
#define REDUCE_BOUND (INT64_C(1) << 61)    /* reduce_signed: absolute value; a sum of the matrix product */
#define CENTRE_BOUND (UINT64_C(1) << 62)   /* centre_wide: each word */
#define MATRIX_BOUND (INT32_C(1) << 27)    /* matrix: absolute value of a lane */

/** The integer weights of one matrix, laid out for a tier's product kernel. */
struct matrix_weights {
  size_t outs, rows;
  unsigned weight_bits; /* |w| <= 2^(weight_bits - 1) */
  void *packed;         /* owned; secret */
  size_t packed_len;
};

struct lattice_kernels {
  void (*ntt_forward)(uint32_t *a, const struct ntt_table *t);
  void (*ntt_inverse)(uint32_t *a, const struct ntt_table *t);

  /** out[i] = a[i] * b[i] / 2^32 mod p, in [0, p). a[i] < 2^32 / 4, b[i] < p. out == a is allowed. */
  void (*multiply)(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t count, const struct modulus *m);
  /** out[i] = in[i] mod p, |in[i]| < 2^61. */
  void (*reduce_signed)(uint32_t *out, const int64_t *in, size_t count, const struct modulus *m);
  /** out[i] = a[i] + b[i] (a[i] - b[i]) mod p; both in [0, p). out == a is allowed. */
  void (*add)(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t count, const struct modulus *m);
  void (*subtract)(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t count, const struct modulus *m);
  /** out[i] = the representative of low[i] + 2^40 * high[i] mod p of least absolute value; low[i] < 2^62, high[i] <
   * 2^62; high may be NULL for zeros. */
  void (*centre_wide)(int32_t *out, const uint64_t *low, const uint64_t *high, size_t count, const struct modulus *m);
  /** out[0..n): a's representatives of least absolute value, a[i] in [0, p); then `more` (at most n) of them negated.
   */
  void (*centre_extend)(int32_t *out, const uint32_t *a, size_t n, size_t more, const struct modulus *m);
  /** out[i] = (a[i] + small[i]) mod p; a[i] in [0, p), |small[i]| < p. out == a is allowed. */
  void (*add_small)(uint32_t *out, const uint32_t *a, const int32_t *small, size_t count, const struct modulus *m);
  /** out[i] = round(q * x[i] / 2^ring_bits) mod p; q_low = q mod 2^64, ring_bits <= 60; higher bits of x are ignored.
   */
  void (*encode)(uint32_t *out, const uint64_t *x, size_t count, unsigned ring_bits, uint64_t q_low,
                 const struct modulus *m);
  /** Accepts the words whose low 27 bits are below p; out gets the first `want` of those at most. Returns how many.
   *  out has room for `count` words. Public data: uniform halves. */
  size_t (*accept_below)(uint32_t *out, size_t want, const uint32_t *words, size_t count, uint32_t p);
  /** Centred binomial noise from 64 random bits each: popcount of 21 bits minus popcount of 21 more. */
  void (*noise)(int32_t *out, const uint64_t *random, size_t count);
  /** Uniform in {-1, 0, 1} from 64 random bits each (bias below 2^-62). */
  void (*ternary)(int32_t *out, const uint64_t *random, size_t count);
  /** sum[i] += 2^64 * frac(a[i] * k / p), to within 2 below, modulo 2^64; k_montgomery = k * 2^32 mod p. */
  void (*add_fraction)(uint64_t *sum, const uint32_t *a, size_t count, uint32_t k_montgomery, const struct modulus *m);
  /** The mixed-radix digit of `limb`: digits[limb][i] with x = d0 + d1*p0 + d2*p0*p1, given the residues of `limb` in
   *  residue and the lower digits. In [0, p). */
  void (*mixed_digit)(uint32_t *out, const uint32_t *residue, const uint32_t *const *lower, size_t limb, size_t count,
                      const struct modulus *moduli);

  /** Packs weights [outs][rows] (row-major, `stride` apart) for `matrix`. */
  fusion_status (*matrix_pack)(struct matrix_weights *w, const int16_t *weights, size_t outs, size_t rows,
                               unsigned weight_bits);
  /** Bytes of scratch that `matrix` needs for `rows`. */
  size_t (*matrix_scratch)(size_t rows);
  /** out[o * MATRIX_LANES + i] = sum_r w[o][r] * a[row_base[r] + i], 0 <= i < MATRIX_LANES, exactly; |a| <= 2^27 and
   *  the sum below 2^61. Reads whole blocks of a. */
  void (*matrix)(int64_t *out, const int32_t *a, const uint32_t *row_base, const struct matrix_weights *w,
                 void *scratch);
};

void matrix_weights_free(struct matrix_weights *w);

KERNEL_TABLES(lattice);

#endif
