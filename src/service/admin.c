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
  struct metrics *metrics;   /* borrowed */
  struct model_list *models; /* borrowed */
  pthread_mutex_t lock;      /* guards the pointer */
  struct server *server;     /* borrowed */
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

/* What stands for a version in the pages: the model's id where the file's name has none. */
static const char *version_of(const struct served_model *m) {
  const char *at = strchr(m->name, '@');
  return at ? at + 1 : m->id;
}

static json_t *name_of(const struct served_model *m) {
  return json_stringn(m->name, strcspn(m->name, "@"));
}

static struct page models_page(struct admin *a) {
  const struct state s = ask(a);
  json_t *list = json_array();
  const struct served_model *m;
  for (size_t i = 0; (m = model_at(a->models, i)); i++) {
    json_array_append_new(list, json_pack("{s:o,s:s,s:s,s:b}", "name", name_of(m), "version", version_of(m), "id",
                                          m->id, "ready", (int)s.now.ready));
    model_release(a->models, m);
  }
  return json_page(200, json_pack("{s:o}", "models", list));
}

static bool has_name(const struct served_model *m, const char *name, size_t len) {
  return strlen(name) >= len && strcspn(m->name, "@") == len && strncmp(m->name, name, len) == 0;
}

static json_t *versions_of(struct admin *a, const struct served_model *of) {
  json_t *list = json_array();
  const struct served_model *m;
  for (size_t i = 0; (m = model_at(a->models, i)); i++) {
    if (has_name(m, of->name, strcspn(of->name, "@"))) json_array_append_new(list, json_string(version_of(m)));
    model_release(a->models, m);
  }
  return list;
}

static struct page model_page(struct admin *a, const struct served_model *m) {
  const struct program *p = &m->model->program;
  const struct shape in = p->steps[0].out.shape;
  return json_page(200, json_pack("{s:o,s:o,s:s,s:s,s:[{s:s,s:s,s:[i,I,I,I]}],s:[{s:s,s:s,s:[i,I]}]}", "name",
                                  name_of(m), "versions", versions_of(a, m), "id", m->id, "platform", "fusion",
                                  "inputs", "name", "input", "datatype", "FP64", "shape", -1, (json_int_t)in.channels,
                                  (json_int_t)in.height, (json_int_t)in.width, "outputs", "name", "answer", "datatype",
                                  "FP64", "shape", -1, (json_int_t)program_answer_size(p)));
}

/* NAME, or NAME/versions/VERSION, of `path` [len]; held. NULL: there is none. */
static const struct served_model *find_model(struct admin *a, const char *path, size_t len) {
  static const char versions[] = "/versions/";
  const size_t name_len = strcspn(path, "/"), at = sizeof versions - 1;
  const bool versioned = name_len < len && strncmp(path + name_len, versions, at) == 0;
  const size_t version_len = versioned ? len - name_len - at : 0;
  const struct served_model *m;
  if (name_len < len && !versioned) return NULL;
  for (size_t i = 0; (m = model_at(a->models, i)); i++) {
    const bool right = !versioned || (strlen(version_of(m)) == version_len &&
                                      strncmp(version_of(m), path + name_len + at, version_len) == 0);
    if (right && has_name(m, path, size_min(name_len, len))) return m;
    model_release(a->models, m);
  }
  return NULL;
}

static struct page no_page(void) {
  return json_page(404, json_pack("{s:s}", "error", "there is no such page"));
}

/* `path` is what follows /v2/models/. */
static struct page page_of_model(struct admin *a, const char *path) {
  static const char ready[] = "/ready";
  const size_t len = strlen(path), tail = sizeof ready - 1;
  const bool asks_ready = len > tail && strcmp(path + len - tail, ready) == 0;
  const struct served_model *m = find_model(a, path, asks_ready ? len - tail : len);
  if (!m) return no_page();
  const struct page p = asks_ready ? ready_page(a) : model_page(a, m);
  model_release(a->models, m);
  return p;
}

static size_t count_models(struct admin *a) {
  const struct served_model *m;
  size_t count = 0;
  for (; (m = model_at(a->models, count)); count++) model_release(a->models, m);
  return count;
}

static struct page status_page(struct admin *a) {
  static const char format[] =
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"10\">"
      "<title>fusion</title><style>body{font:16px/1.5 system-ui,sans-serif;margin:2rem;max-width:40rem}"
      "td{padding:.2rem 1.5rem .2rem 0}td+td{text-align:right;font-variant-numeric:tabular-nums}</style></head><body>"
      "<h1>fusion %s: %s</h1><table>"
      "<tr><td><a href=\"/v2/models\">Models</a></td><td>%zu</td></tr>"
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
      snprintf(p.body, room, format, fusion_version(), s.now.ready ? "ready" : s.reason, count_models(a),
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
  const size_t at = sizeof models - 1;
  return strncmp(path, models, at) == 0 ? page_of_model(a, path + at) : no_page();
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

fusion_status admin_open(struct admin **out, const char *address, struct metrics *metrics, struct model_list *models,
                         fusion_error *err) {
  struct net_address at;
  int fd = -1;
  *out = NULL;
  fusion_status status = net_address_parse(&at, address, err);
  if (status != FUSION_OK) return status;
  struct admin *a = mem_alloc(1, sizeof *a);
  if (!a) return error_set(err, FUSION_E_MEMORY, "out of memory for the admin address");
  a->metrics = metrics;
  a->models = models;
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
