#include "steps/step_gates.h"

static const struct step_style *style_of(const struct engine_layout *layout) {
  return layout->own;
}

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

/* What is added to a raw tensor: its noise, in [-terms, 0], becomes non-negative and below 2^guard_bits, and vanishes
 * with the guard bits. */
static uint64_t guard_of(const struct step_style *style, uint32_t tensor) {
  return style->terms ? style->terms[tensor] : 0;
}

/* ---- Relu and truncation ---- */

static struct relu_truncate relu_of(const struct engine_layout *layout, uint32_t number) {
  const struct program_step *step = step_at(layout, number);
  const struct step_style *style = style_of(layout);
  const uint32_t in = step->inputs[0];
  const unsigned shift = (unsigned)step->shift + layout->guard_bits[in];
  const uint64_t guard = guard_of(style, in);
  const uint64_t round = step->shift ? UINT64_C(1) << (shift - 1) : 0;
  return (struct relu_truncate){
      .in_bits = (uint8_t)engine_share_bits(layout, in),
      .shift = (uint8_t)shift,
      .out_bits = step->out.ring_bits,
      .add = guard + round,
      .relu = step->op == OP_RELU,
      .fast = layout->program->rounding == ROUNDING_FAST,
      .garbled = style->garbled,
      .shape = style->shape,
  };
}

fusion_status step_relu_run(void *state, const struct gate_call *call) {
  const struct relu_truncate params = relu_of(call->party->layout, call->number);
  const size_t count = step_count(call->party->layout, call->number, call->samples);
  return relu_truncate(state, &params, call->inputs[0], call->out, count);
}

void step_relu_cost(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct relu_truncate params = relu_of(layout, number);
  relu_truncate_cost(cost, &params, step_count(layout, number, samples));
}

size_t step_relu_memory(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct relu_truncate params = relu_of(layout, number);
  return relu_truncate_memory(&params, role, step_count(layout, number, samples));
}

/* ---- comparisons ---- */

static struct compare compare_of(const struct engine_layout *layout, uint32_t number) {
  const struct program_step *step = step_at(layout, number);
  const struct step_style *style = style_of(layout);
  const uint32_t in = step->inputs[0];
  return (struct compare){
      .in_bits = (uint8_t)engine_share_bits(layout, in),
      .out_bits = step->out.ring_bits,
      .add = guard_of(style, in),
      .garbled = style->garbled,
      .shape = style->shape,
  };
}

fusion_status step_compare_run(void *state, const struct gate_call *call) {
  const struct compare params = compare_of(call->party->layout, call->number);
  const size_t count = step_count(call->party->layout, call->number, call->samples);
  return compare(state, &params, call->inputs[0], call->out, count);
}

void step_compare_cost(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct compare params = compare_of(layout, number);
  compare_cost(cost, &params, step_count(layout, number, samples));
}

size_t step_compare_memory(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct compare params = compare_of(layout, number);
  return compare_memory(&params, role, step_count(layout, number, samples));
}

/* ---- products ---- */

fusion_status step_multiply_run(void *state, const struct gate_call *call) {
  const struct engine_layout *layout = call->party->layout;
  return multiply(state, call->inputs[0], call->inputs[1], call->out, step_count(layout, call->number, call->samples),
                  step_at(layout, call->number)->out.ring_bits);
}

void step_multiply_cost(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct program_step *step = step_at(layout, number);
  multiply_cost(cost, step_is_square(step), step_count(layout, number, samples), step->out.ring_bits);
}

size_t step_multiply_memory(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct program_step *step = step_at(layout, number);
  (void)role; /* both alike */
  return multiply_memory(step_is_square(step), step_count(layout, number, samples), step->out.ring_bits);
}

/* ---- products of matrices ---- */

static struct matmul matmul_of(const struct engine_layout *layout, uint32_t number) {
  const struct program_step *step = step_at(layout, number);
  return (struct matmul){.product = step_matrix_product(layout->program, step), .ring_bits = step->out.ring_bits};
}

fusion_status step_matmul_run(void *state, const struct gate_call *call) {
  const struct engine_layout *layout = call->party->layout;
  const struct matmul params = matmul_of(layout, call->number);
  const size_t count = step_count(layout, call->number, call->samples);
  const unsigned guard = layout->guard_bits[call->number];
  const fusion_status status = matmul(state, &params, call->inputs[0], call->inputs[1], call->out, call->samples);
  for (size_t i = 0; guard && i < count; i++) call->out[i] <<= guard;
  return status;
}

void step_matmul_cost(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct matmul params = matmul_of(layout, number);
  matmul_cost(cost, &params, samples);
}

size_t step_matmul_memory(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct matmul params = matmul_of(layout, number);
  return matmul_memory(&params, role, samples);
}

/* ---- max pooling ---- */

static struct maxpool maxpool_of(const struct engine_layout *layout, uint32_t number) {
  const struct program *program = layout->program;
  const struct program_step *step = step_at(layout, number);
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
      .garbled = style_of(layout)->garbled,
      .shape = style_of(layout)->shape,
  };
}

static size_t planes_of(const struct engine_layout *layout, uint32_t number, size_t samples) {
  return samples * step_at(layout, number)->out.shape.channels;
}

fusion_status step_maxpool_run(void *state, const struct gate_call *call) {
  const struct maxpool params = maxpool_of(call->party->layout, call->number);
  const size_t planes = planes_of(call->party->layout, call->number, call->samples);
  return maxpool(state, &params, call->inputs[0], call->out, planes);
}

void step_maxpool_cost(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct maxpool params = maxpool_of(layout, number);
  maxpool_cost(cost, &params, planes_of(layout, number, samples));
}

size_t step_maxpool_memory(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct maxpool params = maxpool_of(layout, number);
  return maxpool_memory(&params, role, planes_of(layout, number, samples));
}

/* ---- functions by tables ---- */

static struct lookup lookup_of(const struct engine_layout *layout, uint32_t number) {
  const struct program_step *step = step_at(layout, number);
  return (struct lookup){.index_bits = step->table->index_bits,
                         .low_bits = step->table->low_bits,
                         .out_bits = step->out.ring_bits,
                         .base = step->table->base,
                         .slope = step->table->slope,
                         .shape = style_of(layout)->shape,
                         .garbled = style_of(layout)->garbled};
}

fusion_status step_lookup_run(void *state, const struct gate_call *call) {
  const struct engine_layout *layout = call->party->layout;
  const struct lookup params = lookup_of(layout, call->number);
  return lookup(state, &params, call->inputs[0], call->out, step_count(layout, call->number, call->samples));
}

void step_lookup_cost(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct lookup params = lookup_of(layout, number);
  lookup_cost(cost, &params, step_count(layout, number, samples));
}

size_t step_lookup_memory(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct lookup params = lookup_of(layout, number);
  return lookup_memory(&params, role, step_count(layout, number, samples));
}

/* ---- the largest outputs: of the last step, whatever the number ---- */

static struct top_k top_k_of(const struct engine_layout *layout) {
  const struct program *program = layout->program;
  const struct program_tensor *last = &program->steps[program->count - 1].out;
  return (struct top_k){
      .width = (uint32_t)shape_size(last->shape),
      .k = program_winners(program),
      .value_bits = last->value_bits,
      .in_bits = last->ring_bits,
      .indices_only = program->output == OUTPUT_LABEL,
      .garbled = style_of(layout)->garbled,
      .shape = style_of(layout)->shape,
  };
}

fusion_status step_top_k_run(void *state, const struct gate_call *call) {
  const struct top_k params = top_k_of(call->party->layout);
  return top_k(state, &params, call->inputs[0], call->out, call->values, call->samples);
}

void step_top_k_cost(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct top_k params = top_k_of(layout);
  (void)number;
  top_k_cost(cost, &params, samples);
}

size_t step_top_k_memory(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct top_k params = top_k_of(layout);
  (void)number;
  return top_k_memory(&params, role, samples);
}
