/** Functions whose range calibration shows, compiled: precision over their octaves, and what becomes of values beyond.
 */
#include <math.h>

#include "compile/quantise.h"
#include "execute/execute.h"
#include "model/model_support.h"

enum { CALIBRATION = 64, SCAN = 2000 };

struct function {
  const char *name;
  struct activation_use use;
};

static const struct function functions[] = {
    {"1/x", {ACTIVATION_POWER, 1, 1, -1, 0}},       {"sqrt", {ACTIVATION_POWER, 1, 1, 0.5f, 0}},
    {"1/sqrt", {ACTIVATION_POWER, 1, 1, -0.5f, 0}}, {"x^1.5 / 8", {ACTIVATION_POWER, 0.125f, 1, 1.5f, 0}},
    {"log", {ACTIVATION_LOG, 1, 1, 0, 0}},          {"1/sqrt of an average", {ACTIVATION_POWER, 1, 192, -0.5f, 0}},
    {"3 log(x / 2)", {ACTIVATION_LOG, 3, 2, 0, 0}},
};

/* Values from low to high, each a fixed factor above the one before. */
static float *scale_of_values(size_t count, double low, double high) {
  float *x = mem_alloc(count, sizeof *x);
  assert_non_null(x);
  for (size_t i = 0; i < count; i++) x[i] = (float)(low * pow(high / low, (double)i / (double)(count - 1)));
  return x;
}

static struct graph *graph_of(const struct activation_use *use) {
  struct graph *g = graph_alloc();
  uint32_t at;
  assert_non_null(g);
  assert_ok(graph_add_input(g, (struct shape){1, 1, 1}, &at));
  assert_ok(graph_add_activation(g, at, *use, &at));
  return g;
}

static fusion_status compile(struct model **out, const struct graph *g, const float *x, fusion_error *err) {
  struct quantise_options options = quantise_defaults();
  struct quantise_report report;
  options.weight_bits = 12;
  options.activation_bits = 14;
  options.input_bits = 16;
  options.output_bits = 20;
  const fusion_status status = quantise_graph(out, g, x, CALIBRATION, &options, &report, err);
  mem_free(report.steps);
  return status;
}

/* What the program makes of x, and the numbers that it took x for. */
static void run(const struct model *m, const float *x, size_t count, double *seen, double *y) {
  const struct program *p = &m->program;
  int64_t *in = mem_alloc(count, sizeof *in), *out = mem_alloc(count, sizeof *out);
  assert_true(in && out);
  assert_ok(program_quantise_input(p, x, count, in, NULL));
  assert_ok(program_execute(m, in, count, out, &(struct execute_options){.threads = 1}));
  for (size_t i = 0; i < count; i++) seen[i] = (double)in[i] * p->steps[0].out.scale;
  program_dequantise(p, out, count, y);
  mem_free(in);
  mem_free(out);
}

/* Powers: a hundredth of the value, or two units of the coarsest step behind the tables. Logarithms: a hundredth. */
static double tolerance(const struct function *f, double want, double top) {
  if (f->use.kind == ACTIVATION_LOG) return 0.01 * (double)f->use.gain;
  return 0.01 * fabs(want) + 2 * top / 0x1p13;
}

static void quantise_graph__functions_are_precise_in_all_octaves(void **state) {
  (void)state;
  static const double ranges[][2] = {{1, 3}, {0.5, 4}, {0.1, 6}, {0.05, 20}};
  double seen[SCAN], y[SCAN];
  for (size_t k = 0; k < sizeof functions / sizeof functions[0]; k++)
    for (size_t r = 0; r < sizeof ranges / sizeof ranges[0]; r++) {
      struct graph *g = graph_of(&functions[k].use);
      float *few = scale_of_values(CALIBRATION, ranges[r][0], ranges[r][1]);
      float *many = scale_of_values(SCAN, ranges[r][0], ranges[r][1]);
      struct model *m = NULL;
      double top = 0;
      assert_ok(compile(&m, g, few, NULL));
      run(m, many, SCAN, seen, y);
      for (size_t i = 0; i < SCAN; i++) top = fmax(top, fabs(activation_value(&functions[k].use, seen[i])));
      for (size_t i = 0; i < SCAN; i++) {
        const double want = activation_value(&functions[k].use, seen[i]);
        if (fabs(y[i] - want) > tolerance(&functions[k], want, top))
          fail_msg("%s over %g to %g: %g at %g, not %g", functions[k].name, ranges[r][0], ranges[r][1], y[i], seen[i],
                   want);
      }
      model_free(m);
      graph_free(g);
      mem_free(few);
      mem_free(many);
    }
}

/* Nothing wraps: above the calibrated range and far below it a function stays between its ends there. */
static void quantise_graph__functions_end_beyond_calibration(void **state) {
  (void)state;
  double seen[SCAN], y[SCAN];
  for (size_t k = 0; k < sizeof functions / sizeof functions[0]; k++) {
    const struct activation_use *use = &functions[k].use;
    struct graph *g = graph_of(use);
    float *few = scale_of_values(CALIBRATION, 0.5, 4), *far = scale_of_values(SCAN, 0.001, 7.9);
    struct model *m = NULL;
    assert_ok(compile(&m, g, few, NULL));
    far[0] = 0;
    far[1] = -1;
    run(m, far, SCAN, seen, y);
    /* Above: at most twice 1.5 times the largest value; below: 2^-11 of that. */
    const double a = activation_value(use, 12.4), b = activation_value(use, 12.4 / 0x1p12);
    const double low = fmin(a, b) - 0.05 * fabs(a - b), high = fmax(a, b) + 0.05 * fabs(a - b);
    for (size_t i = 0; i < SCAN; i++)
      if (!(y[i] >= low && y[i] <= high))
        fail_msg("%s: %g at %g, not between %g and %g", functions[k].name, y[i], seen[i], low, high);
    model_free(m);
    graph_free(g);
    mem_free(few);
    mem_free(far);
  }
}

/* Of a long range the upper end counts: the pieces of its top quarter are an eighth of a unit of the argument long, and
 * off by a five hundredth of their middle; those below, half a unit long, by a sixty-fourth. */
static void quantise_graph__exponentials_of_a_long_range(void **state) {
  (void)state;
  double seen[SCAN], y[SCAN];
  for (unsigned from = 2; from <= 14; from += 3) {
    const struct activation_use use = {ACTIVATION_EXP, 1, 1, 0, 0};
    struct graph *g = graph_of(&use);
    float x[CALIBRATION], many[SCAN];
    struct model *m = NULL;
    const double high = 6;
    for (size_t i = 0; i < CALIBRATION; i++) x[i] = (float)(high - from * (1 - (double)i / (CALIBRATION - 1)));
    for (size_t i = 0; i < SCAN; i++) many[i] = (float)(high - from * (1 - (double)i / (SCAN - 1)));
    assert_ok(compile(&m, g, x, NULL));
    run(m, many, SCAN, seen, y);
    for (size_t i = 0; i < SCAN; i++)
      if (fabs(y[i] - exp(seen[i])) > fmin(exp(seen[i] + 0.25) / 64, exp(high) / 500) + exp(high) / 1200)
        fail_msg("%u units: %g at %g, not %g", from, y[i], seen[i], exp(seen[i]));
    model_free(m);
    graph_free(g);
  }
}

static void quantise_graph__refuses_powers_of_negative_values(void **state) {
  (void)state;
  struct graph *g = graph_of(&functions[0].use);
  float *x = scale_of_values(CALIBRATION, 1, 3);
  struct model *m = NULL;
  fusion_error err = {.status = FUSION_OK};
  x[5] = -2;
  assert_int_equal(compile(&m, g, x, &err), FUSION_E_UNSUPPORTED);
  assert_non_null(strstr(err.text, "powers of values on both sides of 0"));
  for (size_t i = 0; i < CALIBRATION; i++) x[i] = -1;
  assert_int_equal(compile(&m, g, x, &err), FUSION_E_UNSUPPORTED);
  assert_non_null(strstr(err.text, "need values above 0"));
  graph_free(g);
  mem_free(x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(quantise_graph__functions_are_precise_in_all_octaves),
      cmocka_unit_test(quantise_graph__functions_end_beyond_calibration),
      cmocka_unit_test(quantise_graph__exponentials_of_a_long_range),
      cmocka_unit_test(quantise_graph__refuses_powers_of_negative_values),
  };
  return cmocka_run_group_tests_name("function", tests, NULL, NULL);
}
