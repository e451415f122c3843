/** Pooling on integers. A maximum is what the program says to the last bit, also where values left their range:
 * pairwise y + max(x - y, 0), the difference read modulo 2^(value_bits+1), along the width and then along the height.
 */
#include "execute/execute_pool.h"

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

/* One window, its first tap at x. */
static uint64_t pool_window(const struct program_step *s, const int64_t *x, const struct program_tensor *in,
                            struct taps down, struct taps across) {
  uint64_t sum = 0;
  int64_t least = INT64_MAX, most = INT64_MIN;
  for (uint32_t i = 0; i < down.count; i++) {
    const int64_t *row = x + (size_t)(i * down.step) * in->shape.width;
    for (uint32_t k = 0; k < across.count; k++) {
      const int64_t v = row[k * across.step];
      sum += (uint64_t)v;
      least = v < least ? v : least;
      most = v > most ? v : most;
    }
  }
  if (s->op == OP_SUMPOOL) return sum;
  /* No difference leaves its ring: the order does not matter. */
  if ((uint64_t)most - (uint64_t)least < UINT64_C(1) << in->value_bits) return (uint64_t)most;
  return (uint64_t)window_maximum(x, in->shape.width, down, down.count, across, in->value_bits + 1u);
}

void execute_pool(const struct program_step *s, const struct program_tensor *in, const int64_t *x, int64_t *y) {
  const struct window *w = &s->window;
  const struct shape from = in->shape, to = s->out.shape;
  for (uint32_t c = 0; c < to.channels; c++, x += (size_t)from.height * from.width) {
    for (uint32_t oy = 0; oy < to.height; oy++) {
      const struct taps down = taps_of(oy, from.height, w->kernel_h, w->stride_h, w->pad_top, w->dilation_h);
      for (uint32_t ox = 0; ox < to.width; ox++) {
        const struct taps across = taps_of(ox, from.width, w->kernel_w, w->stride_w, w->pad_left, w->dilation_w);
        const bool empty = !down.count || !across.count; /* a sum of padding alone */
        const int64_t *first = empty ? x : x + down.start * from.width + across.start;
        *y++ = ring_signed(empty ? 0 : pool_window(s, first, in, down, across), s->out.ring_bits);
      }
    }
  }
}
