/** INPUT and LINEAR: where values come in, and products with the server's weights. */
#include "program/operators.h"

static void run_input(const struct operator_run *r) {
  const size_t count = r->samples * shape_size(r->step->out.shape);
  for (size_t i = 0; i < count; i++) r->out[i] = ring_signed((uint64_t)r->inputs[0][i], r->step->out.ring_bits);
}

static unsigned input_width(const struct operator_width *w) {
  return w->calibrated > 2 ? w->calibrated : 2;
}

const struct program_operator operator_input = {
    .name = "input",
    .scale = SCALE_FREE,
    .gate = GATE_LOCAL,
    .stage = STAGE_LINEAR,
    .keeps_zero = true,
    .free_shape = true,
    .run = run_input,
    .width = input_width,
};

static complaint check_linear(const struct program *program, const struct program_step *s) {
  const struct program_tensor *in = step_input(program, s, 0);
  if (s->weight_bits < 2 || s->weight_bits > PROGRAM_WEIGHT_BITS_MAX) return "its weight width is out of range";
  if (!s->groups || in->shape.channels % s->groups || s->out.shape.channels % s->groups)
    return "its groups do not divide its channels";
  if (!operator_window_fits(&s->window, in->shape, s->out.shape, false)) return "its window and shapes disagree";
  const uint64_t taps = (uint64_t)s->window.kernel_h * s->window.kernel_w;
  if (taps > PROGRAM_WEIGHTS_MAX) return "it has too many weights";
  const uint64_t row = taps * (in->shape.channels / s->groups);
  if (row > PROGRAM_WEIGHTS_MAX || row * s->out.shape.channels > PROGRAM_WEIGHTS_MAX) return "it has too many weights";
  return NULL;
}

const struct program_operator operator_linear = {
    .name = "linear",
    .inputs_least = 1,
    .inputs_most = 1,
    .fields = FIELD_WINDOW | FIELD_GROUPS,
    .raw = RAW_MAKES,
    .weights = WEIGHTS_MATRIX,
    .scale = SCALE_ACCUMULATOR,
    .gate = GATE_LINEAR,
    .stage = STAGE_LINEAR,
    .free_shape = true,
    .check = check_linear,
};
