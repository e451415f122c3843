/** 128-bit blocks: the unit of oblivious transfer and of AES. */
#ifndef FUSION_BASE_BLOCK_H
#define FUSION_BASE_BLOCK_H

#include <stdint.h>

typedef struct block {
  _Alignas(16) uint64_t lo;
  uint64_t hi;
} block;

static inline block block_make(uint64_t hi, uint64_t lo) {
  return (block){.lo = lo, .hi = hi};
}
static inline block block_xor(block a, block b) {
  return block_make(a.hi ^ b.hi, a.lo ^ b.lo);
}
/** b where mask is all ones, 0 where it is 0. */
static inline block block_and_mask(block b, uint64_t mask) {
  return block_make(b.hi & mask, b.lo & mask);
}
/** All ones if the least significant bit of b is set, else 0. */
static inline uint64_t block_lsb_mask(block b) {
  return (uint64_t)0 - (b.lo & 1);
}

#endif
