/* The float executor on real pretrained networks against their reference logits, where the data folder is at hand. */
#include <fusion/array.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "model/shared_folder.h"
#include "onnx/onnx.h"
#include "support/support.h"

struct real_model {
  const char *path, *images, *logits;
  size_t samples;
  bool bgr; /* Caffe's order: BGR, 0..255 less these means; else RGB / 255, normalised */
  float mean[3], deviation[3];
};

/* NHWC bytes to the network's planes. */
static void normalise(const struct real_model *m, const uint8_t *image, size_t area, float *out) {
  for (size_t c = 0; c < 3; c++) {
    for (size_t i = 0; i < area; i++) {
      const float v = (float)image[3 * i + (m->bgr ? 2 - c : c)];
      out[c * area + i] = ((m->bgr ? v : v / 255) - m->mean[c]) / m->deviation[c];
    }
  }
}

static fusion_array *load(const char *name) {
  char path[4096];
  fusion_array *a = NULL;
  fusion_error err = {0};
  shared_path(path, sizeof path, name);
  if (fusion_array_load(&a, path, &err) != FUSION_OK) print_message("%s\n", err.text);
  assert_non_null(a);
  return a;
}

static void unpacked(char *path, size_t capacity) {
  static const char ending[] = ".xz";
  char command[9000], packed[4096];
  const size_t len = strlen(path);
  if (len < sizeof ending || strcmp(path + len - 3, ending)) return;
  snprintf(packed, sizeof packed, "%s", path);
  snprintf(path, capacity, "/tmp/fusion_test_%d.onnx", (int)getpid());
  snprintf(command, sizeof command, "xz -dc '%s' > '%s'", packed, path);
  if (system(command)) print_message("xz failed\n");
}

static void check_model(const struct real_model *m) {
  char path[4096];
  shared_path(path, sizeof path, m->path);
  const bool packed = strstr(m->path, ".xz") != NULL;
  unpacked(path, sizeof path);
  struct graph *g = NULL;
  fusion_error err = {0};
  double from = clock_seconds();
  const fusion_status status = graph_from_onnx(&g, path, &err);
  if (packed) unlink(path);
  if (status != FUSION_OK) print_message("%s\n", err.text);
  assert_ok(status);
  const double import_s = clock_seconds() - from;
  fusion_array *images = load(m->images), *logits = load(m->logits);
  const size_t in = shape_size(g->nodes[0].shape), out = shape_size(g->nodes[g->count - 1].shape);
  assert_int_equal(in, fusion_array_row_size(images));
  assert_int_equal(out, fusion_array_row_size(logits));
  float *x = mem_alloc(m->samples * in, sizeof *x), *y = mem_alloc(m->samples * out, sizeof *y);
  const uint8_t *bytes = fusion_array_data(images);
  for (size_t i = 0; i < m->samples; i++) normalise(m, bytes + i * in, in / 3, x + i * in);
  from = clock_seconds();
  assert_ok(graph_run(g, x, m->samples, y, NULL, NULL));
  const double seconds = clock_seconds() - from;
  const float *want = fusion_array_data(logits);
  double top = 0, worst = 0;
  for (size_t i = 0; i < m->samples * out; i++) {
    top = fmax(top, fabs((double)want[i]));
    worst = fmax(worst, fabs((double)want[i] - (double)y[i]));
  }
  print_message("%s: %u nodes, read in %.2f s, %.4f s an image, largest error %.2e of %.1f\n", m->path, g->count,
                import_s, seconds / (double)m->samples, worst, top);
  assert_true(worst <= 1e-3 * top);
  mem_free(x);
  mem_free(y);
  fusion_array_free(images);
  fusion_array_free(logits);
  graph_free(g);
}

#define IMAGENET              \
  {0.485f, 0.456f, 0.406f}, { \
    0.229f, 0.224f, 0.225f    \
  }
#define CIFAR_IMAGES "cifar10/test1000_lossless_images.npy"
#define IMAGES_224 "imagenet_samples/images_224.npy"

static const struct real_model models[] = {
    {"models/cifar10_minionn/cifar10_minionn.onnx",
     CIFAR_IMAGES,
     "models/cifar10_minionn/logits_test1000_lossless.npy",
     64,
     false,
     {0, 0, 0},
     {1, 1, 1}},
    {"models/cifar10_resnet20/cifar10_resnet20_bn.onnx", CIFAR_IMAGES,
     "models/cifar10_resnet20/logits_test1000_lossless.npy", 64, false, IMAGENET},
    {"models/cifar10_resnet32/cifar10_resnet32_bn.onnx", CIFAR_IMAGES,
     "models/cifar10_resnet32/logits_test1000_lossless.npy", 64, false, IMAGENET},
    {"models/squeezenet1.0/squeezenet1.0.onnx",
     "imagenet_samples/images_227.npy",
     "models/squeezenet1.0/logits_images_227.npy",
     4,
     true,
     {104, 117, 123},
     {1, 1, 1}},
    {"models/squeezenet1.1/squeezenet1.1.onnx", IMAGES_224, "models/squeezenet1.1/logits_images_224.npy", 4, false,
     IMAGENET},
    {"models/resnet50/resnet50_bn.onnx.xz", IMAGES_224, "models/resnet50/logits_images_224.npy", 2, false, IMAGENET},
};

static void graph_run__equals_the_reference_logits(void **state) {
  check_model(*state);
}

int main(void) {
  if (!shared_there()) return TEST_SKIPPED;
  enum { COUNT = sizeof models / sizeof models[0] };
  struct CMUnitTest tests[COUNT];
  for (size_t i = 0; i < COUNT; i++)
    tests[i] = (struct CMUnitTest){models[i].path, graph_run__equals_the_reference_logits, NULL, NULL,
                                   (void *)(uintptr_t)&models[i]};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
