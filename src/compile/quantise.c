/** From graph to model. First a fine model, whose run on the calibration samples shows how large values get; then the
 *  widths that were asked for, or a search. */
#include "compile/quantise.h"

#include <math.h>

#include "compile/quantise_internal.h"
#include "execute/execute.h"

enum {
  INPUT_BITS_LEAST = 9,
  OUTPUT_BITS_DEFAULT = 16,
  INPUT_BITS_MOST = 16,
  FINE_BITS = 12, /* of weights and activations of the first run */
  /* Of an input whose features have units of their own: tails of some leave few bits to the rest of their values. */
  FOLDED_BITS = 12,
  FOLDED_FINE_BITS = 16,
};

struct quantise_options quantise_defaults(void) {
  return (struct quantise_options){.margin_bits = 2,
                                   .overflow = 1e-3,
                                   .agreement = 0.9,
                                   .accuracy_loss = 0.005,
                                   .logit_error = 0.0625,
                                   .equalise = true};
}

void attempt_free(struct attempt *a) {
  model_free(a->model);
  mem_free(a->logits);
  *a = (struct attempt){0};
}

struct watch {
  struct step_extremes *extremes;
  const struct program *program;
};

/* Each step and sample has its own place: no lock. */
static void watch_step(void *context, uint32_t step, size_t sample, const int64_t *values, size_t count) {
  const struct watch *w = context;
  extremes_take(w->extremes, step, sample, values, count, w->program->steps[step].out.scale);
}

fusion_status attempt_run(struct attempt *out, const struct quantise_job *job, const struct precision *precision,
                          size_t samples, struct step_extremes *extremes, fusion_error *err) {
  const struct calibration *c = job->calibration;
  struct attempt a = {0};
  int64_t *inputs = NULL;
  fusion_status status;
  TRY(quantise_scales(&a.model, job->net, precision, err));
  if (job->bounds) TRY(quantise_rings(a.model, job->bounds, job->overflow, err));
  const struct program *program = &a.model->program;
  a.model->program.reach_bits = (uint8_t)size_min(bound_reach_bits(job->net, program->steps[0].out.scale, c->samples),
                                                  program->steps[0].out.value_bits);
  struct watch watch = {extremes, program};
  const struct execute_options options = {
      .threads = job->options->threads, .observe = extremes ? watch_step : NULL, .context = &watch};
  inputs = mem_alloc(samples * shape_size(program->steps[0].out.shape), sizeof *inputs);
  a.logits = mem_alloc(samples * c->logit_count, sizeof *a.logits);
  FAIL_IF(!inputs || !a.logits, FUSION_E_MEMORY);
  TRY(program_quantise_input(program, job->input, samples, inputs, err));
  TRY(program_execute(a.model, inputs, samples, a.logits, &options));
  if (samples == c->samples)
    a.likeness = judge_logits(c, a.logits, program->steps[program->count - 1].out.scale, job->options->labels);
cleanup:
  mem_free(inputs);
  if (status != FUSION_OK) attempt_free(&a);
  *out = a;
  return status;
}

/** Width at which the input's integers tell the sides of every threshold apart; 0 without thresholds. */
static unsigned threshold_width(const struct network *net) {
  const double gap = network_threshold_gap(net);
  if (!isfinite(gap)) return 0;
  const double range = network_node_magnitude(&net->nodes[0]);
  for (unsigned bits = INPUT_BITS_LEAST; bits <= INPUT_BITS_MOST; bits++)
    if (range / (ldexp(1, (int)bits - 1) - 1) < gap) return bits;
  return INPUT_BITS_MOST + 1;
}

/** Samples that did not calibrate come nearer to thresholds than the width that tells these apart would do for. */
static unsigned decision_width(unsigned usual, unsigned tells) {
  enum { FINER_BITS = 2 };
  const unsigned wanted = tells + FINER_BITS > usual ? tells + FINER_BITS : usual;
  return wanted < INPUT_BITS_MOST ? wanted : INPUT_BITS_MOST;
}

static unsigned input_width(const struct quantise_options *o, unsigned activation, unsigned folded) {
  if (o->input_bits) return o->input_bits;
  if (activation < folded) return folded;
  return activation > INPUT_BITS_LEAST ? activation : INPUT_BITS_LEAST;
}

/** Accumulators whose ring may overflow: they share the probability that the options allow. */
static unsigned count_trees(const struct network *net) {
  unsigned trees = 0;
  for (uint32_t i = 0; i < net->count; i++) {
    const struct network_node *d = &net->nodes[i];
    trees += node_operator(d)->raw == RAW_CLEANS && node_is_raw(&net->nodes[d->inputs[0]]);
  }
  return trees ? trees : 1;
}

static void find_degrees(const struct network *net, double *degree) {
  enum { MOST = 16 };
  for (uint32_t i = 0; i < net->count; i++) {
    const struct network_node *d = &net->nodes[i];
    degree[i] = d->input_count ? 0 : 1;
    for (uint32_t k = 0; k < d->input_count; k++) degree[i] = fmax(degree[i], degree[d->inputs[k]]);
    if (node_operator(d)->scale == SCALE_TABLE) degree[i] = 1;
    if (node_operator(d)->scale == SCALE_WHOLE) degree[i] = 0; /* 0 or 1: as a factor it makes no tail longer */
    if (node_operator(d)->scale == SCALE_PRODUCT) degree[i] = fmin(degree[d->inputs[0]] + degree[d->inputs[1]], MOST);
  }
  for (uint32_t i = 0; i < net->count; i++) degree[i] = fmax(degree[i], 1);
}

/** The fine model, and what it shows of the values' ranges. */
static fusion_status run_fine(struct attempt *fine, struct quantise_job *job, const struct precision *precision,
                              fusion_error *err) {
  const struct quantise_options *o = job->options;
  const uint32_t count = job->net->count;
  struct step_extremes extremes = {0};
  fusion_status status;
  job->bounds = NULL;
  struct step_bound *bounds = mem_alloc(count, sizeof *bounds);
  FAIL_IF(!bounds, FUSION_E_MEMORY);
  TRY(extremes_open(&extremes, count, job->calibration->samples));
  find_degrees(job->net, extremes.degree);
  TRY(attempt_run(fine, job, precision, job->calibration->samples, &extremes, err));
  extremes_bound(bounds, &extremes, o->overflow / count_trees(job->net), o->margin_bits);
  if (job->net->input_units.count)
    bounds[0].magnitude = fmax(bounds[0].magnitude, 2); /* a unit with its room, once more */
  else if (o->overflow > 0)
    extremes_bound_input(&bounds[0], &extremes);
  job->bounds = bounds;
  bounds = NULL;
cleanup:
  mem_free(bounds);
  extremes_close(&extremes);
  return status;
}

bool likeness_enough(const struct likeness *l, const struct quantise_options *o, size_t samples) {
  enum { HALF_A_POINT = 200 };
  return l->right + samples / HALF_A_POINT >= l->float_right && l->expected >= o->agreement &&
         l->loss_bound <= o->accuracy_loss && l->error <= o->logit_error;
}

static double largest_deviation(const struct calibration *c, const struct attempt *a) {
  const struct program *program = &a->model->program;
  const double scale = program->steps[program->count - 1].out.scale;
  double worst = 0;
  for (size_t i = 0; i < c->samples * c->logit_count; i++) {
    const double deviation = fabs((double)a->logits[i] * scale - (double)c->logits[i]);
    if (deviation > worst) worst = deviation; /* not fmax: see softmax in float_layer.c */
  }
  return worst;
}

/** What the report says of a finished model. */
static void describe(struct quantise_report *r, const struct quantise_job *job, const struct attempt *a) {
  const struct program *program = &a->model->program;
  const struct quantise_options *o = job->options;
  double weights = 0, values = 0;
  r->agreement = a->likeness.agreement;
  likeness_foresee(&a->likeness, r->samples, &r->expected, &r->expected_error);
  r->logit_error = a->likeness.error;
  r->logit_deviation = largest_deviation(job->calibration, a);
  r->loss = a->likeness.loss;
  r->loss_bound = a->likeness.loss_bound;
  r->enough = likeness_enough(&a->likeness, o, r->samples);
  for (uint32_t i = 0; i < program->count; i++) {
    const struct program_step *s = &program->steps[i];
    if (step_has_matrix(s)) {
      const double count = (double)program_weight_count(program, i);
      r->weight_bits = s->weight_bits > r->weight_bits ? s->weight_bits : r->weight_bits;
      r->mean_weight_bits += s->weight_bits * count;
      weights += count;
    }
    r->steps[i].overflow = job->overflow[i];
    r->overflow += job->overflow[i];
    const bool cleans = step_operator(s)->raw == RAW_CLEANS && i + 1 < program->count;
    if (cleans && program->steps[s->inputs[0]].out.raw) {
      const unsigned bits = (unsigned)program->steps[s->inputs[0]].out.ring_bits - s->shift;
      const double count = (double)shape_size(s->out.shape);
      r->steps[s->inputs[0]].guaranteed = !(job->overflow[s->inputs[0]] > 0);
      r->trees++;
      r->guaranteed += !(job->overflow[s->inputs[0]] > 0);
      r->activation_bits = bits > r->activation_bits ? bits : r->activation_bits;
      r->mean_activation_bits += bits * count;
      values += count;
    }
  }
  r->overflow = r->overflow < 1 ? r->overflow : 1;
  if (weights > 0) r->mean_weight_bits /= weights;
  if (values > 0) r->mean_activation_bits /= values;
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
  if (!(o->overflow >= 0 && o->overflow <= 0.1))
    return error_set(err, FUSION_E_USAGE, "overflow %g: out of range, give 0 to 0.1", o->overflow);
  if (o->margin_bits > 8) return error_set(err, FUSION_E_USAGE, "margin %u: out of range, give 0 to 8", o->margin_bits);
  if (!(o->agreement >= 0 && o->agreement <= 1))
    return error_set(err, FUSION_E_USAGE, "agreement %g: out of range, give 0 to 1", o->agreement);
  if (!(o->accuracy_loss >= 0 && o->accuracy_loss <= 1))
    return error_set(err, FUSION_E_USAGE, "accuracy loss %g: out of range, give 0 to 1", o->accuracy_loss);
  if (!(o->logit_error >= 0))
    return error_set(err, FUSION_E_USAGE, "logit error %g: out of range, give 0 or more", o->logit_error);
  return FUSION_OK;
}

static fusion_status set_output(struct model *m, const struct network *net, const struct quantise_options *o,
                                fusion_error *err) {
  struct program *program = &m->program;
  const size_t size = shape_size(program->steps[program->count - 1].out.shape);
  program->rounding = o->rounding;
  program->output = net->argmax && o->output == OUTPUT_LOGITS ? OUTPUT_LABEL : o->output;
  program->softmax = net->softmax && program->output == OUTPUT_LOGITS;
  program->log_softmax = net->log_softmax && program->softmax;
  program->sigmoid = net->sigmoid && program->output == OUTPUT_LOGITS;
  program->top_k = program->output == OUTPUT_TOP_K ? o->top_k : 0;
  if (o->defence.kind != DEFENCE_NONE) program->softmax = o->classes;
  if (o->defence.kind != DEFENCE_NONE) program->sigmoid = !o->classes;
  if (program->output == OUTPUT_TOP_K && (program->top_k < 1 || program->top_k > size))
    return error_set(err, FUSION_E_USAGE, "top-k %u: the network has %zu outputs", o->top_k, size);
  return FUSION_OK;
}

/** Says what the answers are. Rounded ones go from the refined grid, on which widths were judged, to their own: the
 * last truncation takes off more. */
static fusion_status set_defence(struct model *m, const struct quantise_job *job, fusion_error *err) {
  struct program *program = &m->program;
  const struct defence *d = &job->options->defence;
  const unsigned finer = defence_finer(d);
  struct program_step *last = &program->steps[program->count - 1], *cut = last - 1;
  program->defence = *d;
  if (!finer) return FUSION_OK;
  if (last->op != OP_GATHER || cut->op != OP_TRUNCATE) return FUSION_E_INTERNAL;
  cut->shift = (uint8_t)(cut->shift + finer);
  cut->out.scale = last->out.scale = ldexp(cut->out.scale, (int)finer);
  if (defence_unit_fits(d, last->out.scale)) return quantise_rings(m, job->bounds, NULL, err);
  return error_set(err, FUSION_E_UNREACHABLE, "no scale for rounded probabilities; give more weight bits");
}

/** The network with what the samples show of it; calibrates at the first call. */
static fusion_status prepare(struct network *net, struct calibration *calibration, const struct graph *graph,
                             const struct quantise_job *job, enum network_parting apart, fusion_error *err) {
  const struct quantise_options *o = job->options;
  const float *input = job->input;
  const size_t samples = job->samples;
  const uint32_t logits = graph_logits(graph), own = o->defence.kind != DEFENCE_NONE ? o->defended : logits;
  fusion_status status = FUSION_OK;
  if (!calibration->samples) status = calibrate(calibration, graph, logits, own, input, samples);
  if (status != FUSION_OK)
    return error_set(err, status, "calibration: %s",
                     status == FUSION_E_MODEL ? "the network makes infinite or undefined values on these samples"
                                              : fusion_status_text(status));
  const struct network_ranges ranges = {calibration->low, calibration->high, calibration->mean};
  status = network_lower(net, graph, &ranges, apart, err);
  if (status == FUSION_OK) network_set_thresholds(net, input, samples);
  return status == FUSION_OK ? network_set_ranges(net, graph, &ranges) : status;
}

static bool widths_are_given(const struct quantise_options *o) {
  return o->weight_bits && o->activation_bits;
}

/** The widths that were given, or the search for those that were not. */
static fusion_status choose(struct attempt *best, struct quantise_job *job, struct quantise_report *report,
                            fusion_error *err) {
  const struct quantise_options *o = job->options;
  const unsigned output = o->output_bits ? o->output_bits : OUTPUT_BITS_DEFAULT;
  const unsigned activation = o->activation_bits ? o->activation_bits : INPUT_BITS_LEAST;
  const bool folded = job->net->input_units.count;
  const unsigned tells = o->input_bits ? 0 : threshold_width(job->net);
  struct precision fine = {.weight = FINE_BITS,
                           .activation = FINE_BITS,
                           .input = input_width(o, FINE_BITS, folded ? FOLDED_FINE_BITS : 0),
                           .output = output};
  struct precision start = {.weight = o->weight_bits ? o->weight_bits : FINE_BITS,
                            .activation = o->activation_bits ? o->activation_bits : FINE_BITS,
                            .input = input_width(o, activation, folded ? FOLDED_BITS : 0),
                            .output = output};
  struct attempt base = {0};
  fusion_status status;
  if (tells) fine.input = start.input = decision_width(start.input, tells);
  TRY(run_fine(&base, job, &fine, err));
  report->candidates++;
  if (widths_are_given(o)) {
    report->candidates++;
    TRY(attempt_run(best, job, &start, job->calibration->samples, NULL, err));
  } else {
    TRY(quantise_search(best, job, &base, &start, report, err));
  }
cleanup:
  attempt_free(&base);
  return status;
}

/** What may be done to a network before its widths are chosen. */
struct variant {
  bool equalise;
  bool fold; /* the input gets units of its own (network_fold_input) */
  enum network_parting apart;
};

/** A network in a variant, and the best model that was made of it. */
struct candidate {
  struct network net;
  struct attempt best;
  struct step_bound *bounds;          /* owned */
  struct quantise_step_report *steps; /* owned */
};

static void candidate_close(struct candidate *c) {
  attempt_free(&c->best);
  mem_free(c->bounds);
  mem_free(c->steps);
  network_free(&c->net);
}

/** What candidates are made of. */
struct source {
  const struct graph *graph;
  struct calibration *calibration;
  struct quantise_job *job;
  struct quantise_report *report;
};

/** The job goes on with this candidate. */
static void take(struct quantise_job *job, const struct candidate *c) {
  job->net = &c->net;
  job->bounds = c->bounds;
}

/** `best` stays empty where the variant does not apply. */
static fusion_status make_candidate(struct candidate *c, const struct source *from, struct variant variant,
                                    fusion_error *err) {
  struct quantise_job *job = from->job;
  fusion_status status;
  TRY(prepare(&c->net, from->calibration, from->graph, job, variant.apart, err));
  if (variant.fold) TRY(network_fold_input(&c->net, job->input, job->samples));
  if ((variant.fold && !c->net.input_units.count) || (variant.apart && !c->net.parted)) return FUSION_OK;
  if (variant.equalise) TRY(network_equalise(&c->net));
  c->steps = mem_alloc(c->net.count, sizeof *c->steps);
  if (c->net.count > job->overflow_room) {
    mem_free(job->overflow);
    job->overflow_room = c->net.count;
    job->overflow = mem_alloc(job->overflow_room, sizeof *job->overflow);
  }
  FAIL_IF(!c->steps || !job->overflow, FUSION_E_MEMORY);
  take(job, c);
  from->report->steps = c->steps;
  status = choose(&c->best, job, from->report, err);
  from->report->steps = NULL;
  c->bounds = job->bounds;
cleanup:
  return status;
}

/** Makes another variant and keeps the better of the two; `chosen` may be empty. */
static fusion_status try_variant(struct candidate *chosen, const struct source *from, struct variant variant,
                                 fusion_error *err) {
  const struct quantise_options *o = from->job->options;
  const size_t samples = from->report->samples;
  struct candidate other = {0};
  const fusion_status status = make_candidate(&other, from, variant, err);
  const struct likeness *a = &chosen->best.likeness, *b = &other.best.likeness;
  const bool either = !widths_are_given(o) && likeness_enough(a, o, samples) != likeness_enough(b, o, samples);
  const bool better = either ? likeness_enough(b, o, samples) : b->error < a->error;
  if (status == FUSION_OK && other.best.model && (!chosen->best.model || better)) {
    const struct candidate worse = *chosen;
    *chosen = other;
    other = worse;
  }
  take(from->job, chosen);
  candidate_close(&other);
  return status;
}

/** No program holds the variant: its biases, shifts or rings are too large. Another may fit. */
static bool does_not_fit(fusion_status status) {
  return status == FUSION_E_UNREACHABLE || status == FUSION_E_MODEL;
}

/** Shrinking a channel spares weights and costs values; with given widths, which do not follow, either may weigh more:
 *  so the network is tried as it is, too. One scale for the whole input is the rule, as it tells a client least; where
 * it is not enough, or widths are given, units for each feature are tried. */
static fusion_status choose_units(struct candidate *chosen, const struct source *from, fusion_error *err) {
  const struct quantise_options *o = from->job->options;
  const bool both = o->equalise && widths_are_given(o);
  fusion_error why = {.status = FUSION_OK}, why_units = why;
  const fusion_status first = make_candidate(chosen, from, (struct variant){.equalise = o->equalise}, &why);
  fusion_status status = first;
  if (first == FUSION_OK && both) TRY(try_variant(chosen, from, (struct variant){0}, &why));
  const bool tells = first != FUSION_OK || threshold_width(&chosen->net) <= INPUT_BITS_MOST;
  const bool enough = first == FUSION_OK && tells && !widths_are_given(o) &&
                      likeness_enough(&chosen->best.likeness, o, from->report->samples);
  if (enough || o->single_input_scale || (first != FUSION_OK && !does_not_fit(first))) goto cleanup;
  if (first != FUSION_OK) candidate_close(chosen);
  if (first != FUSION_OK) *chosen = (struct candidate){0};
  status = try_variant(chosen, from, (struct variant){.equalise = o->equalise, .fold = true}, &why_units);
  if (status == FUSION_OK && both && chosen->net.input_units.count)
    status = try_variant(chosen, from, (struct variant){.fold = true}, &why_units);
  if (!does_not_fit(status) && status != FUSION_OK) return error_set(err, status, "%s", why_units.text);
  status = chosen->best.model ? FUSION_OK : first; /* one scale is what there is, if it is */
cleanup:
  return status == FUSION_OK ? status : error_set(err, status, "%s", why.text);
}

/** Where additions give a product's factor a coarse scale, it is kept apart: if it is not enough otherwise, or widths
 * are given and it is better. Where nothing else fits, all small tensors are. */
static fusion_status choose_variant(struct candidate *chosen, const struct source *from, fusion_error *err) {
  const struct quantise_options *o = from->job->options;
  fusion_error why = {.status = FUSION_OK}, why_apart = why;
  const fusion_status first = choose_units(chosen, from, &why);
  const bool enough =
      first == FUSION_OK && !widths_are_given(o) && likeness_enough(&chosen->best.likeness, o, from->report->samples);
  if (enough) return FUSION_OK;
  if (first != FUSION_OK && !does_not_fit(first)) return error_set(err, first, "%s", why.text);
  if (first != FUSION_OK) {
    candidate_close(chosen);
    *chosen = (struct candidate){0};
  }
  fusion_status status = FUSION_OK;
  for (enum network_parting apart = PART_FACTORS; apart <= PART_ALL; apart++) {
    if (apart == PART_ALL && chosen->best.model) break;
    status = try_variant(chosen, from, (struct variant){.equalise = o->equalise, .apart = apart}, &why_apart);
    if (!does_not_fit(status) && status != FUSION_OK) break;
  }
  if (!does_not_fit(status) && status != FUSION_OK) return error_set(err, status, "%s", why_apart.text);
  return chosen->best.model ? FUSION_OK : error_set(err, first, "%s", why.text);
}

/** The step whose values err most beside what it reads. */
static uint32_t find_worst(const struct quantise_job *job, const struct quantise_step_report *steps) {
  uint32_t worst = 0;
  double most = steps[0].error * steps[0].error;
  for (uint32_t i = 1; i < job->net->count; i++) {
    const struct network_node *d = &job->net->nodes[i];
    double before = 0;
    for (uint32_t k = 0; k < d->input_count; k++) before = fmax(before, steps[d->inputs[k]].error);
    const double gain = steps[i].error * steps[i].error - before * before;
    if (!(gain > most)) continue;
    most = gain;
    worst = i;
  }
  return worst;
}

/** Features that never change in the samples, of an input that is a row of features. */
static void count_constants(struct quantise_report *r, const struct calibration *c, struct shape shape) {
  if (shape.height != 1 || shape.width != 1) return;
  r->features = shape.channels;
  for (uint32_t k = shape.channels; k-- > 0;) {
    if (c->low[0][k] < c->high[0][k]) continue;
    r->constants++;
    r->first_constant = k;
  }
}

fusion_status quantise_graph(struct model **out, const struct graph *graph, const float *input, size_t samples,
                             const struct quantise_options *options, struct quantise_report *report,
                             fusion_error *err) {
  struct calibration calibration = {0};
  struct candidate c = {0};
  struct quantise_job job = {.calibration = &calibration, .input = input, .samples = samples, .options = options};
  const struct source from = {.graph = graph, .calibration = &calibration, .job = &job, .report = report};
  fusion_status status;
  *out = NULL;
  *report = (struct quantise_report){.samples = samples};
  TRY(check_options(options, samples, err));
  TRY(choose_variant(&c, &from, err));
  report->steps = c.steps;
  c.steps = NULL;
  TRY(set_output(c.best.model, &c.net, options, err));
  /* Once more, as the output's kind may ask for a wider last ring. */
  TRY(quantise_rings(c.best.model, job.bounds, job.overflow, err));
  describe(report, &job, &c.best);
  if (options->step_errors || !report->enough) TRY(quantise_errors(report->steps, &job, graph, c.best.model, err));
  if (options->rounding == ROUNDING_FAST) TRY(quantise_tolerance(&report->tolerance, &job, c.best.model, err));
  TRY(set_defence(c.best.model, &job, err));
  *out = c.best.model;
  c.best.model = NULL;
  report->worst = find_worst(&job, report->steps);
  count_constants(report, &calibration, graph->nodes[0].shape);
cleanup:
  if (status == FUSION_E_MEMORY) error_set(err, status, "out of memory while compiling");
  if (status != FUSION_OK) {
    mem_free(report->steps);
    report->steps = NULL;
  }
  candidate_close(&c);
  mem_free(job.overflow);
  calibration_free(&calibration);
  return status;
}
