#include "graph/activation.h"

#include <math.h>

enum { OCTAVES = 5 /* that a power of two takes x up by, at most */ };

/* The exponent of the power of two that brings x to [1/2, 1). */
static double octave(double x) {
  int exponent;
  frexp(fmax(x, ldexp(1, -OCTAVES - 1)), &exponent);
  return exponent > 0 ? 0 : (double)-exponent;
}

static double logistic(double x) {
  return 1 / (1 + exp(-x));
}

static double reversed(const struct activation_use *use, double x) {
  return logistic(x) - 0.5 - (double)use->power * (logistic((double)use->inner * x) - 0.5);
}

static double value(const struct activation_use *use, double x) {
  const double a = fabs(x);
  switch (use->kind) {
    case ACTIVATION_SIGMOID: return logistic(x);
    case ACTIVATION_TANH: return tanh(x);
    case ACTIVATION_ERF: return erf(x);
    case ACTIVATION_EXP_TAIL: return expm1(fmin(x, 0));
    case ACTIVATION_SOFTPLUS: return log1p(exp(-a));
    case ACTIVATION_GELU: return -a * erfc(a * 0.70710678118654752) / 2;
    case ACTIVATION_GELU_TANH:
      /* 1 - tanh(z) = 2 / (1 + exp(2z)) */
      return -a / (1 + exp(2 * 0.79788456080286536 * (a + 0.044715 * a * a * a)));
    case ACTIVATION_SILU: return -a / (1 + exp(a));
    case ACTIVATION_MISH: return x * tanh(fmax(x, 0) + log1p(exp(-a))) - fmax(x, 0);
    case ACTIVATION_HARD_SWISH: return a < 3 ? a * (a / 6 - 0.5) : 0;
    case ACTIVATION_EXP_BELOW:
    case ACTIVATION_EXP: return exp(x);
    case ACTIVATION_SIN: return sin(x);
    case ACTIVATION_COS: return cos(x);
    case ACTIVATION_POWER: return pow(x, (double)use->power);
    case ACTIVATION_LOG: return log(x);
    case ACTIVATION_OCTAVE: return exp2(-(double)use->power * octave(x));
    case ACTIVATION_OCTAVE_LOG: return -0.69314718055994531 * octave(x);
    case ACTIVATION_REVERSE_SIGMOID: return reversed(use, fmin(fmax(x, -8), 7.9375));
    case ACTIVATION_LOG_REST: return -log(1 + 1.0 / 64 - fmin(fmax(x, 1.0 / 16), 1));
    case ACTIVATION_COUNT: break;
  }
  return 0;
}

/* The last is 1/16 below a power of two from the first: a range of whole units has one value less than that. */
static const struct {
  double low, high;
} ranges[ACTIVATION_COUNT] = {
    [ACTIVATION_SIGMOID] = {-8, 7.9375},   [ACTIVATION_TANH] = {-4, 3.9375},
    [ACTIVATION_ERF] = {-4, 3.9375},       [ACTIVATION_EXP_TAIL] = {-7.9375, 0},
    [ACTIVATION_SOFTPLUS] = {-8, 7.9375},  [ACTIVATION_GELU] = {-4, 3.9375},
    [ACTIVATION_GELU_TANH] = {-4, 3.9375}, [ACTIVATION_SILU] = {-8, 7.9375},
    [ACTIVATION_MISH] = {-8, 7.9375},      [ACTIVATION_HARD_SWISH] = {-4, 3.9375},
    [ACTIVATION_EXP_BELOW] = {-15, 0},     [ACTIVATION_REVERSE_SIGMOID] = {-8, 7.9375},
    [ACTIVATION_LOG_REST] = {0.0625, 1},
};

double activation_value(const struct activation_use *use, double x) {
  return (double)use->gain * value(use, x / (double)use->stretch);
}

enum activation_range activation_range(enum activation kind) {
  if (kind == ACTIVATION_POWER || kind == ACTIVATION_LOG) return RANGE_OCTAVES;
  return ranges[kind].low < ranges[kind].high ? RANGE_FIXED : RANGE_CALIBRATED;
}

double activation_low(const struct activation_use *use) {
  return ranges[use->kind].low * (double)use->stretch;
}

double activation_high(const struct activation_use *use) {
  return ranges[use->kind].high * (double)use->stretch;
}

bool activation_is_even(enum activation kind) {
  return kind == ACTIVATION_SOFTPLUS || kind == ACTIVATION_GELU || kind == ACTIVATION_GELU_TANH ||
         kind == ACTIVATION_SILU || kind == ACTIVATION_HARD_SWISH;
}

bool activation_is_step(enum activation kind) {
  return kind == ACTIVATION_OCTAVE || kind == ACTIVATION_OCTAVE_LOG;
}
