/** Inputs that are tokens, and several inputs, through the public interface. The networks' numbers are formulas
 * (make_tokens.py). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <fusion/model.h>

#include "program/preprocess.h"
#include "support/support.h"

enum { ENTRIES = 5, WIDTH = 2, PLACES = 3, OUTPUTS = 2, SAMPLES = 60 };

static void model_path(char *out, size_t capacity, const char *name) {
  const char *source = getenv("FUSION_SOURCE");
  snprintf(out, capacity, "%s/tests/model/tokens/%s.onnx", source ? source : ".", name);
}

static double entry(int64_t v, unsigned k, unsigned shift) {
  return (double)((v * 7 + k * 3 + shift) % 5) - 2;
}

static double weight(unsigned i, unsigned o) {
  return ((double)((i * 2 + o * 5) % 7) - 3) / 4;
}

/* What "tokens" or, with two tables, "tokens_two_tables" answers. */
static double wanted(const int64_t *tokens, unsigned output, bool two) {
  double sum = 0;
  for (unsigned i = 0; i < PLACES * WIDTH; i++) {
    const double a = entry(tokens[i / WIDTH], i % WIDTH, 0);
    sum += weight(i, output) * (two ? fmax(a, 0) + entry(tokens[i / WIDTH], i % WIDTH, 1) : a);
  }
  return sum;
}

static fusion_array *random_tokens(uint64_t *seed) {
  const size_t shape[2] = {SAMPLES, PLACES};
  fusion_array *a;
  assert_ok(fusion_array_create(&a, FUSION_I64, 2, shape, NULL));
  int64_t *v = fusion_array_data_mutable(a);
  for (size_t i = 0; i < SAMPLES * PLACES; i++) v[i] = (int64_t)(test_random(seed) % ENTRIES);
  return a;
}

static fusion_model *compile(const char *name, const fusion_array *samples, bool publish) {
  char path[4200];
  fusion_model *m = NULL;
  fusion_error err = {.status = FUSION_OK};
  fusion_compile_settings settings = fusion_compile_defaults();
  settings.publish_embeddings = publish;
  settings.weight_bits = 10;
  settings.activation_bits = 12;
  model_path(path, sizeof path, name);
  if (fusion_model_compile(&m, path, samples, NULL, &settings, NULL, &err) != FUSION_OK) fail_msg("%s", err.text);
  return m;
}

static void check_answers(const fusion_model *m, const char *name, const fusion_array *samples, bool two) {
  char path[4200];
  fusion_array *answers = NULL, *real = NULL, *reference = NULL;
  fusion_error err = {.status = FUSION_OK};
  model_path(path, sizeof path, name);
  assert_ok(fusion_model_run(m, samples, 1, &answers, &err));
  assert_ok(fusion_model_real_answers(m, answers, false, &real, &err));
  assert_ok(fusion_model_run_float(m, path, samples, &reference, &err));
  const double *y = fusion_array_data(real);
  const float *f = fusion_array_data(reference);
  for (size_t i = 0; i < SAMPLES * OUTPUTS; i++) {
    const int64_t *tokens = (const int64_t *)fusion_array_data(samples) + i / OUTPUTS * PLACES;
    const double want = wanted(tokens, i % OUTPUTS, two);
    assert_true(fabs((double)f[i] - want) < 1e-4);
    if (fabs(y[i] - want) > 0.05) fail_msg("%s: sample %zu: %g, expected %g", name, i / OUTPUTS, y[i], want);
  }
  fusion_array_free(answers);
  fusion_array_free(real);
  fusion_array_free(reference);
}

static void fusion_model_compile__tokens_are_embedded(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  fusion_array *samples = random_tokens(&seed);
  for (int publish = 0; publish < 2; publish++) {
    fusion_model *m = compile("tokens", samples, publish);
    fusion_model_info info = {.size = sizeof info};
    assert_ok(fusion_model_describe(m, &info, NULL));
    assert_int_equal(info.tokens, ENTRIES);
    assert_int_equal(info.publishes_embeddings, publish);
    assert_int_equal(info.input_channels, publish ? WIDTH : ENTRIES);
    assert_int_equal(info.input_width, PLACES);
    check_answers(m, "tokens", samples, false);
    assert_ok(fusion_model_save(m, "tokens_test.fsn", NULL));
    fusion_model_free(m);
    assert_ok(fusion_model_load(&m, "tokens_test.fsn", NULL));
    check_answers(m, "tokens", samples, false);
    fusion_model_free(m);
    remove("tokens_test.fsn");
  }
  fusion_array_free(samples);
}

static void fusion_model_compile__two_tables_read_one_input(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  char path[4200];
  fusion_array *samples = random_tokens(&seed);
  fusion_model *m = compile("tokens_two_tables", samples, false);
  fusion_compile_settings settings = fusion_compile_defaults();
  fusion_error err = {.status = FUSION_OK};
  check_answers(m, "tokens_two_tables", samples, true);
  fusion_model_free(m);
  settings.publish_embeddings = true;
  model_path(path, sizeof path, "tokens_two_tables");
  assert_int_equal(fusion_model_compile(&m, path, samples, NULL, &settings, NULL, &err), FUSION_E_UNSUPPORTED);
  assert_non_null(strstr(err.text, "more than one table"));
  fusion_array_free(samples);
}

static void fusion_model_run__other_tokens_are_named(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  fusion_array *samples = random_tokens(&seed), *floats, *wide, *answers = NULL;
  fusion_model *m = compile("tokens", samples, false);
  const size_t shape[2] = {3, PLACES}, more[2] = {3, ENTRIES * PLACES};
  const float bad[] = {-1, ENTRIES, 1.5f, 1e20f};
  fusion_error err = {.status = FUSION_OK};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    assert_ok(fusion_array_create(&floats, FUSION_F32, 2, shape, NULL));
    ((float *)fusion_array_data_mutable(floats))[2 * PLACES + 1] = bad[i];
    assert_int_equal(fusion_model_run(m, floats, 1, &answers, &err), FUSION_E_INPUT);
    if (!strstr(err.text, "sample 2 has ")) fail_msg("%s", err.text);
    assert_non_null(strstr(err.text, " in place 1; tokens are whole numbers from 0 to 4"));
    fusion_array_free(floats);
  }
  assert_ok(fusion_array_create(&wide, FUSION_F32, 2, more, NULL));
  assert_int_equal(fusion_model_run(m, wide, 1, &answers, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "takes 3 tokens"));
  fusion_array_free(wide);
  fusion_array_free(samples);
  fusion_model_free(m);
}

static void fusion_model_compile__tokens_are_for_tables_alone(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  char path[4200];
  fusion_array *samples = random_tokens(&seed);
  fusion_model *m = NULL;
  fusion_error err = {.status = FUSION_OK};
  model_path(path, sizeof path, "tokens_read_otherwise");
  assert_int_equal(fusion_model_compile(&m, path, samples, NULL, NULL, NULL, &err), FUSION_E_UNSUPPORTED);
  assert_non_null(strstr(err.text, "indices that depend on the input"));
  fusion_array_free(samples);
}

/* A row holds a, then b; the network reads b, then a. */
static void fusion_model_compile__several_inputs_are_one_row(void **state) {
  (void)state;
  enum { A = 2, B = 3 };
  uint64_t seed = test_seed();
  const size_t shape[2] = {SAMPLES, A + B};
  fusion_array *samples, *reference = NULL;
  char path[4200];
  assert_ok(fusion_array_create(&samples, FUSION_F32, 2, shape, NULL));
  float *x = fusion_array_data_mutable(samples);
  for (size_t i = 0; i < SAMPLES * (A + B); i++) x[i] = (float)(test_random(&seed) % 1000) / 500 - 1;
  fusion_model *m = compile("two_inputs", samples, false);
  model_path(path, sizeof path, "two_inputs");
  assert_ok(fusion_model_run_float(m, path, samples, &reference, NULL));
  const float *y = fusion_array_data(reference);
  for (size_t s = 0; s < SAMPLES; s++)
    for (unsigned o = 0; o < OUTPUTS; o++) {
      double want = 0;
      for (unsigned i = 0; i < A + B; i++) want += weight(i, o) * (double)x[s * (A + B) + (i < B ? A + i : i - B)];
      assert_true(fabs((double)y[s * OUTPUTS + o] - want) < 1e-4);
    }
  fusion_array_free(samples);
  fusion_array_free(reference);
  fusion_model_free(m);
}

/* ---- masks beside tokens (make_masks.py) ---- */

static fusion_array *masks_array(const char *name, const char *which) {
  const char *source = getenv("FUSION_SOURCE");
  char path[4400];
  fusion_array *a = NULL;
  fusion_error err = {.status = FUSION_OK};
  snprintf(path, sizeof path, "%.4000s/tests/model/masks/expected.npz:%s.%s", source ? source : ".", name, which);
  if (fusion_array_load(&a, path, &err) != FUSION_OK) fail_msg("%s", err.text);
  return a;
}

static void masks_path(char *out, size_t capacity, const char *name) {
  const char *source = getenv("FUSION_SOURCE");
  snprintf(out, capacity, "%.4000s/tests/model/masks/%s.onnx", source ? source : ".", name);
}

static fusion_status compile_masked(fusion_model **m, const char *name, const fusion_array *samples, bool publish,
                                    fusion_error *err) {
  fusion_compile_settings settings = fusion_compile_defaults();
  char path[4200];
  masks_path(path, sizeof path, name);
  settings.publish_embeddings = publish;
  settings.weight_bits = 12;
  settings.activation_bits = 14;
  return fusion_model_compile(m, path, samples, NULL, &settings, NULL, err);
}

/* In float as NumPy has it where a mask is minus infinity, and in fixed point near that. */
static void check_masked(const fusion_model *m, const char *name, const fusion_array *samples) {
  fusion_array *answers = NULL, *real = NULL, *reference = NULL, *wanted_array = masks_array(name, "out");
  fusion_error err = {.status = FUSION_OK};
  char path[4200];
  masks_path(path, sizeof path, name);
  assert_ok(fusion_model_run(m, samples, 1, &answers, &err));
  assert_ok(fusion_model_real_answers(m, answers, false, &real, &err));
  assert_ok(fusion_model_run_float(m, path, samples, &reference, &err));
  const size_t count = fusion_array_rows(wanted_array) * fusion_array_row_size(wanted_array);
  const double *y = fusion_array_data(real);
  const float *f = fusion_array_data(reference), *want = fusion_array_data(wanted_array);
  double sum = 0;
  for (size_t i = 0; i < count; i++) {
    if (!(fabsf(f[i] - want[i]) < 1e-4f))
      fail_msg("%s: %zu: %g in float, expected %g", name, i, (double)f[i], (double)want[i]);
    sum += (y[i] - (double)want[i]) * (y[i] - (double)want[i]);
    if (!(fabs(y[i] - (double)want[i]) < 0.1)) fail_msg("%s: %zu: %g, expected %g", name, i, y[i], (double)want[i]);
  }
  if (!(sqrt(sum / (double)count) < 0.02)) fail_msg("%s: off by %g", name, sqrt(sum / (double)count));
  fusion_array_free(answers);
  fusion_array_free(real);
  fusion_array_free(reference);
  fusion_array_free(wanted_array);
}

static void fusion_model_compile__masks_stand_beside_tokens(void **state) {
  (void)state;
  static const struct {
    const char *name;
    size_t numbers, first;
  } networks[] = {{"bert", 12, 0}, {"bert_older", 6, 6}, {"distilbert", 6, 0},
                  {"sdpa", 6, 0},  {"gpt", 6, 0},        {"gpt_tokens", 0, 0}};
  for (size_t k = 0; k < sizeof networks / sizeof networks[0]; k++) {
    fusion_array *samples = masks_array(networks[k].name, "in");
    for (int publish = 0; publish < 2; publish++) {
      fusion_model *m = NULL;
      fusion_error err = {.status = FUSION_OK};
      fusion_model_info info = {.size = sizeof info};
      if (compile_masked(&m, networks[k].name, samples, publish, &err) != FUSION_OK) fail_msg("%s", err.text);
      assert_ok(fusion_model_describe(m, &info, NULL));
      assert_int_equal(info.tokens, 11);
      assert_int_equal(info.numbers, networks[k].numbers);
      assert_int_equal(info.numbers_first, networks[k].first);
      assert_int_equal(info.input_channels, (publish ? 8 : 11) + networks[k].numbers / 6);
      assert_int_equal(info.input_width, 6);
      check_masked(m, networks[k].name, samples);
      assert_ok(fusion_model_save(m, "masks_test.fsn", NULL));
      fusion_model_free(m);
      assert_ok(fusion_model_load(&m, "masks_test.fsn", NULL));
      check_masked(m, networks[k].name, samples);
      fusion_model_free(m);
      remove("masks_test.fsn");
    }
    fusion_array_free(samples);
  }
}

/* Constants behind a diagonal and a mask: the sums range four times as far as the scores. */
static void fusion_model_compile__widths_are_found_in_spite_of_masks(void **state) {
  (void)state;
  fusion_array *samples = masks_array("gpt", "in");
  fusion_compile_report report = {.size = sizeof report};
  fusion_error err = {.status = FUSION_OK};
  fusion_model *m = NULL;
  char path[4200];
  masks_path(path, sizeof path, "gpt");
  if (fusion_model_compile(&m, path, samples, NULL, NULL, &report, &err) != FUSION_OK) fail_msg("%s", err.text);
  assert_true(report.enough && report.logit_error < 0.0625);
  fusion_array_free(samples);
  fusion_model_free(m);
}

static void fusion_model_compile__a_sample_that_masks_everything_is_named(void **state) {
  (void)state;
  fusion_array *samples = masks_array("bert", "in");
  fusion_model *m = NULL;
  fusion_error err = {.status = FUSION_OK};
  float *x = fusion_array_data_mutable(samples);
  for (size_t i = 6; i < 12; i++) x[7 * 18 + i] = 0;
  assert_int_equal(compile_masked(&m, "bert", samples, false, &err), FUSION_E_INPUT);
  if (!strstr(err.text, "sample 7 masks every place (node 'far_node')")) fail_msg("%s", err.text);
  fusion_array_free(samples);
}

static void fusion_model_run__tokens_beside_numbers_are_named(void **state) {
  (void)state;
  fusion_array *samples = masks_array("bert_older", "in"), *answers = NULL, *narrow;
  fusion_model *m = NULL;
  fusion_error err = {.status = FUSION_OK};
  assert_ok(compile_masked(&m, "bert_older", samples, false, &err));
  float *x = fusion_array_data_mutable(samples);
  x[3 * 12 + 2] = 0.5f; /* a number may be anything */
  x[5 * 12 + 8] = 11;
  assert_int_equal(fusion_model_run(m, samples, 1, &answers, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "sample 5 has 11 in place 8; tokens are whole numbers from 0 to 10"));
  const size_t shape[2] = {2, 6};
  assert_ok(fusion_array_create(&narrow, FUSION_F32, 2, shape, NULL));
  assert_int_equal(fusion_model_run(m, narrow, 1, &answers, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "a row has 6 numbers, the model takes 12: 6 numbers, 6 tokens, 0 numbers"));
  fusion_array_free(narrow);
  fusion_array_free(samples);
  fusion_model_free(m);
}

static void preprocess_apply__numbers_follow_the_columns(void **state) {
  (void)state;
  const struct preprocess p = {.scale = 1, .tokens = 2, .numbers = 3, .numbers_first = 1};
  const struct shape shape = {4, 1, 2};
  const double raw[] = {7, 1, 0, 8, 1e-300};
  static const float want[] = {0, 1, 1, 0, 7, 8, 0, 0};
  float out[8];
  assert_int_equal(preprocess_row_size(&p, shape), 5);
  preprocess_apply(&p, shape, raw, 1, out);
  assert_memory_equal(out, want, sizeof want);
  assert_ok(preprocess_check_tokens(&p, shape, raw, 1, 0, NULL));
  const double two[] = {7, 1, 0, 8, 9, 7, 1, 2, 8, 9};
  fusion_error err = {.status = FUSION_OK};
  assert_int_equal(preprocess_check_tokens(&p, shape, two, 2, 4, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "sample 5 has 2 in place 2"));
}

static void preprocess_apply__tokens_become_rows_of_the_table(void **state) {
  (void)state;
  static const float table[] = {1, 2, 3, 4, 5, 6};
  const struct preprocess p = {.scale = 1, .tokens = 3, .table = (float *)table};
  const struct shape shape = {2, 1, 2};
  const double raw[] = {2, 0};
  float out[4];
  assert_int_equal(preprocess_row_size(&p, shape), 2);
  preprocess_apply(&p, shape, raw, 1, out);
  assert_ok(preprocess_check_tokens(&p, shape, raw, 1, 0, NULL));
  assert_int_equal(preprocess_check_tokens(&p, shape, (const double[]){0, (double)NAN}, 1, 0, NULL), FUSION_E_INPUT);
  assert_int_equal(preprocess_check_tokens(&p, shape, (const double[]){0, (double)INFINITY}, 1, 0, NULL),
                   FUSION_E_INPUT);
  assert_true(out[0] == 5 && out[1] == 1 && out[2] == 6 && out[3] == 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fusion_model_compile__tokens_are_embedded),
      cmocka_unit_test(fusion_model_compile__two_tables_read_one_input),
      cmocka_unit_test(fusion_model_run__other_tokens_are_named),
      cmocka_unit_test(fusion_model_compile__tokens_are_for_tables_alone),
      cmocka_unit_test(fusion_model_compile__several_inputs_are_one_row),
      cmocka_unit_test(preprocess_apply__tokens_become_rows_of_the_table),
      cmocka_unit_test(preprocess_apply__numbers_follow_the_columns),
      cmocka_unit_test(fusion_model_compile__masks_stand_beside_tokens),
      cmocka_unit_test(fusion_model_compile__widths_are_found_in_spite_of_masks),
      cmocka_unit_test(fusion_model_compile__a_sample_that_masks_everything_is_named),
      cmocka_unit_test(fusion_model_run__tokens_beside_numbers_are_named),
  };
  return cmocka_run_group_tests_name("tokens", tests, NULL, NULL);
}
