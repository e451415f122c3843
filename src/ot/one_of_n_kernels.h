/** Kernels of one_of_n.c, one struct of function pointers for each CPU tier. */
#ifndef FUSION_OT_ONE_OF_N_KERNELS_H
#define FUSION_OT_ONE_OF_N_KERNELS_H

#include "base/block.h"
#include "base/kernel_tables.h"

struct one_of_n_kernels {
  /** plane0 / plane1: bits 0 / 1 of 64*words blocks; plane1 may be NULL. */
  void (*bit_planes)(uint64_t *plane0, uint64_t *plane1, const block *in, size_t words);
  /** out[k] = sum over i < width of alpha^i * in[i*count + k], k < count, count a multiple of 4. */
  void (*pack)(block *out, const block *in, size_t count, unsigned width);
  /** out[k] = low half of in[k], k < count, count a multiple of 4. */
  void (*low_words)(uint64_t *out, const block *in, size_t count);
};

KERNEL_TABLES_NEON(one_of_n);

/** alpha * b: both halves times x modulo x^64 + x^4 + x^3 + x + 1. */
static inline block block_times_alpha(block b) {
  const uint64_t reduce_lo = ((uint64_t)0 - (b.lo >> 63)) & 0x1b, reduce_hi = ((uint64_t)0 - (b.hi >> 63)) & 0x1b;
  return block_make((b.hi << 1) ^ reduce_hi, (b.lo << 1) ^ reduce_lo);
}

#endif
