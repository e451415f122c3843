/** Negacyclic number-theoretic transform modulo a prime below 2^50: Z_p[X]/(X^n + 1) to pointwise products. Natural
 *  order in, bit-reversed order out (and back): output i is the value at psi^(2 rev(i) + 1). Source: Longa, Naehrig
 *  (2016), algorithms 1 and 2; Harvey's lazy butterfly. */
#ifndef FUSION_SLOTS_SLOTS_NTT_H
#define FUSION_SLOTS_SLOTS_NTT_H

#include "slots/slots_modular.h"

enum { SLOTS_LOG_MIN = 4, SLOTS_LOG_MAX = 13 };

/** Twiddles of one (n, p): powers of a primitive 2n-th root in bit-reversed order; as integers with Shoup companions
 *  for the portable tier, as doubles with w / p for the vector tiers. */
struct slots_table {
  struct slots_modulus m;
  size_t n;
  uint64_t *forward, *forward_shoup, *inverse, *inverse_shoup;         /* owned: one allocation, at `forward` */
  double *forward_real, *forward_ratio, *inverse_real, *inverse_ratio; /* in it too */
  uint64_t scale, scale_shoup;                                         /* 1/n */
};

/** p = 1 modulo 2n. */
fusion_status slots_table_make(struct slots_table *t, unsigned log_n, uint64_t p) FUSION_MUST_CHECK;
void slots_table_free(struct slots_table *t);

/** Bits of x in reverse. */
size_t slots_reverse(size_t x, unsigned bits);

/* The portable tier. In place, [0, p) to [0, p). */
void slots_forward_c(uint64_t *a, const struct slots_table *t);
void slots_inverse_c(uint64_t *a, const struct slots_table *t);

#endif
