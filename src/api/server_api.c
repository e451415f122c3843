#include <unistd.h>

#include <fusion/server.h>

#include "api/model_api.h"
#include "api/receipt_api.h"
#include "api/speeds_api.h"
#include "base/sized.h"
#include "service/service.h"
#include "session/serve.h"

enum { KEEP_FOR_MAX_S = 24 * 3600 };

struct fusion_server {
  struct server *server;     /* owned */
  struct tls_context *tls;   /* owned, NULL for plaintext */
  uint8_t *receipt_key;      /* owned (key_free), NULL for none */
  struct model_list *models; /* owned */
  struct proxy_list proxies;
  struct service *service; /* owned */
  struct server_hooks hooks;
  struct engine_speeds speeds;
  char *cert, *key, *client_ca; /* owned: files that are read again */
};

void fusion_server_init(fusion_server_settings *settings, size_t size) {
  const fusion_server_settings defaults = {.size = sizeof defaults,
                                           .engine = "cheetah",
                                           .model_name = "model",
                                           .max_clients = 32,
                                           .max_samples_job = 1000000,
                                           .max_samples_day = 100000000,
                                           .max_shard = 16384,
                                           .handshake_timeout_ms = 15000,
                                           .timeout_ms = 120000,
                                           .stop_grace_ms = 30000,
                                           .prepared_bytes = UINT64_C(10) << 30,
                                           .prepared_hours = 168,
                                           .keep_for_s = 3600};
  sized_init(settings, size, &defaults);
}

static fusion_status check_settings(const fusion_server_settings *s, fusion_error *err) {
  if (!s->listen && !s->listen_fd) return error_set(err, FUSION_E_USAGE, "a server needs an address to listen on");
  if (s->clients && !s->plaintext && !s->client_ca)
    return error_set(err, FUSION_E_USAGE,
                     "clients' limits go by the names in their certificates: give their authority");
  if (s->listen_fd < 0 || s->listen_fd > INT32_MAX)
    return error_set(err, FUSION_E_USAGE, "a server's listening descriptor is no descriptor");
  if (s->ledger && s->state)
    return error_set(err, FUSION_E_USAGE,
                     "a ledger counts the day's samples: a state file beside it would not be used");
  if (s->plaintext && (s->tls_cert || s->tls_key || s->client_ca))
    return error_set(err, FUSION_E_USAGE, "plaintext and TLS files exclude each other");
  if (!s->plaintext && (!s->tls_cert || !s->tls_key))
    return error_set(err, FUSION_E_USAGE, "a server needs a TLS certificate and its key");
  if (!s->max_clients || !s->max_samples_job || !s->max_samples_day || !s->max_shard || !s->handshake_timeout_ms ||
      !s->timeout_ms)
    return error_set(err, FUSION_E_USAGE, "a server's limits and time-outs must not be 0");
  if (s->handshake_timeout_ms > INT32_MAX || s->timeout_ms > INT32_MAX || s->stop_grace_ms > INT32_MAX)
    return error_set(err, FUSION_E_USAGE, "a server's time-outs are 24 days at most");
  if (s->keep_for_s > KEEP_FOR_MAX_S) return error_set(err, FUSION_E_USAGE, "a server keeps set-ups for a day at most");
  return FUSION_OK;
}

static fusion_status keep_path(char **out, const char *path, fusion_error *err) {
  if (!path) return FUSION_OK;
  *out = mem_alloc(strlen(path) + 1, 1);
  if (!*out) return error_set(err, FUSION_E_MEMORY, "out of memory for a server");
  strcpy(*out, path);
  return FUSION_OK;
}

/* All or nothing: clients and models are taken only when the certificates can be. */
static fusion_status reload(void *context, fusion_error *why) {
  fusion_server *server = context;
  struct clients *fresh = NULL;
  struct model_set *models = NULL;
  fusion_status status = service_read_clients(server->service, &fresh, why);
  if (status == FUSION_OK) status = model_list_read(server->models, &models, why);
  if (status == FUSION_OK && server->tls)
    status = tls_server_reload(server->tls, server->cert, server->key, server->client_ca, why);
  if (status == FUSION_OK) {
    service_take_clients(server->service, &fresh);
    model_list_take(server->models, models);
  } else {
    model_list_drop(server->models, models);
  }
  clients_free(fresh);
  return status;
}

static void on_event(void *context, const struct event *e) {
  service_event(((fusion_server *)context)->service, e);
}

static fusion_status find_limits(void *context, const char *client, const char *model, struct client_limits *out,
                                 fusion_error *why) {
  return service_limits(((fusion_server *)context)->service, client, model, out, why);
}

static fusion_status reserve(void *context, const struct allowance *a, fusion_error *why) {
  return service_reserve(((fusion_server *)context)->service, a, why);
}

static fusion_status book(void *context, const struct allowance *a, uint64_t samples, fusion_error *why) {
  return service_book(((fusion_server *)context)->service, a, samples, why);
}

static void release(void *context, const struct allowance *a, const struct event *ended) {
  service_release(((fusion_server *)context)->service, a, ended);
}

static fusion_status open_service(fusion_server *server, const fusion_server_settings *s, fusion_error *err) {
  const struct service_settings settings = {
      .clients = s->clients, .ledger = s->ledger, .admin = s->admin, .models = server->models};
  const fusion_status status = service_open(&server->service, &settings, err);
  if (status != FUSION_OK) return status;
  server->hooks = (struct server_hooks){.context = server, .event = on_event, .limits = find_limits, .reload = reload};
  if (!s->ledger) return FUSION_OK;
  server->hooks.reserve = reserve;
  server->hooks.book = book;
  server->hooks.release = release;
  return FUSION_OK;
}

/* Those of the folder, or the one that is given. */
static fusion_status open_models(fusion_server *server, const fusion_model *model, const fusion_server_settings *s,
                                 fusion_error *err) {
  const uint64_t max_memory = s->max_memory ? s->max_memory : mem_half_of_machine();
  const struct model_terms terms = {.engines = s->engine, .max_memory = max_memory};
  if (!model == !s->models)
    return error_set(err, FUSION_E_USAGE, "a server has either one model or a folder of models");
  if (s->models) return model_list_open_folder(&server->models, s->models, &terms, err);
  return model_list_open_one(&server->models, model->model, &terms, s->model_name, err);
}

fusion_status fusion_server_open(fusion_server **out, const fusion_model *model, const fusion_server_settings *settings,
                                 fusion_error *err) {
  *out = NULL;
  fusion_server *server = NULL;
  fusion_server_settings known = fusion_server_defaults();
  const fusion_server_settings *s = &known;
  fusion_status status = sized_take(&known, settings, "fusion_server_settings", err);
  if (status == FUSION_OK) status = check_settings(s, err);
  struct server_handles handles = {.model = NULL};
  if (status != FUSION_OK) return status;
  if (s->listen) TRY(net_address_parse(&handles.listen, s->listen, err));
  server = mem_alloc(1, sizeof *server);
  FAIL_IF(!server, error_set(err, FUSION_E_MEMORY, "out of memory for a server"));
  if (!s->plaintext) TRY(tls_server_new(&server->tls, s->tls_cert, s->tls_key, s->client_ca, err));
  handles.tls = server->tls;
  if (s->proxies) TRY(proxy_list_parse(&server->proxies, s->proxies, err));
  if (s->proxies) handles.proxies = &server->proxies;
  if (s->receipt_key) {
    server->receipt_key = key_alloc(RECEIPT_SECRET_LEN);
    FAIL_IF(!server->receipt_key, error_set(err, FUSION_E_MEMORY, "out of memory for the receipt key"));
    TRY(receipt_key_load(server->receipt_key, s->receipt_key, err));
  }
  handles.receipt_key = server->receipt_key;
  TRY(speeds_take(&server->speeds, s->speeds, "server", err));
  if (s->speeds) handles.speeds = &server->speeds;
  TRY(keep_path(&server->cert, s->tls_cert, err));
  TRY(keep_path(&server->key, s->tls_key, err));
  TRY(keep_path(&server->client_ca, s->client_ca, err));
  TRY(open_models(server, model, s, err));
  handles.models = server->models;
  TRY(open_service(server, s, err));
  handles.hooks = &server->hooks;
  handles.listen_fd = (int)s->listen_fd;
  TRY(server_open(&server->server, s, &handles, err));
  service_watch(server->service, server->server);
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

void fusion_server_reload(fusion_server *server) {
  server_reload(server->server);
}
uint16_t fusion_server_admin_port(const fusion_server *server) {
  return service_port(server->service);
}

void fusion_server_read_totals(fusion_server *server, fusion_server_totals *totals) {
  const fusion_server_totals now = server_get_totals(server->server);
  sized_give(totals, &now);
}

void fusion_server_close(fusion_server *server) {
  if (!server) return;
  service_watch(server->service, NULL);
  server_close(server->server);
  service_close(server->service);
  model_list_close(server->models);
  mem_free(server->cert);
  mem_free(server->key);
  mem_free(server->client_ca);
  tls_free(server->tls);
  key_free(server->receipt_key);
  mem_free(server);
}
