/* The layer in the clear, modulo 2^64: the server's product with its own share. */
#include "slots/slots_linear.h"

struct range {
  size_t first, end;
};

/* Outputs o for which o * stride + tap * dilation - pad is in [0, in). */
static struct range range_of(size_t in, size_t out, size_t stride, int64_t at) {
  struct range r = {0, out};
  while (r.first < out && (int64_t)(r.first * stride) + at < 0) r.first++;
  while (r.end > r.first && (int64_t)((r.end - 1) * stride) + at >= (int64_t)in) r.end--;
  return r;
}

/* One plane times one channel's taps. */
static void add_plane(const struct layer_shape *l, const int16_t *weights, const uint64_t *x, uint64_t *y) {
  for (size_t ky = 0; ky < l->kernel_h; ky++) {
    const int64_t ay = (int64_t)(ky * l->dilation_h) - l->pad_top;
    const struct range rows = range_of(l->in_h, l->out_h, l->stride_h, ay);
    for (size_t kx = 0; kx < l->kernel_w; kx++) {
      const uint64_t w = (uint64_t)(int64_t)weights[ky * l->kernel_w + kx];
      const int64_t ax = (int64_t)(kx * l->dilation_w) - l->pad_left;
      const struct range columns = range_of(l->in_w, l->out_w, l->stride_w, ax);
      for (size_t row = rows.first; row < rows.end; row++) {
        const uint64_t *from = x + ((int64_t)(row * l->stride_h) + ay) * (int64_t)l->in_w + ax;
        for (size_t i = columns.first; i < columns.end; i++) y[row * l->out_w + i] += w * from[i * l->stride_w];
      }
    }
  }
}

static uint64_t dot(const int16_t *weights, const uint64_t *x, size_t count) {
  uint64_t sum = 0;
  for (size_t i = 0; i < count; i++) sum += (uint64_t)(int64_t)weights[i] * x[i];
  return sum;
}

void slots_linear_local(const struct layer_shape *l, const int16_t *weights, const int64_t *bias, const uint64_t *x,
                        uint64_t *y, size_t samples) {
  const size_t in = l->in_channels / l->groups, out = l->out_channels / l->groups;
  const size_t in_plane = (size_t)l->in_h * l->in_w, out_plane = (size_t)l->out_h * l->out_w;
  const size_t taps = (size_t)l->kernel_h * l->kernel_w;
  for (size_t k = 0; k < samples * l->out_channels; k++) {
    const size_t s = k / l->out_channels, o = k % l->out_channels;
    uint64_t *to = y + k * out_plane;
    for (size_t i = 0; i < out_plane; i++) to[i] = (uint64_t)bias[o];
    if (!x) continue;
    const uint64_t *from = x + (s * l->in_channels + o / out * in) * in_plane;
    const int16_t *w = weights + o * in * taps;
    if (in_plane == 1 && taps == 1) to[0] += dot(w, from, in);
    for (size_t c = 0; c < in && in_plane * taps > 1; c++) add_plane(l, w + c * taps, from + c * in_plane, to);
  }
}
