#include "model/conformance_fixed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "compile/calibrate.h"
#include "compile/network.h"
#include "compile/quantise.h"
#include "execute/execute.h"

enum { BITS = 12 };

/* Largest sum of |weight| over an output's row. */
static double widest_row(const struct model *m, uint32_t i, size_t *depth) {
  const size_t rows = m->program.steps[i].out.shape.channels;
  double widest = 0;
  *depth = program_weight_count(&m->program, i) / rows;
  for (size_t r = 0; r < rows; r++) {
    double sum = 0;
    for (size_t k = 0; k < *depth; k++) sum += abs(m->weights[i].weights[r * *depth + k]);
    widest = fmax(widest, sum);
  }
  return widest;
}

/* Weights are rounded to half a unit; so is the bias, which may also make up for what the weights' rounding shifts on
 * average (as much again at most). */
static double linear_error(const struct model *m, uint32_t i, double in, double top) {
  const struct program_step *s = &m->program.steps[i];
  const double unit = s->out.scale / m->program.steps[s->inputs[0]].out.scale;
  size_t depth;
  const double row = widest_row(m, i, &depth), rounding = (double)depth * unit / 2;
  return row * unit * in + 2 * rounding * (top + in) + s->out.scale / 2;
}

/* Neighbouring pieces meet to within their errors, and their slopes differ by what the function bends over one: a chord
 * is off by an eighth of that, a step at most. Slopes and values are rounded; the range ends where the function levels
 * out (graph/activation.h). */
static double lookup_error(const struct program_step *s, double in, double in_unit) {
  static const double beyond = 0.004;
  const struct program_table *t = s->table;
  const double reach = ldexp(1, t->low_bits) / 2, unit = s->out.scale;
  double steepest = 0, bend = 0;
  for (unsigned h = 0; h < 1u << t->index_bits; h++) {
    steepest = fmax(steepest, fabs((double)t->slope[h]));
    if (h) bend = fmax(bend, fabs((double)(t->slope[h] - t->slope[h - 1])));
    if (h && !t->low_bits) steepest = fmax(steepest, fabs((double)(t->base[h] - t->base[h - 1])));
  }
  return (steepest + 1) * unit / in_unit * in + bend * reach * unit + (reach + 1) * unit + beyond;
}

/* Whole numbers of unit 1 stay exact under whole weights and biases, which are not rounded then. */
static bool stays_exact(const struct model *m, uint32_t i, double in) {
  const struct program_step *s = &m->program.steps[i];
  return !(in > 0) && s->out.scale == 1 && m->program.steps[s->inputs[0]].out.scale == 1;
}

static double step_error(const struct model *m, uint32_t i, const double *error, const struct step_seen *seen) {
  const struct program_step *s = &m->program.steps[i], *steps = m->program.steps;
  const uint32_t a = s->input_count ? s->inputs[0] : 0, b = s->input_count > 1 ? s->inputs[1] : a;
  double widest = 0;
  switch (s->op) {
    case OP_INPUT: return error[0];
    case OP_LINEAR: return stays_exact(m, i, error[a]) ? 0 : linear_error(m, i, error[a], seen[a].top);
    case OP_RELU:
    case OP_TRUNCATE: return error[a] + (s->shift ? s->out.scale / 2 : 0);
    case OP_ADD: return error[a] + error[b];
    case OP_MUL: return seen[a].top * error[b] + seen[b].top * error[a] + error[a] * error[b];
    case OP_MATMUL:
      return (seen[a].top * error[b] + seen[b].top * error[a] + error[a] * error[b]) * steps[a].out.shape.width;
    case OP_SUMPOOL: return error[a] * s->window.kernel_h * s->window.kernel_w * s->out.scale / steps[a].out.scale;
    case OP_OFFSET: return stays_exact(m, i, error[a]) ? 0 : error[a] + s->out.scale / 2;
    case OP_MAXPOOL: return error[a];
    case OP_COMPARE: return error[a] > 0 && seen[a].nearest <= error[a];
    case OP_LOOKUP: return lookup_error(s, error[a], steps[a].out.scale);
    case OP_GATHER:
      for (uint32_t k = 0; k < s->input_count; k++) widest = fmax(widest, error[s->inputs[k]]);
      return widest;
  }
  return INFINITY;
}

double program_predicted_error(const struct model *m, const struct step_seen *seen, double rounding) {
  double *error = calloc(m->program.count, sizeof *error);
  if (error) error[0] = rounding;
  for (uint32_t i = 0; error && i < m->program.count; i++) error[i] = step_error(m, i, error, seen);
  const double last = error ? error[m->program.count - 1] : 0;
  free(error);
  return last;
}

struct watched {
  const struct program *program;
  struct step_seen *seen;
};

static void watch(void *context, uint32_t step, size_t sample, const int64_t *values, size_t count) {
  const struct watched *w = context;
  struct step_seen *seen = &w->seen[step];
  (void)sample;
  for (size_t i = 0; i < count; i++) {
    const double v = fabs((double)values[i]) * w->program->steps[step].out.scale;
    seen->top = fmax(seen->top, v);
    seen->nearest = fmin(seen->nearest, v);
  }
}

/* What the program's own rounding does: the float network reads what the program does. */
static double error_on_rounded(const struct model *m, const struct graph *g, const int64_t *x, const double *real,
                               const struct calibration *c) {
  const size_t in = shape_size(m->program.steps[0].out.shape);
  const double scale = m->program.steps[0].out.scale;
  struct calibration rounded = {0};
  float *input = calloc(c->samples * in, sizeof *input);
  double worst = 0;
  for (size_t i = 0; input && i < c->samples * in; i++) input[i] = (float)((double)x[i] * scale);
  if (!input || calibrate(&rounded, g, graph_logits(g), graph_logits(g), input, c->samples) != FUSION_OK)
    worst = INFINITY;
  for (size_t i = 0; rounded.logits && i < c->samples * c->logit_count; i++)
    worst = fmax(worst, fabs(real[i] - (double)rounded.logits[i]));
  calibration_free(&rounded);
  free(input);
  return worst;
}

static bool compares(const struct program *program) {
  for (uint32_t i = 0; i < program->count; i++)
    if (program->steps[i].op == OP_COMPARE) return true;
  return false;
}

static void compare(struct fixed_result *r, const struct model *m, const struct graph *g, const struct calibration *c,
                    const float *input) {
  const size_t in = shape_size(m->program.steps[0].out.shape), total = c->samples * c->logit_count;
  struct watched t = {.program = &m->program, .seen = calloc(m->program.count, sizeof *t.seen)};
  const struct execute_options options = {.threads = 1, .observe = watch, .context = &t};
  int64_t *x = calloc(c->samples * in, sizeof *x), *y = calloc(total, sizeof *y);
  double *real = calloc(total, sizeof *real);
  for (uint32_t i = 0; t.seen && i < m->program.count; i++) t.seen[i].nearest = INFINITY;
  if (!t.seen || !x || !y || !real || program_quantise_input(&m->program, input, c->samples, x, NULL) != FUSION_OK ||
      program_execute(m, x, c->samples, y, &options) != FUSION_OK)
    abort();
  program_dequantise(&m->program, y, total, real);
  for (size_t i = 0; i < total; i++) {
    r->error = fmax(r->error, fabs(real[i] - (double)c->logits[i]));
    r->top = fmax(r->top, fabs((double)c->logits[i]));
  }
  r->input_unit = m->program.steps[0].out.scale;
  /* With units for each feature, inputs are finer than what is made of them. */
  r->own_error = m->program.input_units.count ? r->error : error_on_rounded(m, g, x, real, c);
  /* Equal whole numbers may differ once they are rounded: then the numbers themselves count. */
  if (compares(&m->program)) r->own_error = fmin(r->own_error, r->error);
  double rounding = 0;
  for (size_t i = 0; i < c->samples * in && !m->program.input_units.count; i++)
    rounding = fmax(rounding, fabs((double)x[i] * m->program.steps[0].out.scale - (double)input[i]));
  if (m->program.input_units.count) rounding = m->program.steps[0].out.scale / 2;
  /* The reference is in single precision. */
  r->bound = program_predicted_error(m, t.seen, rounding) + 0x1p-20 * r->top;
  free(t.seen);
  free(x);
  free(y);
  free(real);
}

struct fixed_result fixed_run(struct graph *g, const float *input, size_t samples) {
  struct fixed_result r = {0};
  struct quantise_options options = quantise_defaults();
  struct quantise_report report;
  struct calibration c = {0};
  struct model *m = NULL;
  fusion_error err = {.status = FUSION_OK};
  const uint32_t logits = graph_logits(g);
  options.weight_bits = options.activation_bits = options.input_bits = options.output_bits = BITS;
  options.threads = 1;
  if (graph_relax_limits(g, input, samples) != FUSION_OK || graph_fit_masks(g, input, samples, NULL) != FUSION_OK ||
      quantise_graph(&m, g, input, samples, &options, &report, &err) != FUSION_OK) {
    snprintf(r.why, sizeof r.why, "%.240s", err.text);
    return r;
  }
  r.compiled = true;
  m->program.output = OUTPUT_LOGITS;
  if (calibrate(&c, g, logits, logits, input, samples) != FUSION_OK) abort();
  compare(&r, m, g, &c, input);
  calibration_free(&c);
  model_free(m);
  mem_free(report.steps);
  return r;
}
