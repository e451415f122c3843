/* Portable kernels of planes.c. */
#include "gates/planes_kernels.h"

/* Bit j of row i and bit i of row j change places. */
static void transpose(uint64_t rows[64]) {
  /* Swap the off-diagonal halves of ever smaller squares (Hacker's Delight, sec. 7-3): 32, 16, .. 1. */
  uint64_t mask = low_mask(32);
  for (unsigned half = 32; half; half >>= 1, mask ^= mask << half) {
    for (unsigned i = 0; i < 64; i = (i + half + 1) & ~half) {
      const uint64_t swap = (rows[i] >> half ^ rows[i + half]) & mask;
      rows[i] ^= swap << half;
      rows[i + half] ^= swap;
    }
  }
}

static void split_c(uint64_t *planes, size_t stride, const uint64_t *values, size_t words, unsigned bits) {
  _Alignas(64) uint64_t rows[64];
  for (size_t w = 0; w < words; w++) {
    memcpy(rows, values + 64 * w, sizeof rows);
    transpose(rows);
    for (unsigned i = 0; i < bits; i++) planes[i * stride + w] = rows[i];
  }
  mem_wipe(rows, sizeof rows);
}

const struct planes_kernels planes_kernels_c = {.split = split_c};
