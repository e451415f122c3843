/** Kernels of product_cot.c: the element-wise loops, one struct of function pointers for each CPU tier. A pad is an
 *  element of a stream, of 4 bytes where `narrow`, else of 8. */
#ifndef FUSION_GATES_PRODUCT_KERNELS_H
#define FUSION_GATES_PRODUCT_KERNELS_H

#include "base/kernel_tables.h"

/** The bit of a weight at hand. Public. */
struct product_bit {
  unsigned shift; /* 0..61 */
  bool negative;  /* the top bit of a signed weight */
  bool narrow;
};

struct product_kernels {
  /** correction[e] = pad0[e] - pad1[e] + x[e]; sum[e] -= +-(pad0[e] << shift), the sign that of the bit. */
  void (*send)(uint64_t *correction, uint64_t *sum, const void *pad0, const void *pad1, const uint64_t *x,
               struct product_bit bit, size_t count);
  /** sum[e] += +-((pad[e] + (correction[e] & choice)) << shift); choice is 0 or all ones. */
  void (*receive)(uint64_t *sum, const void *pad, const uint64_t *correction, uint64_t choice, struct product_bit bit,
                  size_t count);
  /** sum[e] += weight * x[e]. */
  void (*add)(uint64_t *sum, const uint64_t *x, int16_t weight, size_t count);
};

KERNEL_TABLES(product);

#endif
