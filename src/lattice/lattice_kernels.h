/** The inner loops of the lattice code, one table per CPU tier. Every tier gives exactly the results of the portable
 *  one. All run in time that depends on the counts alone.
 *
 *  The interval of each array's values is part of a kernel's contract: [low, high) or [low, high]. With -Dbounds=true
 *  every kernel asserts it, on entry and on return (bound_assert.h). p is m->p; "centred" means [-p/2, p/2], p/2
 * rounded down. */
#ifndef FUSION_LATTICE_LATTICE_KERNELS_H
#define FUSION_LATTICE_LATTICE_KERNELS_H

#include "base/kernel_tables.h"
#include "lattice/ntt.h"

enum {
  MATRIX_LANES = 64 /* lanes of a block of the matrix product; arrays are padded so that whole blocks can be read */
};

/* Ranges that the kernels take. */
#define MULTIPLY_BOUND (UINT32_C(1) << 30) /* multiply: a */
#define MULTIPLY_SUM_MOST 8                /* multiply_sum: products */
#define PRODUCT_TERMS_MAX 2048             /* product: their sum is below 2^63 */
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

/** Digits of a number, and how many bits below them are left out. */
struct digit_cut {
  size_t digits;
  unsigned bits, skipped;
};

/** A product of two matrices of residues. */
struct residue_product {
  size_t outs, terms, columns;
  const uint32_t *row_base; /* [terms]: where a row of the second one begins */
};

struct lattice_kernels {
  /** The transforms of ntt.h, in place. a: [0, 2p) -> [0, p). */
  void (*ntt_forward)(uint32_t *a, const struct ntt_table *t);
  void (*ntt_inverse)(uint32_t *a, const struct ntt_table *t);

  /** The same of each of the first `columns` columns of a [t->n][stride]. */
  void (*columns_forward)(uint32_t *a, size_t stride, size_t columns, const struct ntt_table *t);
  void (*columns_inverse)(uint32_t *a, size_t stride, size_t columns, const struct ntt_table *t);

  /** out[i] = a[i] * b[i] / 2^32 mod p. a: [0, MULTIPLY_BOUND), b: [0, p) -> out: [0, p). out == a is allowed. */
  void (*multiply)(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t count, const struct modulus *m);
  /** out[i] = sum_k a[k * count + i] * b[k * step + i] / 2^32 mod p, k < terms <= MULTIPLY_SUM_MOST. a, b: [0, p) ->
   *  out: [0, p). out overlaps neither. */
  void (*multiply_sum)(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t step, size_t terms, size_t count,
                       const struct modulus *m);
  /** out[o * columns + i] = sum_k a[o * terms + k] * b[row_base[k] + i] mod p, k < terms <= PRODUCT_TERMS_MAX.
   *  a, b: [0, p) -> out: [0, p). out overlaps neither. */
  void (*product)(uint32_t *out, const uint32_t *a, const uint32_t *b, const struct residue_product *shape,
                  const struct modulus *m);
  /** out[i] = in[i] mod p. in: (-REDUCE_BOUND, REDUCE_BOUND) -> out: [0, p). */
  void (*reduce_signed)(uint32_t *out, const int64_t *in, size_t count, const struct modulus *m);
  /** out[i] = a[i] + b[i] (a[i] - b[i]) mod p. a, b: [0, p) -> out: [0, p). out == a is allowed. */
  void (*add)(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t count, const struct modulus *m);
  void (*subtract)(uint32_t *out, const uint32_t *a, const uint32_t *b, size_t count, const struct modulus *m);
  /** out[i] = low[i] + 2^40 * high[i] mod p. low, high: [0, CENTRE_BOUND) -> out: centred. high may be NULL for zeros.
   */
  void (*centre_wide)(int32_t *out, const uint64_t *low, const uint64_t *high, size_t count, const struct modulus *m);
  /** out[0..n): a, centred; then `more` (at most n) of them negated. a: [0, p) -> out: centred. */
  void (*centre_extend)(int32_t *out, const uint32_t *a, size_t n, size_t more, const struct modulus *m);
  /** out[i] = (a[i] + small[i]) mod p. a: [0, p), small: (-p, p) -> out: [0, p). out == a is allowed. */
  void (*add_small)(uint32_t *out, const uint32_t *a, const int32_t *small, size_t count, const struct modulus *m);
  /** out[i] = small[i] + p, which the transforms take. small: (-p, p) -> out: (0, 2p). */
  void (*lift)(uint32_t *out, const int32_t *small, size_t count, const struct modulus *m);
  /** out[i] = round(q * x[i] / 2^ring_bits) mod p; q_low = q mod 2^64, 1 <= ring_bits <= 60; higher bits of x are
   *  ignored. x: any -> out: [0, p). */
  void (*encode)(uint32_t *out, const uint64_t *x, size_t count, unsigned ring_bits, uint64_t q_low,
                 const struct modulus *m);
  /** Accepts the words whose low 26 bits are below p; out gets the first `want` of those at most. Returns how many.
   *  words: any -> out: [0, p). out has room for `count` words. Public data: uniform halves. */
  size_t (*accept_below)(uint32_t *out, size_t want, const uint32_t *words, size_t count, uint32_t p);
  /** Centred binomial noise from 64 random bits each: popcount of 21 bits minus popcount of 21 more.
   *  random: any -> out: [-RLWE_NOISE_PAIRS, RLWE_NOISE_PAIRS]. */
  void (*noise)(int32_t *out, const uint64_t *random, size_t count);
  /** Uniform in {-1, 0, 1} from 64 random bits each (bias below 2^-62). random: any -> out: [-1, 1]. */
  void (*ternary)(int32_t *out, const uint64_t *random, size_t count);
  /** sum[i] += 2^64 * frac(a[i] * k / p), to within 2 below, modulo 2^64; k_montgomery = k * 2^32 mod p.
   *  a: [0, p) -> sum: any. */
  void (*add_fraction)(uint64_t *sum, const uint32_t *a, size_t count, uint32_t k_montgomery, const struct modulus *m);
  /** The mixed-radix digit of `limb`: digits[limb][i] with x = d0 + d1*p0 + d2*p0*p1, given the residues of `limb` in
   *  residue and the lower digits. residue: [0, p), lower[k]: [0, p_k) -> out: [0, p); p of `limb`. */
  void (*mixed_digit)(uint32_t *out, const uint32_t *residue, const uint32_t *const *lower, size_t limb, size_t count,
                      const struct modulus *moduli);

  /** out[i] = the number of least absolute value that is a[i] modulo the first prime and b[i] modulo the second.
   *  a, b: [0, p) of theirs -> out: [-(q - 1) / 2, (q - 1) / 2], q the product. */
  void (*compose)(int64_t *out, const uint32_t *a, const uint32_t *b, size_t count, const struct modulus *moduli);
  /** Digits of v[i] / 2^skipped, rounded: out[k * count + i], k < digits, of `bits` bits and of either sign; the last
   *  one is all that is left. v: (-limit, limit), limit = 2^(skipped + digits * bits - 1) -> out:
   *  [-2^(bits - 1), 2^(bits - 1)], the last one at most 1 above. digits * bits <= 60. */
  void (*cut_digits)(int32_t *out, const int64_t *v, size_t count, const struct digit_cut *cut);

  /** out[j * out_stride + i] = in[i * in_stride + j], i < rows, j < columns. in: any. out overlaps in nowhere. */
  void (*transpose)(uint32_t *out, size_t out_stride, const uint32_t *in, size_t in_stride, size_t rows,
                    size_t columns);

  /** Packs weights [outs][rows] (row-major) for `matrix`. weights: [-2^(weight_bits-1), 2^(weight_bits-1)]. */
  fusion_status (*matrix_pack)(struct matrix_weights *w, const int16_t *weights, size_t outs, size_t rows,
                               unsigned weight_bits);
  /** Bytes of scratch that `matrix` needs for `rows`. */
  size_t (*matrix_scratch)(size_t rows);
  /** out[o * MATRIX_LANES + i] = sum_r w[o][r] * a[row_base[r] + i], 0 <= i < MATRIX_LANES, exactly. Reads whole blocks
   *  of a. a: [-MATRIX_BOUND, MATRIX_BOUND] -> out: (-REDUCE_BOUND, REDUCE_BOUND), which the caller sees to. */
  void (*matrix)(int64_t *out, const int32_t *a, const uint32_t *row_base, const struct matrix_weights *w,
                 void *scratch);
};

void matrix_weights_free(struct matrix_weights *w);

/* Used by higher tiers too. */
void lattice_transpose_avx2(uint32_t *out, size_t out_stride, const uint32_t *in, size_t in_stride, size_t rows,
                            size_t columns);

KERNEL_TABLES_NEON(lattice);

#endif
