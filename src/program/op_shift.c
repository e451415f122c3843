/** RELU and TRUNCATE: rounding shifts, which make clean tensors of raw ones. */
#include "program/operators.h"

/** The same in 32-bit lanes, for rings that fit: the compiler makes vectors of it on every processor. */
static void shift_short(const struct program_step *s, const int64_t *restrict x, unsigned in_bits, int64_t *restrict y,
                        size_t n, bool relu) {
  const int32_t least = relu ? 0 : INT32_MIN;
  const uint32_t round = (uint32_t)step_rounding(s);
  const unsigned spare = 32u - in_bits, shift = s->shift;
  for (size_t i = 0; i < n; i++) {
    int32_t v = (int32_t)(((uint32_t)x[i] + round) << spare) >> spare;
    v = v < least ? least : v;
    y[i] = v >> shift;
  }
}

/** splitmix64 (Steele, Lea, Flood 2014): a simulation's noise, nothing secret. */
static uint64_t noise(uint64_t at) {
  at = (at ^ at >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  at = (at ^ at >> 27) * UINT64_C(0x94d049bb133111eb);
  return at ^ at >> 31;
}

static void shift_dithered(const struct operator_run *r, unsigned in_bits, bool relu) {
  const struct program_step *s = r->step;
  const size_t size = shape_size(s->out.shape), n = r->samples * size, first = r->first * size;
  const uint64_t seed = noise(r->dither + ((uint64_t)(s - r->program->steps) << 32));
  for (size_t i = 0; i < n; i++) {
    const uint64_t round = noise(seed + (first + i) * UINT64_C(0x9e3779b97f4a7c15)) & low_mask(s->shift);
    int64_t v = ring_signed((uint64_t)r->inputs[0][i] + round, in_bits);
    if (relu && v < 0) v = 0;
    r->out[i] = ring_signed((uint64_t)(v >> s->shift), s->out.ring_bits);
  }
}

static void shift(const struct operator_run *r, bool relu) {
  const struct program_step *s = r->step;
  const unsigned in_bits = step_input(r->program, s, 0)->ring_bits;
  const size_t n = r->samples * shape_size(s->out.shape);
  if (r->dither) {
    shift_dithered(r, in_bits, relu);
    return;
  }
  if (in_bits <= 32 && s->out.ring_bits >= in_bits - s->shift) {
    shift_short(s, r->inputs[0], in_bits, r->out, n, relu);
    return;
  }
  const uint64_t round = step_rounding(s);
  for (size_t i = 0; i < n; i++) {
    int64_t v = ring_signed((uint64_t)r->inputs[0][i] + round, in_bits);
    if (relu && v < 0) v = 0;
    r->out[i] = ring_signed((uint64_t)(v >> s->shift), s->out.ring_bits);
  }
}

static void run_relu(const struct operator_run *r) {
  shift(r, true);
}

static void run_truncate(const struct operator_run *r) {
  shift(r, false);
}

static complaint check_shift(const struct program *program, const struct program_step *s) {
  const struct program_tensor *in = step_input(program, s, 0);
  if (in->ring_bits < 3 || s->shift + 2 > in->ring_bits) return "its shift is too large for its ring";
  return NULL;
}

static unsigned shift_width(const struct operator_width *w) {
  return w->in[0] - w->program->steps[w->step].shift;
}

static unsigned shift_needs(const struct program *program, const struct program_step *s, uint32_t k) {
  const unsigned values = step_input(program, s, k)->value_bits, least = s->shift ? s->shift + 2u : 3;
  return values > least ? values : least;
}

const struct program_operator operator_relu = {
    .name = "relu",
    .inputs_least = 1,
    .inputs_most = 1,
    .fields = FIELD_SHIFT,
    .raw = RAW_CLEANS,
    .scale = SCALE_SHIFTS_RAW,
    .gate = GATE_RELU_TRUNCATE,
    .stage = STAGE_RELU,
    .check = check_shift,
    .run = run_relu,
    .width = shift_width,
    .needs = shift_needs,
};

const struct program_operator operator_truncate = {
    .name = "truncate",
    .inputs_least = 1,
    .inputs_most = 1,
    .fields = FIELD_SHIFT,
    .raw = RAW_CLEANS,
    .scale = SCALE_SHIFTS,
    .gate = GATE_RELU_TRUNCATE,
    .stage = STAGE_RELU,
    .check = check_shift,
    .run = run_truncate,
    .width = shift_width,
    .needs = shift_needs,
};
