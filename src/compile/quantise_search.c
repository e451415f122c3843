/** Bits for each layer. Two kinds of knob: the unit of a class of clean tensors, and the unit of the accumulators below
 * a RELU or TRUNCATE, which with its input's unit is that of the weights. A knob's step doubles its unit: one bit less.
 *
 *  Rounding errors are small, of different causes and so nearly uncorrelated: their squares add up at the logits. A
 *  class at step a adds A * 4^a; an accumulator at step s whose input is at step a adds B * 4^(s - a), as coarser
 * inputs leave room for finer weights. A and B are measured, one knob turned at a time, and so are the bytes that a
 * step saves. Then the steps that save most for a given error are found by descent for a Lagrange multiplier, which is
 *  bisected for the given error; and the error is bisected by running the whole model on all samples until the labels'
 *  criterion holds just so. */
#include <math.h>

#include "compile/quantise_internal.h"
#include "execute/execute.h"

enum {
  TURN = 5, /* steps of a measurement: far above the fine model's own error, far below the values */
  STEP_FINEST = -3,
  STEP_COARSEST = 8,
  DESCENTS = 12,
  MULTIPLIERS = 60,
  TRIALS = 7,
  FAST_SPARE_BITS = 4, /* finer units with fast rounding: a value is one off at random, and near-ties must hold */
  SENSE_SAMPLES_MOST = 16,
  SENSE_SAMPLES_LEAST = 4,
  LAYERS_MOST = 8, /* below one root; more than noise terms allow */
  REFINEMENTS = 6, /* halvings of the error that are tried for a row of features */
};
static const double sense_work = 4e11; /* multiplications that the measurements may take, if few samples do */

static const double refinement_cost = 1.05; /* of the bytes that a sample adds; all refinements together */

struct knob {
  bool accumulator;
  uint32_t node;               /* class: its first node; accumulator: its root */
  int32_t inputs[LAYERS_MOST]; /* accumulator: knobs of the classes that its linear layers read; -1: none */
  unsigned input_count;
  double unit;  /* at step 0 */
  double error; /* A or B, of the logits' mean square */
  double bytes; /* that a step saves */
  int step;
};

struct search {
  const struct quantise_job *job;
  const struct attempt *base;
  struct precision precision; /* its arrays are `scale` and `unit` */
  double *scale, *unit;       /* [node] */
  uint32_t *first, *roots;    /* [node] */
  struct knob *knobs;
  size_t count, samples; /* samples of a measurement */
  double spread;         /* mean square of the logits about their mean */
  float *doubtful;       /* owned: the samples of a measurement where they are not the first ones */
};

static void search_close(struct search *s) {
  mem_free(s->scale);
  mem_free(s->unit);
  mem_free(s->first);
  mem_free(s->roots);
  mem_free(s->knobs);
  mem_free(s->doubtful);
}

static const struct network_node *node_at(const struct search *s, uint32_t i) {
  return &s->job->net->nodes[i];
}

static bool is_raw(const struct search *s, uint32_t i) {
  return node_is_raw(node_at(s, i));
}

/** A RELU or TRUNCATE that reads a raw tensor, or a TRUNCATE behind a product. */
static bool cleans(const struct search *s, uint32_t i) {
  const struct network_node *d = node_at(s, i);
  if (node_operator(d)->raw != RAW_CLEANS) return false;
  return is_raw(s, d->inputs[0]) || node_operator(d)->scale == SCALE_SHIFTS;
}

/** The finest unit at which the class of node i holds the bounds in `bits` bits. A rounding constant takes half a unit.
 */
static double fitting_unit(const struct search *s, uint32_t class, unsigned bits) {
  const struct step_bound *bounds = s->job->bounds;
  double range = 0;
  unsigned octaves = 0;
  for (uint32_t i = 0; i < s->job->net->count; i++) {
    const struct network_node *d = node_at(s, i);
    if (is_raw(s, i) || s->first[i] != class) continue;
    const bool reads = cleans(s, i) && is_raw(s, d->inputs[0]);
    octaves = d->octaves > octaves ? d->octaves : octaves;
    range = fmax(range, bounds[reads ? d->inputs[0] : i].magnitude);
  }
  return range / (ldexp(1, (int)(bits + octaves) - 1) - 1);
}

static struct knob *add_knob(struct search *s, uint32_t node, double unit) {
  struct knob *k = &s->knobs[s->count++];
  *k = (struct knob){.node = node, .unit = unit};
  return k;
}

static int32_t class_knob(const struct search *s, uint32_t class) {
  for (size_t k = 0; k < s->count; k++)
    if (!s->knobs[k].accumulator && s->knobs[k].node == class) return (int32_t)k;
  return -1;
}

/** The file says the unit of a tensor of the class. */
static bool is_given(const struct search *s, uint32_t class) {
  for (uint32_t i = 0; i < s->job->net->count; i++)
    if (!is_raw(s, i) && s->first[i] == class && node_at(s, i)->step > 0) return true;
  return false;
}

/** A class has a knob unless it is the output's or the file's, whose width is given, or an average's, whose unit
 * follows.
 */
static void add_classes(struct search *s, unsigned bits) {
  const struct network *net = s->job->net;
  for (uint32_t i = 0; i < net->count; i++) {
    if (is_raw(s, i) || s->first[i] == s->first[net->count - 1]) continue;
    const bool input = i == 0 && !s->job->options->input_bits && !isfinite(network_threshold_gap(net));
    if ((!cleans(s, i) && !input) || class_knob(s, s->first[i]) >= 0) continue;
    const double unit = is_given(s, s->first[i]) ? 0 : fitting_unit(s, s->first[i], bits);
    if (unit > 0) add_knob(s, s->first[i], unit);
  }
}

/** The classes that the linear layers below a root read. */
static void find_inputs(const struct search *s, struct knob *k) {
  for (uint32_t i = 0; i < k->node; i++)
    if (s->roots[i] == k->node && node_operator(node_at(s, i))->weights == WEIGHTS_MATRIX &&
        k->input_count < LAYERS_MOST)
      k->inputs[k->input_count++] = class_knob(s, s->first[node_at(s, i)->inputs[0]]);
}

/** Thresholds, and layers that read whole numbers: what they read is exact, so coarse weights would be all that is
 * wrong with trees, and a few samples that reach few of their leaves would not show it. They keep the width to begin
 * with. */
static bool is_exact(const struct search *s, uint32_t i) {
  const struct network_node *d = node_at(s, i);
  return d->thresholds || (node_operator(d)->weights == WEIGHTS_MATRIX && node_at(s, d->inputs[0])->whole);
}

static void add_accumulators(struct search *s, const struct program *fine) {
  for (uint32_t i = 0; i < s->job->net->count; i++) {
    if (!cleans(s, i) || !is_raw(s, node_at(s, i)->inputs[0])) continue;
    if (is_exact(s, node_at(s, i)->inputs[0])) continue;
    /* A coarser accumulator would make the answers' grid coarser. */
    if (s->job->options->defence.kind == DEFENCE_ROUND && s->first[i] == s->first[s->job->net->count - 1]) continue;
    if (node_operator(node_at(s, node_at(s, i)->inputs[0]))->scale == SCALE_PRODUCT) continue; /* its unit follows */
    struct knob *k = add_knob(s, i, fine->steps[node_at(s, i)->inputs[0]].out.scale);
    k->accumulator = true;
    find_inputs(s, k);
  }
}

static void apply(struct search *s) {
  for (size_t k = 0; k < s->count; k++) {
    const struct knob *at = &s->knobs[k];
    (at->accumulator ? s->unit : s->scale)[at->node] = ldexp(at->unit, at->step);
  }
}

static double nominal_bytes(const struct program *program) {
  double bits = 0;
  for (uint32_t i = 0; i < program->count; i++)
    bits += (double)program->steps[i].out.ring_bits * (double)shape_size(program->steps[i].out.shape);
  return bits / 8;
}

static fusion_status count_bytes(const struct search *s, struct model *model, double *bytes) {
  const struct quantise_options *o = s->job->options;
  *bytes = nominal_bytes(&model->program);
  return o->cost ? o->cost(o->context, model, bytes) : FUSION_OK;
}

/** Mean square difference of two attempts' logits. */
static double difference(const struct search *s, const struct attempt *a, const struct attempt *b) {
  const size_t count = s->samples * s->job->calibration->logit_count;
  const double scale_a = a->model->program.steps[a->model->program.count - 1].out.scale;
  const double scale_b = b->model->program.steps[b->model->program.count - 1].out.scale;
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += pow((double)a->logits[i] * scale_a - (double)b->logits[i] * scale_b, 2);
  return sum / (double)count;
}

static fusion_status run_measured(const struct search *s, struct attempt *out, fusion_error *err) {
  struct quantise_job job = *s->job;
  if (s->doubtful) job.input = s->doubtful;
  return attempt_run(out, &job, &s->precision, s->samples, NULL, err);
}

/** Turns one knob and sees what it costs and saves. */
static fusion_status measure_knob(struct search *s, struct knob *k, const struct attempt *fine, double fine_bytes,
                                  fusion_error *err) {
  struct attempt turned;
  double bytes;
  k->step = TURN;
  apply(s);
  fusion_status status = run_measured(s, &turned, err);
  k->step = 0;
  if (status != FUSION_OK) return status;
  status = count_bytes(s, turned.model, &bytes);
  k->error = difference(s, &turned, fine) / pow(4, TURN);
  k->bytes = (fine_bytes - bytes) / TURN;
  attempt_free(&turned);
  return status;
}

static fusion_status measure(struct search *s, struct quantise_report *report, fusion_error *err) {
  struct attempt fine = {0};
  double bytes;
  fusion_status status;
  apply(s);
  TRY(run_measured(s, &fine, err));
  TRY(count_bytes(s, fine.model, &bytes));
  for (size_t k = 0; k < s->count; k++) TRY(measure_knob(s, &s->knobs[k], &fine, bytes, err));
  report->candidates += 1 + (unsigned)s->count;
cleanup:
  attempt_free(&fine);
  return status;
}

/** An accumulator's error is laid on its linear layers in equal parts. */
static double knob_error(const struct search *s, const struct knob *k) {
  if (!k->accumulator) return ldexp(k->error, 2 * k->step);
  double sum = 0;
  for (unsigned j = 0; j < k->input_count; j++) {
    const int input = k->inputs[j] < 0 ? 0 : s->knobs[k->inputs[j]].step;
    sum += ldexp(k->error, 2 * (k->step - input)) / k->input_count;
  }
  return sum;
}

static bool reads(const struct knob *accumulator, size_t knob) {
  for (unsigned j = 0; j < accumulator->input_count; j++)
    if (accumulator->inputs[j] == (int32_t)knob) return true;
  return false;
}

static double total_error(const struct search *s) {
  double sum = 0;
  for (size_t k = 0; k < s->count; k++) sum += knob_error(s, &s->knobs[k]);
  return sum;
}

/** What a knob's present step costs, in bytes. */
static double price(const struct search *s, size_t k, double multiplier) {
  double error = knob_error(s, &s->knobs[k]);
  for (size_t j = 0; !s->knobs[k].accumulator && j < s->count; j++)
    if (reads(&s->knobs[j], k)) error += knob_error(s, &s->knobs[j]);
  return multiplier * error - s->knobs[k].bytes * s->knobs[k].step;
}

static void descend(struct search *s, double multiplier) {
  for (size_t k = 0; k < s->count; k++) s->knobs[k].step = 0;
  for (int round = 0; round < DESCENTS; round++) {
    for (size_t k = 0; k < s->count; k++) {
      int best = 0;
      double least = INFINITY;
      for (int step = STEP_FINEST; step <= STEP_COARSEST; step++) {
        s->knobs[k].step = step;
        const double p = price(s, k, multiplier);
        if (p < least) {
          least = p;
          best = step;
        }
      }
      s->knobs[k].step = best;
    }
  }
}

/** The cheapest steps whose predicted error is at most `limit`. */
static void allocate(struct search *s, double limit) {
  double low = -100, high = 100; /* log2 of the multiplier: too coarse, fine enough */
  for (int i = 0; i < MULTIPLIERS; i++) {
    const double middle = (low + high) / 2;
    descend(s, exp2(middle));
    if (total_error(s) > limit)
      low = middle;
    else
      high = middle;
  }
  descend(s, exp2(high));
}

static fusion_status try_limit(struct search *s, struct attempt *out, double limit, fusion_error *err) {
  allocate(s, limit);
  for (size_t k = 0; s->job->options->rounding == ROUNDING_FAST && k < s->count; k++)
    s->knobs[k].step -= FAST_SPARE_BITS;
  apply(s);
  return attempt_run(out, s->job, &s->precision, s->job->calibration->samples, NULL, err);
}

static void report_steps(const struct search *s, struct quantise_report *report) {
  for (size_t k = 0; k < s->count; k++) {
    const struct knob *at = &s->knobs[k];
    const double share = s->spread > 0 ? knob_error(s, at) / s->spread : 0;
    if (at->accumulator) report->steps[at->node].weight_error = share;
    if (!at->accumulator) report->steps[at->node].value_error = share;
  }
}

/** Where the input is a row of features, or has units for each, a network is small, and so are its bits beside what any
 * run sends: errors are halved while that costs next to nothing. Tests of such networks are small too: of 200 samples a
 * changed label is half a point. `at`: log2 of the share of the error that was enough. */
static fusion_status refine(struct search *s, struct attempt *best, struct quantise_report *report, double at,
                            fusion_error *err) {
  const struct shape in = node_at(s, 0)->shape;
  const double top = pow(s->job->options->logit_error, 2) * s->spread;
  double limit, bytes;
  if ((in.height != 1 || in.width != 1) && !s->job->net->input_units.count) return FUSION_OK;
  fusion_status status = count_bytes(s, best->model, &limit);
  for (int trial = 0; trial < REFINEMENTS && status == FUSION_OK; trial++) {
    struct attempt a;
    at -= 2; /* squares */
    status = try_limit(s, &a, top * exp2(at), err);
    if (status != FUSION_OK) return status;
    report->candidates++;
    status = count_bytes(s, a.model, &bytes);
    const bool good = likeness_enough(&a.likeness, s->job->options, s->job->calibration->samples);
    const bool keep =
        status == FUSION_OK && good && a.likeness.error < best->likeness.error && bytes <= limit * refinement_cost;
    if (keep) {
      const struct attempt worse = *best;
      *best = a;
      a = worse;
      report_steps(s, report);
    }
    attempt_free(&a);
    if (good && !keep) break;
  }
  return status;
}

/** Searches the error that the widths may make, as the share of what the options allow that is predicted. Keeps the
 * coarsest that is enough, else the finest. */
static fusion_status bisect(struct search *s, struct attempt *best, struct quantise_report *report, fusion_error *err) {
  const double top = pow(s->job->options->logit_error, 2) * s->spread;
  double at = 0, stride = 2, enough = 0; /* log2 of the share */
  bool found = false, failed = false;
  for (int trial = 0; trial < TRIALS; trial++) {
    struct attempt a;
    const fusion_status status = try_limit(s, &a, top * exp2(at), err);
    if (status != FUSION_OK) return status;
    report->candidates++;
    const bool good = likeness_enough(&a.likeness, s->job->options, s->job->calibration->samples);
    if (good) enough = at;
    if (good || !found) {
      attempt_free(best);
      *best = a;
      report_steps(s, report);
    } else {
      attempt_free(&a);
    }
    found = found || good;
    failed = failed || !good;
    if (found && failed) stride /= 2;
    at += good ? stride : -stride;
  }
  return found ? refine(s, best, report, enough, err) : FUSION_OK;
}

static double logit_spread(const struct calibration *c) {
  double spread = 0;
  for (size_t s = 0; s < c->samples; s++) {
    const float *real = c->logits + s * c->logit_count;
    double mean = 0;
    for (size_t k = 0; c->logit_count > 1 && k < c->logit_count; k++) mean += (double)real[k] / (double)c->logit_count;
    for (size_t k = 0; k < c->logit_count; k++) spread += pow((double)real[k] - mean, 2);
  }
  return spread / ((double)c->samples * (double)c->logit_count);
}

static size_t sense_samples(const struct search *s, const struct program *program) {
  double work = 1;
  for (uint32_t i = 0; i < program->count; i++) {
    const struct shape shape = program->steps[i].out.shape;
    if (step_has_matrix(&program->steps[i]))
      work += (double)program_weight_count(program, i) * shape.height * shape.width * (double)(s->count + 1);
  }
  const size_t fit = (size_t)fmin(sense_work / work, SENSE_SAMPLES_MOST);
  return size_min(size_max(fit, SENSE_SAMPLES_LEAST), s->job->calibration->samples);
}

/** How far the best output is ahead of the next; of a single one, how far from a tie. */
static double lead_of(const float *v, size_t count) {
  if (count == 1) return fabs((double)v[0]);
  double best = -INFINITY, next = -INFINITY;
  for (size_t k = 0; k < count; k++) {
    const double x = (double)v[k];
    if (x > next) next = x;
    if (next <= best) continue;
    next = best;
    best = x;
  }
  return best - next;
}

/** A probability near 0 or 1 shows no error of what it is made of: behind a defence the samples of a measurement are
 * those that the network is least sure of. */
static fusion_status take_doubtful(struct search *s) {
  const struct calibration *c = s->job->calibration;
  const size_t size = shape_size(node_at(s, 0)->shape);
  fusion_status status = FUSION_OK;
  if (!c->chances) return FUSION_OK;
  double *lead = mem_alloc(c->samples, sizeof *lead);
  s->doubtful = mem_alloc(s->samples * size, sizeof *s->doubtful);
  FAIL_IF(!lead || !s->doubtful, FUSION_E_MEMORY);
  for (size_t r = 0; r < c->samples; r++) lead[r] = lead_of(c->chances + r * c->logit_count, c->logit_count);
  for (size_t i = 0; i < s->samples; i++) {
    size_t least = 0;
    for (size_t r = 1; r < c->samples; r++)
      if (lead[r] < lead[least]) least = r;
    memcpy(s->doubtful + i * size, s->job->input + least * size, size * sizeof *s->doubtful);
    lead[least] = INFINITY;
  }
cleanup:
  mem_free(lead);
  return status;
}

fusion_status quantise_search(struct attempt *best, const struct quantise_job *job, const struct attempt *base,
                              const struct precision *start, struct quantise_report *report, fusion_error *err) {
  const uint32_t count = job->net->count;
  struct search s = {.job = job, .base = base, .precision = *start, .spread = logit_spread(job->calibration)};
  fusion_status status;
  s.scale = mem_alloc(count, sizeof *s.scale);
  s.unit = mem_alloc(count, sizeof *s.unit);
  s.first = mem_alloc(count, sizeof *s.first);
  s.roots = mem_alloc(count, sizeof *s.roots);
  s.knobs = mem_alloc(2 * (size_t)count, sizeof *s.knobs);
  FAIL_IF(!s.scale || !s.unit || !s.first || !s.roots || !s.knobs, FUSION_E_MEMORY);
  s.precision.scale = s.scale;
  s.precision.unit = s.unit;
  TRY(quantise_classes(job->net, s.first, s.roots));
  if (!job->options->activation_bits) add_classes(&s, start->activation);
  if (!job->options->weight_bits) add_accumulators(&s, &base->model->program);
  if (!s.count) { /* nothing to choose */
    report->candidates++;
    TRY(attempt_run(best, job, start, job->calibration->samples, NULL, err));
    goto cleanup;
  }
  s.samples = sense_samples(&s, &base->model->program);
  TRY(take_doubtful(&s));
  TRY(measure(&s, report, err));
  TRY(bisect(&s, best, report, err));
cleanup:
  search_close(&s);
  return status;
}
