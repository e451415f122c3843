/* cheating_server MODEL.fsn --listen HOST:PORT (--tls-cert FILE --tls-key FILE | --plaintext) --cheat CHEAT ...
 * Serves like `fusion serve` and cheats. For demonstrations and tests; not installed. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "adversary/cheat.h"
#include "program/fsn.h"
#include "session/serve.h"
#include "support/support.h"

struct options {
  const char *model, *listen, *cert, *key, *client_ca, *ready_file;
  bool plaintext;
  uint64_t seed, max_shard;
  const char *cheats[CHEATS_MAX];
  size_t cheat_count;
};

static struct server *running; /* for the signal handler */

static void stop(int signal_number) {
  (void)signal_number;
  server_stop(running);
}

static void usage(FILE *out) {
  fprintf(out,
          "usage: cheating_server MODEL.fsn --listen HOST:PORT (--tls-cert FILE --tls-key FILE | --plaintext)\n"
          "                       [--tls-client-ca FILE] [--ready-file FILE] [--max-shard SAMPLES] [--seed NUMBER]\n"
          "                       [--once] --cheat CHEAT ...\n"
          "Serves like `fusion serve`, and cheats. --once: message cheats take place a single time.\n%s",
          cheat_help);
}

static void print_line(void *context, const char *line) {
  (void)context;
  fprintf(stderr, "%s\n", line);
}

static int failed(fusion_status status, const fusion_error *err) {
  fprintf(stderr, "cheating_server: %s\n", err->text[0] ? err->text : fusion_status_text(status));
  return 1;
}

/* -1: go on. */
static int parse(int argc, char **argv, struct options *o, uint64_t *limit) {
  enum { CERT = 256, KEY, CLIENT_CA, PLAINTEXT, READY, SHARD, SEED, ONCE, LISTEN, CHEAT, HELP };
  static const struct option table[] = {
      {"tls-cert", required_argument, NULL, CERT},
      {"tls-key", required_argument, NULL, KEY},
      {"tls-client-ca", required_argument, NULL, CLIENT_CA},
      {"plaintext", no_argument, NULL, PLAINTEXT},
      {"ready-file", required_argument, NULL, READY},
      {"max-shard", required_argument, NULL, SHARD},
      {"seed", required_argument, NULL, SEED},
      {"once", no_argument, NULL, ONCE},
      {"listen", required_argument, NULL, LISTEN},
      {"cheat", required_argument, NULL, CHEAT},
      {"help", no_argument, NULL, HELP},
      {0},
  };
  for (int code; (code = getopt_long(argc, argv, "", table, NULL)) != -1;) switch (code) {
      case CERT: o->cert = optarg; break;
      case KEY: o->key = optarg; break;
      case CLIENT_CA: o->client_ca = optarg; break;
      case PLAINTEXT: o->plaintext = true; break;
      case READY: o->ready_file = optarg; break;
      case SHARD: o->max_shard = strtoull(optarg, NULL, 10); break;
      case SEED: o->seed = strtoull(optarg, NULL, 10); break;
      case ONCE: *limit = 1; break;
      case LISTEN: o->listen = optarg; break;
      case CHEAT:
        if (o->cheat_count < CHEATS_MAX) o->cheats[o->cheat_count++] = optarg;
        break;
      case HELP: usage(stdout); return 0;
      default: usage(stderr); return 2;
    }
  if (optind + 1 == argc && o->listen && o->plaintext != (o->cert && o->key)) {
    o->model = argv[optind];
    return -1;
  }
  usage(stderr);
  return 2;
}

/* The port, complete or not at all. */
static bool write_ready(const struct options *o, uint16_t port) {
  char temporary[4096];
  if (!o->ready_file) return true;
  if (snprintf(temporary, sizeof temporary, "%s.tmp", o->ready_file) >= (int)sizeof temporary) return false;
  FILE *f = fopen(temporary, "w");
  if (!f) return false;
  const bool written = fprintf(f, "%u\n", port) > 0;
  return fclose(f) == 0 && written && rename(temporary, o->ready_file) == 0;
}

static int serve(const struct options *o, struct cheater *c, struct tls_context *tls) {
  fusion_error err = {.status = FUSION_OK};
  struct server_handles handles = {.tls = tls, .model = &c->model, .engines = {{c->engine}, 1}};
  fusion_server_settings settings = fusion_server_defaults();
  settings.max_clients = 16;
  settings.max_samples_job = 1u << 24;
  settings.max_samples_day = 1u << 30;
  settings.max_memory = UINT64_C(4) << 30;
  settings.max_shard = (uint32_t)o->max_shard;
  settings.handshake_timeout_ms = 10000;
  settings.timeout_ms = 60000;
  settings.stop_grace_ms = 1000;
  settings.log = print_line;
  fusion_status status = net_address_parse(&handles.listen, o->listen, &err);
  if (status == FUSION_OK) status = server_open(&running, &settings, &handles, &err);
  if (status != FUSION_OK) return failed(status, &err);
  signal(SIGINT, stop);
  signal(SIGTERM, stop);
  const uint16_t port = server_port(running);
  fprintf(stderr, "listening on %s:%u\n", handles.listen.host, port);
  if (write_ready(o, port))
    status = server_run(running, &err);
  else
    status = error_set(&err, FUSION_E_IO, "'%s': cannot be written", o->ready_file);
  server_close(running);
  return status == FUSION_OK ? 0 : failed(status, &err);
}

int main(int argc, char **argv) {
  struct options o = {.max_shard = 4096};
  struct cheater *cheater = mem_alloc(1, sizeof *cheater);
  struct model *model = NULL;
  struct tls_context *tls = NULL;
  fusion_error err = {.status = FUSION_OK};
  uint64_t limit = 0;
  if (!cheater || os_random(&o.seed, sizeof o.seed) != FUSION_OK) return 1;
  const int code = parse(argc, argv, &o, &limit);
  if (code >= 0) {
    mem_free(cheater);
    return code;
  }
  signal(SIGPIPE, SIG_IGN);
  fusion_status status = fsn_load(&model, o.model, &err);
  if (status == FUSION_OK && !o.plaintext) status = tls_server_new(&tls, o.cert, o.key, o.client_ca, &err);
  if (status != FUSION_OK) return failed(status, &err);
  cheater_open(cheater, model, engine_find("cheetah"), o.seed);
  cheater->log = print_line;
  cheater->limit = limit;
  for (size_t i = 0; i < o.cheat_count && status == FUSION_OK; i++) status = cheat_parse(cheater, o.cheats[i], &err);
  cheater_attach(cheater);
  const int result = status == FUSION_OK ? serve(&o, cheater, tls) : failed(status, &err);
  cheater_close(cheater);
  mem_free(cheater);
  tls_free(tls);
  model_free(model);
  return result;
}
