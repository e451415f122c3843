/** LINEAR on integers: columns are (sample, position) pairs; a tile of columns is laid out tap by tap and multiplied by
 * the weight matrix of its group. The narrow kernel serves when the inputs fit 16 bits and the accumulator is exact in
 * 32 bits: its ring has at most 32 bits, or the largest row cannot leave them. */
#include "execute/execute_linear.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
  DIRECT_ROWS = 3,           /* groups with fewer rows (depthwise) are summed tap by tap instead */
  SHARED_PRODUCTS = 1 << 22, /* steps of fewer products are not worth starting a thread for (about 50 us) */
  HELPERS_MAX = 63,
};

fusion_status linear_pack(struct linear_packed *out, const struct model *model, uint32_t step) {
  const struct program_step *s = &model->program.steps[step];
  struct linear_packed p = {.step = s, .weights = &model->weights[step], .kernels = gemm_kernels()};
  p.in = model->program.steps[s->inputs[0]].out.shape;
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

/** A block's inputs with their padding written out: [sample][channel][height][width], as 16-bit or 64-bit integers. */
struct padded {
  size_t height, width;
  int16_t *narrow; /* one of the two */
  int64_t *wide;
};

static fusion_status pad_inputs(struct padded *out, const struct linear_packed *p, const int64_t *x, size_t samples,
                                bool narrow) {
  const struct window *w = &p->step->window;
  out->height = (size_t)p->in.height + w->pad_top + w->pad_bottom;
  out->width = (size_t)p->in.width + w->pad_left + w->pad_right;
  const size_t planes = samples * p->in.channels, count = planes * out->height * out->width;
  if (narrow)
    out->narrow = mem_alloc(count, sizeof *out->narrow);
  else
    out->wide = mem_alloc(count, sizeof *out->wide);
  if (!out->narrow && !out->wide) return FUSION_E_MEMORY;
  for (size_t plane = 0; plane < planes; plane++) {
    for (size_t y = 0; y < p->in.height; y++, x += p->in.width) {
      const size_t at = (plane * out->height + y + w->pad_top) * out->width + w->pad_left;
      if (!narrow) memcpy(out->wide + at, x, p->in.width * sizeof *x);
      for (size_t i = 0; narrow && i < p->in.width; i++) out->narrow[at + i] = (int16_t)x[i];
    }
  }
  return FUSION_OK;
}

/** A tile's columns: where each reads its first tap in channel 0 and where it writes. A run is a stretch of columns
 * that read consecutive elements. */
struct tile {
  size_t from[GEMM_COLUMNS];
  int64_t *out[GEMM_COLUMNS];
  size_t count;
  size_t run_start[GEMM_COLUMNS + 1];
  size_t runs;
};

static void tile_fill(struct tile *t, const struct linear_packed *p, const struct padded *x, int64_t *y, size_t first,
                      size_t count) {
  const struct shape out = p->step->out.shape;
  const size_t plane = (size_t)out.height * out.width, sample_len = p->in.channels * x->height * x->width;
  t->count = count;
  t->runs = 0;
  for (size_t c = 0; c < count; c++) {
    const size_t sample = (first + c) / plane, at = (first + c) % plane;
    t->from[c] = sample * sample_len + at / out.width * p->step->window.stride_h * x->width +
                 at % out.width * p->step->window.stride_w;
    t->out[c] = y + sample * shape_size(out) + at;
    if (c == 0 || t->from[c] != t->from[c - 1] + 1) t->run_start[t->runs++] = c;
  }
  t->run_start[t->runs] = count;
}

/** One pair of taps: even and odd elements of `to` from a and b (NULL: zeros). */
static void pair_row(const struct tile *t, const int16_t *a, const int16_t *b, int16_t *to) {
  static const int16_t zeros[GEMM_COLUMNS] = {0};
  for (size_t r = 0; r < t->runs; r++) {
    const size_t first = t->run_start[r], len = t->run_start[r + 1] - first;
    const int16_t *restrict u = a + t->from[first], *restrict v = b ? b + t->from[first] : zeros;
    int16_t *restrict out = to + 2 * first;
    for (size_t c = 0; c < len; c++) {
      out[2 * c] = u[c];
      out[2 * c + 1] = v[c];
    }
  }
}

static void wide_row(const struct tile *t, const int64_t *x, int64_t *to) {
  for (size_t c = 0; c < t->count; c++) to[c] = x[t->from[c]];
}

/** The tile's matrix of one group: wide [depth][columns], or narrow pairs. */
static void tile_matrix(const struct tile *t, const struct linear_packed *p, const struct padded *x, size_t group,
                        int64_t *wide, int16_t *narrow) {
  const struct window *w = &p->step->window;
  const size_t channels = p->in.channels / p->step->groups;
  size_t previous = 0, k = 0;
  for (size_t c = group * channels; c < (group + 1) * channels; c++) {
    for (size_t ky = 0; ky < w->kernel_h; ky++) {
      for (size_t kx = 0; kx < w->kernel_w; kx++, k++) {
        const size_t at = (c * x->height + ky * w->dilation_h) * x->width + kx * w->dilation_w;
        if (wide)
          wide_row(t, x->wide + at, wide + k * GEMM_COLUMNS);
        else if (k % 2)
          pair_row(t, x->narrow + previous, x->narrow + at, narrow + (k - 1) * GEMM_COLUMNS);
        previous = at;
      }
    }
  }
  if (narrow && k % 2) pair_row(t, x->narrow + previous, NULL, narrow + (k - 1) * GEMM_COLUMNS);
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

/** `len` consecutive outputs of one channel. */
static void store_run(const struct linear_packed *p, uint64_t bias, const uint32_t *restrict narrow,
                      const uint64_t *restrict wide, int64_t *restrict out, size_t len) {
  const unsigned bits = p->step->out.ring_bits;
  if (narrow && bits <= 32) {
    const unsigned spare = 32 - bits;
    for (size_t c = 0; c < len; c++) out[c] = (int32_t)((narrow[c] + (uint32_t)bias) << spare) >> spare;
    return;
  }
  for (size_t c = 0; c < len; c++) {
    const uint64_t sum = narrow ? (uint64_t)(int64_t)(int32_t)narrow[c] : wide[c];
    out[c] = ring_signed(sum + bias, bits);
  }
}

static void tile_store(const struct tile *t, const struct linear_packed *p, size_t group, const struct scratch *s) {
  const size_t plane = (size_t)p->step->out.shape.height * p->step->out.shape.width;
  for (size_t first = 0, end; first < t->count; first = end) {
    end = first + 1;
    while (end < t->count && t->out[end] == t->out[end - 1] + 1) end++;
    for (size_t r = 0; r < p->rows; r++) {
      const size_t channel = group * p->rows + r, at = r * GEMM_COLUMNS + first;
      store_run(p, (uint64_t)p->weights->bias[channel], s->narrow_y ? s->narrow_y + at : NULL,
                s->narrow_y ? NULL : s->wide_y + at, t->out[first] + channel * plane, end - first);
    }
  }
}

/** Tiles of one step, taken by several threads. */
struct tile_work {
  const struct linear_packed *p;
  const struct padded *in;
  int64_t *y;
  size_t columns;
  bool narrow;
  atomic_size_t next; /* first column that nobody has taken */
  atomic_int status;
};

static void run_tile(const struct tile_work *work, const struct scratch *scratch, size_t first) {
  const struct linear_packed *p = work->p;
  struct tile t;
  tile_fill(&t, p, work->in, work->y, first, size_min(GEMM_COLUMNS, work->columns - first));
  for (size_t g = 0; g < p->step->groups; g++) {
    tile_matrix(&t, p, work->in, g, scratch->wide_x, scratch->narrow_x);
    if (work->narrow)
      p->kernels->narrow(scratch->narrow_y, p->narrow + 2 * g * p->rows * p->pairs, scratch->narrow_x, p->rows,
                         p->pairs, t.count);
    else
      p->kernels->wide(scratch->wide_y, p->weights->weights + g * p->rows * p->depth, p->depth, scratch->wide_x,
                       p->rows, p->depth);
    tile_store(&t, p, g, scratch);
  }
}

static void *take_tiles(void *arg) {
  struct tile_work *work = arg;
  struct scratch scratch = {0};
  const fusion_status status = scratch_alloc(&scratch, work->p, work->narrow);
  for (size_t first; status == FUSION_OK && (first = atomic_fetch_add(&work->next, GEMM_COLUMNS)) < work->columns;)
    run_tile(work, &scratch, first);
  if (status != FUSION_OK) atomic_store(&work->status, (int)status);
  scratch_free(&scratch);
  return NULL;
}

static fusion_status run_tiles(const struct linear_packed *p, const int64_t *x, int64_t *y, size_t samples, bool narrow,
                               unsigned threads) {
  const struct shape out = p->step->out.shape;
  struct padded in = {0};
  struct tile_work work = {.p = p, .in = &in, .y = y, .columns = samples * out.height * out.width, .narrow = narrow};
  pthread_t helpers[HELPERS_MAX];
  size_t started = 0;
  fusion_status status = pad_inputs(&in, p, x, samples, narrow);
  if (status != FUSION_OK) return status;
  atomic_init(&work.next, 0);
  atomic_init(&work.status, FUSION_OK);
  const bool shared = work.columns * out.channels > SHARED_PRODUCTS / p->depth;
  const size_t useful = shared ? size_min(threads, div_up(work.columns, GEMM_COLUMNS)) : 1;
  while (started + 1 < size_min(useful, HELPERS_MAX) && pthread_create(&helpers[started], NULL, take_tiles, &work) == 0)
    started++;
  take_tiles(&work);
  for (size_t i = 0; i < started; i++) pthread_join(helpers[i], NULL);
  mem_free(in.narrow);
  mem_free(in.wide);
  return (fusion_status)atomic_load(&work.status);
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
  const struct program_step *s = p->step;
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

/** Tap by tap in 32-bit lanes: the inputs fit 16 bits. Where no output is skipped a whole plane is one row, with the
 * padding's columns computed and dropped. */
static fusion_status direct_narrow(const struct linear_packed *p, const int64_t *x, int64_t *y, size_t samples) {
  const struct program_step *s = p->step;
  const struct window *w = &s->window;
  const struct shape out = s->out.shape;
  const size_t channels = p->in.channels / s->groups, plane = (size_t)out.height * out.width;
  const bool whole = w->stride_h == 1 && w->stride_w == 1;
  struct padded in = {0};
  fusion_status status;
  size_t *at = mem_alloc(p->depth, sizeof *at);
  uint32_t *sums = NULL;
  FAIL_IF(!at, FUSION_E_MEMORY);
  TRY(pad_inputs(&in, p, x, samples, true));
  const size_t width = whole ? (out.height - 1u) * in.width + out.width : out.width;
  FAIL_IF(!(sums = mem_alloc(width, sizeof *sums)), FUSION_E_MEMORY);
  for (size_t k = 0, c = 0; c < channels; c++)
    for (size_t ky = 0; ky < w->kernel_h; ky++)
      for (size_t kx = 0; kx < w->kernel_w; kx++)
        at[k++] = (c * in.height + ky * w->dilation_h) * in.width + kx * w->dilation_w;
  for (size_t i = 0; i < samples * out.channels; i++) {
    const size_t channel = i % out.channels, group = channel / p->rows;
    const int16_t *from = in.narrow + (i / out.channels * p->in.channels + group * channels) * in.height * in.width;
    struct gemm_taps taps = {.weights = p->weights->weights + channel * p->depth, .at = at, .count = p->depth};
    for (size_t row = 0; row < out.height; row++) {
      taps.x = from + row * w->stride_h * in.width;
      if (!whole || row == 0) p->kernels->taps(sums, &taps, width, w->stride_w);
      store_run(p, (uint64_t)p->weights->bias[channel], sums + (whole ? row * in.width : 0), NULL,
                y + i * plane + row * out.width, out.width);
    }
  }
cleanup:
  mem_free(sums);
  mem_free(at);
  mem_free(in.narrow);
  return status;
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

fusion_status execute_linear(const struct linear_packed *p, const int64_t *x, int64_t *y, size_t samples,
                             unsigned threads) {
  const struct shape out = p->step->out.shape;
  const size_t plane = (size_t)out.height * out.width;
  const bool narrow = narrow_fits(p, x, samples * shape_size(p->in));
  if (p->rows >= DIRECT_ROWS || plane == 1) return run_tiles(p, x, y, samples, narrow, threads);
  if (narrow) return direct_narrow(p, x, y, samples);
  for (size_t k = 0; k < samples; k++)
    for (size_t c = 0; c < out.channels; c++)
      direct_plane(p, x + k * shape_size(p->in), c, y + k * shape_size(out) + c * plane);
  return FUSION_OK;
}
