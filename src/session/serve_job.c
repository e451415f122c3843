/* The server's books: jobs, their limits, and the one line that each of them leaves in the log. */
#include <stdio.h>

#include "session/serve_internal.h"
#include "session/shards.h"

static struct job *find_job(struct server *s, const uint8_t id[SESSION_JOB_LEN]) {
  for (struct job *j = s->jobs; j; j = j->next)
    if (memcmp(j->id, id, SESSION_JOB_LEN) == 0) return j;
  return NULL;
}

static fusion_status check_job_limits(struct server *s, const struct client_hello *hello, fusion_error *why) {
  const fusion_server_settings *set = &s->settings;
  if (hello->samples > set->max_samples_job)
    return error_set(why, FUSION_E_LIMIT, "a job of %llu samples is too large; at most %llu are allowed",
                     (unsigned long long)hello->samples, (unsigned long long)set->max_samples_job);
  const uint64_t left = day_left(s);
  if (hello->samples > left)
    return error_set(why, FUSION_E_LIMIT, "today's allowance has %llu samples left; the job needs %llu",
                     (unsigned long long)left, (unsigned long long)hello->samples);
  return FUSION_OK;
}

fusion_status job_join(struct server *s, struct connection *c, const struct client_hello *hello, fusion_error *why) {
  fusion_status status = FUSION_OK;
  pthread_mutex_lock(&s->lock);
  struct job *j = find_job(s, hello->job);
  if (j && j->declared != hello->samples) {
    status = error_set(why, FUSION_E_PEER, "connections of one job must agree on its size");
    goto cleanup;
  }
  if (!j) {
    TRY(check_job_limits(s, hello, why));
    j = mem_alloc(1, sizeof *j);
    if (!j) {
      status = error_set(why, FUSION_E_MEMORY, "out of memory");
      goto cleanup;
    }
    memcpy(j->id, hello->job, sizeof j->id);
    memcpy(j->address, c->peer.address, sizeof j->address);
    j->number = ++s->job_counter;
    j->declared = hello->samples;
    j->started = clock_seconds();
    j->next = s->jobs;
    s->jobs = j;
  }
  j->connections++;
  j->open++;
  c->job = j;
cleanup:
  pthread_mutex_unlock(&s->lock);
  return status;
}

static void log_job(struct server *s, const struct job *j) {
  const double mib = 1.0 / (1 << 20);
  char end[560];
  snprintf(end, sizeof end, j->failure.status == FUSION_OK ? "done" : "failed (%s)", j->failure.text);
  server_log(s, "job %llu from %s: %s; %llu of %llu samples, %u connection%s, %.1f s, %.2f MiB in, %.2f MiB out",
             (unsigned long long)j->number, j->address, end, (unsigned long long)j->finished,
             (unsigned long long)j->declared, j->connections, j->connections == 1 ? "" : "s",
             clock_seconds() - j->started, (double)j->bytes_received * mib, (double)j->bytes_sent * mib);
}

/* A connection that its client had given up may greet after the job is done, when the others ran its part: it is the
 * rest of that job, not one of its own that failed. Whatever runs samples is logged. Called with the lock held. */
static bool came_late(const struct server *s, const struct job *j) {
  const uint64_t known = s->totals.jobs_done < DONE_IDS ? s->totals.jobs_done : DONE_IDS;
  if (j->begun) return false;
  for (uint64_t i = 0; i < known; i++)
    if (memcmp(s->done_ids[i], j->id, SESSION_JOB_LEN) == 0) return true;
  return false;
}

/* Takes an ended job out of the list; whether it is to be logged. Called with the lock held. */
static bool unlink_job(struct server *s, struct job *j) {
  struct job **at = &s->jobs;
  while (*at != j) at = &(*at)->next;
  *at = j->next;
  if (j->failure.status == FUSION_OK) {
    memcpy(s->done_ids[s->totals.jobs_done++ % DONE_IDS], j->id, SESSION_JOB_LEN);
    return true;
  }
  if (came_late(s, j)) return false;
  s->totals.jobs_failed++;
  return true;
}

void job_leave(struct server *s, struct connection *c, const fusion_error *failure) {
  struct job *j = c->job;
  if (!j) return;
  const struct channel_stats stats = c->channel ? channel_get_stats(c->channel) : (struct channel_stats){0};
  pthread_mutex_lock(&s->lock);
  j->bytes_sent += stats.bytes_sent;
  j->bytes_received += stats.bytes_received;
  if (j->failure.status == FUSION_OK) j->failure = *failure;
  j->left = clock_seconds();
  /* A job whose samples all ran is done, even if a connection was lost on the way. */
  const bool done = --j->open == 0 && j->finished >= j->declared && failure->status == FUSION_OK;
  if (done) j->failure.status = FUSION_OK;
  if (done) (void)unlink_job(s, j);
  c->job = NULL;
  pthread_mutex_unlock(&s->lock);
  if (!done) return;
  log_job(s, j);
  mem_free(j);
}

void job_expire(struct server *s, bool now) {
  const double limit = clock_seconds() - JOB_LINGER_MS * 1e-3;
  for (;;) {
    pthread_mutex_lock(&s->lock);
    struct job *j = s->jobs;
    while (j && (j->open || (!now && j->left > limit))) j = j->next;
    if (j && j->failure.status == FUSION_OK)
      error_set(&j->failure, FUSION_E_CLOSED, "the client left before the job was complete");
    const bool logged = j && unlink_job(s, j);
    pthread_mutex_unlock(&s->lock);
    if (!j) return;
    if (logged) log_job(s, j);
    mem_free(j);
  }
}

fusion_status job_book(struct server *s, struct connection *c, uint64_t samples, fusion_error *why) {
  fusion_status status = FUSION_OK;
  pthread_mutex_lock(&s->lock);
  if (samples > c->job->declared * SERVER_TRIES - c->job->begun)
    status = error_set(why, FUSION_E_LIMIT, "the job has run more samples than it declared");
  else if (samples > day_left(s))
    status = error_set(why, FUSION_E_LIMIT, "today's allowance is used up");
  if (status == FUSION_OK) {
    c->job->begun += samples;
    s->day_samples += samples;
  }
  pthread_mutex_unlock(&s->lock);
  return status == FUSION_OK ? day_save(s, why) : status;
}

void job_finish(struct server *s, struct connection *c, uint64_t samples) {
  pthread_mutex_lock(&s->lock);
  c->job->finished += samples;
  s->totals.samples += samples;
  pthread_mutex_unlock(&s->lock);
}

fusion_status job_reserve(struct server *s, struct connection *c, uint32_t *samples, fusion_error *why) {
  const struct program *program = &s->handles.model->program;
  const uint32_t wanted = *samples < s->settings.max_shard ? *samples : s->settings.max_shard;
  pthread_mutex_lock(&s->lock);
  const uint64_t room = s->max_memory - s->memory_reserved;
  *samples = (uint32_t)shard_limit(c->engine, program, ROLE_SERVER, wanted, room);
  const uint64_t memory = *samples ? engine_memory(c->engine, program, *samples, ROLE_SERVER) : 0;
  if (memory > room) *samples = 0; /* out of memory while it was counted */
  if (*samples) c->memory = memory;
  s->memory_reserved += c->memory;
  pthread_mutex_unlock(&s->lock);
  if (*samples) return FUSION_OK;
  return error_set(why, FUSION_E_BUSY, "the server's memory is in use; try again later");
}
