/** F_2[x] / (x^128 + x^7 + x^2 + x + 1) on blocks, bit i of hi:lo being the coefficient of x^i: what the consistency
 *  check folds leaves with. Constant time. */
#ifndef FUSION_SILENT_SILENT_FIELD_KERNELS_H
#define FUSION_SILENT_SILENT_FIELD_KERNELS_H

#include "base/block.h"
#include "base/kernel_tables.h"

enum { FIELD_FOLD = 256 };

struct silent_field_kernels {
  block (*multiply)(block a, block b);
  /** sum of a[i] * b[i], i < FIELD_FOLD. */
  block (*fold)(const block *a, const block *b);
};

KERNEL_TABLES_VAES_NEON(silent_field);

/** Reduces the 256-bit product w[3] .. w[0]. */
static inline block field_reduce(const uint64_t w[4]) {
  const uint64_t h1 = w[3], h0 = w[2] ^ (h1 >> 63) ^ (h1 >> 62) ^ (h1 >> 57);
  return block_make(w[1] ^ h1 ^ (h1 << 1) ^ (h1 << 2) ^ (h1 << 7) ^ (h0 >> 63) ^ (h0 >> 62) ^ (h0 >> 57),
                    w[0] ^ h0 ^ (h0 << 1) ^ (h0 << 2) ^ (h0 << 7));
}

#endif
