/* Set-ups that the server keeps for clients' next jobs: in memory alone, so that a server that was killed has none, and
 * no backup brings one back. A half is for one client, by name and certificate, and one engine; it leaves the list
 * before the client hears that it is used, and is wiped when its session has opened. A connection that fails takes with
 * it what it left. A client that has KEPT_EACH, or a server that has KEPT_MAX, loses the oldest: it costs a new set-up.
 */
#include <sodium.h>
#include <stdio.h>

#include "session/serve_internal.h"

enum { KEPT_EACH = 16, KEPT_MAX = 1024 };

/* The one that is kept for a client. */
struct kept_half {
  struct kept_half *next; /* the one that came before */
  uint8_t number[SESSION_STATE_LEN];
  char client[NET_NAME_LEN];
  uint8_t certificate[TLS_HASH_LEN]; /* the client's; zeros without one */
  const struct engine *engine;
  double since;
  struct kept_setup *setup; /* owned, guarded */
};

static void half_free(struct kept_half *h) {
  key_free(h->setup);
  mem_free_secret(h, sizeof *h);
}

static bool is_of(const struct kept_half *h, const struct connection *c) {
  static const uint8_t none[TLS_HASH_LEN];
  const uint8_t *certificate = c->peer.has_certificate ? c->peer.certificate_sha256 : none;
  return strcmp(h->client, c->client) == 0 && memcmp(h->certificate, certificate, TLS_HASH_LEN) == 0;
}

/* Called with the lock held. */
static struct kept_half *unlink_half(struct kept_half **at) {
  struct kept_half *h = *at;
  *at = h->next;
  return h;
}

void kept_expire(struct server *s) {
  const double limit = clock_seconds() - (double)s->settings.keep_for_s;
  pthread_mutex_lock(&s->lock);
  for (struct kept_half **at = &s->kept; *at;) {
    if ((*at)->since > limit)
      at = &(*at)->next;
    else
      half_free(unlink_half(at));
  }
  pthread_mutex_unlock(&s->lock);
}

void kept_free(struct server *s) {
  while (s->kept) half_free(unlink_half(&s->kept));
}

/* Takes the half of this number out of the list, if it is this client's. NULL: it is not there. */
static struct kept_setup *take_half(struct connection *c, const uint8_t number[SESSION_STATE_LEN]) {
  struct server *s = c->server;
  struct kept_setup *setup = NULL;
  kept_expire(s);
  pthread_mutex_lock(&s->lock);
  for (struct kept_half **at = &s->kept; *at; at = &(*at)->next) {
    if (memcmp((*at)->number, number, SESSION_STATE_LEN) != 0 || !is_of(*at, c)) continue;
    struct kept_half *h = unlink_half(at);
    if (h->engine == c->engine) {
      setup = h->setup;
      h->setup = NULL;
    }
    half_free(h);
    break;
  }
  pthread_mutex_unlock(&s->lock);
  return setup;
}

fusion_status kept_answer(struct connection *c, const struct start *start, struct ready *ready, fusion_error *failure) {
  if (!start->keep || c->purpose != PURPOSE_RUN || !c->server->settings.keep_for_s) return FUSION_OK;
  c->keep_setup = key_alloc(sizeof *c->keep_setup);
  if (!c->keep_setup) return FUSION_OK; /* guarded memory is short: nothing is kept */
  const fusion_status status = os_random(ready->number, sizeof ready->number);
  if (status != FUSION_OK) return error_set(failure, status, "%s", fusion_status_text(status));
  memcpy(c->keep_number, ready->number, sizeof c->keep_number);
  if (start->has_kept) c->use_setup = take_half(c, start->kept);
  ready->keeps = true;
  ready->uses = c->use_setup != NULL;
  return FUSION_OK;
}

/* The oldest of one client (NULL: of all) beyond `most`. Called with the lock held. */
static void drop_beyond(struct server *s, const struct connection *c, size_t most) {
  struct kept_half **oldest = NULL;
  size_t count = 0;
  for (struct kept_half **at = &s->kept; *at; at = &(*at)->next) {
    if (c && !is_of(*at, c)) continue;
    oldest = at;
    count++;
  }
  if (count > most) half_free(unlink_half(oldest));
}

void kept_opened(struct connection *c, bool kept) {
  struct server *s = c->server;
  key_free(c->use_setup);
  c->use_setup = NULL;
  struct kept_half *h = kept ? mem_alloc(1, sizeof *h) : NULL;
  if (!h) { /* the client finds none when it comes back, and makes a new set-up */
    key_free(c->keep_setup);
    c->keep_setup = NULL;
    return;
  }
  *h = (struct kept_half){.engine = c->engine, .since = clock_seconds(), .setup = c->keep_setup};
  c->keep_setup = NULL;
  memcpy(h->number, c->keep_number, sizeof h->number);
  memcpy(h->client, c->client, sizeof h->client);
  if (c->peer.has_certificate) memcpy(h->certificate, c->peer.certificate_sha256, sizeof h->certificate);
  pthread_mutex_lock(&s->lock);
  h->next = s->kept;
  s->kept = h;
  c->keep_listed = true;
  drop_beyond(s, c, KEPT_EACH);
  drop_beyond(s, NULL, KEPT_MAX);
  pthread_mutex_unlock(&s->lock);
}

void kept_ended(struct connection *c, bool well) {
  key_free(c->use_setup);
  key_free(c->keep_setup);
  c->use_setup = c->keep_setup = NULL;
  if (well || !c->keep_listed) return;
  key_free(take_half(c, c->keep_number));
}
