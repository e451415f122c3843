/* fusion prepare: what a job can do before there are queries. */
#include <stdio.h>

#include "cli.h"
#include "outputs.h"

static const char notes[] =
    "The file is for one job of N samples: 'fusion plan' shows how many a job has. It is used\n"
    "up when the job begins, whatever becomes of the job.\n\n"
    "example:\n"
    "  fusion prepare host:7700 --samples 868 --engine delphi --tls-ca ca.pem -o night.state\n"
    "  fusion query host:7700 --engine delphi --prepared night.state ...";

struct prepare_line {
  fusion_client_settings settings;
  uint64_t samples;
  const char *path;
  bool json;
};

static int parse(struct prepare_line *l, int argc, char **argv, char ***positional) {
  fusion_client_settings *s = &l->settings;
  const struct cli_option own[] = {
      CLI_OPT_COUNT("samples", &l->samples, 1, 4294967296.0, "N",
                    "Number of samples of the job, copies and public samples included.", .letter = 'n',
                    .required = true),
      CLI_OPT_TEXT("output-file", &l->path, "FILE", "The new file, for 'fusion query --prepared'.", .letter = 'o',
                   .required = true),
      CLI_OPT_TEXT("engine", &s->engine, "NAME",
                   "Protocol engine, one that can prepare runs ahead of their inputs. Default: delphi."),
      CLI_OPT_TEXT("model", &s->model, "NAME[@VERSION]",
                   "Which of the server's models. Default: the only one that it has for this client."),
      CLI_OPT_TEXT("manifest", &s->manifest, "HASH",
                   "Refuse a server whose model's manifest has another hash than HASH."),
      CLI_OPT_TEXT("model-id", &s->model_id, "ID",
                   "The id that the server's model had before. If the server announces another one, stop "
                   "(exit status 14)."),
      CLI_OPT_COUNT("shard-samples", &s->shard_samples, 1, 1 << 20, "N",
                    "Run at most N samples at once. Default: 4096."),
      CLI_OPT_MS("connect-timeout-s", &s->connect_timeout_ms, 0.01, 86400,
                 "How long connecting may take, TLS included, in seconds. Default: 10."),
      CLI_OPT_BYTES("max-manifest", &s->max_manifest, 1,
                    "Refuse a model whose manifest, its public description, is longer. Default: 64M."),
      CLI_OPT_BYTES("max-traffic", &s->max_traffic, 0,
                    "Refuse a job for which more traffic is predicted. Default: no limit."),
      {.name = NULL}};
  struct cli_option options[CLI_OPTIONS_MAX + 1] = {{.name = NULL}};
  cli_add_options(options, own);
  cli_add_tls_client(options, s);
  cli_add_limits(options, &s->timeout_ms, &s->max_memory);
  cli_add_json(options, &l->json);
  const struct cli_syntax syntax = {.command = "prepare",
                                    .synopsis = "HOST:PORT --samples N -o FILE [options]",
                                    .about =
                                        "Does all of a job that needs no queries, so that the job itself takes few "
                                        "round trips. Server and client each keep their part.",
                                    .options = options,
                                    .notes = notes,
                                    .min_positional = 1,
                                    .max_positional = 1};
  int count;
  const int done = cli_parse(&syntax, argc, argv, positional, &count);
  return done == CLI_GO ? cli_check_tls_client("prepare", s) : done;
}

int cmd_prepare(int argc, char **argv) {
  struct prepare_line l = {.settings = fusion_client_defaults()};
  char **positional;
  l.settings.engine = "delphi";
  const int done = parse(&l, argc, argv, &positional);
  if (done != CLI_GO) return done;
  fusion_error err = {.status = FUSION_OK};
  fusion_client *client = NULL;
  l.settings.server = positional[0];
  fusion_status status = fusion_client_open(&client, &l.settings, &err);
  if (status == FUSION_OK) status = fusion_client_prepare(client, l.samples, l.path, &err);
  fusion_client_close(client);
  if (status != FUSION_OK) return cli_failed("prepare", status, &err);
  if (l.json)
    return cli_print_json(
        json_pack("{s:s, s:I, s:s}", "file", l.path, "samples", (json_int_t)l.samples, "engine", l.settings.engine));
  printf("prepared   %llu samples with the %s engine\nwritten    %s\n", (unsigned long long)l.samples,
         l.settings.engine, l.path);
  return cli_flush_stdout("prepare");
}
