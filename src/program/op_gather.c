/** GATHER: fixed rearrangements. */
#include "program/operators.h"

static void run_gather(const struct operator_run *r) {
  const struct program_step *s = r->step;
  const size_t size = shape_size(s->out.shape);
  int64_t *y = r->out;
  for (size_t sample = 0; sample < r->samples; sample++)
    for (size_t i = 0; i < size; i++) {
      const struct gather_source g = s->gather[i];
      int64_t v = 0;
      if (g.input != GATHER_ZERO)
        v = r->inputs[g.input][sample * shape_size(step_input(r->program, s, g.input)->shape) + g.index];
      *y++ = ring_signed((uint64_t)v, s->out.ring_bits);
    }
}

static void share_gather(const struct operator_share *r) {
  const struct program_step *s = &r->program->steps[r->step];
  const uint64_t mask = low_mask(s->out.ring_bits);
  const size_t size = shape_size(s->out.shape);
  uint64_t *y = r->out;
  for (size_t sample = 0; sample < r->samples; sample++)
    for (size_t i = 0; i < size; i++) {
      const struct gather_source g = s->gather[i];
      uint64_t v = 0;
      if (g.input != GATHER_ZERO)
        v = r->inputs[g.input][sample * shape_size(step_input(r->program, s, g.input)->shape) + g.index];
      *y++ = v & mask;
    }
}

static complaint check_gather(const struct program *program, const struct program_step *s) {
  if (!s->gather) return "its map is missing";
  const size_t count = shape_size(s->out.shape);
  for (size_t i = 0; i < count; i++) {
    const struct gather_source g = s->gather[i];
    if (g.input == GATHER_ZERO && g.index == 0) continue;
    if (g.input >= s->input_count) return "its map names an input that it lacks";
    if (g.index >= shape_size(step_input(program, s, g.input)->shape)) return "its map points outside an input";
  }
  return NULL;
}

const struct program_operator operator_gather = {
    .name = "gather",
    .inputs_least = 1,
    .inputs_most = PROGRAM_INPUTS_MAX,
    .fields = FIELD_GATHER,
    .raw = RAW_NEVER,
    .scale = SCALE_KEEPS,
    .gate = GATE_LOCAL,
    .stage = STAGE_LINEAR,
    .keeps_zero = true,
    .free_shape = true,
    .check = check_gather,
    .run = run_gather,
    .run_share = share_gather,
};
