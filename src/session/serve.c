/* The accept loop, and stopping. */
#include "session/serve.h"

#include <sodium.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "session/serve_internal.h"

enum { HOUSEKEEPING_MS = 1000 }; /* how often abandoned jobs are looked for, and reload's wish */

void server_tell(struct server *s, const struct event *e) {
  const struct server_hooks *hooks = s->handles.hooks;
  char line[EVENT_LINE_LEN];
  if (hooks && hooks->event) hooks->event(hooks->context, e);
  if (!s->settings.log || e->unlogged || !event_is_logged(e->kind)) return;
  if (s->settings.log_format == FUSION_LOG_JSON)
    event_json(line, e);
  else
    event_text(line, e);
  pthread_mutex_lock(&s->log_lock);
  s->settings.log(s->settings.log_context, line);
  pthread_mutex_unlock(&s->log_lock);
}

static fusion_status init_condition(pthread_cond_t *cond) {
  pthread_condattr_t attributes;
  if (pthread_condattr_init(&attributes)) return FUSION_E_RESOURCE;
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  const int failed = pthread_cond_init(cond, &attributes);
  pthread_condattr_destroy(&attributes);
  return failed ? FUSION_E_RESOURCE : FUSION_OK;
}

/* The caller's list, or one of its model. */
static fusion_status take_models(struct server *s, fusion_error *err) {
  const struct server_handles *h = &s->handles;
  const char *name = s->settings.model_name ? s->settings.model_name : "model";
  s->models = h->models;
  if (s->models) return FUSION_OK;
  const struct model_terms terms = {.max_memory = s->max_memory, .those = &h->engines};
  const fusion_status status = model_list_open_one(&s->own_models, h->model, &terms, name, err);
  s->models = s->own_models;
  return status;
}

fusion_status server_open(struct server **out, const fusion_server_settings *settings,
                          const struct server_handles *handles, fusion_error *err) {
  *out = NULL;
  const uint64_t max_memory = settings->max_memory ? settings->max_memory : mem_half_of_machine();
  struct server *s = mem_alloc(1, sizeof *s);
  if (!s || sodium_init() < 0) {
    mem_free(s);
    return error_set(err, FUSION_E_MEMORY, "out of memory for a server");
  }
  s->settings = *settings;
  s->handles = *handles;
  s->max_memory = max_memory;
  s->state_file_lock = -1;
  const uint32_t most = settings->max_clients, share = settings->max_connections_client;
  s->share = share ? share : most - most / 4;
  s->niceness = getpriority(PRIO_PROCESS, 0);
  pthread_mutex_init(&s->lock, NULL);
  pthread_mutex_init(&s->log_lock, NULL);
  pthread_mutex_init(&s->claim_lock, NULL);
  randombytes_buf(s->bucket_key, sizeof s->bucket_key);
  fusion_status status = init_condition(&s->changed);
  if (status != FUSION_OK) {
    mem_free(s);
    return error_set(err, status, "the system is out of resources for a server");
  }
  status = take_models(s, err);
  if (status == FUSION_OK) status = day_load(s, settings->state, err);
  if (status == FUSION_OK) status = prepared_open(s, settings->prepared_folder, err);
  if (status == FUSION_OK && handles->listen_fd)
    status = listener_adopt(&s->listener, handles->listen_fd, handles->tls, err);
  else if (status == FUSION_OK)
    status = listener_open(&s->listener, &handles->listen, handles->tls, err);
  if (status != FUSION_OK) {
    server_close(s);
    return status;
  }
  *out = s;
  return FUSION_OK;
}

void server_close(struct server *s) {
  if (!s) return;
  listener_close(s->listener);
  model_list_close(s->own_models);
  prepared_close(s);
  kept_free(s);
  day_unload(s);
  while (s->accounts) {
    struct account *next = s->accounts->next;
    mem_free(s->accounts);
    s->accounts = next;
  }
  pthread_cond_destroy(&s->changed);
  pthread_mutex_destroy(&s->lock);
  pthread_mutex_destroy(&s->log_lock);
  pthread_mutex_destroy(&s->claim_lock);
  mem_free(s);
}

uint16_t server_port(const struct server *s) {
  return listener_port(s->listener);
}

fusion_server_totals server_get_totals(struct server *s) {
  pthread_mutex_lock(&s->lock);
  fusion_server_totals totals = s->totals;
  totals.size = sizeof totals;
  totals.connections = s->active + s->arriving;
  pthread_mutex_unlock(&s->lock);
  return totals;
}

void server_stop(struct server *s) {
  atomic_fetch_add(&s->stopping, 1);
  listener_stop(s->listener);
}

void server_reload(struct server *s) {
  atomic_store(&s->reload_asked, true);
}

bool server_is_ready(struct server *s, const char **reason) {
  pthread_mutex_lock(&s->lock);
  const bool full = s->active >= s->settings.max_clients;
  pthread_mutex_unlock(&s->lock);
  const bool stopping = atomic_load(&s->stopping) > 0;
  *reason = stopping ? "draining" : full ? "full" : "";
  return !stopping && !full;
}

static void reload(struct server *s) {
  const struct server_hooks *hooks = s->handles.hooks;
  fusion_error why = {.status = FUSION_OK};
  struct event e = event_of(EVENT_RELOADED);
  if (hooks && hooks->reload) e.status = hooks->reload(hooks->context, &why);
  e.reason = why.text;
  server_tell(s, &e);
}

static void cancel_all(struct server *s) {
  for (struct connection *c = s->connections; c; c = c->next)
    if (c->channel) channel_cancel(c->channel);
}

/* Those that have not even greeted need not be waited for. */
static void cut_silent(struct server *s) {
  for (struct connection *c = s->connections; c; c = c->next)
    if (!c->placed && !c->greeted && c->cut >= 0) (void)shutdown(c->cut, SHUT_RDWR);
}

/* Waits for the connections to end: within the grace time by themselves, then they are cut. */
static void drain(struct server *s) {
  const double deadline = clock_seconds() + s->settings.stop_grace_ms * 1e-3;
  pthread_mutex_lock(&s->lock);
  cut_silent(s);
  while (s->connections) {
    struct timespec soon;
    clock_gettime(CLOCK_MONOTONIC, &soon);
    soon.tv_nsec += 100000000;
    if (soon.tv_nsec >= 1000000000) soon.tv_sec++, soon.tv_nsec -= 1000000000;
    pthread_cond_timedwait(&s->changed, &s->lock, &soon);
    if (atomic_load(&s->stopping) > 1 || clock_seconds() > deadline) cancel_all(s);
  }
  pthread_mutex_unlock(&s->lock);
}

fusion_status server_run(struct server *s, fusion_error *err) {
  fusion_status status;
  fusion_error why = {.status = FUSION_OK};
  for (;;) {
    int fd;
    status = listener_wait(s->listener, &fd, HOUSEKEEPING_MS, &why);
    if (status == FUSION_OK) arrival_admit(s, fd);
    if (status != FUSION_OK && status != FUSION_E_TIMEOUT) break;
    if (atomic_exchange(&s->reload_asked, false)) reload(s);
    job_expire(s, false);
    model_list_tidy(s->models);
    kept_expire(s);
  }
  const bool asked = atomic_load(&s->stopping) > 0;
  if (!asked) atomic_fetch_add(&s->stopping, 1);
  listener_shut(s->listener);
  struct event e = event_of(EVENT_DRAINING);
  e.connections = (uint32_t)server_get_totals(s).connections;
  server_tell(s, &e);
  drain(s);
  job_expire(s, true);
  e = event_of(EVENT_DRAINED);
  server_tell(s, &e);
  if (asked) return FUSION_OK;
  return error_set(err, status, "%s", why.text);
}
