#include "service/admin.h"

#include <jansson.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/socket.h"

enum { CONNECTIONS_MAX = 64, PATIENCE_S = 10, REASON_LEN = 16 };

struct admin {
  struct MHD_Daemon *daemon;
  uint16_t port;
  struct metrics *metrics;         /* borrowed */
  const struct admin_model *model; /* borrowed */
  pthread_mutex_t lock;            /* guards the pointer */
  struct server *server;           /* borrowed */
};

struct state {
  struct metrics_now now;
  fusion_server_totals totals;
  char reason[REASON_LEN]; /* empty when ready */
};

/* A page; `body` is owned by malloc. */
struct page {
  unsigned status;
  const char *type;
  char *body;
  size_t len;
};

static const char as_json[] = "application/json", as_text[] = "text/plain; version=0.0.4; charset=utf-8",
                  as_html[] = "text/html; charset=utf-8";

static struct state ask(struct admin *a) {
  struct state s = {.reason = "starting"};
  pthread_mutex_lock(&a->lock);
  if (a->server) {
    const char *reason;
    s.now.ready = server_is_ready(a->server, &reason);
    s.totals = server_get_totals(a->server);
    s.now.connections = s.totals.connections;
    snprintf(s.reason, sizeof s.reason, "%s", reason);
  }
  pthread_mutex_unlock(&a->lock);
  return s;
}

/* Takes json. */
static struct page json_page(unsigned status, json_t *json) {
  char *body = json ? json_dumps(json, JSON_COMPACT) : NULL;
  json_decref(json);
  return (struct page){.status = body ? status : 500, .type = as_json, .body = body, .len = body ? strlen(body) : 0};
}

static struct page metrics_page(struct admin *a) {
  const struct state s = ask(a);
  struct writer w = {0};
  struct page p = {.status = 500, .type = as_text};
  metrics_write(a->metrics, &s.now, &w);
  p.body = w.failed ? NULL : malloc(w.len);
  if (p.body) {
    memcpy(p.body, w.data, w.len);
    p.len = w.len;
    p.status = 200;
  }
  writer_free(&w);
  return p;
}

static struct page live_page(struct admin *a) {
  (void)a;
  return json_page(200, json_pack("{s:b}", "live", 1));
}

static struct page ready_page(struct admin *a) {
  const struct state s = ask(a);
  if (s.now.ready) return json_page(200, json_pack("{s:b}", "ready", 1));
  return json_page(503, json_pack("{s:b,s:s}", "ready", 0, "reason", s.reason));
}

static struct page server_page(struct admin *a) {
  (void)a;
  return json_page(200, json_pack("{s:s,s:s,s:[]}", "name", "fusion", "version", fusion_version(), "extensions"));
}

static struct page models_page(struct admin *a) {
  const struct state s = ask(a);
  return json_page(200, json_pack("{s:[{s:s,s:s,s:b}]}", "models", "name", a->model->name, "version", a->model->id,
                                  "ready", (int)s.now.ready));
}

static struct page model_page(struct admin *a) {
  const struct admin_model *m = a->model;
  return json_page(
      200, json_pack("{s:s,s:[s],s:s,s:[{s:s,s:s,s:[i,I,I,I]}],s:[{s:s,s:s,s:[i,I]}]}", "name", m->name, "versions",
                     m->id, "platform", "fusion", "inputs", "name", "input", "datatype", "FP64", "shape", -1,
                     (json_int_t)m->input_shape[0], (json_int_t)m->input_shape[1], (json_int_t)m->input_shape[2],
                     "outputs", "name", "answer", "datatype", "FP64", "shape", -1, (json_int_t)m->answer_size));
}

static struct page status_page(struct admin *a) {
  static const char format[] =
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"10\">"
      "<title>fusion</title><style>body{font:16px/1.5 system-ui,sans-serif;margin:2rem;max-width:40rem}"
      "td{padding:.2rem 1.5rem .2rem 0}td+td{text-align:right;font-variant-numeric:tabular-nums}</style></head><body>"
      "<h1>fusion %s: %s</h1><p>Model id %.16s</p><table>"
      "<tr><td>Connections now</td><td>%llu</td></tr><tr><td>Jobs done</td><td>%llu</td></tr>"
      "<tr><td>Jobs failed</td><td>%llu</td></tr><tr><td>Connections refused</td><td>%llu</td></tr>"
      "<tr><td>Samples</td><td>%llu</td></tr></table>"
      "<p><a href=\"/metrics\">metrics</a> <a href=\"/v2/health/ready\">health</a> <a "
      "href=\"/v2/models\">models</a></p>"
      "</body></html>\n";
  const struct state s = ask(a);
  const fusion_server_totals *t = &s.totals;
  const size_t room = sizeof format + 512;
  struct page p = {.status = 500, .type = as_html, .body = malloc(room)};
  if (!p.body) return p;
  const int len =
      snprintf(p.body, room, format, fusion_version(), s.now.ready ? "ready" : s.reason, a->model->id,
               (unsigned long long)t->connections, (unsigned long long)t->jobs_done, (unsigned long long)t->jobs_failed,
               (unsigned long long)t->refused, (unsigned long long)t->samples);
  p.len = len > 0 ? size_min((size_t)len, room - 1) : 0;
  p.status = 200;
  return p;
}

static const struct {
  const char *path;
  struct page (*make)(struct admin *a);
} routes[] = {
    {"/", status_page},
    {"/metrics", metrics_page},
    {"/v2", server_page},
    {"/v2/health/live", live_page},
    {"/v2/health/ready", ready_page},
    {"/v2/models", models_page},
};

static struct page find_page(struct admin *a, const char *path) {
  static const char models[] = "/v2/models/";
  for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
    if (strcmp(path, routes[i].path) == 0) return routes[i].make(a);
  const size_t len = strlen(a->model->name), at = sizeof models - 1;
  if (strncmp(path, models, at) == 0 && strncmp(path + at, a->model->name, len) == 0) {
    if (!path[at + len]) return model_page(a);
    if (strcmp(path + at + len, "/ready") == 0) return ready_page(a);
  }
  return json_page(404, json_pack("{s:s}", "error", "there is no such page"));
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *data, size_t *data_len, void **request) {
  (void)version, (void)data, (void)data_len, (void)request;
  const bool reads = strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
  const struct page p =
      reads ? find_page(context, url) : json_page(405, json_pack("{s:s}", "error", "only GET and HEAD are answered"));
  struct MHD_Response *r = MHD_create_response_from_buffer(p.len, p.body, MHD_RESPMEM_MUST_FREE);
  if (!r) {
    free(p.body);
    return MHD_NO;
  }
  MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, p.type);
  MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
  MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
  const enum MHD_Result queued = MHD_queue_response(connection, p.status, r);
  MHD_destroy_response(r);
  return queued;
}

fusion_status admin_open(struct admin **out, const char *address, struct metrics *metrics,
                         const struct admin_model *model, fusion_error *err) {
  struct net_address at;
  int fd = -1;
  *out = NULL;
  fusion_status status = net_address_parse(&at, address, err);
  if (status != FUSION_OK) return status;
  struct admin *a = mem_alloc(1, sizeof *a);
  if (!a) return error_set(err, FUSION_E_MEMORY, "out of memory for the admin address");
  a->metrics = metrics;
  a->model = model;
  pthread_mutex_init(&a->lock, NULL);
  TRY(socket_listen(&fd, &a->port, &at, false, err));
  a->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, answer, a,
                               MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                               MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)PATIENCE_S, MHD_OPTION_END);
  FAIL_IF(!a->daemon, error_set(err, FUSION_E_RESOURCE, "the admin address '%.100s' cannot be served", address));
  *out = a;
  return FUSION_OK;
cleanup:
  if (fd >= 0) close(fd);
  pthread_mutex_destroy(&a->lock);
  mem_free(a);
  return status;
}

void admin_close(struct admin *a) {
  if (!a) return;
  MHD_stop_daemon(a->daemon); /* closes the socket too */
  pthread_mutex_destroy(&a->lock);
  mem_free(a);
}

void admin_watch(struct admin *a, struct server *server) {
  pthread_mutex_lock(&a->lock);
  a->server = server;
  pthread_mutex_unlock(&a->lock);
}

uint16_t admin_port(const struct admin *a) {
  return a->port;
}
