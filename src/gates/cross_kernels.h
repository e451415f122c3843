/** Kernels of cross.c: the element-wise loops, one struct of function pointers for each CPU tier. */
#ifndef FUSION_GATES_CROSS_KERNELS_H
#define FUSION_GATES_CROSS_KERNELS_H

#include "base/kernel_tables.h"

/** What is added to a share: v * 2^shift, or its negative. Public. */
struct cross_factor {
  unsigned shift; /* 0..63 */
  bool negative;
};

struct cross_kernels {
  /** pad1[e] = values[e] - (pad1[e] - pad0[e]). */
  void (*correct)(uint64_t *pad1, const uint64_t *pad0, const uint64_t *values, size_t count);
  /** share[e] += factor * (-1)^(choice ^ own) (pad[e] + choice * correction[e]); choice, own: planes. */
  void (*receive)(uint64_t *share, const uint64_t *pad, const uint64_t *correction, const uint64_t *choice,
                  const uint64_t *own, struct cross_factor factor, size_t count);
  /** share[e] += factor * (flip ? values[e] + pad0[e] : -pad0[e]); flip: a plane. */
  void (*send)(uint64_t *share, const uint64_t *pad0, const uint64_t *values, const uint64_t *flip,
               struct cross_factor factor, size_t count);
  /** share[e] += addend & -bit; bits: a plane. */
  void (*add_bits)(uint64_t *share, const uint64_t *bits, uint64_t addend, size_t count);
  /** plane = bit `bits` - 1 of share[e], then share[e] modulo 2^bits, 1 <= bits <= 64. */
  void (*take_top)(uint64_t *plane, uint64_t *share, unsigned bits, size_t count);
  /** values[e] = (-1)^bit row[e]; bits: a plane. */
  void (*negate)(uint64_t *values, const uint64_t *row, const uint64_t *bits, size_t count);
  /** share[e] = bit * share[e]; bits: a plane. */
  void (*keep)(uint64_t *share, const uint64_t *bits, size_t count);
};

KERNEL_TABLES(cross);

#endif
