/* The accept loop, and stopping. */
#include "session/serve.h"

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "session/serve_internal.h"

enum {
  OVERFLOW_MAX = 64,     /* connections above the limit that are told so; further ones are just closed */
  HOUSEKEEPING_MS = 1000 /* how often abandoned jobs are looked for */
};

void server_log(struct server *s, const char *format, ...) {
  char line[1024];
  if (!s->settings.log) return;
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
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

static fusion_status check_model(const struct server_handles *handles, uint64_t max_memory, fusion_error *err) {
  for (size_t i = 0; i < handles->engines.count; i++) {
    const struct engine *engine = handles->engines.at[i];
    const fusion_status status = engine_check(engine, &handles->model->program, err);
    if (status != FUSION_OK) return status;
    const size_t one = engine_memory(engine, &handles->model->program, 1, ROLE_SERVER);
    if (one > max_memory)
      return error_set(err, FUSION_E_LIMIT,
                       "one sample of this model takes %zu MiB with the %s engine; the memory limit is %llu MiB",
                       one >> 20, engine->name, (unsigned long long)(max_memory >> 20));
  }
  return FUSION_OK;
}

fusion_status server_open(struct server **out, const fusion_server_settings *settings,
                          const struct server_handles *handles, fusion_error *err) {
  *out = NULL;
  const uint64_t max_memory = settings->max_memory ? settings->max_memory : mem_half_of_machine();
  fusion_status status = check_model(handles, max_memory, err);
  if (status != FUSION_OK) return status;
  struct server *s = mem_alloc(1, sizeof *s);
  if (!s || sodium_init() < 0) {
    mem_free(s);
    return error_set(err, FUSION_E_MEMORY, "out of memory for a server");
  }
  s->settings = *settings;
  s->handles = *handles;
  s->max_memory = max_memory;
  pthread_mutex_init(&s->lock, NULL);
  pthread_mutex_init(&s->log_lock, NULL);
  pthread_mutex_init(&s->state_lock, NULL);
  status = init_condition(&s->changed);
  if (status != FUSION_OK) {
    mem_free(s);
    return error_set(err, status, "the system is out of resources for a server");
  }
  program_encode(&s->manifest, &handles->model->program);
  if (s->manifest.failed || s->manifest.len > CHANNEL_FRAME_MAX) {
    server_close(s);
    return error_set(err, FUSION_E_MEMORY, "out of memory for the manifest");
  }
  if (handles->tls && !tls_own_hash(handles->tls, s->certificate)) {
    server_close(s);
    return error_set(err, FUSION_E_TLS, "the server's own certificate cannot be hashed");
  }
  manifest_hash(s->manifest_hash, s->manifest.data, s->manifest.len);
  status = day_load(s, settings->state, err);
  if (status == FUSION_OK) status = prepared_open(s, settings->prepared_folder, err);
  if (status == FUSION_OK) status = listener_open(&s->listener, &handles->listen, handles->tls, err);
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
  writer_free(&s->manifest);
  mem_free(s->state);
  mem_free(s->prepared_folder);
  pthread_cond_destroy(&s->changed);
  pthread_mutex_destroy(&s->lock);
  pthread_mutex_destroy(&s->log_lock);
  pthread_mutex_destroy(&s->state_lock);
  mem_free(s);
}

uint16_t server_port(const struct server *s) {
  return listener_port(s->listener);
}

fusion_server_totals server_get_totals(struct server *s) {
  pthread_mutex_lock(&s->lock);
  fusion_server_totals totals = s->totals;
  totals.size = sizeof totals;
  totals.connections = s->active;
  pthread_mutex_unlock(&s->lock);
  return totals;
}

void server_stop(struct server *s) {
  atomic_fetch_add(&s->stopping, 1);
  listener_stop(s->listener);
}

static bool start_thread(struct connection *c) {
  pthread_attr_t attributes;
  pthread_t thread;
  if (pthread_attr_init(&attributes)) return false;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  const bool started = pthread_create(&thread, &attributes, connection_main, c) == 0;
  pthread_attr_destroy(&attributes);
  return started;
}

/* Takes fd. */
static void admit(struct server *s, int fd) {
  struct connection *c = mem_alloc(1, sizeof *c);
  pthread_mutex_lock(&s->lock);
  const bool overflow = s->active >= s->settings.max_clients;
  bool admitted = c && (!overflow || s->overflowing < OVERFLOW_MAX);
  if (admitted) {
    *c = (struct connection){.next = s->connections, .server = s, .fd = fd, .overflow = overflow};
    admitted = start_thread(c);
  }
  if (admitted) {
    s->connections = c;
    *(overflow ? &s->overflowing : &s->active) += 1;
  } else {
    s->totals.refused++;
  }
  pthread_mutex_unlock(&s->lock);
  if (admitted) return;
  close(fd);
  mem_free(c);
}

static void cancel_all(struct server *s) {
  for (struct connection *c = s->connections; c; c = c->next)
    if (c->channel) channel_cancel(c->channel);
}

/* Waits for the connections to end: within the grace time by themselves, then they are cut. */
static void drain(struct server *s) {
  const double deadline = clock_seconds() + s->settings.stop_grace_ms * 1e-3;
  pthread_mutex_lock(&s->lock);
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
    if (status == FUSION_OK) admit(s, fd);
    if (status != FUSION_OK && status != FUSION_E_TIMEOUT) break;
    job_expire(s, false);
  }
  const bool asked = atomic_load(&s->stopping) > 0;
  if (!asked) atomic_fetch_add(&s->stopping, 1);
  listener_shut(s->listener);
  drain(s);
  job_expire(s, true);
  if (asked) return FUSION_OK;
  return error_set(err, status, "%s", why.text);
}
