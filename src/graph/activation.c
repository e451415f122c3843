#include "graph/activation.h"

#include <math.h>

static double value(enum activation kind, double x) {
  switch (kind) {
    case ACTIVATION_SIGMOID: return 1 / (1 + exp(-x));
    case ACTIVATION_TANH: return tanh(x);
    case ACTIVATION_ERF: return erf(x);
    case ACTIVATION_EXP_TAIL: return expm1(fmin(x, 0));
    case ACTIVATION_SOFTPLUS: return log1p(exp(-fabs(x)));
    case ACTIVATION_GELU: return -fabs(x) * erfc(fabs(x) * 0.70710678118654752) / 2;
    case ACTIVATION_GELU_TANH: {
      const double a = fabs(x), inner = 0.79788456080286536 * (a + 0.044715 * a * a * a);
      return -a / (1 + exp(2 * inner)); /* 1 - tanh(z) = 2 / (1 + exp(2z)) */
    }
    case ACTIVATION_COUNT: break;
  }
  return 0;
}

/* The last is 1/16 below a power of two from the first: a range of whole units has one value less than that. */
static const struct {
  double low, high;
} ranges[ACTIVATION_COUNT] = {
    [ACTIVATION_SIGMOID] = {-8, 7.9375},   [ACTIVATION_TANH] = {-4, 3.9375},     [ACTIVATION_ERF] = {-4, 3.9375},
    [ACTIVATION_EXP_TAIL] = {-7.9375, 0},  [ACTIVATION_SOFTPLUS] = {-8, 7.9375}, [ACTIVATION_GELU] = {-4, 3.9375},
    [ACTIVATION_GELU_TANH] = {-4, 3.9375},
};

double activation_value(const struct activation_use *use, double x) {
  return (double)use->gain * value(use->kind, x / (double)use->stretch);
}

double activation_low(const struct activation_use *use) {
  return ranges[use->kind].low * (double)use->stretch;
}

double activation_high(const struct activation_use *use) {
  return ranges[use->kind].high * (double)use->stretch;
}
