/* Prepared runs at the server: a one-time file each, in a folder with a limit, of which each client has a share. */
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "session/serve_internal.h"
#include "session/shards.h"

enum { PATH_LEN = 4096, FORMAT = 2 /* of a state's bytes, every engine's: another one is of no use */ };

/* What a state is for, and how it is written: the model, by its manifest and by the function that it computes, the
 * client (zeros without a certificate), the engine, the samples. */
struct binding {
  uint32_t format;
  uint8_t manifest_hash[SESSION_HASH_LEN];
  uint8_t function[32]; /* BLAKE2b of the state's number, keyed by the function's hash: nothing to compare files by */
  uint8_t certificate[TLS_HASH_LEN];
  char engine[SESSION_ENGINE_LEN];
  uint32_t samples;
};

static const char not_here[] = "the prepared run is not here: it was used, is too old, or is for another client";
static const char other_cut[] = "it was prepared for a job of another size; prepare another";
static const char damaged[] = "the server's part of a prepared run is damaged on its disk; prepare another job";
static const char other_format[] = "it was prepared by another version of the server; prepare another";
static const char other_model[] = "it was prepared for another model than the server has now; prepare another";

static struct binding binding_of(const struct connection *c, const struct state_name *state) {
  struct binding b;
  memset(&b, 0, sizeof b);
  b.format = FORMAT;
  memcpy(b.manifest_hash, c->model->manifest_hash, sizeof b.manifest_hash);
  crypto_generichash(b.function, sizeof b.function, state->number, sizeof state->number, c->model->function_hash,
                     sizeof c->model->function_hash);
  if (c->peer.has_certificate) memcpy(b.certificate, c->peer.certificate_sha256, sizeof b.certificate);
  snprintf(b.engine, sizeof b.engine, "%s", c->engine->name);
  b.samples = state->samples;
  return b;
}

static void path_of(const struct server *s, char out[PATH_LEN], const uint8_t number[SESSION_STATE_LEN]) {
  char hex[2 * SESSION_STATE_LEN + 1];
  sodium_bin2hex(hex, sizeof hex, number, SESSION_STATE_LEN);
  snprintf(out, PATH_LEN, "%s/%s", s->prepared_folder, hex);
}

/* ---- Who has how much ---- */

static void owner_of(const struct connection *c, uint8_t owner[ONE_TIME_OWNER_LEN]) {
  crypto_generichash(owner, ONE_TIME_OWNER_LEN, (const uint8_t *)c->client, strlen(c->client), NULL, 0);
}

/* NULL when it is not there, or memory is out. */
static struct holder *holder_find(struct holder **list, const uint8_t owner[ONE_TIME_OWNER_LEN], bool make) {
  for (struct holder *h = *list; h; h = h->next)
    if (memcmp(h->owner, owner, sizeof h->owner) == 0) return h;
  struct holder *h = make ? mem_alloc(1, sizeof *h) : NULL;
  if (!h) return NULL;
  memcpy(h->owner, owner, sizeof h->owner);
  h->next = *list;
  return *list = h;
}

static void holders_drop(struct holder **list, bool all) {
  for (struct holder **at = list; *at;) {
    struct holder *h = *at;
    if (!all && (h->kept || h->making)) {
      at = &h->next;
      continue;
    }
    *at = h->next;
    mem_free(h);
  }
}

struct count {
  struct holder *holders; /* owned */
  bool failed;            /* out of memory */
};

static void count_kept(void *context, const uint8_t owner[ONE_TIME_OWNER_LEN], uint64_t bytes) {
  struct count *count = context;
  struct holder *h = holder_find(&count->holders, owner, true);
  if (h) h->kept += bytes;
  count->failed = count->failed || !h;
}

/* Removes what is old, and counts what stays. Not under the lock: it reads the folder and may wipe much. */
static fusion_status sweep(struct server *s, bool leftovers, fusion_error *err) {
  struct count count = {0};
  const struct one_time_sweeping sweeping = {.max_age_s = (uint64_t)s->settings.prepared_hours * 3600,
                                             .leftovers = leftovers,
                                             .kept = count_kept,
                                             .context = &count};
  fusion_status status = one_time_sweep(s->prepared_folder, &sweeping, err);
  if (status == FUSION_OK && count.failed)
    status = error_set(err, FUSION_E_MEMORY, "out of memory for the prepared runs");
  pthread_mutex_lock(&s->lock);
  for (struct holder *h = s->holders; h && status == FUSION_OK; h = h->next) {
    const struct holder *now = holder_find(&count.holders, h->owner, false);
    h->kept = now ? now->kept : 0;
  }
  for (const struct holder *now = count.holders; now && status == FUSION_OK; now = now->next) {
    struct holder *h = holder_find(&s->holders, now->owner, true);
    if (h) h->kept = now->kept;
  }
  holders_drop(&s->holders, false);
  pthread_mutex_unlock(&s->lock);
  holders_drop(&count.holders, true);
  return status;
}

fusion_status prepared_open(struct server *s, const char *folder, fusion_error *err) {
  if (!folder) return FUSION_OK;
  s->prepared_folder = mem_alloc(strlen(folder) + 1, 1);
  if (!s->prepared_folder) return error_set(err, FUSION_E_MEMORY, "out of memory for a server");
  strcpy(s->prepared_folder, folder);
  if (strlen(folder) > PATH_LEN - 64) return error_set(err, FUSION_E_INPUT, "'%.60s...': the path is too long", folder);
  return sweep(s, true, err);
}

void prepared_close(struct server *s) {
  holders_drop(&s->holders, true);
  mem_free(s->prepared_folder);
}

/* What a client may have, and has. Half of what the others leave: so there is always room for one more client. */
struct room {
  uint64_t most, own, all; /* bytes: the client's share; what it has; what all have, without the share's limit */
  uint64_t ever;           /* the share if nobody had anything */
};

/* Called with the lock held. */
static struct room room_of(const struct connection *c, const uint8_t owner[ONE_TIME_OWNER_LEN]) {
  const struct server *s = c->server;
  const uint64_t whole = s->settings.prepared_bytes, given = c->limits.prepared_bytes;
  struct room r = {0};
  for (const struct holder *h = s->holders; h; h = h->next) {
    r.all += h->kept + h->making;
    if (memcmp(h->owner, owner, sizeof h->owner) == 0) r.own = h->kept + h->making;
  }
  const uint64_t others = r.all - r.own, left = others < whole ? whole - others : 0;
  r.most = given ? size_min(given, whole) : left / 2;
  r.ever = given ? size_min(given, whole) : whole / 2;
  return r;
}

/* Whether there is room for so many bytes more. Called with the lock held. */
static fusion_status check_room(const struct connection *c, const uint8_t owner[ONE_TIME_OWNER_LEN], uint64_t len,
                                fusion_error *failure) {
  const struct room r = room_of(c, owner);
  const uint64_t whole = c->server->settings.prepared_bytes;
  if (len > r.ever)
    return error_set(failure, FUSION_E_LIMIT,
                     "prepared runs of %llu KiB are more than a client may have here, %llu KiB; prepare a smaller job",
                     (unsigned long long)(len >> 10), (unsigned long long)(r.ever >> 10));
  if (r.own > r.most || len > r.most - r.own)
    return error_set(
        failure, FUSION_E_BUSY,
        "prepared runs of %llu KiB do not fit this client's share, of which %llu of %llu KiB are in use; use "
        "some, or wait",
        (unsigned long long)(len >> 10), (unsigned long long)(r.own >> 10), (unsigned long long)(r.most >> 10));
  if (r.all > whole || len > whole - r.all)
    return error_set(failure, FUSION_E_BUSY, "there is no room for prepared runs of %llu KiB; try again later",
                     (unsigned long long)(len >> 10));
  return FUSION_OK;
}

/* Room for a state, before it is made. */
static fusion_status reserve(struct connection *c, const uint8_t owner[ONE_TIME_OWNER_LEN], uint64_t len,
                             fusion_error *failure) {
  struct server *s = c->server;
  pthread_mutex_lock(&s->lock);
  fusion_status status = check_room(c, owner, len, failure);
  struct holder *h = status == FUSION_OK ? holder_find(&s->holders, owner, true) : NULL;
  if (h) h->making += len;
  if (status == FUSION_OK && !h) status = error_set(failure, FUSION_E_MEMORY, "out of memory for a prepared run");
  pthread_mutex_unlock(&s->lock);
  return status;
}

/* It was made, of `made` bytes, or not: 0. */
static void settle(struct server *s, const uint8_t owner[ONE_TIME_OWNER_LEN], uint64_t reserved, uint64_t made) {
  pthread_mutex_lock(&s->lock);
  struct holder *h = holder_find(&s->holders, owner, false);
  h->making -= reserved;
  h->kept += made;
  holders_drop(&s->holders, false);
  pthread_mutex_unlock(&s->lock);
}

static void forget(struct server *s, const uint8_t owner[ONE_TIME_OWNER_LEN], uint64_t len) {
  pthread_mutex_lock(&s->lock);
  struct holder *h = holder_find(&s->holders, owner, false);
  if (h) h->kept -= size_min(len, h->kept);
  holders_drop(&s->holders, false);
  pthread_mutex_unlock(&s->lock);
}

/* ---- Before READY ---- */

fusion_status prepared_allow(struct connection *c, enum session_purpose purpose, fusion_error *failure) {
  enum { EVERY_S = 60 };
  struct server *s = c->server;
  c->purpose = purpose;
  if (purpose == PURPOSE_RUN) return FUSION_OK;
  if (!s->prepared_folder) return error_set(failure, FUSION_E_LIMIT, "this server keeps no prepared runs");
  if (!engine_runs_ahead(c->engine))
    return error_set(failure, FUSION_E_LIMIT, "the %s engine cannot prepare runs ahead", c->engine->name);
  const double now = clock_seconds();
  pthread_mutex_lock(&s->lock);
  const bool due = now - s->prepared_swept >= EVERY_S;
  if (due) s->prepared_swept = now;
  pthread_mutex_unlock(&s->lock);
  return due ? sweep(s, false, failure) : FUSION_OK;
}

/* The exact number of bytes of a state. */
static fusion_status state_len(struct connection *c, uint32_t samples, uint64_t *len, fusion_error *failure) {
  struct cost cost = {0};
  for (size_t i = 0; i < sizeof c->priced / sizeof *c->priced; i++)
    if (c->priced[i].samples == samples) {
      *len = c->priced[i].len;
      return FUSION_OK;
    }
  const fusion_status status =
      engine_run_phase_cost(c->engine, ENGINE_AHEAD, &c->model->model->program, (size_t)c->expected, samples, &cost);
  if (status != FUSION_OK) return error_set(failure, status, "%s", fusion_status_text(status));
  *len = cost.prepared_server;
  c->priced[c->price_next] = (struct priced){samples, *len};
  c->price_next ^= 1;
  return FUSION_OK;
}

static uint64_t file_len(uint64_t state_len) {
  return one_time_file_len(state_len, sizeof(struct binding));
}

/* A job that does not fit is better refused now than after all its work: as if it were cut into shards as its client
 * will cut it. */
static fusion_status check_job(struct connection *c, uint64_t samples, uint32_t shard_samples, fusion_error *failure) {
  const size_t shards = shards_count((size_t)samples, shard_samples, 1);
  const struct shard longest = shard_at((size_t)samples, shards, 0);
  uint8_t owner[ONE_TIME_OWNER_LEN];
  uint64_t len, all;
  fusion_status status = state_len(c, (uint32_t)longest.count, &len, failure);
  if (status != FUSION_OK) return status;
  owner_of(c, owner);
  if (__builtin_mul_overflow(file_len(len), shards, &all)) all = UINT64_MAX;
  pthread_mutex_lock(&c->server->lock);
  status = check_room(c, owner, all, failure);
  pthread_mutex_unlock(&c->server->lock);
  return status;
}

/* Whether a file is as long as one for so many samples. */
static bool length_fits(struct connection *c, const struct one_time_file *file, uint32_t samples) {
  fusion_error none;
  uint64_t len;
  if (!samples || samples > SESSION_SHARD_MAX || state_len(c, samples, &len, &none) != FUSION_OK) return false;
  return one_time_left(file) == len;
}

/* Why a state cannot be used that is for something else than wanted, or damaged. */
static const char *reason(struct connection *c, struct one_time_file *file, const struct binding *wanted) {
  struct binding bound;
  const struct one_time_binding is = one_time_bound(file);
  if (is.len != sizeof bound) return other_format;
  memcpy(&bound, is.data, sizeof bound);
  if (bound.format != wanted->format) return other_format;
  if (memcmp(bound.certificate, wanted->certificate, sizeof bound.certificate) != 0 ||
      memcmp(bound.engine, wanted->engine, sizeof bound.engine) != 0)
    return not_here;
  if (bound.samples != wanted->samples) return length_fits(c, file, bound.samples) ? not_here : damaged;
  /* Only for who has the certificate: all of a long file is hashed. */
  if (one_time_verify(file, NULL) != FUSION_OK) return damaged;
  const bool same_model = memcmp(bound.manifest_hash, wanted->manifest_hash, sizeof bound.manifest_hash) == 0 &&
                          memcmp(bound.function, wanted->function, sizeof bound.function) == 0;
  return same_model ? not_here : other_model;
}

/* A state that is here, for this client and this model; not spent. */
static fusion_status open_state(struct one_time_file **out, struct connection *c, const struct state_name *state,
                                fusion_error *failure) {
  const struct binding wanted = binding_of(c, state);
  char path[PATH_LEN];
  uint64_t len;
  const fusion_status status = state_len(c, state->samples, &len, failure);
  if (status != FUSION_OK) return status;
  path_of(c->server, path, state->number);
  if (one_time_open(out, path, NULL) != FUSION_OK)
    return error_set(failure, FUSION_E_LIMIT, "%s", access(path, F_OK) == 0 ? damaged : not_here);
  const struct one_time_binding is = one_time_bound(*out);
  const bool bound = is.len == sizeof wanted && memcmp(is.data, &wanted, sizeof wanted) == 0;
  if (bound && one_time_left(*out) == len) return FUSION_OK;
  const char *why = bound ? other_cut : reason(c, *out, &wanted);
  one_time_close(*out);
  *out = NULL;
  return error_set(failure, FUSION_E_LIMIT, "%s", why);
}

/* The channel's own line, if it has one. */
static fusion_status channel_failure(struct connection *c, fusion_status status, fusion_error *failure) {
  const fusion_error *e = channel_error(c->channel);
  return error_set(failure, status, "%s", e->status == status ? e->text : fusion_status_text(status));
}

static fusion_status check_states(struct connection *c, fusion_error *failure) {
  struct state_name *states;
  size_t count;
  fusion_status status = states_recv(c->channel, &states, &count);
  if (status != FUSION_OK) return channel_failure(c, status, failure);
  for (size_t i = 0; i < count && status == FUSION_OK; i++) {
    struct one_time_file *file = NULL;
    status = open_state(&file, c, &states[i], failure);
    one_time_close(file);
  }
  mem_free(states);
  return status;
}

fusion_status prepared_check(struct connection *c, uint64_t samples, uint32_t shard_samples, fusion_error *failure) {
  if (c->purpose == PURPOSE_PREPARE) return check_job(c, samples, shard_samples, failure);
  return c->purpose == PURPOSE_RUN_PREPARED ? check_states(c, failure) : FUSION_OK;
}

/* ---- Runs ---- */

/* So that it can be removed if the client does not come to have its part. */
static fusion_status remember(struct connection *c, const struct state_name *state, fusion_error *failure) {
  const size_t count = c->made_count;
  if (count >= SESSION_STATES_MAX)
    return error_set(failure, FUSION_E_LIMIT, "a job has %d prepared runs at most", SESSION_STATES_MAX);
  if ((count & (count - 1)) == 0) { /* full: the room is the next power of two */
    struct state_name *more = mem_alloc(size_max(1, 2 * count), sizeof *more);
    if (!more) return error_set(failure, FUSION_E_MEMORY, "out of memory for a prepared run");
    if (count) memcpy(more, c->made, count * sizeof *more);
    mem_free(c->made);
    c->made = more;
  }
  c->made[c->made_count++] = *state;
  return FUSION_OK;
}

/* A stream that takes no more than was reserved. */
struct capped {
  struct byte_stream stream; /* its context is this */
  const struct byte_stream *to;
  uint64_t left;
};

static fusion_status capped_write(void *context, const void *data, size_t len) {
  struct capped *c = context;
  if (len > c->left) return FUSION_E_INTERNAL;
  c->left -= len;
  return stream_write(c->to, data, len);
}

/* The state into a file, exactly as long as was reserved for it. */
static fusion_status write_state(struct connection *c, struct engine_session *session, uint32_t samples,
                                 struct one_time_file *file, uint64_t len, fusion_error *failure) {
  struct capped capped = {.to = one_time_stream(file), .left = len};
  capped.stream = (struct byte_stream){.write = capped_write, .context = &capped};
  fusion_status status = engine_prepare_run(session, samples, &capped.stream);
  if (status == FUSION_OK && capped.left) status = FUSION_E_INTERNAL;
  return status == FUSION_OK ? status : channel_failure(c, status, failure);
}

fusion_status prepared_make(struct connection *c, struct engine_session *session, uint32_t samples,
                            fusion_error *failure) {
  struct state_name state = {.samples = samples};
  struct one_time_file *file = NULL;
  uint8_t owner[ONE_TIME_OWNER_LEN];
  char path[PATH_LEN];
  uint64_t len;
  owner_of(c, owner);
  fusion_status status = state_len(c, samples, &len, failure);
  if (status == FUSION_OK) status = reserve(c, owner, file_len(len), failure);
  if (status != FUSION_OK) return status;
  status = os_random(state.number, sizeof state.number);
  FAIL_IF(status != FUSION_OK, error_set(failure, status, "%s", fusion_status_text(status)));
  const struct binding b = binding_of(c, &state);
  path_of(c->server, path, state.number);
  TRY(one_time_create(&file, path, owner, failure));
  TRY(write_state(c, session, samples, file, len, failure));
  TRY(remember(c, &state, failure));
  TRY(one_time_commit(file, (struct one_time_binding){&b, sizeof b}, failure));
cleanup:
  one_time_close(file);
  settle(c->server, owner, file_len(len), status == FUSION_OK ? file_len(len) : 0);
  if (status != FUSION_OK) return status;
  status = prepared_send(c->channel, state.number);
  return status == FUSION_OK ? status : channel_failure(c, status, failure);
}

/* Spends it; it is wiped when it is closed. */
static fusion_status spend(struct connection *c, struct one_time_file *file, fusion_error *failure) {
  uint8_t owner[ONE_TIME_OWNER_LEN];
  const uint64_t len = one_time_file_len(one_time_left(file), one_time_bound(file).len);
  memcpy(owner, one_time_owner(file), sizeof owner);
  if (one_time_spend(file, NULL) != FUSION_OK) return error_set(failure, FUSION_E_LIMIT, "%s", not_here);
  forget(c->server, owner, len);
  return FUSION_OK;
}

void prepared_end(struct connection *c, bool well) {
  for (size_t i = 0; i < c->made_count && !well; i++) {
    struct one_time_file *file;
    fusion_error why;
    if (open_state(&file, c, &c->made[i], &why) != FUSION_OK) continue;
    (void)!spend(c, file, &why);
    one_time_close(file);
  }
  mem_free(c->made);
  c->made = NULL;
  c->made_count = 0;
}

fusion_status prepared_use(struct connection *c, struct engine_session *session, uint32_t samples,
                           fusion_error *failure) {
  struct state_name state = {.samples = samples};
  struct one_time_file *file = NULL;
  fusion_status status = prepared_recv(c->channel, state.number);
  if (status != FUSION_OK) return channel_failure(c, status, failure);
  TRY(open_state(&file, c, &state, failure));
  const bool whole = one_time_verify(file, NULL) == FUSION_OK;
  TRY(spend(c, file, failure)); /* what is damaged is of no use to anybody */
  FAIL_IF(!whole, error_set(failure, FUSION_E_LIMIT, "%s", damaged));
  status = engine_run_prepared_server(session, samples, one_time_stream(file));
  if (status != FUSION_OK) status = channel_failure(c, status, failure);
cleanup:
  one_time_close(file);
  return status;
}
