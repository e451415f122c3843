/* fusion bench: measures this machine's ceilings, the library's kernels beside them, and whole networks. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_line.h"

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
                   "Only rows whose name or group (ceiling, lattice, slots, ot, share, model, protocol) contains TEXT, "
                   "in capitals or not."),
      CLI_OPT_COUNT("threads", &settings.threads, 1, 256, "T",
                    "Number of threads that run a kernel at once, each on its own data; the rate is the sum of all. "
                    "Default: 1. With more than one thread, protocols are left out."),
      CLI_OPT_COUNT("runs", &settings.runs, 1, 99, "N", "Number of runs; the median is shown. Default: 5."),
      CLI_OPT_NUMBER("seconds", &settings.seconds, 0.001, 60, "S",
                     "Minimum length of each run in seconds. Default: 0.03."),
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

static const char about[] =
    "Measures this machine: every kernel of the library beside the processor's limits (fusion bench micro), or a whole "
    "network with both parties in one process (fusion bench model MODEL.fsn), with all protocol engines in turn "
    "(fusion "
    "bench engines MODEL.fsn), or what predictions of time need (fusion bench calibrate).";

static int bench_help(int argc, char **argv) {
  static const struct cli_option options[] = {{.name = NULL}};
  const struct cli_syntax syntax = {.command = "bench",
                                    .synopsis = "micro|model|engines|calibrate ...",
                                    .about = about,
                                    .options = options,
                                    .notes = "'fusion bench micro --help' and so on show the options."};
  return cli_parse(&syntax, argc, argv, NULL, NULL);
}

int cmd_bench(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "micro") == 0) return bench_micro(argc - 1, argv + 1);
  if (strcmp(what, "model") == 0) return bench_model(argc - 1, argv + 1);
  if (strcmp(what, "engines") == 0) return bench_engines(argc - 1, argv + 1);
  if (strcmp(what, "calibrate") == 0) return bench_calibrate(argc - 1, argv + 1);
  if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0) return bench_help(argc, argv);
  if (!*what)
    return cli_usage("bench",
                     "what to measure is missing; give micro, model MODEL.fsn, engines MODEL.fsn or calibrate");
  return cli_usage("bench", "'%s': cannot be measured; give micro, model MODEL.fsn, engines MODEL.fsn or calibrate",
                   what);
}
