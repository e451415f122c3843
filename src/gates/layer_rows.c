#include "gates/layer_rows.h"

struct layer_rows layer_rows_of(const struct layer_shape *shape, size_t samples) {
  struct layer_rows l = {.shape = shape, .plane = (size_t)shape->out_h * shape->out_w};
  l.columns = samples * l.plane;
  l.depth = (size_t)(shape->in_channels / shape->groups) * shape->kernel_h * shape->kernel_w;
  l.per_row = shape->out_channels / shape->groups;
  l.weights = layer_weight_count(shape);
  return l;
}

uint64_t layer_row(const struct layer_rows *l, uint64_t t) {
  return t / l->per_row;
}
size_t layer_channel(const struct layer_rows *l, uint64_t t) {
  return (size_t)(layer_row(l, t) / l->depth * l->per_row + t % l->per_row);
}
size_t layer_place(const struct layer_rows *l, uint64_t t) {
  return layer_channel(l, t) * l->depth + (size_t)(layer_row(l, t) % l->depth);
}

/* `len` consecutive output positions of one line, from position `ox` on: what the kernel's column `tap` reads of the
 * input's line. */
static void read_line(const struct layer_shape *q, const uint64_t *line, size_t ox, size_t tap, uint64_t *out,
                      size_t len) {
  for (size_t e = 0; e < len; e++) {
    const size_t ix = (ox + e) * q->stride_w + tap * q->dilation_w - q->pad_left; /* wraps where it is negative */
    out[e] = ix < q->in_w ? line[ix] : 0;
  }
}

void layer_rows_read(const struct layer_rows *l, const uint64_t *x, uint64_t r, size_t first, size_t count,
                     uint64_t *out) {
  const struct layer_shape *q = l->shape;
  const size_t taps = (size_t)q->kernel_h * q->kernel_w, channel = (size_t)(r / taps), tap = (size_t)(r % taps);
  const size_t map = (size_t)q->in_h * q->in_w;
  for (size_t done = 0, len; done < count; done += len) {
    const size_t column = first + done, sample = column / l->plane, at = column % l->plane;
    const size_t oy = at / q->out_w, ox = at % q->out_w;
    const size_t iy = oy * q->stride_h + tap / q->kernel_w * q->dilation_h - q->pad_top;
    len = size_min(q->out_w - ox, count - done);
    if (iy < q->in_h)
      read_line(q, x + (sample * q->in_channels + channel) * map + iy * q->in_w, ox, tap % q->kernel_w, out + done,
                len);
    else
      memset(out + done, 0, len * sizeof *out);
  }
}

void layer_rows_store(const struct layer_rows *l, const uint64_t *sums, const int64_t *bias, uint64_t *y) {
  const size_t outs = l->shape->out_channels, samples = l->columns / l->plane;
  const uint64_t mask = low_mask(l->shape->ring_bits);
  for (size_t s = 0; s < samples; s++)
    for (size_t o = 0; o < outs; o++) {
      const uint64_t *from = sums + o * l->columns + s * l->plane, add = bias ? (uint64_t)bias[o] : 0;
      for (size_t i = 0; i < l->plane; i++) *y++ = (from[i] + add) & mask;
    }
}
