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

void metrics_take(struct metrics *m, const struct event *e) {
  pthread_mutex_lock(&m->lock);
  switch (e->kind) {
    case EVENT_REFUSED: count_refusal(m, event_status_word(e->status)); break;
    case EVENT_JOB_BEGUN: m->begun++; break;
    case EVENT_SHARD: m->samples += e->samples; break;
    case EVENT_JOB_ENDED:
      *(e->status == FUSION_OK ? &m->done : &m->failed) += 1;
      m->bytes_received += e->bytes_received;
      m->bytes_sent += e->bytes_sent;
      m->seconds += e->seconds;
      for (int i = 0; i < METRICS_BUCKETS; i++) m->seconds_within[i] += e->seconds <= bounds[i];
      break;
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

static void write_seconds(const struct metrics *m, struct writer *out) {
  head(out, "fusion_job_duration_seconds", "histogram", "Time from a job's first START to its end.");
  for (int i = 0; i < METRICS_BUCKETS; i++)
    say(out, "fusion_job_duration_seconds_bucket{le=\"%g\"} %llu\n", bounds[i],
        (unsigned long long)m->seconds_within[i]);
  say(out, "fusion_job_duration_seconds_bucket{le=\"+Inf\"} %llu\n", (unsigned long long)(m->done + m->failed));
  say(out, "fusion_job_duration_seconds_sum %.17g\n", m->seconds);
  say(out, "fusion_job_duration_seconds_count %llu\n", (unsigned long long)(m->done + m->failed));
}

void metrics_write(struct metrics *m, const struct metrics_now *now, struct writer *out) {
  pthread_mutex_lock(&m->lock);
  head(out, "fusion_build_info", "gauge", "The release that runs.");
  say(out, "fusion_build_info{version=\"%s\"} 1\n", fusion_version());
  gauge(out, "fusion_start_time_seconds", "When the server started, in seconds since 1970.", m->started);
  gauge(out, "fusion_ready", "1 when a new job would be taken now.", now->ready);
  gauge(out, "fusion_connections", "Connections now, those without a place included.", (double)now->connections);
  gauge(out, "fusion_jobs_running", "Jobs that have begun and not ended.",
        (double)(m->begun > m->done + m->failed ? m->begun - m->done - m->failed : 0));
  counter(out, "fusion_jobs_begun_total", "Jobs that were granted their place.", m->begun);
  head(out, "fusion_jobs_ended_total", "counter", "Jobs that ended, by outcome as the server knows it.");
  say(out, "fusion_jobs_ended_total{outcome=\"done\"} %llu\n", (unsigned long long)m->done);
  say(out, "fusion_jobs_ended_total{outcome=\"failed\"} %llu\n", (unsigned long long)m->failed);
  counter(out, "fusion_samples_total", "Samples that have run, copies and public ones included.", m->samples);
  counter(out, "fusion_received_bytes_total", "Bytes received in jobs that have ended.", m->bytes_received);
  counter(out, "fusion_sent_bytes_total", "Bytes sent in jobs that have ended.", m->bytes_sent);
  head(out, "fusion_connections_refused_total", "counter", "Connections that ended before their job began, by reason.");
  for (int i = 0; i < METRICS_REASONS && m->refused[i].word; i++)
    say(out, "fusion_connections_refused_total{reason=\"%s\"} %llu\n", m->refused[i].word,
        (unsigned long long)m->refused[i].count);
  head(out, "fusion_reloads_total", "counter", "Times that certificates and clients were read again, by result.");
  say(out, "fusion_reloads_total{result=\"done\"} %llu\n", (unsigned long long)m->reloads);
  say(out, "fusion_reloads_total{result=\"failed\"} %llu\n", (unsigned long long)m->reloads_failed);
  counter(out, "fusion_ledger_errors_total", "Rows and renewals that the ledger did not take.", m->ledger_errors);
  write_seconds(m, out);
  pthread_mutex_unlock(&m->lock);
}
