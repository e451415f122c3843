/** LINEAR on integers: columns are (sample, position) pairs; a tile of columns is laid out tap by tap and multiplied by
 * the weight matrix of its group. The narrow kernel serves when the inputs fit 16 bits and the accumulator is exact in
 * 32 bits: its ring has at most 32 bits, or the largest row cannot leave them. */
#include "model/execute_linear.h"

enum { DIRECT_ROWS = 3 }; /* groups with fewer rows (depthwise) are summed tap by tap instead */

fusion_status linear_pack(struct linear_packed *out, const struct model *model, uint32_t step) {
  const struct plan_step *s = &model->plan.steps[step];
  struct linear_packed p = {.step = s, .weights = &model->weights[step], .kernels = gemm_kernels()};
  p.in = model->plan.steps[s->inputs[0]].out.shape;
  p.rows = s->out.shape.channels / s->groups;
  p.depth = (size_t)(p.in.channels / s->groups) * s->window.kernel_h * s->window.kernel_w;
  p.pairs = div_up(p.depth, 2);
  p.narrow = mem_alloc((size_t)s->out.shape.channels * p.pairs, 2 * sizeof *p.narrow);
  if (!p.narrow) return FUSION_E_MEMORY;
  for (size_t r = 0; r < s->out.shape.channels; r++) {
    const int16_t *row = p.weights->weights + r * p.depth;
    uint64_t sum = 0;
    for (size_t k = 0; k < p.depth; k++) sum += (uint64_t)(row[k] < 0 ? -(int64_t)row[k] : row[k]);
    if (sum > p.row_sum) p.row_sum = sum;
    memcpy(p.narrow + 2 * r * p.pairs, row, p.depth * sizeof *row);
  }
  *out = p;
  return FUSION_OK;
}

void linear_packed_free(struct linear_packed *p) {
  mem_free(p->narrow);
  *p = (struct linear_packed){0};
}

/** Where a tile's columns read: for each column its sample's base and the window's corner. */
struct tile {
  const int64_t *base[GEMM_COLUMNS];
  int64_t top[GEMM_COLUMNS], left[GEMM_COLUMNS];
  int64_t *out[GEMM_COLUMNS];
  size_t count;
};

static void tile_fill(struct tile *t, const struct linear_packed *p, const int64_t *x, int64_t *y, size_t first,
                      size_t count) {
  const struct shape out = p->step->out.shape;
  const size_t plane = (size_t)out.height * out.width;
  t->count = count;
  for (size_t c = 0; c < count; c++) {
    const size_t sample = (first + c) / plane, at = (first + c) % plane;
    t->base[c] = x + sample * shape_size(p->in);
    t->top[c] = (int64_t)(at / out.width) * p->step->window.stride_h - p->step->window.pad_top;
    t->left[c] = (int64_t)(at % out.width) * p->step->window.stride_w - p->step->window.pad_left;
    t->out[c] = y + sample * shape_size(out) + at;
  }
}

/** One row of the tile's matrix: tap (ky, kx) of channel plane `offset`; 0 in the padding. */
static void tile_row(const struct tile *t, const struct linear_packed *p, size_t offset, int64_t ky, int64_t kx,
                     int64_t *row) {
  const int64_t dy = ky * p->step->window.dilation_h, dx = kx * p->step->window.dilation_w;
  for (size_t c = 0; c < t->count; c++) {
    const int64_t iy = t->top[c] + dy, ix = t->left[c] + dx;
    const bool inside = (uint64_t)iy < p->in.height && (uint64_t)ix < p->in.width;
    row[c] = inside ? t->base[c][offset + (size_t)(iy * p->in.width + ix)] : 0;
  }
}

/** The tile's matrix of one group: wide [depth][columns], or narrow pairs when `narrow` is not NULL. */
static void tile_matrix(const struct tile *t, const struct linear_packed *p, size_t group, int64_t *wide,
                        int16_t *narrow) {
  const size_t channels = p->in.channels / p->step->groups, plane = (size_t)p->in.height * p->in.width;
  int64_t row[GEMM_COLUMNS] = {0};
  size_t k = 0;
  for (size_t c = 0; c < channels; c++) {
    const size_t offset = (group * channels + c) * plane;
    for (int64_t ky = 0; ky < p->step->window.kernel_h; ky++) {
      for (int64_t kx = 0; kx < p->step->window.kernel_w; kx++, k++) {
        int64_t *target = narrow ? row : wide + k * GEMM_COLUMNS;
        tile_row(t, p, offset, ky, kx, target);
        int16_t *pair = narrow ? narrow + 2 * (k / 2) * GEMM_COLUMNS + k % 2 : NULL;
        for (size_t j = 0; narrow && j < GEMM_COLUMNS; j++) pair[2 * j] = (int16_t)row[j];
      }
    }
  }
}

struct scratch {
  int16_t *narrow_x;
  uint32_t *narrow_y;
  int64_t *wide_x;
  uint64_t *wide_y;
};

static void scratch_free(struct scratch *s) {
  mem_free(s->narrow_x);
  mem_free(s->narrow_y);
  mem_free(s->wide_x);
  mem_free(s->wide_y);
}

static fusion_status scratch_alloc(struct scratch *s, const struct linear_packed *p, bool narrow) {
  if (narrow) {
    s->narrow_x = mem_alloc(p->pairs * GEMM_COLUMNS, 2 * sizeof *s->narrow_x);
    s->narrow_y = mem_alloc(p->rows * GEMM_COLUMNS, sizeof *s->narrow_y);
    return s->narrow_x && s->narrow_y ? FUSION_OK : FUSION_E_MEMORY;
  }
  s->wide_x = mem_alloc(p->depth * GEMM_COLUMNS, sizeof *s->wide_x);
  s->wide_y = mem_alloc(p->rows * GEMM_COLUMNS, sizeof *s->wide_y);
  return s->wide_x && s->wide_y ? FUSION_OK : FUSION_E_MEMORY;
}

static void tile_store(const struct tile *t, const struct linear_packed *p, size_t group, const struct scratch *s) {
  const struct plan_tensor *out = &p->step->out;
  const size_t plane = (size_t)out->shape.height * out->shape.width;
  for (size_t r = 0; r < p->rows; r++) {
    const size_t channel = group * p->rows + r;
    const uint64_t bias = (uint64_t)p->weights->bias[channel];
    for (size_t c = 0; c < t->count; c++) {
      /* A 32-bit sum is exact as a signed number or modulo the ring; extending its sign serves both. */
      const uint64_t sum =
          s->narrow_y ? (uint64_t)(int64_t)(int32_t)s->narrow_y[r * GEMM_COLUMNS + c] : s->wide_y[r * GEMM_COLUMNS + c];
      t->out[c][channel * plane] = ring_signed(sum + bias, out->ring_bits);
    }
  }
}

static fusion_status run_tiles(const struct linear_packed *p, const int64_t *x, int64_t *y, size_t samples,
                               bool narrow) {
  const struct plan_step *s = p->step;
  const size_t columns = samples * s->out.shape.height * s->out.shape.width;
  struct scratch scratch = {0};
  fusion_status status;
  TRY(scratch_alloc(&scratch, p, narrow));
  for (size_t first = 0; first < columns; first += GEMM_COLUMNS) {
    struct tile t;
    tile_fill(&t, p, x, y, first, size_min(GEMM_COLUMNS, columns - first));
    for (size_t g = 0; g < s->groups; g++) {
      tile_matrix(&t, p, g, scratch.wide_x, scratch.narrow_x);
      if (narrow)
        p->kernels->narrow(scratch.narrow_y, p->narrow + 2 * g * p->rows * p->pairs, scratch.narrow_x, p->rows,
                           p->pairs);
      else
        p->kernels->wide(scratch.wide_y, p->weights->weights + g * p->rows * p->depth, p->depth, scratch.wide_x,
                         p->rows, p->depth);
      tile_store(&t, p, g, &scratch);
    }
  }
cleanup:
  scratch_free(&scratch);
  return status;
}

/** acc += weight * x over the columns of one output row that the tap reaches. */
static void direct_row(const struct linear_packed *p, const int64_t *x, int64_t weight, int64_t kx, uint64_t *acc) {
  const int64_t stride = p->step->window.stride_w;
  const int64_t shift = kx * p->step->window.dilation_w - p->step->window.pad_left;
  const int64_t width = p->in.width, out_width = p->step->out.shape.width;
  int64_t from = shift < 0 ? (-shift + stride - 1) / stride : 0;
  int64_t to = width - 1 - shift < 0 ? 0 : (width - 1 - shift) / stride + 1;
  if (to > out_width) to = out_width;
  if (stride == 1) {
    for (; from < to; from++) acc[from] += (uint64_t)weight * (uint64_t)x[from + shift];
    return;
  }
  for (; from < to; from++) acc[from] += (uint64_t)weight * (uint64_t)x[from * stride + shift];
}

/** One output plane, tap by tap. */
static void direct_plane(const struct linear_packed *p, const int64_t *x, size_t channel, int64_t *y) {
  const struct plan_step *s = p->step;
  const size_t group = channel / p->rows, channels = p->in.channels / s->groups;
  const size_t in_plane = (size_t)p->in.height * p->in.width;
  const size_t plane = (size_t)s->out.shape.height * s->out.shape.width;
  const int16_t *weight = p->weights->weights + channel * p->depth;
  for (size_t i = 0; i < plane; i++) y[i] = p->weights->bias[channel];
  for (size_t c = 0; c < channels; c++) {
    const int64_t *from = x + (group * channels + c) * in_plane;
    for (int64_t ky = 0; ky < s->window.kernel_h; ky++) {
      for (int64_t kx = 0; kx < s->window.kernel_w; kx++, weight++) {
        for (int64_t oy = 0; oy < s->out.shape.height; oy++) {
          const int64_t iy = oy * s->window.stride_h - s->window.pad_top + ky * s->window.dilation_h;
          if (iy < 0 || iy >= p->in.height) continue;
          direct_row(p, from + iy * p->in.width, *weight, kx, (uint64_t *)y + (size_t)oy * s->out.shape.width);
        }
      }
    }
  }
  for (size_t i = 0; i < plane; i++) y[i] = ring_signed((uint64_t)y[i], s->out.ring_bits);
}

/** True when every x fits 16 bits and the sums are exact in 32. */
static bool narrow_fits(const struct linear_packed *p, const int64_t *x, size_t count) {
  uint64_t largest = 0;
  for (size_t i = 0; i < count; i++) {
    const uint64_t magnitude = (uint64_t)(x[i] < 0 ? ~x[i] : x[i]);
    largest |= magnitude;
  }
  if (largest > INT16_MAX) return false;
  return p->step->out.ring_bits <= 32 || p->row_sum * (largest + 1) <= INT32_MAX;
}

fusion_status execute_linear(const struct linear_packed *p, const int64_t *x, int64_t *y, size_t samples) {
  const struct shape out = p->step->out.shape;
  const size_t plane = (size_t)out.height * out.width;
  if (p->rows >= DIRECT_ROWS || plane == 1)
    return run_tiles(p, x, y, samples, narrow_fits(p, x, samples * shape_size(p->in)));
  for (size_t k = 0; k < samples; k++)
    for (size_t c = 0; c < out.channels; c++)
      direct_plane(p, x + k * shape_size(p->in), c, y + k * shape_size(out) + c * plane);
  return FUSION_OK;
}
