/* fusion bench: measures this machine's ceilings, the library's kernels beside them, and whole networks. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* --- fusion bench micro ------------------------------------------------------------------------------------------ */

struct micro_output {
  json_t *rows;      /* NULL: a table is printed as rows come */
  const char *group; /* of the last row printed */
  bool quiet;
};

/* "12.3 G" for 1.23e10. */
static char *format_rate(char out[CLI_TEXT_LEN], double rate) {
  static const char units[] = " kMGT";
  size_t unit = 0;
  for (; rate >= 1000 && unit + 2 < sizeof units; unit++) rate /= 1000;
  snprintf(out, CLI_TEXT_LEN, "%.*f %c", rate < 10 ? 2 : rate < 100 ? 1 : 0, rate, units[unit]);
  return out;
}

static void print_heading(const fusion_bench_row *row) {
  const bool protocol = strcmp(row->group, "protocol") == 0;
  printf("%s%s\n", row->group, strcmp(row->group, "ceiling") ? "" : ": one core's limits");
  printf("  %-58s %-6s %10s %-12s", "", "tier", "a second", "unit");
  if (protocol) printf(" %11s %11s %9s %9s", "server ns", "client ns", "B up", "B down");
  if (strcmp(row->group, "ceiling") && !protocol) printf(" %6s  %s", "share", "of");
  putchar('\n');
}

static void print_row(struct micro_output *out, const fusion_bench_row *row) {
  char rate[CLI_TEXT_LEN];
  if (!out->group || strcmp(out->group, row->group)) print_heading(row);
  out->group = row->group;
  printf("  %-58s %-6s %10s %-12s", row->name, row->tier, format_rate(rate, row->per_second), row->unit);
  if (row->server_cpu_ns > 0)
    printf(" %11.4g %11.4g %9.4g %9.4g", row->server_cpu_ns, row->client_cpu_ns, row->bytes_to_server,
           row->bytes_to_client);
  if (row->bound) printf(" %5.0f%%  %s", 100 * row->share, row->bound);
  if (row->spread > 0.2) printf("  (spread %.0f%%)", 100 * row->spread);
  putchar('\n');
  fflush(stdout);
}

static json_t *row_json(const fusion_bench_row *row) {
  json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:f, s:f}", "group", row->group, "name", row->name, "tier", row->tier,
                           "unit", row->unit, "per_second", row->per_second, "spread", row->spread);
  if (json && row->bound) {
    json_t *demands = json_object();
    for (size_t i = 0; i < row->demands; i++)
      json_object_set_new(demands, row->demand[i].ceiling, json_real(row->demand[i].amount));
    json_object_set_new(json, "demands", demands);
    json_object_set_new(json, "bound", json_string(row->bound));
    json_object_set_new(json, "share", json_real(row->share));
  }
  if (json && row->server_cpu_ns > 0) {
    json_object_set_new(json, "server_cpu_ns", json_real(row->server_cpu_ns));
    json_object_set_new(json, "client_cpu_ns", json_real(row->client_cpu_ns));
    json_object_set_new(json, "bytes_to_server", json_real(row->bytes_to_server));
    json_object_set_new(json, "bytes_to_client", json_real(row->bytes_to_client));
  }
  return json;
}

static bool take_row(void *context, const fusion_bench_row *row) {
  struct micro_output *out = context;
  if (!out->rows) {
    print_row(out, row);
    return true;
  }
  if (!out->quiet) fprintf(stderr, "bench: %s, %s\n", row->name, row->tier);
  return json_array_append_new(out->rows, row_json(row)) == 0;
}

static const char micro_about[] =
    "Measures the most that one core of this machine can do (the ceilings), then every kernel of the library beside "
    "its "
    "nearest ceiling, then the two-party protocols. It measures every kernel tier that the processor has, or only the "
    "one that --cpu-tier names.";

static int bench_micro(int argc, char **argv) {
  fusion_bench_settings settings = fusion_bench_defaults();
  bool json = false, quiet = false;
  const struct cli_option own[] = {
      CLI_OPT_TEXT("only", &settings.only, "TEXT",
                   "Only rows whose name or group (ceiling, lattice, ot, share, model, protocol) contains TEXT."),
      CLI_OPT_COUNT("threads", &settings.threads, 1, 256, "T",
                    "Number of threads that run a kernel at once, each on its own data; the rate is the sum of all. "
                    "Default 1. With more than one thread, protocols are left out."),
      CLI_OPT_COUNT("runs", &settings.runs, 1, 99, "N", "Number of runs; the median is shown. Default 5."),
      CLI_OPT_NUMBER("seconds", &settings.seconds, 0.001, 60, "S",
                     "Minimum length of each run in seconds. Default 0.03."),
      {.name = NULL}};
  struct cli_option options[CLI_OPTIONS_MAX + 1] = {{.name = NULL}};
  cli_add_options(options, own);
  cli_add_json(options, &json);
  cli_add_quiet(options, &quiet);
  const struct cli_syntax syntax = {
      .command = "bench micro", .synopsis = "[options]", .about = micro_about, .options = options};
  const int done = cli_parse(&syntax, argc, argv, NULL, NULL);
  if (done != CLI_GO) return done;
  fusion_error err = {.status = FUSION_OK};
  struct micro_output out = {.rows = json ? json_array() : NULL, .quiet = quiet};
  settings.all_tiers = !cli_tier_forced;
  settings.row = take_row;
  settings.context = &out;
  const fusion_status status = fusion_bench_micro(&settings, &err);
  if (status != FUSION_OK) {
    json_decref(out.rows);
    return cli_failed("bench", status, &err);
  }
  if (!json) return CLI_EXIT_OK;
  return cli_print_json(json_pack("{s:s, s:I, s:o}", "version", fusion_version(), "threads",
                                  (json_int_t)settings.threads, "rows", out.rows));
}

/* --- fusion bench model ------------------------------------------------------------------------------------------ */

struct model_line {
  fusion_bench_model_settings settings;
  uint64_t runs;
  const char *network;
  bool json, quiet;
};

static int by_seconds(const void *a, const void *b) {
  const double x = ((const fusion_bench_model_result *)a)->seconds, y = ((const fusion_bench_model_result *)b)->seconds;
  return (x > y) - (x < y);
}

static void print_model(const struct model_line *l, const fusion_bench_model_result *r) {
  const fusion_bench_model_settings *s = &l->settings;
  const double n = (double)r->samples;
  char up[CLI_TEXT_LEN], down[CLI_TEXT_LEN], peak[CLI_TEXT_LEN], whole[CLI_TEXT_LEN];
  printf("job        %llu samples in shards of %llu, %llu workers, network %s", (unsigned long long)r->samples,
         (unsigned long long)r->shard, (unsigned long long)s->workers, l->network);
  if (s->network.bytes_per_second > 0)
    printf(" (%.0f MB/s, %.1f ms)", s->network.bytes_per_second / 1e6, s->network.round_trip_ms);
  printf("\ntime       %s: %.4f ms a sample; processor %.4f ms (server), %.4f ms (client)\n",
         cli_format_seconds(whole, r->seconds), 1e3 * r->seconds / n, 1e3 * r->server_cpu / n, 1e3 * r->client_cpu / n);
  printf("traffic    %s to the server, %s back: %.2f KiB a sample; %u delays\n",
         cli_format_bytes(up, (double)r->bytes_to_server), cli_format_bytes(down, (double)r->bytes_to_client),
         (double)(r->bytes_to_server + r->bytes_to_client) / 1024 / n, r->delays);
  printf("memory     %s at most, both parties in one process\n", cli_format_bytes(peak, (double)r->peak_memory));
  printf("answers    %llu differ from the plaintext run\n\n", (unsigned long long)r->wrong);
  printf("%-10s %12s %12s %12s %12s %12s %7s\n", "stage", "ms a sample", "server CPU", "client CPU", "KiB up",
         "KiB down", "delays");
  for (size_t i = 0; i < r->stages; i++) {
    const fusion_bench_stage *g = &r->stage[i];
    printf("%-10s %12.4f %12.4f %12.4f %12.3f %12.3f %7u\n", g->name, 1e3 * g->seconds / n, 1e3 * g->server_cpu / n,
           1e3 * g->client_cpu / n, (double)g->bytes_to_server / 1024 / n, (double)g->bytes_to_client / 1024 / n,
           g->delays);
  }
}

static json_t *model_json(const struct model_line *l, const fusion_bench_model_result *r) {
  const fusion_bench_model_settings *s = &l->settings;
  json_t *stages = json_array();
  for (size_t i = 0; i < r->stages; i++) {
    const fusion_bench_stage *g = &r->stage[i];
    json_array_append_new(
        stages, json_pack("{s:s, s:f, s:f, s:f, s:I, s:I, s:I}", "name", g->name, "seconds", g->seconds, "server_cpu",
                          g->server_cpu, "client_cpu", g->client_cpu, "bytes_to_server", (json_int_t)g->bytes_to_server,
                          "bytes_to_client", (json_int_t)g->bytes_to_client, "delays", (json_int_t)g->delays));
  }
  return json_pack("{s:I, s:I, s:I, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:o}", "samples",
                   (json_int_t)r->samples, "shard", (json_int_t)r->shard, "workers", (json_int_t)s->workers, "network",
                   l->network, "bytes_per_second", s->network.bytes_per_second, "round_trip_ms",
                   s->network.round_trip_ms, "seconds", r->seconds, "setup_seconds", r->setup_seconds, "plain_seconds",
                   r->plain_seconds, "server_cpu", r->server_cpu, "client_cpu", r->client_cpu, "bytes_to_server",
                   (json_int_t)r->bytes_to_server, "bytes_to_client", (json_int_t)r->bytes_to_client, "delays",
                   (json_int_t)r->delays, "peak_memory", (json_int_t)r->peak_memory, "wrong", (json_int_t)r->wrong,
                   "stages", stages);
}

static fusion_status run_model(const struct model_line *l, const char *path, fusion_bench_model_result *results,
                               fusion_error *err) {
  fusion_model *model = NULL;
  fusion_status status = fusion_model_load(&model, path, err);
  for (uint64_t i = 0; status == FUSION_OK && i < l->runs; i++) {
    status = fusion_bench_model(model, &l->settings, &results[i], err);
    if (status == FUSION_OK && !l->quiet)
      fprintf(stderr, "bench: run %llu of %llu: %.3f s\n", (unsigned long long)i + 1, (unsigned long long)l->runs,
              results[i].seconds);
  }
  fusion_model_free(model);
  return status;
}

static const char model_about[] =
    "Runs a compiled model privately on random inputs, with both parties in one process and TCP on loopback between "
    "them, and compares every answer with the plaintext run. Shows the run of median time.";

enum { MODEL_RUNS_MAX = 99 };

static int bench_model(int argc, char **argv) {
  struct model_line l = {.settings = fusion_bench_model_defaults(), .runs = 3, .network = "none"};
  fusion_bench_model_settings *s = &l.settings;
  const struct cli_option own[] = {
      CLI_OPT_COUNT("samples", &s->samples, 1, 1e9, "N", "Number of samples of the job. Default 868."),
      CLI_OPT_COUNT("shard", &s->shard, 0, 1e9, "K",
                    "Number of samples that run at once on one connection. Default: an equal part for each worker, "
                    "4096 at most."),
      CLI_OPT_TEXT(
          "network", &l.network, "none|lan|wan|RATE,RTT",
          "The connection to imitate: 382 MB/s with 0.3 ms round trip (lan), 44 MB/s with 40 ms (wan), or bytes per "
          "second (k, M, G) and round trip in ms, as in 100M,10. Default none."),
      CLI_OPT_COUNT("workers", &s->workers, 1, 256, "W",
                    "Number of connections at once, each with one thread per party. Default 1."),
      CLI_OPT_COUNT("runs", &l.runs, 1, MODEL_RUNS_MAX, "N", "Number of runs; the median is shown. Default 3."),
      CLI_OPT_CLEAR("no-pin", &s->pin,
                    "Let the system place threads. Without this option the server's threads stay on one core and the "
                    "client's on another."),
      {.name = NULL}};
  struct cli_option options[CLI_OPTIONS_MAX + 1] = {{.name = NULL}};
  cli_add_options(options, own);
  cli_add_engine(options, &s->engine);
  cli_add_stack(options, &s->engine);
  cli_add_threads(options, &s->threads);
  cli_add_json(options, &l.json);
  cli_add_quiet(options, &l.quiet);
  const struct cli_syntax syntax = {.command = "bench model",
                                    .synopsis = "MODEL.fsn [options]",
                                    .about = model_about,
                                    .options = options,
                                    .notes =
                                        "--threads sets the threads of the plaintext run; the private run has one "
                                        "thread per party and worker.",
                                    .min_positional = 1,
                                    .max_positional = 1};
  char **positional;
  const int done = cli_parse(&syntax, argc, argv, &positional, NULL);
  if (done != CLI_GO) return done;
  if (!cli_parse_network(l.network, &s->network))
    return cli_usage("bench model", "--network: '%s' is not allowed; give none, lan, wan, or RATE,RTT as in 44M,40",
                     l.network);
  fusion_error err = {.status = FUSION_OK};
  fusion_bench_model_result results[MODEL_RUNS_MAX];
  for (size_t i = 0; i < MODEL_RUNS_MAX; i++) results[i].size = sizeof results[i];
  const fusion_status status = run_model(&l, positional[0], results, &err);
  if (status != FUSION_OK) return cli_failed("bench", status, &err);
  qsort(results, (size_t)l.runs, sizeof *results, by_seconds);
  const fusion_bench_model_result *middle = &results[l.runs / 2];
  if (l.json) return cli_print_json(model_json(&l, middle));
  print_model(&l, middle);
  return CLI_EXIT_OK;
}

static void print_usage(void) {
  printf(
      "usage: fusion bench micro|model ...\n\n"
      "Measures this machine: every kernel of the library beside the processor's limits\n"
      "(fusion bench micro), or a whole network with both parties in one process\n"
      "(fusion bench model MODEL.fsn).\n\n"
      "'fusion bench micro --help' and 'fusion bench model --help' show the options.\n");
}

int cmd_bench(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "micro") == 0) return bench_micro(argc - 1, argv + 1);
  if (strcmp(what, "model") == 0) return bench_model(argc - 1, argv + 1);
  if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0) {
    print_usage();
    return CLI_EXIT_OK;
  }
  if (!*what) return cli_usage("bench", "what to measure is missing; give micro, or model MODEL.fsn");
  return cli_usage("bench", "'%s': cannot be measured; give micro, or model MODEL.fsn", what);
}
