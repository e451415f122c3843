/** ADD, MUL and OFFSET: elementwise arithmetic. */
#include "program/operators.h"

static void run_add(const struct operator_run *r) {
  const struct program_step *s = r->step;
  const int64_t *restrict a = r->inputs[0], *restrict b = r->inputs[1];
  int64_t *restrict y = r->out;
  const size_t n = r->samples * shape_size(s->out.shape);
  const unsigned left = s->shift_left[0], right = s->shift_left[1];
  if (s->out.ring_bits <= 32) {
    const unsigned spare = 32u - s->out.ring_bits; /* shift_left is below the ring's width */
    for (size_t i = 0; i < n; i++)
      y[i] = (int32_t)((((uint32_t)a[i] << left) + ((uint32_t)b[i] << right)) << spare) >> spare;
    return;
  }
  for (size_t i = 0; i < n; i++)
    y[i] = ring_signed(((uint64_t)a[i] << left) + ((uint64_t)b[i] << right), s->out.ring_bits);
}

/* A clean share takes the guard of a raw sum; a raw one has it already. */
static void share_add(const struct operator_share *r) {
  const struct program_step *s = &r->program->steps[r->step];
  const size_t n = r->samples * shape_size(s->out.shape);
  unsigned bits = s->out.ring_bits, shift[2] = {s->shift_left[0], s->shift_left[1]};
  if (r->guard_bits) {
    bits += r->guard_bits[r->step];
    for (unsigned k = 0; k < 2; k++) shift[k] += (unsigned)r->guard_bits[r->step] - r->guard_bits[s->inputs[k]];
  }
  const uint64_t mask = low_mask(bits), *a = r->inputs[0], *b = r->inputs[1];
  for (size_t i = 0; i < n; i++) r->out[i] = ((a[i] << shift[0]) + (b[i] << shift[1])) & mask;
}

static complaint check_add(const struct program *program, const struct program_step *s) {
  for (unsigned k = 0; k < 2; k++) {
    const struct program_tensor *in = step_input(program, s, k);
    if (s->shift_left[k] >= s->out.ring_bits) return "its shift is too large for its ring";
    if (in->raw && s->shift_left[k]) return "it shifts a raw tensor";
  }
  return NULL;
}

static unsigned add_width(const struct operator_width *w) {
  const uint8_t *left = w->program->steps[w->step].shift_left;
  const unsigned a = w->in[0] + left[0], b = w->in[1] + left[1];
  return (a > b ? a : b) + 1;
}

static unsigned add_needs(const struct program *program, const struct program_step *s, uint32_t k) {
  (void)program;
  return s->out.ring_bits > s->shift_left[k] ? (unsigned)s->out.ring_bits - s->shift_left[k] : 0;
}

const struct program_operator operator_add = {
    .name = "add",
    .inputs_least = 2,
    .inputs_most = 2,
    .fields = FIELD_SHIFT_LEFT,
    .raw = RAW_SUMS,
    .scale = SCALE_SUM,
    .gate = GATE_LOCAL,
    .stage = STAGE_LINEAR,
    .keeps_zero = true,
    .check = check_add,
    .run = run_add,
    .run_share = share_add,
    .width = add_width,
    .needs = add_needs,
};

static void run_mul(const struct operator_run *r) {
  const size_t n = r->samples * shape_size(r->step->out.shape);
  const int64_t *a = r->inputs[0], *b = r->inputs[1];
  for (size_t i = 0; i < n; i++) r->out[i] = ring_signed((uint64_t)a[i] * (uint64_t)b[i], r->step->out.ring_bits);
}

/** Tables bound these values, whatever the input. */
static bool bounded_by_tables(const struct program *program, uint32_t step) {
  const struct program_step *s = &program->steps[step];
  if (s->op == OP_LOOKUP) return true;
  if (s->op != OP_TRUNCATE && s->op != OP_MUL) return false;
  for (uint32_t k = 0; k < s->input_count; k++)
    if (!bounded_by_tables(program, s->inputs[k])) return false;
  return true;
}

/** Its ring is this width exactly. Products of whole numbers may be the last step. Where tables bound a product, new
 * samples may well go beyond those of calibration: the inverse of a small value. */
static unsigned mul_width(const struct operator_width *w) {
  const struct program_step *s = &w->program->steps[w->step], *next = w->step + 1 < w->program->count ? s + 1 : s;
  const unsigned product = w->in[0] + w->in[1], least = next->shift + 2u;
  const bool sure = bounded_by_tables(w->program, w->step);
  const unsigned bits = w->calibrated < product && !sure ? w->calibrated : product;
  return bits > least ? bits : least;
}

const struct program_operator operator_mul = {
    .name = "mul",
    .inputs_least = 2,
    .inputs_most = 2,
    .raw = RAW_NEVER,
    .scale = SCALE_PRODUCT,
    .gate = GATE_MULTIPLY,
    .stage = STAGE_MULTIPLY,
    .run = run_mul,
    .width = mul_width,
};

static void offset_sample(const struct program_step *s, const int64_t *bias, const int64_t *restrict x,
                          int64_t *restrict y) {
  const size_t plane = (size_t)s->out.shape.height * s->out.shape.width;
  const uint64_t flip = s->negate ? UINT64_MAX : 0; /* bias - x = bias + ~x + 1 */
  for (size_t c = 0; c < s->out.shape.channels; c++, x += plane, y += plane) {
    const uint64_t add = (uint64_t)bias[c] - flip;
    if (s->out.ring_bits > 32) {
      for (size_t i = 0; i < plane; i++) y[i] = ring_signed(add + ((uint64_t)x[i] ^ flip), s->out.ring_bits);
      continue;
    }
    const unsigned spare = 32u - s->out.ring_bits;
    for (size_t i = 0; i < plane; i++)
      y[i] = (int32_t)(((uint32_t)add + ((uint32_t)x[i] ^ (uint32_t)flip)) << spare) >> spare;
  }
}

static void run_offset(const struct operator_run *r) {
  const size_t size = shape_size(r->step->out.shape);
  for (size_t k = 0; k < r->samples; k++)
    offset_sample(r->step, r->weights->bias, r->inputs[0] + k * size, r->out + k * size);
}

/* The server adds the bias, to its share alone. */
static void share_offset(const struct operator_share *r) {
  const struct program_step *s = &r->program->steps[r->step];
  const uint64_t mask = low_mask(s->out.ring_bits), *x = r->inputs[0];
  const size_t plane = (size_t)s->out.shape.height * s->out.shape.width;
  uint64_t *y = r->out;
  for (size_t k = 0; k < r->samples; k++)
    for (size_t c = 0; c < s->out.shape.channels; c++) {
      const uint64_t b = r->weights ? (uint64_t)r->weights->bias[c] : 0;
      for (size_t i = 0; i < plane; i++, x++) *y++ = (s->negate ? b - *x : b + *x) & mask;
    }
}

static unsigned offset_width(const struct operator_width *w) {
  const unsigned in = w->in[0] < 63 ? w->in[0] : 63;
  uint64_t bias = 0;
  for (uint32_t c = 0; c < w->program->steps[w->step].out.shape.channels; c++) {
    const int64_t v = w->weights->bias[c];
    const uint64_t m = (uint64_t)(v < 0 ? -v : v);
    bias = m > bias ? m : bias;
  }
  return log2_up(bias + (UINT64_C(1) << (in - 1)) + 1) + 1;
}

const struct program_operator operator_offset = {
    .name = "offset",
    .inputs_least = 1,
    .inputs_most = 1,
    .fields = FIELD_NEGATE,
    .raw = RAW_NEVER,
    .weights = WEIGHTS_BIAS,
    .scale = SCALE_KEEPS,
    .gate = GATE_LOCAL,
    .stage = STAGE_LINEAR,
    .run = run_offset,
    .run_share = share_offset,
    .width = offset_width,
};
