/* fusion serve: a compiled model for clients. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

struct serve_line {
  const char *listen, *cert, *key, *client_ca, *ready_file, *stack;
  uint64_t max_clients, max_samples, max_samples_day, max_memory, max_shard;
  double timeout_s, handshake_timeout_s, grace_s;
  bool plaintext, quiet;
};

static const char notes[] =
    "The first SIGINT or SIGTERM stops the server when running jobs have ended (or --grace-s has\n"
    "passed); the second ends them at once.\n\n"
    "example:\n"
    "  fusion serve model.fsn --listen 0.0.0.0:7700 --tls-cert c.pem --tls-key k.pem";

static int parse_tls_and_limits(struct serve_line *l, int argc, char **argv, char ***positional) {
  const struct cli_option options[] = {
      {.name = "listen",
       .letter = 'l',
       .kind = CLI_TEXT,
       .out = &l->listen,
       .required = true,
       .value = "ADDR:PORT",
       .help = "Where to listen; port 0 takes a free one."},
      {.name = "tls-cert",
       .kind = CLI_TEXT,
       .out = &l->cert,
       .value = "FILE",
       .help = "The server's certificate (PEM), its chain behind it."},
      {.name = "tls-key", .kind = CLI_TEXT, .out = &l->key, .value = "FILE", .help = "Its key (PEM, no password)."},
      {.name = "client-ca",
       .kind = CLI_TEXT,
       .out = &l->client_ca,
       .value = "FILE",
       .help = "Serve only clients with a certificate signed by one of these (PEM)."},
      {.name = "plaintext",
       .kind = CLI_FLAG,
       .out = &l->plaintext,
       .help = "No TLS. Allowed on a loopback address only."},
      {.name = "max-clients",
       .kind = CLI_COUNT,
       .out = &l->max_clients,
       .min = 1,
       .max = 65536,
       .value = "N",
       .help = "Connections at once; each worker of a client is one (default 32)."},
      {.name = "max-samples",
       .kind = CLI_COUNT,
       .out = &l->max_samples,
       .min = 1,
       .value = "N",
       .help = "Samples of one job, copies and public ones included (default 1M)."},
      {.name = "max-samples-day",
       .kind = CLI_COUNT,
       .out = &l->max_samples_day,
       .min = 1,
       .value = "N",
       .help = "Samples of all jobs in 24 hours (default 100M)."},
      {.name = "max-memory",
       .kind = CLI_BYTES,
       .out = &l->max_memory,
       .value = "BYTES",
       .help = "For all running shards together (default: half of the machine's)."},
      {.name = "max-shard",
       .kind = CLI_COUNT,
       .out = &l->max_shard,
       .min = 1,
       .max = 1 << 20,
       .value = "N",
       .help = "Samples that run at once on a connection (default 16384)."},
      {.name = "timeout-s",
       .kind = CLI_NUMBER,
       .out = &l->timeout_s,
       .min = 0.01,
       .max = 86400,
       .value = "S",
       .help = "Silence of a client tolerated in a running job (default 120)."},
      {.name = "handshake-timeout-s",
       .kind = CLI_NUMBER,
       .out = &l->handshake_timeout_s,
       .min = 0.01,
       .max = 86400,
       .value = "S",
       .help = "The same before the job starts (default 15)."},
      {.name = "grace-s",
       .kind = CLI_NUMBER,
       .out = &l->grace_s,
       .max = 86400,
       .value = "S",
       .help = "How long running jobs may go on when the server is stopped (default 30)."},
      {.name = "ready-file",
       .kind = CLI_TEXT,
       .out = &l->ready_file,
       .value = "FILE",
       .help = "Write the port to this file when listening; removed at the end."},
      {.name = "stack",
       .kind = CLI_TEXT,
       .out = &l->stack,
       .value = "NAME",
       .help = "Protocol stack (default cheetah)."},
      {.name = "quiet", .letter = 'q', .kind = CLI_FLAG, .out = &l->quiet, .help = "No line for each job."},
      {.name = NULL}};
  const struct cli_syntax syntax = {.command = "serve",
                                    .synopsis = "MODEL.fsn --listen ADDR:PORT [options]",
                                    .about = "Serves a compiled model. Learns nothing of queries and answers.",
                                    .options = options,
                                    .notes = notes,
                                    .min_positional = 1,
                                    .max_positional = 1};
  int count;
  return cli_parse(&syntax, argc, argv, positional, &count);
}

static int parse(struct serve_line *l, fusion_server_settings *s, int argc, char **argv, char ***positional) {
  *l = (struct serve_line){.max_clients = s->max_clients,
                           .max_samples = s->max_samples_job,
                           .max_samples_day = s->max_samples_day,
                           .max_shard = s->max_shard,
                           .timeout_s = s->timeout_ms / 1e3,
                           .handshake_timeout_s = s->handshake_timeout_ms / 1e3,
                           .grace_s = s->stop_grace_ms / 1e3,
                           .stack = s->stack};
  const int done = parse_tls_and_limits(l, argc, argv, positional);
  if (done != CLI_GO) return done;
  if (l->plaintext && (l->cert || l->key || l->client_ca))
    return cli_usage("serve", "--plaintext and the TLS options exclude each other");
  if (!l->plaintext && (!l->cert || !l->key))
    return cli_usage("serve", "give --tls-cert and --tls-key (or, on a loopback address, --plaintext)");
  s->listen = l->listen;
  s->tls_cert = l->cert;
  s->tls_key = l->key;
  s->client_ca = l->client_ca;
  s->plaintext = l->plaintext;
  s->stack = l->stack;
  s->max_clients = (uint32_t)l->max_clients;
  s->max_samples_job = l->max_samples;
  s->max_samples_day = l->max_samples_day;
  s->max_memory = l->max_memory;
  s->max_shard = (uint32_t)l->max_shard;
  s->timeout_ms = (uint32_t)(l->timeout_s * 1e3);
  s->handshake_timeout_ms = (uint32_t)(l->handshake_timeout_s * 1e3);
  s->stop_grace_ms = (uint32_t)(l->grace_s * 1e3);
  return CLI_GO;
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
  const char *colon = strrchr(l->listen, ':');
  fprintf(stderr, "listening on %.*s:%u%s\n", (int)(colon - l->listen), l->listen, fusion_server_port(server),
          l->plaintext ? " (plaintext)" : "");
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
  fusion_server_settings settings = fusion_server_defaults();
  struct serve_line l;
  char **positional;
  const int done = parse(&l, &settings, argc, argv, &positional);
  if (done != CLI_GO) return done;
  fusion_error err = {.status = FUSION_OK};
  fusion_model *model = NULL;
  fusion_server *server = NULL;
  if (!l.quiet) settings.log = print_line;
  fusion_status status = fusion_model_load(&model, positional[0], &err);
  if (status == FUSION_OK) status = fusion_server_open(&server, model, &settings, &err);
  const int code = status == FUSION_OK ? serve(server, &l) : cli_failed("serve", status, &err);
  fusion_server_close(server);
  fusion_model_free(model);
  return code;
}
