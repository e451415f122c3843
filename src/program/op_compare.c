/** COMPARE: the sign as a number. */
#include "program/operators.h"

static void run_compare(const struct operator_run *r) {
  const unsigned in_bits = step_input(r->program, r->step, 0)->ring_bits;
  const size_t n = r->samples * shape_size(r->step->out.shape);
  for (size_t i = 0; i < n; i++) r->out[i] = ring_signed((uint64_t)r->inputs[0][i], in_bits) >= 0;
}

/* 0 and 1, signed. */
static unsigned compare_width(const struct operator_width *w) {
  (void)w;
  return 2;
}

static unsigned compare_needs(const struct program *program, const struct program_step *s, uint32_t k) {
  return step_input(program, s, k)->value_bits;
}

const struct program_operator operator_compare = {
    .name = "compare",
    .inputs_least = 1,
    .inputs_most = 1,
    .raw = RAW_CLEANS,
    .scale = SCALE_WHOLE,
    .gate = GATE_COMPARE,
    .stage = STAGE_RELU,
    .run = run_compare,
    .width = compare_width,
    .needs = compare_needs,
};
