/* fusion bench engines: the same network with every protocol engine, side by side. */
#include <stdio.h>
#include <string.h>

#include "bench_line.h"

enum { NETWORKS_MAX = 2 };

struct engines_line {
  struct bench_line line;
  const char *only; /* names split by commas; NULL: all */
  const char *networks[NETWORKS_MAX];
  size_t network_count;
};

/* Whether the name is in the list. */
static bool listed(const char *list, const char *name) {
  const size_t len = strlen(name);
  for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
    if (strcspn(at, ",") == len && strncmp(at, name, len) == 0) return true;
  return false;
}

/* Every name of the list is an engine. */
static fusion_status check_names(const char *list, fusion_error *err) {
  for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(at, ","), at);
    const fusion_status status = fusion_engine_check(name, err);
    if (status != FUSION_OK) return status;
  }
  return FUSION_OK;
}

static void print_heading(const struct engines_line *l) {
  printf("%llu samples; times and bytes are a sample's, setting up included\n",
         (unsigned long long)l->line.settings.samples);
  printf("%-14s %-8s %12s %12s %12s %12s %12s %7s %10s\n", "engine", "network", "ms", "server CPU", "client CPU",
         "KiB up", "KiB down", "delays", "set-up ms");
}

static void print_measured(const struct bench_line *l, const fusion_bench_model_result *r) {
  const double n = (double)r->samples;
  printf("%-14s %-8s %12.3f %12.3f %12.3f %12.2f %12.2f %7u %10.1f\n", l->settings.engine, l->network,
         1e3 * r->seconds / n, 1e3 * r->server_cpu / n, 1e3 * r->client_cpu / n, (double)r->bytes_to_server / 1024 / n,
         (double)r->bytes_to_client / 1024 / n, r->delays, 1e3 * r->setup_seconds);
  fflush(stdout);
}

static json_t *refused_json(const struct bench_line *l, const char *why) {
  return json_pack("{s:s, s:s, s:s}", "engine", l->settings.engine, "network", l->network, "refused", why);
}

static json_t *measured_json(const struct bench_line *l, const fusion_bench_model_result *r) {
  json_t *json = bench_model_json(l, r);
  if (json) json_object_set_new(json, "engine", json_string(l->settings.engine));
  return json;
}

/* One engine on every network. An engine that cannot run the model is a row, not a failure. */
static fusion_status measure(const struct engines_line *l, const fusion_model *model, const char *engine, json_t *rows,
                             fusion_error *err) {
  struct bench_line line = l->line;
  line.settings.engine = engine;
  for (size_t i = 0; i < l->network_count; i++) {
    fusion_bench_model_result median;
    line.network = l->networks[i];
    if (!bench_take_network("bench engines", line.network, &line.settings.network)) return FUSION_E_USAGE;
    const fusion_status status = bench_runs(&line, model, &median, err);
    if (status != FUSION_OK && status != FUSION_E_MODEL) return status;
    if (status == FUSION_OK && rows) json_array_append_new(rows, measured_json(&line, &median));
    if (status == FUSION_OK && !rows) print_measured(&line, &median);
    if (status == FUSION_OK) continue;
    if (rows) json_array_append_new(rows, refused_json(&line, err->text));
    if (!rows) printf("%-14s refused: %s\n", engine, err->text);
    *err = (fusion_error){.status = FUSION_OK};
    break; /* on the other networks as well */
  }
  return FUSION_OK;
}

static fusion_status run(const struct engines_line *l, const char *path, json_t *rows, fusion_error *err) {
  fusion_model *model = NULL;
  fusion_status status = check_names(l->only, err);
  if (status == FUSION_OK) status = fusion_model_load(&model, path, err);
  if (status == FUSION_OK && !rows) print_heading(l);
  for (size_t i = 0; status == FUSION_OK && fusion_engine_name(i); i++)
    if (!l->only || listed(l->only, fusion_engine_name(i)))
      status = measure(l, model, fusion_engine_name(i), rows, err);
  fusion_model_free(model);
  return status;
}

static const char about[] =
    "Runs a compiled model privately on random inputs with every protocol engine, on imitated connections, with both "
    "parties in one process, and compares every answer with the plaintext run. Engines that cannot run the model say "
    "why.";

int bench_engines(int argc, char **argv) {
  struct engines_line l = {.line = {.settings = fusion_bench_model_defaults(), .runs = 1},
                           .networks = {"lan", "wan"},
                           .network_count = NETWORKS_MAX};
  fusion_bench_model_settings *s = &l.line.settings;
  s->samples = 8;
  const struct cli_option own[] = {
      CLI_OPT_COUNT("samples", &s->samples, 1, 1e9, "N", "Number of samples of each job. Default: 8."),
      CLI_OPT_TEXT("engine", &l.only, "NAMES", "Only these engines, split by commas. Default: all."),
      CLI_OPT_TEXT("network", &l.line.network, "none|lan|wan|RATE,RTT",
                   "The connection to imitate, as for 'fusion bench model'. Default: lan, then wan."),
      CLI_OPT_COUNT("workers", &s->workers, 1, 256, "W",
                    "Number of connections at once, each with one thread per party. Default: 1."),
      CLI_OPT_COUNT("runs", &l.line.runs, 1, BENCH_RUNS_MAX, "N", "Number of runs; the median is shown. Default: 1."),
      {.name = NULL}};
  struct cli_option options[CLI_OPTIONS_MAX + 1] = {{.name = NULL}};
  cli_add_options(options, own);
  cli_add_json(options, &l.line.json);
  cli_add_quiet(options, &l.line.quiet);
  const struct cli_syntax syntax = {.command = "bench engines",
                                    .synopsis = "MODEL.fsn [options]",
                                    .about = about,
                                    .options = options,
                                    .min_positional = 1,
                                    .max_positional = 1};
  char **positional;
  const int done = cli_parse(&syntax, argc, argv, &positional, NULL);
  if (done != CLI_GO) return done;
  if (l.line.network) {
    if (!bench_take_network("bench engines", l.line.network, &s->network)) return CLI_EXIT_USAGE;
    l.networks[0] = l.line.network;
    l.network_count = 1;
  }
  fusion_error err = {.status = FUSION_OK};
  json_t *rows = l.line.json ? json_array() : NULL;
  const fusion_status status = run(&l, positional[0], rows, &err);
  if (status == FUSION_OK) return rows ? cli_print_json(rows) : CLI_EXIT_OK;
  json_decref(rows);
  return cli_failed("bench", status, &err);
}
