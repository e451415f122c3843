#include <unistd.h>

#include <fusion/server.h>

#include "api/model_api.h"
#include "api/receipt_api.h"
#include "base/sized.h"
#include "session/serve.h"

struct fusion_server {
  struct server *server;   /* owned */
  struct tls_context *tls; /* owned, NULL for plaintext */
  uint8_t *receipt_key;    /* owned (key_free), NULL for none */
};

void fusion_server_init(fusion_server_settings *settings, size_t size) {
  const fusion_server_settings defaults = {.size = sizeof defaults,
                                           .engine = "cheetah",
                                           .max_clients = 32,
                                           .max_samples_job = 1000000,
                                           .max_samples_day = 100000000,
                                           .max_shard = 16384,
                                           .handshake_timeout_ms = 15000,
                                           .timeout_ms = 120000,
                                           .stop_grace_ms = 30000,
                                           .prepared_bytes = UINT64_C(10) << 30,
                                           .prepared_hours = 168};
  sized_init(settings, size, &defaults);
}

static fusion_status check_settings(const fusion_server_settings *s, fusion_error *err) {
  if (!s->listen) return error_set(err, FUSION_E_USAGE, "a server needs an address to listen on");
  if (s->plaintext && (s->tls_cert || s->tls_key || s->client_ca))
    return error_set(err, FUSION_E_USAGE, "plaintext and TLS files exclude each other");
  if (!s->plaintext && (!s->tls_cert || !s->tls_key))
    return error_set(err, FUSION_E_USAGE, "a server needs a TLS certificate and its key");
  if (!s->max_clients || !s->max_samples_job || !s->max_samples_day || !s->max_shard || !s->handshake_timeout_ms ||
      !s->timeout_ms)
    return error_set(err, FUSION_E_USAGE, "a server's limits and time-outs must not be 0");
  if (s->handshake_timeout_ms > INT32_MAX || s->timeout_ms > INT32_MAX || s->stop_grace_ms > INT32_MAX)
    return error_set(err, FUSION_E_USAGE, "a server's time-outs are 24 days at most");
  return FUSION_OK;
}

/* Engines that are named must be able to run the model; of all, those that can are taken. */
static fusion_status take_engines(struct engine_list *out, const char *names, const struct program *program,
                                  fusion_error *err) {
  const fusion_status status = engine_list_parse(out, names, err);
  if (status != FUSION_OK || !names || strcmp(names, "all") != 0) return status;
  engine_list_keep_able(out, program);
  return out->count ? FUSION_OK : error_set(err, FUSION_E_MODEL, "no protocol engine can run this model");
}

fusion_status fusion_server_open(fusion_server **out, const fusion_model *model, const fusion_server_settings *settings,
                                 fusion_error *err) {
  *out = NULL;
  fusion_server *server = NULL;
  fusion_server_settings known = fusion_server_defaults();
  const fusion_server_settings *s = &known;
  fusion_status status = sized_take(&known, settings, "fusion_server_settings", err);
  if (status == FUSION_OK) status = check_settings(s, err);
  struct server_handles handles = {.model = model->model};
  if (status != FUSION_OK) return status;
  TRY(take_engines(&handles.engines, s->engine, &model->model->program, err));
  TRY(net_address_parse(&handles.listen, s->listen, err));
  server = mem_alloc(1, sizeof *server);
  FAIL_IF(!server, error_set(err, FUSION_E_MEMORY, "out of memory for a server"));
  if (!s->plaintext) TRY(tls_server_new(&server->tls, s->tls_cert, s->tls_key, s->client_ca, err));
  handles.tls = server->tls;
  if (s->receipt_key) {
    server->receipt_key = key_alloc(RECEIPT_SECRET_LEN);
    FAIL_IF(!server->receipt_key, error_set(err, FUSION_E_MEMORY, "out of memory for the receipt key"));
    TRY(receipt_key_load(server->receipt_key, s->receipt_key, err));
  }
  handles.receipt_key = server->receipt_key;
  TRY(server_open(&server->server, s, &handles, err));
  *out = server;
  return FUSION_OK;
cleanup:
  fusion_server_close(server);
  return status;
}

uint16_t fusion_server_port(const fusion_server *server) {
  return server_port(server->server);
}
fusion_status fusion_server_run(fusion_server *server, fusion_error *err) {
  return server_run(server->server, err);
}
void fusion_server_stop(fusion_server *server) {
  server_stop(server->server);
}

void fusion_server_read_totals(fusion_server *server, fusion_server_totals *totals) {
  const fusion_server_totals now = server_get_totals(server->server);
  sized_give(totals, &now);
}

void fusion_server_close(fusion_server *server) {
  if (!server) return;
  server_close(server->server);
  tls_free(server->tls);
  key_free(server->receipt_key);
  mem_free(server);
}
