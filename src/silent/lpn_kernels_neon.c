/* LPN encoding: positions by the ARMv8 AES instructions, sums by 128-bit loads, or by lines of four blocks. The
 * positions of the next batch are made between the loads of this one's, so that the rounds fill the waits for memory.
 */
#include "rand/aes_neon.h"
#include "silent/lpn_kernels.h"

/* What turns numbers into byte offsets. */
struct places {
  uint32x4_t numbers, low, factor;    /* masks of 21 bits and of the lowest `shift`; the factor */
  int32x4_t shift, unshift, down, up; /* down: shift - 21; up: log2 of the bytes from one position to the next */
};

static inline struct places places_neon(const struct lpn_vectors *v) {
  const int shift = (int)v->shift;
  return (struct places){.numbers = vdupq_n_u32((uint32_t)low_mask(LPN_NUMBER_BITS)),
                         .low = vdupq_n_u32((uint32_t)low_mask(v->shift)),
                         .factor = vdupq_n_u32(v->factor),
                         .shift = vdupq_n_s32(shift),
                         .unshift = vdupq_n_s32(-shift),
                         .down = vdupq_n_s32(shift - LPN_NUMBER_BITS),
                         .up = vdupq_n_s32((int)lpn_stride_bits(v->width))};
}

static inline uint32x4_t offsets_neon(const struct places *p, uint32x4_t number) {
  const uint32x4_t x = vandq_u32(number, p->numbers);
  const uint32x4_t high = vshlq_u32(vmulq_u32(vshlq_u32(x, p->unshift), p->factor), p->down);
  return vshlq_u32(vorrq_u32(vshlq_u32(high, p->shift), vandq_u32(x, p->low)), p->up);
}

/* Positions of a group of the batch, as byte offsets into the vector. */
static inline void group_offsets_neon(const struct aes_rounds_neon *r, uint64_t batch, size_t group,
                                      const struct places *p, uint32_t *out) {
  const uint64_t first = batch * LPN_BATCH_BLOCKS + AES_TILE_NEON * group;
  uint8x16_t x[AES_TILE_NEON];
  uint32x4_t w[AES_TILE_NEON];
  uint32_t *const at = out + LPN_GROUP_POSITIONS * group;
  for (size_t i = 0; i < AES_TILE_NEON; i++) x[i] = aes_counter_neon(first + i);
  aes_tile_neon(r, x);
  for (size_t i = 0; i < AES_TILE_NEON; i++) {
    w[i] = vreinterpretq_u32_u8(x[i]);
    vst1q_u32(at + 4 * i, offsets_neon(p, w[i]));
  }
  for (size_t i = 0; i < 4; i++) {
    const uint32x4_t low = vshrq_n_u32(w[i], LPN_NUMBER_BITS), high = vshrq_n_u32(w[4 + i], LPN_NUMBER_BITS);
    vst1q_u32(at + 32 + 4 * i, offsets_neon(p, vsliq_n_u32(low, high, 11)));
  }
}

static inline uint8x16_t vector_neon(const uint8_t *vector, uint32_t offset) {
  return vld1q_u8(vector + offset);
}

static inline void row_neon(block *row, const uint32_t *o, const uint8_t *v) {
  uint8x16_t even = aes_load_neon(row), odd = vector_neon(v, o[9]);
  for (size_t i = 0; i < 8; i += 2) {
    even = veorq_u8(even, vector_neon(v, o[i]));
    odd = veorq_u8(odd, vector_neon(v, o[i + 1]));
  }
  even = veorq_u8(even, vector_neon(v, o[8]));
  aes_store_neon(row, veorq_u8(even, odd));
}

/* One row of two or of up to four vectors: ten halves of lines, or lines. */
static inline void line_neon(block *row, size_t stride, size_t width, size_t vectors, const uint32_t *o,
                             const uint8_t *v) {
  uint8x16_t sums[LPN_TOGETHER];
  for (size_t k = 0; k < width; k++) sums[k] = vector_neon(v, o[0] + 16 * (uint32_t)k);
  for (size_t i = 1; i < LPN_WEIGHT; i++)
    for (size_t k = 0; k < width; k++) sums[k] = veorq_u8(sums[k], vector_neon(v, o[i] + 16 * (uint32_t)k));
  for (size_t k = 0; k < width && k < vectors; k++)
    aes_store_neon(row + k * stride, veorq_u8(aes_load_neon(row + k * stride), sums[k]));
}

/* Rows [begin, end) of a batch whose positions are at o, those of the next batch's first rows at next. */
static inline void rows_neon(block *row, size_t stride, size_t begin, size_t end, const uint32_t *o,
                             const uint32_t *next, const struct lpn_vectors *vectors) {
  const uint8_t *const v = (const uint8_t *)vectors->blocks;
  for (size_t i = begin; i < end; i++) {
    lpn_ask(v, i, o, next);
    const uint32_t *const here = o + i * LPN_WEIGHT;
    if (vectors->width == 1) row_neon(row + i, here, v);
    if (vectors->width == 2) line_neon(row + i, stride, 2, vectors->count, here, v);
    if (vectors->width == LPN_TOGETHER) line_neon(row + i, stride, LPN_TOGETHER, vectors->count, here, v);
  }
}

static void encode_neon(const struct aes_key *key, block *rows, size_t stride, uint64_t first_row, size_t count,
                        const struct lpn_vectors *vectors) {
  const struct aes_rounds_neon r = aes_rounds_neon(key->round);
  const struct places p = places_neon(vectors);
  _Alignas(64) uint32_t buffers[2][LPN_BATCH_POSITIONS];
  const uint64_t first = first_row / LPN_BATCH_ROWS;
  const size_t batches = count / LPN_BATCH_ROWS;
  for (size_t group = 0; group < LPN_BATCH_GROUPS; group++) group_offsets_neon(&r, first, group, &p, buffers[0]);
  for (size_t batch = 0; batch < batches; batch++) {
    uint32_t *const ahead = buffers[(batch + 1) % 2];
    for (size_t pair = 0; pair < LPN_BATCH_PAIRS; pair++) {
      const size_t begin = LPN_BATCH_ROWS * pair / LPN_BATCH_PAIRS, end = LPN_BATCH_ROWS * (pair + 1) / LPN_BATCH_PAIRS;
      group_offsets_neon(&r, first + batch + 1, 2 * pair, &p, ahead);
      group_offsets_neon(&r, first + batch + 1, 2 * pair + 1, &p, ahead);
      /* The first rows of the next batch are there before this one's last ask for them. */
      rows_neon(rows + LPN_BATCH_ROWS * batch, stride, begin, end, buffers[batch % 2], ahead, vectors);
    }
  }
}

const struct lpn_kernels lpn_kernels_neon = {.encode = encode_neon};
