/** Fixed point against the float network, on networks that use every step. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/execute.h"
#include "model/model_support.h"

enum { SAMPLES = 40, CALIBRATION = 50 };

/** Largest error of any logit, relative to the largest logit. */
static double worst_error(const struct graph *g, const struct model *m, uint64_t *state) {
  const size_t in = shape_size(g->nodes[0].shape);
  const enum graph_op end = g->nodes[g->count - 1].op;
  const bool final = end == GRAPH_SOFTMAX || end == GRAPH_ARGMAX || end == GRAPH_SIGMOID;
  const uint32_t logits = final ? g->nodes[g->count - 1].inputs[0] : g->count - 1;
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

struct widths {
  unsigned weight, activation;
  double tolerance;
};

static void check_graph(const char *name, const struct graph *g, uint64_t *state, const struct widths *w) {
  const size_t in = shape_size(g->nodes[0].shape);
  float *x = random_floats(state, CALIBRATION * in, 1);
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
  assert_ok(plan_validate(&m->plan, &err));
  m->plan.output = PLAN_OUTPUT_LOGITS;
  const double error = worst_error(g, m, state);
  if (!(error <= w->tolerance))
    fail_msg("%s with %u,%u bits: error %g of the largest logit, expected at most %g", name, w->weight, w->activation,
             error, w->tolerance);
  model_free(m);
  mem_free(x);
}

static void quantise_graph__stays_near_the_float_network(void **state) {
  (void)state;
  static const struct widths widths[] = {{8, 8, 0.15}, {12, 12, 0.02}, {15, 14, 0.005}};
  uint64_t seed = test_seed();
  for (size_t k = 0; network_kinds[k]; k++) {
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
      struct graph *g = random_network(network_kinds[k], &seed);
      check_graph(network_kinds[k], g, &seed, &widths[w]);
      graph_free(g);
    }
  }
}

/** Every small ONNX file of the importer's tests that imports, in fixed point too. */
static void quantise_graph__every_operator(void **state) {
  (void)state;
  static const struct widths widths = {15, 14, 0.01};
  uint64_t seed = test_seed();
  char folder[4096], path[8192];
  snprintf(folder, sizeof folder, "%s/tests/model/data", getenv("FUSION_SOURCE") ? getenv("FUSION_SOURCE") : "..");
  DIR *dir = opendir(folder);
  if (!dir) {
    print_message("skipped: no %s (set FUSION_SOURCE)\n", folder);
    skip();
  }
  size_t done = 0;
  for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
    const char *dot = strrchr(e->d_name, '.');
    struct graph *g = NULL;
    if (!dot || strcmp(dot, ".onnx") != 0) continue;
    snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
    if (graph_from_onnx(&g, path, NULL) != FUSION_OK) continue;
    check_graph(e->d_name, g, &seed, &widths);
    graph_free(g);
    done++;
  }
  closedir(dir);
  assert_true(done > 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(quantise_graph__stays_near_the_float_network),
                                     cmocka_unit_test(quantise_graph__every_operator)};
  return cmocka_run_group_tests_name("quantise", tests, NULL, NULL);
}
