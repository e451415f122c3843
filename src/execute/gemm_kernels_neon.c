/** Integer matrix products with NEON: four rows by 16 columns stay in registers. */
#include "execute/gemm_taps.h"

#include <arm_neon.h>

enum { ROWS = 4, COLUMNS = 16, VECTORS = COLUMNS / 4, WIDE_COLUMNS = 8 };

/** A pair of weights of each row. */
static inline int16x8_t load_pairs(const int16_t *const row[ROWS], size_t pair) {
  int32_t w[ROWS];
  for (size_t r = 0; r < ROWS; r++) memcpy(&w[r], row[r] + 2 * pair, sizeof w[r]);
  return vreinterpretq_s16_s32(vld1q_s32(w));
}

/** sum += w * x of eight columns, w in lane `lane`. */
#define ADD_EIGHT(sum, x, w, lane)                                  \
  do {                                                              \
    (sum)[0] = vmlal_laneq_s16((sum)[0], vget_low_s16(x), w, lane); \
    (sum)[1] = vmlal_high_laneq_s16((sum)[1], x, w, lane);          \
  } while (0)
#define ADD_ROW(r)                                    \
  do {                                                \
    ADD_EIGHT(sum[r], x0.val[0], w, 2 * (r));         \
    ADD_EIGHT(sum[r], x0.val[1], w, 2 * (r) + 1);     \
    ADD_EIGHT(sum[r] + 2, x1.val[0], w, 2 * (r));     \
    ADD_EIGHT(sum[r] + 2, x1.val[1], w, 2 * (r) + 1); \
  } while (0)

/** `rows` <= ROWS; the rows that are missing repeat the last one and are not stored. */
static inline void row_block(uint32_t *out, const int16_t *w_rows, const int16_t *x, size_t rows, size_t pairs) {
  int32x4_t sum[ROWS][VECTORS];
  const int16_t *row[ROWS];
  for (size_t r = 0; r < ROWS; r++) {
    row[r] = w_rows + 2 * pairs * (r < rows ? r : rows - 1);
    for (size_t v = 0; v < VECTORS; v++) sum[r][v] = vdupq_n_s32(0);
  }
  for (size_t p = 0; p < pairs; p++, x += 2 * GEMM_COLUMNS) {
    const int16x8x2_t x0 = vld2q_s16(x), x1 = vld2q_s16(x + COLUMNS);
    const int16x8_t w = load_pairs(row, p);
    ADD_ROW(0);
    ADD_ROW(1);
    ADD_ROW(2);
    ADD_ROW(3);
  }
#pragma GCC unroll 4
  for (size_t r = 0; r < ROWS; r++) {
    if (r >= rows) break;
    for (size_t v = 0; v < VECTORS; v++) vst1q_u32(out + r * GEMM_COLUMNS + 4 * v, vreinterpretq_u32_s32(sum[r][v]));
  }
}

static void gemm_narrow_neon(uint32_t *out, const int16_t *w, const int16_t *x, size_t rows, size_t pairs,
                             size_t columns) {
  for (size_t r = 0; r < rows; r += ROWS)
    for (size_t c = 0; c < columns; c += COLUMNS)
      row_block(out + r * GEMM_COLUMNS + c, w + 2 * r * pairs, x + 2 * c, size_min(ROWS, rows - r), pairs);
}

static void gemm_taps_neon(uint32_t *out, const struct gemm_taps *taps, size_t width, size_t stride) {
  taps_row(out, taps, width, stride);
}

/** There are no vectors of 64-bit products: the multiply-add of the general registers, with the sums in these. */
static void gemm_wide_neon(uint64_t *out, const int16_t *w, size_t stride, const int64_t *x, size_t rows,
                           size_t depth) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < GEMM_COLUMNS; c += WIDE_COLUMNS) {
      uint64_t sum[WIDE_COLUMNS] = {0};
      for (size_t k = 0; k < depth; k++) {
        const uint64_t weight = (uint64_t)(int64_t)w[r * stride + k];
        for (size_t i = 0; i < WIDE_COLUMNS; i++) sum[i] += weight * (uint64_t)x[k * GEMM_COLUMNS + c + i];
      }
      memcpy(out + r * GEMM_COLUMNS + c, sum, sizeof sum);
    }
}

const struct gemm_kernels gemm_kernels_neon = {
    .narrow = gemm_narrow_neon, .taps = gemm_taps_neon, .wide = gemm_wide_neon};
