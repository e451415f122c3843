/** Negacyclic number-theoretic transform modulo a 26-bit prime: Z_p[X]/(X^N + 1) to pointwise products.
 *  Natural order in, bit-reversed order out (and back); the order is part of the protocol, because the uniform halves
 * of ciphertexts are drawn in the transformed domain. Source: Longa, Naehrig, "Speeding up the Number Theoretic
 * Transform" (2016), algorithms 1 and 2; Harvey's lazy butterfly. */
#ifndef FUSION_LATTICE_NTT_H
#define FUSION_LATTICE_NTT_H

#include "lattice/modular.h"

enum { NTT_MIN_LOG = 5, NTT_MAX_LOG = 12, NTT_MAX = 1 << NTT_MAX_LOG };

/** Twiddles of one (N, p): powers of a primitive 2N-th root in bit-reversed order, with Shoup companions. */
struct ntt_table {
  struct modulus m;
  size_t n;
  uint32_t *forward, *forward_shoup, *inverse, *inverse_shoup; /* owned: one allocation, at `forward` */
  uint32_t scale, scale_shoup;                                 /* 1/N */
  uint32_t last_scale, last_scale_shoup;                       /* last inverse twiddle times 1/N */
};

/** Of `bits` bits. */
static inline size_t reverse_bits(size_t x, unsigned bits) {
  size_t out = 0;
  for (unsigned i = 0; i < bits; i++) out |= ((x >> i) & 1) << (bits - 1 - i);
  return out;
}

/** `root` is a primitive 2*NTT_MAX-th root of unity modulo p. */
fusion_status ntt_table_make(struct ntt_table *t, unsigned log_n, uint32_t p, uint32_t root) FUSION_MUST_CHECK;
void ntt_table_free(struct ntt_table *t);

/* Reference transforms: the portable tier. In place. forward: any input < 2p, output in [0, p). inverse: input < 2p,
 * output in [0, p). */
void ntt_forward_c(uint32_t *a, const struct ntt_table *t);
void ntt_inverse_c(uint32_t *a, const struct ntt_table *t);

#endif
