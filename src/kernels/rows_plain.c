/* Rows of the plaintext: integer matrix products (the executor's) and the float reference. */
#include "execute/gemm_kernels.h"
#include "graph/float_tile_kernels.h"
#include "kernels/kernel_registry.h"

/* --- integer products: size is GEMM(rows, pairs of the inner dimension, or its length) --- */

enum { GEMM_ROW_BITS = 16, ROWS = 64, PAIRS = 288, DEPTH = 2 * PAIRS };

#define GEMM(rows, depth) ((size_t)(depth) << GEMM_ROW_BITS | (rows))

struct gemm_work {
  const struct gemm_kernels *kernels;
  size_t rows, depth;
  int16_t *weights, *x;
  int64_t *wide_x;
  uint32_t *out;
  uint64_t *wide_out;
  size_t *at;
  struct gemm_taps taps;
};

static struct gemm_work *start_gemm(struct kernel_run *r) {
  struct gemm_work *w = r->work;
  w->kernels = gemm_kernels_of(r->shape.tier);
  w->rows = r->shape.size & (size_t)low_mask(GEMM_ROW_BITS);
  w->depth = r->shape.size >> GEMM_ROW_BITS;
  return w;
}
static int16_t *words16(struct kernel_run *r, size_t count) {
  int16_t *out = kernel_memory(r, KERNEL_INPUT, count, sizeof *out);
  for (size_t i = 0; out && i < count; i++) out[i] = (int16_t)(INT16_MIN + (int32_t)kernel_value(r, 1 << 16));
  return out;
}

/* The parameter is columns. */
static void open_narrow(struct kernel_run *r) {
  struct gemm_work *w = start_gemm(r);
  w->weights = words16(r, 2 * w->rows * w->depth);
  w->x = words16(r, 2 * w->depth * GEMM_COLUMNS);
  w->out = kernel_memory(r, KERNEL_OUTPUT, w->rows * GEMM_COLUMNS, sizeof *w->out);
}
static void run_narrow(struct kernel_run *r) {
  const struct gemm_work *w = r->work;
  w->kernels->narrow(w->out, w->weights, w->x, w->rows, w->depth, r->shape.parameter);
}
static void settle_narrow(struct kernel_run *r) {
  const struct gemm_work *w = r->work;
  const size_t columns = r->shape.parameter;
  for (size_t i = 0; i < w->rows; i++)
    memset(w->out + i * GEMM_COLUMNS + columns, 0, (GEMM_COLUMNS - columns) * sizeof *w->out);
}

/* The parameter is how much longer than a row the stride is. */
static void open_wide(struct kernel_run *r) {
  struct gemm_work *w = start_gemm(r);
  w->weights = words16(r, w->rows * (w->depth + r->shape.parameter));
  w->wide_x = (int64_t *)(void *)kernel_words(r, KERNEL_INPUT, w->depth * GEMM_COLUMNS);
  w->wide_out = kernel_words(r, KERNEL_OUTPUT, w->rows * GEMM_COLUMNS);
}
static void run_wide(struct kernel_run *r) {
  const struct gemm_work *w = r->work;
  w->kernels->wide(w->wide_out, w->weights, w->depth + r->shape.parameter, w->wide_x, w->rows, w->depth);
}

/* Size is the width of a row of outputs, the parameter the stride. */
enum { TAPS_LINE = 512, TAPS_MOST = 12, TAPS_WIDTH = 116 };

static void open_taps(struct kernel_run *r) {
  struct gemm_work *w = r->work;
  const size_t count = 1 + r->shape.size % TAPS_MOST;
  w->kernels = gemm_kernels_of(r->shape.tier);
  w->weights = words16(r, count);
  w->x = words16(r, r->shape.size * r->shape.parameter + TAPS_LINE);
  w->at = kernel_memory(r, KERNEL_INPUT, count, sizeof *w->at);
  w->out = kernel_memory(r, KERNEL_OUTPUT, r->shape.size, sizeof *w->out);
  for (size_t i = 0; w->at && i < count; i++) w->at[i] = kernel_value(r, TAPS_LINE);
  w->taps = (struct gemm_taps){w->weights, w->x, w->at, count};
}
static void run_taps(struct kernel_run *r) {
  const struct gemm_work *w = r->work;
  w->kernels->taps(w->out, &w->taps, r->shape.size, r->shape.parameter);
}

#define GEMM_ROW(member)                                                                         \
  .name = #member, .members = KERNEL_MEMBER(gemm, member), .work_len = sizeof(struct gemm_work), \
  .open = open_##member, .run = run_##member
#define GEMM_L2(bytes) \
  { CEILING_L2, (bytes) / ROWS + 2.0 / GEMM_COLUMNS }

static const struct kernel_row gemm_rows[] = {
    {GEMM_ROW(narrow), .settle = settle_narrow,
     KERNEL_SIZES(GEMM(1, 37), GEMM(2, 37), GEMM(3, 37), GEMM(4, 37), GEMM(5, 37), GEMM(6, 37), GEMM(7, 37),
                  GEMM(8, 37), GEMM(9, 37), GEMM(10, 37), GEMM(11, 37), GEMM(12, 37), GEMM(13, 37), GEMM(14, 37),
                  GEMM(15, 37), GEMM(16, 37), GEMM(17, 37), GEMM(18, 37), GEMM(19, 37), GEMM(3, 1), GEMM(8, 2),
                  GEMM(0, 5)),
     .first_parameter = 1, .last_parameter = GEMM_COLUMNS,
     .points = {{.name = "ring matrix 64 x 576, 16-bit values",
                 .unit = "product",
                 .size = GEMM(ROWS, PAIRS),
                 .parameter = GEMM_COLUMNS,
                 .units = (double)ROWS * DEPTH * GEMM_COLUMNS,
                 .demand = {{CEILING_DOT, 1}, GEMM_L2(2.0)},
                 .demand_c = {{CEILING_MULTIPLY_LOW, 1}, GEMM_L2(2.0)}}}},
    {GEMM_ROW(wide), KERNEL_SIZES(GEMM(0, 5), GEMM(1, 1), GEMM(1, 37), GEMM(2, 16), GEMM(3, 37), GEMM(7, 64)),
     .last_parameter = 2,
     .points = {{.name = "ring matrix 64 x 576, 64-bit values",
                 .unit = "product",
                 .size = GEMM(ROWS, DEPTH),
                 .units = (double)ROWS * DEPTH * GEMM_COLUMNS,
                 .demand = {{CEILING_MULTIPLY_WIDE, 2}, GEMM_L2(8.0)}}}},
    {GEMM_ROW(taps), KERNEL_SIZES(0, 1, 2, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129, 150),
     .first_parameter = 1, .last_parameter = 3,
     .points = {{.name = "one-channel filter 3x3, rows of 116",
                 .unit = "product",
                 .size = TAPS_WIDTH,
                 .parameter = 1,
                 .units = TAPS_WIDTH * (1 + TAPS_WIDTH % TAPS_MOST),
                 .demand = {{CEILING_MULTIPLY_LOW, 1}}}}},
};
const struct kernel_module kernels_of_gemm = KERNEL_MODULE(gemm, "model", 0, gemm_rows);

/* --- float tiles: size is the depth --- */

/* A matrix that every tier's tiles divide. Values are small integers, so that sums are exact in any order. */
enum { FLOAT_ROWS = 24, FLOAT_COLUMNS = 32, FLOAT_DEPTH = 512, FLOAT_BOUND = 64 };

struct float_work {
  const struct float_tile_kernels *kernels;
  float *a, *b, *tile; /* in panels of the tier's rows, of its columns, its tiles */
  float *matrix;       /* [FLOAT_ROWS][FLOAT_COLUMNS] */
};

static float *panels(struct kernel_run *r, size_t lines, size_t width) {
  const size_t depth = r->shape.size;
  float *out = kernel_memory(r, KERNEL_INPUT, lines * depth, sizeof *out);
  for (size_t line = 0; out && line < lines; line++)
    for (size_t k = 0; k < depth; k++)
      out[(line / width * depth + k) * width + line % width] =
          (float)((int)kernel_value(r, 2 * FLOAT_BOUND + 1) - FLOAT_BOUND);
  return out;
}
static void open_float(struct kernel_run *r) {
  struct float_work *w = r->work;
  w->kernels = float_tile_kernels_of(r->shape.tier);
  assert(FLOAT_ROWS % w->kernels->rows == 0 && FLOAT_COLUMNS % w->kernels->columns == 0);
  w->a = panels(r, FLOAT_ROWS, w->kernels->rows);
  w->b = panels(r, FLOAT_COLUMNS, w->kernels->columns);
  w->tile = kernel_memory(r, KERNEL_INPUT, FLOAT_ROWS * FLOAT_COLUMNS, sizeof *w->tile);
  w->matrix = kernel_memory(r, KERNEL_OUTPUT, FLOAT_ROWS * FLOAT_COLUMNS, sizeof *w->matrix);
}
static void run_float(struct kernel_run *r) {
  const struct float_work *w = r->work;
  const size_t rows = w->kernels->rows, columns = w->kernels->columns, depth = r->shape.size;
  float *to = w->tile;
  for (size_t row = 0; row < FLOAT_ROWS; row += rows)
    for (size_t column = 0; column < FLOAT_COLUMNS; column += columns, to += rows * columns)
      w->kernels->multiply(to, w->a + row * depth, w->b + column * depth, depth);
}
static void settle_float(struct kernel_run *r) {
  const struct float_work *w = r->work;
  const size_t rows = w->kernels->rows, columns = w->kernels->columns, across = FLOAT_COLUMNS / columns;
  for (size_t i = 0; i < FLOAT_ROWS; i++)
    for (size_t j = 0; j < FLOAT_COLUMNS; j++)
      w->matrix[i * FLOAT_COLUMNS + j] =
          w->tile[(i / rows * across + j / columns) * rows * columns + i % rows * columns + j % columns];
}

static const struct kernel_row float_rows[] = {
    {.name = "multiply",
     .members = KERNEL_MEMBER(float_tile, multiply),
     .work_len = sizeof(struct float_work),
     .open = open_float,
     .run = run_float,
     .settle = settle_float,
     KERNEL_SIZES(0, 1, 2, 7, 64, 513),
     .points = {{.name = "float matrix (reference)",
                 .unit = "product",
                 .size = FLOAT_DEPTH,
                 .units = (double)FLOAT_ROWS * FLOAT_COLUMNS * FLOAT_DEPTH,
                 .demand = {{CEILING_FLOAT, 1}}}}},
};
const struct kernel_module kernels_of_float_tile = KERNEL_MODULE(float_tile, "model", 2 * sizeof(size_t), float_rows);
