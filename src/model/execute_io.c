/** The two ends of an execution: raw arrays to integers, integers to real answers. */
#include <math.h>

#include "model/execute.h"

void preprocess_apply(const struct plan_preprocess *p, struct shape shape, const double *raw, size_t samples,
                      float *out) {
  const size_t plane = (size_t)shape.height * shape.width, size = shape_size(shape);
  for (size_t sample = 0; sample < samples; sample++) {
    const double *x = raw + sample * size;
    for (size_t c = 0; c < shape.channels; c++) {
      const size_t from = p->reverse_channels ? shape.channels - 1 - c : c;
      const size_t k = p->count == 1 ? 0 : c;
      const double mean = p->count ? p->mean[k] : 0, deviation = p->count ? p->deviation[k] : 1;
      for (size_t i = 0; i < plane; i++) {
        const double v = p->channels_last ? x[i * shape.channels + from] : x[from * plane + i];
        *out++ = (float)((v * p->scale - mean) / deviation);
      }
    }
  }
}

fusion_status plan_quantise_input(const struct plan *plan, const float *real, size_t samples, int64_t *out,
                                  fusion_error *err) {
  const struct plan_tensor *t = &plan->steps[0].out;
  const size_t size = shape_size(t->shape);
  const double low = -ldexp(1, t->value_bits - 1), high = -low - 1;
  for (size_t i = 0; i < samples * size; i++) {
    if (isnan(real[i])) return error_set(err, FUSION_E_INPUT, "input: sample %zu holds a NaN", i / size);
    out[i] = (int64_t)fmin(fmax(rint(real[i] / t->scale), low), high);
  }
  return FUSION_OK;
}

void plan_dequantise(const struct plan *plan, const int64_t *values, size_t count, double *out) {
  const double scale = plan->steps[plan->count - 1].out.scale;
  for (size_t i = 0; i < count; i++) out[i] = (double)values[i] * scale;
}

void softmax_in_place(double *values, size_t count) {
  double largest = -INFINITY, sum = 0;
  for (size_t i = 0; i < count; i++) largest = fmax(largest, values[i]);
  for (size_t i = 0; i < count; i++) sum += values[i] = exp(values[i] - largest);
  for (size_t i = 0; i < count; i++) values[i] /= sum;
}

void sigmoid_in_place(double *values, size_t count) {
  for (size_t i = 0; i < count; i++) values[i] = 1 / (1 + exp(-values[i]));
}
