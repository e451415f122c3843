/** Which layer errs: the values of every step beside the float network's, on a few calibration samples. A step's error
 *  holds what the steps before it did. */
#include <math.h>

#include "compile/quantise_internal.h"
#include "execute/execute.h"

enum { SAMPLES_MOST = 16 };

struct comparison {
  const struct network *net;
  const struct graph *graph;
  const struct program *program;
  float **real;           /* owned: [graph node]: values of the present sample */
  double *error, *spread; /* owned: [step]: sums of squares over the samples so far */
};

static void comparison_close(struct comparison *c) {
  for (uint32_t g = 0; c->real && g < c->graph->count; g++) mem_free(c->real[g]);
  mem_free(c->real);
  mem_free(c->error);
  mem_free(c->spread);
}

static fusion_status comparison_open(struct comparison *c) {
  c->real = mem_alloc(c->graph->count, sizeof *c->real);
  c->error = mem_alloc(c->net->count, sizeof *c->error);
  c->spread = mem_alloc(c->net->count, sizeof *c->spread);
  if (!c->real || !c->error || !c->spread) return FUSION_E_MEMORY;
  for (uint32_t i = 0; i < c->net->count; i++) {
    const struct network_node *d = &c->net->nodes[i];
    if (d->twin < 0 || c->real[d->twin]) continue;
    c->real[d->twin] = mem_alloc(shape_size(d->shape), sizeof **c->real);
    if (!c->real[d->twin]) return FUSION_E_MEMORY;
  }
  return FUSION_OK;
}

static void keep_real(void *context, uint32_t node, size_t sample, const float *values, size_t count) {
  const struct comparison *c = context;
  (void)sample;
  if (c->real[node]) memcpy(c->real[node], values, count * sizeof *values);
}

/** The error counts in the file's units: what equalisation multiplied a channel by is divided out. */
static void compare_step(void *context, uint32_t step, size_t sample, const int64_t *values, size_t count) {
  const struct comparison *c = context;
  const struct network_node *d = &c->net->nodes[step];
  const float *real = d->twin < 0 ? NULL : c->real[d->twin];
  const size_t plane = count / d->shape.channels;
  double mean = 0;
  (void)sample;
  if (!real) return;
  for (size_t k = 0; count > 1 && k < count; k++) mean += (double)real[k] / (double)count;
  for (size_t k = 0; k < count; k++) {
    const double scale = c->program->steps[step].out.scale / (d->factor ? d->factor[k / plane] : 1);
    c->error[step] += pow((double)values[k] * scale - (double)real[k], 2);
    c->spread[step] += pow((double)real[k] - mean, 2);
  }
}

fusion_status quantise_errors(struct quantise_step_report *steps, const struct quantise_job *job,
                              const struct graph *graph, const struct model *model, fusion_error *err) {
  const size_t samples = size_min(job->calibration->samples, SAMPLES_MOST);
  const size_t in = shape_size(graph->nodes[0].shape), out = shape_size(graph->nodes[graph->count - 1].shape);
  struct comparison c = {.net = job->net, .graph = graph, .program = &model->program};
  const struct execute_options options = {.threads = 1, .observe = compare_step, .context = &c};
  struct model plain = *model; /* borrows everything; its answers are logits whatever the model's are */
  plain.program.output = OUTPUT_LOGITS;
  int64_t *input = mem_alloc(in, sizeof *input), *logits = mem_alloc(job->calibration->logit_count, sizeof *logits);
  float *answer = mem_alloc(out, sizeof *answer);
  fusion_status status;
  TRY(comparison_open(&c));
  FAIL_IF(!input || !logits || !answer, FUSION_E_MEMORY);
  for (size_t s = 0; s < samples; s++) {
    TRY(graph_run(graph, job->input + s * in, 1, answer, keep_real, &c));
    TRY(program_quantise_input(&model->program, job->input + s * in, 1, input, err));
    TRY(program_execute(&plain, input, 1, logits, &options));
  }
  for (uint32_t i = 0; i < job->net->count; i++) steps[i].error = c.spread[i] > 0 ? sqrt(c.error[i] / c.spread[i]) : 0;
cleanup:
  mem_free(input);
  mem_free(logits);
  mem_free(answer);
  comparison_close(&c);
  return status;
}
