/* The day's allowance: how many samples were begun in the running 24 hours, kept in a file so that it outlives the
 * server. Three lines of text:
 *
 *      fusion-serve 1
 *      began 1764035100       seconds since 1970: when the 24 hours began
 *      samples 123456
 *
 *  It is written, synced and put in place before the samples run. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "data/data.h"
#include "session/serve_internal.h"

enum { SECONDS_A_DAY = 24 * 3600, STATE_MAX = 128 };

uint64_t day_left(struct server *s) {
  const double now = clock_seconds();
  if (now - s->day_began >= SECONDS_A_DAY) {
    s->day_began = now - fmod(now - s->day_began, SECONDS_A_DAY);
    s->day_samples = 0;
  }
  const uint64_t limit = s->settings.max_samples_day;
  return s->day_samples < limit ? limit - s->day_samples : 0;
}

fusion_status day_load(struct server *s, const char *path, fusion_error *err) {
  char text[STATE_MAX + 1] = "";
  struct input_file f;
  struct stat info;
  int64_t began = 0;
  int end = 0;
  s->day_began = clock_seconds();
  if (!path) return FUSION_OK;
  s->state = mem_alloc(strlen(path) + 1, 1);
  if (!s->state) return error_set(err, FUSION_E_MEMORY, "out of memory for a server");
  strcpy(s->state, path);
  if (stat(path, &info)) return FUSION_OK; /* made when the first samples run */
  fusion_status status = input_open(&f, path, err);
  if (status != FUSION_OK) return status;
  if (f.len <= STATE_MAX) status = input_read(&f, 0, text, (size_t)f.len, err);
  input_close(&f);
  if (status != FUSION_OK) return status;
  const int got =
      sscanf(text, "fusion-serve 1 began %18" SCNd64 " samples %18" SCNu64 " %n", &began, &s->day_samples, &end);
  if (got != 2 || !end || text[end])
    return error_set(err, FUSION_E_INPUT, "'%s': not a state file of fusion serve; remove it to begin a new day", path);
  /* A clock that was set back does not shorten the day's memory. */
  const double age = (double)((int64_t)time(NULL) - began);
  s->day_began -= age > 0 ? age : 0;
  (void)day_left(s);
  return FUSION_OK;
}

fusion_status day_save(struct server *s, fusion_error *err) {
  char text[STATE_MAX];
  if (!s->state) return FUSION_OK;
  pthread_mutex_lock(&s->state_lock);
  pthread_mutex_lock(&s->lock);
  const int64_t began = (int64_t)time(NULL) - (int64_t)(clock_seconds() - s->day_began);
  const int len =
      snprintf(text, sizeof text, "fusion-serve 1\nbegan %" PRId64 "\nsamples %" PRIu64 "\n", began, s->day_samples);
  pthread_mutex_unlock(&s->lock);
  const struct file_part part = {text, (size_t)len};
  const fusion_status status = file_write_atomic(s->state, &part, 1, err);
  pthread_mutex_unlock(&s->state_lock);
  return status;
}
