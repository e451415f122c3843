/** Kernels of bits.c, one struct of function pointers for each CPU tier. Eight values of `bits` bits are `bits` bytes:
 * a kernel works by such groups, with the places of a group's values computed once a call. */
#ifndef FUSION_BASE_BITS_KERNELS_H
#define FUSION_BASE_BITS_KERNELS_H

#include "base/kernel_tables.h"

struct bits_kernels {
  /** bits_pack(), 1 <= bits <= 64. */
  void (*pack)(uint8_t *out, const uint64_t *values, size_t count, unsigned bits);
  /** bits_unpack() of a stream that begins `skip` bits into `in`, 1 <= bits <= 64, skip <= 7. Bytes after the last
   * value's are not read. */
  void (*unpack)(uint64_t *values, const uint8_t *in, size_t count, unsigned bits, unsigned skip);
};

enum {
  BITS_GROUP = 8,   /* values */
  BITS_WINDOW = 57, /* widest value that lies in eight bytes wherever it begins */
  BITS_FEW = 32     /* so few values are not worth the places */
};

KERNEL_TABLES_NEON(bits);

#endif
