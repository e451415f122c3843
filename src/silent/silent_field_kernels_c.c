#include "silent/silent_field_kernels.h"

/* Low 64 bits of the carry-less product. Integer multiplications with every fourth bit set leave room for carries: a
 * sum of at most 16 ones fills 5 bits only when all 16 meet, and what spills then is past bit 63 or masked away. */
static uint64_t low_product(uint64_t a, uint64_t b) {
  const uint64_t m0 = UINT64_C(0x1111111111111111), m1 = m0 << 1, m2 = m0 << 2, m3 = m0 << 3;
  const uint64_t a0 = a & m0, a1 = a & m1, a2 = a & m2, a3 = a & m3;
  const uint64_t b0 = b & m0, b1 = b & m1, b2 = b & m2, b3 = b & m3;
  return (((a0 * b0) ^ (a1 * b3) ^ (a2 * b2) ^ (a3 * b1)) & m0) |
         (((a0 * b1) ^ (a1 * b0) ^ (a2 * b3) ^ (a3 * b2)) & m1) |
         (((a0 * b2) ^ (a1 * b1) ^ (a2 * b0) ^ (a3 * b3)) & m2) |
         (((a0 * b3) ^ (a1 * b2) ^ (a2 * b1) ^ (a3 * b0)) & m3);
}

static uint64_t reversed(uint64_t x) {
  x = ((x >> 1) & UINT64_C(0x5555555555555555)) | ((x & UINT64_C(0x5555555555555555)) << 1);
  x = ((x >> 2) & UINT64_C(0x3333333333333333)) | ((x & UINT64_C(0x3333333333333333)) << 2);
  x = ((x >> 4) & UINT64_C(0x0f0f0f0f0f0f0f0f)) | ((x & UINT64_C(0x0f0f0f0f0f0f0f0f)) << 4);
  return __builtin_bswap64(x);
}

/* a * b = (out.hi, out.lo), 127 bits. */
static block product(uint64_t a, uint64_t b) {
  return block_make(reversed(low_product(reversed(a), reversed(b))) >> 1, low_product(a, b));
}

/* w ^= a * b, unreduced (Karatsuba). */
static void accumulate(uint64_t w[4], block a, block b) {
  const block low = product(a.lo, b.lo), high = product(a.hi, b.hi);
  const block middle = block_xor(product(a.lo ^ a.hi, b.lo ^ b.hi), block_xor(low, high));
  w[0] ^= low.lo;
  w[1] ^= low.hi ^ middle.lo;
  w[2] ^= high.lo ^ middle.hi;
  w[3] ^= high.hi;
}

static block multiply_c(block a, block b) {
  uint64_t w[4] = {0};
  accumulate(w, a, b);
  return field_reduce(w);
}

static block fold_c(const block *a, const block *b) {
  uint64_t w[4] = {0};
  for (size_t i = 0; i < FIELD_FOLD; i++) accumulate(w, a[i], b[i]);
  return field_reduce(w);
}
const struct silent_field_kernels silent_field_kernels_c = {.multiply = multiply_c, .fold = fold_c};
