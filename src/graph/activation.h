/** Functions of one number that networks use as activations. Each levels out on both sides, so that a table of a short
 *  range is enough; what does not, like Gelu, is a Relu less such a function. */
#ifndef FUSION_GRAPH_ACTIVATION_H
#define FUSION_GRAPH_ACTIVATION_H

enum activation {
  ACTIVATION_SIGMOID,   /**< 1 / (1 + exp(-x)) */
  ACTIVATION_TANH,      /**< tanh(x) */
  ACTIVATION_ERF,       /**< erf(x) */
  ACTIVATION_EXP_TAIL,  /**< exp(min(x, 0)) - 1: Elu is its sum with relu(x) */
  ACTIVATION_SOFTPLUS,  /**< log(1 + exp(-|x|)): Softplus is its sum with relu(x) */
  ACTIVATION_GELU,      /**< -|x| Phi(-|x|): Gelu is its sum with relu(x) */
  ACTIVATION_GELU_TANH, /**< the same for Gelu's approximation by tanh */
  ACTIVATION_COUNT
};

/** y = gain * f(x / stretch). */
struct activation_use {
  enum activation kind;
  float gain, stretch; /* stretch > 0 */
};

double activation_value(const struct activation_use *use, double x);

/** Beyond these values the function is within 0.003 * gain of its values there (erf and tanh: 0.001). Multiples of
 *  stretch / 16, less than a power of two apart. */
double activation_low(const struct activation_use *use);
double activation_high(const struct activation_use *use);

#endif
