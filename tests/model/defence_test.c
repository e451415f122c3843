/** Defences: what the layers behind a network make of its outputs, in float and compiled; the manifest's part. */
#include <math.h>

#include "execute/execute.h"
#include "model/model_support.h"

enum { INPUTS = 6, SAMPLES = 300, WIDTH_MOST = 7 };

static const struct defence reversed = {.kind = DEFENCE_REVERSE_SIGMOID, .beta = 0.7, .gamma = 0.2};
static const struct defence rounded = {.kind = DEFENCE_ROUND, .digits = 2};

/* A layer with outputs between about -6 and 6, and what the file may end in (GRAPH_LINEAR: nothing more). */
static struct graph *network(uint64_t *seed, uint32_t width, enum graph_op last) {
  struct graph *g = graph_alloc();
  float *weights = random_floats(seed, width * INPUTS, 4), *bias = random_floats(seed, width, 1);
  uint32_t x;
  assert_ok(graph_add_input(g, (struct shape){INPUTS, 1, 1}, &x));
  assert_ok(graph_add_dense(g, x, width, weights, bias, &x));
  if (last != GRAPH_LINEAR) assert_ok(graph_add_unary(g, last, x, NULL));
  mem_free(weights);
  mem_free(bias);
  return g;
}

static double logistic(double x) {
  return 1 / (1 + exp(-x));
}

/* log(p / (1 - p)), of classes with 1/64 more to 1 - p as graph_defence.c has it. */
static double odds(const float *z, size_t width, size_t k, bool classes) {
  double sum = 0, top = -INFINITY;
  if (!classes) return (double)z[k];
  if (width == 2) return (double)z[k] - (double)z[1 - k];
  for (size_t i = 0; i < width; i++) top = fmax(top, (double)z[i]);
  for (size_t i = 0; i < width; i++) sum += exp((double)z[i] - top);
  const double p = exp((double)z[k] - top) / sum;
  return (double)z[k] - top - log(sum) - log(1 + 1.0 / 64 - fmax(p, 1.0 / 16));
}

static double chance(const float *z, size_t width, size_t k, bool classes) {
  double sum = 0;
  if (!classes) return logistic((double)z[k]);
  for (size_t i = 0; i < width; i++) sum += exp((double)z[i] - (double)z[k]);
  return 1 / sum;
}

static double wanted(const struct defence *d, const float *z, size_t width, size_t k, bool classes) {
  if (d->kind == DEFENCE_ROUND) return rint(chance(z, width, k, classes) * 100) / 100;
  const double u = fmin(fmax(odds(z, width, k, classes), -8), 7.9375);
  return logistic(u) - d->beta * (logistic(d->gamma * u) - 0.5);
}

/* Every width, every end: float answers are the formula's, compiled ones near them. */
static void check(uint64_t *seed, const struct defence *d, uint32_t width, enum graph_op last, double slack) {
  struct graph *g = network(seed, width, last);
  float *x = random_floats(seed, SAMPLES * INPUTS, 1), z[SAMPLES * WIDTH_MOST], y[SAMPLES * WIDTH_MOST];
  int64_t in[SAMPLES * INPUTS], out[SAMPLES * WIDTH_MOST];
  double real[SAMPLES * WIDTH_MOST];
  struct quantise_report report;
  struct model *m = NULL;
  bool classes;
  uint32_t outputs;
  fusion_error err = {.status = FUSION_OK};
  struct graph bare = *g;
  bare.count = 2;
  assert_ok(graph_run(&bare, x, SAMPLES, z, NULL, NULL));
  if (graph_defend(g, d, &outputs, &classes, &err) != FUSION_OK) fail_msg("%s", err.text);
  assert_int_equal(outputs, 1);
  assert_int_equal(classes, width > 1 && last != GRAPH_SIGMOID);
  assert_ok(graph_validate(g, NULL));
  assert_ok(graph_run(g, x, SAMPLES, y, NULL, NULL));
  struct quantise_options options = quantise_defaults();
  options.weight_bits = 12;
  options.activation_bits = 15;
  options.defence = *d;
  options.defended = outputs;
  options.classes = classes;
  graph_refine_rounding(g, d, defence_finer(d));
  assert_ok(graph_relax_limits(g, x, SAMPLES));
  if (quantise_graph(&m, g, x, SAMPLES, &options, &report, &err) != FUSION_OK) fail_msg("%s", err.text);
  assert_ok(program_quantise_input(&m->program, x, SAMPLES, in, NULL));
  assert_ok(program_execute(m, in, SAMPLES, out, &(struct execute_options){.threads = 1}));
  program_dequantise(&m->program, out, SAMPLES * width, real);
  for (size_t i = 0; i < SAMPLES * width; i++) {
    const double want = wanted(d, z + i / width * width, width, i % width, classes);
    /* Where a value lies between two steps, either is right. */
    const double tie = d->kind == DEFENCE_ROUND ? 0.0101 : 1e-5;
    if (fabs((double)y[i] + 0.5 - want) > tie) fail_msg("float %zu: %g, expected %g", i, (double)y[i] + 0.5, want);
    if (fabs(real[i] - want) > slack) fail_msg("width %u, %zu: %g, expected %g", width, i, real[i], want);
  }
  mem_free(report.steps);
  mem_free(x);
  model_free(m);
  graph_free(g);
}

static void graph_defend__answers_are_the_formula_and_compiled_ones_near_it(void **state) {
  (void)state;
  static const enum graph_op ends[] = {GRAPH_LINEAR, GRAPH_SOFTMAX, GRAPH_SIGMOID, GRAPH_ARGMAX};
  static const uint32_t widths[] = {1, 2, 3, 7};
  uint64_t seed = test_seed();
  for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++)
    for (size_t e = 0; e < sizeof ends / sizeof ends[0]; e++) {
      if (widths[w] == 1 && (ends[e] == GRAPH_SOFTMAX || ends[e] == GRAPH_ARGMAX)) continue;
      check(&seed, &reversed, widths[w], ends[e], 0.03);
      check(&seed, &rounded, widths[w], ends[e], 0.021);
    }
}

static void defence_check__labels_must_stay(void **state) {
  (void)state;
  static const struct {
    struct defence d;
    bool good;
  } cases[] = {
      {{.kind = DEFENCE_REVERSE_SIGMOID, .beta = 0.7, .gamma = 0.2}, true},
      {{.kind = DEFENCE_REVERSE_SIGMOID, .beta = 1, .gamma = 1}, false},
      {{.kind = DEFENCE_REVERSE_SIGMOID, .beta = 0.9, .gamma = 2}, false},
      {{.kind = DEFENCE_REVERSE_SIGMOID, .beta = 0.3, .gamma = 3}, true},
      {{.kind = DEFENCE_REVERSE_SIGMOID, .beta = 0, .gamma = 1}, false},
      {{.kind = DEFENCE_REVERSE_SIGMOID, .beta = (double)NAN, .gamma = 1}, false},
      {{.kind = DEFENCE_REVERSE_SIGMOID, .beta = 0.5, .gamma = (double)NAN}, false},
      {{.kind = DEFENCE_ROUND, .digits = 0}, false},
      {{.kind = DEFENCE_ROUND, .digits = 3}, true},
      {{.kind = DEFENCE_ROUND, .digits = 4}, false},
      {{.kind = DEFENCE_COUNT}, false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const struct defence *d = &cases[i].d;
    assert_int_equal(!defence_check(d), cases[i].good);
    if (!cases[i].good || d->kind != DEFENCE_REVERSE_SIGMOID) continue;
    for (double u = 1e-3; u <= 8; u *= 1.1)
      assert_true(logistic(u) - 0.5 - d->beta * (logistic(d->gamma * u) - 0.5) > 0);
  }
}

static void graph_defend__outputs_that_are_no_row_are_refused(void **state) {
  (void)state;
  struct graph *g = graph_alloc();
  fusion_error err = {.status = FUSION_OK};
  uint32_t outputs;
  bool classes;
  assert_ok(graph_add_input(g, (struct shape){2, 3, 3}, NULL));
  assert_int_equal(graph_defend(g, &reversed, &outputs, &classes, &err), FUSION_E_UNSUPPORTED);
  assert_non_null(strstr(err.text, "2x3x3"));
  graph_free(g);
}

/* Of a network with a label's flags: nothing but a flag and the defence's numbers is added. */
static void program_encode__a_defence_is_a_flag_and_its_numbers(void **state) {
  (void)state;
  enum { FLAGS = 1 + MODEL_ID_LEN + 1 + 4 + 1, HAS_DEFENCE = 8 };
  static const uint8_t golden[] = {1,    0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0xe6, 0x3f,
                                   0x9a, 0x99, 0x99, 0x99, 0x99, 0x99, 0xc9, 0x3f};
  uint64_t seed = test_seed();
  struct model *m = random_model("mlp", &seed, 8, 8);
  struct writer plain = {0}, with = {0};
  struct program back;
  assert_true(m->program.softmax);
  program_encode(&plain, &m->program);
  m->program.defence = reversed;
  program_encode(&with, &m->program);
  assert_int_equal(with.len, plain.len + sizeof golden);
  assert_memory_equal(with.data, plain.data, FLAGS);
  assert_int_equal(with.data[FLAGS], plain.data[FLAGS] | HAS_DEFENCE);
  assert_memory_equal(with.data + FLAGS + 1, golden, sizeof golden);
  struct reader r = reader_of(with.data, with.len);
  assert_ok(program_decode(&back, &r, NULL));
  assert_true(back.defence.kind == reversed.kind && back.softmax);
  assert_memory_equal(&back.defence.beta, &reversed.beta, sizeof reversed.beta);
  program_free(&back);
  with.data[FLAGS + 1] = DEFENCE_COUNT;
  r = reader_of(with.data, with.len);
  assert_int_equal(program_decode(&back, &r, NULL), FUSION_E_MODEL);
  with.data[FLAGS + 1] = DEFENCE_REVERSE_SIGMOID;
  with.data[FLAGS + 2 + 7] = 0x40; /* beta above 1 */
  r = reader_of(with.data, with.len);
  assert_int_equal(program_decode(&back, &r, NULL), FUSION_E_MODEL);
  writer_free(&plain);
  writer_free(&with);
  model_free(m);
}

static void program_validate__a_defence_fits_its_answers(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct model *m = random_model("mlp", &seed, 8, 8);
  struct program *p = &m->program;
  p->defence = reversed;
  assert_ok(program_validate(p, NULL));
  p->softmax = false;
  assert_int_equal(program_validate(p, NULL), FUSION_E_MODEL);
  p->softmax = p->log_softmax = true;
  assert_int_equal(program_validate(p, NULL), FUSION_E_MODEL);
  p->log_softmax = false;
  p->defence = rounded; /* its unit is not 0.01 */
  assert_int_equal(program_validate(p, NULL), FUSION_E_MODEL);
  p->steps[p->count - 1].out.scale = 0.01;
  assert_ok(program_validate(p, NULL));
  model_free(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(graph_defend__answers_are_the_formula_and_compiled_ones_near_it),
      cmocka_unit_test(defence_check__labels_must_stay),
      cmocka_unit_test(graph_defend__outputs_that_are_no_row_are_refused),
      cmocka_unit_test(program_encode__a_defence_is_a_flag_and_its_numbers),
      cmocka_unit_test(program_validate__a_defence_fits_its_answers),
  };
  return cmocka_run_group_tests_name("defence", tests, NULL, NULL);
}
