#include "service/metrics.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static const double bounds[METRICS_BUCKETS] = {0.1, 1, 10, 60, 600, 3600, 36000};

void metrics_open(struct metrics *m) {
  *m = (struct metrics){.started = (double)time(NULL)};
  pthread_mutex_init(&m->lock, NULL);
}

void metrics_close(struct metrics *m) {
  pthread_mutex_destroy(&m->lock);
}

static void count_refusal(struct metrics *m, const char *word) {
  size_t i = 0;
  while (i < METRICS_REASONS - 1 && m->refused[i].word && strcmp(m->refused[i].word, word) != 0) i++;
  m->refused[i].word = word;
  m->refused[i].count++;
}

/* Called with the lock held. */
static struct model_metrics *find_model(struct metrics *m, const char *name) {
  size_t i = 0;
  while (i < m->model_count && strcmp(m->models[i].name, name) != 0) i++;
  if (i < m->model_count) return &m->models[i];
  if (m->model_count == METRICS_MODELS) return &m->models[METRICS_MODELS - 1];
  struct model_metrics *fresh = &m->models[m->model_count++];
  snprintf(fresh->name, sizeof fresh->name, "%s", m->model_count == METRICS_MODELS ? "other" : name);
  return fresh;
}

static void end_job(struct metrics *m, const struct event *e) {
  struct model_metrics *model = find_model(m, e->model);
  *(e->status == FUSION_OK ? &model->done : &model->failed) += 1;
  model->bytes_received += e->bytes_received;
  model->bytes_sent += e->bytes_sent;
  m->seconds += e->seconds;
  for (int i = 0; i < METRICS_BUCKETS; i++) m->seconds_within[i] += e->seconds <= bounds[i];
}

void metrics_take(struct metrics *m, const struct event *e) {
  pthread_mutex_lock(&m->lock);
  switch (e->kind) {
    case EVENT_REFUSED: count_refusal(m, event_status_word(e->status)); break;
    case EVENT_JOB_BEGUN: find_model(m, e->model)->begun++; break;
    case EVENT_SHARD: find_model(m, e->model)->samples += e->samples; break;
    case EVENT_JOB_ENDED: end_job(m, e); break;
    case EVENT_RELOADED: *(e->status == FUSION_OK ? &m->reloads : &m->reloads_failed) += 1; break;
    default: break;
  }
  pthread_mutex_unlock(&m->lock);
}

void metrics_ledger_error(struct metrics *m) {
  pthread_mutex_lock(&m->lock);
  m->ledger_errors++;
  pthread_mutex_unlock(&m->lock);
}

static void say(struct writer *out, const char *format, ...) FUSION_PRINTF(2, 3);
static void say(struct writer *out, const char *format, ...) {
  char line[512];
  va_list args;
  va_start(args, format);
  const int len = vsnprintf(line, sizeof line, format, args);
  va_end(args);
  write_bytes(out, line, size_min((size_t)len, sizeof line - 1));
}

static void head(struct writer *out, const char *name, const char *type, const char *help) {
  say(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void counter(struct writer *out, const char *name, const char *help, uint64_t value) {
  head(out, name, "counter", help);
  say(out, "%s %llu\n", name, (unsigned long long)value);
}

static void gauge(struct writer *out, const char *name, const char *help, double value) {
  head(out, name, "gauge", help);
  say(out, "%s %.17g\n", name, value);
}

static struct model_metrics sum(const struct metrics *m) {
  struct model_metrics all = {.begun = 0};
  for (size_t i = 0; i < m->model_count; i++) {
    all.begun += m->models[i].begun;
    all.done += m->models[i].done;
    all.failed += m->models[i].failed;
  }
  return all;
}

static void write_seconds(const struct metrics *m, struct writer *out) {
  const struct model_metrics all = sum(m);
  head(out, "fusion_job_duration_seconds", "histogram", "Time from a job's first START to its end.");
  for (int i = 0; i < METRICS_BUCKETS; i++)
    say(out, "fusion_job_duration_seconds_bucket{le=\"%g\"} %llu\n", bounds[i],
        (unsigned long long)m->seconds_within[i]);
  say(out, "fusion_job_duration_seconds_bucket{le=\"+Inf\"} %llu\n", (unsigned long long)(all.done + all.failed));
  say(out, "fusion_job_duration_seconds_sum %.17g\n", m->seconds);
  say(out, "fusion_job_duration_seconds_count %llu\n", (unsigned long long)(all.done + all.failed));
}

/* One of the counts, for each model. Names have no character that a label must escape, unless the one file's has: such
 * become '_'. */
static void by_model(const struct metrics *m, struct writer *out, const char *name, const char *more, size_t offset) {
  for (size_t i = 0; i < m->model_count; i++) {
    char label[SESSION_MODEL_LEN];
    uint64_t value;
    memcpy(label, m->models[i].name, sizeof label);
    for (char *c = label; *c; c++)
      if (*c == '"' || *c == '\\' || *c < ' ' || *c > '~') *c = '_';
    memcpy(&value, (const char *)&m->models[i] + offset, sizeof value);
    say(out, "%s{model=\"%s\"%s} %llu\n", name, label, more, (unsigned long long)value);
  }
}

static void write_models(const struct metrics *m, struct writer *out) {
  static const struct {
    const char *name, *help;
    size_t offset;
  } counts[] = {
      {"fusion_jobs_begun_total", "Jobs that were granted their place.", offsetof(struct model_metrics, begun)},
      {"fusion_samples_total", "Samples that have run, copies and public ones included.",
       offsetof(struct model_metrics, samples)},
      {"fusion_received_bytes_total", "Bytes received in jobs that have ended.",
       offsetof(struct model_metrics, bytes_received)},
      {"fusion_sent_bytes_total", "Bytes sent in jobs that have ended.", offsetof(struct model_metrics, bytes_sent)},
  };
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    head(out, counts[i].name, "counter", counts[i].help);
    by_model(m, out, counts[i].name, "", counts[i].offset);
  }
  head(out, "fusion_jobs_ended_total", "counter", "Jobs that ended, by outcome as the server knows it.");
  by_model(m, out, "fusion_jobs_ended_total", ",outcome=\"done\"", offsetof(struct model_metrics, done));
  by_model(m, out, "fusion_jobs_ended_total", ",outcome=\"failed\"", offsetof(struct model_metrics, failed));
}

void metrics_write(struct metrics *m, const struct metrics_now *now, struct writer *out) {
  pthread_mutex_lock(&m->lock);
  const struct model_metrics all = sum(m);
  head(out, "fusion_build_info", "gauge", "The release that runs.");
  say(out, "fusion_build_info{version=\"%s\"} 1\n", fusion_version());
  gauge(out, "fusion_start_time_seconds", "When the server started, in seconds since 1970.", m->started);
  gauge(out, "fusion_ready", "1 when a new job would be taken now.", now->ready);
  gauge(out, "fusion_connections", "Connections now, those without a place included.", (double)now->connections);
  gauge(out, "fusion_jobs_running", "Jobs that have begun and not ended.",
        (double)(all.begun > all.done + all.failed ? all.begun - all.done - all.failed : 0));
  write_models(m, out);
  head(out, "fusion_connections_refused_total", "counter", "Connections that ended before their job began, by reason.");
  for (int i = 0; i < METRICS_REASONS && m->refused[i].word; i++)
    say(out, "fusion_connections_refused_total{reason=\"%s\"} %llu\n", m->refused[i].word,
        (unsigned long long)m->refused[i].count);
  head(out, "fusion_reloads_total", "counter",
       "Times that certificates, clients and models were read again, by result.");
  say(out, "fusion_reloads_total{result=\"done\"} %llu\n", (unsigned long long)m->reloads);
  say(out, "fusion_reloads_total{result=\"failed\"} %llu\n", (unsigned long long)m->reloads_failed);
  counter(out, "fusion_ledger_errors_total", "Times that the ledger failed or could not be reached.", m->ledger_errors);
  write_seconds(m, out);
  pthread_mutex_unlock(&m->lock);
}
