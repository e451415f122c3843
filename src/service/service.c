#include "service/service.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "service/admin.h"
#include "service/ledger.h"

struct service {
  struct metrics metrics;
  struct admin *admin;     /* owned; NULL: none */
  struct ledger *ledger;   /* owned; NULL: none */
  struct clients *clients; /* owned; NULL: all may come; guarded by `lock` */
  char *clients_path;      /* owned */
  pthread_mutex_t lock;
  /* Renews the ledger's holds. */
  pthread_t thread;
  pthread_cond_t wake;
  bool renewing, ending;
};

static void *renew_main(void *arg) {
  struct service *s = arg;
  pthread_mutex_lock(&s->lock);
  while (!s->ending) {
    struct timespec at;
    fusion_error why;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += LEDGER_RENEW_S;
    if (pthread_cond_timedwait(&s->wake, &s->lock, &at) != ETIMEDOUT || s->ending) continue;
    pthread_mutex_unlock(&s->lock);
    if (ledger_renew(s->ledger, &why) != FUSION_OK) metrics_ledger_error(&s->metrics);
    pthread_mutex_lock(&s->lock);
  }
  pthread_mutex_unlock(&s->lock);
  return NULL;
}

static fusion_status start_renewing(struct service *s, fusion_error *err) {
  s->renewing = pthread_create(&s->thread, NULL, renew_main, s) == 0;
  return s->renewing ? FUSION_OK : error_set(err, FUSION_E_RESOURCE, "the system is out of threads");
}

static bool init_locks(struct service *s) {
  pthread_condattr_t attributes;
  if (pthread_condattr_init(&attributes)) return false;
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  const bool good = pthread_cond_init(&s->wake, &attributes) == 0;
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&s->lock, NULL);
  return good;
}

fusion_status service_open(struct service **out, const struct service_settings *settings, fusion_error *err) {
  *out = NULL;
  struct service *s = mem_alloc(1, sizeof *s);
  if (!s || !init_locks(s)) {
    mem_free(s);
    return error_set(err, FUSION_E_MEMORY, "out of memory for a server");
  }
  fusion_status status = FUSION_OK;
  metrics_open(&s->metrics);
  if (settings->clients) {
    s->clients_path = mem_alloc(strlen(settings->clients) + 1, 1);
    FAIL_IF(!s->clients_path, error_set(err, FUSION_E_MEMORY, "out of memory for a server"));
    strcpy(s->clients_path, settings->clients);
    TRY(clients_load(&s->clients, s->clients_path, err));
  }
  if (settings->ledger) {
    TRY(ledger_open(&s->ledger, settings->ledger, err));
    TRY(start_renewing(s, err));
  }
  if (settings->admin) TRY(admin_open(&s->admin, settings->admin, &s->metrics, settings->models, err));
  *out = s;
  return FUSION_OK;
cleanup:
  service_close(s);
  return status;
}

void service_close(struct service *s) {
  if (!s) return;
  admin_close(s->admin);
  if (s->renewing) {
    pthread_mutex_lock(&s->lock);
    s->ending = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
  }
  ledger_close(s->ledger);
  clients_free(s->clients);
  mem_free(s->clients_path);
  metrics_close(&s->metrics);
  pthread_cond_destroy(&s->wake);
  pthread_mutex_destroy(&s->lock);
  mem_free(s);
}

void service_watch(struct service *s, struct server *server) {
  if (s && s->admin) admin_watch(s->admin, server);
}

uint16_t service_port(const struct service *s) {
  return s->admin ? admin_port(s->admin) : 0;
}

fusion_status service_read_clients(struct service *s, struct clients **out, fusion_error *err) {
  *out = NULL;
  return s->clients_path ? clients_load(out, s->clients_path, err) : FUSION_OK;
}

void service_take_clients(struct service *s, struct clients **fresh) {
  if (!*fresh) return;
  pthread_mutex_lock(&s->lock);
  struct clients *old = s->clients;
  s->clients = *fresh;
  pthread_mutex_unlock(&s->lock);
  *fresh = old;
}

void service_event(struct service *s, const struct event *e) {
  metrics_take(&s->metrics, e);
}

fusion_status service_limits(struct service *s, const char *client, const char *model, struct client_limits *out,
                             fusion_error *why) {
  fusion_status status = FUSION_OK;
  *out = (struct client_limits){0};
  pthread_mutex_lock(&s->lock);
  if (s->clients) status = clients_limits(s->clients, client, model, out, why);
  pthread_mutex_unlock(&s->lock);
  return status;
}

/* Refusals for want of allowance are no errors of the ledger. */
static fusion_status count_errors(struct service *s, fusion_status status) {
  const bool refused = status == FUSION_E_BUSY || status == FUSION_E_LIMIT;
  if (!ledger_answers(s->ledger) || (status != FUSION_OK && !refused)) metrics_ledger_error(&s->metrics);
  return status;
}

fusion_status service_reserve(struct service *s, const struct allowance *a, fusion_error *why) {
  return count_errors(s, ledger_reserve(s->ledger, a, why));
}

fusion_status service_book(struct service *s, const struct allowance *a, uint64_t samples, fusion_error *why) {
  return count_errors(s, ledger_book(s->ledger, a, samples, why));
}

void service_release(struct service *s, const struct allowance *a, const struct event *ended) {
  fusion_error why;
  (void)count_errors(s, ledger_release(s->ledger, a, ended, &why));
}
