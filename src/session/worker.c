/* One worker of a job: a connection at a time, the shards that it runs, and what happens when it is lost. */
#include <stdio.h>
#include <time.h>

#include "base/packed.h"
#include "session/ahead.h"
#include "session/job_internal.h"
#include "session/keep.h"

enum {
  CONNECT_TRIES = 3,     /* in a row, before a worker gives up */
  CONNECT_PAUSE_MS = 200 /* before the second; doubled each time */
};

static fusion_status channel_failure(struct channel *c, fusion_status status, fusion_error *why) {
  const fusion_error *e = channel_error(c);
  if (e->status == status) return error_set(why, status, "%s", e->text);
  return error_set(why, status, "%s", fusion_status_text(status));
}

/* The first greeting of a job learns the manifest; later ones must meet the same. */
static fusion_status greet_first(struct worker *w, const struct server_hello *hello, fusion_error *why) {
  struct client_job *job = w->job;
  uint8_t *bytes, hash[SESSION_HASH_LEN];
  size_t len;
  if (hello->manifest_len > job->terms.settings->max_manifest) {
    channel_refuse(w->channel, false, "the manifest is larger than the client allows");
    return error_set(why, FUSION_E_LIMIT, "the server's manifest has %u bytes; the limit is %llu", hello->manifest_len,
                     (unsigned long long)job->terms.settings->max_manifest);
  }
  fusion_status status = channel_recv_sized(w->channel, MSG_MANIFEST, hello->manifest_len, &bytes, &len);
  if (status != FUSION_OK) return channel_failure(w->channel, status, why);
  manifest_hash(hash, bytes, len);
  if (memcmp(hash, hello->manifest_hash, sizeof hash) != 0)
    status = error_set(why, FUSION_E_PEER, "the server's manifest does not have the announced hash");
  if (status == FUSION_OK)
    status = prepare_manifest(&job->ready, &job->terms, bytes, len, job->round_trip_seconds, why);
  mem_free(bytes);
  if (status != FUSION_OK) channel_refuse(w->channel, false, "the client does not take this manifest");
  return status;
}

/* Of a prepared job: the server looks whether it has them all before either side spends any. */
static fusion_status name_states(struct worker *w) {
  size_t count;
  const struct state_name *states = ahead_states(w->job->terms.handles->ahead, &count);
  return states_send(w->channel, states, count);
}

/* START and what is granted. A kept set-up is spent before it is named. */
static fusion_status start_work(struct worker *w, fusion_error *why) {
  struct client_job *job = w->job;
  struct start start = {.purpose = job->terms.handles->ahead ? PURPOSE_RUN_PREPARED : PURPOSE_RUN,
                        .shard_samples = job->ready.shard_samples,
                        .expected_samples = div_up(job->ready.todo, job->ready.worker_count)};
  struct ready ready;
  if (w->keep && keep_ready(w->keep)) {
    struct keep_binding binding = {.certificate = {0}};
    if (w->peer.has_certificate) memcpy(binding.certificate, w->peer.certificate_sha256, sizeof binding.certificate);
    strcpy(binding.engine, job->terms.handles->engine->name);
    start.keep = true;
    start.has_kept = keep_take(w->keep, &binding, start.kept);
  }
  fusion_status status = start_send(w->channel, &start);
  if (status == FUSION_OK && job->terms.handles->ahead) status = name_states(w);
  if (status == FUSION_OK) status = ready_recv(w->channel, &start, &ready);
  if (status != FUSION_OK) return channel_failure(w->channel, status, why);
  const uint32_t granted = ready.shard_samples;
  if (granted > start.shard_samples)
    return error_set(why, FUSION_E_PEER, "the server grants larger shards than were asked for");
  if (granted < job->ready.shard_samples && job->terms.handles->ahead)
    return error_set(why, FUSION_E_BUSY,
                     "the server has memory for %u samples at once, and the prepared job runs %u: try again later",
                     granted, job->ready.shard_samples);
  if (granted < job->ready.shard_samples && job->queue.shards)
    return error_set(why, FUSION_E_REFUSED, "the server has no memory left for another worker");
  if (!job->queue.shards) job->ready.shard_samples = granted;
  if (w->keep) w->keeping = keep_keeping(w->keep, &ready);
  return FUSION_OK;
}

/* Once the shards' size is known. */
static void predict(struct client_job *job, const struct engine_speeds *server) {
  const struct job_prediction p = predict_job(&job->ready, &job->terms, server, job->round_trip_seconds);
  pthread_mutex_lock(&job->lock);
  job->prediction = p;
  pthread_mutex_unlock(&job->lock);
}

static fusion_status greet(struct worker *w, fusion_error *why) {
  struct client_job *job = w->job;
  struct client_hello hello = {.samples = job->declared ? job->declared : job->ready.todo,
                               .has_manifest = job->ready.has_program,
                               .wants_receipt = job->terms.handles->receipts};
  struct server_hello answer;
  strcpy(hello.engine, job->terms.handles->engine->name);
  if (job->terms.handles->model) strcpy(hello.model, job->terms.handles->model);
  memcpy(hello.job, job->id, sizeof hello.job);
  if (job->ready.has_program) memcpy(hello.manifest_hash, job->ready.manifest_hash, sizeof hello.manifest_hash);
  const double begun = clock_seconds();
  channel_record(w->channel, hello.wants_receipt);
  fusion_status status = client_hello_send(w->channel, &hello);
  if (status == FUSION_OK) status = server_hello_recv(w->channel, &answer);
  if (status == FUSION_E_VERSION) version_refuse(w->channel);
  if (version_1_refused(w->channel, why)) return why->status;
  if (status != FUSION_OK) return channel_failure(w->channel, status, why);
  if (strcmp(answer.engine, hello.engine) != 0)
    return error_set(why, FUSION_E_PEER, "the server answered with another protocol engine");
  if (job->ready.has_program && memcmp(answer.manifest_hash, job->ready.manifest_hash, SESSION_HASH_LEN) != 0)
    return error_set(why, FUSION_E_PEER, "the server offers another model than at the start of the job");
  status = worker_check_offer(w, &answer, why);
  if (status != FUSION_OK) {
    channel_refuse(w->channel, false, "the client does not go on with these terms of receipts");
    return status;
  }
  if (!job->queue.shards) job->round_trip_seconds = clock_seconds() - begun;
  if (!job->ready.has_program)
    status = greet_first(w, &answer, why);
  else if (!job->queue.shards)
    status = prepare_cut(&job->ready, &job->terms, job->round_trip_seconds, why); /* a resumed job knew its program */
  if (status != FUSION_OK) return status;
  pthread_mutex_lock(&job->lock);
  job->predicted_bytes = job->ready.predicted_bytes;
  pthread_mutex_unlock(&job->lock);
  status = start_work(w, why);
  if (status == FUSION_OK && !job->queue.shards) predict(job, answer.has_speeds ? &answer.speeds : NULL);
  return status;
}

fusion_status worker_connect(struct worker *w, fusion_error *why) {
  struct client_job *job = w->job;
  const double start = clock_seconds();
  struct channel *channel;
  struct net_peer peer;
  const struct net_limits limits = {.connect_timeout_ms = (int)job->terms.settings->connect_timeout_ms,
                                    .timeout_ms = (int)job->terms.settings->timeout_ms};
  const struct job_handles *handles = job->terms.handles;
  fusion_status status = channel_dial(&channel, &handles->address, handles->tls, &limits, &peer, why);
  if (status != FUSION_OK) return status;
  pthread_mutex_lock(&job->lock);
  w->channel = channel;
  w->peer = peer;
  w->samples = w->shards = 0;
  const bool ended = job->ended;
  if (!job->connections++) job->peer = peer;
  pthread_mutex_unlock(&job->lock);
  status = ended ? error_set(why, FUSION_E_CLOSED, "the job has ended") : greet(w, why);
  if (status != FUSION_OK) worker_disconnect(w);
  pthread_mutex_lock(&job->lock);
  job->greeting_seconds += clock_seconds() - start;
  pthread_mutex_unlock(&job->lock);
  return status;
}

static void add_stages(struct engine_stats *sum, const struct engine_stats *part) {
  for (int i = 0; i < STAGE_COUNT; i++) {
    sum->seconds[i] += part->seconds[i];
    sum->bytes_sent[i] += part->bytes_sent[i];
    sum->bytes_received[i] += part->bytes_received[i];
    sum->depth[i] += part->depth[i];
  }
}

void worker_disconnect(struct worker *w) {
  struct client_job *job = w->job;
  struct engine_stats stages = {0};
  if (!w->channel) return;
  if (w->session) {
    stages = engine_stats(w->session);
    engine_close(w->session);
  }
  w->session = NULL;
  w->keeping = NULL;
  if (w->keep) keep_ended(w->keep, w->finished);
  w->finished = false;
  const struct channel_stats stats = channel_get_stats(w->channel);
  pthread_mutex_lock(&job->lock);
  struct channel *channel = w->channel;
  w->channel = NULL;
  job->bytes_sent += stats.bytes_sent;
  job->bytes_received += stats.bytes_received;
  if (stats.depth > job->depth) job->depth = stats.depth;
  add_stages(&job->stages, &stages);
  pthread_mutex_unlock(&job->lock);
  channel_close(channel);
}

/* Lost connections are nobody's cheating: the shard runs again. What the peer did against the protocol ends the job. */
static bool is_loss(fusion_status status) {
  return status == FUSION_E_CLOSED || status == FUSION_E_TIMEOUT || status == FUSION_E_NETWORK;
}

/* Of the peer, in a greeting: trying again would not help. */
static bool is_fault(fusion_status status) {
  return status == FUSION_E_PEER || status == FUSION_E_VERSION || status == FUSION_E_TLS;
}

static bool is_refusal(fusion_status status) {
  return status == FUSION_E_REFUSED || status == FUSION_E_BUSY;
}

/* Of what was prepared; the file is spent before the first byte. */
static fusion_status run_prepared(struct worker *w, const struct shard *s, const int64_t *rows, int64_t *answers,
                                  fusion_error *why) {
  struct client_job *job = w->job;
  struct ahead_state state;
  const struct engine_opening opening = {.engine = job->terms.handles->engine,
                                         .program = &job->ready.program,
                                         .channel = w->channel,
                                         .expected_samples = job->ready.todo,
                                         .phase = ENGINE_ONLINE};
  fusion_status status = ahead_take(job->terms.handles->ahead, &state, s->first, s->count, why);
  if (status != FUSION_OK) return status;
  if (!w->session) status = engine_open(&w->session, &opening);
  if (status == FUSION_OK) status = shard_send(w->channel, (uint32_t)s->count);
  if (status == FUSION_OK) status = prepared_send(w->channel, state.number);
  if (status == FUSION_OK) status = engine_run_prepared_client(w->session, rows, answers, s->count, state.stream);
  return status == FUSION_OK ? status : channel_failure(w->channel, status, why);
}

/* The shard's samples; *rows is the caller's (mem_free_secret). */
static fusion_status take_rows(int64_t **rows, const struct prepared_job *p, const struct shard *s, fusion_error *why) {
  size_t len = 0;
  *rows = NULL;
  if (!size_mul(s->count, p->input_size, &len)) return error_set(why, FUSION_E_MEMORY, "a shard is too large");
  uint8_t *packed = mem_alloc(len, p->input_len);
  if (packed) *rows = mem_alloc(len, sizeof **rows);
  if (*rows) {
    prepare_rows(p, packed, s->first, s->count);
    packed_read(*rows, packed, len, p->input_len);
  }
  if (packed) mem_free_secret(packed, len * p->input_len);
  return *rows ? FUSION_OK : error_set(why, FUSION_E_MEMORY, "out of memory for a shard");
}

static fusion_status open_session(struct worker *w) {
  const struct client_job *job = w->job;
  const struct engine_opening opening = {.engine = job->terms.handles->engine,
                                         .program = &job->ready.program,
                                         .channel = w->channel,
                                         .expected_samples = div_up(job->ready.todo, job->ready.worker_count),
                                         .phase = ENGINE_AT_ONCE,
                                         .keeping = w->keeping};
  const fusion_status status = engine_open(&w->session, &opening);
  if (w->keeping) keep_opened(w->keep);
  w->keeping = NULL;
  return status;
}

static fusion_status run_shard(struct worker *w, const struct shard *s, fusion_error *why) {
  struct client_job *job = w->job;
  int64_t *rows;
  fusion_status status = take_rows(&rows, &job->ready, s, why);
  if (status != FUSION_OK) return status;
  const size_t len = s->count * job->ready.input_size;
  if (job->terms.handles->ahead) {
    status = run_prepared(w, s, rows, job->ready.answers + s->first * job->ready.answer_size, why);
    mem_free_secret(rows, len * sizeof *rows);
    return status;
  }
  if (!w->session) status = open_session(w);
  if (status == FUSION_OK) status = shard_send(w->channel, (uint32_t)s->count);
  if (status == FUSION_OK)
    status = engine_run_client(w->session, rows, job->ready.answers + s->first * job->ready.answer_size, s->count);
  mem_free_secret(rows, len * sizeof *rows);
  return status == FUSION_OK ? status : channel_failure(w->channel, status, why);
}

/* Takes the next shard, waiting while none waits but lost ones may come back. The idle connection is closed first: an
 * idle worker is no load on the server. */
static bool next_shard(struct worker *w, struct shard *out) {
  struct client_job *job = w->job;
  bool taken = false;
  pthread_mutex_lock(&job->lock);
  while (!job->ended && !(taken = shard_queue_take(&job->queue, out)) && !shard_queue_all_done(&job->queue)) {
    if (w->channel) {
      pthread_mutex_unlock(&job->lock);
      worker_finish(w);
      pthread_mutex_lock(&job->lock);
      continue;
    }
    pthread_cond_wait(&job->changed, &job->lock);
  }
  pthread_mutex_unlock(&job->lock);
  return taken;
}

/* Puts a shard back; `ran`: it was tried. Fails the job when it was tried too often or the failure is no mere loss. */
static void give_back(struct client_job *job, struct shard *s, bool ran, const fusion_error *why) {
  char text[sizeof why->text];
  struct journal *journal = job->terms.handles->journal;
  const bool wrong = why->status == FUSION_E_PEER || why->status == FUSION_E_CRYPTO;
  if (ran && wrong && journal) journal_spoil(journal, why->status);
  if (ran && is_loss(why->status) && job->terms.handles->ahead) {
    snprintf(text, sizeof text, "%.380s; a prepared run cannot run again: prepare another job", why->text);
    job_fail(job, why->status, text);
  }
  if (ran && !is_loss(why->status)) job_fail(job, why->status, why->text);
  s->tries += ran;
  if (s->tries >= job->terms.settings->tries) {
    snprintf(text, sizeof text, "%u of %u tries of a shard failed; the last: %.380s", s->tries,
             job->terms.settings->tries, why->text);
    job_fail(job, why->status, text);
  }
  pthread_mutex_lock(&job->lock);
  job->last_loss = *why;
  shard_queue_return(&job->queue, s);
  pthread_cond_broadcast(&job->changed);
  pthread_mutex_unlock(&job->lock);
}

/* A shard has run once its answers are kept; without a journal they are. */
static fusion_status keep(struct client_job *job, const struct shard *s, fusion_error *why) {
  struct journal *journal = job->terms.handles->journal;
  if (!journal) return FUSION_OK;
  const int64_t *answers = job->ready.answers + s->first * job->ready.answer_size;
  const fusion_status status = journal_keep(journal, s->first, (uint32_t)s->count, answers, why);
  if (status != FUSION_OK) job_fail(job, status, why->text);
  return status;
}

static void finish(struct client_job *job, const struct shard *s) {
  pthread_mutex_lock(&job->lock);
  shard_queue_finish(&job->queue);
  job->samples_done += s->count;
  pthread_cond_broadcast(&job->changed);
  pthread_mutex_unlock(&job->lock);
}

/* Sleeps, but not beyond the job's end. */
static void pause_unless_ended(struct client_job *job, int ms) {
  const double until = clock_seconds() + ms * 1e-3;
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  at.tv_sec += ms / 1000;
  at.tv_nsec += (long)(ms % 1000) * 1000000;
  if (at.tv_nsec >= 1000000000) at.tv_sec++, at.tv_nsec -= 1000000000;
  pthread_mutex_lock(&job->lock);
  while (!job->ended && clock_seconds() < until) pthread_cond_timedwait(&job->changed, &job->lock, &at);
  pthread_mutex_unlock(&job->lock);
}

/* The worker stops; the last one takes the job with it if shards are left. */
static void give_up(struct client_job *job, const fusion_error *why) {
  pthread_mutex_lock(&job->lock);
  const bool last = --job->working == 0 && !shard_queue_all_done(&job->queue);
  pthread_cond_broadcast(&job->changed);
  pthread_mutex_unlock(&job->lock);
  if (last) job_fail(job, why->status, why->text);
}

void *worker_greet_main(void *arg) {
  struct worker *w = arg;
  struct client_job *job = w->job;
  fusion_error why = {.status = FUSION_OK};
  fusion_status status = worker_connect(w, &why);
  /* A time-out has taken all the patience that the user grants. */
  for (int failures = 1; is_loss(status) && status != FUSION_E_TIMEOUT && failures < CONNECT_TRIES; failures++) {
    pause_unless_ended(job, CONNECT_PAUSE_MS << (failures - 1));
    status = worker_connect(w, &why);
  }
  if (status != FUSION_OK) job_fail(job, why.status, why.text);
  pthread_mutex_lock(&job->lock);
  job->working--;
  pthread_cond_broadcast(&job->changed);
  pthread_mutex_unlock(&job->lock);
  return NULL;
}

void *worker_main(void *arg) {
  struct worker *w = arg;
  struct client_job *job = w->job;
  struct shard shard;
  int failures = 0;
  fusion_error why = {.status = FUSION_OK};
  const bool elsewhere = job->terms.settings->run_task != NULL;
  while (failures < CONNECT_TRIES && next_shard(w, &shard)) {
    if (!elsewhere && !w->channel && worker_connect(w, &why) != FUSION_OK) {
      give_back(job, &shard, false, &why);
      if (is_fault(why.status)) job_fail(job, why.status, why.text);
      failures = is_refusal(why.status) ? CONNECT_TRIES : failures + 1;
      if (failures < CONNECT_TRIES) pause_unless_ended(job, CONNECT_PAUSE_MS << (failures - 1));
      continue;
    }
    failures = 0;
    const fusion_status status = elsewhere ? task_send(job, &shard, &why) : run_shard(w, &shard, &why);
    if (elsewhere && is_refusal(status)) {
      give_back(job, &shard, false, &why);
      break;
    }
    if (status == FUSION_OK && keep(job, &shard, &why) == FUSION_OK) {
      w->samples += shard.count;
      w->shards++;
      finish(job, &shard);
      continue;
    }
    worker_disconnect(w);
    give_back(job, &shard, true, &why);
  }
  worker_finish(w);
  give_up(job, &why);
  return NULL;
}
