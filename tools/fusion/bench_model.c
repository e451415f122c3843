/* fusion bench model: one whole network, with both parties in one process. */
#include "bench_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_seconds(const void *a, const void *b) {
  const double x = ((const fusion_bench_model_result *)a)->seconds, y = ((const fusion_bench_model_result *)b)->seconds;
  return (x > y) - (x < y);
}

static void print_model(const struct bench_line *l, const fusion_bench_model_result *r) {
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
  if (r->state_server)
    printf("state      %s at the server, %s at the client\n", cli_format_bytes(up, (double)r->state_server),
           cli_format_bytes(down, (double)r->state_client));
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

json_t *bench_model_json(const struct bench_line *l, const fusion_bench_model_result *r) {
  const fusion_bench_model_settings *s = &l->settings;
  json_t *stages = json_array();
  for (size_t i = 0; i < r->stages; i++) {
    const fusion_bench_stage *g = &r->stage[i];
    json_array_append_new(
        stages, json_pack("{s:s, s:f, s:f, s:f, s:I, s:I, s:I}", "name", g->name, "seconds", g->seconds, "server_cpu",
                          g->server_cpu, "client_cpu", g->client_cpu, "bytes_to_server", (json_int_t)g->bytes_to_server,
                          "bytes_to_client", (json_int_t)g->bytes_to_client, "delays", (json_int_t)g->delays));
  }
  return json_pack("{s:I, s:I, s:I, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
                   "samples", (json_int_t)r->samples, "shard", (json_int_t)r->shard, "workers", (json_int_t)s->workers,
                   "network", l->network, "bytes_per_second", s->network.bytes_per_second, "round_trip_ms",
                   s->network.round_trip_ms, "seconds", r->seconds, "setup_seconds", r->setup_seconds, "plain_seconds",
                   r->plain_seconds, "server_cpu", r->server_cpu, "client_cpu", r->client_cpu, "bytes_to_server",
                   (json_int_t)r->bytes_to_server, "bytes_to_client", (json_int_t)r->bytes_to_client, "delays",
                   (json_int_t)r->delays, "peak_memory", (json_int_t)r->peak_memory, "wrong", (json_int_t)r->wrong,
                   "state_server", (json_int_t)r->state_server, "state_client", (json_int_t)r->state_client, "stages",
                   stages);
}

fusion_status bench_runs(const struct bench_line *l, const fusion_model *model, fusion_bench_model_result *median,
                         fusion_error *err) {
  fusion_bench_model_result results[BENCH_RUNS_MAX];
  for (uint64_t i = 0; i < l->runs; i++) {
    results[i].size = sizeof results[i];
    const fusion_status status = fusion_bench_model(model, &l->settings, &results[i], err);
    if (status != FUSION_OK) return status;
    if (!l->quiet)
      fprintf(stderr, "bench: %s, run %llu of %llu: %.3f s\n", l->settings.engine, (unsigned long long)i + 1,
              (unsigned long long)l->runs, results[i].seconds);
  }
  qsort(results, (size_t)l->runs, sizeof *results, by_seconds);
  *median = results[l->runs / 2];
  return FUSION_OK;
}

bool bench_take_network(const char *command, const char *name, fusion_bench_network *out) {
  if (cli_parse_network(name, out)) return true;
  cli_usage(command, "--network: '%s' is not allowed; give none, lan, wan, or RATE,RTT as in 44M,40", name);
  return false;
}

static bool take_phase(const char *name, uint64_t *out) {
  static const char *const names[] = {
      [FUSION_BENCH_AT_ONCE] = "once", [FUSION_BENCH_AHEAD] = "ahead", [FUSION_BENCH_ONLINE] = "online"};
  for (int i = 0; i < 3; i++) {
    *out = (uint64_t)i;
    if (!strcmp(names[i], name)) return true;
  }
  cli_usage("bench model", "--phase: '%s' is not allowed; give once, ahead, or online", name);
  return false;
}

static const char model_about[] =
    "Runs a compiled model privately on random inputs, with both parties in one process and TCP on loopback between "
    "them, and compares every answer with the plaintext run. Shows the run of median time.";

int bench_model(int argc, char **argv) {
  struct bench_line l = {.settings = fusion_bench_model_defaults(), .runs = 3, .network = "none"};
  fusion_bench_model_settings *s = &l.settings;
  const char *phase = "once";
  const struct cli_option own[] = {
      CLI_OPT_COUNT("samples", &s->samples, 1, 1e9, "N", "Number of samples of the job. Default: 868."),
      CLI_OPT_COUNT("shard", &s->shard, 0, 1e9, "K",
                    "Number of samples that run at once on one connection. Default: an equal part for each worker, "
                    "4096 at most."),
      CLI_OPT_TEXT(
          "network", &l.network, "none|lan|wan|RATE,RTT",
          "The connection to imitate: 382 MB/s with 0.3 ms round trip (lan), 44 MB/s with 40 ms (wan), or bytes per "
          "second (k, M, G) and round trip in ms, as in 100M,10. Default: none."),
      CLI_OPT_COUNT("workers", &s->workers, 1, 256, "W",
                    "Number of connections at once, each with one thread per party. Default: 1."),
      CLI_OPT_COUNT("runs", &l.runs, 1, BENCH_RUNS_MAX, "N", "Number of runs; the median is shown. Default: 3."),
      CLI_OPT_CLEAR("no-pin", &s->pin,
                    "Let the system place threads. Without this option the server's threads stay on one core and the "
                    "client's on another."),
      CLI_OPT_TEXT(
          "phase", &phase, "once|ahead|online",
          "What is measured of an engine that can prepare runs ahead of the input (delphi, cheetah): the whole run "
          "(once), what needs no input (ahead), or the rest (online). Default once."),
      {.name = NULL}};
  struct cli_option options[CLI_OPTIONS_MAX + 1] = {{.name = NULL}};
  cli_add_options(options, own);
  cli_add_engine(options, &s->engine);
  cli_add_stack(options, &s->engine);
  cli_add_threads(options, &s->threads);
  cli_add_json(options, &l.json);
  cli_add_quiet(options, &l.quiet);
  const struct cli_syntax syntax = {
      .command = "bench model",
      .synopsis = "MODEL.fsn [options]",
      .about = model_about,
      .options = options,
      .notes =
          "--threads sets the threads of the plaintext run. The private run has one thread per\n"
          "party and worker.",
      .min_positional = 1,
      .max_positional = 1};
  char **positional;
  const int done = cli_parse(&syntax, argc, argv, &positional, NULL);
  if (done != CLI_GO) return done;
  if (!bench_take_network("bench model", l.network, &s->network)) return CLI_EXIT_USAGE;
  if (!take_phase(phase, &s->phase)) return CLI_EXIT_USAGE;
  fusion_error err = {.status = FUSION_OK};
  fusion_bench_model_result median;
  fusion_model *model = NULL;
  fusion_status status = fusion_model_load(&model, positional[0], &err);
  if (status == FUSION_OK) status = bench_runs(&l, model, &median, &err);
  fusion_model_free(model);
  if (status != FUSION_OK) return cli_failed("bench", status, &err);
  if (l.json) return cli_print_json(bench_model_json(&l, &median));
  print_model(&l, &median);
  return CLI_EXIT_OK;
}
