/* What aby derives from a program, and which programs it refuses. */
#include "engine/aby/aby.h"

struct layer_shape aby_linear(const struct program *program, uint32_t number) {
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

struct relu_truncate aby_relu(const struct program *program, uint32_t number) {
  const struct program_step *step = &program->steps[number];
  return (struct relu_truncate){
      .in_bits = step_input(program, step, 0)->ring_bits,
      .shift = step->shift,
      .out_bits = step->out.ring_bits,
      .add = step_rounding(step),
      .relu = step->op == OP_RELU,
      .fast = program->rounding == ROUNDING_FAST,
      .garbled = GARBLED_NOW,
  };
}

struct maxpool aby_maxpool(const struct program *program, uint32_t number) {
  const struct program_step *step = &program->steps[number];
  const struct program_tensor *in = step_input(program, step, 0);
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
      .garbled = GARBLED_NOW,
  };
}

struct top_k aby_top_k(const struct program *program) {
  const struct program_tensor *last = &program->steps[program->count - 1].out;
  return (struct top_k){
      .width = (uint32_t)shape_size(last->shape),
      .k = program_winners(program),
      .value_bits = last->value_bits,
      .in_bits = last->ring_bits,
      .indices_only = program->output == OUTPUT_LABEL,
      .garbled = GARBLED_NOW,
  };
}

/* Bytes of one product's triple and openings, correlations included. */
static double product_bytes(unsigned ring_bits, bool square) {
  struct cost cost = {0};
  enum { MANY = 4096 };
  triples_multiply_cost(&cost, square, MANY, ring_bits);
  const double correlations = (double)cost.cots_server_sends + (double)cost.cots_client_sends;
  const double bytes = (double)cost.bytes_to_server + (double)cost.bytes_to_client;
  return (bytes + correlations * 16 / SOFTSPOKEN_FIELD_BITS) / MANY;
}

static double step_bytes(const struct engine_layout *layout, uint32_t number) {
  const struct program *program = layout->program;
  const struct program_step *step = &program->steps[number];
  const enum operator_gate gate = step_operator(step)->gate;
  if (gate == GATE_MULTIPLY)
    return (double)shape_size(step->out.shape) * product_bytes(step->out.ring_bits, step->inputs[0] == step->inputs[1]);
  if (gate != GATE_LINEAR) return 0;
  const struct layer_shape q = aby_linear(program, number);
  const double bytes =
      aby_tuning(layout)->matrix ? triples_matrix_bytes(q.ring_bits) : product_bytes(q.ring_bits, false);
  return (double)layer_weight_count(&q) * q.out_h * q.out_w * bytes;
}

/* Refuses programs whose triples would take too much traffic, with the largest of their layers. */
static fusion_status check_traffic(const struct engine_layout *layout, fusion_error *err) {
  const struct program *program = layout->program;
  double sum = 0, most = 0;
  uint32_t largest = 0;
  for (uint32_t i = 1; i < program->count; i++) {
    const double bytes = step_bytes(layout, i);
    sum += bytes;
    if (bytes > most) {
      most = bytes;
      largest = i;
    }
  }
  if (sum <= (double)ABY_SAMPLE_MAX) return FUSION_OK;
  return error_set(
      err, FUSION_E_MODEL,
      "layer '%s': its triples take %.3g GiB a sample and those of all layers %.3g GiB, where the %s engine "
      "takes %.3g at most; use another engine (cheetah)",
      program->steps[largest].name, most / 0x1p30, sum / 0x1p30, layout->engine->name, (double)ABY_SAMPLE_MAX / 0x1p30);
}

fusion_status aby_layout_open(struct engine_layout *layout, fusion_error *err) {
  const fusion_status status = check_traffic(layout, err);
  if (status != FUSION_OK) return status;
  layout->own = mem_alloc(1, sizeof(struct aby_layout));
  return layout->own ? FUSION_OK : error_set(err, FUSION_E_MEMORY, "out of memory for a layout of the program");
}

void aby_layout_close(struct engine_layout *layout) {
  mem_free(layout->own);
  layout->own = NULL;
}
