/* Public face of models: loading, running, answers. */
#include "api/model_api.h"

#include <math.h>
#include <sodium.h>

#include "base/sized.h"
#include "data/data.h"
#include "program/fsn.h"
#include "program/operators.h"
#include "session/check_inputs.h"

enum { CHUNK_ELEMENTS = 1 << 20 };

void fusion_model_free(fusion_model *model) {
  if (!model) return;
  model_free(model->model);
  mem_free(model->steps);
  mem_free(model);
}

fusion_status fusion_model_load(fusion_model **out, const char *path, fusion_error *err) {
  *out = NULL;
  fusion_model *m = mem_alloc(1, sizeof *m);
  if (!m) return error_set(err, FUSION_E_MEMORY, "'%s': out of memory", path);
  const fusion_status status = fsn_load(&m->model, path, err);
  if (status == FUSION_OK)
    *out = m;
  else
    mem_free(m);
  return status;
}

fusion_status fusion_model_save(const fusion_model *model, const char *path, fusion_error *err) {
  return fsn_save(model->model, path, err);
}

bool array_picture_form(const fusion_array *a, struct picture_form *out) {
  if (!a->is_pictures) return false;
  const fusion_image_settings *p = &a->picture;
  *out = (struct picture_form){.shape = {(uint32_t)a->shape[3], (uint32_t)a->shape[1], (uint32_t)a->shape[2]},
                               .normalise = p->normalise,
                               .preprocess = {.channels_last = true,
                                              .reverse_channels = p->colours == FUSION_COLOURS_BGR,
                                              .scale = p->scale,
                                              .count = (uint32_t)p->count,
                                              .mean = (double *)p->mean, /* not written: preprocess_choose borrows */
                                              .deviation = (double *)p->deviation}};
  return true;
}

/** Rows must have as many elements as the input; images must not have their channels where the model has not. */
static fusion_status check_rows(const struct preprocess *p, struct shape shape, const fusion_array *input,
                                fusion_error *err) {
  const fusion_status status = inputs_check_width(fusion_array_row_size(input), p, shape, input, err);
  return status == FUSION_OK ? inputs_check_channels(p, shape, input, err) : status;
}

fusion_status program_real_rows(const struct preprocess *preprocess, struct shape shape, const fusion_array *input,
                                size_t first, size_t rows, float *out, fusion_error *err) {
  const size_t size = shape_size(shape), chunk = size_max(1, CHUNK_ELEMENTS / size);
  struct picture_form form;
  struct preprocess chosen;
  const bool pictures = array_picture_form(input, &form);
  fusion_status status = preprocess_choose(&chosen, preprocess, shape, pictures ? &form : NULL, err);
  if (status == FUSION_OK) status = check_rows(&chosen, shape, input, err);
  if (status != FUSION_OK) return status;
  const size_t width = preprocess_row_size(&chosen, shape);
  double *raw = mem_alloc(chunk * width, sizeof *raw);
  if (!raw) return error_set(err, FUSION_E_MEMORY, "input: out of memory");
  for (size_t done = 0; done < rows && status == FUSION_OK; done += chunk) {
    const size_t count = size_min(chunk, rows - done);
    status = fusion_array_to_double(input, first + done, count, raw, err);
    if (status == FUSION_OK) status = preprocess_check_tokens(&chosen, shape, raw, count, first + done, err);
    if (status == FUSION_OK) preprocess_apply(&chosen, shape, raw, count, out + done * size);
  }
  mem_free_secret(raw, chunk * width * sizeof *raw);
  return status;
}

fusion_status program_quantise_rows(const struct program *program, const fusion_array *input, size_t first, size_t rows,
                                    int64_t *out, fusion_error *err) {
  const struct shape shape = program->steps[0].out.shape;
  const size_t size = shape_size(shape);
  size_t len;
  float *real = size_mul(rows, size, &len) ? mem_alloc(len, sizeof *real) : NULL;
  if (!real) return error_set(err, FUSION_E_MEMORY, "input: out of memory");
  fusion_status status = program_real_rows(&program->preprocess, shape, input, first, rows, real, err);
  if (status == FUSION_OK) status = program_quantise_input(program, real, rows, out, err);
  mem_free_secret(real, len * sizeof *real);
  return status;
}

/** Of `rows` rows from `first` on, added to what was found before. */
static fusion_status add_range(const struct program *program, const fusion_array *input, size_t first, size_t rows,
                               struct input_range *all, fusion_error *err) {
  const struct shape shape = program->steps[0].out.shape;
  struct input_range part;
  size_t len;
  float *real = size_mul(rows, shape_size(shape), &len) ? mem_alloc(len, sizeof *real) : NULL;
  if (!real) return error_set(err, FUSION_E_MEMORY, "input: out of memory");
  const fusion_status status = program_real_rows(&program->preprocess, shape, input, first, rows, real, err);
  if (status == FUSION_OK) {
    program_input_range(program, real, rows, &part);
    input_range_add(all, &part, first);
  }
  mem_free_secret(real, len * sizeof *real);
  return status;
}

fusion_status fusion_model_check_input(const fusion_model *model, const fusion_array *input, fusion_input_check *out,
                                       fusion_error *err) {
  const struct program *program = &model->model->program;
  const size_t rows = fusion_array_rows(input);
  const size_t chunk = size_max(1, CHUNK_ELEMENTS / shape_size(program->steps[0].out.shape));
  struct input_range r = {0};
  fusion_input_check full = {.size = sizeof full};
  char place[ROW_PLACE_LEN];
  fusion_status status = sized_check(out, "fusion_input_check", err);
  for (size_t first = 0; first < rows && status == FUSION_OK; first += chunk)
    status = add_range(program, input, first, size_min(chunk, rows - first), &r, err);
  if (status != FUSION_OK) return status;
  full.values = r.values;
  full.samples = r.samples;
  full.first = r.first;
  full.reach = r.reach;
  full.unusual = r.unusual;
  full.refused = input_range_refuses(&r, rows);
  array_row_place(input, r.first, place);
  input_range_text(full.text, program, &r, rows, "samples", place);
  sized_give(out, &full);
  return FUSION_OK;
}

fusion_status fusion_model_check_labels(const fusion_model *model, const fusion_array *labels, fusion_error *err) {
  const struct program *program = &model->model->program;
  return inputs_take_labels(&program->labels, program_class_count(program), labels, NULL, err);
}

fusion_status fusion_model_run(const fusion_model *model, const fusion_array *input, unsigned threads,
                               fusion_array **answers, fusion_error *err) {
  const struct program *program = &model->model->program;
  const size_t size = shape_size(program->steps[0].out.shape), rows = fusion_array_rows(input);
  const size_t shape[2] = {rows, program_answer_size(program)};
  /* Rows go through in parts, so that their integers take little room. */
  const size_t chunk = size_min(size_max(256, 16 * CHUNK_ELEMENTS / size), size_max(rows, 1));
  const struct execute_options options = {.threads = threads};
  fusion_array *out = NULL;
  int64_t *quantised = mem_alloc(chunk * size, sizeof *quantised);
  fusion_status status;
  *answers = NULL;
  FAIL_IF(!quantised, error_set(err, FUSION_E_MEMORY, "run: out of memory"));
  status = fusion_array_create(&out, FUSION_I64, 2, shape, NULL);
  if (status != FUSION_OK) error_set(err, status, "run: no memory for %zu answers", rows);
  int64_t *to = status == FUSION_OK ? fusion_array_data_mutable(out) : NULL;
  for (size_t first = 0; first < rows && status == FUSION_OK; first += chunk) {
    const size_t count = size_min(chunk, rows - first);
    status = program_quantise_rows(program, input, first, count, quantised, err);
    if (status != FUSION_OK) break;
    status = program_execute(model->model, quantised, count, to + first * shape[1], &options);
    if (status != FUSION_OK) error_set(err, status, "run: %s", fusion_status_text(status));
  }
cleanup:
  mem_free_secret(quantised, chunk * size * sizeof *quantised);
  if (status == FUSION_OK)
    *answers = out;
  else
    fusion_array_free(out);
  return status;
}

static fusion_status check_answers(const struct program *program, const fusion_array *answers, fusion_error *err) {
  if (fusion_array_type(answers) != FUSION_I64 || fusion_array_row_size(answers) != program_answer_size(program))
    return error_set(err, FUSION_E_INPUT, "answers: expected I64 rows of %zu, got %s rows of %zu",
                     program_answer_size(program), fusion_type_name(fusion_array_type(answers)),
                     fusion_array_row_size(answers));
  return FUSION_OK;
}

fusion_status fusion_model_real_answers(const fusion_model *model, const fusion_array *answers, bool probabilities,
                                        fusion_array **real, fusion_error *err) {
  const struct program *program = &model->model->program;
  const size_t rows = fusion_array_rows(answers), width = program_answer_size(program);
  const size_t shape[2] = {rows, width};
  *real = NULL;
  fusion_status status = check_answers(program, answers, err);
  if (status == FUSION_OK && probabilities) status = inputs_check_probabilities(program, err);
  if (status != FUSION_OK) return status;
  status = fusion_array_create(real, FUSION_F64, 2, shape, NULL);
  if (status != FUSION_OK) return error_set(err, status, "answers: out of memory");
  const int64_t *from = fusion_array_data(answers);
  double *to = fusion_array_data_mutable(*real);
  if (program->output == OUTPUT_LOGITS) {
    program_dequantise(program, from, rows * width, to);
    void (*softmax)(double *, size_t) = program->log_softmax ? log_softmax_in_place : softmax_in_place;
    const bool defended = program->defence.kind != DEFENCE_NONE;
    if (program->defence.kind == DEFENCE_REVERSE_SIGMOID) softmax = defence_normalise;
    if (program->defence.kind == DEFENCE_ROUND) probabilities = false; /* they are */
    for (size_t r = 0; probabilities && program->softmax && r < rows; r++) softmax(to + r * width, width);
    if (probabilities && program->sigmoid && !defended) sigmoid_in_place(to, rows * width);
    return FUSION_OK;
  }
  const size_t step = program->output == OUTPUT_TOP_K ? 2 : 1;
  for (size_t i = 0; i < rows * width; i += step) to[i] = (double)class_number(&program->labels, from[i]);
  for (size_t i = 1; program->output == OUTPUT_TOP_K && i < rows * width; i += 2)
    program_dequantise(program, from + i, 1, to + i);
  return FUSION_OK;
}

fusion_status fusion_model_labels(const fusion_model *model, const fusion_array *answers, int64_t *labels,
                                  fusion_error *err) {
  const struct program *program = &model->model->program;
  const size_t rows = fusion_array_rows(answers), width = program_answer_size(program);
  const fusion_status status = check_answers(program, answers, err);
  if (status != FUSION_OK) return status;
  const int64_t *from = fusion_array_data(answers);
  for (size_t r = 0; r < rows; r++, from += width) {
    labels[r] = from[0];
    if (program->output != OUTPUT_LOGITS) continue;
    size_t best = 0;
    for (size_t i = 1; i < width; i++)
      if (from[i] > from[best]) best = i;
    labels[r] = width == 1 ? from[0] > 0 : (int64_t)best;
  }
  for (size_t r = 0; r < rows; r++) labels[r] = class_number(&program->labels, labels[r]);
  return FUSION_OK;
}

bool program_class(const struct program *program, size_t index, int64_t *number, const char **text) {
  if (index >= program_class_count(program)) return false;
  *number = class_number(&program->labels, (int64_t)index);
  *text = program->labels.texts ? program->labels.texts[index] : NULL;
  return true;
}

bool fusion_model_class(const fusion_model *model, size_t index, int64_t *number, const char **text) {
  return program_class(&model->model->program, index, number, text);
}

fusion_status fusion_model_classes(const fusion_model *model, const fusion_array *labels, int64_t *classes,
                                   fusion_error *err) {
  const struct program *program = &model->model->program;
  return inputs_take_labels(&program->labels, program_class_count(program), labels, classes, err);
}

static uint64_t step_multiplications(const struct program *program, uint32_t i) {
  const struct shape s = program->steps[i].out.shape;
  return program_weight_count(program, i) * s.height * s.width;
}

static fusion_output output_of(const struct program *program) {
  static const fusion_output defended[] = {
      [DEFENCE_REVERSE_SIGMOID] = FUSION_OUTPUT_REVERSE_SIGMOID, [DEFENCE_ROUND] = FUSION_OUTPUT_ROUND};
  if (program->defence.kind != DEFENCE_NONE) return defended[program->defence.kind];
  return (fusion_output)program->output;
}

fusion_status fusion_model_describe(const fusion_model *model, fusion_model_info *info, fusion_error *err) {
  const struct program *program = &model->model->program;
  const struct program_tensor *in = &program->steps[0].out, *last = &program->steps[program->count - 1].out;
  const struct preprocess *p = &program->preprocess;
  struct writer w = {0};
  const fusion_status status = sized_check(info, "fusion_model_info", err);
  if (status != FUSION_OK) return status;
  program_encode(&w, program);
  const size_t manifest_len = w.failed ? 0 : w.len;
  writer_free(&w);
  if (!manifest_len) return error_set(err, FUSION_E_MEMORY, "out of memory for the manifest");
  fusion_model_info out = {
      .size = sizeof out,
      .layers = program->count,
      .input_channels = in->shape.channels,
      .input_height = in->shape.height,
      .input_width = in->shape.width,
      .outputs = shape_size(last->shape),
      .answer_size = program_answer_size(program),
      .output = output_of(program),
      .top_k = program->top_k,
      .rounding = (fusion_rounding)program->rounding,
      .softmax = program->softmax,
      .sigmoid = program->sigmoid,
      .log_softmax = program->log_softmax,
      .output_scale = last->scale,
      .preprocess = {p->channels_last, p->reverse_channels, p->scale, p->count, p->mean, p->deviation},
      .manifest_len = manifest_len,
      .input_units = program->input_units.count,
      .beta = program->defence.beta,
      .gamma = program->defence.gamma,
      .digits = program->defence.digits,
      .tokens = p->tokens,
      .publishes_embeddings = p->table != NULL,
      .numbers = p->numbers,
      .numbers_first = p->numbers_first};
  for (uint32_t i = 0; i < program->count; i++) {
    const unsigned ring = program->steps[i].out.ring_bits;
    out.weights += program_weight_count(program, i);
    out.multiplications += step_multiplications(program, i);
    if (ring > out.widest_ring) out.widest_ring = ring;
  }
  sodium_bin2hex(out.model_id, sizeof out.model_id, program->model_id, sizeof program->model_id);
  sized_give(info, &out);
  return FUSION_OK;
}

bool fusion_model_layer(const fusion_model *model, size_t index, fusion_layer *layer) {
  const struct program *program = &model->model->program;
  if (index >= program->count || sized_check(layer, "fusion_layer", NULL) != FUSION_OK) return false;
  const struct program_step *s = &program->steps[index];
  const fusion_layer out = {.size = sizeof out,
                            .kind = step_operator(s)->name,
                            .name = s->name,
                            .channels = s->out.shape.channels,
                            .height = s->out.shape.height,
                            .width = s->out.shape.width,
                            .ring_bits = s->out.ring_bits,
                            .raw = s->out.raw,
                            .value_bits = s->out.value_bits,
                            .shift = s->shift,
                            .weight_bits = s->weight_bits,
                            .weights = program_weight_count(program, (uint32_t)index),
                            .multiplications = step_multiplications(program, (uint32_t)index),
                            .scale = s->out.scale};
  sized_give(layer, &out);
  return true;
}

bool fusion_model_layer_error(const fusion_model *model, size_t index, fusion_layer_error *error) {
  fusion_layer_error out = {.size = sizeof out};
  if (index >= model->model->program.count || sized_check(error, "fusion_layer_error", NULL) != FUSION_OK) return false;
  if (model->steps) {
    const struct quantise_step_report *s = &model->steps[index];
    out = (fusion_layer_error){sizeof out, s->value_error, s->weight_error, s->overflow, s->guaranteed, s->error};
  }
  sized_give(error, &out);
  return model->steps;
}
