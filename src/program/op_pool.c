/** MAXPOOL and SUMPOOL. A maximum is what the program says to the last bit, also where values left their range:
 * pairwise y + max(x - y, 0), the difference read modulo 2^(value_bits+1), along the width and then along the height.
 */
#include "program/operators.h"

/* The taps of one window along one axis that lie inside it. */
struct taps {
  int64_t start, step;
  uint32_t count;
};

static struct taps taps_of(int64_t at, uint32_t len, uint32_t kernel, uint32_t stride, uint32_t pad,
                           uint32_t dilation) {
  const int64_t first = at * stride - pad, step = dilation;
  const int64_t skip = first < 0 ? (-first + step - 1) / step : 0, start = first + skip * step;
  const int64_t fit = start < len ? (len - 1 - start) / step + 1 : 0, left = (int64_t)kernel - skip;
  const int64_t count = fit < left ? fit : left;
  return (struct taps){start, step, count > 0 ? (uint32_t)count : 0};
}

/* Both parties' formula. `bits`: value_bits + 1. */
static int64_t maximum(int64_t a, int64_t b, unsigned bits) {
  const int64_t d = ring_signed((uint64_t)a - (uint64_t)b, bits);
  return (int64_t)((uint64_t)b + (d > 0 ? (uint64_t)d : 0));
}

/* Their order: the first 2^i taps against the others. */
static int64_t row_maximum(const int64_t *x, struct taps across, uint32_t count, unsigned bits) {
  if (count == 1) return *x;
  const uint32_t half = 1u << (log2_up(count) - 1);
  return maximum(row_maximum(x, across, half, bits), row_maximum(x + half * across.step, across, count - half, bits),
                 bits);
}

static int64_t window_maximum(const int64_t *x, size_t width, struct taps down, uint32_t count, struct taps across,
                              unsigned bits) {
  if (count == 1) return row_maximum(x, across, across.count, bits);
  const uint32_t half = 1u << (log2_up(count) - 1);
  const int64_t *below = x + (size_t)(half * down.step) * width;
  return maximum(window_maximum(x, width, down, half, across, bits),
                 window_maximum(below, width, down, count - half, across, bits), bits);
}

typedef uint64_t (*window_function)(const int64_t *x, const struct program_tensor *in, struct taps down,
                                    struct taps across);

static uint64_t sum_of(const int64_t *x, const struct program_tensor *in, struct taps down, struct taps across) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < down.count; i++) {
    const int64_t *row = x + (size_t)(i * down.step) * in->shape.width;
    for (uint32_t k = 0; k < across.count; k++) sum += (uint64_t)row[k * across.step];
  }
  return sum;
}

static uint64_t maximum_of(const int64_t *x, const struct program_tensor *in, struct taps down, struct taps across) {
  int64_t least = INT64_MAX, most = INT64_MIN;
  for (uint32_t i = 0; i < down.count; i++) {
    const int64_t *row = x + (size_t)(i * down.step) * in->shape.width;
    for (uint32_t k = 0; k < across.count; k++) {
      const int64_t v = row[k * across.step];
      least = v < least ? v : least;
      most = v > most ? v : most;
    }
  }
  /* No difference leaves its ring: the order does not matter. */
  if ((uint64_t)most - (uint64_t)least < UINT64_C(1) << in->value_bits) return (uint64_t)most;
  return (uint64_t)window_maximum(x, in->shape.width, down, down.count, across, in->value_bits + 1u);
}

static void pool(const struct operator_run *r, window_function of) {
  const struct program_step *s = r->step;
  const struct program_tensor *in = step_input(r->program, s, 0);
  const struct window *w = &s->window;
  const struct shape from = in->shape, to = s->out.shape;
  const int64_t *x = r->inputs[0];
  int64_t *y = r->out;
  for (size_t plane = 0; plane < r->samples * to.channels; plane++, x += (size_t)from.height * from.width) {
    for (uint32_t oy = 0; oy < to.height; oy++) {
      const struct taps down = taps_of(oy, from.height, w->kernel_h, w->stride_h, w->pad_top, w->dilation_h);
      for (uint32_t ox = 0; ox < to.width; ox++) {
        const struct taps across = taps_of(ox, from.width, w->kernel_w, w->stride_w, w->pad_left, w->dilation_w);
        const bool empty = !down.count || !across.count; /* a sum of padding alone */
        const int64_t *first = empty ? x : x + down.start * from.width + across.start;
        *y++ = ring_signed(empty ? 0 : of(first, in, down, across), s->out.ring_bits);
      }
    }
  }
}

static void run_maxpool(const struct operator_run *r) {
  pool(r, maximum_of);
}

static void run_sumpool(const struct operator_run *r) {
  pool(r, sum_of);
}

static uint64_t share_window(const uint64_t *plane, struct shape in, const struct window *w, uint32_t oy, uint32_t ox) {
  uint64_t sum = 0;
  for (uint32_t ky = 0; ky < w->kernel_h; ky++) {
    const int64_t y = (int64_t)oy * w->stride_h + (int64_t)ky * w->dilation_h - w->pad_top;
    if (y < 0 || y >= in.height) continue;
    for (uint32_t kx = 0; kx < w->kernel_w; kx++) {
      const int64_t x = (int64_t)ox * w->stride_w + (int64_t)kx * w->dilation_w - w->pad_left;
      if (x >= 0 && x < in.width) sum += plane[(size_t)y * in.width + (size_t)x];
    }
  }
  return sum;
}

static void share_sumpool(const struct operator_share *r) {
  const struct program_step *s = &r->program->steps[r->step];
  const struct shape in = step_input(r->program, s, 0)->shape, to = s->out.shape;
  const uint64_t mask = low_mask(s->out.ring_bits), *plane = r->inputs[0];
  uint64_t *y = r->out;
  for (size_t p = 0; p < r->samples * in.channels; p++, plane += (size_t)in.height * in.width)
    for (uint32_t oy = 0; oy < to.height; oy++)
      for (uint32_t ox = 0; ox < to.width; ox++) *y++ = share_window(plane, in, &s->window, oy, ox) & mask;
}

static complaint check_sumpool(const struct program *program, const struct program_step *s) {
  const struct program_tensor *in = step_input(program, s, 0);
  if (in->shape.channels != s->out.shape.channels) return "its channels differ";
  if (!operator_window_fits(&s->window, in->shape, s->out.shape, true)) return "its window and shapes disagree";
  return NULL;
}

static complaint check_maxpool(const struct program *program, const struct program_step *s) {
  const struct program_tensor *in = step_input(program, s, 0);
  const complaint wrong = check_sumpool(program, s);
  if (wrong) return wrong;
  if (in->ring_bits < in->value_bits + 1) return "its input's ring has no room to compare";
  if (s->out.value_bits < in->value_bits) return "its values are wider than declared";
  return NULL;
}

static unsigned maxpool_needs(const struct program *program, const struct program_step *s, uint32_t k) {
  const unsigned compares = step_input(program, s, k)->value_bits + 1u;
  return compares > s->out.ring_bits ? compares : s->out.ring_bits;
}

/** Of products the sum is as wide as calibration shows, like these themselves. */
static unsigned sumpool_width(const struct operator_width *w) {
  const struct program_step *s = &w->program->steps[w->step];
  const unsigned most = w->in[0] + log2_up((uint64_t)s->window.kernel_h * s->window.kernel_w);
  const bool products = step_operator(&w->program->steps[s->inputs[0]])->scale == SCALE_PRODUCT;
  return products && w->calibrated < most ? w->calibrated : most;
}

const struct program_operator operator_maxpool = {
    .name = "maxpool",
    .inputs_least = 1,
    .inputs_most = 1,
    .fields = FIELD_WINDOW,
    .raw = RAW_NEVER,
    .scale = SCALE_KEEPS,
    .gate = GATE_MAXPOOL,
    .stage = STAGE_POOL,
    .free_shape = true,
    .check = check_maxpool,
    .run = run_maxpool,
    .needs = maxpool_needs,
};

const struct program_operator operator_sumpool = {
    .name = "sumpool",
    .inputs_least = 1,
    .inputs_most = 1,
    .fields = FIELD_WINDOW,
    .raw = RAW_NEVER,
    .scale = SCALE_MEAN,
    .gate = GATE_LOCAL,
    .stage = STAGE_POOL,
    .keeps_zero = true,
    .free_shape = true,
    .check = check_sumpool,
    .run = run_sumpool,
    .run_share = share_sumpool,
    .width = sumpool_width,
};
