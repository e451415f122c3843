/* The server's books: jobs, their limits, and what is told of each of them. */
#include <stdio.h>

#include "session/serve_internal.h"
#include "session/shards.h"

static struct job *find_job(struct server *s, const uint8_t id[SESSION_JOB_LEN]) {
  for (struct job *j = s->jobs; j; j = j->next)
    if (memcmp(j->id, id, SESSION_JOB_LEN) == 0) return j;
  return NULL;
}

struct asker {
  const struct server *server;
  const char *client;
};

static bool may_use(void *context, const char *name) {
  const struct asker *a = context;
  const struct server_hooks *hooks = a->server->handles.hooks;
  struct client_limits ignored;
  fusion_error why;
  return !hooks || !hooks->limits || hooks->limits(hooks->context, a->client, name, &ignored, &why) == FUSION_OK;
}

/* A job goes on with the model that it began with, whatever its name stands for now. */
static const struct served_model *model_of_job(struct server *s, const struct connection *c,
                                               const struct client_hello *hello) {
  pthread_mutex_lock(&s->lock);
  const struct job *j = find_job(s, hello->job);
  const bool same = j && strcmp(j->account->name, c->client) == 0 && strcmp(j->asked, hello->model) == 0;
  const struct served_model *m = same ? model_hold(s->models, j->model) : NULL;
  pthread_mutex_unlock(&s->lock);
  return m;
}

fusion_status job_model(struct server *s, struct connection *c, const struct client_hello *hello, fusion_error *why) {
  const struct server_hooks *hooks = s->handles.hooks;
  struct asker asker = {s, c->client};
  struct client_limits ignored;
  if (hooks && hooks->limits) {
    const fusion_status status = hooks->limits(hooks->context, c->client, NULL, &ignored, why);
    if (status != FUSION_OK) return status;
  }
  c->model = model_of_job(s, c, hello);
  if (!c->model)
    c->model =
        model_find(s->models, hello->model, hello->has_manifest ? hello->manifest_hash : NULL, may_use, &asker, why);
  return c->model ? FUSION_OK : why->status;
}

fusion_status job_check(struct server *s, struct connection *c, const struct client_hello *hello, fusion_error *why) {
  fusion_status status = FUSION_OK;
  if (hello->samples > s->settings.max_samples_job)
    return error_set(why, FUSION_E_LIMIT, "a job of %llu samples is too large; at most %llu are allowed",
                     (unsigned long long)hello->samples, (unsigned long long)s->settings.max_samples_job);
  const struct server_hooks *hooks = s->handles.hooks;
  if (hooks && hooks->limits) TRY(hooks->limits(hooks->context, c->client, c->model->name, &c->limits, why));
  TRY(place_check(s, c, why));
  if (hooks && hooks->reserve) return FUSION_OK;
  pthread_mutex_lock(&s->lock);
  struct account *a = s->accounts;
  while (a && strcmp(a->name, c->client) != 0) a = a->next;
  if (!find_job(s, hello->job)) status = day_check(s, a, &c->limits, hello->samples, why);
  pthread_mutex_unlock(&s->lock);
cleanup:
  return status;
}

/* Called with the lock held. */
static fusion_status make_job(struct server *s, struct connection *c, const struct client_hello *hello,
                              fusion_error *why) {
  const uint32_t most = c->limits.jobs;
  if (most && c->account->jobs >= most)
    return error_set(why, FUSION_E_BUSY, "this client has %u jobs running, as many as it may have; try again later",
                     most);
  struct job *j = mem_alloc(1, sizeof *j);
  if (!j) return error_set(why, FUSION_E_MEMORY, "out of memory");
  memcpy(j->id, hello->job, sizeof j->id);
  event_job_id(j->id_text, hello->job, sizeof hello->job);
  memcpy(j->address, c->peer.address, sizeof j->address);
  j->account = c->account;
  j->account->jobs++;
  j->limits = c->limits;
  j->engine = c->engine;
  j->model = model_hold(s->models, c->model);
  memcpy(j->asked, hello->model, sizeof j->asked);
  j->declared = hello->samples;
  j->started = clock_seconds();
  j->next = s->jobs;
  s->jobs = j;
  c->job = j;
  return FUSION_OK;
}

static fusion_status join_job(struct server *s, struct connection *c, const struct client_hello *hello,
                              fusion_error *why) {
  struct job *j = find_job(s, hello->job);
  if (!j) return make_job(s, c, hello, why);
  if (j->declared != hello->samples || j->account != c->account || j->model != c->model)
    return error_set(why, FUSION_E_PEER,
                     "connections of one job must agree on its size and model and come from one client");
  c->job = j;
  return FUSION_OK;
}

fusion_status job_start(struct server *s, struct connection *c, const struct client_hello *hello, fusion_error *why) {
  pthread_mutex_lock(&s->lock);
  fusion_status status = place_take(s, c, why);
  if (status == FUSION_OK) status = join_job(s, c, hello, why);
  if (c->job) c->job->open++;
  pthread_mutex_unlock(&s->lock);
  return status == FUSION_OK ? day_claim(s, c->job, why) : status;
}

static struct event event_of_job(const struct job *j, enum event_kind kind) {
  struct event e = event_of(kind);
  e.client = j->account->name;
  e.address = j->address;
  e.engine = j->engine->name;
  e.model = j->model->name;
  e.job = j->number;
  memcpy(e.job_id, j->id_text, sizeof e.job_id);
  e.declared = j->declared;
  e.samples = j->finished;
  e.connections = j->connections;
  e.status = j->failure.status;
  e.reason = j->failure.status == FUSION_OK ? "" : j->failure.text;
  e.seconds = clock_seconds() - j->started;
  e.left = j->left;
  e.bytes_received = j->bytes_received;
  e.bytes_sent = j->bytes_sent;
  return e;
}

void job_granted(struct server *s, struct connection *c) {
  pthread_mutex_lock(&s->lock);
  c->granted = true;
  const bool first = c->job->connections++ == 0;
  if (first) c->job->number = ++s->job_counter;
  const struct event e = event_of_job(c->job, EVENT_JOB_BEGUN);
  pthread_mutex_unlock(&s->lock);
  if (first) server_tell(s, &e);
}

/* A connection that its client had given up may start after the job is done, when the others ran its part: it is the
 * rest of that job, not one of its own that failed. Called with the lock held. */
static bool came_late(const struct server *s, const struct job *j) {
  const uint64_t known = s->done_counter < DONE_IDS ? s->done_counter : DONE_IDS;
  for (uint64_t i = 0; i < known; i++)
    if (memcmp(s->done_ids[i], j->id, SESSION_JOB_LEN) == 0) return true;
  return false;
}

/* Takes an ended job out of the list; whether it is to be told. Called with the lock held. */
static bool unlink_job(struct server *s, struct job *j) {
  struct job **at = &s->jobs;
  while (*at != j) at = &(*at)->next;
  *at = j->next;
  const bool failed = j->failure.status != FUSION_OK;
  /* Nothing ran: no place was granted, or the client needed this server no more. Whatever runs samples is told. */
  if (!j->connections || (!j->begun && (!failed || came_late(s, j)))) return false;
  if (!failed) memcpy(s->done_ids[s->done_counter++ % DONE_IDS], j->id, SESSION_JOB_LEN);
  *(failed ? &s->totals.jobs_failed : &s->totals.jobs_done) += 1;
  return true;
}

/* Of a job that was unlinked. */
static void end_job(struct server *s, struct job *j, bool told) {
  const struct event e = event_of_job(j, EVENT_JOB_ENDED);
  day_release(s, j, told ? &e : NULL);
  if (told) server_tell(s, &e);
  pthread_mutex_lock(&s->lock);
  j->account->jobs--;
  account_drop(s, j->account);
  pthread_mutex_unlock(&s->lock);
  model_release(s->models, j->model);
  mem_free(j);
}

void job_leave(struct server *s, struct connection *c, const fusion_error *failure) {
  struct job *j = c->job;
  if (!j) return;
  const struct channel_stats stats = c->channel ? channel_get_stats(c->channel) : (struct channel_stats){0};
  pthread_mutex_lock(&s->lock);
  j->bytes_sent += stats.bytes_sent;
  j->bytes_received += stats.bytes_received;
  j->left = clock_seconds();
  if (c->granted) {
    j->ended_well = failure->status == FUSION_OK;
    if (j->failure.status == FUSION_OK) j->failure = *failure;
  }
  const bool last = --j->open == 0;
  /* A job whose samples all ran is done, even if a connection was lost on the way. */
  const bool done = last && j->finished >= j->declared && failure->status == FUSION_OK;
  if (done) j->failure.status = FUSION_OK;
  const bool over = done || (last && !j->connections);
  const bool told = over && unlink_job(s, j);
  c->job = NULL;
  pthread_mutex_unlock(&s->lock);
  if (over) end_job(s, j, told);
}

void job_expire(struct server *s, bool now) {
  const double limit = clock_seconds() - JOB_LINGER_MS * 1e-3;
  for (;;) {
    pthread_mutex_lock(&s->lock);
    struct job *j = s->jobs;
    while (j && (j->open || (!now && j->left > limit))) j = j->next;
    /* The client said that it is done here: other servers run, or ran, the rest. */
    if (j && j->ended_well) j->failure.status = FUSION_OK;
    const bool told = j && unlink_job(s, j);
    pthread_mutex_unlock(&s->lock);
    if (!j) return;
    end_job(s, j, told);
  }
}

fusion_status job_book(struct server *s, struct connection *c, uint64_t samples, fusion_error *why) {
  struct job *j = c->job;
  pthread_mutex_lock(&s->lock);
  const bool fits = samples <= j->declared * SERVER_TRIES - j->begun;
  if (fits) j->begun += samples;
  pthread_mutex_unlock(&s->lock);
  if (!fits) return error_set(why, FUSION_E_LIMIT, "the job has run more samples than it declared");
  return day_book(s, j, samples, why);
}

void job_finish(struct server *s, struct connection *c, uint64_t samples) {
  pthread_mutex_lock(&s->lock);
  c->job->finished += samples;
  s->totals.samples += samples;
  struct event e = event_of_job(c->job, EVENT_SHARD);
  pthread_mutex_unlock(&s->lock);
  e.samples = samples;
  server_tell(s, &e);
}

fusion_status job_reserve(struct server *s, struct connection *c, uint32_t *samples, fusion_error *why) {
  const struct shard_place place = {c->engine, phase_of(c), &c->model->model->program, ROLE_SERVER,
                                    (size_t)c->expected};
  const uint32_t wanted = *samples < s->settings.max_shard ? *samples : s->settings.max_shard;
  pthread_mutex_lock(&s->lock);
  /* Three quarters are for one client at most, unless it has nothing and not even a sample fits those. */
  const uint64_t all = s->max_memory - s->memory_reserved, share = s->max_memory - s->max_memory / 4;
  const uint64_t own = share > c->account->memory ? share - c->account->memory : 0;
  uint64_t room = all < own ? all : own;
  *samples = (uint32_t)shard_phase_limit(&place, wanted, room);
  if (!*samples && !c->account->memory) {
    room = all;
    *samples = (uint32_t)shard_phase_limit(&place, 1, room);
  }
  const uint64_t memory =
      *samples ? engine_phase_memory(place.engine, place.phase, place.program, place.expected, *samples, place.role)
               : 0;
  if (memory > room) *samples = 0; /* out of memory while it was counted */
  if (*samples) c->memory = memory;
  s->memory_reserved += c->memory;
  c->account->memory += c->memory;
  pthread_mutex_unlock(&s->lock);
  if (*samples) return FUSION_OK;
  return error_set(why, FUSION_E_BUSY, "the server's memory is in use; try again later");
}
