/** The LPN code: rows of ten ones in public places, applied to vectors of blocks over F_2.
 *
 *  Row r: ten positions in [0, k), drawn with repetition. Rows come in batches of 64; batch b takes the 448 32-bit
 * words of AES blocks 112 b .. 112 b + 111 of the key's counter stream. Each 32 words a[0..16), b[0..16) of it give 48
 * numbers of 21 bits: a[i] and b[i] modulo 2^21, and (a[i] >> 21) | (b[i] >> 21) << 11 modulo 2^21. A number x becomes
 * the position low | (high * factor >> (21 - shift)) << shift, where low are the lowest `shift` bits of x, high the
 * others and k = factor * 2^shift: uniform where factor is a power of two, else some positions are likelier than others
 * by one in 2^21 / k. Row j of the batch takes positions 10 j .. 10 j + 9. The key is public and the same on both
 * sides.
 *
 *  Two or up to four vectors may go through the code together, side by side in memory: a row then reads ten cache
 * lines, or halves of lines, for all results instead of ten for each. */
#ifndef FUSION_SILENT_LPN_KERNELS_H
#define FUSION_SILENT_LPN_KERNELS_H

#include "rand/aes_kernels.h"

enum {
  LPN_WEIGHT = 10,
  LPN_BATCH_ROWS = 64,
  LPN_BATCH_BLOCKS = 112,
  LPN_BATCH_GROUPS = 14, /* of 32 words */
  LPN_GROUP_POSITIONS = 48,
  LPN_BATCH_POSITIONS = LPN_BATCH_GROUPS * LPN_GROUP_POSITIONS,
  LPN_BATCH_PAIRS = LPN_BATCH_GROUPS / 2, /* of groups: what a tile of 16 blocks makes */
  LPN_NUMBER_BITS = 21,
  LPN_TOGETHER = 4, /* vectors side by side */
};

/** One vector, or up to LPN_TOGETHER interleaved ones: block p of vector v is blocks[p * width + v]. */
struct lpn_vectors {
  const block *blocks; /* aligned to width * 16 bytes; [k * width] */
  uint32_t factor;     /* k = factor << shift: at most 2^21; factor at most 2^(10 + shift) */
  unsigned shift;
  size_t width, count; /* width: lpn_width(count); of three in room for four the last blocks are any */
};

/** The room of `count` vectors side by side: 1, 2 or LPN_TOGETHER blocks. */
static inline size_t lpn_width(size_t count) {
  return count > 2 ? LPN_TOGETHER : count;
}

/** log2 of the bytes from one position to the next. */
static inline unsigned lpn_stride_bits(size_t width) {
  return width == 1 ? 4 : width == 2 ? 5 : 6;
}

/* Rows whose lines are asked for before they are read: where the cache is shared the loads of the rows that a core
 * looks ahead to do not fill its waits. */
enum { LPN_AHEAD = 12 };

/** Asks for what the row LPN_AHEAD after row i of a batch reads: its positions, as byte offsets into the vector, are at
 *  o, or for the next batch's first rows at next. */
static inline void lpn_ask(const uint8_t *vector, size_t i, const uint32_t *o, const uint32_t *next) {
  const size_t far = i + LPN_AHEAD;
  const uint32_t *at = far < LPN_BATCH_ROWS ? o + far * LPN_WEIGHT : next + (far - LPN_BATCH_ROWS) * LPN_WEIGHT;
  for (size_t k = 0; k < LPN_WEIGHT; k++) __builtin_prefetch(vector + at[k]);
}

struct lpn_kernels {
  /** For each vector v: rows[v * stride + i] ^= the sum of v at the positions of row first_row + i; first_row and count
   *  are multiples of 64. The key is opened by aes_kernels_of() of the same tier. */
  void (*encode)(const struct aes_key *key, block *rows, size_t stride, uint64_t first_row, size_t count,
                 const struct lpn_vectors *vectors);
};

KERNEL_TABLES_VAES_NEON(lpn);

#endif
