/** What the files of quantisation share. */
#ifndef FUSION_COMPILE_QUANTISE_INTERNAL_H
#define FUSION_COMPILE_QUANTISE_INTERNAL_H

#include "compile/quantise.h"

/** How fine everything is. Widths in bits decide where the arrays are NULL or hold 0. */
struct precision {
  unsigned weight, activation, input, output;
  const double *scale; /* [node], read at a class's first node: the real value of one unit of its clean tensors */
  const double *unit;  /* [node], read at a root: the real value of one unit of the accumulators below it */
};

/** Scales and integer weights of every step, with rings so wide that nothing wraps where the values stay within four
 *  times the calibrated ranges. Biases take up what the rounded weights would shift a channel's average by (Nagel et
 * al., ICCV 2019, sec. 4.2; from the calibrated averages of the inputs). */
fusion_status quantise_scales(struct model **out, const struct network *net, const struct precision *precision,
                              fusion_error *err) FUSION_MUST_CHECK;

/** Which clean tensors share a scale (`first` [node]: the lowest node of each class) and which RELU or TRUNCATE ends a
 * raw node's tree of additions (`roots` [node]; 0 for clean ones). */
fusion_status quantise_classes(const struct network *net, uint32_t *first, uint32_t *roots) FUSION_MUST_CHECK;

/** Of one step, in real units. */
struct step_bound {
  double magnitude;       /* largest |value| to make room for */
  double root;            /* what follows is of the root-th roots: products of values have such tails */
  double mean, deviation; /* of the samples' largest |value| (deviation with its allowance for few samples) */
};

/** What one run of a model showed: extremes of each step in each sample. */
struct step_extremes {
  size_t samples;
  uint32_t steps;
  double *degree;     /* owned: [step]: of the step's values as a polynomial in values that no product made */
  double *low, *high; /* owned: [step][sample], real units */
};
fusion_status extremes_open(struct step_extremes *x, uint32_t steps, size_t samples) FUSION_MUST_CHECK;
void extremes_close(struct step_extremes *x);
void extremes_take(struct step_extremes *x, uint32_t step, size_t sample, const int64_t *values, size_t count,
                   double scale);

/** Fewer samples than this say nothing of a distribution's tail: margin_bits decide. */
enum { BOUND_SAMPLES_LEAST = 8 };
/** `out` [steps]. `overflow`: probability for each step and sample that may remain; 0: margin_bits decide. Each
 *  sample's largest value (its degree-th root) is taken as Gumbel-distributed, the limit law of maxima of light-tailed
 *  values, fitted by moments, its deviation raised by 1 + 2 / sqrt(samples). */
void extremes_bound(struct step_bound *out, const struct step_extremes *x, double overflow, unsigned margin_bits);
/** The input's bound, when no unit of its own says more: at most twice what was seen, where enough was seen. Test data
 * do not go further (docs/security.md), data of another scale do. */
void extremes_bound_input(struct step_bound *input, const struct step_extremes *x);
/** Signed width of the calibration samples' integers, or of a unit where these say little; 0 when there were too few
 * samples to tell. */
uint8_t bound_reach_bits(const struct network *net, double scale, size_t samples);
/** Probability that a sample's largest |value| passes `limit`, by the same law; 1 where nothing is known.
 */
double bound_overflow(const struct step_bound *b, double limit);

/** Replaces the wide rings by the narrowest that hold the bounds, or what no input can leave if that is narrower.
 *  `overflow` (may be NULL) [steps]: estimated probability that a sample's value leaves a raw tree's ring, at its top
 *  step; 0 where no input can. */
fusion_status quantise_rings(struct model *model, const struct step_bound *bounds, double *overflow,
                             fusion_error *err) FUSION_MUST_CHECK;

/** The range of a step's integers that no input can leave; `known` for what is made of comparisons alone. */
struct step_reach {
  bool known;
  int64_t low, high;
};
/** `reach` [steps], from the steps' fields, weights and biases. */
void quantise_reach(struct step_reach *reach, const struct model *m);
/** Signed width of a known range. */
unsigned reach_bits(struct step_reach r);

/** For each raw step the RELU or TRUNCATE that ends its tree of additions; 0 for clean ones. `roots` [program->count].
 */
void plan_find_roots(const struct program *program, uint32_t *roots);

/** How near integer logits are to the float network's. */
struct likeness {
  size_t agreeing;
  size_t right, float_right; /* labels, where they are known */
  double agreement;          /* share of the samples that keep their label */
  double expected; /* the same, expected from the logits' errors and margins; +- expected_error (one deviation) */
  double expected_error;
  double loss;       /* accuracy that is expected to be lost, the float network's own probabilities taken as true */
  double loss_bound; /* a test of 1,000 samples loses no more, with 95 % confidence */
  double error;      /* root mean square error relative to the logits' spread */
};
/** What to expect of samples that did not calibrate: the likeness's `expected` and `expected_error` with what the
 * calibrating samples alone would not say. `samples`: how many there were. */
void likeness_foresee(const struct likeness *l, size_t samples, double *expected, double *deviation);
/** All of the options' limits are kept. */
bool likeness_enough(const struct likeness *l, const struct quantise_options *o, size_t samples);
/** `labels` may be NULL. */
struct likeness judge_logits(const struct calibration *c, const int64_t *logits, double scale, const int64_t *labels);

/** One compiled attempt and how it did on samples. */
struct attempt {
  struct model *model;
  int64_t *logits; /* owned: [samples][logit_count] */
  struct likeness likeness;
};
void attempt_free(struct attempt *a);

struct quantise_job {
  const struct network *net;
  const struct calibration *calibration;
  const float *input;
  size_t samples;
  const struct quantise_options *options;
  struct step_bound *bounds; /* [step]; NULL before the first run */
  double *overflow;          /* [step], of the last attempt; room for overflow_room */
  uint32_t overflow_room;
};

/** Builds a model, narrows its rings where bounds are known, and runs the first `samples` samples. `extremes` may be
 * NULL. */
fusion_status attempt_run(struct attempt *out, const struct quantise_job *job, const struct precision *precision,
                          size_t samples, struct step_extremes *extremes, fusion_error *err) FUSION_MUST_CHECK;

/** Units by which two runs of one sample with fast rounding may differ. */
fusion_status quantise_tolerance(uint64_t *out, const struct quantise_job *job, const struct model *model,
                                 fusion_error *err) FUSION_MUST_CHECK;

/** Fills the steps' `error`, by runs of the float network and the model on a few calibration samples. */
fusion_status quantise_errors(struct quantise_step_report *steps, const struct quantise_job *job,
                              const struct graph *graph, const struct model *model,
                              fusion_error *err) FUSION_MUST_CHECK;

/** Bits for each layer. `base`: an attempt that is fine enough to be near the float network. Fills the report's steps.
 */
fusion_status quantise_search(struct attempt *best, const struct quantise_job *job, const struct attempt *base,
                              const struct precision *start, struct quantise_report *report,
                              fusion_error *err) FUSION_MUST_CHECK;

#endif
