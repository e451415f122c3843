/* fusion serve: a compiled model for clients. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "machine_speeds.h"
#include "notify.h"

struct serve_line {
  fusion_server_settings settings;
  fusion_speeds speeds; /* this machine's */
  const char *path;     /* of the one model; NULL: a folder of them */
  const char *ready_file;
  bool quiet;
  char model_name[128];
};

static const char notes[] =
    "SIGHUP reads certificates, keys, clients and --models again; running jobs go on.\n"
    "The first SIGINT or SIGTERM stops the server when its running jobs have ended, or\n"
    "when --grace-s has passed. The second ends them at once.\n\n"
    "example:\n"
    "  fusion serve model.fsn --listen 0.0.0.0:7700 --tls-cert c.pem --tls-key k.pem";

static void options_of_limits(fusion_server_settings *s, struct cli_option *table) {
  const struct cli_option options[] = {
      CLI_OPT_COUNT("max-clients", &s->max_clients, 1, 65536, "N",
                    "Most connections that run jobs at once. Each worker of a client is one. Default: 32."),
      CLI_OPT_COUNT("max-client-connections", &s->max_connections_client, 1, 65536, "N",
                    "Most connections of one client at once. Default: three quarters of --max-clients."),
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
      CLI_OPT_BYTES("prepared-bytes", &s->prepared_bytes, 1,
                    "Most bytes in that folder; one client may have half of what the others leave. Default: 10G."),
      CLI_OPT_COUNT("prepared-hours", &s->prepared_hours, 1, 1e6, "N",
                    "Remove what was prepared more than N hours ago. Default: 168."),
      CLI_OPT_COUNT("keep-for", &s->keep_for_s, 0, 86400, "SECONDS",
                    "Keep for SECONDS, in memory, what spares a client's next job the slow part of its set-up; 0: "
                    "nothing. Default: 3600."),
      {.name = NULL}};
  cli_add_options(table, options);
  cli_add_limits(table, &s->timeout_ms, &s->max_memory);
  cli_add_engines(table, &s->engine);
  cli_add_stack(table, &s->engine);
}

static void options_of_service(fusion_server_settings *s, struct cli_option *table) {
  const struct cli_option options[] = {
      CLI_OPT_TEXT("clients", &s->clients, "FILE",
                   "Limits of clients by the names in their certificates (JSON; see fusion-serve(1)). Read again on "
                   "SIGHUP."),
      CLI_OPT_TEXT(
          "ledger", &s->ledger, "FILE|URL",
          "Keep a row of every job in this SQLite file, or in PostgreSQL (postgresql://USER@HOST/DATABASE), and "
          "count the samples of the day there. Servers may share it."),
      CLI_OPT_TEXT("admin", &s->admin, "ADDR:PORT",
                   "Serve metrics, health and a status page here, over HTTP: loopback, or a network of your own."),
      CLI_OPT_TEXT(
          "models", &s->models, "DIR",
          "Serve the models of this folder in place of one: NAME.fsn and NAME@VERSION.fsn. Clients name theirs by "
          "--model. Read again on SIGHUP."),
      CLI_OPT_TEXT(
          "model-name", &s->model_name, "NAME",
          "What clients, --clients, the log and the pages call the one model. Default: the file's name without "
          ".fsn."),
      CLI_OPT_TEXT(
          "proxy-protocol", &s->proxies, "ADDRESSES",
          "Take clients' addresses from the PROXY protocol, version 2, of load balancers at these addresses or "
          "networks, separated by commas."),
      CLI_OPT_CHOICE("log-format", &s->log_format, "text|json", "Lines for people, or JSON. Default: text."),
      {.name = NULL}};
  cli_add_options(table, options);
}

static int parse(struct serve_line *l, int argc, char **argv, char ***positional) {
  const struct cli_option own[] = {
      CLI_OPT_TEXT("listen", &l->settings.listen, "ADDR:PORT",
                   "Address and port to listen on. Port 0 takes a free one.", .letter = 'l'),
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
  options_of_service(&l->settings, options);
  cli_add_quiet(options, &l->quiet);
  const struct cli_syntax syntax = {
      .command = "serve",
      .synopsis = "(MODEL.fsn | --models DIR) --listen ADDR:PORT [options]",
      .about = "Serves compiled models to clients. The server learns nothing about queries and answers.",
      .options = options,
      .notes = notes,
      .min_positional = 0,
      .max_positional = 1};
  int count;
  const int done = cli_parse(&syntax, argc, argv, positional, &count);
  if (done != CLI_GO) return done;
  l->path = count ? (*positional)[0] : NULL;
  if (!l->path == !l->settings.models) return cli_usage("serve", "give either MODEL.fsn or --models");
  l->settings.listen_fd = cli_passed_socket();
  if (!l->settings.listen && !l->settings.listen_fd)
    return cli_usage("serve", "give --listen (or start it by a systemd socket)");
  return cli_check_tls_server("serve", &l->settings);
}

/* "models/tumour.fsn" is "tumour". */
static void name_model(struct serve_line *l, const char *path) {
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
  const size_t len = strlen(base);
  const bool extended = len > 4 && strcmp(base + len - 4, ".fsn") == 0;
  snprintf(l->model_name, sizeof l->model_name, "%.*s", (int)(extended ? len - 4 : len), base);
  if (!l->settings.model_name) l->settings.model_name = l->model_name;
}

static void print_json_line(void *context, const char *line) {
  (void)context;
  fprintf(stderr, "%s\n", line);
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
  if (!running) return;
  if (number == SIGHUP)
    fusion_server_reload(running);
  else
    fusion_server_stop(running);
}

static void install_handlers(void) {
  struct sigaction action = {.sa_handler = on_signal};
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGHUP, &action, NULL);
}

/* Connections that have no place yet take two descriptors each. */
static void raise_descriptors(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit)) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Where it listens, or that it has stopped. */
static void tell_state(const struct serve_line *l, const char *event, const char *text) {
  const time_t now = time(NULL);
  struct tm utc;
  char when[32] = "";
  if (l->settings.log_format == FUSION_LOG_TEXT) {
    fprintf(stderr, "%s\n", text);
    return;
  }
  if (gmtime_r(&now, &utc)) strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
  json_t *json = json_pack("{s:s, s:s, s:s}", "time", when, "event", event, "text", text);
  char *line = json ? json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
  if (line) fprintf(stderr, "%s\n", line);
  free(line);
  json_decref(json);
}

static void tell_listening(const struct serve_line *l, const fusion_server *server) {
  char text[512];
  const char *listen = l->settings.listen ? l->settings.listen : "a passed socket:", *colon = strrchr(listen, ':');
  int len = snprintf(text, sizeof text, "listening on %.*s:%u%s", (int)(colon - listen), listen,
                     fusion_server_port(server), l->settings.plaintext ? " (plaintext)" : "");
  const uint16_t admin = fusion_server_admin_port(server);
  if (admin && len > 0 && (size_t)len < sizeof text)
    snprintf(text + len, sizeof text - (size_t)len, ", admin port %u", admin);
  tell_state(l, "listening", text);
}

static void tell_stopped(const struct serve_line *l, const fusion_server_totals *t) {
  char text[256];
  snprintf(text, sizeof text, "stopped: %llu jobs done, %llu failed, %llu connections refused, %llu samples",
           (unsigned long long)t->jobs_done, (unsigned long long)t->jobs_failed, (unsigned long long)t->refused,
           (unsigned long long)t->samples);
  if (!l->quiet) tell_state(l, "stopped", text);
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
  tell_listening(l, server);
  if (l->ready_file) {
    const int code = write_ready_file(l->ready_file, fusion_server_port(server));
    if (code != CLI_EXIT_OK) {
      running = NULL; /* a later signal must not find a server that is gone */
      return code;
    }
  }
  cli_notify("READY=1");
  const fusion_status status = fusion_server_run(server, &err);
  running = NULL;
  cli_notify("STOPPING=1");
  if (l->ready_file) unlink(l->ready_file);
  if (status != FUSION_OK) return cli_failed("serve", status, &err);
  const fusion_server_totals t = fusion_server_count(server);
  tell_stopped(l, &t);
  return CLI_EXIT_OK;
}

int cmd_serve(int argc, char **argv) {
  struct serve_line l = {.settings = fusion_server_defaults()};
  fusion_speeds_init(&l.speeds, sizeof l.speeds);
  l.settings.model_name = NULL; /* the file's, unless one is given */
  char **positional;
  const int done = parse(&l, argc, argv, &positional);
  if (done != CLI_GO) return done;
  fusion_error err = {.status = FUSION_OK};
  fusion_model *model = NULL;
  fusion_server *server = NULL;
  if (l.path) name_model(&l, l.path);
  raise_descriptors();
  if (!l.quiet) l.settings.log = l.settings.log_format == FUSION_LOG_JSON ? print_json_line : print_line;
  fusion_status status = l.path ? fusion_model_load(&model, l.path, &err) : FUSION_OK;
  const bool talks = !l.quiet && l.settings.log_format == FUSION_LOG_TEXT; /* else lines are for programs */
  if (status == FUSION_OK && cli_speeds(talks ? "serve" : NULL, &l.speeds)) l.settings.speeds = &l.speeds;
  if (status == FUSION_OK) status = fusion_server_open(&server, model, &l.settings, &err);
  const int code = status == FUSION_OK ? serve(server, &l) : cli_failed("serve", status, &err);
  fusion_server_close(server);
  fusion_model_free(model);
  return code;
}
