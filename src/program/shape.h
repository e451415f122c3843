/** Sizes that every description of a network shares: shapes, windows, rearrangements. */
#ifndef FUSION_PROGRAM_SHAPE_H
#define FUSION_PROGRAM_SHAPE_H

#include "base/base.h"

enum {
  MODEL_NAME_LEN = 96,
  MODEL_MAX_TENSOR = 1 << 28, /* elements of one tensor, weights included */
  MODEL_MAX_WINDOW = 1 << 16, /* kernel, stride, pad, dilation */
  MODEL_MAX_NODES = 1 << 16,
};

struct shape {
  uint32_t channels, height, width;
};

static inline size_t shape_size(struct shape s) {
  return (size_t)s.channels * s.height * s.width;
}

/** A sliding window: convolution and pooling. All in elements; strides and dilations at least 1. */
struct window {
  uint32_t kernel_h, kernel_w, stride_h, stride_w;
  uint32_t pad_top, pad_left, pad_bottom, pad_right;
  uint32_t dilation_h, dilation_w;
};

/** Where an element of a gathered tensor comes from: input number and flat index in it; GATHER_ZERO gives 0. */
struct gather_source {
  uint32_t input, index;
};
#define GATHER_ZERO UINT32_MAX

/** Window of kernel h x w, stride s both ways, no padding. */
struct window window_make(uint32_t kernel_h, uint32_t kernel_w, uint32_t stride);

/** No side is 0 and the size is at most MODEL_MAX_TENSOR. */
bool shape_valid(struct shape s);

/** Height and width that a window makes of `in` (channels kept). False when a number is out of range or the window does
 *  not fit the padded input. */
bool window_apply(struct shape in, const struct window *w, struct shape *out);

#endif
