#include "program/shape.h"

struct window window_make(uint32_t kernel_h, uint32_t kernel_w, uint32_t stride) {
  return (struct window){.kernel_h = kernel_h,
                         .kernel_w = kernel_w,
                         .stride_h = stride,
                         .stride_w = stride,
                         .dilation_h = 1,
                         .dilation_w = 1};
}

/* All operands are at most MODEL_MAX_WINDOW or a tensor's side, so 64 bits hold every product. */
static bool window_side(uint32_t in, const uint32_t p[5], uint32_t *out) {
  const uint64_t kernel = p[0], stride = p[1], dilation = p[2], before = p[3], after = p[4];
  if (kernel == 0 || stride == 0 || dilation == 0) return false;
  for (int i = 0; i < 5; i++) {
    if (p[i] > MODEL_MAX_WINDOW) return false;
  }
  const uint64_t span = (kernel - 1) * dilation + 1, padded = before + in + after;
  if (in == 0 || in > MODEL_MAX_TENSOR || span > padded) return false;
  *out = (uint32_t)((padded - span) / stride + 1);
  return true;
}

bool shape_valid(struct shape s) {
  if (s.channels == 0 || s.height == 0 || s.width == 0) return false;
  size_t size;
  return size_mul(s.channels, s.height, &size) && size_mul(size, s.width, &size) && size <= MODEL_MAX_TENSOR;
}

bool window_apply(struct shape in, const struct window *w, struct shape *out) {
  struct shape s = {.channels = in.channels};
  const uint32_t rows[5] = {w->kernel_h, w->stride_h, w->dilation_h, w->pad_top, w->pad_bottom};
  const uint32_t cols[5] = {w->kernel_w, w->stride_w, w->dilation_w, w->pad_left, w->pad_right};
  if (!window_side(in.height, rows, &s.height) || !window_side(in.width, cols, &s.width) || !shape_valid(s))
    return false;
  *out = s;
  return true;
}
