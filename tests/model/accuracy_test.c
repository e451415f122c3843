/** The public interface on real networks: compile, save, load, run; accuracy within half a point of float. Needs the
 * data folder (FUSION_SHARED); says so and skips without. */
#include <fusion/model.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/support.h"

enum { CALIBRATION_ROWS = 40 };

static fusion_array *load_shared(const char *name) {
  char path[4096];
  fusion_array *a = NULL;
  fusion_error err = {.status = FUSION_OK};
  const char *folder = getenv("FUSION_SHARED");
  snprintf(path, sizeof path, "%s/data/%s", folder ? folder : "", name);
  if (access(path, R_OK)) {
    print_message("skipped: no %s (set FUSION_SHARED)\n", path);
    skip();
  }
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

/** What a saved and loaded model answers is what the compiled one did; on the first few images. */
static void check_saved(const fusion_model *m, const fusion_array *images, const fusion_array *answers) {
  enum { FEW = 20 };
  char path[64];
  fusion_model *loaded;
  fusion_array *again, *some;
  const size_t shape[4] = {FEW, 32, 32, 3};
  assert_ok(fusion_array_create(&some, FUSION_U8, 4, shape, fusion_array_data(images)));
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

static void check_network(const char *name, bool normalised) {
  static const double mean[3] = {0.485, 0.456, 0.406}, deviation[3] = {0.229, 0.224, 0.225};
  char path[4096];
  fusion_array *calibration = load_shared("cifar10/train4000_lossless_images.npy");
  fusion_array *images = load_shared("cifar10/test1000_lossless_images.npy");
  fusion_array *labels = load_shared("cifar10/test1000_lossless_labels.npy");
  fusion_array *answers, *real;
  fusion_model *m;
  fusion_error err = {.status = FUSION_OK};
  fusion_compile_report report = {.size = sizeof report};
  fusion_compile_settings settings = fusion_compile_defaults();
  settings.calibration_rows = CALIBRATION_ROWS;
  settings.preprocess = (fusion_preprocess){.channels_last = true, .scale = 1.0 / 255};
  if (normalised) {
    settings.preprocess.count = 3;
    settings.preprocess.mean = mean;
    settings.preprocess.deviation = deviation;
  }
  snprintf(path, sizeof path, "%s/data/models/%s", getenv("FUSION_SHARED"), name);
  if (fusion_model_compile(&m, path, calibration, NULL, &settings, &report, &err) != FUSION_OK)
    fail_msg("%s", err.text);
  assert_ok(fusion_model_run(m, images, 0, &answers, &err));
  assert_ok(fusion_model_run_float(m, path, images, &real, &err));
  const size_t fixed = count_right(m, answers, labels), reference = count_right_float(real, labels);
  print_message("%s: weights %u, activations %u bits; fixed %zu, float %zu of 1000\n", name, report.weight_bits,
                report.activation_bits, fixed, reference);
  assert_true(fixed + 5 >= reference);
  check_saved(m, images, answers);
  fusion_array_free(answers);
  fusion_array_free(real);
  fusion_array_free(calibration);
  fusion_array_free(images);
  fusion_array_free(labels);
  fusion_model_free(m);
}

static void fusion_model_compile__cifar10_resnet20(void **state) {
  (void)state;
  check_network("cifar10_resnet20/cifar10_resnet20_bn.onnx", true);
}

static void fusion_model_compile__cifar10_minionn(void **state) {
  (void)state;
  check_network("cifar10_minionn/cifar10_minionn.onnx", false);
}

static void fusion_model_compile__wrong_data_is_named(void **state) {
  (void)state;
  char path[4096];
  fusion_array *labels = load_shared("cifar10/test1000_lossless_labels.npy");
  fusion_array *images = load_shared("cifar10/test1000_lossless_images.npy");
  fusion_model *m = NULL;
  fusion_error err = {.status = FUSION_OK};
  snprintf(path, sizeof path, "%s/data/models/cifar10_minionn/cifar10_minionn.onnx", getenv("FUSION_SHARED"));
  assert_int_equal(fusion_model_compile(&m, path, labels, NULL, NULL, NULL, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "the model takes samples of 3072"));
  assert_int_equal(fusion_model_compile(&m, path, images, NULL, NULL, NULL, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "--channels-last"));
  assert_int_equal(fusion_model_compile(&m, "absent.onnx", images, NULL, NULL, NULL, &err), FUSION_E_IO);
  assert_null(m);
  fusion_array_free(labels);
  fusion_array_free(images);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fusion_model_compile__cifar10_resnet20),
      cmocka_unit_test(fusion_model_compile__cifar10_minionn),
      cmocka_unit_test(fusion_model_compile__wrong_data_is_named),
  };
  return cmocka_run_group_tests_name("accuracy", tests, NULL, NULL);
}
