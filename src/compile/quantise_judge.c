/** Judging a fixed-point result by the float network's logits. Labels that changed are too coarse a measure on few
 *  samples, so every sample tells how near it came: an error of the logits is put beside the lead of the best. */
#include <math.h>

#include "compile/quantise_internal.h"

enum {
  RIVALS = 10,        /* logits next to the best that may overtake it */
  TEST_SAMPLES = 1000 /* of the test that the bound on the loss speaks of */
};
static const double confidence_95 = 1.645; /* one-sided, in deviations of a normal variable */
/* Share of unseen samples whose label changes, for each unit of the logits' relative error: the least to reckon with.
 * Networks are surer of samples that they were trained on, which calibration samples often are, and 40 samples show no
 * near-ties that one sample in 100 is. Measured on 1,000 test images at errors of 1.5 to 9 %: 0 to 0.12 for MNIST (98
 * to 99 % right), 0.12 to 0.37 for ResNet-20 and -32 on CIFAR-10 (92 %), which is about three times the share that the
 * network gets wrong. This is of a network that gets 8 % wrong; a worse one shows its near-ties in its own leads. */
static const double near_ties_least = 0.25;

/* The middle of what was measured. */
static const double near_ties_usual = 0.125;

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

/** What normal errors of the rivals' variance do to one sample: the probability that its label stays, by how much the
 * probability of a right label falls, the probability that the label turns from right to wrong or back, and the same
 * of a change for certain to the runner-up. The float network's own probabilities (softmax of its logits, or of what a
 * defence hides) are taken as true. */
struct fate {
  double keeps, loss, turns, turns_at_tie;
};

static struct fate fate_of_sign(double logit, double own, double variance) {
  const double changes = 0.5 * erfc(fabs(logit) / sqrt(2 * variance));
  return (struct fate){
      .keeps = 1 - changes, .loss = changes * tanh(fabs(own) / 2), .turns = changes, .turns_at_tie = 1};
}

/** `own`: whose softmax is the probabilities. */
static struct fate fate_of(const float *real, const float *own, size_t width, double variance, size_t rivals) {
  size_t at[RIVALS + 1] = {0};
  if (!(variance > 0)) return (struct fate){.keeps = 1};
  if (width == 1) return fate_of_sign((double)*real, (double)*own, variance);
  find_best(real, width, rivals, at);
  const double top = (double)real[at[0]], first = (double)own[at[0]];
  double sum = 0, changes = 0;
  struct fate f = {.keeps = 1};
  for (size_t k = 0; k < width; k++) sum += exp((double)own[k] - first);
  f.turns_at_tie = (1 + exp((double)own[at[1]] - first)) / sum;
  for (size_t i = 1; i < rivals; i++) {
    const double lead = top - (double)real[at[i]], overtakes = 0.5 * erfc(lead / sqrt(4 * variance));
    f.keeps *= 1 - overtakes;
    const double ratio = exp((double)own[at[i]] - first);
    f.loss += overtakes * (1 - ratio) / sum;
    f.turns += overtakes * (1 + ratio) / sum;
    changes += overtakes;
  }
  /* One rival at most gets the label. */
  if (changes > 0) f.loss *= (1 - f.keeps) / changes;
  if (changes > 0) f.turns *= (1 - f.keeps) / changes;
  return f;
}

/** Sums over the samples. */
struct fates {
  double loss, loss_squares, turns, turns_at_tie;
};

/** Two answers to one test are paired: only samples that turn from right to wrong or back count, each by one, so the
 * accuracy changes by the expected loss with the variance (share that turns) / TEST_SAMPLES; to which that of the
 * loss's estimate from n samples adds. */
static double bound_loss(const struct fates *f, double relative_error, double n) {
  const double turns = fmax(f->turns, near_ties_least * relative_error * f->turns_at_tie) / n;
  const double estimate = n > 1 ? fmax(f->loss_squares - f->loss * f->loss / n, 0) / (n * (n - 1)) : 0;
  return f->loss / n + confidence_95 * sqrt(turns / TEST_SAMPLES + estimate);
}

struct likeness judge_logits(const struct calibration *c, const int64_t *logits, double scale, const int64_t *labels) {
  struct likeness l = {.error = relative_error(c, logits, scale)};
  const size_t width = c->logit_count, rivals = size_min(width, RIVALS + 1);
  const double variance = rival_variance(c, logits, scale, rivals), n = (double)c->samples;
  struct fates sums = {0};
  double squares = 0;
  for (size_t s = 0; s < c->samples; s++) {
    const float *own = (c->chances ? c->chances : c->logits) + s * width;
    const struct fate f = fate_of(c->logits + s * width, own, width, variance, rivals);
    const size_t real = float_label(c->logits + s * width, width), fixed = integer_label(logits + s * width, width);
    l.agreeing += real == fixed;
    l.float_right += labels && labels[s] == (int64_t)real;
    l.right += labels && labels[s] == (int64_t)fixed;
    l.expected += f.keeps / n;
    l.loss += f.loss / n;
    squares += f.keeps * f.keeps / n;
    sums.loss += f.loss;
    sums.loss_squares += f.loss * f.loss;
    sums.turns += f.turns;
    sums.turns_at_tie += f.turns_at_tie;
  }
  l.agreement = (double)l.agreeing / n;
  l.loss_bound = bound_loss(&sums, l.error, n);
  l.expected_error = sqrt(fmax(squares - l.expected * l.expected, 0) / n);
  return l;
}

/* Networks are surer of the samples that calibrate than of others, so what these let expect is too good: labels change
 * no less than they did here, and no less than is usual for the error. How far it may be off: by as much as is usual,
 * and by what a share of so few samples tells. */
void likeness_foresee(const struct likeness *l, size_t samples, double *expected, double *deviation) {
  const double usual = fmin(near_ties_usual * l->error, 1);
  const double changes = fmax(fmax(1 - l->expected, 1 - l->agreement), usual);
  const double sampling = (changes * (1 - changes) + 1 / (double)samples) / (double)samples; /* none seen is not none */
  *expected = 1 - changes;
  *deviation = sqrt(sampling + usual * usual + l->expected_error * l->expected_error);
}
