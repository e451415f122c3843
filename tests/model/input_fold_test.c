/** Inputs whose features range very differently: units of their own, by which a client quantises and which the first
 * layers undo. */
#include <math.h>

#include "compile/quantise_internal.h"
#include "execute/execute.h"
#include "model/model_support.h"

enum { FEATURES = 8, HIDDEN = 12, CLASSES = 3, ROWS = 200, HELD_OUT = 400 };

/* What a feature is in a table: its mean and deviation. */
struct feature {
  double mean, deviation;
};

/* 1e-3 to 1e4, every second one far from 0. */
static struct feature feature_of(size_t k) {
  const double deviation = pow(10, (double)k - 3);
  return (struct feature){k % 2 ? 20 * deviation : 0, deviation};
}

/** Rows of raw features; freed by mem_free. */
static float *raw_rows(uint64_t *seed, size_t rows) {
  float *x = random_floats(seed, rows * FEATURES, 1);
  for (size_t i = 0; i < rows * FEATURES; i++) {
    const struct feature f = feature_of(i % FEATURES);
    x[i] = (float)(f.mean + f.deviation * (double)x[i] * sqrt(3));
  }
  return x;
}

/** Adds (x - mean) / deviation, as a scaler in the file. */
static uint32_t add_scaler(struct graph *g, uint32_t input) {
  float scale[FEATURES], bias[FEATURES];
  uint32_t at;
  for (size_t k = 0; k < FEATURES; k++) {
    const struct feature f = feature_of(k);
    scale[k] = (float)(1 / f.deviation);
    bias[k] = (float)(-f.mean / f.deviation);
  }
  assert_ok(graph_add_affine(g, input, scale, bias, &at));
  return at;
}

static uint32_t add_dense(struct graph *g, uint64_t *seed, uint32_t input, uint32_t out) {
  const size_t in = shape_size(g->nodes[input].shape);
  float *w = random_floats(seed, in * out, 1), *b = random_floats(seed, out, 1);
  uint32_t at;
  assert_ok(graph_add_dense(g, input, out, w, b, &at));
  mem_free(w);
  mem_free(b);
  return at;
}

static uint32_t add_relu(struct graph *g, uint32_t input) {
  uint32_t at;
  assert_ok(graph_add_unary(g, GRAPH_RELU, input, &at));
  return at;
}

/** A scaler and a perceptron. `shape` of the input: FEATURES elements; reshaped where they are not all channels. */
static struct graph *scaled_perceptron(uint64_t *seed, struct shape shape) {
  struct graph *g = graph_alloc();
  uint32_t at;
  assert_ok(graph_add_input(g, shape, &at));
  if (shape.channels != FEATURES) assert_ok(graph_add_reshape(g, at, (struct shape){FEATURES, 1, 1}, &at));
  at = add_scaler(g, at);
  at = add_relu(g, add_dense(g, seed, at, HIDDEN));
  at = add_dense(g, seed, at, CLASSES);
  assert_ok(graph_simplify(g, at));
  return g;
}

static struct model *compiled(const struct graph *g, const float *x, const struct quantise_options *options,
                              struct quantise_report *report) {
  struct model *m = NULL;
  fusion_error err = {.status = FUSION_OK};
  if (quantise_graph(&m, g, x, ROWS, options, report, &err) != FUSION_OK) fail_msg("%s", err.text);
  mem_free(report->steps);
  return m;
}

static size_t best_of(const double *v) {
  size_t best = 0;
  for (size_t k = 1; k < CLASSES; k++)
    if (v[k] > v[best]) best = k;
  return best;
}

/** Share of new rows that keep the float network's label. */
static double agreement(const struct graph *g, const struct model *m, uint64_t *seed) {
  float *x = raw_rows(seed, HELD_OUT), *real = mem_alloc(HELD_OUT * CLASSES, sizeof *real);
  int64_t *in = mem_alloc(HELD_OUT * FEATURES, sizeof *in), *out = mem_alloc(HELD_OUT * CLASSES, sizeof *out);
  size_t same = 0;
  assert_ok(graph_run(g, x, HELD_OUT, real, NULL, NULL));
  assert_ok(program_quantise_input(&m->program, x, HELD_OUT, in, NULL));
  assert_ok(program_execute(m, in, HELD_OUT, out, NULL));
  for (size_t r = 0; r < HELD_OUT; r++) {
    double wanted[CLASSES], got[CLASSES];
    for (size_t k = 0; k < CLASSES; k++) wanted[k] = (double)real[r * CLASSES + k];
    program_dequantise(&m->program, out + r * CLASSES, CLASSES, got);
    same += best_of(wanted) == best_of(got);
  }
  mem_free(x);
  mem_free(real);
  mem_free(in);
  mem_free(out);
  return (double)same / HELD_OUT;
}

static void check_perceptron(struct shape shape) {
  uint64_t seed = test_seed();
  struct graph *g = scaled_perceptron(&seed, shape);
  float *x = raw_rows(&seed, ROWS);
  struct quantise_options options = quantise_defaults();
  struct quantise_report report;
  struct model *m = compiled(g, x, &options, &report);
  assert_true(report.enough);
  assert_int_equal(m->program.input_units.count, FEATURES);
  assert_ok(program_validate(&m->program, NULL));
  const double same = agreement(g, m, &seed);
  if (same < 0.97)
    fail_msg("%g of new rows keep their label, error %g, overflow %g", same, report.logit_error, report.overflow);
  /* The shown agreement is not far surer than what new rows get. */
  if (same < report.expected - 4 * report.expected_error)
    fail_msg("%g of new rows keep their label, %g +- %g expected", same, report.expected, report.expected_error);
  model_free(m);
  mem_free(x);
  graph_free(g);
}

static void quantise_graph__features_of_other_ranges_get_own_units(void **state) {
  (void)state;
  check_perceptron((struct shape){FEATURES, 1, 1});
}

static void quantise_graph__units_reach_through_a_reshape(void **state) {
  (void)state;
  check_perceptron((struct shape){2, 2, 2});
}

static void quantise_graph__given_widths_use_units_too(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct graph *g = scaled_perceptron(&seed, (struct shape){FEATURES, 1, 1});
  float *x = raw_rows(&seed, ROWS);
  struct quantise_options options = quantise_defaults();
  struct quantise_report report;
  options.weight_bits = options.activation_bits = 10;
  struct model *m = compiled(g, x, &options, &report);
  assert_int_equal(m->program.input_units.count, FEATURES);
  assert_true(agreement(g, m, &seed) > 0.97);
  model_free(m);
  mem_free(x);
  graph_free(g);
}

static void quantise_graph__one_scale_is_not_enough_and_says_so(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct graph *g = scaled_perceptron(&seed, (struct shape){FEATURES, 1, 1});
  float *x = raw_rows(&seed, ROWS);
  struct quantise_options options = quantise_defaults();
  struct quantise_report report;
  options.single_input_scale = true;
  struct model *m = compiled(g, x, &options, &report);
  assert_int_equal(m->program.input_units.count, 0);
  assert_false(report.enough);
  assert_true(report.worst > 0 && report.worst < m->program.count);
  model_free(m);
  mem_free(x);
  graph_free(g);
}

static void quantise_graph__alike_features_keep_one_scale(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct graph *g = random_network("mlp", &seed);
  float *x = random_floats(&seed, ROWS * shape_size(g->nodes[0].shape), 1);
  struct quantise_options options = quantise_defaults();
  struct quantise_report report;
  for (unsigned bits = 0; bits <= 8; bits += 8) {
    options.weight_bits = options.activation_bits = bits;
    struct model *m = compiled(g, x, &options, &report);
    assert_int_equal(m->program.input_units.count, 0);
    model_free(m);
  }
  mem_free(x);
  graph_free(g);
}

/* The scaled features are read twice: the scaler stays a layer of its own, which undoes the units. */
static void quantise_graph__a_scaler_with_two_readers_undoes_units(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct graph *g = graph_alloc();
  uint32_t in, scaled, hidden, added;
  assert_ok(graph_add_input(g, (struct shape){FEATURES, 1, 1}, &in));
  scaled = add_scaler(g, in);
  hidden = add_relu(g, add_dense(g, &seed, scaled, FEATURES));
  assert_ok(graph_add_binary(g, GRAPH_ADD, hidden, scaled, &added));
  assert_ok(graph_simplify(g, add_dense(g, &seed, added, CLASSES)));
  float *x = raw_rows(&seed, ROWS);
  struct quantise_options options = quantise_defaults();
  struct quantise_report report;
  struct model *m = compiled(g, x, &options, &report);
  assert_true(report.enough);
  assert_int_equal(m->program.input_units.count, FEATURES);
  assert_true(agreement(g, m, &seed) > 0.98);
  model_free(m);
  mem_free(x);
  graph_free(g);
}

/* Something else than a linear layer reads the input: no units, and the network compiles as it did. */
static void network_fold_input__leaves_other_readers_alone(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct graph *g = graph_alloc();
  struct network net;
  uint32_t in, hidden, added;
  assert_ok(graph_add_input(g, (struct shape){FEATURES, 1, 1}, &in));
  hidden = add_relu(g, add_dense(g, &seed, in, FEATURES));
  assert_ok(graph_add_binary(g, GRAPH_ADD, hidden, in, &added));
  assert_ok(graph_simplify(g, add_dense(g, &seed, added, CLASSES)));
  float *x = raw_rows(&seed, ROWS);
  assert_ok(network_lower(&net, g, NULL, PART_NONE, NULL));
  assert_ok(network_fold_input(&net, x, ROWS));
  assert_int_equal(net.input_units.count, 0);
  network_free(&net);
  mem_free(x);
  graph_free(g);
}

/* Zeros around a picture stay zeros: centres are 0; and a channel has one unit. */
static void network_fold_input__padded_channels_keep_their_zero(void **state) {
  (void)state;
  enum { SIDE = 4, SIZE = 2 * SIDE * SIDE };
  uint64_t seed = test_seed();
  struct graph *g = graph_alloc();
  uint32_t in, at;
  float *w = random_floats(&seed, 3 * 2 * 9, 1), *b = random_floats(&seed, 3, 1);
  float *x = random_floats(&seed, ROWS * SIZE, 1);
  for (size_t i = 0; i < 3 * 2 * 9; i++) w[i] = i / 9 % 2 ? w[i] / 1000 : w[i];
  for (size_t i = 0; i < ROWS * SIZE; i++) x[i] = i / (SIDE * SIDE) % 2 ? x[i] * 1000 + 5000 : x[i];
  assert_ok(graph_add_input(g, (struct shape){2, SIDE, SIDE}, &in));
  struct graph_linear_spec spec = {
      .input = in, .out_channels = 3, .groups = 1, .window = window_make(3, 3, 1), .weights = w, .bias = b};
  spec.window.pad_top = spec.window.pad_left = spec.window.pad_bottom = spec.window.pad_right = 1;
  assert_ok(graph_add_linear(g, &spec, &at));
  struct quantise_options options = quantise_defaults();
  struct quantise_report report;
  options.weight_bits = options.activation_bits = 12;
  struct model *m = compiled(g, x, &options, &report);
  assert_int_equal(m->program.input_units.count, 2);
  assert_true(m->program.input_units.exponent[1] >= m->program.input_units.exponent[0] + 12);
  for (size_t c = 0; c < 2; c++) assert_int_equal(m->program.input_units.quarters[c], 0);
  assert_true(report.logit_error < 0.01);
  model_free(m);
  mem_free(w);
  mem_free(b);
  mem_free(x);
  graph_free(g);
}

static void quantise_graph__counts_features_that_never_change(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct graph *g = scaled_perceptron(&seed, (struct shape){FEATURES, 1, 1});
  float *x = raw_rows(&seed, ROWS);
  struct quantise_options options = quantise_defaults();
  struct quantise_report report;
  for (size_t r = 0; r < ROWS; r++) x[r * FEATURES + 2] = 0, x[r * FEATURES + 5] = 7;
  struct model *m = compiled(g, x, &options, &report);
  assert_int_equal(report.features, FEATURES);
  assert_int_equal(report.constants, 2);
  assert_int_equal(report.first_constant, 2);
  model_free(m);
  mem_free(x);
  graph_free(g);
}

/* By hand: (3 - 2) / (2^1 * 0.125) = 4, and so on; halves to even; clamped. */
static void program_quantise_input__applies_units(void **state) {
  (void)state;
  struct program_step step = {.out = {.shape = {2, 1, 2}, .ring_bits = 20, .value_bits = 8, .scale = 0.125}};
  int8_t exponent[] = {1, -1};
  int32_t quarters[] = {4, -8};
  const struct program program = {
      .steps = &step, .count = 1, .input_units = {.count = 2, .exponent = exponent, .quarters = quarters}};
  const float real[] = {3, 2.125f, -1, 1e9f, 2, 2.375f, -1.0625f, -1e9f};
  const int64_t wanted[] = {4, 0, 0, 127, 0, 2, -1, -128};
  int64_t got[8];
  assert_ok(program_quantise_input(&program, real, 2, got, NULL));
  for (size_t i = 0; i < 8; i++) assert_int_equal(got[i], wanted[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(quantise_graph__features_of_other_ranges_get_own_units),
      cmocka_unit_test(quantise_graph__units_reach_through_a_reshape),
      cmocka_unit_test(quantise_graph__given_widths_use_units_too),
      cmocka_unit_test(quantise_graph__one_scale_is_not_enough_and_says_so),
      cmocka_unit_test(quantise_graph__alike_features_keep_one_scale),
      cmocka_unit_test(quantise_graph__a_scaler_with_two_readers_undoes_units),
      cmocka_unit_test(network_fold_input__leaves_other_readers_alone),
      cmocka_unit_test(network_fold_input__padded_channels_keep_their_zero),
      cmocka_unit_test(quantise_graph__counts_features_that_never_change),
      cmocka_unit_test(program_quantise_input__applies_units),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
