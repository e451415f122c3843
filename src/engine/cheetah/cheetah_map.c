#include "base/bits.h"
#include "engine/cheetah/cheetah.h"

struct linear_layer cheetah_linear(const struct program *program, const struct program_step *step) {
  const struct shape in = program->steps[step->inputs[0]].out.shape, out = step->out.shape;
  const struct window *w = &step->window;
  return (struct linear_layer){
      .in_channels = in.channels,
      .in_h = in.height,
      .in_w = in.width,
      .out_channels = out.channels,
      .out_h = out.height,
      .out_w = out.width,
      .groups = step->groups,
      .kernel_h = w->kernel_h,
      .kernel_w = w->kernel_w,
      .stride_h = w->stride_h,
      .stride_w = w->stride_w,
      .pad_top = w->pad_top,
      .pad_left = w->pad_left,
      .dilation_h = w->dilation_h,
      .dilation_w = w->dilation_w,
      .ring_bits = step->out.ring_bits,
      .guard_bits = step->out.guard_bits,
      .weight_bits = step->weight_bits,
      .rlwe_set = step->rlwe_set,
  };
}

struct rlwe_keys cheetah_rlwe_keys(const struct program *program, size_t expected_samples) {
  struct rlwe_keys keys = {0};
  for (uint32_t i = 1; i < program->count; i++) {
    if (program->steps[i].op != OP_LINEAR) continue;
    const struct linear_layer layer = cheetah_linear(program, &program->steps[i]);
    rlwe_keys_add(&keys, &layer, size_max(1, expected_samples));
  }
  return keys;
}

struct relu_truncate cheetah_relu(const struct program *program, const struct program_step *step) {
  const struct program_tensor *in = &program->steps[step->inputs[0]].out;
  const unsigned shift = (unsigned)step->shift + in->guard_bits;
  /* eps in [-2 noise_terms, 0] becomes non-negative and below 2^guard_bits: it vanishes with the guard bits. */
  const uint64_t guard = 2u * (uint64_t)in->noise_terms;
  const uint64_t round = step->shift ? UINT64_C(1) << (shift - 1) : 0;
  return (struct relu_truncate){
      .in_bits = (uint8_t)cheetah_share_bits(in),
      .shift = (uint8_t)shift,
      .out_bits = step->out.ring_bits,
      .add = guard + round,
      .relu = step->op == OP_RELU,
      .fast = program->rounding == ROUNDING_FAST,
  };
}

struct maxpool cheetah_maxpool(const struct program *program, const struct program_step *step) {
  const struct program_tensor *in = &program->steps[step->inputs[0]].out;
  const struct window *w = &step->window;
  return (struct maxpool){
      .in_h = in->shape.height,
      .in_w = in->shape.width,
      .out_h = step->out.shape.height,
      .out_w = step->out.shape.width,
      .kernel_h = w->kernel_h,
      .kernel_w = w->kernel_w,
      .stride_h = w->stride_h,
      .stride_w = w->stride_w,
      .pad_top = w->pad_top,
      .pad_left = w->pad_left,
      .dilation_h = w->dilation_h,
      .dilation_w = w->dilation_w,
      .value_bits = in->value_bits,
      .in_bits = in->ring_bits,
      .out_bits = step->out.ring_bits,
  };
}

struct top_k cheetah_top_k(const struct program *program) {
  const struct program_tensor *last = &program->steps[program->count - 1].out;
  return (struct top_k){
      .width = (uint32_t)shape_size(last->shape),
      .k = program->output == OUTPUT_LABEL ? 1 : program->top_k,
      .value_bits = last->value_bits,
      .in_bits = last->ring_bits,
      .indices_only = program->output == OUTPUT_LABEL,
  };
}

size_t cheetah_output_len(const struct program *program, size_t samples) {
  const struct program_tensor *last = &program->steps[program->count - 1].out;
  if (program->output == OUTPUT_LOGITS) return bits_len(samples * shape_size(last->shape), last->ring_bits);
  const struct top_k top = cheetah_top_k(program);
  const size_t indices = bits_len(samples * top.k, top_k_index_bits(&top));
  if (program->output == OUTPUT_LABEL) return indices;
  return indices + bits_len(samples * top.k, last->ring_bits);
}
