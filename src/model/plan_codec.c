/** The public manifest as bytes. Each step writes only the fields that its kind has, in one order, so that equal plans
 * give equal bytes; a GATHER map is written as runs, which makes Concat and Flatten a few bytes. */
#include "model/plan.h"

enum { MANIFEST_VERSION = 1 };

static bool has_window(enum plan_kind kind) {
  return kind == PLAN_LINEAR || kind == PLAN_MAXPOOL || kind == PLAN_SUMPOOL;
}

static void encode_tensor(struct writer *w, const struct plan_tensor *t) {
  write_u32(w, t->shape.channels);
  write_u32(w, t->shape.height);
  write_u32(w, t->shape.width);
  write_u8(w, t->ring_bits);
  write_u8(w, t->guard_bits);
  write_u8(w, t->value_bits);
  write_u8(w, t->noise_terms);
  write_f64(w, t->scale);
}

static struct plan_tensor decode_tensor(struct reader *r) {
  struct plan_tensor t = {0};
  t.shape.channels = read_u32(r);
  t.shape.height = read_u32(r);
  t.shape.width = read_u32(r);
  t.ring_bits = read_u8(r);
  t.guard_bits = read_u8(r);
  t.value_bits = read_u8(r);
  t.noise_terms = read_u8(r);
  t.scale = read_f64(r);
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

static void encode_gather(struct writer *w, const struct plan_step *s) {
  const size_t count = shape_size(s->out.shape);
  for (size_t at = 0; at < count;) {
    const size_t n = run_length(s->gather, at, count);
    write_u32(w, s->gather[at].input);
    write_u32(w, s->gather[at].index);
    write_u32(w, (uint32_t)n);
    at += n;
  }
}

/** `budget`: map elements that may still be allocated, over all steps of the plan. */
static fusion_status decode_gather(struct reader *r, struct plan_step *s, uint64_t *budget) {
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

static void encode_step(struct writer *w, const struct plan_step *s) {
  write_u8(w, (uint8_t)s->kind);
  write_string(w, s->name);
  encode_tensor(w, &s->out);
  if (s->kind == PLAN_GATHER) write_u32(w, s->input_count);
  for (uint32_t k = 0; k < s->input_count; k++) write_u32(w, s->inputs[k]);
  if (has_window(s->kind)) encode_window(w, &s->window);
  if (s->kind == PLAN_LINEAR) {
    write_u32(w, s->groups);
    write_u8(w, s->weight_bits);
    write_u8(w, s->rlwe_set);
  }
  if (s->kind == PLAN_RELU || s->kind == PLAN_TRUNCATE) write_u8(w, s->shift);
  if (s->kind == PLAN_ADD) write_bytes(w, s->shift_left, sizeof s->shift_left);
  if (s->kind == PLAN_OFFSET) write_u8(w, s->negate);
  if (s->kind == PLAN_GATHER) encode_gather(w, s);
}

static uint32_t decode_input_count(struct reader *r, enum plan_kind kind) {
  if (kind == PLAN_INPUT) return 0;
  if (kind == PLAN_ADD || kind == PLAN_MUL) return 2;
  return kind == PLAN_GATHER ? read_u32(r) : 1;
}

static bool decode_bool(struct reader *r) {
  const uint8_t v = read_u8(r);
  if (v > 1) r->failed = true;
  return v == 1;
}

static fusion_status decode_step(struct reader *r, struct plan_step *s, uint64_t *budget) {
  const uint8_t kind = read_u8(r);
  if (kind > PLAN_OFFSET) return FUSION_E_MODEL;
  s->kind = (enum plan_kind)kind;
  read_string(r, s->name, sizeof s->name);
  s->out = decode_tensor(r);
  const uint32_t inputs = decode_input_count(r, s->kind);
  if (r->failed || inputs > PLAN_INPUTS_MAX) return FUSION_E_MODEL;
  if (inputs) {
    s->inputs = mem_alloc(inputs, sizeof *s->inputs);
    if (!s->inputs) return FUSION_E_MEMORY;
  }
  s->input_count = inputs;
  for (uint32_t k = 0; k < inputs; k++) s->inputs[k] = read_u32(r);
  if (has_window(s->kind)) s->window = decode_window(r);
  if (s->kind == PLAN_LINEAR) {
    s->groups = read_u32(r);
    s->weight_bits = read_u8(r);
    s->rlwe_set = read_u8(r);
  }
  if (s->kind == PLAN_RELU || s->kind == PLAN_TRUNCATE) s->shift = read_u8(r);
  if (s->kind == PLAN_ADD) read_bytes(r, s->shift_left, sizeof s->shift_left);
  if (s->kind == PLAN_OFFSET) s->negate = decode_bool(r);
  if (r->failed) return FUSION_E_MODEL;
  return s->kind == PLAN_GATHER ? decode_gather(r, s, budget) : FUSION_OK;
}

static void encode_preprocess(struct writer *w, const struct plan_preprocess *p) {
  write_u8(w, p->channels_last);
  write_u8(w, p->reverse_channels);
  write_f64(w, p->scale);
  write_u32(w, p->count);
  for (uint32_t c = 0; c < p->count; c++) write_f64(w, p->mean[c]);
  for (uint32_t c = 0; c < p->count; c++) write_f64(w, p->deviation[c]);
}

static fusion_status decode_preprocess(struct reader *r, struct plan_preprocess *p) {
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

void plan_encode(struct writer *w, const struct plan *plan) {
  write_u8(w, MANIFEST_VERSION);
  write_u8(w, (uint8_t)plan->output);
  write_u32(w, plan->top_k);
  write_u8(w, (uint8_t)plan->rounding);
  write_u8(w, plan->softmax ? 1 : plan->sigmoid ? 2 : 0);
  encode_preprocess(w, &plan->preprocess);
  write_u32(w, plan->count);
  for (uint32_t i = 0; i < plan->count; i++) encode_step(w, &plan->steps[i]);
}

static fusion_status decode_plan(struct plan *out, struct reader *r) {
  uint64_t budget = PLAN_MAPS_MAX;
  const uint8_t output = read_u8(r);
  out->top_k = read_u32(r);
  const uint8_t rounding = read_u8(r);
  const uint8_t last = read_u8(r);
  out->softmax = last == 1;
  out->sigmoid = last == 2;
  if (r->failed || last > 2 || output > PLAN_OUTPUT_TOP_K || rounding > PLAN_ROUNDING_FAST) return FUSION_E_MODEL;
  out->output = (enum plan_output)output;
  out->rounding = (enum plan_rounding)rounding;
  fusion_status status = decode_preprocess(r, &out->preprocess);
  if (status != FUSION_OK) return status;
  const uint32_t count = read_u32(r);
  if (r->failed || count < 1 || count > PLAN_STEPS_MAX) return FUSION_E_MODEL;
  out->steps = mem_alloc(count, sizeof *out->steps);
  if (!out->steps) return FUSION_E_MEMORY;
  out->count = count;
  for (uint32_t i = 0; i < count && status == FUSION_OK; i++) status = decode_step(r, &out->steps[i], &budget);
  return status;
}

fusion_status plan_decode(struct plan *out, struct reader *r, fusion_error *err) {
  *out = (struct plan){0};
  const uint8_t version = read_u8(r);
  if (!r->failed && version != MANIFEST_VERSION)
    return error_set(err, FUSION_E_MODEL, "manifest: version %u is not known here; use the same release on both sides",
                     version);
  fusion_status status = decode_plan(out, r);
  if (status == FUSION_OK)
    status = plan_validate(out, err);
  else if (status == FUSION_E_MEMORY)
    error_set(err, status, "manifest: out of memory");
  else
    error_set(err, status, "manifest: damaged or too large");
  if (status != FUSION_OK) plan_free(out);
  return status;
}
