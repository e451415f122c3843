/* Prepared runs at the server: a one-time file each, in a folder with a limit. */
#include <sodium.h>
#include <stdio.h>

#include "session/one_time_file.h"
#include "session/serve_internal.h"

enum { PATH_LEN = 4096 };

/* Everything but the number: the model, who the client is (zeros without a certificate), the engine, the samples. */
struct binding {
  uint8_t manifest_hash[SESSION_HASH_LEN], certificate[TLS_HASH_LEN];
  char engine[SESSION_ENGINE_LEN];
  uint32_t samples;
};

static struct binding binding_of(const struct connection *c, uint32_t samples) {
  struct binding b;
  memset(&b, 0, sizeof b);
  memcpy(b.manifest_hash, c->server->manifest_hash, sizeof b.manifest_hash);
  if (c->peer.has_certificate) memcpy(b.certificate, c->peer.certificate_sha256, sizeof b.certificate);
  snprintf(b.engine, sizeof b.engine, "%s", c->engine->name);
  b.samples = samples;
  return b;
}

static void path_of(const struct server *s, char out[PATH_LEN], const uint8_t number[SESSION_STATE_LEN]) {
  char hex[2 * SESSION_STATE_LEN + 1];
  sodium_bin2hex(hex, sizeof hex, number, SESSION_STATE_LEN);
  snprintf(out, PATH_LEN, "%s/%s", s->prepared_folder, hex);
}

static uint64_t age_of(const struct server *s) {
  return (uint64_t)s->settings.prepared_hours * 3600;
}

fusion_status prepared_open(struct server *s, const char *folder, fusion_error *err) {
  if (!folder) return FUSION_OK;
  s->prepared_folder = mem_alloc(strlen(folder) + 1, 1);
  if (!s->prepared_folder) return error_set(err, FUSION_E_MEMORY, "out of memory for a server");
  strcpy(s->prepared_folder, folder);
  if (strlen(folder) > PATH_LEN - 64) return error_set(err, FUSION_E_INPUT, "'%.60s...': the path is too long", folder);
  return one_time_sweep(folder, age_of(s), true, &s->prepared_bytes, err);
}

/* Once in a while, and not under the lock: it reads the folder and may wipe much. */
static fusion_status sweep(struct server *s, fusion_error *failure) {
  enum { EVERY_S = 60 };
  const double now = clock_seconds();
  uint64_t bytes;
  pthread_mutex_lock(&s->lock);
  const bool due = now - s->prepared_swept >= EVERY_S;
  if (due) s->prepared_swept = now;
  pthread_mutex_unlock(&s->lock);
  if (!due) return FUSION_OK;
  const fusion_status status = one_time_sweep(s->prepared_folder, age_of(s), false, &bytes, failure);
  if (status != FUSION_OK) return status;
  pthread_mutex_lock(&s->lock);
  s->prepared_bytes = bytes;
  pthread_mutex_unlock(&s->lock);
  return FUSION_OK;
}

fusion_status prepared_allow(struct connection *c, enum session_purpose purpose, fusion_error *failure) {
  struct server *s = c->server;
  c->purpose = purpose;
  if (purpose == PURPOSE_RUN) return FUSION_OK;
  if (!s->prepared_folder) return error_set(failure, FUSION_E_LIMIT, "this server keeps no prepared runs");
  if (!engine_runs_ahead(c->engine))
    return error_set(failure, FUSION_E_LIMIT, "the %s engine cannot prepare runs ahead", c->engine->name);
  return sweep(s, failure);
}

/* Room for a state, before it is made. */
static fusion_status reserve(struct server *s, uint64_t len, fusion_error *failure) {
  pthread_mutex_lock(&s->lock);
  const uint64_t used = s->prepared_bytes + s->prepared_making, most = s->settings.prepared_bytes;
  const bool fits = used <= most && len <= most - used;
  if (fits) s->prepared_making += len;
  pthread_mutex_unlock(&s->lock);
  if (fits) return FUSION_OK;
  return error_set(failure, FUSION_E_BUSY, "there is no room for another prepared run of %llu KiB; use some, or wait",
                   (unsigned long long)(len >> 10));
}

/* It was made, or not. */
static void settle(struct server *s, uint64_t len, bool made) {
  pthread_mutex_lock(&s->lock);
  s->prepared_making -= len;
  if (made) s->prepared_bytes += len;
  pthread_mutex_unlock(&s->lock);
}

static void forget(struct server *s, uint64_t len) {
  pthread_mutex_lock(&s->lock);
  s->prepared_bytes -= size_min(len, s->prepared_bytes);
  pthread_mutex_unlock(&s->lock);
}

static fusion_status state_len(const struct connection *c, uint32_t samples, uint64_t *len, fusion_error *failure) {
  const size_t shard = samples;
  struct cost cost = {0};
  const fusion_status status =
      engine_phase_cost(c->engine, ENGINE_AHEAD, &c->server->handles.model->program, &shard, 1, &cost);
  *len = cost.prepared_server;
  return status == FUSION_OK ? status : error_set(failure, status, "%s", fusion_status_text(status));
}

/* The channel's own line, if it has one. */
static fusion_status channel_failure(struct connection *c, fusion_status status, fusion_error *failure) {
  const fusion_error *e = channel_error(c->channel);
  return error_set(failure, status, "%s", e->status == status ? e->text : fusion_status_text(status));
}

fusion_status prepared_make(struct connection *c, struct engine_session *session, uint32_t samples,
                            fusion_error *failure) {
  struct server *s = c->server;
  const struct binding b = binding_of(c, samples);
  struct one_time_file *file = NULL;
  uint8_t number[SESSION_STATE_LEN];
  char path[PATH_LEN];
  uint64_t len;
  fusion_status status = state_len(c, samples, &len, failure);
  if (status == FUSION_OK) status = reserve(s, len, failure);
  if (status != FUSION_OK) return status;
  status = os_random(number, sizeof number);
  FAIL_IF(status != FUSION_OK, error_set(failure, status, "%s", fusion_status_text(status)));
  path_of(s, path, number);
  TRY(one_time_create(&file, path, (struct one_time_binding){&b, sizeof b}, failure));
  status = engine_prepare_run(session, samples, one_time_stream(file));
  FAIL_IF(status != FUSION_OK, channel_failure(c, status, failure));
  TRY(one_time_commit(file, NULL, failure));
  status = prepared_send(c->channel, number);
  if (status != FUSION_OK) status = channel_failure(c, status, failure);
cleanup:
  one_time_close(file);
  settle(s, len, status == FUSION_OK);
  return status;
}

fusion_status prepared_use(struct connection *c, struct engine_session *session, uint32_t samples,
                           fusion_error *failure) {
  struct server *s = c->server;
  const struct binding b = binding_of(c, samples);
  struct one_time_file *file;
  uint8_t number[SESSION_STATE_LEN];
  char path[PATH_LEN];
  uint64_t len;
  fusion_status status = prepared_recv(c->channel, number);
  if (status != FUSION_OK) return channel_failure(c, status, failure);
  path_of(s, path, number);
  if (one_time_spend(&file, path, (struct one_time_binding){&b, sizeof b}, NULL) != FUSION_OK)
    return error_set(failure, FUSION_E_LIMIT,
                     "the prepared run is not here: it was used, is too old, or is for another client or model");
  if (state_len(c, samples, &len, failure) == FUSION_OK) forget(s, len);
  status = engine_run_prepared_server(session, samples, one_time_stream(file));
  if (status != FUSION_OK) status = channel_failure(c, status, failure);
  one_time_close(file);
  return status;
}
