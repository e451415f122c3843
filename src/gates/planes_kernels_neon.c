/* Bit planes of 64 values by exchanges between registers, 32 bits of each value at a time. */
#include "base/swap_bits_neon.h"

#include "gates/planes_loops.h"

enum { ROWS = 16 }; /* registers of four values' halves: row r has values r, 16 + r, 32 + r and 48 + r */

static inline uint32x4_t load(const uint64_t *values) {
  return vreinterpretq_u32_u64(vld1q_u64(values));
}

/* Lower or upper halves of the 64 values. */
static inline void load_rows(uint8x16_t rows[ROWS], const uint64_t *values, bool upper) {
  for (size_t i = 0; i < ROWS; i += 2) {
    const uint32x4_t v0 = load(values + i), v1 = load(values + 16 + i);
    const uint32x4_t v2 = load(values + 32 + i), v3 = load(values + 48 + i);
    /* Values i, i + 1, then those 16 and 32 further. */
    const uint32x4_t low = upper ? vuzp2q_u32(v0, v1) : vuzp1q_u32(v0, v1);
    const uint32x4_t high = upper ? vuzp2q_u32(v2, v3) : vuzp1q_u32(v2, v3);
    rows[i] = vreinterpretq_u8_u32(vuzp1q_u32(low, high));
    rows[i + 1] = vreinterpretq_u8_u32(vuzp2q_u32(low, high));
  }
}

/* Eight rows: afterwards row i has bit i of every byte, those of the eight rows together. */
static inline void swap_rows(uint8x16_t r[8]) {
  for (size_t i = 0; i < 8; i += 2) SWAP_BITS(r[i], r[i + 1], 1, 0xaa);
  for (size_t i = 0; i < 8; i = (i + 3) & ~(size_t)2) SWAP_BITS(r[i], r[i + 2], 2, 0xcc);
  for (size_t i = 0; i < 4; i++) SWAP_BITS(r[i], r[i + 4], 4, 0xf0);
}

/* Bit i of four bytes of the values: one word for each byte. Bytes of `low` are those of rows 0 to 7, of `high` those
 * of rows 8 to 15. */
static inline void put_planes(uint64_t *planes, size_t stride, uint8x16_t low, uint8x16_t high, unsigned count) {
  static const uint8_t first[16] = {0, 16, 4, 20, 8, 24, 12, 28, 1, 17, 5, 21, 9, 25, 13, 29};
  const uint8x16_t order = vld1q_u8(first), two = vdupq_n_u8(2);
  const uint8x16x2_t both = {{low, high}};
  const uint64x2_t words01 = vreinterpretq_u64_u8(vqtbl2q_u8(both, order));
  const uint64x2_t words23 = vreinterpretq_u64_u8(vqtbl2q_u8(both, vaddq_u8(order, two)));
  planes[0] = vgetq_lane_u64(words01, 0);
  if (count > 1) planes[8 * stride] = vgetq_lane_u64(words01, 1);
  if (count > 2) planes[16 * stride] = vgetq_lane_u64(words23, 0);
  if (count > 3) planes[24 * stride] = vgetq_lane_u64(words23, 1);
}

static inline void split_half(uint64_t *planes, size_t stride, const uint64_t *values, bool upper, unsigned bits) {
  uint8x16_t rows[ROWS];
  load_rows(rows, values, upper);
  swap_rows(rows);
  swap_rows(rows + 8);
  for (unsigned i = 0; i < 8 && i < bits; i++)
    put_planes(planes + i * stride, stride, rows[i], rows[8 + i], (bits - i + 7) / 8);
}

static inline void split_word(uint64_t *planes, size_t stride, const uint64_t *values, unsigned bits) {
  split_half(planes, stride, values, false, bits < 32 ? bits : 32);
  if (bits > 32) split_half(planes + 32 * stride, stride, values, true, bits - 32);
}

static void split_neon(uint64_t *planes, size_t stride, const uint64_t *values, size_t words, unsigned bits) {
  planes_split(planes, stride, values, words, bits, split_word);
}

const struct planes_kernels planes_kernels_neon = {.split = split_neon};
