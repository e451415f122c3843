/** Structural check of a program: what every later stage (executor, engine, session) relies on without checking again.
 *  The program may come from a hostile peer, so nothing here trusts a count, and each rule is a constant-time formula.
 */
#include "program/program.h"

#include <math.h>

enum { GUARD_MAX = 8, NAME_FIRST = 0x20, NAME_DELETE = 0x7f };

size_t program_answer_size(const struct program *program) {
  if (program->output == OUTPUT_LABEL) return 1;
  if (program->output == OUTPUT_TOP_K) return 2 * (size_t)program->top_k;
  return shape_size(program->steps[program->count - 1].out.shape);
}

size_t program_weight_count(const struct program *program, uint32_t step) {
  const struct program_step *s = &program->steps[step];
  const struct shape in = program->steps[s->inputs[0]].out.shape;
  return (size_t)s->out.shape.channels * (in.channels / s->groups) * s->window.kernel_h * s->window.kernel_w;
}

uint8_t program_guard_bits(unsigned noise_terms) {
  return noise_terms ? (uint8_t)log2_up(2 * (uint64_t)noise_terms + 1) : 0;
}

void program_free(struct program *program) {
  for (uint32_t i = 0; program->steps && i < program->count; i++) {
    mem_free(program->steps[i].inputs);
    mem_free(program->steps[i].gather);
  }
  mem_free(program->steps);
  mem_free(program->preprocess.mean);
  mem_free(program->preprocess.deviation);
  *program = (struct program){0};
}

void model_free(struct model *m) {
  if (!m) return;
  for (uint32_t i = 0; m->weights && i < m->program.count; i++) {
    mem_free(m->weights[i].weights);
    mem_free(m->weights[i].bias);
  }
  mem_free(m->weights);
  program_free(&m->program);
  mem_free(m);
}

/** What is wrong with a step, or NULL. */
typedef const char *complaint;

static complaint check_name(const char *name) {
  const char *end = memchr(name, '\0', MODEL_NAME_LEN);
  if (!end) return "its name does not end";
  for (const char *p = name; p < end; p++)
    if ((unsigned char)*p < NAME_FIRST || (unsigned char)*p == NAME_DELETE) return "its name holds control characters";
  return NULL;
}

static complaint check_tensor(const struct program_tensor *t) {
  const struct shape s = t->shape;
  if (!s.channels || !s.height || !s.width) return "a dimension is zero";
  if (s.channels > PROGRAM_TENSOR_MAX || s.height > PROGRAM_TENSOR_MAX || s.width > PROGRAM_TENSOR_MAX)
    return "it is too large";
  if ((uint64_t)s.height * s.width > PROGRAM_TENSOR_MAX) return "it is too large";
  if ((uint64_t)s.channels * ((uint64_t)s.height * s.width) > PROGRAM_TENSOR_MAX) return "it is too large";
  if (t->ring_bits < 2 || t->ring_bits + t->guard_bits > PROGRAM_RING_MAX) return "its ring has an unusable width";
  if (t->guard_bits > GUARD_MAX || (t->guard_bits > 0) != (t->noise_terms > 0)) return "guard and noise disagree";
  if (t->guard_bits && (1u << t->guard_bits) <= 2u * t->noise_terms) return "its guard is too narrow";
  if (t->value_bits < 1 || t->value_bits > t->ring_bits) return "its values do not fit its ring";
  if (!isfinite(t->scale) || t->scale <= 0) return "its scale is not a positive number";
  return NULL;
}

/** One axis of a window: the output length must follow, and (for pooling) every window must touch a real element. */
static bool axis_fits(uint64_t in, uint64_t out, uint64_t kernel, uint64_t stride, uint64_t before, uint64_t after,
                      uint64_t dilation, bool touch) {
  const uint64_t limit = PROGRAM_TENSOR_MAX;
  if (!kernel || !stride || !dilation) return false;
  if (kernel > limit || stride > limit || dilation > limit || before > limit || after > limit) return false;
  const uint64_t span = dilation * (kernel - 1) + 1;
  if (span > in + before + after || out != (in + before + after - span) / stride + 1) return false;
  if (!touch) return true;
  /* The first tap at or behind the edge: windows that start before it need one within the kernel, at a real element. */
  const uint64_t last = (out - 1) * stride;
  if (last >= before && last - before >= in) return false;
  return before == 0 || (in >= dilation && div_up(before, dilation) < kernel);
}

/** Both axes fit, and the input with its padding stays of a size that can be laid out. */
static bool window_fits(const struct window *w, struct shape in, struct shape out, bool touch) {
  if (!axis_fits(in.height, out.height, w->kernel_h, w->stride_h, w->pad_top, w->pad_bottom, w->dilation_h, touch) ||
      !axis_fits(in.width, out.width, w->kernel_w, w->stride_w, w->pad_left, w->pad_right, w->dilation_w, touch))
    return false;
  const uint64_t height = (uint64_t)in.height + w->pad_top + w->pad_bottom;
  const uint64_t width = (uint64_t)in.width + w->pad_left + w->pad_right;
  return height * width <= PROGRAM_PADDED_MAX && in.channels * (height * width) <= PROGRAM_PADDED_MAX;
}

static bool same_shape(struct shape a, struct shape b) {
  return a.channels == b.channels && a.height == b.height && a.width == b.width;
}

static complaint check_linear(const struct program_step *s, const struct program_tensor *in) {
  if (in->guard_bits) return "it reads a raw tensor";
  if (in->ring_bits < s->out.ring_bits) return "its input's ring is narrower than its own";
  if (s->out.noise_terms != 1) return "a linear step makes one noise term";
  if (s->weight_bits < 2 || s->weight_bits > PROGRAM_WEIGHT_BITS_MAX) return "its weight width is out of range";
  if (!s->groups || in->shape.channels % s->groups || s->out.shape.channels % s->groups)
    return "its groups do not divide its channels";
  if (!window_fits(&s->window, in->shape, s->out.shape, false)) return "its window and shapes disagree";
  const uint64_t taps = (uint64_t)s->window.kernel_h * s->window.kernel_w;
  if (taps > PROGRAM_WEIGHTS_MAX) return "it has too many weights";
  const uint64_t row = taps * (in->shape.channels / s->groups);
  if (row > PROGRAM_WEIGHTS_MAX || row * s->out.shape.channels > PROGRAM_WEIGHTS_MAX) return "it has too many weights";
  return NULL;
}

static complaint check_truncate(const struct program_step *s, const struct program_tensor *in) {
  if (!same_shape(in->shape, s->out.shape)) return "its shapes differ";
  if (s->out.guard_bits) return "its output must be clean";
  if (in->ring_bits + in->guard_bits < 3 || s->shift + 2 > in->ring_bits) return "its shift is too large for its ring";
  return NULL;
}

static complaint check_add(const struct program *program, const struct program_step *s) {
  unsigned noise = 0;
  for (unsigned k = 0; k < 2; k++) {
    const struct program_tensor *in = &program->steps[s->inputs[k]].out;
    if (!same_shape(in->shape, s->out.shape)) return "its shapes differ";
    if (s->shift_left[k] >= s->out.ring_bits) return "its shift is too large for its ring";
    if (in->ring_bits + s->shift_left[k] < s->out.ring_bits) return "an input's ring is too narrow";
    if (in->guard_bits && s->shift_left[k]) return "it shifts a raw tensor";
    if (in->guard_bits && in->guard_bits != s->out.guard_bits) return "an input's guard differs from its own";
    noise += in->noise_terms;
  }
  return noise == s->out.noise_terms ? NULL : "its noise terms are not the sum of its inputs'";
}

static complaint check_pool(const struct program_step *s, const struct program_tensor *in) {
  const bool max = s->op == OP_MAXPOOL;
  if (in->shape.channels != s->out.shape.channels) return "its channels differ";
  if (!window_fits(&s->window, in->shape, s->out.shape, true)) return "its window and shapes disagree";
  if (max && in->ring_bits < in->value_bits + 1) return "its input's ring has no room to compare";
  if (max && s->out.value_bits < in->value_bits) return "its values are wider than declared";
  return NULL;
}

static complaint check_gather(const struct program *program, const struct program_step *s) {
  if (!s->gather) return "its map is missing";
  const size_t count = shape_size(s->out.shape);
  for (size_t i = 0; i < count; i++) {
    const struct gather_source g = s->gather[i];
    if (g.input == GATHER_ZERO && g.index == 0) continue;
    if (g.input >= s->input_count) return "its map names an input that it lacks";
    if (g.index >= shape_size(program->steps[s->inputs[g.input]].out.shape)) return "its map points outside an input";
  }
  return NULL;
}

/** MUL, MAXPOOL, SUMPOOL, GATHER, OFFSET: clean in, clean out, no wider than what they read. */
static complaint check_clean(const struct program *program, const struct program_step *s) {
  if (s->out.guard_bits) return "its output must be clean";
  for (uint32_t k = 0; k < s->input_count; k++) {
    const struct program_tensor *in = &program->steps[s->inputs[k]].out;
    if (in->guard_bits) return "it reads a raw tensor";
    if (in->ring_bits < s->out.ring_bits) return "its input's ring is narrower than its own";
    if ((s->op == OP_MUL || s->op == OP_OFFSET) && !same_shape(in->shape, s->out.shape)) return "its shapes differ";
  }
  if (s->op == OP_GATHER) return check_gather(program, s);
  if (s->op == OP_MUL || s->op == OP_OFFSET) return NULL;
  return check_pool(s, &program->steps[s->inputs[0]].out);
}

static bool input_count_fits(const struct program_step *s) {
  switch (s->op) {
    case OP_INPUT: return s->input_count == 0;
    case OP_ADD:
    case OP_MUL: return s->input_count == 2;
    case OP_GATHER: return s->input_count >= 1 && s->input_count <= PROGRAM_INPUTS_MAX;
    case OP_LINEAR:
    case OP_RELU:
    case OP_TRUNCATE:
    case OP_MAXPOOL:
    case OP_SUMPOOL:
    case OP_OFFSET: return s->input_count == 1;
  }
  return false;
}

static complaint check_step(const struct program *program, uint32_t i) {
  const struct program_step *s = &program->steps[i];
  complaint wrong = check_name(s->name);
  if (wrong) return wrong;
  if ((s->op == OP_INPUT) != (i == 0)) return "the input must be the first step and the only one";
  if (!input_count_fits(s)) return "it has a wrong number of inputs";
  if (s->input_count && !s->inputs) return "its inputs are missing";
  for (uint32_t k = 0; k < s->input_count; k++)
    if (s->inputs[k] >= i) return "it reads a later step";
  wrong = check_tensor(&s->out);
  if (wrong) return wrong;
  const struct program_tensor *in = i ? &program->steps[s->inputs[0]].out : NULL;
  switch (s->op) {
    case OP_INPUT: return s->out.guard_bits ? "the input must be clean" : NULL;
    case OP_LINEAR: return check_linear(s, in);
    case OP_RELU:
    case OP_TRUNCATE: return check_truncate(s, in);
    case OP_ADD: return check_add(program, s);
    case OP_MUL:
    case OP_MAXPOOL:
    case OP_SUMPOOL:
    case OP_GATHER:
    case OP_OFFSET: return check_clean(program, s);
  }
  return "its operator is unknown";
}

static complaint check_preprocess(const struct preprocess *p, uint32_t channels) {
  if (!isfinite(p->scale) || p->scale == 0) return "the input scale is not a number other than 0";
  if (p->count > 1 && p->count != channels) return "the input has another number of means than channels";
  if (p->count && (!p->mean || !p->deviation)) return "the input's means or deviations are missing";
  for (uint32_t c = 0; c < p->count; c++)
    if (!isfinite(p->mean[c]) || !isfinite(p->deviation[c]) || p->deviation[c] <= 0)
      return "an input mean or deviation is out of range";
  return NULL;
}

static complaint check_output(const struct program *program) {
  const struct program_tensor *last = &program->steps[program->count - 1].out;
  if (last->guard_bits) return "the output must be clean";
  if (program->rounding != ROUNDING_EXACT && program->rounding != ROUNDING_FAST) return "the rounding is unknown";
  if (program->output == OUTPUT_LOGITS) return program->top_k ? "logits take no top-k" : NULL;
  if (last->ring_bits < last->value_bits + 1) return "the output's ring has no room to compare";
  if (program->output == OUTPUT_LABEL) return program->top_k ? "a label takes no top-k" : NULL;
  if (program->output != OUTPUT_TOP_K) return "the output is of an unknown kind";
  return program->top_k >= 1 && program->top_k <= shape_size(last->shape) ? NULL : "top-k asks for more than there is";
}

fusion_status program_validate(const struct program *program, fusion_error *err) {
  if (!program->steps || program->count < 1 || program->count > PROGRAM_STEPS_MAX)
    return error_set(err, FUSION_E_MODEL, "program: %u steps, expected 1 to %d", program->count,
                     (int)PROGRAM_STEPS_MAX);
  uint64_t mapped = 0;
  for (uint32_t i = 0; i < program->count; i++) {
    const complaint wrong = check_step(program, i);
    if (wrong) return error_set(err, FUSION_E_MODEL, "program: step %u: %s", i, wrong);
    if (program->steps[i].op == OP_GATHER) mapped += shape_size(program->steps[i].out.shape);
    if (mapped > PROGRAM_MAPS_MAX) return error_set(err, FUSION_E_LIMIT, "program: step %u: the maps are too large", i);
  }
  complaint wrong = check_preprocess(&program->preprocess, program->steps[0].out.shape.channels);
  if (!wrong) wrong = check_output(program);
  return wrong ? error_set(err, FUSION_E_MODEL, "program: %s", wrong) : FUSION_OK;
}
