/** program_validate against broken programs, the manifest's bytes against damage. */
#include <math.h>
#include <stdio.h>

#include "continuity/model_id.h"
#include "model/model_support.h"
#include "program/input_range.h"
#include "program/program.h"
#include "program/program_section.h"
#include "support/net.h"

enum { FUZZ_ROUNDS = 3000 };

static struct writer encode(const struct program *program) {
  struct writer w = {0};
  program_encode(&w, program);
  assert_false(w.failed);
  return w;
}

/* Names in programs of an even number of steps, else numbers. */
static void add_labels(struct program *program) {
  const size_t classes = program_class_count(program);
  const bool texts = program->count % 2 == 0;
  assert_ok(class_labels_open(&program->labels, classes, texts));
  for (uint32_t i = 0; i < classes; i++) {
    char text[32];
    const int len = snprintf(text, sizeof text, "gr\xc3\xbc\xc3\x9f %u", i);
    if (texts) assert_ok(class_labels_set_text(&program->labels, i, text, (size_t)len));
    if (!texts) program->labels.numbers[i] = (int64_t)classes - 3 * (int64_t)i;
  }
}

static void add_sections(struct program *program) {
  add_labels(program);
  assert_ok(program_set_section(program, "aby", "a section of some length", 24));
  assert_ok(program_set_section(program, "cheetah", NULL, 0));
}

static void program_encode__round_trip_is_canonical(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (size_t k = 0; network_kinds[k]; k++) {
    struct model *m = random_model(network_kinds[k], &seed, 8, 8);
    add_sections(&m->program);
    struct writer w = encode(&m->program);
    struct reader r = reader_of(w.data, w.len);
    struct program copy;
    assert_ok(program_decode(&copy, &r, NULL));
    assert_true(reader_done(&r));
    struct writer again = encode(&copy);
    assert_int_equal(again.len, w.len);
    assert_memory_equal(again.data, w.data, w.len);
    writer_free(&again);
    writer_free(&w);
    program_free(&copy);
    model_free(m);
  }
}

static struct writer encode_with_id(struct model *m, const uint8_t salt[MODEL_SALT_LEN]) {
  assert_ok(model_id_set(m, salt));
  return encode(&m->program);
}

/* Two models of equal shapes and widths, and one under two salts: their manifests differ in nothing but the id. */
static void program_encode__other_weights_change_the_id_alone(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  enum { ID_AT = 1 };
  uint8_t salt[MODEL_SALT_LEN], other[MODEL_SALT_LEN];
  for (size_t i = 0; i < sizeof salt; i++) salt[i] = other[i] = (uint8_t)test_random(&seed);
  other[31] ^= 1;
  for (size_t k = 0; network_kinds[k]; k++) {
    struct model *m = random_model(network_kinds[k], &seed, 8, 8);
    uint32_t at = 0;
    while (!program_weight_count(&m->program, at)) at++;
    struct writer w[5] = {encode_with_id(m, salt), encode_with_id(m, salt), encode_with_id(m, other)};
    m->weights[at].weights[0] ^= 1;
    w[3] = encode_with_id(m, salt);
    m->weights[at].weights[0] ^= 1;
    m->weights[at].bias[0] ^= 1;
    w[4] = encode_with_id(m, salt);
    assert_memory_equal(w[0].data, w[1].data, w[0].len);
    for (size_t i = 2; i < 5; i++) {
      assert_int_equal(w[i].len, w[0].len);
      for (size_t j = 0; j < i; j++)
        assert_true(j == 1 || memcmp(w[i].data + ID_AT, w[j].data + ID_AT, MODEL_ID_LEN) != 0);
      memcpy(w[i].data + ID_AT, w[0].data + ID_AT, MODEL_ID_LEN);
      assert_memory_equal(w[i].data, w[0].data, w[0].len);
    }
    for (size_t i = 0; i < 5; i++) writer_free(&w[i]);
    model_free(m);
  }
}

/* What does not change answers does not change the id. */
static void model_id_set__names_and_sections_do_not_count(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  const uint8_t salt[MODEL_SALT_LEN] = {1};
  uint8_t id[MODEL_ID_LEN];
  struct model *m = random_model("mlp", &seed, 8, 8);
  assert_ok(model_id_set(m, salt));
  memcpy(id, m->program.model_id, sizeof id);
  snprintf(m->program.steps[1].name, sizeof m->program.steps[1].name, "another name");
  assert_ok(program_set_section(&m->program, "delphi", "four", 4));
  assert_ok(model_id_set(m, salt));
  assert_memory_equal(id, m->program.model_id, sizeof id);
  m->program.steps[1].out.scale *= 2;
  assert_ok(model_id_set(m, salt));
  assert_memory_not_equal(id, m->program.model_id, sizeof id);
  model_free(m);
}

static void model_salt_take__wants_64_digits(void **state) {
  (void)state;
  uint8_t salt[MODEL_SALT_LEN], other[MODEL_SALT_LEN];
  const char digits[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
  assert_ok(model_salt_take(salt, digits, NULL));
  assert_int_equal(salt[1], 0x11);
  assert_int_equal(salt[31], 0xff);
  assert_int_equal(model_salt_take(salt, digits + 1, NULL), FUSION_E_USAGE);
  assert_int_equal(model_salt_take(salt, "", NULL), FUSION_E_USAGE);
  assert_int_equal(model_salt_take(salt, "0011223344556677889 aabbccddeeff00112233445566778899aabbccddeeff", NULL),
                   FUSION_E_USAGE);
  assert_ok(model_salt_take(salt, NULL, NULL));
  assert_ok(model_salt_take(other, NULL, NULL));
  assert_memory_not_equal(salt, other, sizeof salt);
}

/* Two models of equal shapes and widths: what the manifest says of them is the same but for the last scale. */
static void program_encode__shows_the_first_and_the_last_scale_alone(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (size_t k = 0; network_kinds[k]; k++) {
    struct model *m = random_model(network_kinds[k], &seed, 8, 8);
    struct program *p = &m->program;
    struct program_step *last = &p->steps[p->count - 1];
    struct writer a = encode(p);
    for (uint32_t i = 0; i < p->count; i++) {
      snprintf(p->steps[i].name, sizeof p->steps[i].name, "another name of step %u", i);
      if (i && i + 1 < p->count) p->steps[i].out.scale *= 1.37;
    }
    struct writer b = encode(p);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    struct writer scale = {0};
    write_f64(&scale, last->out.scale);
    last->out.scale *= 1.37;
    struct writer c = encode(p);
    assert_int_equal(a.len, c.len);
    size_t first = 0, end = a.len;
    while (first < a.len && a.data[first] == c.data[first]) first++;
    while (end > first && a.data[end - 1] == c.data[end - 1]) end--;
    assert_in_range(end - first, 1, scale.len);
    struct reader r = reader_of(c.data, c.len);
    struct program seen;
    assert_ok(program_decode(&seen, &r, NULL));
    assert_true(seen.steps[0].out.scale == p->steps[0].out.scale);
    assert_true(seen.steps[p->count - 1].out.scale == last->out.scale);
    for (uint32_t i = 1; i + 1 < p->count; i++) assert_true(seen.steps[i].out.scale == 0);
    program_free(&seen);
    writer_free(&a);
    writer_free(&b);
    writer_free(&c);
    writer_free(&scale);
    model_free(m);
  }
}

static void program_decode__truncation_is_refused(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct model *m = random_model("concat", &seed, 8, 8);
  add_sections(&m->program);
  struct writer w = encode(&m->program);
  for (size_t len = 0; len < w.len; len++) {
    struct reader r = reader_of(w.data, len);
    struct program copy;
    assert_int_not_equal(program_decode(&copy, &r, NULL), FUSION_OK);
    assert_null(copy.steps);
  }
  writer_free(&w);
  model_free(m);
}

/** Whatever bytes are accepted are a valid program, and the only bytes of it. */
static void program_decode__damage_is_refused_or_means_another_plan(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (size_t k = 0; network_kinds[k]; k++) {
    struct model *m = random_model(network_kinds[k], &seed, 8, 8);
    add_sections(&m->program);
    struct writer w = encode(&m->program);
    for (int round = 0; round < FUZZ_ROUNDS; round++) {
      const size_t at = test_random(&seed) % w.len;
      const uint8_t old = w.data[at];
      w.data[at] = (uint8_t)(round % 2 ? old ^ (1u << (test_random(&seed) % 8)) : test_random(&seed));
      struct reader r = reader_of(w.data, w.len);
      struct program copy;
      fusion_error err = {.status = FUSION_OK};
      if (program_decode(&copy, &r, &err) == FUSION_OK) {
        assert_ok(program_validate(&copy, NULL));
        struct writer again = encode(&copy);
        assert_true(again.len == r.pos);
        assert_memory_equal(again.data, w.data, again.len);
        writer_free(&again);
        program_free(&copy);
      } else {
        assert_true(err.text[0] != '\0');
      }
      w.data[at] = old;
    }
    writer_free(&w);
    model_free(m);
  }
}

static uint32_t step_of(const struct program *program, enum program_op op) {
  for (uint32_t i = 0; i < program->count; i++)
    if (program->steps[i].op == op) return i;
  fail_msg("the network has no step of op %d", (int)op);
  return 0;
}

/** Sets a field to a bad value, expects a refusal, and restores it. */
#define REFUSED(program, field, bad)                                                                \
  do {                                                                                              \
    const __typeof__(field) kept = (field);                                                         \
    (field) = (bad);                                                                                \
    fusion_error err = {.status = FUSION_OK};                                                       \
    if (program_validate((program), &err) == FUSION_OK) fail_msg("%s = %s accepted", #field, #bad); \
    assert_true(err.text[0] != '\0');                                                               \
    (field) = kept;                                                                                 \
    assert_ok(program_validate((program), NULL));                                                   \
  } while (0)

static void check_tensor_rules(struct program *p) {
  for (uint32_t i = 0; i < p->count; i++) {
    struct program_tensor *t = &p->steps[i].out;
    REFUSED(p, t->ring_bits, 1);
    REFUSED(p, t->ring_bits, 63);
    REFUSED(p, t->value_bits, 0);
    REFUSED(p, t->value_bits, t->ring_bits + 1);
    if (i == 0 || i + 1 == p->count) REFUSED(p, t->scale, 0); /* a client does not know the others */
    REFUSED(p, t->scale, -1);
    REFUSED(p, t->scale, (double)NAN);
    REFUSED(p, t->raw, !t->raw);
    REFUSED(p, t->shape.channels, 0);
    REFUSED(p, t->shape.channels, UINT32_MAX);
    REFUSED(p, t->shape.height, 1u << 27);
    REFUSED(p, p->steps[i].name[0], '\033');
    if (i) REFUSED(p, p->steps[i].inputs[0], i);
    if (i) REFUSED(p, p->steps[i].inputs[0], UINT32_MAX);
    if (i) REFUSED(p, p->steps[i].input_count, 0);
    REFUSED(p, p->steps[i].op, (enum program_op)99);
  }
}

static void program_validate__each_rule(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct model *m = random_model("residual", &seed, 8, 8);
  struct program *p = &m->program;
  check_tensor_rules(p);
  struct program_step *linear = &p->steps[step_of(p, OP_LINEAR)];
  REFUSED(p, linear->groups, 0);
  REFUSED(p, linear->groups, 5);
  REFUSED(p, linear->weight_bits, 1);
  REFUSED(p, linear->weight_bits, 17);
  REFUSED(p, linear->window.kernel_h, 0);
  REFUSED(p, linear->window.kernel_h, linear->window.kernel_h + 2);
  REFUSED(p, linear->window.stride_w, 0);
  REFUSED(p, linear->window.stride_w, UINT32_MAX);
  REFUSED(p, linear->window.pad_left, UINT32_MAX);
  REFUSED(p, linear->window.pad_top, 1u << 25);
  REFUSED(p, linear->window.dilation_h, 0);
  REFUSED(p, linear->window.dilation_h, 40);
  REFUSED(p, linear->out.ring_bits, PROGRAM_RAW_RING_MAX + 1);
  struct program_step *relu = &p->steps[step_of(p, OP_RELU)];
  REFUSED(p, relu->shift, p->steps[relu->inputs[0]].out.ring_bits - 1);
  struct program_step *add = &p->steps[step_of(p, OP_ADD)];
  REFUSED(p, add->shift_left[1], 63);
  REFUSED(p, add->shift_left[0], 63);
  REFUSED(p, p->steps[p->count - 1].out.raw, true);
  REFUSED(p, p->steps[0].out.ring_bits, 2);
  REFUSED(p, p->count, 0);
  REFUSED(p, p->count, PROGRAM_STEPS_MAX + 1);
  REFUSED(p, p->top_k, 1);
  REFUSED(p, p->output, (enum program_output)7);
  REFUSED(p, p->output, OUTPUT_TOP_K);
  REFUSED(p, p->rounding, (enum program_rounding)2);
  REFUSED(p, p->preprocess.scale, 0);
  REFUSED(p, p->preprocess.scale, 0x1p-61);
  REFUSED(p, p->preprocess.scale, -0x1p61);
  REFUSED(p, p->preprocess.scale, 5e-324);
  REFUSED(p, p->steps[0].out.scale, 0x1p-61);
  REFUSED(p, p->steps[0].out.scale, 0x1p61);
  REFUSED(p, p->preprocess.count, 2);
  REFUSED(p, p->preprocess.count, 1);
  REFUSED(p, p->input_units.count, 1);
  REFUSED(p, p->reach_bits, p->steps[0].out.value_bits + 1);
  REFUSED(p, p->input_units.count, p->steps[0].out.shape.channels);
  model_free(m);
}

static void program_validate__numbers_of_the_preprocessing_meet_no_denormal(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct model *m = random_model("mlp", &seed, 8, 8);
  struct program *p = &m->program;
  double mean = 0, deviation = 1;
  p->preprocess = (struct preprocess){.scale = -0x1p60, .count = 1, .mean = &mean, .deviation = &deviation};
  assert_ok(program_validate(p, NULL));
  REFUSED(p, mean, 5e-324);
  REFUSED(p, mean, 0x1p-501);
  REFUSED(p, mean, -0x1p61);
  REFUSED(p, mean, (double)NAN);
  REFUSED(p, deviation, 0);
  REFUSED(p, deviation, -1);
  REFUSED(p, deviation, 0x1p-61);
  REFUSED(p, deviation, 0x1p61);
  REFUSED(p, deviation, (double)INFINITY);
  p->preprocess = (struct preprocess){.scale = 1};
  model_free(m);
}

static void program_validate__units_of_the_input_are_bounded(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct model *m = random_model("conv", &seed, 8, 8);
  struct program *p = &m->program;
  const uint32_t counts[] = {p->steps[0].out.shape.channels, (uint32_t)shape_size(p->steps[0].out.shape)};
  for (size_t k = 0; k < 2; k++) {
    assert_ok(input_units_open(&p->input_units, counts[k]));
    p->input_units.exponent[0] = -INPUT_EXPONENT_MAX;
    p->input_units.quarters[0] = -INPUT_QUARTERS_MAX;
    assert_ok(program_validate(p, NULL));
    REFUSED(p, p->input_units.count, counts[k] + 1);
    REFUSED(p, p->input_units.exponent[0], INPUT_EXPONENT_MAX + 1);
    REFUSED(p, p->input_units.exponent[0], -INPUT_EXPONENT_MAX - 1);
    REFUSED(p, p->input_units.quarters[0], INPUT_QUARTERS_MAX + 1);
    REFUSED(p, p->input_units.quarters[0], -INPUT_QUARTERS_MAX - 1);
    struct writer w = {0}, again = {0};
    struct program seen;
    program_encode(&w, p);
    struct reader r = reader_of(w.data, w.len);
    assert_ok(program_decode(&seen, &r, NULL));
    program_encode(&again, &seen);
    assert_int_equal(again.len, w.len);
    assert_memory_equal(again.data, w.data, w.len);
    program_free(&seen);
    writer_free(&w);
    writer_free(&again);
    input_units_free(&p->input_units);
  }
  model_free(m);
}

/* An input, a linear layer, its truncation and a table. */
static struct model *table_model(void) {
  const struct shape s = {4, 1, 1};
  struct net n = net_open(s, 24, 8, 1);
  net_linear(&n, 0, s, net_dense, 1, 22, 8);
  net_add(&n, OP_TRUNCATE, 1, s, 12, 12)->shift = 10;
  net_lookup(&n, 2, s, 5, 6, 18, 16);
  return n.model;
}

static void program_validate__tables(void **state) {
  (void)state;
  struct model *m = table_model();
  struct program *p = &m->program;
  struct program_table *t = p->steps[3].table;
  assert_ok(program_validate(p, NULL));
  REFUSED(p, t->index_bits, 0);
  REFUSED(p, t->index_bits, PROGRAM_TABLE_INDEX_BITS + 1);
  REFUSED(p, t->low_bits, 1);
  REFUSED(p, t->low_bits, PROGRAM_TABLE_BITS - 4);
  REFUSED(p, t->low_bits, 0); /* slopes without low bits */
  REFUSED(p, p->steps[2].out.ring_bits, 10);
  REFUSED(p, t->base[31], INT64_C(1) << 17);
  REFUSED(p, t->slope[31], INT64_C(1) << 31);
  REFUSED(p, p->steps[3].table, NULL);
  p->steps[3].table = t;
  assert_ok(program_validate(p, NULL));
  model_free(m);
}

static void program_decode__tables_come_back(void **state) {
  (void)state;
  struct model *m = table_model();
  struct program back;
  struct writer w = {0}, again = {0};
  program_encode(&w, &m->program);
  struct reader r = reader_of(w.data, w.len);
  assert_ok(program_decode(&back, &r, NULL));
  assert_memory_equal(back.steps[3].table, m->program.steps[3].table, sizeof *back.steps[3].table);
  program_encode(&again, &back);
  assert_int_equal(again.len, w.len);
  assert_memory_equal(again.data, w.data, w.len);
  program_free(&back);
  writer_free(&w);
  writer_free(&again);
  model_free(m);
}

static void program_validate__gather_and_pools(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct model *m = random_model("concat", &seed, 8, 8);
  struct program *p = &m->program;
  struct program_step *gather = &p->steps[step_of(p, OP_GATHER)];
  REFUSED(p, gather->gather[3].input, 2);
  REFUSED(p, gather->gather[3].index, 1u << 20);
  REFUSED(p, gather->gather[3].input, GATHER_ZERO);
  REFUSED(p, gather->input_count, PROGRAM_INPUTS_MAX + 1);
  struct gather_source *map = gather->gather;
  REFUSED(p, gather->gather, NULL);
  assert_ptr_equal(gather->gather, map);
  struct program_step *pool = &p->steps[step_of(p, OP_MAXPOOL)];
  struct program_tensor *in = &p->steps[pool->inputs[0]].out;
  REFUSED(p, in->value_bits, in->ring_bits);
  REFUSED(p, pool->out.value_bits, in->value_bits - 1);
  REFUSED(p, pool->window.pad_top, 3);
  model_free(m);
}

static void program_set_section__replaces_and_keeps_order(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct model *a = random_model("mlp", &seed, 8, 8), *b;
  struct program *p = &a->program;
  struct writer w = encode(p);
  struct reader r = reader_of(w.data, w.len);
  b = mem_alloc(1, sizeof *b);
  assert_ok(program_decode(&b->program, &r, NULL));
  writer_free(&w);
  assert_null(program_find_section(p, "delphi"));
  assert_ok(program_set_section(p, "delphi", "longer than before", 18));
  assert_ok(program_set_section(p, "aby", NULL, 0));
  assert_ok(program_set_section(p, "delphi", "four", 4));
  assert_ok(program_set_section(&b->program, "delphi", "four", 4));
  assert_ok(program_set_section(&b->program, "aby", "", 0));
  assert_int_equal(p->section_count, 2);
  assert_int_equal(program_find_section(p, "delphi")->len, 4);
  assert_memory_equal(program_find_section(p, "delphi")->data, "four", 4);
  assert_ok(program_validate(p, NULL));
  struct writer x = encode(p), y = encode(&b->program);
  assert_int_equal(x.len, y.len);
  assert_memory_equal(x.data, y.data, x.len);
  r = reader_of(x.data, x.len);
  struct program copy;
  assert_ok(program_decode(&copy, &r, NULL));
  assert_true(reader_done(&r));
  assert_memory_equal(program_find_section(&copy, "delphi")->data, "four", 4);
  program_free(&copy);
  writer_free(&x);
  writer_free(&y);
  model_free(a);
  model_free(b);
}

static void program_set_section__is_bounded(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct model *m = random_model("mlp", &seed, 8, 8);
  struct program *p = &m->program;
  uint8_t *large = mem_alloc(PROGRAM_SECTION_MAX + 1, 1);
  const char *const names[] = {"", "Upper", "with space", "a-name-of-twenty-four-bytes", "dot."};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    assert_int_equal(program_set_section(p, names[i], "x", 1), FUSION_E_LIMIT);
  assert_int_equal(program_set_section(p, "large", large, PROGRAM_SECTION_MAX + 1), FUSION_E_LIMIT);
  assert_ok(program_set_section(p, "large", large, PROGRAM_SECTION_MAX));
  for (unsigned i = 1; i < PROGRAM_SECTIONS_MAX; i++) {
    char name[8];
    snprintf(name, sizeof name, "e%u", i);
    assert_ok(program_set_section(p, name, &i, sizeof i));
  }
  assert_int_equal(program_set_section(p, "another", "x", 1), FUSION_E_LIMIT);
  assert_ok(program_set_section(p, "e3", "x", 1));
  assert_ok(program_validate(p, NULL));
  mem_free(large);
  model_free(m);
}

static void program_validate__sections(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct model *m = random_model("mlp", &seed, 8, 8);
  struct program *p = &m->program;
  assert_ok(program_set_section(p, "aby", "abc", 3));
  assert_ok(program_set_section(p, "delphi", "de", 2));
  REFUSED(p, p->section_count, PROGRAM_SECTIONS_MAX + 1);
  REFUSED(p, p->sections[0].len, PROGRAM_SECTION_MAX + 1);
  REFUSED(p, p->sections[0].engine[0], '\0');
  REFUSED(p, p->sections[0].engine[0], 'B');
  REFUSED(p, p->sections[0].engine[0], 'z'); /* out of order */
  strcpy(p->sections[0].engine, "delphi");   /* twice */
  assert_int_equal(program_validate(p, NULL), FUSION_E_MODEL);
  memset(p->sections[0].engine, 'a', PROGRAM_ENGINE_LEN); /* no end */
  assert_int_equal(program_validate(p, NULL), FUSION_E_MODEL);
  model_free(m);
}

static void program_validate__labels(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct model *m = random_model("mlp", &seed, 8, 8);
  struct program *p = &m->program;
  const size_t classes = program_class_count(p);
  assert_ok(class_labels_open(&p->labels, classes, false));
  for (size_t i = 0; i < classes; i++) p->labels.numbers[i] = (int64_t)i;
  assert_int_equal(program_validate(p, NULL), FUSION_E_MODEL); /* as without */
  p->labels.numbers[0] = INT64_MIN;
  assert_ok(program_validate(p, NULL));
  REFUSED(p, p->labels.numbers[0], 1); /* twice */
  p->labels.count--;                   /* fewer than classes */
  assert_int_equal(program_validate(p, NULL), FUSION_E_MODEL);
  p->labels.count++;
  assert_int_equal(class_of_number(&p->labels, classes, INT64_MIN), 0);
  assert_int_equal(class_of_number(&p->labels, classes, 2), 2);
  assert_int_equal(class_of_number(&p->labels, classes, 0), -1);
  assert_int_equal(class_of_text(&p->labels, classes, "2"), 2);
  assert_int_equal(class_of_text(&p->labels, classes, "2 "), -1);
  assert_int_equal(class_number(&p->labels, 0), INT64_MIN);
  class_labels_free(&p->labels);
  static const char *const none[] = {"",         "a\nb", "\x7f", "\xc0\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80",
                                     "\xe2\x82", "\x80"};
  assert_ok(class_labels_open(&p->labels, classes, true));
  for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
    assert_int_equal(class_labels_set_text(&p->labels, 0, none[i], strlen(none[i])), FUSION_E_MODEL);
  char longest[CLASS_TEXT_LEN];
  memset(longest, 'x', sizeof longest);
  assert_int_equal(class_labels_set_text(&p->labels, 0, longest, CLASS_TEXT_LEN), FUSION_E_MODEL);
  assert_int_equal(program_validate(p, NULL), FUSION_E_MODEL); /* not all are there */
  assert_ok(class_labels_set_text(&p->labels, 0, longest, CLASS_TEXT_LEN - 1));
  for (uint32_t i = 1; i < classes; i++) {
    const char text[2] = {(char)('a' + i % 26), (char)('a' + i / 26)};
    assert_ok(class_labels_set_text(&p->labels, i, text, sizeof text));
  }
  assert_ok(program_validate(p, NULL));
  p->labels.texts[2][0] = p->labels.texts[1][0]; /* twice */
  p->labels.texts[2][1] = p->labels.texts[1][1];
  assert_int_equal(program_validate(p, NULL), FUSION_E_MODEL);
  struct class_labels other;
  assert_int_equal(class_labels_open(&other, 1, false), FUSION_E_LIMIT);
  assert_int_equal(class_labels_open(&other, CLASS_LABELS_MAX + 1, false), FUSION_E_LIMIT);
  model_free(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(program_encode__round_trip_is_canonical),
      cmocka_unit_test(program_validate__numbers_of_the_preprocessing_meet_no_denormal),
      cmocka_unit_test(program_validate__units_of_the_input_are_bounded),
      cmocka_unit_test(program_encode__shows_the_first_and_the_last_scale_alone),
      cmocka_unit_test(program_encode__other_weights_change_the_id_alone),
      cmocka_unit_test(model_id_set__names_and_sections_do_not_count),
      cmocka_unit_test(model_salt_take__wants_64_digits),
      cmocka_unit_test(program_decode__truncation_is_refused),
      cmocka_unit_test(program_decode__damage_is_refused_or_means_another_plan),
      cmocka_unit_test(program_validate__each_rule),
      cmocka_unit_test(program_validate__gather_and_pools),
      cmocka_unit_test(program_validate__tables),
      cmocka_unit_test(program_decode__tables_come_back),
      cmocka_unit_test(program_set_section__replaces_and_keeps_order),
      cmocka_unit_test(program_set_section__is_bounded),
      cmocka_unit_test(program_validate__sections),
      cmocka_unit_test(program_validate__labels),
  };
  return cmocka_run_group_tests_name("program", tests, NULL, NULL);
}
