/* fusion compile: an ONNX file and calibration samples become a .fsn model. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "outputs.h"

enum { LIST_MAX = 65536, BITS_MOST = 16, SALT_DIGITS = 64 };

struct compile_line {
  fusion_compile_settings settings;
  const char *output_path, *calibration, *labels, *bits, *defence, *answer, *mean, *deviation, *salt;
  char salt_digits[SALT_DIGITS + 1];
  struct cli_reading reading;
  bool sensitivity, json, margin_given, publish_embeddings;
  struct cli_prediction prediction;
};

static const char about[] =
    "Compiles an ONNX network to fixed point. It chooses scales, integer weights and a "
    "ring width for every layer from what the network does on the calibration samples.";

static const char notes[] =
    "example:\n"
    "  fusion compile lenet.onnx --calibrate train.npz:images --labels train.npz:labels \\\n"
    "      --input-scale 0.00392156862745098 -o lenet.fsn";

static void add_files(struct cli_option *table, struct compile_line *l) {
  const struct cli_option options[] = {
      CLI_OPT_TEXT("calibrate", &l->calibration, "FILE",
                   "Sample inputs: a .npy, .npz or .csv file with one sample per row, as they are before "
                   "the model's preprocessing; or a folder of images. A few hundred are best.",
                   .letter = 'c', .required = true),
      CLI_OPT_TEXT("output-file", &l->output_path, "FILE", "The compiled model.", .letter = 'o', .required = true),
      CLI_OPT_TEXT("labels", &l->labels, "FILE",
                   "The samples' true labels. The command then prints accuracies, and --bits auto keeps "
                   "the accuracy."),
      CLI_OPT_COUNT("calibration-rows", &l->settings.calibration_rows, 0, 0, "N",
                    "Calibrate with the first N rows; 0: with all rows. Accuracies are measured on all "
                    "rows. Default: 512."),
      CLI_OPT_TEXT("salt", &l->salt, "HEX|FILE",
                   "The secret from which the model's id is made: 64 hexadecimal digits, or a file that "
                   "holds them. With the same salt, a network always compiles to the same bytes. Default: "
                   "random."),
      {.name = NULL}};
  cli_add_options(table, options);
}

static void add_input(struct cli_option *table, struct compile_line *l) {
  const struct cli_option options[] = {
      CLI_OPT_NUMBER("input-scale", &l->settings.preprocess.scale, -1e30, 1e30, "FACTOR",
                     "Multiply raw inputs by FACTOR: 0.00392156862745098 (1/255) for images of bytes. "
                     "Default: 1."),
      CLI_OPT_TEXT("mean", &l->mean, "M,M,...", "Then subtract this: one number, or one for each channel. Default: 0."),
      CLI_OPT_TEXT("std", &l->deviation, "S,S,...",
                   "Then divide by this: one number, or one for each channel. Default: 1."),
      CLI_OPT_FLAG("publish-embeddings", &l->publish_embeddings,
                   "For token inputs: clients look embeddings up in a table that they get, publicly. It "
                   "saves the first layer."),
      CLI_OPT_FLAG("channels-last", &l->settings.preprocess.channels_last, "Raw images are height x width x channels."),
      CLI_OPT_FLAG("reverse-channels", &l->settings.preprocess.reverse_channels,
                   "Raw images have their channels in the opposite order, such as RGB data for a BGR "
                   "network. --mean and --std are in the network's order."),
      {.name = NULL}};
  cli_add_options(table, options);
}

static void add_widths(struct cli_option *table, struct compile_line *l) {
  const struct cli_option options[] = {
      CLI_OPT_TEXT("bits", &l->bits, "auto|W,A",
                   "Bits of weights (2 to 16) and activations (4 to 16, signed). Default: auto, for each "
                   "layer the cheapest widths that keep --accuracy-loss, --agreement and --max-error."),
      CLI_OPT_NUMBER("accuracy-loss", &l->settings.accuracy_loss, 0, 1, "SHARE",
                     "Accuracy that a test of 1,000 samples may lose, with 95 % confidence. Default: 0.005."),
      CLI_OPT_NUMBER("agreement", &l->settings.agreement, 0, 1, "SHARE",
                     "Expected share of samples that must keep the float network's label. Default: 0.9."),
      CLI_OPT_NUMBER("max-error", &l->settings.logit_error, 0, 0, "ERROR",
                     "Largest root mean square error of the logits, relative to their spread. Default: "
                     "0.0625."),
      CLI_OPT_NUMBER("overflow", &l->settings.overflow, 0, 0.1, "P",
                     "Estimated probability of ring overflow to accept, per sample. Default: 0.001."),
      CLI_OPT_COUNT("margin", &l->settings.margin_bits, 0, 8, "BITS",
                    "Bits of room in every ring above the calibrated range, instead of --overflow.",
                    .given = &l->margin_given),
      CLI_OPT_COUNT("input-bits", &l->settings.input_bits, 2, BITS_MOST, "BITS",
                    "Bits of the quantised input, signed. Default: searched, or those of the activations, "
                    "at least 9."),
      CLI_OPT_COUNT("output-bits", &l->settings.output_bits, 2, 32, "BITS",
                    "Bits of the last tensor, signed. Default: 16."),
      CLI_OPT_FLAG("single-input-scale", &l->settings.single_input_scale,
                   "Use one scale for the whole input, never one for each feature. Clients see these "
                   "scales."),
      CLI_OPT_FLAG("best-effort", &l->settings.best_effort,
                   "If no widths keep the limits, take the nearest ones instead of failing."),
      CLI_OPT_CLEAR("no-equalise", &l->settings.equalise, "Do not rescale channels between layers."),
      {.name = NULL}};
  cli_add_options(table, options);
}

static void add_answers(struct cli_option *table, struct compile_line *l) {
  const struct cli_option options[] = {
      CLI_OPT_TEXT("defence", &l->defence, "MODE",
                   "What an answer is, computed before the client sees anything: logits, label, top-K, "
                   "reverse-sigmoid,BETA,GAMMA or round,DIGITS. Default: logits."),
      CLI_OPT_TEXT("output", &l->answer, "MODE", "The old name of --defence, with top-k:K for top-K."),
      CLI_OPT_CHOICE("rounding", &l->settings.rounding, "exact|fast",
                     "With fast, each truncation may be one unit off, at random, and traffic is lower. "
                     "Default: exact."),
      CLI_OPT_FLAG("sensitivity", &l->sensitivity, "Also print each layer's error, and which layers cost accuracy."),
      {.name = NULL}};
  cli_add_options(table, options);
}

static int parse_line(struct compile_line *l, int argc, char **argv, char ***positional) {
  struct cli_option options[CLI_OPTIONS_MAX + 1] = {{.name = NULL}};
  add_files(options, l);
  add_input(options, l);
  add_widths(options, l);
  add_answers(options, l);
  cli_add_reading(options, &l->reading);
  cli_add_prediction(options, &l->prediction);
  cli_add_threads(options, &l->settings.threads);
  cli_add_json(options, &l->json);
  const struct cli_syntax syntax = {.command = "compile",
                                    .synopsis = "MODEL.onnx --calibrate FILE -o FILE [options]",
                                    .about = about,
                                    .options = options,
                                    .notes = notes,
                                    .min_positional = 1,
                                    .max_positional = 1};
  int count;
  const int code = cli_parse(&syntax, argc, argv, positional, &count);
  return code == CLI_GO ? cli_check_prediction("compile", &l->prediction) : code;
}

/** "auto" or "W,A". */
static bool parse_bits(const char *text, fusion_compile_settings *s) {
  if (!text || strcmp(text, "auto") == 0) return true;
  unsigned weight, activation;
  int end = 0;
  if (sscanf(text, "%2u,%2u%n", &weight, &activation, &end) != 2 || text[end]) return false;
  if (weight < 2 || weight > BITS_MOST || activation < 4 || activation > BITS_MOST) return false;
  s->weight_bits = weight;
  s->activation_bits = activation;
  return true;
}

/** The whole text is `format`, whose numbers go to the pointers behind it; the last is %n. */
#define IS_WHOLE(text, end, count, ...) (sscanf(text, __VA_ARGS__) == (count) && (end) && !(text)[end])

/** A mode with its numbers, which the library checks. */
static bool parse_mode(const char *text, fusion_compile_settings *s) {
  int end = 0;
  if (strcmp(text, "logits") == 0) return true;
  if (strcmp(text, "label") == 0) {
    s->output = FUSION_OUTPUT_LABEL;
    return true;
  }
  if (IS_WHOLE(text, end, 1, "top-k:%7u%n", &s->top_k, &end) || IS_WHOLE(text, end, 1, "top-%7u%n", &s->top_k, &end)) {
    s->output = FUSION_OUTPUT_TOP_K;
    return s->top_k >= 1;
  }
  if (strncmp(text, "round", 5) == 0) {
    unsigned digits = (unsigned)s->digits;
    s->output = FUSION_OUTPUT_ROUND;
    if (text[5] && !IS_WHOLE(text, end, 1, "round,%1u%n", &digits, &end)) return false;
    s->digits = digits;
    return true;
  }
  s->output = FUSION_OUTPUT_REVERSE_SIGMOID;
  if (strcmp(text, "reverse-sigmoid") == 0) return true;
  return IS_WHOLE(text, end, 2, "reverse-sigmoid,%lf,%lf%n", &s->beta, &s->gamma, &end);
}

/** Returns an exit code or CLI_GO. */
static int parse_answer(const struct compile_line *l, fusion_compile_settings *s) {
  const char *text = l->defence ? l->defence : l->answer, *name = l->defence ? "defence" : "output";
  if (l->defence && l->answer) return cli_usage("compile", "--output is the old name of --defence; give one of them");
  if (!text || parse_mode(text, s)) return CLI_GO;
  return cli_usage("compile",
                   "--%s '%s': expected logits, label, top-K, reverse-sigmoid,BETA,GAMMA or round,DIGITS, as in "
                   "top-3, reverse-sigmoid,0.7,0.2 or round,2",
                   name, text);
}

/** Numbers split by commas into *out (malloc), their number in *count; false when the text is something else. */
static bool parse_list(const char *text, double **out, size_t *count) {
  size_t commas = 0;
  for (const char *p = text; *p; p++) commas += *p == ',';
  *count = 0;
  if (commas >= LIST_MAX || !(*out = calloc(commas + 1, sizeof **out))) return false;
  for (const char *p = text;;) {
    char *end;
    (*out)[(*count)++] = strtod(p, &end);
    if (end == p) return false;
    if (!*end) return true;
    if (*end != ',') return false;
    p = end + 1;
  }
}

/** Means and deviations to lists of one length; a missing one is filled with 0 or 1. Returns an exit code or CLI_GO. */
static int parse_preprocess(const struct compile_line *l, double **mean, double **deviation, fusion_preprocess *p) {
  size_t means = 0, deviations = 0;
  if (l->mean && !parse_list(l->mean, mean, &means))
    return cli_usage("compile", "--mean '%s': give numbers, separated by commas", l->mean);
  if (l->deviation && !parse_list(l->deviation, deviation, &deviations))
    return cli_usage("compile", "--std '%s': give numbers, separated by commas", l->deviation);
  p->count = means > deviations ? means : deviations;
  double **missing = means ? deviation : mean;
  if ((means == 0) != (deviations == 0)) {
    *missing = calloc(p->count, sizeof **missing);
    if (!*missing) return cli_failed("compile", FUSION_E_MEMORY, NULL);
    for (size_t i = 0; means && i < p->count; i++) (*missing)[i] = 1;
  } else if (means != deviations) {
    return cli_usage("compile", "--mean has %zu numbers and --std has %zu; give the same number of each", means,
                     deviations);
  }
  for (size_t i = 0; i < p->count; i++)
    if (!((*deviation)[i] > 0)) return cli_usage("compile", "--std: %g is not positive", (*deviation)[i]);
  p->mean = *mean;
  p->deviation = *deviation;
  if (p->scale == 0) return cli_usage("compile", "--input-scale: 0 would erase every input");
  return CLI_GO;
}

/** The secret of the model's id: the line's own text, or a file's. Returns an exit code or CLI_GO. */
static int parse_salt(struct compile_line *l) {
  static const char digits[] = "0123456789abcdefABCDEF";
  char rest = ' ';
  if (!l->salt) return CLI_GO;
  l->settings.salt = l->salt;
  if (strlen(l->salt) == SALT_DIGITS && strspn(l->salt, digits) == SALT_DIGITS) return CLI_GO;
  FILE *f = fopen(l->salt, "r");
  if (!f) {
    cli_error("compile", "--salt: '%s': neither %d hexadecimal digits nor a file: %s", l->salt, SALT_DIGITS,
              strerror(errno));
    return CLI_EXIT_IO;
  }
  const int read = fscanf(f, "%64[0-9a-fA-F] %c", l->salt_digits, &rest);
  fclose(f);
  if (read != 1 || strlen(l->salt_digits) != SALT_DIGITS)
    return cli_usage("compile", "--salt: '%s': expected a file with %d hexadecimal digits", l->salt, SALT_DIGITS);
  l->settings.salt = l->salt_digits;
  return CLI_GO;
}

static const char *output_text(const fusion_model_info *info, char text[CLI_TEXT_LEN]) {
  switch (info->output) {
    case FUSION_OUTPUT_LABEL: return "label";
    case FUSION_OUTPUT_TOP_K: snprintf(text, CLI_TEXT_LEN, "top-%u of (index, value)", info->top_k); break;
    case FUSION_OUTPUT_LOGITS: snprintf(text, CLI_TEXT_LEN, "%zu logits", info->outputs); break;
    case FUSION_OUTPUT_ROUND: snprintf(text, CLI_TEXT_LEN, "%zu rounded probabilities", info->outputs); break;
    case FUSION_OUTPUT_REVERSE_SIGMOID:
      snprintf(text, CLI_TEXT_LEN, "%zu reversed probabilities", info->outputs);
      break;
  }
  return text;
}

/** Steps that err, cost accuracy or may overflow, in JSON. */
static json_t *sensitivity_json(const fusion_model *model, const fusion_model_info *info) {
  json_t *list = json_array();
  for (size_t i = 0; i < info->layers; i++) {
    fusion_layer d = {.size = sizeof d};
    fusion_layer_error e = {.size = sizeof e};
    if (!fusion_model_layer(model, i, &d) || !fusion_model_layer_error(model, i, &e)) continue;
    if (e.value_error > 0 || e.weight_error > 0 || e.overflow > 0 || e.error > 0)
      json_array_append_new(list, json_pack("{s:I, s:s, s:s, s:f, s:f, s:f, s:f}", "step", (json_int_t)i, "kind",
                                            d.kind, "name", d.name, "error", e.error, "value_error", e.value_error,
                                            "weight_error", e.weight_error, "overflow", e.overflow));
  }
  return list;
}

static int print_json(const fusion_model *model, const fusion_model_info *info, const fusion_compile_report *r,
                      const struct compile_line *l) {
  json_t *json =
      json_pack("{s:s, s:i, s:i, s:f, s:f, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I}", "model",
                l->output_path, "weight_bits", (int)r->weight_bits, "activation_bits", (int)r->activation_bits,
                "mean_weight_bits", r->mean_weight_bits, "mean_activation_bits", r->mean_activation_bits, "candidates",
                (int)r->candidates, "agreement", r->agreement, "expected_agreement", r->expected,
                "expected_agreement_error", r->expected_error, "expected_loss", r->loss, "loss_bound", r->loss_bound,
                "logit_error", r->logit_error, "logit_deviation", r->logit_deviation, "overflow", r->overflow,
                "accumulators", (json_int_t)r->accumulators, "guaranteed", (json_int_t)r->guaranteed);
  json_t *more = json_pack("{s:I, s:i, s:i, s:I, s:I, s:f, s:o}", "tolerance", (json_int_t)r->tolerance, "samples",
                           (int)r->samples, "widest_ring", (int)info->widest_ring, "weights", (json_int_t)info->weights,
                           "multiplications", (json_int_t)info->multiplications, "seconds", r->seconds, "sensitivity",
                           sensitivity_json(model, info));
  json_object_update(json, more);
  json_decref(more);
  if (json && r->labelled) {
    json_object_set_new(json, "float_accuracy", json_real(r->float_accuracy));
    json_object_set_new(json, "fixed_accuracy", json_real(r->fixed_accuracy));
  }
  if (json && r->labelled) json_object_set_new(json, "defended_accuracy", json_real(r->defended_accuracy));
  if (json && l->prediction.samples) json_object_set_new(json, "prediction", cli_prediction_json(&l->prediction));
  return cli_print_json(json);
}

/** "12.34 %", or "-" where there is nothing to say. */
static const char *percent(char text[CLI_TEXT_LEN], double share, bool known) {
  snprintf(text, CLI_TEXT_LEN, known ? "%.2f %%" : "-", 100 * share);
  return text;
}

/** Each step's error, and its part of the mean square error of the logits, which a search of widths alone knows. */
static void print_sensitivity(const fusion_model *model, const fusion_model_info *info) {
  double total = 0;
  fusion_layer_error e = {.size = sizeof e};
  char error[CLI_TEXT_LEN], values[CLI_TEXT_LEN], weights[CLI_TEXT_LEN];
  for (size_t i = 0; i < info->layers; i++)
    if (fusion_model_layer_error(model, i, &e)) total += e.value_error + e.weight_error;
  printf("\n%4s  %-8s %-28s %6s %10s %12s %12s %10s\n", "step", "kind", "name", "ring", "error", "by values",
         "by weights", "overflow");
  for (size_t i = 0; i < info->layers; i++) {
    fusion_layer d = {.size = sizeof d};
    if (!fusion_model_layer(model, i, &d) || !fusion_model_layer_error(model, i, &e)) continue;
    if (!(e.error + e.value_error + e.weight_error + e.overflow > 0) && !e.guaranteed) continue;
    printf("%4zu  %-8s %-28.28s %6u %10s %12s %12s %10.1g\n", i, d.kind, d.name, d.ring_bits,
           percent(error, e.error, e.error > 0), percent(values, e.value_error / total, total > 0),
           percent(weights, e.weight_error / total, total > 0), e.overflow);
  }
}

static void print_quality(const fusion_compile_report *r, bool defended) {
  printf(
      "agreement  %.2f %% of %zu calibration samples keep the float network's label, of others %.2f +- %.2f %% "
      "(estimated)\n",
      100 * r->agreement, r->samples, 100 * r->expected, 100 * r->expected_error);
  printf("loss       %.2f points of accuracy expected, in a test of 1,000 samples at most %.2f (confidence 0.95)\n",
         100 * r->loss, 100 * r->loss_bound);
  printf("logits     %.2g %% off (root mean square, relative to their spread), at most %.3g\n", 100 * r->logit_error,
         r->logit_deviation);
  printf(
      "overflow   impossible in %zu of %zu accumulators; in the others with probability %.1g per sample (estimated)\n",
      r->guaranteed, r->accumulators, r->overflow);
  if (r->labelled)
    printf("accuracy   float %.2f %%, fixed point %.2f %%\n", 100 * r->float_accuracy, 100 * r->fixed_accuracy);
  if (r->labelled && defended)
    printf("defence    costs %.2f points of the float network's accuracy\n",
           100 * (r->float_accuracy - r->defended_accuracy));
  if (r->tolerance)
    printf("tolerance  honest copies may differ: query with --accept-fast --tolerance %llu\n",
           (unsigned long long)r->tolerance);
}

static int print_text(const fusion_model *model, const fusion_model_info *info, const fusion_compile_report *r,
                      const struct compile_line *l) {
  char answer[CLI_TEXT_LEN], seconds[CLI_TEXT_LEN];
  printf("network    %zux%zux%zu to %s, %zu steps, %.3g M weights, %.3g M multiplications\n", info->input_channels,
         info->input_height, info->input_width, output_text(info, answer), info->layers, (double)info->weights / 1e6,
         (double)info->multiplications / 1e6);
  printf(
      "bits       weights up to %u (%.1f on average), activations up to %u (%.1f), rings up to %u; %u models tried\n",
      r->weight_bits, r->mean_weight_bits, r->activation_bits, r->mean_activation_bits, info->widest_ring,
      r->candidates);
  print_quality(r, info->output == FUSION_OUTPUT_ROUND || info->output == FUSION_OUTPUT_REVERSE_SIGMOID);
  cli_print_prediction(&l->prediction, "private    ", "time       ", "memory     ");
  printf("written    %s in %s\n", l->output_path, cli_format_seconds(seconds, r->seconds));
  if (l->sensitivity) print_sensitivity(model, info);
  return CLI_EXIT_OK;
}

static int compile(struct compile_line *l, const char *onnx) {
  const fusion_compile_settings *settings = &l->settings;
  fusion_error err = {.status = FUSION_OK};
  fusion_array *calibration = NULL, *labels = NULL;
  fusion_model *model = NULL;
  fusion_compile_report report = {.size = sizeof report};
  fusion_model_info info = {.size = sizeof info};
  fusion_status status = cli_load_samples(&calibration, &l->reading, l->calibration, &err);
  if (status == FUSION_OK && l->labels) status = cli_load_labels(&labels, &l->reading, l->labels, &err);
  if (status == FUSION_OK) status = fusion_model_compile(&model, onnx, calibration, labels, settings, &report, &err);
  if (status == FUSION_OK) status = fusion_model_describe(model, &info, &err);
  if (status == FUSION_OK) status = cli_predict("compile", model, &l->prediction, &err);
  if (status == FUSION_OK) status = fusion_model_save(model, l->output_path, &err);
  int code = CLI_EXIT_OK;
  if (status != FUSION_OK) {
    code = cli_failed("compile", status, &err);
  } else {
    code = l->json ? print_json(model, &info, &report, l) : print_text(model, &info, &report, l);
    if (report.warning[0]) cli_error("compile", "warning: %s", report.warning);
    if (report.note[0]) cli_error("compile", "note: %s", report.note);
    if (!report.enough && !(settings->weight_bits && settings->activation_bits))
      cli_error("compile", "note: no widths keep loss %g, agreement %g and error %g; these come nearest",
                settings->accuracy_loss, settings->agreement, settings->logit_error);
  }
  fusion_array_free(calibration);
  fusion_array_free(labels);
  fusion_model_free(model);
  return code;
}

int cmd_compile(int argc, char **argv) {
  struct compile_line l = {
      .settings = fusion_compile_defaults(), .reading.command = "compile", .prediction = cli_prediction_default};
  fusion_compile_settings *s = &l.settings;
  char **positional;
  double *mean = NULL, *deviation = NULL;
  int code = parse_line(&l, argc, argv, &positional);
  if (code != CLI_GO) return code;
  if (!parse_bits(l.bits, s))
    return cli_usage("compile", "--bits '%s': expected auto or W,A as in 8,8 (2 to 16, 4 to 16)", l.bits);
  code = parse_answer(&l, s);
  if (code != CLI_GO) return code;
  if (l.reading.preprocess && !fusion_images_path(l.calibration))
    return cli_usage("compile", "--preprocess is for images; for arrays give --input-scale, --mean and --std");
  const struct cli_file outputs[] = {{"--output-file", l.output_path}, {NULL, NULL}};
  const struct cli_file inputs[] = {{"MODEL.onnx", positional[0]},
                                    {"--calibrate", l.calibration},
                                    {"--labels", l.labels},
                                    {"--salt", l.salt},
                                    {NULL, NULL}};
  code = cli_check_outputs("compile", outputs, inputs);
  if (code == CLI_GO) code = parse_salt(&l);
  if (code != CLI_GO) return code;
  code = parse_preprocess(&l, &mean, &deviation, &s->preprocess);
  if (l.margin_given) s->overflow = 0;
  s->layer_errors = l.sensitivity || l.json;
  s->publish_embeddings = l.publish_embeddings;
  s->engine = l.prediction.engine;
  if (code == CLI_GO) code = compile(&l, positional[0]);
  free(mean);
  free(deviation);
  return code;
}
