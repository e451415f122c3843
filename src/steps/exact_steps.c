#include "steps/exact_steps.h"

struct layer_shape step_layer(const struct program *program, uint32_t number) {
  const struct program_step *step = &program->steps[number];
  const struct shape in = step_input(program, step, 0)->shape, out = step->out.shape;
  const struct window *w = &step->window;
  return (struct layer_shape){
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
      .weight_bits = step->weight_bits,
  };
}

struct relu_truncate step_exact_relu(const struct program *program, uint32_t number) {
  const struct program_step *step = &program->steps[number];
  return (struct relu_truncate){
      .in_bits = step_input(program, step, 0)->ring_bits,
      .shift = step->shift,
      .out_bits = step->out.ring_bits,
      .add = step_rounding(step),
      .relu = step->op == OP_RELU,
      .fast = program->rounding == ROUNDING_FAST,
  };
}

struct maxpool step_maxpool(const struct program *program, uint32_t number) {
  const struct program_step *step = &program->steps[number];
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

struct lookup step_lookup(const struct program *program, uint32_t number) {
  const struct program_step *step = &program->steps[number];
  return (struct lookup){.index_bits = step->table->index_bits,
                         .low_bits = step->table->low_bits,
                         .out_bits = step->out.ring_bits,
                         .base = step->table->base,
                         .slope = step->table->slope};
}

struct top_k step_top_k(const struct program *program) {
  const struct program_tensor *last = &program->steps[program->count - 1].out;
  return (struct top_k){
      .width = (uint32_t)shape_size(last->shape),
      .k = program_winners(program),
      .value_bits = last->value_bits,
      .in_bits = last->ring_bits,
      .indices_only = program->output == OUTPUT_LABEL,
  };
}
