/* The day's allowance: how many samples were begun in the running 24 hours, and how many more the running jobs have
 * claimed. The first number is kept in a file so that it outlives the server; claims need not be. Three lines of text:
 *
 *      fusion-serve 1
 *      began 1764035100       seconds since 1970: when the 24 hours began
 *      samples 123456
 *
 *  It is written, synced and put in place before the samples run. Clients with a limit of their own are counted in
 *  memory; a ledger, which takes the place of all this (struct server_hooks), counts them for good. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "data/data.h"
#include "session/serve_internal.h"

enum { SECONDS_A_DAY = 24 * 3600, STATE_MAX = 128 };

/* A day that is over is a new one. */
static void day_turn(struct server *s) {
  const double now = clock_seconds();
  if (now - s->day_began < SECONDS_A_DAY) return;
  s->day_began = now - fmod(now - s->day_began, SECONDS_A_DAY);
  s->day_samples = 0;
  for (struct account *a = s->accounts; a; a = a->next) a->day_samples = 0;
}

static fusion_status check_limit(const char *whose, uint64_t limit, uint64_t used, uint64_t samples,
                                 fusion_error *why) {
  const uint64_t left = used < limit ? limit - used : 0;
  if (samples <= left) return FUSION_OK;
  return error_set(why, samples > limit ? FUSION_E_LIMIT : FUSION_E_BUSY,
                   "%s has %llu samples left; the job needs %llu", whose, (unsigned long long)left,
                   (unsigned long long)samples);
}

fusion_status day_check(struct server *s, const struct account *a, const struct client_limits *limits, uint64_t samples,
                        fusion_error *why) {
  day_turn(s);
  const fusion_status status =
      check_limit("today's allowance", s->settings.max_samples_day, s->day_samples + s->day_claimed, samples, why);
  if (status != FUSION_OK || !limits->samples_day) return status;
  return check_limit("this client's allowance of today", limits->samples_day, a ? a->day_samples + a->day_claimed : 0,
                     samples, why);
}

static struct allowance allowance_of(const struct server *s, const struct job *j) {
  return (struct allowance){.job_id = j->id_text,
                            .client = j->account->name,
                            .engine = j->engine->name,
                            .model = j->model->id,
                            .declared = j->declared,
                            .ran = j->finished,
                            .client_day = j->limits.samples_day,
                            .all_day = s->settings.max_samples_day};
}

static fusion_status claim_here(struct server *s, struct job *j, fusion_error *why) {
  pthread_mutex_lock(&s->lock);
  const fusion_status status = day_check(s, j->account, &j->limits, j->declared, why);
  if (status == FUSION_OK) {
    j->claimed = j->declared;
    s->day_claimed += j->claimed;
    if (j->limits.samples_day) j->account->day_claimed += j->claimed;
  }
  pthread_mutex_unlock(&s->lock);
  return status;
}

fusion_status day_claim(struct server *s, struct job *j, fusion_error *why) {
  const struct server_hooks *hooks = s->handles.hooks;
  fusion_status status = FUSION_OK;
  pthread_mutex_lock(&s->claim_lock);
  if (!j->has_claim) {
    const struct allowance a = allowance_of(s, j);
    status = hooks && hooks->reserve ? hooks->reserve(hooks->context, &a, why) : claim_here(s, j, why);
    j->has_claim = status == FUSION_OK;
  }
  pthread_mutex_unlock(&s->claim_lock);
  return status;
}

/* Called with the lock held. */
static void unclaim(struct server *s, struct job *j, uint64_t samples) {
  j->claimed -= samples;
  s->day_claimed -= samples;
  if (j->limits.samples_day) j->account->day_claimed -= samples;
}

static fusion_status book_here(struct server *s, struct job *j, uint64_t samples, fusion_error *why) {
  fusion_status status = FUSION_OK;
  pthread_mutex_lock(&s->lock);
  const uint64_t claimed = samples < j->claimed ? samples : j->claimed;
  /* Samples that run again, after a loss, were not claimed. */
  if (claimed < samples) status = day_check(s, j->account, &j->limits, samples - claimed, why);
  if (status != FUSION_OK) error_set(why, FUSION_E_BUSY, "today's allowance is used up; try again later");
  if (status == FUSION_OK) {
    unclaim(s, j, claimed);
    s->day_samples += samples;
    if (j->limits.samples_day) j->account->day_samples += samples;
  }
  pthread_mutex_unlock(&s->lock);
  return status == FUSION_OK ? status : FUSION_E_BUSY;
}

static fusion_status save(struct server *s, fusion_error *err) {
  char text[STATE_MAX];
  if (!s->state) return FUSION_OK;
  pthread_mutex_lock(&s->lock);
  const int64_t began = (int64_t)time(NULL) - (int64_t)(clock_seconds() - s->day_began);
  const int len =
      snprintf(text, sizeof text, "fusion-serve 1\nbegan %" PRId64 "\nsamples %" PRIu64 "\n", began, s->day_samples);
  pthread_mutex_unlock(&s->lock);
  const struct file_part part = {text, (size_t)len};
  return file_write_atomic(s->state, &part, 1, err);
}

fusion_status day_book(struct server *s, struct job *j, uint64_t samples, fusion_error *why) {
  const struct server_hooks *hooks = s->handles.hooks;
  if (hooks && hooks->book) {
    const struct allowance a = allowance_of(s, j);
    return hooks->book(hooks->context, &a, samples, why);
  }
  fusion_status status = book_here(s, j, samples, why);
  if (status != FUSION_OK) return status;
  pthread_mutex_lock(&s->claim_lock);
  status = save(s, why);
  pthread_mutex_unlock(&s->claim_lock);
  return status;
}

void day_release(struct server *s, struct job *j, const struct event *ended) {
  const struct server_hooks *hooks = s->handles.hooks;
  if (!j->has_claim) return;
  if (hooks && hooks->release) {
    const struct allowance a = allowance_of(s, j);
    hooks->release(hooks->context, &a, ended);
  }
  pthread_mutex_lock(&s->lock);
  unclaim(s, j, j->claimed);
  pthread_mutex_unlock(&s->lock);
}

/* Two servers that count in one file would each lose what the other counts. */
static fusion_status lock_state(struct server *s, fusion_error *err) {
  char path[4096];
  if (snprintf(path, sizeof path, "%s.lock", s->state) >= (int)sizeof path)
    return error_set(err, FUSION_E_IO, "'%.200s': the name is too long", s->state);
  s->state_file_lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (s->state_file_lock < 0)
    return error_set(err, FUSION_E_IO, "'%s': cannot be written: %s", s->state, strerror(errno));
  if (flock(s->state_file_lock, LOCK_EX | LOCK_NB))
    return error_set(err, FUSION_E_IO, "'%s': another server counts in this file; servers share a --ledger", s->state);
  return FUSION_OK;
}

static fusion_status read_state(struct server *s, fusion_error *err) {
  char text[STATE_MAX + 1] = "";
  struct input_file f;
  int64_t began = 0;
  int end = 0;
  fusion_status status = input_open(&f, s->state, err);
  if (status != FUSION_OK) return status;
  if (f.len <= STATE_MAX) status = input_read(&f, 0, text, (size_t)f.len, err);
  input_close(&f);
  if (status != FUSION_OK) return status;
  const int got =
      sscanf(text, "fusion-serve 1 began %18" SCNd64 " samples %18" SCNu64 " %n", &began, &s->day_samples, &end);
  if (got != 2 || !end || text[end])
    return error_set(err, FUSION_E_INPUT, "'%s': not a state file of fusion serve; remove it to begin a new day",
                     s->state);
  /* A clock that was set back does not shorten the day's memory. */
  const double age = (double)((int64_t)time(NULL) - began);
  s->day_began -= age > 0 ? age : 0;
  day_turn(s);
  return FUSION_OK;
}

fusion_status day_load(struct server *s, const char *path, fusion_error *err) {
  struct stat info;
  s->day_began = clock_seconds();
  if (!path) return FUSION_OK;
  s->state = mem_alloc(strlen(path) + 1, 1);
  if (!s->state) return error_set(err, FUSION_E_MEMORY, "out of memory for a server");
  strcpy(s->state, path);
  fusion_status status = lock_state(s, err);
  if (status == FUSION_OK && stat(path, &info) == 0) status = read_state(s, err);
  return status == FUSION_OK ? save(s, err) : status; /* what cannot be written is found now, not at the first job */
}

void day_unload(struct server *s) {
  if (s->state_file_lock >= 0) close(s->state_file_lock);
  mem_free(s->state);
}
