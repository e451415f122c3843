/** Judging a fixed-point result by the float network's logits. Labels that changed are too coarse a measure on few
 *  samples, so every sample tells how near it came: an error of the logits is put beside the lead of the best. */
#include <math.h>

#include "compile/quantise_internal.h"

enum { RIVALS = 10 }; /* logits next to the best that may overtake it */

static size_t argmax_float(const float *v, size_t count) {
  size_t best = 0;
  for (size_t i = 1; i < count; i++)
    if (v[i] > v[best]) best = i;
  return best;
}

static size_t argmax_integer(const int64_t *v, size_t count) {
  size_t best = 0;
  for (size_t i = 1; i < count; i++)
    if (v[i] > v[best]) best = i;
  return best;
}

/** Decisions: the largest logit, or the sign where there is only one. */
static size_t float_label(const float *v, size_t count) {
  return count == 1 ? v[0] > 0 : argmax_float(v, count);
}

static size_t integer_label(const int64_t *v, size_t count) {
  return count == 1 ? v[0] > 0 : argmax_integer(v, count);
}

/** Root mean square of the logits' error over that of the logits about their mean. */
static double relative_error(const struct calibration *c, const int64_t *logits, double scale) {
  double error = 0, spread = 0;
  for (size_t s = 0; s < c->samples; s++) {
    const float *real = c->logits + s * c->logit_count;
    double mean = 0;
    for (size_t k = 0; c->logit_count > 1 && k < c->logit_count; k++) mean += (double)real[k] / (double)c->logit_count;
    for (size_t k = 0; k < c->logit_count; k++) {
      error += pow((double)logits[s * c->logit_count + k] * scale - (double)real[k], 2);
      spread += pow((double)real[k] - mean, 2);
    }
  }
  return spread > 0 ? sqrt(error / spread) : 0;
}

/** Positions of the `count` largest, best first. */
static void find_best(const float *v, size_t width, size_t count, size_t *out) {
  for (size_t i = 0; i < count; i++) {
    size_t best = SIZE_MAX;
    for (size_t k = 0; k < width; k++) {
      bool taken = false;
      for (size_t j = 0; j < i; j++) taken = taken || out[j] == k;
      if (!taken && (best == SIZE_MAX || v[k] > v[best])) best = k;
    }
    out[i] = best;
  }
}

/** Mean square error of the best logits about each sample's own mean: an error that all share changes no label. */
static double rival_variance(const struct calibration *c, const int64_t *logits, double scale, size_t rivals) {
  double sum = 0;
  for (size_t s = 0; s < c->samples; s++) {
    const float *real = c->logits + s * c->logit_count;
    size_t at[RIVALS + 1];
    double error[RIVALS + 1], mean = 0;
    find_best(real, c->logit_count, rivals, at);
    for (size_t i = 0; i < rivals; i++) {
      error[i] = (double)logits[s * c->logit_count + at[i]] * scale - (double)real[at[i]];
      mean += rivals > 1 ? error[i] / (double)rivals : 0;
    }
    for (size_t i = 0; i < rivals; i++) sum += pow(error[i] - mean, 2);
  }
  const double freedom = (double)c->samples * (double)(rivals > 1 ? rivals - 1 : 1);
  return sum / freedom;
}

/** What normal errors of the rivals' variance do to one sample: the probability that its label stays, and by how much
 * the probability of a right label falls, the float network's own probabilities (softmax of its logits) taken as true.
 */
struct fate {
  double keeps, loss;
};

static struct fate fate_of_sign(double logit, double variance) {
  const double changes = 0.5 * erfc(fabs(logit) / sqrt(2 * variance));
  return (struct fate){.keeps = 1 - changes, .loss = changes * tanh(fabs(logit) / 2)};
}

static struct fate fate_of(const float *real, size_t width, double variance, size_t rivals) {
  size_t at[RIVALS + 1];
  if (!(variance > 0)) return (struct fate){.keeps = 1};
  if (width == 1) return fate_of_sign((double)*real, variance);
  find_best(real, width, rivals, at);
  const double top = (double)real[at[0]];
  double sum = 0, changes = 0;
  struct fate f = {.keeps = 1};
  for (size_t k = 0; k < width; k++) sum += exp((double)real[k] - top);
  for (size_t i = 1; i < rivals; i++) {
    const double lead = top - (double)real[at[i]], overtakes = 0.5 * erfc(lead / sqrt(4 * variance));
    f.keeps *= 1 - overtakes;
    f.loss += overtakes * (1 - exp(-lead)) / sum;
    changes += overtakes;
  }
  /* One rival at most gets the label. */
  if (changes > 0) f.loss *= (1 - f.keeps) / changes;
  return f;
}

struct likeness judge_logits(const struct calibration *c, const int64_t *logits, double scale, const int64_t *labels) {
  struct likeness l = {.error = relative_error(c, logits, scale)};
  const size_t width = c->logit_count, rivals = size_min(width, RIVALS + 1);
  const double variance = rival_variance(c, logits, scale, rivals), n = (double)c->samples;
  double squares = 0;
  for (size_t s = 0; s < c->samples; s++) {
    const struct fate f = fate_of(c->logits + s * width, width, variance, rivals);
    const size_t real = float_label(c->logits + s * width, width), fixed = integer_label(logits + s * width, width);
    l.agreeing += real == fixed;
    l.float_right += labels && labels[s] == (int64_t)real;
    l.right += labels && labels[s] == (int64_t)fixed;
    l.expected += f.keeps / n;
    l.loss += f.loss / n;
    squares += f.keeps * f.keeps / n;
  }
  l.agreement = (double)l.agreeing / n;
  l.expected_error = sqrt(fmax(squares - l.expected * l.expected, 0) / n);
  return l;
}
