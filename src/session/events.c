#include "session/events.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static const char *const names[EVENT_KINDS] = {
    [EVENT_REFUSED] = "refused",     [EVENT_JOB_BEGUN] = "job_begun", [EVENT_SHARD] = "shard",
    [EVENT_JOB_ENDED] = "job_ended", [EVENT_DRAINING] = "draining",   [EVENT_DRAINED] = "drained",
    [EVENT_RELOADED] = "reloaded",
};

struct event event_of(enum event_kind kind) {
  return (struct event){.kind = kind, .reason = "", .client = "", .address = "", .engine = "", .model = ""};
}

void event_job_id(char out[EVENT_JOB_ID_LEN], const void *id, size_t len) {
  uint8_t hash[crypto_generichash_BYTES_MIN];
  crypto_generichash(hash, sizeof hash, id, len, NULL, 0);
  sodium_bin2hex(out, EVENT_JOB_ID_LEN, hash, EVENT_JOB_ID_LEN / 2);
}

bool event_is_logged(enum event_kind kind) {
  return kind != EVENT_SHARD;
}

const char *event_status_word(fusion_status status) {
  switch (status) {
    case FUSION_OK: return "ok";
    case FUSION_E_BUSY: return "busy";
    case FUSION_E_LIMIT: return "limit";
    case FUSION_E_REFUSED: return "refused";
    case FUSION_E_VERSION: return "version";
    case FUSION_E_PEER: return "protocol";
    case FUSION_E_TLS: return "tls";
    case FUSION_E_CLOSED: return "closed";
    case FUSION_E_TIMEOUT: return "timeout";
    case FUSION_E_NETWORK: return "network";
    case FUSION_E_MEMORY: return "memory";
    default: return "other";
  }
}

/* A line under construction; what does not fit is left out. */
struct line {
  char *out;
  size_t len;
};

static void add(struct line *l, const char *format, ...) FUSION_PRINTF(2, 3);
static void add(struct line *l, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const int n = vsnprintf(l->out + l->len, EVENT_LINE_LEN - l->len, format, args);
  va_end(args);
  if (n > 0) l->len = size_min(l->len + (size_t)n, EVENT_LINE_LEN - 1);
}

static void add_who(struct line *l, const struct event *e) {
  const size_t host_len = strlen(e->client);
  add(l, "%s", e->address[0] ? e->address : "a connection");
  /* A client without a certificate is named by its address. */
  const bool named = host_len && strncmp(e->address + (e->address[0] == '['), e->client, host_len) != 0;
  if (named) add(l, " (%s)", e->client);
}

static void add_job_end(struct line *l, const struct event *e) {
  const double mib = 1.0 / (1 << 20);
  if (e->status == FUSION_OK)
    add(l, ": done");
  else
    add(l, ": failed (%s)", e->reason);
  add(l, "; %llu of %llu samples, %u connection%s, %.1f s, %.2f MiB in, %.2f MiB out", (unsigned long long)e->samples,
      (unsigned long long)e->declared, e->connections, e->connections == 1 ? "" : "s", e->seconds,
      (double)e->bytes_received * mib, (double)e->bytes_sent * mib);
}

void event_text(char out[EVENT_LINE_LEN], const struct event *e) {
  struct line l = {.out = out};
  out[0] = '\0';
  switch (e->kind) {
    case EVENT_REFUSED:
      add(&l, "refused ");
      add_who(&l, e);
      add(&l, ": %s", e->reason);
      return;
    case EVENT_JOB_BEGUN:
    case EVENT_JOB_ENDED:
      add(&l, "job %llu from ", (unsigned long long)e->job);
      add_who(&l, e);
      if (e->kind == EVENT_JOB_ENDED)
        add_job_end(&l, e);
      else
        add(&l, ": begun; %llu samples, id %s", (unsigned long long)e->declared, e->job_id);
      return;
    case EVENT_DRAINING:
      add(&l, "draining: %u connection%s left", e->connections, e->connections == 1 ? "" : "s");
      return;
    case EVENT_DRAINED: add(&l, "drained"); return;
    case EVENT_RELOADED:
      add(&l, e->status == FUSION_OK ? "reloaded: certificates, clients and models were read again"
                                     : "not reloaded, the old certificates, clients and models stay: ");
      add(&l, "%s", e->reason);
      return;
    default: return;
  }
}

/* Bytes that are no printable ASCII become '?': a line is always one line, whatever a peer sent. */
static void add_string(struct line *l, const char *name, const char *text) {
  if (!text[0]) return;
  add(l, ",\"%s\":\"", name);
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') add(l, "\\");
    add(l, "%c", *text < ' ' || *text > '~' ? '?' : *text);
  }
  add(l, "\"");
}

static void add_number(struct line *l, const char *name, uint64_t number) {
  add(l, ",\"%s\":%llu", name, (unsigned long long)number);
}

void event_json(char out[EVENT_LINE_LEN], const struct event *e) {
  struct line l = {.out = out};
  struct timespec now;
  struct tm utc;
  char when[32] = "";
  clock_gettime(CLOCK_REALTIME, &now);
  if (gmtime_r(&now.tv_sec, &utc)) strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
  add(&l, "{\"time\":\"%s.%03ldZ\",\"event\":\"%s\"", when, now.tv_nsec / 1000000, names[e->kind]);
  if (e->job) add_number(&l, "job", e->job);
  add_string(&l, "job_id", e->job_id);
  add_string(&l, "client", e->client);
  add_string(&l, "address", e->address);
  add_string(&l, "engine", e->engine);
  add_string(&l, "model", e->model);
  if (e->kind == EVENT_REFUSED || e->kind == EVENT_JOB_ENDED || e->kind == EVENT_RELOADED) {
    add(&l, ",\"status\":\"%s\"", event_status_word(e->status));
    add_string(&l, "reason", e->reason);
  }
  if (e->job) add_number(&l, "declared", e->declared);
  if (e->kind == EVENT_DRAINING || e->kind == EVENT_JOB_ENDED) add_number(&l, "connections", e->connections);
  if (e->kind == EVENT_JOB_ENDED) {
    add_number(&l, "samples", e->samples);
    add(&l, ",\"seconds\":%.3f", e->seconds);
    add_number(&l, "bytes_received", e->bytes_received);
    add_number(&l, "bytes_sent", e->bytes_sent);
  }
  add(&l, "}");
}
