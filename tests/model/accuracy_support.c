#include "model/accuracy_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/support.h"

fusion_array *load_array(const char *folder, const char *name) {
  char path[4096];
  fusion_array *a = NULL;
  fusion_error err = {.status = FUSION_OK};
  snprintf(path, sizeof path, "%s/%s", folder, name);
  if (fusion_array_load(&a, path, &err) != FUSION_OK) fail_msg("%s", err.text);
  return a;
}

static size_t count_right(const fusion_model *m, const fusion_array *answers, const fusion_array *labels) {
  const size_t rows = fusion_array_rows(answers);
  int64_t *decided = calloc(rows, sizeof *decided), *expected = calloc(rows, sizeof *expected);
  assert_true(decided && expected);
  assert_ok(fusion_model_labels(m, answers, decided, NULL));
  assert_ok(fusion_array_to_int64(labels, 0, rows, expected, NULL));
  size_t right = 0;
  for (size_t r = 0; r < rows; r++) right += decided[r] == expected[r];
  free(decided);
  free(expected);
  return right;
}

static size_t count_right_float(const fusion_array *answers, const fusion_array *labels) {
  const size_t rows = fusion_array_rows(answers), width = fusion_array_row_size(answers);
  const float *v = fusion_array_data(answers);
  size_t right = 0;
  for (size_t r = 0; r < rows; r++, v += width) {
    int64_t expected;
    size_t best = 0;
    for (size_t i = 1; i < width; i++)
      if (v[i] > v[best]) best = i;
    assert_ok(fusion_array_to_int64(labels, r, 1, &expected, NULL));
    right += (int64_t)best == expected;
  }
  return right;
}

/** What a saved and loaded model answers is what the compiled one did; on the first few samples. */
static void check_saved(const fusion_model *m, const fusion_array *samples, const fusion_array *answers) {
  enum { FEW = 20 };
  char path[64];
  fusion_model *loaded;
  fusion_array *again, *some;
  size_t shape[FUSION_RANK_MAX];
  for (size_t i = 0; i < fusion_array_rank(samples); i++) shape[i] = i ? fusion_array_axis(samples, i) : FEW;
  assert_ok(fusion_array_create(&some, fusion_array_type(samples), fusion_array_rank(samples), shape,
                                fusion_array_data(samples)));
  snprintf(path, sizeof path, "accuracy_test.%ld.fsn", (long)getpid());
  assert_ok(fusion_model_save(m, path, NULL));
  assert_ok(fusion_model_load(&loaded, path, NULL));
  unlink(path);
  assert_ok(fusion_model_run(loaded, some, 1, &again, NULL));
  assert_int_equal(fusion_array_rows(again), FEW);
  assert_memory_equal(fusion_array_data(again), fusion_array_data(answers),
                      FEW * fusion_array_row_size(answers) * sizeof(int64_t));
  fusion_array_free(again);
  fusion_array_free(some);
  fusion_model_free(loaded);
}

/** The float network answers what PyTorch did, to a thousandth of the largest logit. */
static void check_logits(const fusion_array *answers, const fusion_array *logits) {
  const size_t count = fusion_array_rows(logits) * fusion_array_row_size(logits);
  assert_int_equal(fusion_array_rows(answers) * fusion_array_row_size(answers), count);
  const float *got = fusion_array_data(answers), *want = fusion_array_data(logits);
  float top = 0, worst = 0;
  for (size_t i = 0; i < count; i++) {
    top = fmaxf(top, fabsf(want[i]));
    worst = fmaxf(worst, fabsf(want[i] - got[i]));
  }
  assert_true(worst <= 1e-3f * top);
}

void check_accuracy(const struct accuracy_case *c) {
  fusion_array *answers, *real;
  fusion_model *m;
  fusion_error err = {.status = FUSION_OK};
  fusion_compile_report report = {.size = sizeof report};
  if (fusion_model_compile(&m, c->network, c->calibration, NULL, &c->settings, &report, &err) != FUSION_OK)
    fail_msg("%s", err.text);
  assert_ok(fusion_model_run(m, c->samples, 0, &answers, &err));
  assert_ok(fusion_model_run_float(m, c->network, c->samples, &real, &err));
  const size_t fixed = count_right(m, answers, c->labels), reference = count_right_float(real, c->labels);
  print_message("%s: weights %u, activations %u bits; fixed %zu, float %zu of %zu\n", c->network, report.weight_bits,
                report.activation_bits, fixed, reference, fusion_array_rows(c->samples));
  assert_true(fixed + c->slack >= reference);
  if (c->logits) check_logits(real, c->logits);
  check_saved(m, c->samples, answers);
  fusion_array_free(answers);
  fusion_array_free(real);
  fusion_model_free(m);
}
