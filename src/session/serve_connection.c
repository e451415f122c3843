/* One connection of the server: a worker of a client's job. */
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "session/serve_internal.h"

/* What the peer is told: about limits, why; about everything else, no more than its kind. */
static const char *refusal_text(const struct connection *c, const fusion_error *failure) {
  switch (failure->status) {
    case FUSION_E_REFUSED: return c->granted ? "the run failed" : failure->text; /* who may not come in */
    case FUSION_E_BUSY:
    case FUSION_E_LIMIT: return failure->text;
    case FUSION_E_MEMORY: return "the server is out of memory";
    case FUSION_E_PEER: return "the client did not follow the protocol";
    default: return "the run failed";
  }
}

static fusion_status fail(fusion_error *failure, struct channel *channel, fusion_status status) {
  const fusion_error *e = channel_error(channel);
  if (e->status == status)
    *failure = *e;
  else
    error_set(failure, status, "%s", fusion_status_text(status));
  return status;
}

/* The name in the certificate; else the address without its port. */
static void name_client(struct connection *c) {
  const char *address = c->peer.address, *end = strrchr(address, ':');
  const size_t len = end ? (size_t)(end - address) : strlen(address);
  if (c->peer.name[0])
    memcpy(c->client, c->peer.name, sizeof c->client);
  else if (address[0] == '[' && len > 2)
    snprintf(c->client, sizeof c->client, "%.*s", (int)(len - 2), address + 1);
  else
    snprintf(c->client, sizeof c->client, "%.*s", (int)len, address);
}

static fusion_status await_byte(struct connection *c, double deadline, fusion_error *failure) {
  uint8_t byte;
  const fusion_status status = socket_wait(c->fd, POLLIN, deadline);
  if (status != FUSION_OK)
    return error_set(failure, status, "the peer was silent for %.3g seconds",
                     c->server->settings.handshake_timeout_ms * 1e-3);
  c->probe = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
  return c->probe ? error_set(failure, FUSION_E_CLOSED, "it left without a word") : FUSION_OK;
}

/* From here on the connection is that of whom the proxy names. */
static fusion_status ask_proxy(struct connection *c, double deadline, fusion_error *failure) {
  struct proxy_source source;
  const fusion_status status = proxy_receive(c->fd, deadline, &source, failure);
  if (status != FUSION_OK || !source.known) return status;
  memcpy(c->peer.address, source.address, sizeof c->peer.address);
  return arrival_move(c->server, c, source.network, failure);
}

/* Waits for the client's first byte: who leaves without one only looked whether the port is open. */
static fusion_status await_word(struct connection *c, fusion_error *failure) {
  const double deadline = clock_seconds() + c->server->settings.handshake_timeout_ms * 1e-3;
  socket_peer(c->fd, c->peer.address);
  fusion_status status = await_byte(c, deadline, failure);
  if (status == FUSION_OK && c->proxied) {
    status = ask_proxy(c, deadline, failure);
    if (status == FUSION_OK) status = await_byte(c, deadline, failure);
  }
  if (status == FUSION_OK) return status;
  close(c->fd);
  c->fd = -1;
  return status;
}

static fusion_status open_channel(struct connection *c, fusion_error *failure) {
  struct server *s = c->server;
  const struct net_limits limits = {.connect_timeout_ms = (int)s->settings.handshake_timeout_ms,
                                    .timeout_ms = (int)s->settings.handshake_timeout_ms};
  struct channel *channel;
  fusion_status status = await_word(c, failure);
  if (status != FUSION_OK) return status;
  char address[NET_ADDRESS_LEN];
  memcpy(address, c->peer.address, sizeof address);
  status = listener_handshake(s->listener, &channel, c->fd, &limits, &c->peer, failure);
  memcpy(c->peer.address, address, sizeof address);
  c->fd = -1;
  if (status != FUSION_OK) return status;
  name_client(c);
  pthread_mutex_lock(&s->lock);
  c->channel = channel;
  const int stopping = atomic_load(&s->stopping);
  pthread_mutex_unlock(&s->lock);
  return stopping ? error_set(failure, FUSION_E_BUSY, "the server is shutting down") : FUSION_OK;
}

/* A client that wants a receipt is told whose key will have signed it. */
static void offer_receipt(struct connection *c, const struct client_hello *hello, struct server_hello *answer) {
  const uint8_t *secret = c->server->handles.receipt_key;
  c->receipt = answer->gives_receipt = hello->wants_receipt && secret;
  c->declared = hello->samples;
  if (c->receipt) memcpy(answer->receipt_key, receipt_public_key(secret), sizeof answer->receipt_key);
  if (!c->receipt) channel_record(c->channel, false);
}

/* After the client's last word. What it holds does not depend on anything that the client has not sent. */
static fusion_status give_receipt(struct connection *c, fusion_error *failure) {
  const struct server *s = c->server;
  struct receipt r = {
      .declared = c->declared, .samples = c->samples, .shards = c->shards, .time = (uint64_t)time(NULL)};
  uint8_t bytes[RECEIPT_LEN];
  memcpy(r.job, c->job->id, sizeof r.job);
  memcpy(r.model_id, c->model->model->program.model_id, sizeof r.model_id);
  memcpy(r.manifest_hash, c->model->manifest_hash, sizeof r.manifest_hash);
  memcpy(r.certificate, c->peer.own_sha256, sizeof r.certificate);
  channel_recorded(c->channel, r.sent, r.received);
  receipt_sign(bytes, &r, s->handles.receipt_key);
  const fusion_status status = receipt_send(c->channel, bytes);
  return status == FUSION_OK ? status : fail(failure, c->channel, status);
}

static fusion_status greet(struct connection *c, struct start *start, fusion_error *failure) {
  struct server *s = c->server;
  struct client_hello hello;
  channel_record(c->channel, s->handles.receipt_key != NULL);
  fusion_status status = client_hello_recv(c->channel, &hello);
  if (status != FUSION_OK) return fail(failure, c->channel, status);
  pthread_mutex_lock(&s->lock);
  c->greeted = true;
  pthread_mutex_unlock(&s->lock);
  TRY(job_model(s, c, &hello, failure));
  const struct served_model *model = c->model;
  c->engine = engine_list_find(&model->engines, hello.engine);
  if (!c->engine) {
    char offered[256];
    engine_list_text(&model->engines, offered, sizeof offered);
    return error_set(failure, FUSION_E_LIMIT,
                     "this server does not run the protocol engine that was asked for; it offers %s", offered);
  }
  TRY(job_check(s, c, &hello, failure));
  struct server_hello answer = {.version = hello.version, .manifest_len = (uint32_t)model->manifest.len};
  strcpy(answer.engine, c->engine->name);
  memcpy(answer.manifest_hash, model->manifest_hash, sizeof answer.manifest_hash);
  offer_receipt(c, &hello, &answer);
  answer.has_speeds = s->handles.speeds != NULL;
  if (answer.has_speeds) answer.speeds = *s->handles.speeds;
  status = server_hello_send(c->channel, &answer);
  const bool known = hello.has_manifest && memcmp(hello.manifest_hash, model->manifest_hash, SESSION_HASH_LEN) == 0;
  if (status == FUSION_OK && !known)
    status = channel_send(c->channel, MSG_MANIFEST, model->manifest.data, model->manifest.len);
  if (status == FUSION_OK) status = channel_flush(c->channel);
  if (status == FUSION_OK) status = start_recv(c->channel, start);
  if (status != FUSION_OK) return fail(failure, c->channel, status);
  /* The hint sizes memory: it is the job's size at most. */
  if (start->expected_samples > hello.samples)
    return error_set(failure, FUSION_E_PEER, "the client expects more samples than the job has");
  c->expected = start->expected_samples;
  TRY(prepared_allow(c, start->purpose, failure));
  TRY(job_start(s, c, &hello, failure));
  TRY(job_reserve(s, c, &start->shard_samples, failure));
  TRY(prepared_check(c, hello.samples, start->shard_samples, failure));
  struct ready ready = {.shard_samples = start->shard_samples};
  TRY(kept_answer(c, start, &ready, failure));
  status = ready_send(c->channel, &ready);
  if (status != FUSION_OK) return fail(failure, c->channel, status);
  job_granted(s, c);
cleanup:
  return status;
}

static fusion_status serve_shard(struct connection *c, struct engine_session *session, uint32_t samples,
                                 fusion_error *failure) {
  if (c->purpose == PURPOSE_PREPARE) return prepared_make(c, session, samples, failure);
  if (c->purpose == PURPOSE_RUN_PREPARED) return prepared_use(c, session, samples, failure);
  const fusion_status status = engine_run_server(session, samples);
  return status == FUSION_OK ? status : fail(failure, c->channel, status);
}

static fusion_status serve_shards(struct connection *c, struct engine_session *session, uint32_t limit,
                                  fusion_error *failure) {
  for (;;) {
    uint32_t samples;
    fusion_status status = shard_recv(c->channel, &samples);
    if (status != FUSION_OK) return fail(failure, c->channel, status);
    if (!samples) return FUSION_OK;
    if (samples > limit)
      return error_set(failure, FUSION_E_PEER, "a shard of %u samples where %u were granted", samples, limit);
    status = job_book(c->server, c, samples, failure);
    if (status != FUSION_OK) return status;
    status = serve_shard(c, session, samples, failure);
    if (status != FUSION_OK) return status;
    status = channel_flush(c->channel);
    if (status != FUSION_OK) return fail(failure, c->channel, status);
    job_finish(c->server, c, samples);
    c->samples += samples;
    c->shards++;
  }
}

static fusion_status open_session(struct engine_session **out, struct connection *c, size_t expected_samples) {
  const struct model *model = c->model->model;
  struct keeping keeping = {.use = c->use_setup, .keep = c->keep_setup};
  const struct engine_opening opening = {.engine = c->engine,
                                         .program = &model->program,
                                         .weights = model->weights,
                                         .channel = c->channel,
                                         .expected_samples = expected_samples,
                                         .phase = phase_of(c),
                                         .keeping = &keeping};
  const fusion_status status = engine_open(out, &opening);
  kept_opened(c, status == FUSION_OK && keeping.kept);
  return status;
}

static fusion_status serve(struct connection *c, fusion_error *failure) {
  struct start start;
  fusion_status status = open_channel(c, failure);
  if (status == FUSION_OK) status = greet(c, &start, failure);
  if (status != FUSION_OK) return status;
  channel_set_timeout(c->channel, (int)c->server->settings.timeout_ms);
  struct engine_session *session;
  status = open_session(&session, c, (size_t)start.expected_samples);
  if (status != FUSION_OK) return fail(failure, c->channel, status);
  status = serve_shards(c, session, start.shard_samples, failure);
  prepared_end(c, status == FUSION_OK);
  engine_close(session);
  return status == FUSION_OK && c->receipt ? give_receipt(c, failure) : status;
}

static void tell_refusal(const struct connection *c, fusion_error *failure) {
  struct event e = event_of(EVENT_REFUSED);
  if (c->cut_off) error_set(failure, FUSION_E_BUSY, "it made room for newer connections");
  e.unlogged = c->cut_off;
  e.status = failure->status;
  e.reason = failure->text;
  e.client = c->client;
  e.address = c->peer.address;
  if (c->model) e.model = c->model->name;
  server_tell(c->server, &e);
}

void *connection_main(void *arg) {
  struct connection *c = arg;
  struct server *s = c->server;
  fusion_error failure = {.status = FUSION_OK};
  const fusion_status status = serve(c, &failure);
  kept_ended(c, status == FUSION_OK);
  const bool refused = status != FUSION_OK && !c->granted && (!c->probe || c->cut_off);
  if (refused) tell_refusal(c, &failure);
  if (status == FUSION_E_VERSION)
    version_refuse(c->channel);
  else if (status != FUSION_OK && c->channel)
    channel_refuse(c->channel, status == FUSION_E_BUSY, refusal_text(c, &failure));
  job_leave(s, c, &failure);
  pthread_mutex_lock(&s->lock);
  struct channel *channel = c->channel;
  c->channel = NULL;
  pthread_mutex_unlock(&s->lock);
  channel_close(channel);
  model_release(s->models, c->model);

  pthread_mutex_lock(&s->lock);
  struct connection **at = &s->connections;
  while (*at != c) at = &(*at)->next;
  *at = c->next;
  if (refused) s->totals.refused++;
  place_leave(s, c);
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->lock);
  mem_free(c);
  return NULL;
}
