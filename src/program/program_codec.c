/** The public manifest as bytes. Each step writes only the fields that its op has, in one order, so that equal programs
 * give equal bytes; a GATHER map is written as runs, which makes Concat and Flatten a few bytes. Engines' sections are
 * at the end.
 *
 *  Left out is what a client does not need: the steps' names, and every scale but the first step's, by which it
 *  quantises, and the last one's, by which it reads answers. The scales between tell how large weights are. They are in
 *  the .fsn file's private part (fsn.c).
 *
 *  Versions: 1 had cheetah's parameter sets among the steps' fields, 2 had no model id. */
#include <stdio.h>

#include "program/operators.h"
#include "program/program_section.h"

enum {
  MANIFEST_VERSION = 3,
  HAS_LABELS = 4,
  HAS_DEFENCE = 8,
  HAS_TOKENS = 16,
  HAS_NUMBERS = 32 /* beside what the network ended in */
};

static bool decode_bool(struct reader *r) {
  const uint8_t v = read_u8(r);
  if (v > 1) r->failed = true;
  return v == 1;
}

static void encode_tensor(struct writer *w, const struct program_tensor *t) {
  write_u32(w, t->shape.channels);
  write_u32(w, t->shape.height);
  write_u32(w, t->shape.width);
  write_u8(w, t->ring_bits);
  write_u8(w, t->value_bits);
  write_u8(w, t->raw);
}

static struct program_tensor decode_tensor(struct reader *r) {
  struct program_tensor t = {0};
  t.shape.channels = read_u32(r);
  t.shape.height = read_u32(r);
  t.shape.width = read_u32(r);
  t.ring_bits = read_u8(r);
  t.value_bits = read_u8(r);
  t.raw = decode_bool(r);
  return t;
}

static void encode_window(struct writer *w, const struct window *v) {
  const uint32_t fields[] = {v->kernel_h, v->kernel_w,   v->stride_h,  v->stride_w,   v->pad_top,
                             v->pad_left, v->pad_bottom, v->pad_right, v->dilation_h, v->dilation_w};
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) write_u32(w, fields[i]);
}

static struct window decode_window(struct reader *r) {
  struct window v = {0};
  uint32_t *fields[] = {&v.kernel_h, &v.kernel_w,   &v.stride_h,  &v.stride_w,   &v.pad_top,
                        &v.pad_left, &v.pad_bottom, &v.pad_right, &v.dilation_h, &v.dilation_w};
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) *fields[i] = read_u32(r);
  return v;
}

/** Length of the longest run from `at`: one input, indices rising by one (zeros: all zero). */
static size_t run_length(const struct gather_source *map, size_t at, size_t count) {
  const bool zero = map[at].input == GATHER_ZERO;
  size_t n = 1;
  while (at + n < count && map[at + n].input == map[at].input &&
         map[at + n].index == map[at].index + (zero ? 0 : (uint32_t)n))
    n++;
  return n;
}

static void encode_gather(struct writer *w, const struct program_step *s) {
  const size_t count = shape_size(s->out.shape);
  for (size_t at = 0; at < count;) {
    const size_t n = run_length(s->gather, at, count);
    write_u32(w, s->gather[at].input);
    write_u32(w, s->gather[at].index);
    write_u32(w, (uint32_t)n);
    at += n;
  }
}

/** `budget`: map elements that may still be allocated, over all steps of the program. */
static fusion_status decode_gather(struct reader *r, struct program_step *s, uint64_t *budget) {
  const struct shape d = s->out.shape;
  const uint64_t plane = (uint64_t)d.height * d.width;
  if (plane > *budget || (uint64_t)d.channels * plane > *budget) return FUSION_E_LIMIT;
  const size_t count = shape_size(d);
  *budget -= count;
  s->gather = mem_alloc(count, sizeof *s->gather);
  if (!s->gather) return FUSION_E_MEMORY;
  struct gather_source expected = {0};
  bool merge = false;
  for (size_t at = 0; at < count;) {
    const struct gather_source first = {.input = read_u32(r), .index = read_u32(r)};
    const size_t n = read_u32(r);
    const bool zero = first.input == GATHER_ZERO;
    if (r->failed || n < 1 || n > count - at || n - 1 > UINT32_MAX - first.index) return FUSION_E_MODEL;
    /* Two runs that could have been one are not canonical. */
    if (merge && first.input == expected.input && first.index == expected.index) return FUSION_E_MODEL;
    for (size_t k = 0; k < n; k++)
      s->gather[at + k] = (struct gather_source){first.input, zero ? first.index : first.index + (uint32_t)k};
    at += n;
    expected = (struct gather_source){first.input, zero ? first.index : first.index + (uint32_t)n};
    merge = true;
  }
  return FUSION_OK;
}

static void encode_table(struct writer *w, const struct program_table *t) {
  write_u8(w, t->index_bits);
  write_u8(w, t->low_bits);
  for (unsigned h = 0; h < 1u << t->index_bits; h++) {
    write_u64(w, (uint64_t)t->base[h]);
    if (t->low_bits) write_u32(w, (uint32_t)t->slope[h]);
  }
}

static fusion_status decode_table(struct reader *r, struct program_step *s) {
  const uint8_t index_bits = read_u8(r), low_bits = read_u8(r);
  if (r->failed || index_bits > PROGRAM_TABLE_INDEX_BITS) return FUSION_E_MODEL;
  s->table = mem_alloc(1, sizeof *s->table);
  if (!s->table) return FUSION_E_MEMORY;
  s->table->index_bits = index_bits;
  s->table->low_bits = low_bits;
  for (unsigned h = 0; h < 1u << index_bits; h++) {
    s->table->base[h] = (int64_t)read_u64(r);
    if (low_bits) s->table->slope[h] = (int32_t)read_u32(r);
  }
  return r->failed ? FUSION_E_MODEL : FUSION_OK;
}

static void encode_step(struct writer *w, const struct program *program, uint32_t number) {
  const struct program_step *s = &program->steps[number];
  write_u8(w, (uint8_t)s->op);
  encode_tensor(w, &s->out);
  if (program_scale_is_public(program, number)) write_f64(w, s->out.scale);
  const struct program_operator *op = step_operator(s);
  if (op->inputs_least != op->inputs_most) write_u32(w, s->input_count);
  for (uint32_t k = 0; k < s->input_count; k++) write_u32(w, s->inputs[k]);
  if (op->fields & FIELD_WINDOW) encode_window(w, &s->window);
  if (op->fields & FIELD_GROUPS) {
    write_u32(w, s->groups);
    write_u8(w, s->weight_bits);
  }
  if (op->fields & FIELD_SHIFT) write_u8(w, s->shift);
  if (op->fields & FIELD_SHIFT_LEFT) write_bytes(w, s->shift_left, sizeof s->shift_left);
  if (op->fields & FIELD_NEGATE) write_u8(w, s->negate);
  if (op->fields & FIELD_TRANSPOSE) write_u8(w, s->transpose);
  if (op->fields & FIELD_TABLE) encode_table(w, s->table);
  if (op->fields & FIELD_GATHER) encode_gather(w, s);
}

static fusion_status decode_step(struct reader *r, struct program *program, uint32_t number, uint64_t *budget) {
  struct program_step *s = &program->steps[number];
  s->op = (enum program_op)read_u8(r);
  const struct program_operator *op = step_operator(s);
  if (!op) return FUSION_E_MODEL;
  snprintf(s->name, sizeof s->name, "%u", number); /* for messages */
  s->out = decode_tensor(r);
  if (program_scale_is_public(program, number)) s->out.scale = read_f64(r);
  const uint32_t inputs = op->inputs_least == op->inputs_most ? op->inputs_least : read_u32(r);
  if (r->failed || inputs > PROGRAM_INPUTS_MAX) return FUSION_E_MODEL;
  if (inputs) {
    s->inputs = mem_alloc(inputs, sizeof *s->inputs);
    if (!s->inputs) return FUSION_E_MEMORY;
  }
  s->input_count = inputs;
  for (uint32_t k = 0; k < inputs; k++) s->inputs[k] = read_u32(r);
  if (op->fields & FIELD_WINDOW) s->window = decode_window(r);
  if (op->fields & FIELD_GROUPS) {
    s->groups = read_u32(r);
    s->weight_bits = read_u8(r);
  }
  if (op->fields & FIELD_SHIFT) s->shift = read_u8(r);
  if (op->fields & FIELD_SHIFT_LEFT) read_bytes(r, s->shift_left, sizeof s->shift_left);
  if (op->fields & FIELD_NEGATE) s->negate = decode_bool(r);
  if (op->fields & FIELD_TRANSPOSE) s->transpose = decode_bool(r);
  if (r->failed) return FUSION_E_MODEL;
  if (op->fields & FIELD_TABLE) return decode_table(r, s);
  return op->fields & FIELD_GATHER ? decode_gather(r, s, budget) : FUSION_OK;
}

static void encode_preprocess(struct writer *w, const struct preprocess *p) {
  write_u8(w, p->channels_last);
  write_u8(w, p->reverse_channels);
  write_f64(w, p->scale);
  write_u32(w, p->count);
  for (uint32_t c = 0; c < p->count; c++) write_f64(w, p->mean[c]);
  for (uint32_t c = 0; c < p->count; c++) write_f64(w, p->deviation[c]);
}

static fusion_status decode_preprocess(struct reader *r, struct preprocess *p) {
  p->channels_last = decode_bool(r);
  p->reverse_channels = decode_bool(r);
  p->scale = read_f64(r);
  const uint32_t count = read_u32(r);
  if (r->failed || count > reader_left(r) / (2 * sizeof(double))) return FUSION_E_MODEL;
  if (!count) return FUSION_OK;
  p->mean = mem_alloc(count, sizeof *p->mean);
  p->deviation = mem_alloc(count, sizeof *p->deviation);
  if (!p->mean || !p->deviation) return FUSION_E_MEMORY;
  p->count = count;
  for (uint32_t c = 0; c < count; c++) p->mean[c] = read_f64(r);
  for (uint32_t c = 0; c < count; c++) p->deviation[c] = read_f64(r);
  return FUSION_OK;
}

/* The table's rows are `width` numbers, 0 where there is none. */
static void encode_tokens(struct writer *w, const struct preprocess *p, struct shape shape) {
  const uint32_t width = p->table ? shape.channels - preprocess_number_channels(p->numbers, shape) : 0;
  write_u32(w, p->tokens);
  write_u32(w, width);
  for (size_t i = 0; i < (size_t)p->tokens * width; i++) {
    uint32_t bits;
    memcpy(&bits, p->table + i, sizeof bits);
    write_u32(w, bits);
  }
  if (!p->numbers) return;
  write_u32(w, p->numbers);
  write_u32(w, p->numbers_first);
}

static fusion_status decode_numbers(struct reader *r, struct preprocess *p) {
  p->numbers = read_u32(r);
  p->numbers_first = read_u32(r);
  return r->failed || !p->numbers || p->numbers > MODEL_MAX_TENSOR ? FUSION_E_MODEL : FUSION_OK;
}

/* That the width is that of the input's channels shows when the input is known. */
static fusion_status decode_tokens(struct reader *r, struct preprocess *p, uint32_t *width) {
  p->tokens = read_u32(r);
  *width = read_u32(r);
  const uint64_t count = (uint64_t)p->tokens * *width;
  if (r->failed || !p->tokens || count > PREPROCESS_TABLE_MAX || count > reader_left(r) / sizeof(float))
    return FUSION_E_MODEL;
  if (!count) return FUSION_OK;
  p->table = mem_alloc((size_t)count, sizeof *p->table);
  if (!p->table) return FUSION_E_MEMORY;
  for (size_t i = 0; i < count; i++) {
    const uint32_t bits = read_u32(r);
    memcpy(p->table + i, &bits, sizeof bits);
  }
  return FUSION_OK;
}

static void encode_units(struct writer *w, const struct input_units *u) {
  write_u32(w, u->count);
  for (uint32_t k = 0; k < u->count; k++) write_u8(w, (uint8_t)u->exponent[k]);
  for (uint32_t k = 0; k < u->count; k++) write_u32(w, (uint32_t)u->quarters[k]);
}

static fusion_status decode_units(struct reader *r, struct input_units *u) {
  const uint32_t count = read_u32(r);
  if (r->failed || count > reader_left(r) / (sizeof *u->exponent + sizeof *u->quarters)) return FUSION_E_MODEL;
  if (!count) return FUSION_OK;
  const fusion_status status = input_units_open(u, count);
  if (status != FUSION_OK) return status;
  for (uint32_t k = 0; k < count; k++) u->exponent[k] = (int8_t)read_u8(r);
  for (uint32_t k = 0; k < count; k++) u->quarters[k] = (int32_t)read_u32(r);
  return FUSION_OK;
}

static void encode_defence(struct writer *w, const struct defence *d) {
  write_u8(w, (uint8_t)d->kind);
  if (d->kind == DEFENCE_ROUND) write_u8(w, d->digits);
  if (d->kind != DEFENCE_REVERSE_SIGMOID) return;
  write_f64(w, d->beta);
  write_f64(w, d->gamma);
}

static fusion_status decode_defence(struct reader *r, struct defence *d) {
  const uint8_t kind = read_u8(r);
  if (r->failed || kind == DEFENCE_NONE || kind >= DEFENCE_COUNT) return FUSION_E_MODEL;
  d->kind = (enum defence_kind)kind;
  if (d->kind == DEFENCE_ROUND) d->digits = read_u8(r);
  if (d->kind == DEFENCE_REVERSE_SIGMOID) d->beta = read_f64(r);
  if (d->kind == DEFENCE_REVERSE_SIGMOID) d->gamma = read_f64(r);
  return r->failed ? FUSION_E_MODEL : FUSION_OK;
}

void program_encode_function(struct writer *w, const struct program *program) {
  write_u8(w, (uint8_t)program->output);
  write_u32(w, program->top_k);
  write_u8(w, (uint8_t)program->rounding);
  const unsigned last = program->log_softmax ? 3 : program->softmax ? 1 : program->sigmoid ? 2 : 0;
  const bool defended = program->defence.kind != DEFENCE_NONE;
  write_u8(w,
           (uint8_t)(last | (program->labels.count ? HAS_LABELS : 0) | (defended ? HAS_DEFENCE : 0) |
                     (program->preprocess.tokens ? HAS_TOKENS : 0) | (program->preprocess.numbers ? HAS_NUMBERS : 0)));
  if (program->labels.count) class_labels_encode(w, &program->labels);
  if (defended) encode_defence(w, &program->defence);
  encode_preprocess(w, &program->preprocess);
  if (program->preprocess.tokens) encode_tokens(w, &program->preprocess, program->steps[0].out.shape);
  encode_units(w, &program->input_units);
  write_u8(w, program->reach_bits);
  write_u32(w, program->count);
  for (uint32_t i = 0; i < program->count; i++) encode_step(w, program, i);
}

void program_encode(struct writer *w, const struct program *program) {
  write_u8(w, MANIFEST_VERSION);
  write_bytes(w, program->model_id, sizeof program->model_id);
  program_encode_function(w, program);
  program_encode_sections(w, program);
}

static fusion_status decode_program(struct program *out, struct reader *r) {
  uint64_t budget = PROGRAM_MAPS_MAX;
  read_bytes(r, out->model_id, sizeof out->model_id);
  const uint8_t output = read_u8(r);
  out->top_k = read_u32(r);
  const uint8_t rounding = read_u8(r);
  const uint8_t flags = read_u8(r), last = flags & (HAS_LABELS - 1);
  out->softmax = last == 1 || last == 3;
  out->log_softmax = last == 3;
  out->sigmoid = last == 2;
  if (r->failed || flags >= 2 * HAS_NUMBERS || output > OUTPUT_TOP_K || rounding > ROUNDING_FAST) return FUSION_E_MODEL;
  out->output = (enum program_output)output;
  out->rounding = (enum program_rounding)rounding;
  uint32_t width = 0;
  fusion_status status = flags & HAS_LABELS ? class_labels_decode(&out->labels, r) : FUSION_OK;
  if (status == FUSION_OK && flags & HAS_DEFENCE) status = decode_defence(r, &out->defence);
  if (status == FUSION_OK) status = decode_preprocess(r, &out->preprocess);
  if (status == FUSION_OK && flags & HAS_TOKENS) status = decode_tokens(r, &out->preprocess, &width);
  if (status == FUSION_OK && flags & HAS_NUMBERS) status = decode_numbers(r, &out->preprocess);
  if (status == FUSION_OK) status = decode_units(r, &out->input_units);
  if (status != FUSION_OK) return status;
  out->reach_bits = read_u8(r);
  const uint32_t count = read_u32(r);
  if (r->failed || count < 1 || count > PROGRAM_STEPS_MAX) return FUSION_E_MODEL;
  out->steps = mem_alloc(count, sizeof *out->steps);
  if (!out->steps) return FUSION_E_MEMORY;
  out->count = count;
  for (uint32_t i = 0; i < count && status == FUSION_OK; i++) status = decode_step(r, out, i, &budget);
  const struct shape shape = out->steps[0].out.shape;
  if (status == FUSION_OK && width &&
      width + preprocess_number_channels(out->preprocess.numbers, shape) != shape.channels)
    return FUSION_E_MODEL;
  return status == FUSION_OK ? program_decode_sections(r, out) : status;
}

fusion_status program_decode(struct program *out, struct reader *r, fusion_error *err) {
  *out = (struct program){0};
  const uint8_t version = read_u8(r);
  if (!r->failed && version != MANIFEST_VERSION)
    return error_set(err, FUSION_E_MODEL, "manifest: version %u is not known here; use the same release on both sides",
                     version);
  fusion_status status = decode_program(out, r);
  if (status == FUSION_OK)
    status = program_validate(out, err);
  else if (status == FUSION_E_MEMORY)
    error_set(err, status, "manifest: out of memory");
  else
    error_set(err, status, "manifest: damaged or too large");
  if (status != FUSION_OK) program_free(out);
  return status;
}
