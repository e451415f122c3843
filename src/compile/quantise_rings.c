/** Rings. Forwards: how wide values can get (value_bits of clean tensors hold for every input, not only calibrated
 * ones, because a RELU or TRUNCATE reads its input in its ring; but see widen_below). Backwards: a clean tensor's ring
 * is the widest that a reader needs, since sharing it wider later would cost a protocol. */
#include <float.h>
#include <math.h>

#include "compile/quantise_internal.h"

enum { WIDEN_MAX = 4 };

struct rings {
  const struct model *model;
  struct program *program;
  const struct step_bound *bounds;
  uint32_t *roots;
  uint8_t *raw;  /* of a root: ring of its tree */
  uint8_t *need; /* of a clean step */
  uint8_t *sure; /* of a raw step: width that no input can leave */
  struct step_reach *reach;
  bool *ranked; /* its values reach the output's argmax or top-k, which rely on value_bits, unreduced */
};

void plan_find_roots(const struct program *program, uint32_t *roots) {
  for (uint32_t i = 0; i < program->count; i++) roots[i] = 0;
  for (uint32_t i = program->count; i-- > 0;) {
    const struct program_step *s = &program->steps[i];
    for (uint32_t k = 0; k < s->input_count; k++)
      if (program->steps[s->inputs[k]].out.raw) roots[s->inputs[k]] = s->out.raw ? roots[i] : i;
  }
}

static uint64_t saturating_add(uint64_t a, uint64_t b) {
  return a + b < a ? UINT64_MAX : a + b;
}

static uint64_t saturating_mul(uint64_t a, uint64_t b) {
  uint64_t c;
  return __builtin_mul_overflow(a, b, &c) ? UINT64_MAX : c;
}

/** Signed width of values of at most this magnitude. */
static unsigned magnitude_bits(uint64_t magnitude) {
  return magnitude == UINT64_MAX ? 65 : log2_up(magnitude + 1) + 1;
}

/** Integers of a real bound, at step i's scale. */
static uint64_t in_units(const struct rings *q, uint32_t i, double bound) {
  const double v = ceil(bound / q->program->steps[i].out.scale * (1 - 1e-12));
  return v < 0x1p62 ? (uint64_t)v : UINT64_MAX;
}

/** Width for the bound, and room for a rounding constant. */
static unsigned calibrated_bits(const struct rings *q, uint32_t i, uint64_t round) {
  return magnitude_bits(saturating_add(in_units(q, i, q->bounds[i].magnitude), round));
}

/** No input within its value_bits can make the accumulator larger than this. */
static uint64_t linear_bound(const struct rings *q, uint32_t i) {
  const struct program_step *s = &q->program->steps[i];
  const struct program_weights *w = &q->model->weights[i];
  const size_t depth = program_weight_count(q->program, i) / s->out.shape.channels;
  const uint64_t input = UINT64_C(1) << (q->program->steps[s->inputs[0]].out.value_bits - 1);
  uint64_t bound = 0;
  for (size_t c = 0; c < s->out.shape.channels; c++) {
    uint64_t sum = 0;
    for (size_t k = 0; k < depth; k++) {
      const int16_t v = w->weights[c * depth + k];
      sum += (uint64_t)(v < 0 ? -(int64_t)v : v);
    }
    const uint64_t bias = (uint64_t)(w->bias[c] < 0 ? -w->bias[c] : w->bias[c]);
    const uint64_t row = saturating_add(saturating_mul(sum, input), bias);
    bound = row > bound ? row : bound;
  }
  return bound;
}

static unsigned least(unsigned a, unsigned b) {
  return a < b ? a : b;
}
static unsigned most(unsigned a, unsigned b) {
  return a > b ? a : b;
}

/** Of what a step makes of clean tensors, or a RELU or TRUNCATE of a raw one. */
static unsigned step_width(const struct rings *q, uint32_t i) {
  const struct program_step *s = &q->program->steps[i];
  /* The step that reads it next may add a rounding constant. */
  const struct program_step *next = i + 1 < q->program->count ? s + 1 : s;
  unsigned in[PROGRAM_INPUTS_MAX] = {0}, widest = 0;
  if (q->reach[i].known) return reach_bits(q->reach[i]);
  for (uint32_t k = 0; k < s->input_count; k++) {
    const struct program_tensor *x = step_input(q->program, s, k);
    in[k] = x->raw ? q->raw[i] : x->value_bits;
    widest = most(widest, in[k]);
  }
  if (!step_operator(s)->width) return widest;
  return step_operator(s)->width(&(struct operator_width){.program = q->program,
                                                          .step = i,
                                                          .weights = &q->model->weights[i],
                                                          .in = in,
                                                          .calibrated = calibrated_bits(q, i, step_rounding(next))});
}

/** LINEAR, raw products and raw ADD: the width that no input can leave; at the top of a tree also the tree's ring. Sums
 * within the tree may wrap: what counts is what the RELU or TRUNCATE reads. */
static unsigned raw_width(struct rings *q, uint32_t i) {
  const struct program_step *s = &q->program->steps[i];
  const uint32_t root_step = q->roots[i];
  const struct program_step *root = &q->program->steps[root_step];
  unsigned sure = 0;
  if (step_has_matrix(s)) {
    sure = q->reach[i].known ? reach_bits(q->reach[i]) : magnitude_bits(linear_bound(q, i));
  } else if (step_operator(s)->scale == SCALE_PRODUCT) {
    sure = step_width(q, i);
  } else {
    for (unsigned k = 0; k < 2; k++) {
      const struct program_tensor *in = &q->program->steps[s->inputs[k]].out;
      const unsigned width = in->raw ? q->sure[s->inputs[k]] : in->value_bits;
      sure = most(sure, width + (unsigned)s->shift_left[k] + 1);
    }
  }
  q->sure[i] = (uint8_t)least(sure, 64);
  if (root->inputs[0] != i) return q->sure[i];
  unsigned bits = least(calibrated_bits(q, i, step_rounding(root)), (unsigned)q->sure[i] + (root->shift > 0));
  bits = most(bits, most(3, root->shift + 2u));
  q->raw[root_step] = (uint8_t)least(bits, 64);
  return q->raw[root_step];
}

static void demand(struct rings *q, uint32_t step, unsigned bits) {
  if (bits > q->need[step]) q->need[step] = (uint8_t)least(bits, 64);
}

/** What step i asks of the rings of what it reads. */
static void demand_inputs(struct rings *q, uint32_t i) {
  const struct program_step *s = &q->program->steps[i];
  const struct program_operator *op = step_operator(s);
  for (uint32_t k = 0; k < s->input_count; k++) {
    const uint32_t from = s->inputs[k];
    const struct program_tensor *in = &q->program->steps[from].out;
    const bool reduces = op->raw == RAW_MAKES || op->raw == RAW_CLEANS;
    if (q->ranked[i] && !reduces) q->ranked[from] = true;
    if (in->raw) continue;
    demand(q, from, op->needs ? op->needs(q->program, s, k) : s->out.ring_bits);
  }
}

/* A truncation's output wanted somewhat wider than its input leaves (a MaxPool compares in value_bits + 1, a Concat has
 * wider neighbours): the accumulator takes those bits, which spares the truncation the comparison of an extension.
 * Values out of the calibrated range and its margin may then leave value_bits. */
static void widen_below(struct rings *q, uint32_t i, unsigned ring) {
  const struct program_step *s = &q->program->steps[i];
  if (step_operator(s)->scale != SCALE_SHIFTS || !step_input(q->program, s, 0)->raw || q->ranked[i]) return;
  const unsigned wanted = ring + s->shift;
  if (wanted > q->raw[i] && wanted <= q->raw[i] + (unsigned)WIDEN_MAX && wanted <= 64) q->raw[i] = (uint8_t)wanted;
}

static fusion_status assign(struct rings *q, fusion_error *err) {
  for (uint32_t i = q->program->count; i-- > 0;) {
    struct program_step *s = &q->program->steps[i];
    const bool raw = s->out.raw;
    const unsigned ring = raw ? (unsigned)q->raw[q->roots[i]] : most(2, most(q->need[i], s->out.value_bits));
    if (!raw) widen_below(q, i, ring);
    const unsigned most_bits = raw ? PROGRAM_RAW_RING_MAX : PROGRAM_RING_MAX;
    if (ring > most_bits)
      return error_set(err, FUSION_E_UNREACHABLE, "layer '%s' needs a ring of %u bits, at most %d fit; give fewer bits",
                       s->name, ring, (int)most_bits);
    s->out.ring_bits = (uint8_t)ring;
    if (raw && s->out.value_bits > ring) s->out.value_bits = (uint8_t)ring;
    demand_inputs(q, i);
  }
  return FUSION_OK;
}

static void reduce_biases(struct model *model) {
  for (uint32_t i = 0; i < model->program.count; i++) {
    const struct program_step *s = &model->program.steps[i];
    const bool biased = step_operator(s)->weights != WEIGHTS_NONE;
    for (uint32_t c = 0; biased && c < s->out.shape.channels; c++)
      model->weights[i].bias[c] = ring_signed((uint64_t)model->weights[i].bias[c], s->out.ring_bits);
  }
}

/** What the finished rings leave of the bounds' probability. */
static void estimate_overflow(const struct rings *q, double *overflow) {
  for (uint32_t i = 0; i < q->program->count; i++) {
    const struct program_step *s = &q->program->steps[i];
    overflow[i] = 0;
    if (!s->out.raw || q->program->steps[q->roots[i]].inputs[0] != i) continue;
    const struct program_step *root = &q->program->steps[q->roots[i]];
    /* A wider ring than the root's values have is for pools, which compare in these. */
    const bool compares = step_operator(root)->scale == SCALE_WHOLE;
    const unsigned values = compares ? s->out.ring_bits : (unsigned)root->out.value_bits + root->shift;
    const unsigned bits = least(s->out.ring_bits, values);
    if (bits >= q->sure[i] + (unsigned)(root->shift > 0)) continue;
    const double room = ldexp(1, (int)bits - 1) - (double)step_rounding(root);
    overflow[i] = fmax(bound_overflow(&q->bounds[i], room * s->out.scale), DBL_MIN);
  }
}

static void rings_close(struct rings *q) {
  mem_free(q->roots);
  mem_free(q->raw);
  mem_free(q->need);
  mem_free(q->sure);
  mem_free(q->ranked);
  mem_free(q->reach);
}

fusion_status quantise_rings(struct model *model, const struct step_bound *bounds, double *overflow,
                             fusion_error *err) {
  struct rings q = {.model = model, .program = &model->program, .bounds = bounds};
  const uint32_t count = model->program.count;
  fusion_status status;
  q.roots = mem_alloc(count, sizeof *q.roots);
  q.raw = mem_alloc(count, sizeof *q.raw);
  q.need = mem_alloc(count, sizeof *q.need);
  q.sure = mem_alloc(count, sizeof *q.sure);
  q.ranked = mem_alloc(count, sizeof *q.ranked);
  q.reach = mem_alloc(count, sizeof *q.reach);
  FAIL_IF(!q.roots || !q.raw || !q.need || !q.sure || !q.ranked || !q.reach, FUSION_E_MEMORY);
  quantise_reach(q.reach, model);
  q.ranked[count - 1] = q.program->output != OUTPUT_LOGITS;
  plan_find_roots(q.program, q.roots);
  for (uint32_t i = 0; i < count; i++) {
    struct program_step *s = &q.program->steps[i];
    const unsigned bits = s->out.raw ? raw_width(&q, i) : step_width(&q, i);
    s->out.value_bits = (uint8_t)most(1, least(bits, 64));
  }
  demand(&q, count - 1, q.program->steps[count - 1].out.value_bits + (q.program->output == OUTPUT_LOGITS ? 0u : 1u));
  TRY(assign(&q, err));
  reduce_biases(model);
  TRY(program_validate(&model->program, err));
  if (overflow) estimate_overflow(&q, overflow);
cleanup:
  rings_close(&q);
  return status;
}
