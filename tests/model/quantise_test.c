/** Fixed point against the float network, on networks that use every step. */
#include <math.h>

#include "model/execute.h"
#include "model/model_support.h"

enum { SAMPLES = 40 };

struct error_watch {
  const struct graph *graph;
  double worst;
};

/** Largest error of any logit, relative to the largest logit. */
static double worst_error(const struct graph *g, const struct model *m, uint64_t *state) {
  const size_t in = shape_size(g->nodes[0].shape);
  const uint32_t logits = g->nodes[g->count - 1].op == GRAPH_SOFTMAX ? g->count - 2 : g->count - 1;
  const size_t out = shape_size(g->nodes[logits].shape);
  float *x = random_floats(state, SAMPLES * in, 1);
  int64_t *fixed_in = mem_alloc(SAMPLES * in, sizeof *fixed_in), *fixed = mem_alloc(SAMPLES * out, sizeof *fixed);
  double *real = mem_alloc(SAMPLES * out, sizeof *real);
  struct calibration c;
  assert_ok(calibrate(&c, g, logits, x, SAMPLES));
  assert_ok(plan_quantise_input(&m->plan, x, SAMPLES, fixed_in, NULL));
  assert_ok(plan_execute(m, fixed_in, SAMPLES, fixed, NULL));
  plan_dequantise(&m->plan, fixed, SAMPLES * out, real);
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

static void check_network(const char *kind, uint64_t *state, unsigned weight_bits, unsigned activation_bits,
                          double tolerance) {
  struct graph *g = random_network(kind, state);
  const size_t in = shape_size(g->nodes[0].shape);
  float *x = random_floats(state, 50 * in, 1);
  struct quantise_options options = quantise_defaults();
  struct quantise_report report;
  struct model *m = NULL;
  fusion_error err = {.status = FUSION_OK};
  options.weight_bits = weight_bits;
  options.activation_bits = activation_bits;
  if (quantise_graph(&m, g, x, 50, &options, &report, &err) != FUSION_OK) fail_msg("%s: %s", kind, err.text);
  assert_ok(plan_validate(&m->plan, &err));
  const double error = worst_error(g, m, state);
  if (error > tolerance)
    fail_msg("%s with %u,%u bits: error %g of the largest logit, expected below %g", kind, weight_bits, activation_bits,
             error, tolerance);
  print_message("%s %u,%u: %g\n", kind, weight_bits, activation_bits, error);
  model_free(m);
  mem_free(x);
  graph_free(g);
}

static void quantise_graph__stays_near_the_float_network(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (size_t k = 0; network_kinds[k]; k++) {
    check_network(network_kinds[k], &seed, 8, 8, 0.15);
    check_network(network_kinds[k], &seed, 12, 12, 0.02);
    check_network(network_kinds[k], &seed, 15, 14, 0.005);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(quantise_graph__stays_near_the_float_network)};
  return cmocka_run_group_tests_name("quantise", tests, NULL, NULL);
}
