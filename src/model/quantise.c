/** The search: pairs of widths from narrow to wide, each judged by running the integers on the calibration samples. */
#include "model/quantise.h"

#include <math.h>
#include <stdatomic.h>

#include "model/execute.h"
#include "model/quantise_internal.h"

enum { INPUT_BITS_LEAST = 9, OUTPUT_BITS_DEFAULT = 16, INPUT_BITS_MOST = 16 };

/** Weight and activation widths, in order of what they cost: the sum decides an accumulator's ring. */
static const uint8_t candidates[][2] = {{8, 6},   {8, 7},   {8, 8},   {9, 8},   {9, 9},   {10, 9},
                                        {10, 10}, {11, 11}, {12, 12}, {13, 13}, {14, 14}, {16, 14}};

struct quantise_options quantise_defaults(void) {
  return (struct quantise_options){.margin_bits = 2, .agreement = 0.995, .logit_error = 0.0625, .equalise = true};
}

/** One set of widths, run on the calibration samples. */
struct trial {
  struct model *model;
  struct step_range *ranges; /* owned: [step] */
  size_t agreeing;
  double agreement, logit_error;
};

static void trial_free(struct trial *t) {
  model_free(t->model);
  mem_free(t->ranges);
  *t = (struct trial){0};
}

struct range_watch {
  _Atomic int64_t *low, *high; /* [step] */
};

static void watch_step(void *context, uint32_t step, size_t sample, const int64_t *values, size_t count) {
  (void)sample;
  struct range_watch *w = context;
  int64_t low = values[0], high = values[0];
  for (size_t i = 0; i < count; i++) {
    low = values[i] < low ? values[i] : low;
    high = values[i] > high ? values[i] : high;
  }
  int64_t seen = atomic_load(&w->low[step]);
  while (low < seen && !atomic_compare_exchange_weak(&w->low[step], &seen, low)) continue;
  seen = atomic_load(&w->high[step]);
  while (high > seen && !atomic_compare_exchange_weak(&w->high[step], &seen, high)) continue;
}

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

/** Samples whose decision is the float network's: the largest logit, or the sign where there is only one. */
static size_t count_agreeing(const struct calibration *c, const int64_t *logits) {
  size_t agreeing = 0;
  for (size_t s = 0; s < c->samples; s++) {
    const float *real = c->logits + s * c->logit_count;
    const int64_t *fixed = logits + s * c->logit_count;
    if (c->logit_count == 1)
      agreeing += (real[0] > 0) == (fixed[0] > 0);
    else
      agreeing += argmax_float(real, c->logit_count) == argmax_integer(fixed, c->logit_count);
  }
  return agreeing;
}

/** Root mean square of the logits' error over that of the logits about their mean. A finer measure than labels: few
 *  samples, or such as the network was trained on, keep their labels under errors that others would not survive. */
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

struct job {
  const struct network *net;
  const struct calibration *calibration;
  const float *input;
  const struct quantise_options *options;
};

/** Runs the wide model: integer ranges of every step, and the logits. */
static fusion_status measure(struct trial *t, const struct job *j, fusion_error *err) {
  const struct plan *plan = &t->model->plan;
  const size_t samples = j->calibration->samples, in = shape_size(plan->steps[0].out.shape);
  struct range_watch w = {mem_alloc(plan->count, sizeof *w.low), mem_alloc(plan->count, sizeof *w.high)};
  int64_t *inputs = mem_alloc(samples * in, sizeof *inputs);
  int64_t *logits = mem_alloc(samples * j->calibration->logit_count, sizeof *logits);
  const struct execute_options options = {.threads = j->options->threads, .observe = watch_step, .context = &w};
  fusion_status status;
  FAIL_IF(!w.low || !w.high || !inputs || !logits, FUSION_E_MEMORY);
  for (uint32_t i = 0; i < plan->count; i++) {
    atomic_init(&w.low[i], INT64_MAX);
    atomic_init(&w.high[i], INT64_MIN);
  }
  TRY(plan_quantise_input(plan, j->input, samples, inputs, err));
  TRY(plan_execute(t->model, inputs, samples, logits, &options));
  t->ranges = mem_alloc(plan->count, sizeof *t->ranges);
  FAIL_IF(!t->ranges, FUSION_E_MEMORY);
  for (uint32_t i = 0; i < plan->count; i++)
    t->ranges[i] = (struct step_range){atomic_load(&w.low[i]), atomic_load(&w.high[i])};
  t->agreeing = count_agreeing(j->calibration, logits);
  t->agreement = (double)t->agreeing / (double)samples;
  t->logit_error = relative_error(j->calibration, logits, plan->steps[plan->count - 1].out.scale);
cleanup:
  mem_free((void *)w.low);
  mem_free((void *)w.high);
  mem_free(inputs);
  mem_free(logits);
  return status;
}

static fusion_status try_widths(struct trial *t, const struct job *j, unsigned weight, unsigned activation,
                                fusion_error *err) {
  const struct quantise_options *o = j->options;
  unsigned input = o->input_bits;
  if (!input) input = activation > INPUT_BITS_LEAST ? activation : INPUT_BITS_LEAST;
  const struct widths widths = {.weight = weight,
                                .activation = activation,
                                .input = input,
                                .output = o->output_bits ? o->output_bits : OUTPUT_BITS_DEFAULT};
  *t = (struct trial){0};
  fusion_status status = quantise_scales(&t->model, j->net, &widths, err);
  if (status == FUSION_OK) status = measure(t, j, err);
  if (status != FUSION_OK) trial_free(t);
  return status;
}

static bool better(const struct trial *t, const struct trial *than) {
  if (!than->model) return true;
  return t->agreeing != than->agreeing ? t->agreeing > than->agreeing : t->logit_error < than->logit_error;
}

/** With fast rounding a value is one unit off at random, and copies are compared by label: finer units keep near-ties
 * from falling apart. */
static unsigned candidate_activation(const struct quantise_options *o, size_t k) {
  enum { FAST_SPARE_BITS = 4, MOST = 16 };
  const unsigned bits = candidates[k][1];
  if (o->rounding != PLAN_ROUNDING_FAST) return bits;
  return bits + FAST_SPARE_BITS < MOST ? bits + FAST_SPARE_BITS : MOST;
}

/** The narrowest candidate that is good enough, else the best of all. */
static fusion_status search(struct trial *best, const struct job *j, struct quantise_report *report,
                            fusion_error *err) {
  const struct quantise_options *o = j->options;
  *best = (struct trial){0};
  for (size_t k = 0; k < sizeof candidates / sizeof candidates[0]; k++) {
    const unsigned weight = o->weight_bits ? o->weight_bits : candidates[k][0];
    const unsigned activation = o->activation_bits ? o->activation_bits : candidate_activation(o, k);
    struct trial t;
    const fusion_status status = try_widths(&t, j, weight, activation, err);
    if (status != FUSION_OK) {
      trial_free(best);
      return status;
    }
    report->candidates++;
    const bool enough = t.agreement >= o->agreement && t.logit_error <= o->logit_error;
    if (!enough && !better(&t, best)) {
      trial_free(&t);
      continue;
    }
    trial_free(best);
    *best = t;
    report->weight_bits = weight;
    report->activation_bits = activation;
    report->agreement = t.agreement;
    report->logit_error = t.logit_error;
    report->enough = enough;
    if (enough || (o->weight_bits && o->activation_bits)) break;
  }
  return FUSION_OK;
}

static fusion_status check_options(const struct quantise_options *o, size_t samples, fusion_error *err) {
  if (!samples) return error_set(err, FUSION_E_INPUT, "calibration: no samples; give at least one, better 100");
  if (o->weight_bits && (o->weight_bits < 2 || o->weight_bits > 16))
    return error_set(err, FUSION_E_USAGE, "weight bits %u: out of range, give 2 to 16", o->weight_bits);
  if (o->activation_bits && (o->activation_bits < 4 || o->activation_bits > 16))
    return error_set(err, FUSION_E_USAGE, "activation bits %u: out of range, give 4 to 16", o->activation_bits);
  if (o->input_bits && (o->input_bits < 2 || o->input_bits > INPUT_BITS_MOST))
    return error_set(err, FUSION_E_USAGE, "input bits %u: out of range, give 2 to 16", o->input_bits);
  if (o->output_bits && (o->output_bits < 2 || o->output_bits > 32))
    return error_set(err, FUSION_E_USAGE, "output bits %u: out of range, give 2 to 32", o->output_bits);
  if (o->margin_bits > 8) return error_set(err, FUSION_E_USAGE, "margin %u: out of range, give 0 to 8", o->margin_bits);
  if (!(o->agreement >= 0 && o->agreement <= 1))
    return error_set(err, FUSION_E_USAGE, "agreement %g: out of range, give 0 to 1", o->agreement);
  if (!(o->logit_error >= 0))
    return error_set(err, FUSION_E_USAGE, "logit error %g: out of range, give 0 or more", o->logit_error);
  return FUSION_OK;
}

static fusion_status set_output(struct model *m, const struct network *net, const struct quantise_options *o,
                                fusion_error *err) {
  struct plan *plan = &m->plan;
  const size_t size = shape_size(plan->steps[plan->count - 1].out.shape);
  plan->rounding = o->rounding;
  plan->output = net->argmax && o->output == PLAN_OUTPUT_LOGITS ? PLAN_OUTPUT_LABEL : o->output;
  plan->softmax = net->softmax && plan->output == PLAN_OUTPUT_LOGITS;
  plan->sigmoid = net->sigmoid && plan->output == PLAN_OUTPUT_LOGITS;
  plan->top_k = plan->output == PLAN_OUTPUT_TOP_K ? o->top_k : 0;
  if (plan->output == PLAN_OUTPUT_TOP_K && (plan->top_k < 1 || plan->top_k > size))
    return error_set(err, FUSION_E_USAGE, "top-k %u: the network has %zu outputs", o->top_k, size);
  return FUSION_OK;
}

static fusion_status prepare(struct network *net, struct calibration *calibration, const struct graph *graph,
                             const struct quantise_options *options, const float *input, size_t samples,
                             fusion_error *err) {
  fusion_status status = network_lower(net, graph, err);
  if (status != FUSION_OK) return status;
  status = calibrate(calibration, graph, net->logits, input, samples);
  if (status != FUSION_OK)
    return error_set(err, status, "calibration: %s",
                     status == FUSION_E_MODEL ? "the network makes infinite or undefined values on these samples"
                                              : fusion_status_text(status));
  status = network_set_ranges(net, graph, calibration->low, calibration->high);
  if (status == FUSION_OK && options->equalise) status = network_equalise(net);
  return status;
}

fusion_status quantise_graph(struct model **out, const struct graph *graph, const float *input, size_t samples,
                             const struct quantise_options *options, struct quantise_report *report,
                             fusion_error *err) {
  struct network net = {0};
  struct calibration calibration = {0};
  struct trial best = {0};
  fusion_status status;
  *out = NULL;
  *report = (struct quantise_report){.samples = samples};
  TRY(check_options(options, samples, err));
  TRY(prepare(&net, &calibration, graph, options, input, samples, err));
  const struct job job = {.net = &net, .calibration = &calibration, .input = input, .options = options};
  TRY(search(&best, &job, report, err));
  TRY(set_output(best.model, &net, options, err));
  TRY(quantise_rings(best.model, best.ranges, options->margin_bits, err));
  *out = best.model;
  best.model = NULL;
cleanup:
  if (status == FUSION_E_MEMORY) error_set(err, status, "out of memory while compiling");
  trial_free(&best);
  calibration_free(&calibration);
  network_free(&net);
  return status;
}
