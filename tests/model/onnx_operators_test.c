/* The networks of tests/model/operators (make_operators.py) in fixed point: within the error that their programs
 * predict, and near the float network on what the program reads. onnx_test.c has them in float. */
#include <dirent.h>
#include <fusion/array.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/conformance_fixed.h"
#include "onnx/onnx.h"
#include "support/support.h"

/* Of the largest value, with 12 bits throughout. */
static const double own_error = 0.02;

static void check_fixed(const char *folder, const char *file) {
  char path[4200], member[4400];
  struct graph *g = NULL;
  fusion_array *in = NULL;
  fusion_error err = {0};
  snprintf(path, sizeof path, "%s/%s", folder, file);
  snprintf(member, sizeof member, "%s/expected.npz:%.*s.in", folder, (int)strlen(file) - 5, file);
  if (graph_from_onnx(&g, path, &err) != FUSION_OK) fail_msg("%s: %s", file, err.text);
  if (fusion_array_load(&in, member, &err) != FUSION_OK) fail_msg("%s: %s", file, err.text);
  const bool label = g->nodes[g->count - 1].op == GRAPH_ARGMAX;
  const struct fixed_result r = fixed_run(g, fusion_array_data(in), fusion_array_rows(in));
  if (!r.compiled) fail_msg("%s: %s", file, r.why);
  if (getenv("FUSION_TEST_SHOW"))
    printf("%-28s error %.3g bound %.3g own %.3g of %.3g\n", file, r.error, r.bound, r.own_error, r.top);
  if (!label && !(r.error <= r.bound)) fail_msg("%s: off by %g, predicted at most %g", file, r.error, r.bound);
  if (!(r.own_error <= own_error * r.top + r.input_unit))
    fail_msg("%s: off by %g of %g on rounded inputs", file, r.own_error, r.top);
  fusion_array_free(in);
  graph_free(g);
}

static void quantise_graph__rarer_operators_within_the_predicted_error(void **state) {
  (void)state;
  const char *source = getenv("FUSION_SOURCE");
  char folder[4096];
  size_t count = 0;
  snprintf(folder, sizeof folder, "%.4000s/tests/model/operators", source ? source : ".");
  DIR *d = opendir(folder);
  assert_non_null(d);
  for (struct dirent *e = readdir(d); e; e = readdir(d)) {
    const size_t len = strlen(e->d_name);
    if (len < 6 || strcmp(e->d_name + len - 5, ".onnx") || !strncmp(e->d_name, "refused_", 8)) continue;
    check_fixed(folder, e->d_name);
    count++;
  }
  closedir(d);
  assert_true(count >= 72);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(quantise_graph__rarer_operators_within_the_predicted_error)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
