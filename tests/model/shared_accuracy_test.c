/** Accuracy within half a point of float on real CIFAR-10 networks. Skipped without the data folder (FUSION_SHARED). */
#include <stdio.h>

#include "model/accuracy_support.h"
#include "model/shared_folder.h"
#include "support/support.h"

enum { CALIBRATION_ROWS = 40, SLACK = 5 };

static void check_cifar(const char *name, bool normalised) {
  static const double mean[3] = {0.485, 0.456, 0.406}, deviation[3] = {0.229, 0.224, 0.225};
  char path[4096];
  shared_path(path, sizeof path, "cifar10");
  fusion_array *calibration = load_array(path, "train4000_lossless_images.npy");
  fusion_array *images = load_array(path, "test1000_lossless_images.npy");
  fusion_array *labels = load_array(path, "test1000_lossless_labels.npy");
  fusion_compile_settings settings = fusion_compile_defaults();
  settings.calibration_rows = CALIBRATION_ROWS;
  settings.preprocess = (fusion_preprocess){.channels_last = true, .scale = 1.0 / 255};
  if (normalised) {
    settings.preprocess.count = 3;
    settings.preprocess.mean = mean;
    settings.preprocess.deviation = deviation;
  }
  shared_path(path, sizeof path, name);
  check_accuracy(&(struct accuracy_case){path, calibration, images, labels, settings, SLACK, NULL});
  fusion_array_free(calibration);
  fusion_array_free(images);
  fusion_array_free(labels);
}

static void fusion_model_compile__cifar10_resnet20(void **state) {
  (void)state;
  check_cifar("models/cifar10_resnet20/cifar10_resnet20_bn.onnx", true);
}

static void fusion_model_compile__cifar10_minionn(void **state) {
  (void)state;
  check_cifar("models/cifar10_minionn/cifar10_minionn.onnx", false);
}

int main(void) {
  if (!shared_there()) return TEST_SKIPPED;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fusion_model_compile__cifar10_resnet20),
      cmocka_unit_test(fusion_model_compile__cifar10_minionn),
  };
  return cmocka_run_group_tests_name("shared_accuracy", tests, NULL, NULL);
}
