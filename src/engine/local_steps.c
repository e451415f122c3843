#include "engine/local_steps.h"

void local_add(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t count, unsigned shift_a, unsigned shift_b,
               unsigned bits) {
  const uint64_t mask = low_mask(bits);
  for (size_t i = 0; i < count; i++) out[i] = ((a[i] << shift_a) + (b[i] << shift_b)) & mask;
}

static uint64_t window_sum(const uint64_t *plane, struct shape in, const struct window *w, uint32_t oy, uint32_t ox) {
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

void local_sumpool(uint64_t *out, const uint64_t *x, struct shape in, struct shape shape, const struct window *w,
                   size_t samples, unsigned bits) {
  const uint64_t mask = low_mask(bits);
  const size_t planes = samples * in.channels;
  for (size_t p = 0; p < planes; p++) {
    const uint64_t *plane = x + p * in.height * in.width;
    for (uint32_t oy = 0; oy < shape.height; oy++)
      for (uint32_t ox = 0; ox < shape.width; ox++) *out++ = window_sum(plane, in, w, oy, ox) & mask;
  }
}

void local_gather(uint64_t *out, const uint64_t *const *inputs, const size_t *in_sizes,
                  const struct gather_source *sources, size_t out_size, size_t samples, unsigned bits) {
  const uint64_t mask = low_mask(bits);
  for (size_t s = 0; s < samples; s++)
    for (size_t i = 0; i < out_size; i++) {
      const struct gather_source from = sources[i];
      *out++ = from.input == GATHER_ZERO ? 0 : inputs[from.input][s * in_sizes[from.input] + from.index] & mask;
    }
}

void local_offset(uint64_t *out, const uint64_t *x, const int64_t *bias, struct shape shape, bool negate,
                  size_t samples, unsigned bits) {
  const uint64_t mask = low_mask(bits);
  const size_t plane = (size_t)shape.height * shape.width;
  for (size_t s = 0; s < samples; s++)
    for (size_t c = 0; c < shape.channels; c++) {
      const uint64_t b = bias ? (uint64_t)bias[c] : 0;
      for (size_t i = 0; i < plane; i++, x++) *out++ = (negate ? b - *x : b + *x) & mask;
    }
}
