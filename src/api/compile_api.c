/* Public face of compilation, and the float reference. */
#include <stdio.h>

#include "api/model_api.h"
#include "base/sized.h"
#include "compile/quantise.h"
#include "continuity/model_id.h"
#include "engine/engine.h"
#include "execute/execute.h"
#include "onnx/onnx.h"
#include "program/operators.h"
#include "session/check_inputs.h"

enum { FLOAT_ROWS = 256 };

void fusion_compile_init(fusion_compile_settings *settings, size_t size) {
  const struct quantise_options o = quantise_defaults();
  const fusion_compile_settings defaults = {.size = sizeof defaults,
                                            .overflow = o.overflow,
                                            .margin_bits = o.margin_bits,
                                            .agreement = o.agreement,
                                            .accuracy_loss = o.accuracy_loss,
                                            .logit_error = o.logit_error,
                                            .equalise = o.equalise,
                                            .calibration_rows = 512,
                                            .preprocess = {.scale = 1},
                                            .beta = 0.7,
                                            .gamma = 0.2,
                                            .digits = 2};
  sized_init(settings, size, &defaults);
}

/** Bytes of a sample of a shard that fills its ciphertexts. */
static fusion_status sample_bytes(void *context, struct model *model, double *bytes) {
  enum { SHARD = 16 };
  const struct engine *engine = *(const struct engine *const *)context;
  const size_t samples = SHARD;
  struct cost cost = {0};
  fusion_status status = engine_prepare(engine, model, NULL);
  if (status == FUSION_OK) status = engine_cost(engine, &model->program, &samples, 1, &cost);
  *bytes = (double)(cost.bytes_to_server + cost.bytes_to_client) / SHARD;
  return status;
}

/* What inputs become and answers are made of. */
struct answers {
  float *table; /* owned until the program has it: published embeddings, or NULL */
  struct defence defence;
  enum program_output output;
  uint32_t outputs; /* graph node of the network's own */
  bool classes;     /* of the defence */
};

/** Puts the defence that the settings ask for behind the network. */
static fusion_status defend(struct answers *a, struct graph *g, const fusion_compile_settings *s, fusion_error *err) {
  a->output = (enum program_output)s->output;
  a->outputs = graph_logits(g);
  if (s->output == FUSION_OUTPUT_REVERSE_SIGMOID)
    a->defence = (struct defence){.kind = DEFENCE_REVERSE_SIGMOID, .beta = s->beta, .gamma = s->gamma};
  if (s->output == FUSION_OUTPUT_ROUND)
    a->defence = (struct defence){.kind = DEFENCE_ROUND, .digits = (uint8_t)(s->digits < 10 ? s->digits : 10)};
  if (a->defence.kind == DEFENCE_NONE) return FUSION_OK;
  a->output = OUTPUT_LOGITS;
  if (a->defence.kind == DEFENCE_ROUND && s->rounding != FUSION_ROUNDING_EXACT)
    return error_set(err, FUSION_E_USAGE, "rounded probabilities need exact rounding; leave out --rounding fast");
  return graph_defend(g, &a->defence, &a->outputs, &a->classes, err);
}

static struct quantise_options options_of(const fusion_compile_settings *s, const struct answers *a,
                                          const struct engine **engine) {
  return (struct quantise_options){.weight_bits = s->weight_bits,
                                   .activation_bits = s->activation_bits,
                                   .input_bits = s->input_bits,
                                   .output_bits = s->output_bits,
                                   .margin_bits = s->margin_bits,
                                   .overflow = s->overflow,
                                   .agreement = s->agreement,
                                   .accuracy_loss = s->accuracy_loss,
                                   .logit_error = s->logit_error,
                                   .equalise = s->equalise,
                                   .single_input_scale = s->single_input_scale,
                                   .step_errors = s->layer_errors,
                                   .output = a->output,
                                   .top_k = s->top_k,
                                   .defence = a->defence,
                                   .defended = a->outputs,
                                   .classes = a->classes,
                                   .rounding = (enum program_rounding)s->rounding,
                                   .threads = s->threads,
                                   .cost = sample_bytes,
                                   .context = engine};
}

/** Copies the caller's preprocessing into owned memory; the numbers are checked when the program is. */
static fusion_status take_preprocess(struct preprocess *out, const fusion_preprocess *p, uint32_t channels,
                                     fusion_error *err) {
  *out = (struct preprocess){
      .channels_last = p->channels_last, .reverse_channels = p->reverse_channels, .scale = p->scale};
  if (p->count > 1 && p->count != channels)
    return error_set(err, FUSION_E_USAGE, "preprocessing: %zu means and deviations, give 1 or %u (the channels)",
                     p->count, channels);
  if (!p->count) return FUSION_OK;
  out->mean = mem_alloc(p->count, sizeof *out->mean);
  out->deviation = mem_alloc(p->count, sizeof *out->deviation);
  if (!out->mean || !out->deviation) return error_set(err, FUSION_E_MEMORY, "preprocessing: out of memory");
  out->count = (uint32_t)p->count;
  memcpy(out->mean, p->mean, p->count * sizeof *out->mean);
  memcpy(out->deviation, p->deviation, p->count * sizeof *out->deviation);
  return FUSION_OK;
}

/* The classes of the labels, from 0 on; *out owned, NULL without labels. */
static fusion_status take_labels(const struct graph *g, const fusion_array *rows, const fusion_array *labels,
                                 int64_t **out, fusion_error *err) {
  const struct graph_node *last = &g->nodes[g->count - 1];
  const size_t outputs = shape_size(last->op == GRAPH_ARGMAX ? g->nodes[last->inputs[0]].shape : last->shape);
  *out = NULL;
  if (!labels) return FUSION_OK;
  if (fusion_array_rows(labels) == fusion_array_rows(rows) && fusion_array_row_size(labels) == 1) {
    *out = mem_alloc(size_max(fusion_array_rows(labels), 1), sizeof **out);
    if (!*out) return error_set(err, FUSION_E_MEMORY, "labels: out of memory");
    return inputs_take_labels(&g->labels, outputs == 1 ? 2 : outputs, labels, *out, err);
  }
  return error_set(err, FUSION_E_INPUT, "labels: %zu rows of %zu, expected one number for each of %zu samples",
                   fusion_array_rows(labels), fusion_array_row_size(labels), fusion_array_rows(rows));
}

/** A single output decides by its sign, or by which half a probability lies in. */
static int64_t float_label(enum graph_op last, const float *v, size_t count) {
  size_t best = 0;
  if (last == GRAPH_ARGMAX) return (int64_t)v[0];
  for (size_t i = 1; i < count; i++)
    if (v[i] > v[best]) best = i;
  return count == 1 ? v[0] > (last == GRAPH_SIGMOID ? 0.5f : 0) : (int64_t)best;
}

/** Runs the graph on rows of raw data, in parts; out [rows][outputs]. */
static fusion_status run_float(const struct graph *g, const struct preprocess *p, const fusion_array *input, float *out,
                               fusion_error *err) {
  const struct shape shape = g->nodes[0].shape;
  const size_t size = shape_size(shape), width = shape_size(g->nodes[g->count - 1].shape);
  const size_t rows = fusion_array_rows(input);
  float *real = mem_alloc(FLOAT_ROWS * size, sizeof *real);
  if (!real) return error_set(err, FUSION_E_MEMORY, "run: out of memory");
  fusion_status status = FUSION_OK;
  for (size_t first = 0; first < rows && status == FUSION_OK; first += FLOAT_ROWS) {
    const size_t count = size_min(FLOAT_ROWS, rows - first);
    status = program_real_rows(p, shape, input, first, count, real, err);
    if (status != FUSION_OK) break;
    status = graph_run(g, real, count, out + first * width, NULL, NULL);
    if (status != FUSION_OK) error_set(err, status, "run: %s", fusion_status_text(status));
  }
  mem_free_secret(real, FLOAT_ROWS * size * sizeof *real);
  return status;
}

static fusion_status measure_float(const struct graph *g, const struct preprocess *p, const fusion_array *input,
                                   const int64_t *classes, double *accuracy, fusion_error *err) {
  const size_t rows = fusion_array_rows(input), width = shape_size(g->nodes[g->count - 1].shape);
  const enum graph_op last = g->nodes[g->count - 1].op;
  float *out = mem_alloc(rows * width, sizeof *out);
  if (!out) return error_set(err, FUSION_E_MEMORY, "run: out of memory");
  const fusion_status status = run_float(g, p, input, out, err);
  size_t right = 0;
  for (size_t r = 0; status == FUSION_OK && r < rows; r++)
    right += classes[r] == float_label(last, out + r * width, width);
  *accuracy = (double)right / (double)rows;
  mem_free(out);
  return status;
}

static fusion_status measure_fixed(const fusion_model *m, const fusion_array *input, const int64_t *classes,
                                   unsigned threads, double *accuracy, fusion_error *err) {
  const size_t rows = fusion_array_rows(input);
  fusion_array *answers = NULL;
  int64_t *decided = mem_alloc(rows, sizeof *decided);
  fusion_status status;
  FAIL_IF(!decided, error_set(err, FUSION_E_MEMORY, "run: out of memory"));
  TRY(fusion_model_run(m, input, threads, &answers, err));
  TRY(fusion_model_labels(m, answers, decided, err));
  size_t right = 0;
  for (size_t r = 0; r < rows; r++) right += decided[r] == class_number(&m->model->program.labels, classes[r]);
  *accuracy = (double)right / (double)rows;
cleanup:
  mem_free(decided);
  fusion_array_free(answers);
  return status;
}

/** The network by itself, behind its defence, and in fixed point. */
static fusion_status measure(const fusion_model *m, const struct graph *g, const struct answers *a,
                             const fusion_array *input, const int64_t *classes, unsigned threads,
                             fusion_compile_report *report, fusion_error *err) {
  const struct preprocess *p = &m->model->program.preprocess;
  struct graph network = *g;
  fusion_status status;
  if (a->defence.kind != DEFENCE_NONE) network.count = a->outputs + 1;
  TRY(measure_float(&network, p, input, classes, &report->float_accuracy, err));
  report->defended_accuracy = report->float_accuracy;
  if (a->defence.kind != DEFENCE_NONE) TRY(measure_float(g, p, input, classes, &report->defended_accuracy, err));
  TRY(measure_fixed(m, input, classes, threads, &report->fixed_accuracy, err));
  report->labelled = true;
cleanup:
  return status;
}

/** A model that pictures calibrated keeps their normalisation, so that clients need no numbers. */
static fusion_status keep_pictures(struct preprocess *p, struct shape shape, const fusion_array *calibration,
                                   fusion_error *err) {
  struct picture_form form;
  struct preprocess chosen;
  if (!array_picture_form(calibration, &form)) return FUSION_OK;
  fusion_status status = preprocess_choose(&chosen, p, shape, &form, err);
  if (status != FUSION_OK) return status;
  const fusion_preprocess settings = {chosen.channels_last, chosen.reverse_channels, chosen.scale, chosen.count,
                                      chosen.mean,          chosen.deviation};
  struct preprocess kept;
  status = take_preprocess(&kept, &settings, shape.channels, err);
  if (status == FUSION_OK) {
    mem_free(p->mean);
    mem_free(p->deviation);
    *p = kept;
  } else {
    mem_free(kept.mean);
    mem_free(kept.deviation);
  }
  return status;
}

/** Samples that are all alike show no range: what is then compiled clips other samples, or overflows. */
static fusion_status warn_calibration(fusion_compile_report *report, const fusion_array *calibration, size_t limit,
                                      fusion_error *err) {
  const size_t size = fusion_array_row_size(calibration), most = limit ? limit : SIZE_MAX;
  const size_t rows = size_min(most, fusion_array_rows(calibration));
  double *first = mem_alloc(2 * size, sizeof *first), *other = first + size;
  if (!first) return error_set(err, FUSION_E_MEMORY, "calibration: out of memory");
  fusion_status status = fusion_array_to_double(calibration, 0, 1, first, err);
  bool alike = true, zero = true;
  for (size_t r = 0; r < rows && alike && status == FUSION_OK; r++) {
    status = fusion_array_to_double(calibration, r, 1, other, err);
    alike = memcmp(first, other, size * sizeof *first) == 0;
  }
  for (size_t i = 0; i < size; i++) zero = zero && first[i] == 0;
  mem_free(first);
  if (status == FUSION_OK && alike && (zero || rows > 1))
    snprintf(report->warning, sizeof report->warning,
             "the calibration samples are all %s, so the ranges of the network's values are not known; give samples "
             "like the queries",
             zero ? "zero" : "the same");
  return status;
}

/** A search that did not reach its limits: by how much, which layer errs most, and what may help. */
static fusion_status refuse_unreached(const struct quantise_report *r, const struct program *program,
                                      const fusion_compile_settings *s, fusion_error *err) {
  const struct program_step *worst = &program->steps[r->worst];
  const bool near_input = !r->worst || worst->inputs[0] == 0;
  const char *remedy = s->single_input_scale ? "Leave out --single-input-scale"
                       : near_input          ? "Scale the features alike before the network"
                                             : "Give more calibration samples";
  return error_set(
      err, FUSION_E_UNREACHABLE,
      "no widths keep accuracy loss %g, agreement %g and error %g: the nearest have %.3g, %.3g and %.3g%s; "
      "step %u, %s '%s', errs most. %s, allow more with --accuracy-loss or --max-error, or take the nearest "
      "with --best-effort",
      s->accuracy_loss, s->agreement, s->logit_error, r->loss_bound, r->expected, r->logit_error,
      s->accuracy_loss > r->loss_bound && s->agreement < r->expected && s->logit_error > r->logit_error
          ? " but lose accuracy by the labels"
          : "",
      r->worst, step_operator(worst)->name, worst->name, remedy);
}

/* The engine that was asked for must be able to run the model; the others may. */
static fusion_status prepare_engines(const struct engine *asked, struct model *model, fusion_error *err) {
  const fusion_status status = engine_prepare(asked, model, err);
  if (status != FUSION_OK) return status;
  for (size_t i = 0; engine_at(i); i++) {
    if (!strcmp(engine_at(i)->family, asked->family)) continue;
    if (engine_prepare(engine_at(i), model, NULL) == FUSION_E_MEMORY)
      return error_set(err, FUSION_E_MEMORY, "out of memory for the engines' parts of the model");
  }
  return FUSION_OK;
}

/** Graph to model; the preprocessing moves into the program. */
static fusion_status compile(fusion_model *m, struct graph *g, struct answers *answers, const fusion_array *calibration,
                             const int64_t *classes, const fusion_compile_settings *settings,
                             struct quantise_report *report, fusion_error *err) {
  const struct shape shape = g->nodes[0].shape;
  const size_t limit = settings->calibration_rows ? settings->calibration_rows : SIZE_MAX;
  const size_t rows = size_min(limit, fusion_array_rows(calibration));
  const struct engine *engine = NULL;
  struct quantise_options options = options_of(settings, answers, &engine);
  struct preprocess p = {0};
  uint8_t salt[MODEL_SALT_LEN] = {0};
  float *real = NULL;
  size_t len;
  fusion_status status;
  TRY(engine_named(&engine, settings->engine, err));
  TRY(take_preprocess(&p, &settings->preprocess, shape.channels, err));
  TRY(keep_pictures(&p, shape, calibration, err));
  p.tokens = g->tokens;
  p.numbers = g->numbers;
  p.numbers_first = g->numbers_first;
  p.table = answers->table;
  answers->table = NULL;
  FAIL_IF(!size_mul(rows, shape_size(shape), &len) || !(real = mem_alloc(len, sizeof *real)),
          error_set(err, FUSION_E_MEMORY, "calibration: out of memory"));
  TRY(program_real_rows(&p, shape, calibration, 0, rows, real, err));
  status = graph_relax_limits(g, real, rows);
  FAIL_IF(status != FUSION_OK, error_set(err, status, "calibration: %s", fusion_status_text(status)));
  TRY(graph_fit_masks(g, real, rows, err));
  options.labels = classes;
  graph_refine_rounding(g, &answers->defence, defence_finer(&answers->defence));
  TRY(quantise_graph(&m->model, g, real, rows, &options, report, err));
  graph_refine_rounding(g, &answers->defence, 0);
  const bool searched = !settings->weight_bits || !settings->activation_bits;
  if (searched && !report->enough && !settings->best_effort)
    TRY(refuse_unreached(report, &m->model->program, settings, err));
  m->model->program.preprocess = p;
  p = (struct preprocess){0};
  m->model->program.labels = g->labels;
  g->labels = (struct class_labels){0};
  TRY(program_validate(&m->model->program, err));
  TRY(prepare_engines(engine, m->model, err));
  TRY(model_salt_take(salt, settings->salt, err));
  status = model_id_set(m->model, salt);
  FAIL_IF(status != FUSION_OK, error_set(err, status, "out of memory for the model's id"));
cleanup:
  mem_wipe(salt, sizeof salt);
  mem_free(real);
  mem_free(p.mean);
  mem_free(p.deviation);
  mem_free(p.table);
  return status;
}

static fusion_compile_report report_of(const struct quantise_report *r) {
  return (fusion_compile_report){.size = sizeof(fusion_compile_report),
                                 .weight_bits = r->weight_bits,
                                 .activation_bits = r->activation_bits,
                                 .mean_weight_bits = r->mean_weight_bits,
                                 .mean_activation_bits = r->mean_activation_bits,
                                 .candidates = r->candidates,
                                 .samples = r->samples,
                                 .agreement = r->agreement,
                                 .expected = r->expected,
                                 .expected_error = r->expected_error,
                                 .loss = r->loss,
                                 .logit_error = r->logit_error,
                                 .logit_deviation = r->logit_deviation,
                                 .overflow = r->overflow,
                                 .tolerance = r->tolerance,
                                 .accumulators = r->trees,
                                 .guaranteed = r->guaranteed,
                                 .enough = r->enough,
                                 .loss_bound = r->loss_bound};
}

fusion_status fusion_model_compile(fusion_model **out, const char *onnx_path, const fusion_array *calibration,
                                   const fusion_array *labels, const fusion_compile_settings *settings,
                                   fusion_compile_report *report, fusion_error *err) {
  fusion_compile_settings known = fusion_compile_defaults();
  const double start = clock_seconds();
  struct graph *g = NULL;
  int64_t *classes = NULL;
  struct quantise_report inner = {0};
  struct answers answers = {.table = NULL};
  fusion_model *m = mem_alloc(1, sizeof *m);
  fusion_status status = FUSION_OK;
  *out = NULL;
  FAIL_IF(!m, error_set(err, FUSION_E_MEMORY, "out of memory"));
  if (settings) TRY(sized_take(&known, settings, "fusion_compile_settings", err));
  if (report) TRY(sized_check(report, "fusion_compile_report", err));
  TRY(fusion_engine_check(known.engine, err));
  TRY(graph_from_onnx(&g, onnx_path, err));
  if (known.publish_embeddings) TRY(graph_publish_embeddings(g, &answers.table, err));
  TRY(take_labels(g, calibration, labels, &classes, err));
  TRY(defend(&answers, g, &known, err));
  TRY(compile(m, g, &answers, calibration, classes, &known, &inner, err));
  fusion_compile_report full = report_of(&inner);
  TRY(warn_calibration(&full, calibration, known.calibration_rows, err));
  if (classes) TRY(measure(m, g, &answers, calibration, classes, known.threads, &full, err));
  snprintf(full.note, sizeof full.note, "%s", g->note);
  if (inner.constants && !full.warning[0])
    snprintf(full.warning, sizeof full.warning,
             "%zu of %zu input features never change in the calibration samples (the first: %zu); give samples where "
             "they do",
             inner.constants, inner.features, inner.first_constant);
  full.seconds = clock_seconds() - start;
  if (report) sized_give(report, &full);
  m->steps = inner.steps;
  inner.steps = NULL;
  *out = m;
  m = NULL;
cleanup:
  mem_free(answers.table);
  mem_free(inner.steps);
  mem_free(classes);
  graph_free(g);
  fusion_model_free(m);
  return status;
}

fusion_status fusion_model_run_float(const fusion_model *model, const char *onnx_path, const fusion_array *input,
                                     fusion_array **answers, fusion_error *err) {
  const struct program *program = &model->model->program;
  struct graph *g = NULL;
  fusion_array *out = NULL;
  float *table = NULL;
  fusion_status status;
  *answers = NULL;
  TRY(graph_from_onnx(&g, onnx_path, err));
  if (program->preprocess.table) TRY(graph_publish_embeddings(g, &table, err));
  const struct shape a = g->nodes[0].shape, b = program->steps[0].out.shape;
  uint32_t outputs;
  bool classes;
  TRY(graph_defend(g, &program->defence, &outputs, &classes, err));
  FAIL_IF(a.channels != b.channels || a.height != b.height || a.width != b.width,
          error_set(err, FUSION_E_INPUT, "'%s': takes %ux%ux%u, the compiled model %ux%ux%u", onnx_path, a.channels,
                    a.height, a.width, b.channels, b.height, b.width));
  const size_t shape[2] = {fusion_array_rows(input), shape_size(g->nodes[g->count - 1].shape)};
  TRY(fusion_array_create(&out, FUSION_F32, 2, shape, NULL));
  float *v = fusion_array_data_mutable(out);
  TRY(run_float(g, &program->preprocess, input, v, err));
  for (size_t i = 0; program->defence.kind != DEFENCE_NONE && i < shape[0] * shape[1]; i++) v[i] += 0.5f;
  *answers = out;
  out = NULL;
cleanup:
  mem_free(table);
  graph_free(g);
  fusion_array_free(out);
  return status;
}
