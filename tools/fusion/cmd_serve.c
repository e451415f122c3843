/* fusion serve: a compiled model for clients. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

struct serve_line {
  fusion_server_settings settings;
  const char *ready_file;
  bool quiet;
};

static const char notes[] =
    "The first SIGINT or SIGTERM stops the server when its running jobs have ended, or\n"
    "when --grace-s has passed. The second ends them at once.\n\n"
    "example:\n"
    "  fusion serve model.fsn --listen 0.0.0.0:7700 --tls-cert c.pem --tls-key k.pem";

static void options_of_limits(fusion_server_settings *s, struct cli_option *table) {
  const struct cli_option options[] = {
      CLI_OPT_COUNT("max-clients", &s->max_clients, 1, 65536, "N",
                    "Most connections at once. Each worker of a client is one. Default: 32."),
      CLI_OPT_COUNT("max-samples", &s->max_samples_job, 1, 0, "N",
                    "Most samples of one job, copies and public samples included. Default: 1M."),
      CLI_OPT_COUNT("max-samples-day", &s->max_samples_day, 1, 0, "N",
                    "Most samples of all jobs in 24 hours. Default: 100M."),
      CLI_OPT_TEXT("state", &s->state, "FILE",
                   "Keep the count for --max-samples-day in FILE, so that it survives a restart."),
      CLI_OPT_COUNT("max-shard", &s->max_shard, 1, 1 << 20, "N",
                    "Most samples that run at once on a connection. Default: 16384."),
      CLI_OPT_MS("handshake-timeout-s", &s->handshake_timeout_ms, 0.01, 86400,
                 "How long a client may be silent before its job starts, in seconds. Default: 15."),
      CLI_OPT_MS("grace-s", &s->stop_grace_ms, 0, 86400,
                 "How long running jobs may go on after the server is told to stop, in seconds. "
                 "Default: 30."),
      CLI_OPT_TEXT("prepared-folder", &s->prepared_folder, "DIR",
                   "Let clients prepare jobs, and keep the server's part of them in DIR, which no other "
                   "server uses."),
      CLI_OPT_BYTES("prepared-bytes", &s->prepared_bytes, 1, "Most bytes in that folder. Default: 10G."),
      CLI_OPT_COUNT("prepared-hours", &s->prepared_hours, 1, 1e6, "N",
                    "Remove what was prepared more than N hours ago. Default: 168."),
      {.name = NULL}};
  cli_add_options(table, options);
  cli_add_limits(table, &s->timeout_ms, &s->max_memory);
  cli_add_engines(table, &s->engine);
  cli_add_stack(table, &s->engine);
}

static int parse(struct serve_line *l, int argc, char **argv, char ***positional) {
  const struct cli_option own[] = {
      CLI_OPT_TEXT("listen", &l->settings.listen, "ADDR:PORT",
                   "Address and port to listen on. Port 0 takes a free one.", .letter = 'l', .required = true),
      CLI_OPT_TEXT("receipt-key", &l->settings.receipt_key, "FILE",
                   "A key that 'fusion keygen' made. Sign a receipt at the end of each connection whose "
                   "client asks for one."),
      CLI_OPT_TEXT("ready-file", &l->ready_file, "FILE",
                   "Write the port to FILE when the server listens, and remove FILE at the end."),
      {.name = NULL}};
  struct cli_option options[CLI_OPTIONS_MAX + 1] = {{.name = NULL}};
  cli_add_options(options, own);
  cli_add_tls_server(options, &l->settings);
  options_of_limits(&l->settings, options);
  cli_add_quiet(options, &l->quiet);
  const struct cli_syntax syntax = {
      .command = "serve",
      .synopsis = "MODEL.fsn --listen ADDR:PORT [options]",
      .about = "Serves a compiled model to clients. The server learns nothing about queries and answers.",
      .options = options,
      .notes = notes,
      .min_positional = 1,
      .max_positional = 1};
  int count;
  const int done = cli_parse(&syntax, argc, argv, positional, &count);
  return done == CLI_GO ? cli_check_tls_server("serve", &l->settings) : done;
}

static void print_line(void *context, const char *line) {
  const time_t now = time(NULL);
  struct tm utc;
  char when[32] = "";
  (void)context;
  if (gmtime_r(&now, &utc)) strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
  fprintf(stderr, "%s %s\n", when, line);
}

/* What the signal handler stops. */
static fusion_server *volatile running;

static void on_signal(int number) {
  (void)number;
  if (running) fusion_server_stop(running);
}

static void install_handlers(void) {
  struct sigaction action = {.sa_handler = on_signal};
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

/* The port in a file of its own, complete or not there: what scripts wait for. */
static int write_ready_file(const char *path, uint16_t port) {
  char temporary[4096];
  const int len = snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
  FILE *f = len > 0 && (size_t)len < sizeof temporary ? fopen(temporary, "w") : NULL;
  bool good = f && fprintf(f, "%u\n", port) > 0;
  if (f) good = fclose(f) == 0 && good;
  if (good && rename(temporary, path) == 0) return CLI_EXIT_OK;
  if (f) unlink(temporary);
  cli_error("serve", "'%s': cannot write this file", path);
  return CLI_EXIT_IO;
}

static int serve(fusion_server *server, const struct serve_line *l) {
  fusion_error err = {.status = FUSION_OK};
  running = server;
  install_handlers();
  const char *colon = strrchr(l->settings.listen, ':');
  fprintf(stderr, "listening on %.*s:%u%s\n", (int)(colon - l->settings.listen), l->settings.listen,
          fusion_server_port(server), l->settings.plaintext ? " (plaintext)" : "");
  if (l->ready_file) {
    const int code = write_ready_file(l->ready_file, fusion_server_port(server));
    if (code != CLI_EXIT_OK) return code;
  }
  const fusion_status status = fusion_server_run(server, &err);
  running = NULL;
  if (l->ready_file) unlink(l->ready_file);
  if (status != FUSION_OK) return cli_failed("serve", status, &err);
  const fusion_server_totals t = fusion_server_count(server);
  if (!l->quiet)
    fprintf(stderr, "stopped: %llu jobs done, %llu failed, %llu connections refused, %llu samples\n",
            (unsigned long long)t.jobs_done, (unsigned long long)t.jobs_failed, (unsigned long long)t.refused,
            (unsigned long long)t.samples);
  return CLI_EXIT_OK;
}

int cmd_serve(int argc, char **argv) {
  struct serve_line l = {.settings = fusion_server_defaults()};
  char **positional;
  const int done = parse(&l, argc, argv, &positional);
  if (done != CLI_GO) return done;
  fusion_error err = {.status = FUSION_OK};
  fusion_model *model = NULL;
  fusion_server *server = NULL;
  if (!l.quiet) l.settings.log = print_line;
  fusion_status status = fusion_model_load(&model, positional[0], &err);
  if (status == FUSION_OK) status = fusion_server_open(&server, model, &l.settings, &err);
  const int code = status == FUSION_OK ? serve(server, &l) : cli_failed("serve", status, &err);
  fusion_server_close(server);
  fusion_model_free(model);
  return code;
}
