/** Kernels of planes.c, one struct of function pointers for each CPU tier. */
#ifndef FUSION_GATES_PLANES_KERNELS_H
#define FUSION_GATES_PLANES_KERNELS_H

#include "base/kernel_tables.h"

struct planes_kernels {
  /** planes[i*stride + w], i < bits, w < words: bit i of values[64*w ..]. bits <= 64. */
  void (*split)(uint64_t *planes, size_t stride, const uint64_t *values, size_t words, unsigned bits);
};

KERNEL_TABLES_NEON(planes);

#endif
