/** The public shape of a linear layer, as protocols see it. */
#ifndef FUSION_BASE_LAYER_SHAPE_H
#define FUSION_BASE_LAYER_SHAPE_H

#include <stdint.h>

/** Groups, kernel, stride, padding, dilation as in program.h. A dense layer has in_h = in_w = kernel = 1. */
struct layer_shape {
  uint32_t in_channels, in_h, in_w, out_channels, out_h, out_w, groups;
  uint32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
  uint8_t ring_bits;   /* of the output, 2..62 */
  uint8_t weight_bits; /* weights lie in [-2^(weight_bits-1), 2^(weight_bits-1)): 2..16, of words (product_cot.h) up to
                          62 */
};

/** Weights of a layer. */
static inline uint64_t layer_weight_count(const struct layer_shape *s) {
  return (uint64_t)(s->in_channels / s->groups) * s->kernel_h * s->kernel_w * s->out_channels;
}

#endif
