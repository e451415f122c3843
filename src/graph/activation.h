/** Functions of one number that networks use as activations. Three kinds, by what a table of them needs:
 *   - some level out on both sides, so that a table of a short range is enough; what does not, like Gelu, is a Relu
 * less such a function;
 *   - some have the range that calibration shows;
 *   - powers and logarithms, where values of many sizes need the same relative precision: their argument is brought to
 *     one octave first (compile/lower_function.c). */
#ifndef FUSION_GRAPH_ACTIVATION_H
#define FUSION_GRAPH_ACTIVATION_H

#include <stdbool.h>

enum activation {
  ACTIVATION_SIGMOID,         /**< 1 / (1 + exp(-x)) */
  ACTIVATION_TANH,            /**< tanh(x) */
  ACTIVATION_ERF,             /**< erf(x) */
  ACTIVATION_EXP_TAIL,        /**< exp(min(x, 0)) - 1: Elu is its sum with relu(x) */
  ACTIVATION_SOFTPLUS,        /**< log(1 + exp(-|x|)): Softplus is its sum with relu(x) */
  ACTIVATION_GELU,            /**< -|x| Phi(-|x|): Gelu is its sum with relu(x) */
  ACTIVATION_GELU_TANH,       /**< the same for Gelu's approximation by tanh */
  ACTIVATION_SILU,            /**< -|x| / (1 + exp(|x|)): x * sigmoid(x) is its sum with relu(x) */
  ACTIVATION_MISH,            /**< x * tanh(log(1 + exp(x))) less relu(x) */
  ACTIVATION_HARD_SWISH,      /**< x * min(max(x / 6 + 1/2, 0), 1) less relu(x) */
  ACTIVATION_EXP_BELOW,       /**< exp(x) of values that are never above 0: of a softmax */
  ACTIVATION_EXP,             /**< exp(x); range from calibration, like the next two */
  ACTIVATION_SIN,             /**< sin(x) */
  ACTIVATION_COS,             /**< cos(x) */
  ACTIVATION_POWER,           /**< x^power, x > 0 (0 where power > 0) */
  ACTIVATION_LOG,             /**< log(x), x > 0 */
  ACTIVATION_OCTAVE,          /**< p^-power with p the power of two that brings x in (0, 1) to [1/2, 1); p <= 32 */
  ACTIVATION_OCTAVE_LOG,      /**< log(1 / p) */
  ACTIVATION_REVERSE_SIGMOID, /**< s(x) - 1/2 - power * (s(inner * x) - 1/2), s the logistic function, x cut to -8 and 8
                               */
  ACTIVATION_LOG_REST,        /**< -log(1 + 1/64 - x) for x from 1/16 to 1: of a probability, that of all others */
  ACTIVATION_COUNT
};

/** y = gain * f(x / stretch). */
struct activation_use {
  enum activation kind;
  float gain, stretch; /* stretch > 0 */
  float power;         /* POWER, OCTAVE, REVERSE_SIGMOID */
  float inner;         /* REVERSE_SIGMOID: 0..100 */
};

double activation_value(const struct activation_use *use, double x);

enum activation_range {
  RANGE_FIXED,      /* activation_low(), activation_high() */
  RANGE_CALIBRATED, /* that of the argument in calibration */
  RANGE_OCTAVES,    /* the same, by octaves */
};
enum activation_range activation_range(enum activation kind);

/** RANGE_FIXED: beyond these values the function is within 0.003 * gain of its values there (erf and tanh: 0.001; exp
 * of a softmax: 1e-6). Multiples of stretch / 16, less than a power of two apart. */
double activation_low(const struct activation_use *use);
double activation_high(const struct activation_use *use);

/** f(-x) = f(x). */
bool activation_is_even(enum activation kind);

/** The function is constant on each of the pieces that an index of five bits makes of its range. */
bool activation_is_step(enum activation kind);

#endif
