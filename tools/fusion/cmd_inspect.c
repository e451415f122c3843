/* fusion inspect: shows a compiled model, layer by layer. */
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"

static const char *const output_names[] = {"logits", "label", "top-k", "reverse-sigmoid", "round"};
static const char *const rounding_names[] = {"exact", "fast"};

static json_t *numbers_json(const double *values, size_t count) {
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++) json_array_append_new(list, json_real(values[i]));
  return list;
}

static json_t *preprocess_json(const fusion_preprocess *p) {
  return json_pack("{s:b, s:b, s:f, s:o, s:o}", "channels_last", (int)p->channels_last, "reverse_channels",
                   (int)p->reverse_channels, "scale", p->scale, "mean", numbers_json(p->mean, p->count), "std",
                   numbers_json(p->deviation, p->count));
}

static json_t *layer_json(const fusion_layer *d) {
  return json_pack("{s:s, s:s, s:[I,I,I], s:i, s:b, s:i, s:i, s:i, s:I, s:I, s:f}", "kind", d->kind, "name", d->name,
                   "shape", (json_int_t)d->channels, (json_int_t)d->height, (json_int_t)d->width, "ring_bits",
                   (int)d->ring_bits, "raw", (int)d->raw, "value_bits", (int)d->value_bits, "shift", (int)d->shift,
                   "weight_bits", (int)d->weight_bits, "weights", (json_int_t)d->weights, "multiplications",
                   (json_int_t)d->multiplications, "scale", d->scale);
}

/** The labels of the network's file; NULL when they are 0, 1, 2, ... */
static json_t *labels_json(const fusion_model *model) {
  json_t *list = json_array();
  int64_t number;
  const char *text;
  bool own = false;
  for (size_t i = 0; fusion_model_class(model, i, &number, &text); i++) {
    own = own || text || number != (int64_t)i;
    json_array_append_new(list, text ? json_string(text) : json_integer((json_int_t)number));
  }
  if (own) return list;
  json_decref(list);
  return NULL;
}

static void print_labels(const fusion_model *model) {
  enum { SHOWN = 10 };
  json_t *list = labels_json(model);
  const size_t count = json_array_size(list);
  for (size_t i = 0; i < count && i < SHOWN; i++) {
    const json_t *one = json_array_get(list, i);
    printf("%s", i ? ", " : "labels       ");
    if (json_is_string(one)) printf("%s", json_string_value(one));
    if (json_is_integer(one)) printf("%" JSON_INTEGER_FORMAT, json_integer_value(one));
  }
  if (count > SHOWN) printf(", ... (%zu)", count);
  if (count) printf("\n");
  json_decref(list);
}

static int print_json(const fusion_model *model, const fusion_model_info *info,
                      const struct cli_prediction *prediction) {
  json_t *layers = json_array();
  fusion_layer d = {.size = sizeof d};
  for (size_t i = 0; fusion_model_layer(model, i, &d); i++) json_array_append_new(layers, layer_json(&d));
  json_t *json =
      json_pack("{s:[I,I,I], s:I, s:s, s:i, s:s, s:b, s:b, s:b, s:f, s:I, s:I, s:I, s:i, s:o, s:o, s:s}", "input",
                (json_int_t)info->input_channels, (json_int_t)info->input_height, (json_int_t)info->input_width,
                "outputs", (json_int_t)info->outputs, "output", output_names[info->output], "top_k", (int)info->top_k,
                "rounding", rounding_names[info->rounding], "softmax", (int)info->softmax, "log_softmax",
                (int)info->log_softmax, "sigmoid", (int)info->sigmoid, "output_scale", info->output_scale,
                "manifest_bytes", (json_int_t)info->manifest_len, "weights", (json_int_t)info->weights,
                "multiplications", (json_int_t)info->multiplications, "widest_ring", (int)info->widest_ring,
                "preprocess", preprocess_json(&info->preprocess), "layers", layers, "model_id", info->model_id);
  json_t *labels = labels_json(model);
  if (json && info->output == FUSION_OUTPUT_REVERSE_SIGMOID) {
    json_object_set_new(json, "beta", json_real(info->beta));
    json_object_set_new(json, "gamma", json_real(info->gamma));
  }
  if (json && info->output == FUSION_OUTPUT_ROUND)
    json_object_set_new(json, "digits", json_integer((json_int_t)info->digits));
  if (json && info->tokens) {
    json_object_set_new(json, "tokens", json_integer((json_int_t)info->tokens));
    json_object_set_new(json, "publishes_embeddings", json_boolean(info->publishes_embeddings));
    json_object_set_new(json, "numbers", json_integer((json_int_t)info->numbers));
    json_object_set_new(json, "numbers_first", json_integer((json_int_t)info->numbers_first));
  }
  if (json && labels) json_object_set_new(json, "labels", labels);
  if (json) json_object_set_new(json, "input_units", json_integer((json_int_t)info->input_units));
  if (json && prediction->samples) json_object_set_new(json, "prediction", cli_prediction_json(prediction));
  return cli_print_json(json);
}

static void print_preprocess(const fusion_preprocess *p, size_t units) {
  printf("input data   (raw * %.6g", p->scale);
  if (p->count == 1)
    printf(" - %.6g) / %.6g", p->mean[0], p->deviation[0]);
  else if (p->count)
    printf(" - mean) / std, of each channel");
  else
    printf(")");
  printf("%s%s", p->channels_last ? ", channels last" : "", p->reverse_channels ? ", channels reversed" : "");
  if (units) printf(", %zu units of features", units);
  printf("\n");
}

static int print_text(const fusion_model *model, const fusion_model_info *info,
                      const struct cli_prediction *prediction) {
  char manifest[CLI_TEXT_LEN];
  printf("input        %zu x %zu x %zu\n", info->input_channels, info->input_height, info->input_width);
  if (info->tokens)
    printf("input data   %zu tokens of 0 to %u, %s\n", info->input_height * info->input_width,
           (unsigned)info->tokens - 1,
           info->publishes_embeddings ? "looked up in a public table" : "as zeros and a one");
  if (info->numbers)
    printf("             %" PRIu64 " numbers before the tokens, %" PRIu64 " behind them\n", info->numbers_first,
           info->numbers - info->numbers_first);
  if (!info->tokens) print_preprocess(&info->preprocess, info->input_units);
  printf("answer       %s", output_names[info->output]);
  if (info->output == FUSION_OUTPUT_TOP_K) printf(" (%u)", info->top_k);
  if (info->output == FUSION_OUTPUT_REVERSE_SIGMOID) printf(" (beta %g, gamma %g)", info->beta, info->gamma);
  if (info->output == FUSION_OUTPUT_ROUND) printf(" (%u digits)", (unsigned)info->digits);
  printf(", %zu integers, unit %.6g%s, %s rounding\n", info->answer_size, info->output_scale,
         info->log_softmax ? ", log-softmax"
         : info->softmax   ? ", softmax"
         : info->sigmoid   ? ", sigmoid"
                           : "",
         rounding_names[info->rounding]);
  print_labels(model);
  printf("size         %.4g M weights, %.4g M multiplications a sample, public manifest %s\n",
         (double)info->weights / 1e6, (double)info->multiplications / 1e6,
         cli_format_bytes(manifest, (double)info->manifest_len));
  printf("model id     %s\n", info->model_id);
  cli_print_prediction(prediction, "private run  ", "time         ", "memory       ");
  printf("\n%4s  %-8s %-28s %16s %6s %6s %6s %6s %8s\n", "step", "kind", "name", "shape", "ring", "values", "shift",
         "bits", "weights");
  fusion_layer d = {.size = sizeof d};
  for (size_t i = 0; fusion_model_layer(model, i, &d); i++) {
    char shape[CLI_TEXT_LEN], ring[CLI_TEXT_LEN], bits[CLI_TEXT_LEN] = "", weights[CLI_TEXT_LEN] = "",
                                                  shift[CLI_TEXT_LEN] = "";
    snprintf(shape, sizeof shape, "%zux%zux%zu", d.channels, d.height, d.width);
    snprintf(ring, sizeof ring, d.raw ? "%u raw" : "%u", d.ring_bits);
    if (d.weight_bits) snprintf(bits, sizeof bits, "%u", d.weight_bits);
    if (d.weight_bits) snprintf(weights, sizeof weights, "%llu", (unsigned long long)d.weights);
    if (d.shift) snprintf(shift, sizeof shift, "%u", d.shift);
    printf("%4zu  %-8s %-28.28s %16s %6s %6u %6s %6s %8s\n", i, d.kind, d.name, shape, ring, d.value_bits, shift, bits,
           weights);
  }
  return CLI_EXIT_OK;
}

int cmd_inspect(int argc, char **argv) {
  bool as_json = false;
  struct cli_prediction prediction = cli_prediction_default;
  struct cli_option options[CLI_OPTIONS_MAX + 1] = {{.name = NULL}};
  cli_add_prediction(options, &prediction);
  cli_add_json(options, &as_json);
  const struct cli_syntax syntax = {
      .command = "inspect",
      .synopsis = "MODEL.fsn [options]",
      .about =
          "Shows a compiled model, layer by layer, and what a private run costs. Ring widths "
          "are in bits; 'raw' means that the low bits hold noise until the next step "
          "removes them.",
      .options = options,
      .min_positional = 1,
      .max_positional = 1};
  char **positional;
  int count;
  int code = cli_parse(&syntax, argc, argv, &positional, &count);
  if (code == CLI_GO) code = cli_check_prediction("inspect", &prediction);
  if (code != CLI_GO) return code;
  fusion_error err = {.status = FUSION_OK};
  fusion_model *model;
  fusion_status status = fusion_model_load(&model, positional[0], &err);
  if (status != FUSION_OK) return cli_failed("inspect", status, &err);
  fusion_model_info info = {.size = sizeof info};
  status = fusion_model_describe(model, &info, &err);
  if (status == FUSION_OK) status = cli_predict("inspect", model, &prediction, &err);
  if (status != FUSION_OK)
    code = cli_failed("inspect", status, &err);
  else if (as_json)
    code = print_json(model, &info, &prediction);
  else
    code = print_text(model, &info, &prediction);
  fusion_model_free(model);
  return code;
}
