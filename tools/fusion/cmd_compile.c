/* fusion compile: an ONNX file and calibration samples become a .fsn model. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { LIST_MAX = 65536, BITS_MOST = 16 };

struct compile_line {
  const char *output_path, *calibration, *pictures, *labels, *bits, *answer, *mean, *deviation;
  uint64_t margin, rows, input_bits, output_bits, threads;
  double agreement, error, scale;
  int rounding;
  bool channels_last, reverse_channels, no_equalise, json;
};

static const char about[] =
    "Compiles an ONNX network to fixed point: scales, integer weights and a ring width for every layer, chosen from "
    "what "
    "the network does on the calibration samples.";

static const char notes[] =
    "example:\n"
    "  fusion compile lenet.onnx --calibrate train.npz:images --labels train.npz:labels \\\n"
    "      --input-scale 0.00392156862745098 -o lenet.fsn\n";

static int parse_line(struct compile_line *l, int argc, char **argv, char ***positional) {
  const struct cli_option options[] = {
      {.name = "calibrate",
       .letter = 'c',
       .kind = CLI_TEXT,
       .out = &l->calibration,
       .required = true,
       .value = "FILE",
       .help = "Sample inputs (.npy, .npz, .csv, or a folder of pictures), raw as queries will be. A few hundred are "
               "best."},
      {.name = "output-file",
       .letter = 'o',
       .kind = CLI_TEXT,
       .out = &l->output_path,
       .required = true,
       .value = "FILE",
       .help = "The compiled model, model.fsn."},
      {.name = "labels",
       .kind = CLI_TEXT,
       .out = &l->labels,
       .value = "FILE",
       .help = "Labels of the calibration samples; only to print accuracies."},
      {.name = "bits",
       .kind = CLI_TEXT,
       .out = &l->bits,
       .value = "auto|W,A",
       .help =
           "Widths of weights (2 to 16) and activations (4 to 16, signed), in bits. Default auto: the narrowest that "
           "keep the float network's label on the share --agreement of the samples."},
      {.name = "agreement",
       .kind = CLI_NUMBER,
       .out = &l->agreement,
       .max = 1,
       .value = "SHARE",
       .help = "For --bits auto. Default 0.995."},
      {.name = "max-error",
       .kind = CLI_NUMBER,
       .out = &l->error,
       .value = "ERROR",
       .help = "For --bits auto: also allow at most this root mean square error of the logits, relative to their "
               "spread. Default 0.0625."},
      {.name = "margin",
       .kind = CLI_COUNT,
       .out = &l->margin,
       .max = 8,
       .value = "BITS",
       .help = "Room of every ring above the calibrated range. Default 2."},
      {.name = "output",
       .kind = CLI_TEXT,
       .out = &l->answer,
       .value = "logits|label|top-k:K",
       .help = "What an answer is. Default logits."},
      {.name = "rounding",
       .kind = CLI_CHOICE,
       .out = &l->rounding,
       .choices = "exact|fast",
       .help = "fast: each truncation may be one unit off, at random, for less traffic. Default exact."},
      {.name = "input-scale",
       .kind = CLI_NUMBER,
       .out = &l->scale,
       .min = -1e30,
       .max = 1e30,
       .value = "FACTOR",
       .help = "Raw inputs are multiplied by this first; 0.00392156862745098 (1/255) for images of bytes. Default 1."},
      {.name = "mean",
       .kind = CLI_TEXT,
       .out = &l->mean,
       .value = "M,M,...",
       .help = "Then this is subtracted: one number, or one for each channel. Default 0."},
      {.name = "std",
       .kind = CLI_TEXT,
       .out = &l->deviation,
       .value = "S,S,...",
       .help = "Then divided by this, in the same manner. Default 1."},
      {.name = "channels-last",
       .kind = CLI_FLAG,
       .out = &l->channels_last,
       .help = "Raw images are height x width x channels."},
      {.name = "reverse-channels",
       .kind = CLI_FLAG,
       .out = &l->reverse_channels,
       .help = "Raw channels come in the opposite order (RGB data, BGR network). Means are in the network's order."},
      {.name = "input-bits",
       .kind = CLI_COUNT,
       .out = &l->input_bits,
       .min = 2,
       .max = BITS_MOST,
       .value = "BITS",
       .help = "Signed width of the quantised input. Default: the activations' width, at least 9."},
      {.name = "output-bits",
       .kind = CLI_COUNT,
       .out = &l->output_bits,
       .min = 2,
       .max = 32,
       .value = "BITS",
       .help = "Signed width of the last tensor. Default 16."},
      {.name = "calibration-rows",
       .kind = CLI_COUNT,
       .out = &l->rows,
       .value = "N",
       .help = "Rows that calibrate, from the first; 0 for all. Default 512. Accuracies are over all rows."},
      {.name = "no-equalise",
       .kind = CLI_FLAG,
       .out = &l->no_equalise,
       .help = "Keep the channels' scales as they are in the file."},
      {.name = NULL}};
  struct cli_option table[CLI_OPTIONS_MAX + 1] = {{.name = NULL}};
  cli_add_options(table, options);
  cli_add_preprocess(table, &l->pictures);
  cli_add_threads(table, &l->threads);
  cli_add_json(table, &l->json);
  const struct cli_syntax syntax = {.command = "compile",
                                    .synopsis = "MODEL.onnx --calibrate FILE -o FILE [options]",
                                    .about = about,
                                    .options = table,
                                    .notes = notes,
                                    .min_positional = 1,
                                    .max_positional = 1};
  int count;
  return cli_parse(&syntax, argc, argv, positional, &count);
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

static bool parse_answer(const char *text, fusion_compile_settings *s) {
  int end = 0;
  if (!text || strcmp(text, "logits") == 0) return true;
  if (strcmp(text, "label") == 0) {
    s->output = FUSION_OUTPUT_LABEL;
    return true;
  }
  s->output = FUSION_OUTPUT_TOP_K;
  return sscanf(text, "top-k:%7u%n", &s->top_k, &end) == 1 && end && !text[end] && s->top_k >= 1;
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
    return cli_usage("compile", "--mean '%s': expected numbers split by commas", l->mean);
  if (l->deviation && !parse_list(l->deviation, deviation, &deviations))
    return cli_usage("compile", "--std '%s': expected numbers split by commas", l->deviation);
  p->count = means > deviations ? means : deviations;
  double **missing = means ? deviation : mean;
  if ((means == 0) != (deviations == 0)) {
    *missing = calloc(p->count, sizeof **missing);
    if (!*missing) return cli_failed("compile", FUSION_E_MEMORY, NULL);
    for (size_t i = 0; means && i < p->count; i++) (*missing)[i] = 1;
  } else if (means != deviations) {
    return cli_usage("compile", "--mean has %zu numbers and --std %zu; give equally many", means, deviations);
  }
  for (size_t i = 0; i < p->count; i++)
    if (!((*deviation)[i] > 0)) return cli_usage("compile", "--std: %g is not positive", (*deviation)[i]);
  p->mean = *mean;
  p->deviation = *deviation;
  p->channels_last = l->channels_last;
  p->reverse_channels = l->reverse_channels;
  p->scale = l->scale;
  if (p->scale == 0) return cli_usage("compile", "--input-scale: 0 would erase every input");
  return CLI_GO;
}

static const char *output_text(const fusion_model_info *info, char text[CLI_TEXT_LEN]) {
  if (info->output == FUSION_OUTPUT_LABEL) return "label";
  snprintf(text, CLI_TEXT_LEN, info->output == FUSION_OUTPUT_LOGITS ? "%zu logits" : "top-%zu of (index, value)",
           info->output == FUSION_OUTPUT_LOGITS ? info->outputs : (size_t)info->top_k);
  return text;
}

static int print_json(const fusion_model_info *info, const fusion_compile_report *r, const char *path) {
  json_t *json =
      json_pack("{s:s, s:i, s:i, s:i, s:f, s:i, s:i, s:I, s:I, s:f}", "model", path, "weight_bits", (int)r->weight_bits,
                "activation_bits", (int)r->activation_bits, "candidates", (int)r->candidates, "agreement", r->agreement,
                "samples", (int)r->samples, "widest_ring", (int)info->widest_ring, "weights", (json_int_t)info->weights,
                "multiplications", (json_int_t)info->multiplications, "seconds", r->seconds);
  if (json) json_object_set_new(json, "logit_error", json_real(r->logit_error));
  if (json && r->labelled) {
    json_object_set_new(json, "float_accuracy", json_real(r->float_accuracy));
    json_object_set_new(json, "fixed_accuracy", json_real(r->fixed_accuracy));
  }
  return cli_print_json(json);
}

static int print_text(const fusion_model_info *info, const fusion_compile_report *r, const char *path) {
  char answer[CLI_TEXT_LEN], seconds[CLI_TEXT_LEN];
  printf("network    %zux%zux%zu to %s, %zu steps, %.3g M weights, %.3g M multiplications\n", info->input_channels,
         info->input_height, info->input_width, output_text(info, answer), info->layers, (double)info->weights / 1e6,
         (double)info->multiplications / 1e6);
  printf(
      "bits       weights up to %u (%.1f on average), activations up to %u (%.1f), rings up to %u; %u models tried\n",
      r->weight_bits, r->mean_weight_bits, r->activation_bits, r->mean_activation_bits, info->widest_ring,
      r->candidates);
  printf(
      "agreement  %.2f %% of %zu calibration samples keep the float network's label, %.2f +- %.2f %% are expected to\n",
      100 * r->agreement, r->samples, 100 * r->expected, 100 * r->expected_error);
  printf("loss       %.2f points of accuracy expected, if the float network's probabilities are right\n",
         100 * r->loss);
  printf("logits     %.2g %% off (root mean square, relative to their spread), at most %.3g\n", 100 * r->logit_error,
         r->logit_deviation);
  printf("overflow   %zu of %zu accumulators cannot; the others in a sample with probability %.1g (estimated)\n",
         r->guaranteed, r->accumulators, r->overflow);
  if (r->labelled)
    printf("accuracy   float %.2f %%, fixed point %.2f %%\n", 100 * r->float_accuracy, 100 * r->fixed_accuracy);
  printf("written    %s in %s\n", path, cli_format_seconds(seconds, r->seconds));
  return CLI_EXIT_OK;
}

static int compile(const struct compile_line *l, const char *onnx, const fusion_compile_settings *settings) {
  fusion_error err = {.status = FUSION_OK};
  fusion_array *calibration = NULL, *labels = NULL;
  fusion_model *model = NULL;
  fusion_compile_report report;
  fusion_status status = cli_load_samples(&calibration, l->calibration, l->pictures, &err);
  if (status == FUSION_OK && l->labels) status = fusion_array_load(&labels, l->labels, &err);
  if (status == FUSION_OK) status = fusion_model_compile(&model, onnx, calibration, labels, settings, &report, &err);
  if (status == FUSION_OK) status = fusion_model_save(model, l->output_path, &err);
  int code = CLI_EXIT_OK;
  if (status != FUSION_OK) {
    code = cli_failed("compile", status, &err);
  } else {
    fusion_model_info info;
    fusion_model_describe(model, &info);
    code = l->json ? print_json(&info, &report, l->output_path) : print_text(&info, &report, l->output_path);
    if (report.note[0]) cli_error("compile", "note: %s", report.note);
    if (!report.enough && !(settings->weight_bits && settings->activation_bits))
      cli_error("compile", "note: no widths reach agreement %g and error %g; these come nearest", settings->agreement,
                settings->logit_error);
  }
  fusion_array_free(calibration);
  fusion_array_free(labels);
  fusion_model_free(model);
  return code;
}

int cmd_compile(int argc, char **argv) {
  const fusion_compile_settings defaults = fusion_compile_defaults();
  fusion_compile_settings settings = defaults;
  struct compile_line l = {.margin = defaults.margin_bits,
                           .rows = defaults.calibration_rows,
                           .agreement = defaults.agreement,
                           .error = defaults.logit_error,
                           .scale = 1};
  char **positional;
  double *mean = NULL, *deviation = NULL;
  int code = parse_line(&l, argc, argv, &positional);
  if (code != CLI_GO) return code;
  if (!parse_bits(l.bits, &settings))
    return cli_usage("compile", "--bits '%s': expected auto or W,A as in 8,8 (2 to 16, 4 to 16)", l.bits);
  if (!parse_answer(l.answer, &settings))
    return cli_usage("compile", "--output '%s': expected logits, label or top-k:K", l.answer);
  if (l.pictures && !fusion_images_path(l.calibration))
    return cli_usage("compile",
                     "--preprocess is for pictures; arrays are described by --input-scale, --mean and --std");
  code = parse_preprocess(&l, &mean, &deviation, &settings.preprocess);
  settings.margin_bits = (unsigned)l.margin;
  settings.calibration_rows = l.rows;
  settings.agreement = l.agreement;
  settings.logit_error = l.error;
  settings.input_bits = (unsigned)l.input_bits;
  settings.output_bits = (unsigned)l.output_bits;
  settings.rounding = (fusion_rounding)l.rounding;
  settings.equalise = !l.no_equalise;
  settings.threads = (unsigned)l.threads;
  if (code == CLI_GO) code = compile(&l, positional[0], &settings);
  free(mean);
  free(deviation);
  return code;
}
