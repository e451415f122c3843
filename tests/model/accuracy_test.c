/** The public interface on small real networks (make_real_models.py): compile, save, load, run; accuracy within half a
 * point of float, and float as PyTorch has it. Networks of real size: shared_accuracy_test.c. */
#include <stdio.h>
#include <stdlib.h>

#include "model/accuracy_support.h"
#include "support/support.h"

static void data_folder(char *out, size_t capacity) {
  const char *source = getenv("FUSION_SOURCE");
  snprintf(out, capacity, "%s/tests/model/real", source ? source : ".");
}

static fusion_array *load_part(const char *name, const char *part) {
  char folder[4096], file[64];
  data_folder(folder, sizeof folder);
  snprintf(file, sizeof file, "%s_%s.npy", name, part);
  return load_array(folder, file);
}

/* `data`: whose samples. */
static void check_network_on(const char *name, const char *data, double scale, size_t slack) {
  char folder[4096], path[4200];
  data_folder(folder, sizeof folder);
  snprintf(path, sizeof path, "%s/%s.onnx", folder, name);
  fusion_array *calibration = load_part(data, "calibration"), *samples = load_part(data, "test");
  fusion_array *labels = load_part(data, "labels"), *logits = load_part(name, "logits");
  fusion_compile_settings settings = fusion_compile_defaults();
  settings.preprocess = (fusion_preprocess){.scale = scale};
  check_accuracy(&(struct accuracy_case){path, calibration, samples, labels, settings, slack, logits});
  fusion_array_free(calibration);
  fusion_array_free(samples);
  fusion_array_free(labels);
  fusion_array_free(logits);
}

static void check_network(const char *name, double scale, size_t slack) {
  check_network_on(name, name, scale, slack);
}

static void fusion_model_compile__real_digits(void **state) {
  (void)state;
  check_network("real_digits", 1.0 / 16, 5); /* half a point of 1,000 */
}

static void fusion_model_compile__real_tumours(void **state) {
  (void)state;
  check_network("real_tumours", 1.0 / 255, 1); /* of 300 */
}

/* LayerNorm, GELU and a softmax over rows, as PyTorch exports them. */
static void fusion_model_compile__normalised_rows(void **state) {
  (void)state;
  char folder[4096], path[4200];
  data_folder(folder, sizeof folder);
  snprintf(path, sizeof path, "%s/real_rows.onnx", folder);
  fusion_array *calibration = load_part("real_digits", "calibration"), *samples = load_part("real_digits", "test");
  fusion_array *labels = load_part("real_digits", "labels");
  fusion_compile_settings settings = fusion_compile_defaults();
  settings.preprocess = (fusion_preprocess){.scale = 1.0 / 16};
  check_accuracy(&(struct accuracy_case){path, calibration, samples, labels, settings, 5, NULL});
  fusion_array_free(calibration);
  fusion_array_free(samples);
  fusion_array_free(labels);
}

/* scikit-learn's trees: scores as it has them. */
static void fusion_model_compile__real_trees(void **state) {
  (void)state;
  check_network_on("real_boosted", "real_tumours", 1.0 / 256, 1);
  check_network_on("real_forest", "real_tumours", 1.0 / 256, 1);
}

/* Images as rows of features. */
static fusion_array *load_rows(const char *name, const char *part) {
  fusion_array *images = load_part(name, part), *rows;
  const size_t shape[2] = {fusion_array_rows(images), fusion_array_row_size(images)};
  assert_ok(fusion_array_create(&rows, fusion_array_type(images), 2, shape, fusion_array_data(images)));
  fusion_array_free(images);
  return rows;
}

/* scikit-learn's, with functions by tables between the layers; on the samples of real_digits. */
static void check_classical(const char *name) {
  char folder[4096], path[4200];
  data_folder(folder, sizeof folder);
  snprintf(path, sizeof path, "%s/%s.onnx", folder, name);
  fusion_array *calibration = load_rows("real_digits", "calibration"), *samples = load_rows("real_digits", "test");
  fusion_array *labels = load_part("real_digits", "labels");
  fusion_compile_settings settings = fusion_compile_defaults();
  settings.preprocess = (fusion_preprocess){.scale = 1.0 / 16};
  check_accuracy(&(struct accuracy_case){path, calibration, samples, labels, settings, 5, NULL});
  fusion_array_free(calibration);
  fusion_array_free(samples);
  fusion_array_free(labels);
}

static void fusion_model_compile__hidden_tanh(void **state) {
  (void)state;
  check_classical("real_tanh");
}

static void fusion_model_compile__hidden_logistic(void **state) {
  (void)state;
  check_classical("real_logistic");
}

static void fusion_model_compile__wrong_data_is_named(void **state) {
  (void)state;
  char folder[4096], path[4200];
  data_folder(folder, sizeof folder);
  snprintf(path, sizeof path, "%s/real_digits.onnx", folder);
  fusion_array *labels = load_part("real_digits", "labels"), *images;
  const size_t channels_last[4] = {16, 8, 8, 1};
  assert_ok(fusion_array_create(&images, FUSION_U8, 4, channels_last, NULL));
  fusion_model *m = NULL;
  fusion_error err = {.status = FUSION_OK};
  assert_int_equal(fusion_model_compile(&m, path, labels, NULL, NULL, NULL, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "the model takes samples of 64"));
  assert_int_equal(fusion_model_compile(&m, path, images, NULL, NULL, NULL, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "--channels-last"));
  assert_int_equal(fusion_model_compile(&m, "absent.onnx", images, NULL, NULL, NULL, &err), FUSION_E_IO);
  assert_null(m);
  fusion_array_free(labels);
  fusion_array_free(images);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fusion_model_compile__real_digits),
      cmocka_unit_test(fusion_model_compile__real_tumours),
      cmocka_unit_test(fusion_model_compile__normalised_rows),
      cmocka_unit_test(fusion_model_compile__real_trees),
      cmocka_unit_test(fusion_model_compile__hidden_tanh),
      cmocka_unit_test(fusion_model_compile__hidden_logistic),
      cmocka_unit_test(fusion_model_compile__wrong_data_is_named),
  };
  return cmocka_run_group_tests_name("accuracy", tests, NULL, NULL);
}
