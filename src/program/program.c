/** Structural check of a program: what every later stage (executor, engine, session) relies on without checking again.
 *  The program may come from a hostile peer, so nothing here trusts a count, and each rule is a constant-time formula.
 */
#include "program/input_range.h"
#include "program/operators.h"
#include "program/program_section.h"

#include <math.h>

enum { NAME_FIRST = 0x20, NAME_DELETE = 0x7f };

size_t program_answer_size(const struct program *program) {
  if (program->output == OUTPUT_LABEL) return 1;
  if (program->output == OUTPUT_TOP_K) return 2 * (size_t)program->top_k;
  return shape_size(program->steps[program->count - 1].out.shape);
}

size_t program_weight_count(const struct program *program, uint32_t step) {
  const struct program_step *s = &program->steps[step];
  if (!step_has_matrix(s)) return 0;
  const struct shape in = step_input(program, s, 0)->shape;
  return (size_t)s->out.shape.channels * (in.channels / s->groups) * s->window.kernel_h * s->window.kernel_w;
}

void program_free(struct program *program) {
  for (uint32_t i = 0; program->steps && i < program->count; i++) {
    mem_free(program->steps[i].inputs);
    mem_free(program->steps[i].gather);
    mem_free(program->steps[i].table);
  }
  mem_free(program->steps);
  mem_free(program->preprocess.mean);
  mem_free(program->preprocess.deviation);
  mem_free(program->preprocess.table);
  class_labels_free(&program->labels);
  input_units_free(&program->input_units);
  program_free_sections(program);
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

static complaint check_name(const char *name) {
  const char *end = memchr(name, '\0', MODEL_NAME_LEN);
  if (!end) return "its name does not end";
  for (const char *p = name; p < end; p++)
    if ((unsigned char)*p < NAME_FIRST || (unsigned char)*p == NAME_DELETE) return "its name holds control characters";
  return NULL;
}

static complaint check_tensor(const struct program_tensor *t, bool needs_scale) {
  const struct shape s = t->shape;
  if (!s.channels || !s.height || !s.width) return "a dimension is zero";
  if (s.channels > PROGRAM_TENSOR_MAX || s.height > PROGRAM_TENSOR_MAX || s.width > PROGRAM_TENSOR_MAX)
    return "it is too large";
  if ((uint64_t)s.height * s.width > PROGRAM_TENSOR_MAX) return "it is too large";
  if ((uint64_t)s.channels * ((uint64_t)s.height * s.width) > PROGRAM_TENSOR_MAX) return "it is too large";
  if (t->ring_bits < 2 || t->ring_bits > (t->raw ? PROGRAM_RAW_RING_MAX : PROGRAM_RING_MAX))
    return "its ring has an unusable width";
  if (t->value_bits < 1 || t->value_bits > t->ring_bits) return "its values do not fit its ring";
  if (t->scale == 0 && !needs_scale) return NULL; /* a client does not know it */
  if (!isfinite(t->scale) || t->scale <= 0) return "its scale is not a positive number";
  return NULL;
}

/* Between these the client's arithmetic on its inputs meets no denormal (preprocess.c). */
static bool within(double v, double least, double most) {
  return isfinite(v) && fabs(v) >= least && fabs(v) <= most;
}

static bool same_shape(struct shape a, struct shape b) {
  return a.channels == b.channels && a.height == b.height && a.width == b.width;
}

static complaint check_raw(const struct program *program, const struct program_step *s) {
  const enum operator_raw rule = step_operator(s)->raw;
  bool raw = rule == RAW_MAKES;
  for (uint32_t k = 0; k < s->input_count; k++) {
    const bool reads = step_input(program, s, k)->raw;
    if (reads && (rule == RAW_NEVER || rule == RAW_MAKES)) return "it reads a raw tensor";
    raw = raw || (reads && rule == RAW_SUMS);
  }
  if (raw == s->out.raw) return NULL;
  return raw ? "its output must be raw" : "its output must be clean";
}

/** Every input's ring holds the output's; a shift's input may be narrower than what is made of it. */
static complaint check_rings(const struct program *program, const struct program_step *s) {
  const struct program_operator *op = step_operator(s);
  for (uint32_t k = 0; k < s->input_count; k++) {
    const struct program_tensor *in = step_input(program, s, k);
    if (!op->free_shape && !same_shape(in->shape, s->out.shape)) return "its shapes differ";
    const unsigned shift = step_has(s, FIELD_SHIFT_LEFT) ? s->shift_left[k] : 0;
    if (op->raw != RAW_CLEANS && !op->free_ring && in->ring_bits + shift < s->out.ring_bits)
      return "an input's ring is narrower than its own";
  }
  return NULL;
}

static complaint check_step(const struct program *program, uint32_t i) {
  const struct program_step *s = &program->steps[i];
  const struct program_operator *op = program_operator(s->op);
  complaint wrong = check_name(s->name);
  if (wrong) return wrong;
  if (!op) return "its operator is unknown";
  if ((s->op == OP_INPUT) != (i == 0)) return "the input must be the first step and the only one";
  if (s->input_count < op->inputs_least || s->input_count > op->inputs_most) return "it has a wrong number of inputs";
  if (s->input_count && !s->inputs) return "its inputs are missing";
  for (uint32_t k = 0; k < s->input_count; k++)
    if (s->inputs[k] >= i) return "it reads a later step";
  wrong = check_tensor(&s->out, program_scale_is_public(program, i));
  if (!wrong) wrong = check_raw(program, s);
  if (!wrong) wrong = check_rings(program, s);
  return wrong || !op->check ? wrong : op->check(program, s);
}

static complaint check_preprocess(const struct preprocess *p, uint32_t channels) {
  const double least = ldexp(1, -60), most = ldexp(1, 60);
  if (!within(p->scale, least, most)) return "the input scale is not a number between 2^-60 and 2^60";
  if (p->count > 1 && p->count != channels) return "the input has another number of means than channels";
  if (p->count && (!p->mean || !p->deviation)) return "the input's means or deviations are missing";
  for (uint32_t c = 0; c < p->count; c++)
    if ((p->mean[c] != 0 && !within(p->mean[c], ldexp(1, -500), most)) || p->deviation[c] <= 0 ||
        !within(p->deviation[c], least, most))
      return "an input mean or deviation is out of range";
  return NULL;
}

static complaint check_tokens(const struct preprocess *p, struct shape shape) {
  const double most = ldexp(1, 60);
  if (!p->tokens) return p->table ? "a table needs tokens" : p->numbers ? "numbers need tokens beside them" : NULL;
  if (p->tokens > PREPROCESS_TOKENS_MAX) return "the tokens are too many";
  if (p->count || p->scale < 1 || p->scale > 1 || p->channels_last || p->reverse_channels)
    return "tokens take no preprocessing";
  if (p->numbers > shape_size(shape) || p->numbers_first > p->numbers) return "the numbers beside tokens are too many";
  const uint32_t behind = preprocess_number_channels(p->numbers, shape);
  if (behind >= shape.channels) return "the input has no channels for tokens";
  const uint32_t channels = shape.channels - behind;
  if (!p->table) return p->tokens == channels ? NULL : "the input has another number of channels than tokens";
  const uint64_t count = (uint64_t)p->tokens * channels;
  if (count > PREPROCESS_TABLE_MAX) return "the table of tokens is too large";
  for (uint64_t i = 0; i < count; i++)
    if (p->table[i] != 0 && !within((double)p->table[i], ldexp(1, -100), most))
      return "a number of the table is out of range";
  return NULL;
}

static complaint check_units(const struct input_units *u, struct shape shape) {
  if (u->count && u->count != shape.channels && u->count != shape_size(shape))
    return "the input has another number of units than channels or elements";
  if (u->count && (!u->exponent || !u->quarters)) return "the input's units are missing";
  for (uint32_t k = 0; k < u->count; k++)
    if (u->exponent[k] < -INPUT_EXPONENT_MAX || u->exponent[k] > INPUT_EXPONENT_MAX ||
        u->quarters[k] < -INPUT_QUARTERS_MAX || u->quarters[k] > INPUT_QUARTERS_MAX)
      return "a unit of the input is out of range";
  return NULL;
}

static complaint check_defence(const struct program *program) {
  if (program->defence.kind == DEFENCE_NONE) return NULL;
  if (program->output != OUTPUT_LOGITS) return "a defence leaves no label and no top-k";
  if (program->softmax == program->sigmoid || program->log_softmax) return "a defence needs probabilities of one kind";
  const complaint wrong = defence_check(&program->defence);
  if (wrong || defence_unit_fits(&program->defence, program->steps[program->count - 1].out.scale)) return wrong;
  return "rounded probabilities have another unit than their digits say";
}

static complaint check_output(const struct program *program) {
  const struct program_tensor *last = &program->steps[program->count - 1].out;
  if (last->raw) return "the output must be clean";
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
    if (step_has(&program->steps[i], FIELD_GATHER)) mapped += shape_size(program->steps[i].out.shape);
    if (mapped > PROGRAM_MAPS_MAX) return error_set(err, FUSION_E_LIMIT, "program: step %u: the maps are too large", i);
  }
  if (!within(program->steps[0].out.scale, ldexp(1, -60), ldexp(1, 60)))
    return error_set(err, FUSION_E_MODEL, "program: the unit of the input is not between 2^-60 and 2^60");
  complaint wrong = check_preprocess(&program->preprocess, program->steps[0].out.shape.channels);
  if (!wrong) wrong = check_tokens(&program->preprocess, program->steps[0].out.shape);
  if (!wrong) wrong = check_units(&program->input_units, program->steps[0].out.shape);
  if (!wrong && program->reach_bits > program->steps[0].out.value_bits)
    wrong = "the calibration samples reach beyond the input's values";
  if (!wrong) wrong = check_output(program);
  if (!wrong) wrong = check_defence(program);
  if (!wrong) wrong = class_labels_check(&program->labels, program_class_count(program));
  if (!wrong) wrong = program_check_sections(program);
  return wrong ? error_set(err, FUSION_E_MODEL, "program: %s", wrong) : FUSION_OK;
}
