/** What the tests of a compiled model's accuracy share: those on the networks of tests/model/real and those on the
 * large ones of the data folder. */
#ifndef FUSION_TESTS_ACCURACY_SUPPORT_H
#define FUSION_TESTS_ACCURACY_SUPPORT_H

#include <fusion/model.h>

/** A file that must be there. */
fusion_array *load_array(const char *folder, const char *name);

/** One network, the samples it is calibrated with and the ones it is tried on. */
struct accuracy_case {
  const char *network; /* path of the ONNX file */
  const fusion_array *calibration, *samples, *labels;
  fusion_compile_settings settings;
  size_t slack;               /* right answers that the fixed network may lose */
  const fusion_array *logits; /* the float network's reference, or NULL */
};

/** Compiles, answers, saves, loads and answers again. */
void check_accuracy(const struct accuracy_case *c);

#endif
