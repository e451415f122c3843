#include "program/operators.h"

const struct program_operator *program_operator(enum program_op op) {
#define PROGRAM_OPERATOR_POINTER(number, name, row) [number] = &operator_##row,
  static const struct program_operator *const rows[] = {PROGRAM_OPERATORS(PROGRAM_OPERATOR_POINTER)};
#undef PROGRAM_OPERATOR_POINTER
  return (size_t)op < sizeof rows / sizeof *rows ? rows[op] : NULL;
}

/** One axis of a window: the output length must follow, and (for pooling) every window must touch a real element. */
static bool axis_fits(uint64_t in, uint64_t out, uint64_t kernel, uint64_t stride, uint64_t before, uint64_t after,
                      uint64_t dilation, bool touch) {
  const uint64_t limit = PROGRAM_TENSOR_MAX;
  if (!kernel || !stride || !dilation) return false;
  if (kernel > limit || stride > limit || dilation > limit || before > limit || after > limit) return false;
  const uint64_t span = dilation * (kernel - 1) + 1;
  if (span > in + before + after || out != (in + before + after - span) / stride + 1) return false;
  if (!touch) return true;
  /* The first tap at or behind the edge: windows that start before it need one within the kernel, at a real element. */
  const uint64_t last = (out - 1) * stride;
  if (last >= before && last - before >= in) return false;
  return before == 0 || (in >= dilation && div_up(before, dilation) < kernel);
}

bool operator_window_fits(const struct window *w, struct shape in, struct shape out, bool touch) {
  if (!axis_fits(in.height, out.height, w->kernel_h, w->stride_h, w->pad_top, w->pad_bottom, w->dilation_h, touch) ||
      !axis_fits(in.width, out.width, w->kernel_w, w->stride_w, w->pad_left, w->pad_right, w->dilation_w, touch))
    return false;
  const uint64_t height = (uint64_t)in.height + w->pad_top + w->pad_bottom;
  const uint64_t width = (uint64_t)in.width + w->pad_left + w->pad_right;
  return height * width <= PROGRAM_PADDED_MAX && in.channels * (height * width) <= PROGRAM_PADDED_MAX;
}
