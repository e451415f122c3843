/** Fixed point against the float network, on networks that use every step. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "compile/quantise_internal.h"
#include "execute/execute.h"
#include "model/model_support.h"
#include "onnx/onnx.h"

enum { SAMPLES = 40, CALIBRATION = 50 };

/** Between -1 and 1, or between 0.1 and 1.1. */
static float *inputs(uint64_t *state, size_t count, bool positive) {
  float *x = random_floats(state, count, 1);
  for (size_t i = 0; positive && i < count; i++) x[i] = fabsf(x[i]) + 0.1f;
  return x;
}

/* Comparisons of the files here are with halves: a value as near to one as it is rounded may go either way. */
static void avoid_halves(const struct graph *g, float *x, size_t count) {
  bool compares = false;
  for (uint32_t i = 0; i < g->count; i++) compares = compares || g->nodes[i].op == GRAPH_COMPARE;
  for (size_t i = 0; compares && i < count; i++) x[i] = (floorf(64 * x[i]) + 0.5F) / 64;
}

/** Largest error of any logit, relative to the largest logit. */
static double worst_error(const struct graph *g, const struct model *m, uint64_t *state, bool positive) {
  const size_t in = shape_size(g->nodes[0].shape);
  const enum graph_op end = g->nodes[g->count - 1].op;
  const bool final = end == GRAPH_SOFTMAX || end == GRAPH_ARGMAX || end == GRAPH_SIGMOID;
  const uint32_t logits = final ? g->nodes[g->count - 1].inputs[0] : g->count - 1;
  const size_t out = shape_size(g->nodes[logits].shape);
  float *x = inputs(state, SAMPLES * in, positive);
  avoid_halves(g, x, SAMPLES * in);
  int64_t *fixed_in = mem_alloc(SAMPLES * in, sizeof *fixed_in), *fixed = mem_alloc(SAMPLES * out, sizeof *fixed);
  double *real = mem_alloc(SAMPLES * out, sizeof *real);
  struct calibration c;
  assert_ok(calibrate(&c, g, logits, logits, x, SAMPLES));
  assert_ok(program_quantise_input(&m->program, x, SAMPLES, fixed_in, NULL));
  assert_ok(program_execute(m, fixed_in, SAMPLES, fixed, NULL));
  program_dequantise(&m->program, fixed, SAMPLES * out, real);
  double worst = 0, top = 0;
  for (size_t i = 0; i < SAMPLES * out; i++) {
    worst = fmax(worst, fabs(real[i] - (double)c.logits[i]));
    top = fmax(top, fabs((double)c.logits[i]));
  }
  calibration_free(&c);
  mem_free(x);
  mem_free(fixed_in);
  mem_free(fixed);
  mem_free(real);
  return worst / top;
}

struct fixed_widths {
  unsigned weight, activation;
  double tolerance;
  bool positive; /* inputs above 0 */
};

static void check_graph(const char *name, const struct graph *g, uint64_t *state, const struct fixed_widths *w) {
  const size_t in = shape_size(g->nodes[0].shape);
  float *x = inputs(state, CALIBRATION * in, w->positive);
  struct quantise_options options = quantise_defaults();
  struct quantise_report report;
  struct model *m = NULL;
  fusion_error err = {.status = FUSION_OK};
  options.weight_bits = w->weight;
  options.activation_bits = w->activation;
  options.input_bits = w->activation;
  options.output_bits = 20;
  if (quantise_graph(&m, g, x, CALIBRATION, &options, &report, &err) != FUSION_OK) fail_msg("%s: %s", name, err.text);
  mem_free(report.steps);
  assert_ok(program_validate(&m->program, &err));
  m->program.output = OUTPUT_LOGITS;
  const double error = worst_error(g, m, state, w->positive);
  if (!(error <= w->tolerance))
    fail_msg("%s with %u,%u bits: error %g of the largest logit, expected at most %g", name, w->weight, w->activation,
             error, w->tolerance);
  model_free(m);
  mem_free(x);
}

/** The bounds below are of typical errors of random networks, about one network in a hundred passes them: so the
 * networks are the same at every run, unless FUSION_TEST_SEED asks for others. */
static uint64_t network_seed(void) {
  return getenv("FUSION_TEST_SEED") ? test_seed() : 1;
}

static void quantise_graph__stays_near_the_float_network(void **state) {
  (void)state;
  static const struct fixed_widths widths[] = {{8, 8, 0.15, false}, {12, 12, 0.02, false}, {15, 14, 0.005, false}};
  uint64_t seed = network_seed();
  for (size_t k = 0; network_kinds[k]; k++) {
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
      struct graph *g = random_network(network_kinds[k], &seed);
      check_graph(network_kinds[k], g, &seed, &widths[w]);
      graph_free(g);
    }
  }
}

/** Logarithms and the like; rows that may be nearly 0, where samples go far beyond those of calibration. */
static bool needs_positive(const char *file) {
  static const char *const names[] = {"log.onnx",       "sqrt.onnx",      "reciprocal.onnx",    "pow_fraction.onnx",
                                      "lp_norm_1.onnx", "lp_norm_2.onnx", "reduce_log_sum.onnx"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (!strcmp(file, names[i])) return true;
  return false;
}

/** Every small ONNX file of the importer's tests that imports, in fixed point too. */
static void quantise_graph__every_operator(void **state) {
  (void)state;
  static const struct fixed_widths widths = {15, 14, 0.01, false};
  /* One set of samples in sixty has a row much flatter than all of the calibration, where a norm's table ends. */
  uint64_t seed = network_seed();
  char folder[4096], path[8192];
  snprintf(folder, sizeof folder, "%s/tests/model/data", getenv("FUSION_SOURCE") ? getenv("FUSION_SOURCE") : "..");
  DIR *dir = opendir(folder);
  if (!dir) fail_msg("no %s (set FUSION_SOURCE)", folder);
  size_t done = 0;
  for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
    const char *dot = strrchr(e->d_name, '.');
    struct graph *g = NULL;
    if (!dot || strcmp(dot, ".onnx") != 0) continue;
    snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
    if (graph_from_onnx(&g, path, NULL) != FUSION_OK) continue;
    struct fixed_widths fitting = widths;
    fitting.positive = needs_positive(e->d_name);
    check_graph(e->d_name, g, &seed, &fitting);
    graph_free(g);
    done++;
  }
  closedir(dir);
  assert_true(done > 20);
}

static uint64_t ring_bits_of(const struct model *m) {
  uint64_t bits = 0;
  for (uint32_t i = 0; i < m->program.count; i++)
    bits += (uint64_t)m->program.steps[i].out.ring_bits * shape_size(m->program.steps[i].out.shape);
  return bits;
}

static struct model *compiled(const struct graph *g, const float *x, const struct quantise_options *options,
                              struct quantise_report *report) {
  struct model *m = NULL;
  fusion_error err = {.status = FUSION_OK};
  if (quantise_graph(&m, g, x, CALIBRATION, options, report, &err) != FUSION_OK) fail_msg("%s", err.text);
  return m;
}

/** Two logits a sample, the first ahead by `leads`; the fixed ones are off by `error`, in opposite directions. */
static struct likeness judge_leads(const float *leads, size_t samples, int64_t error) {
  enum { MOST = 64, UNITS = 1000 };
  float real[2 * MOST];
  int64_t fixed[2 * MOST];
  assert_true(samples <= MOST);
  for (size_t s = 0; s < samples; s++) {
    real[2 * s] = leads[s];
    real[2 * s + 1] = 0;
    fixed[2 * s] = (int64_t)(leads[s] * UNITS) + (s % 2 ? error : -error);
    fixed[2 * s + 1] = s % 2 ? -error : error;
  }
  const struct calibration c = {.logits = real, .samples = samples, .logit_count = 2};
  return judge_logits(&c, fixed, 1.0 / UNITS, NULL);
}

/** Samples without near-ties show no loss, and the bound does not take it for none. */
static void judge_logits__sure_samples_prove_little(void **state) {
  (void)state;
  float leads[64];
  for (size_t s = 0; s < 64; s++) leads[s] = 20;
  const struct likeness exact = judge_leads(leads, 64, 0), coarse = judge_leads(leads, 64, 500),
                        coarser = judge_leads(leads, 64, 1000);
  assert_true(exact.loss == 0 && exact.loss_bound == 0);
  assert_true(coarse.loss < 1e-9 && coarse.agreeing == 64);
  /* A quarter of the error's share of 1,000 samples, each right or wrong at random: 1.645 deviations. */
  assert_true(fabs(coarse.loss_bound - 1.645 * sqrt(0.25 * coarse.error / 1000)) < 1e-6);
  assert_true(coarser.loss_bound > coarse.loss_bound);
  const struct likeness few = judge_leads(leads, 4, 500);
  assert_true(fabs(few.loss_bound - coarse.loss_bound) < 1e-6);
}

/** Near-ties that are seen count, and more of them or fewer samples raise the bound above the expectation. */
static void judge_logits__near_ties_and_few_samples_raise_the_bound(void **state) {
  (void)state;
  float leads[64];
  for (size_t s = 0; s < 64; s++) leads[s] = s % 8 ? 20 : 1;
  const struct likeness few = judge_leads(leads, 16, 500), many = judge_leads(leads, 64, 500);
  assert_true(many.loss > 0 && many.loss_bound > many.loss);
  assert_true(fabs(few.loss - many.loss) < 1e-9);
  assert_true(few.loss_bound > many.loss_bound);
  for (size_t s = 0; s < 64; s++) leads[s] = s % 4 ? 20 : 1;
  assert_true(judge_leads(leads, 64, 500).loss_bound > many.loss_bound);
}

/** What is shown of other samples is no surer than the calibrating ones, nor than what errors of that size do. */
static void likeness_foresee__is_no_surer_than_the_samples(void **state) {
  (void)state;
  double expected, deviation;
  const struct likeness sure = {.agreement = 1, .expected = 1, .error = 0.04};
  likeness_foresee(&sure, 400, &expected, &deviation);
  assert_true(fabs(expected - 0.995) < 1e-9);
  assert_true(deviation > 0.005 && deviation < 0.01);
  const struct likeness seen = {.agreement = 0.97, .expected = 0.999, .error = 0.01};
  likeness_foresee(&seen, 100, &expected, &deviation);
  assert_true(fabs(expected - 0.97) < 1e-9);
  assert_true(deviation > 0.017 && deviation < 0.03);
  const struct likeness exact = {.agreement = 1, .expected = 1};
  likeness_foresee(&exact, 50, &expected, &deviation);
  assert_true(fabs(expected - 1) < 1e-9);
  assert_true(fabs(deviation - 0.02) < 1e-9);
}

/** What the search finds keeps the limits, is narrower than uniform widths that are surely enough, and names causes. */
static void quantise_graph__searches_each_layer(void **state) {
  (void)state;
  static const char *const kinds[] = {"mlp", "conv", "residual", "concat"};
  uint64_t seed = network_seed();
  for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
    struct graph *g = random_network(kinds[k], &seed);
    float *x = random_floats(&seed, CALIBRATION * shape_size(g->nodes[0].shape), 1);
    struct quantise_options options = quantise_defaults();
    struct quantise_report found, uniform;
    struct model *m = compiled(g, x, &options, &found);
    options.weight_bits = options.activation_bits = 12;
    struct model *wide = compiled(g, x, &options, &uniform);
    double causes = 0;
    for (uint32_t i = 0; i < m->program.count; i++) causes += found.steps[i].value_error + found.steps[i].weight_error;
    if (!found.enough || found.expected < options.agreement || found.loss_bound > options.accuracy_loss ||
        found.logit_error > options.logit_error || found.overflow > options.overflow)
      fail_msg("%s: agreement %g, loss %g, error %g, overflow %g", kinds[k], found.expected, found.loss_bound,
               found.logit_error, found.overflow);
    if (ring_bits_of(m) >= ring_bits_of(wide))
      fail_msg("%s: %llu ring bits, no fewer than %llu of 12-bit widths", kinds[k], (unsigned long long)ring_bits_of(m),
               (unsigned long long)ring_bits_of(wide));
    /* The estimate of the error, from its causes, is near the error that was measured. */
    if (sqrt(causes) < found.logit_error / 3 || sqrt(causes) > found.logit_error * 3)
      fail_msg("%s: causes add up to %g, measured %g", kinds[k], sqrt(causes), found.logit_error);
    mem_free(found.steps);
    mem_free(uniform.steps);
    model_free(m);
    model_free(wide);
    mem_free(x);
    graph_free(g);
  }
}

/** Fine widths leave no step far from the float network's values, whatever equalisation did; the last step's error is
 * that of the logits; and with coarse widths errors are reported for as many steps. */
static void check_step_errors(const char *name, const struct graph *g, const float *x, bool equalise) {
  enum { ALL_SEEN = 16 };
  static const unsigned widths[] = {15, 7};
  size_t told[2] = {0, 0};
  struct quantise_options options = quantise_defaults();
  options.step_errors = true;
  options.equalise = equalise;
  for (unsigned w = 0; w < 2; w++) {
    struct quantise_report report;
    struct model *m = NULL;
    fusion_error err = {.status = FUSION_OK};
    options.weight_bits = options.activation_bits = widths[w];
    if (quantise_graph(&m, g, x, ALL_SEEN, &options, &report, &err) != FUSION_OK) fail_msg("%s: %s", name, err.text);
    for (uint32_t i = 0; i < m->program.count; i++) {
      told[w] += report.steps[i].error > 0;
      if (w == 0 && report.steps[i].error > 0.01)
        fail_msg("%s: step %u (%s): error %g with 15 bits", name, i, m->program.steps[i].name, report.steps[i].error);
    }
    const double last = report.steps[m->program.count - 1].error;
    if (fabs(last - report.logit_error) > 1e-9 + 1e-6 * last)
      fail_msg("%s with %u bits: last step's error %g, logits' %g", name, widths[w], last, report.logit_error);
    mem_free(report.steps);
    model_free(m);
  }
  assert_true(told[0] >= 3);
  assert_int_equal(told[0], told[1]);
}

static void quantise_graph__reports_each_steps_error(void **state) {
  (void)state;
  uint64_t seed = network_seed();
  for (size_t k = 0; network_kinds[k]; k++) {
    struct graph *g = random_network(network_kinds[k], &seed);
    float *x = random_floats(&seed, CALIBRATION * shape_size(g->nodes[0].shape), 1);
    check_step_errors(network_kinds[k], g, x, true);
    check_step_errors(network_kinds[k], g, x, false);
    mem_free(x);
    graph_free(g);
  }
}

static void quantise_graph__never_errs_more_by_equalising(void **state) {
  (void)state;
  uint64_t seed = network_seed();
  size_t better = 0;
  for (size_t k = 0; network_kinds[k]; k++) {
    struct graph *g = random_network(network_kinds[k], &seed);
    float *x = random_floats(&seed, CALIBRATION * shape_size(g->nodes[0].shape), 1);
    struct quantise_options options = quantise_defaults();
    struct quantise_report with, without;
    options.weight_bits = options.activation_bits = 8;
    struct model *m = compiled(g, x, &options, &with);
    options.equalise = false;
    struct model *plain = compiled(g, x, &options, &without);
    if (with.logit_error > without.logit_error)
      fail_msg("%s: error %g with equalisation, %g without", network_kinds[k], with.logit_error, without.logit_error);
    better += with.logit_error < without.logit_error;
    mem_free(with.steps);
    mem_free(without.steps);
    model_free(m);
    model_free(plain);
    mem_free(x);
    graph_free(g);
  }
  assert_true(better > 0);
}

/** Maxima of light-tailed values: few pass the bound, and the estimate of how many is no smaller than it was. */
static void extremes_bound__holds_for_new_samples(void **state) {
  (void)state;
  enum { SEEN = 40, NEW = 100000, EACH = 50 };
  static const double allowed = 1e-4;
  uint64_t seed = test_seed();
  struct step_extremes x;
  struct step_bound bound;
  assert_ok(extremes_open(&x, 1, SEEN));
  size_t passed = 0;
  for (size_t s = 0; s < SEEN + NEW; s++) {
    int64_t values[EACH];
    for (size_t i = 0; i < EACH; i++) {
      /* Sums of uniform values: nearly normal. */
      double v = 0;
      for (int k = 0; k < 8; k++) v += (double)random_unit(&seed);
      values[i] = (int64_t)(1000 * v);
    }
    if (s < SEEN) extremes_take(&x, 0, s, values, EACH, 0.001);
    if (s + 1 == SEEN) extremes_bound(&bound, &x, allowed, 2);
    for (size_t i = 0; s >= SEEN && i < EACH; i++) passed += fabs((double)values[i]) * 0.001 > bound.magnitude;
  }
  if ((double)passed > 2 * NEW * allowed) fail_msg("%zu of %d samples pass a bound for %g", passed, (int)NEW, allowed);
  assert_true(fabs(bound_overflow(&bound, bound.magnitude) / allowed - 1) < 0.01);
  assert_true(bound_overflow(&bound, 2 * bound.magnitude) < allowed / 100);
  extremes_close(&x);
}

/* A dense, a Relu and a dense layer with biases; the weights of those in `dead` are times `weight`. */
static struct graph *dead_network(const bool dead[2], float weight) {
  static const float bias[3] = {1, -2, 3};
  struct graph *g = graph_alloc();
  uint32_t x;
  float w[24];
  assert_non_null(g);
  for (int i = 0; i < 24; i++) w[i] = (float)(i % 5 - 2) * (dead[0] ? weight : 1);
  assert_ok(graph_add_input(g, (struct shape){8, 1, 1}, &x));
  assert_ok(graph_add_dense(g, x, 3, w, bias, &x));
  assert_ok(graph_add_unary(g, GRAPH_RELU, x, &x));
  for (int i = 0; i < 9; i++) w[i] = (float)(i % 5 - 2) * (dead[1] ? weight : 1);
  assert_ok(graph_add_dense(g, x, 3, w, bias, &x));
  return g;
}

static void quantise_graph__a_layer_of_zero_weights_gives_its_biases(void **state) {
  (void)state;
  static const bool dead[3][2] = {{true, false}, {false, true}, {true, true}};
  static const float weights[2] = {0, 1e-12F};
  enum { WIDEST = 40 };
  for (int i = 0; i < 12; i++) {
    uint64_t seed = test_seed();
    struct graph *g = dead_network(dead[i % 3], weights[i / 3 % 2]);
    float *x = random_floats(&seed, CALIBRATION * 8, 1);
    struct quantise_options options = quantise_defaults();
    struct quantise_report report;
    struct model *m = NULL;
    fusion_error err = {.status = FUSION_OK};
    if (i >= 6) options.weight_bits = 8;
    if (i >= 6) options.activation_bits = 12;
    if (quantise_graph(&m, g, x, CALIBRATION, &options, &report, &err) != FUSION_OK)
      fail_msg("case %d: %s", i, err.text);
    for (uint32_t k = 0; k < m->program.count; k++) assert_in_range(m->program.steps[k].out.ring_bits, 2, WIDEST);
    m->program.output = OUTPUT_LOGITS;
    const double error = worst_error(g, m, &seed, false);
    if (!(error <= 0.05)) fail_msg("case %d: error %g of the largest logit", i, error);
    mem_free(report.steps);
    mem_free(x);
    model_free(m);
    graph_free(g);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(quantise_graph__stays_near_the_float_network),
                                     cmocka_unit_test(quantise_graph__every_operator),
                                     cmocka_unit_test(likeness_foresee__is_no_surer_than_the_samples),
                                     cmocka_unit_test(quantise_graph__searches_each_layer),
                                     cmocka_unit_test(quantise_graph__reports_each_steps_error),
                                     cmocka_unit_test(quantise_graph__a_layer_of_zero_weights_gives_its_biases),
                                     cmocka_unit_test(quantise_graph__never_errs_more_by_equalising),
                                     cmocka_unit_test(judge_logits__sure_samples_prove_little),
                                     cmocka_unit_test(judge_logits__near_ties_and_few_samples_raise_the_bound),
                                     cmocka_unit_test(extremes_bound__holds_for_new_samples)};
  return cmocka_run_group_tests_name("quantise", tests, NULL, NULL);
}
