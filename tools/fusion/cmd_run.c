/* fusion run: runs a compiled model in the clear, with the exact integers of a private run; and the float network
 * beside it. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "answers.h"
#include "cli.h"
#include "outputs.h"

struct run_line {
  struct cli_input input;
  const char *labels, *onnx, *output;
  unsigned threads;
  bool real, probabilities, json;
};

/** What a run found; accuracies are below 0 when there is nothing to compare with. */
struct run_result {
  size_t rows;
  double seconds, float_seconds, accuracy, float_accuracy, agreement;
};

static const char about[] =
    "Runs a compiled model on samples in the clear, without a protocol. For models compiled with --rounding exact (the "
    "default) the integers "
    "equal, bit for bit, those of a private run.";

static int parse_line(struct run_line *l, int argc, char **argv, char ***positional) {
  const struct cli_option own[] = {
      CLI_OPT_TEXT("labels", &l->labels, "FILE", "The samples' true labels. The command then prints the accuracy."),
      CLI_OPT_TEXT("float", &l->onnx, "MODEL.onnx",
                   "Also run the float network that the model was compiled from, and print how many labels agree."),
      CLI_OPT_TEXT("output-file", &l->output, "FILE", "Write the answers (.npy or .csv) as 64-bit integers.",
                   .letter = 'o'),
      CLI_OPT_FLAG("real", &l->real, "Write real numbers instead: the integers times their unit."),
      CLI_OPT_FLAG("probabilities", &l->probabilities,
                   "Write real numbers with the network's final Softmax, LogSoftmax or Sigmoid "
                   "applied."),
      {.name = NULL}};
  struct cli_option options[CLI_OPTIONS_MAX + 1] = {{.name = NULL}};
  cli_add_input(options, &l->input);
  cli_add_options(options, own);
  cli_add_threads(options, &l->threads);
  cli_add_json(options, &l->json);
  const struct cli_syntax syntax = {.command = "run",
                                    .synopsis = "MODEL.fsn --input FILE [options]",
                                    .about = about,
                                    .options = options,
                                    .min_positional = 1,
                                    .max_positional = 1};
  int count;
  return cli_parse(&syntax, argc, argv, positional, &count);
}

static double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double share_equal(const int64_t *a, const int64_t *b, size_t count) {
  size_t equal = 0;
  for (size_t i = 0; i < count; i++) equal += a[i] == b[i];
  return count ? (double)equal / (double)count : 0;
}

/** If the network ends in its label, the single number is the class; otherwise its sign decides, or for a probability
 *  whether it is above 0.5. */
static void float_labels(const fusion_array *answers, const fusion_model_info *info, int64_t *labels) {
  const float *v = fusion_array_data(answers);
  const size_t rows = fusion_array_rows(answers), width = fusion_array_row_size(answers);
  const float threshold = info->sigmoid ? 0.5f : 0;
  if (width == 1) {
    for (size_t r = 0; r < rows; r++) labels[r] = info->outputs > 1 ? (int64_t)v[r] : v[r] > threshold;
    return;
  }
  for (size_t r = 0; r < rows; r++, v += width) {
    size_t best = 0;
    for (size_t i = 1; i < width; i++)
      if (v[i] > v[best]) best = i;
    labels[r] = (int64_t)best;
  }
}

static bool class_at(const void *model, size_t index, int64_t *number, const char **text) {
  return fusion_model_class(model, index, number, text);
}

/** Labels that count from 1 are no error when the last class is absent: they are only nearly all wrong. */
static void tell_shifted(const int64_t *fixed, const int64_t *expected, size_t count) {
  size_t equal = 0, shifted = 0;
  for (size_t i = 0; i < count; i++) {
    if (!expected[i]) return; /* there is a class 0 */
    equal += fixed[i] == expected[i];
    shifted += fixed[i] == expected[i] - 1;
  }
  if (shifted * 2 > count && shifted > 2 * equal)
    cli_error("run",
              "note: no label is 0, and with 1 subtracted from each the accuracy is %.2f %%: do labels count from 1?",
              100 * (double)shifted / (double)count);
}

/** Fills accuracies and agreement; `work` has room for three labels a row. */
static fusion_status compare(const struct run_line *l, const fusion_model *model, const fusion_array *input,
                             const fusion_array *answers, struct run_result *result, int64_t *work,
                             const struct cli_classes *classes, fusion_error *err) {
  int64_t *fixed = work, *expected = work + result->rows, *reference = work + 2 * result->rows;
  fusion_array *labels = NULL, *real = NULL;
  fusion_model_info info = {.size = sizeof info};
  fusion_status status = fusion_model_describe(model, &info, err);
  if (status == FUSION_OK) status = fusion_model_labels(model, answers, fixed, err);
  if (status == FUSION_OK && l->onnx) {
    const double start = seconds_now();
    status = fusion_model_run_float(model, l->onnx, input, &real, err);
    result->float_seconds = seconds_now() - start;
    if (status == FUSION_OK) float_labels(real, &info, reference);
    if (status == FUSION_OK) cli_classes_label(classes, reference, result->rows, 1);
    if (status == FUSION_OK) result->agreement = share_equal(fixed, reference, result->rows);
  }
  if (status == FUSION_OK && l->labels) {
    status = cli_load_labels(&labels, &l->input.reading, l->labels, err);
    if (status == FUSION_OK && (fusion_array_rows(labels) != result->rows || fusion_array_row_size(labels) != 1)) {
      snprintf(err->text, sizeof err->text, "'%s': %zu rows of %zu, expected one label for each of %zu samples",
               l->labels, fusion_array_rows(labels), fusion_array_row_size(labels), result->rows);
      status = err->status = FUSION_E_INPUT;
    }
    if (status == FUSION_OK) status = fusion_model_classes(model, labels, expected, err);
    if (status == FUSION_OK && !classes->numbers) tell_shifted(fixed, expected, result->rows);
    if (status == FUSION_OK) cli_classes_label(classes, expected, result->rows, 1);
    if (status == FUSION_OK) result->accuracy = share_equal(fixed, expected, result->rows);
    if (status == FUSION_OK && l->onnx) result->float_accuracy = share_equal(reference, expected, result->rows);
  }
  fusion_array_free(labels);
  fusion_array_free(real);
  return status;
}

/** The integers with labels in place of classes; *out NULL when they hold no classes. */
static fusion_status label_answers(const fusion_model *model, const fusion_array *answers,
                                   const struct cli_classes *classes, fusion_array **out, fusion_error *err) {
  fusion_model_info info = {.size = sizeof info};
  fusion_status status = fusion_model_describe(model, &info, err);
  if (status != FUSION_OK || (info.output != FUSION_OUTPUT_LABEL && info.output != FUSION_OUTPUT_TOP_K)) return status;
  size_t shape[FUSION_RANK_MAX];
  const size_t rank = fusion_array_rank(answers), step = info.output == FUSION_OUTPUT_TOP_K ? 2 : 1;
  for (size_t k = 0; k < rank; k++) shape[k] = fusion_array_axis(answers, k);
  status = fusion_array_create(out, FUSION_I64, rank, shape, fusion_array_data(answers));
  if (status != FUSION_OK) return status;
  cli_classes_label(classes, fusion_array_data_mutable(*out), fusion_array_rows(answers) * info.answer_size, step);
  return FUSION_OK;
}

/** Integers, or real numbers where they are asked for, for the file. */
static fusion_status prepare_answers(const struct run_line *l, const fusion_model *model, const fusion_array *answers,
                                     struct cli_answers named, fusion_files *files, fusion_error *err) {
  if (!l->output) return FUSION_OK;
  fusion_array *real = NULL;
  fusion_status status = FUSION_OK;
  if (l->real || l->probabilities)
    status = fusion_model_real_answers(model, answers, l->probabilities, &real, err);
  else if (named.classes->numbers)
    status = label_answers(model, answers, named.classes, &real, err);
  named.values = real ? real : answers;
  if (status == FUSION_OK) status = cli_answers_add(&named, files, l->output, err);
  fusion_array_free(real);
  return status;
}

static int report(const struct run_line *l, const struct run_result *r, const struct cli_answers *named) {
  if (l->json) {
    json_t *json = json_pack("{s:I, s:f}", "samples", (json_int_t)r->rows, "seconds", r->seconds);
    if (json && r->accuracy >= 0) json_object_set_new(json, "fixed_accuracy", json_real(r->accuracy));
    if (json && r->float_accuracy >= 0) json_object_set_new(json, "float_accuracy", json_real(r->float_accuracy));
    if (json && r->agreement >= 0) json_object_set_new(json, "agreement", json_real(r->agreement));
    if (json && r->agreement >= 0) json_object_set_new(json, "float_seconds", json_real(r->float_seconds));
    if (json && cli_answers_named(named)) json_object_set_new(json, "answers", cli_answers_json(named));
    return cli_print_json(json);
  }
  char text[CLI_TEXT_LEN];
  printf("samples    %zu in %s (%.3g a second)\n", r->rows, cli_format_seconds(text, r->seconds),
         (double)r->rows / r->seconds);
  if (r->accuracy >= 0) printf("accuracy   fixed point %.2f %%", 100 * r->accuracy);
  if (r->float_accuracy >= 0) printf(", float %.2f %%", 100 * r->float_accuracy);
  if (r->accuracy >= 0) printf("\n");
  if (r->agreement >= 0)
    printf("agreement  %.2f %% of the samples get the float network's label (float: %s)\n", 100 * r->agreement,
           cli_format_seconds(text, r->float_seconds));
  if (cli_answers_named(named)) cli_answers_print(named);
  return CLI_EXIT_OK;
}

/** The file and standard output: all or nothing. An exit code. */
static int hand_out(const struct run_line *l, const fusion_model *model, const fusion_array *answers,
                    const struct run_result *result, const struct cli_answers *named) {
  fusion_error err = {.status = FUSION_OK};
  fusion_files *files = NULL;
  fusion_status status = fusion_files_create(&files, &err);
  if (status == FUSION_OK) status = prepare_answers(l, model, answers, *named, files, &err);
  int code = status == FUSION_OK ? report(l, result, named) : CLI_EXIT_OK;
  if (status == FUSION_OK && code == CLI_EXIT_OK) code = cli_flush_stdout("run");
  if (status == FUSION_OK && code == CLI_EXIT_OK) status = fusion_files_place(files, &err);
  fusion_files_free(files);
  if (status != FUSION_OK) code = cli_failed("run", status, &err);
  if (code == CLI_EXIT_OK && !l->json && l->output) printf("written    %s\n", l->output);
  return code;
}

/** Compares, writes and reports what was answered. */
static int finish(const struct run_line *l, const fusion_model *model, const fusion_array *input,
                  const fusion_array *answers, struct run_result *result, const struct cli_classes *classes) {
  fusion_error err = {.status = FUSION_OK};
  int64_t *work = calloc(3 * result->rows + 1, sizeof *work);
  fusion_model_info info = {.size = sizeof info};
  fusion_status status = fusion_model_describe(model, &info, &err);
  if (status == FUSION_OK)
    status = work ? compare(l, model, input, answers, result, work, classes, &err) : FUSION_E_MEMORY;
  const struct cli_answers named = {
      .samples = input, .labels = work, .classes = classes, .values_are_labels = info.output == FUSION_OUTPUT_LABEL};
  const int code = status == FUSION_OK ? hand_out(l, model, answers, result, &named) : cli_failed("run", status, &err);
  free(work);
  return code;
}

/** A file with another number of names than the model has labels belongs to another model. */
static int check_classes(const fusion_model *model, const struct cli_classes *classes, const char *path) {
  fusion_error err = {.status = FUSION_OK};
  fusion_model_info info = {.size = sizeof info};
  const fusion_status status = path ? fusion_model_describe(model, &info, &err) : FUSION_OK;
  if (status != FUSION_OK) return cli_failed("run", status, &err);
  const bool hidden = info.output == FUSION_OUTPUT_LABEL; /* the last tensor may be the label itself */
  if (!path || hidden || info.outputs == classes->count || (info.outputs == 1 && classes->count == 2)) return CLI_GO;
  cli_error("run", "'%s': %zu classes, the model has %zu outputs", path, classes->count, info.outputs);
  return CLI_EXIT_USAGE;
}

/** Before the run: an error after it would waste the run. */
static fusion_status check_probabilities(const fusion_model *model, fusion_error *err) {
  fusion_model_info info = {.size = sizeof info};
  fusion_array *none = NULL, *real = NULL;
  fusion_status status = fusion_model_describe(model, &info, err);
  if (status != FUSION_OK) return status;
  const size_t shape[2] = {0, info.answer_size};
  status = fusion_array_create(&none, FUSION_I64, 2, shape, NULL);
  if (status == FUSION_OK) status = fusion_model_real_answers(model, none, true, &real, err);
  fusion_array_free(none);
  fusion_array_free(real);
  return status;
}

/** Samples that the model would clip end the run, unless --clip yes is given. CLI_GO, or the exit code. */
static int check_range(const struct run_line *l, const fusion_model *model, const fusion_array *input) {
  fusion_error err = {.status = FUSION_OK};
  fusion_input_check check = {.size = sizeof check};
  const fusion_status status = fusion_model_check_input(model, input, &check, &err);
  if (status != FUSION_OK) return cli_failed("run", status, &err);
  const bool refused = check.refused && l->input.clip == CLI_CLIP_REFUSE;
  if (refused)
    cli_error("run", "%s; %s", check.text,
              check.samples ? "--clip yes clips them" : "--clip yes takes them as they are");
  else if (check.text[0])
    cli_error("run", "note: %s%s", check.text, check.samples ? ": clipped" : "");
  return refused ? CLI_EXIT_USAGE : CLI_GO;
}

static int run(const struct run_line *l, const char *path, struct cli_classes *classes) {
  struct run_result result = {.accuracy = -1, .float_accuracy = -1, .agreement = -1};
  fusion_error err = {.status = FUSION_OK};
  fusion_model *model = NULL;
  fusion_array *input = NULL, *answers = NULL;
  fusion_status status = fusion_model_load(&model, path, &err);
  if (status == FUSION_OK && l->probabilities) status = check_probabilities(model, &err);
  int code = status == FUSION_OK ? check_classes(model, classes, l->input.classes) : CLI_GO;
  if (status == FUSION_OK && code == CLI_GO) code = cli_classes_take(classes, "run", class_at, model);
  if (status == FUSION_OK && code == CLI_GO) status = cli_load_samples(&input, &l->input.reading, l->input.path, &err);
  if (status == FUSION_OK && code == CLI_GO) code = check_range(l, model, input);
  if (status == FUSION_OK && code == CLI_GO) {
    const double start = seconds_now();
    status = fusion_model_run(model, input, l->threads, &answers, &err);
    result.seconds = seconds_now() - start;
    result.rows = fusion_array_rows(input);
  }
  if (status != FUSION_OK)
    code = cli_failed("run", status, &err);
  else if (code == CLI_GO)
    code = finish(l, model, input, answers, &result, classes);
  fusion_array_free(input);
  fusion_array_free(answers);
  fusion_model_free(model);
  return code;
}

int cmd_run(int argc, char **argv) {
  struct run_line l = {.input.reading.command = "run"};
  struct cli_classes classes = {.count = 0};
  char **positional;
  int code = parse_line(&l, argc, argv, &positional);
  if (code != CLI_GO) return code;
  if (l.input.reading.preprocess && !fusion_images_path(l.input.path))
    return cli_usage("run", "--preprocess is for images; arrays must be as they are before the model's preprocessing");
  const struct cli_file outputs[] = {{"--output-file", l.output}, {NULL, NULL}};
  const struct cli_file inputs[] = {{"MODEL.fsn", positional[0]},   {"--input", l.input.path}, {"--labels", l.labels},
                                    {"--classes", l.input.classes}, {"--float", l.onnx},       {NULL, NULL}};
  code = cli_check_answers_name("run", l.output);
  if (code == CLI_GO) code = cli_check_outputs("run", outputs, inputs);
  if (code != CLI_GO) return code;
  if (l.input.classes) code = cli_classes_load(&classes, "run", l.input.classes);
  if (code == CLI_GO) code = run(&l, positional[0], &classes);
  cli_classes_free(&classes);
  return code;
}
