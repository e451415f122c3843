/* Every piece is sent at once, headed by its length and the time at which it would have arrived; the receiver holds it
 * back until then. So delays cost no threads, and the sender goes on computing as it would over a real network. */
#include "net/shaped.h"

#include <errno.h>
#include <time.h>

#include "base/cursor.h"
#include "net/channel_internal.h"

enum { STAMP_LEN = 16 };

const struct shape_settings shaped_lan = {.bytes_per_second = 382e6, .latency_ms = 0.15};
const struct shape_settings shaped_wan = {.bytes_per_second = 44e6, .latency_ms = 20};

struct shaped {
  struct transport base;
  struct transport *inner; /* owned */
  struct shape_settings settings;
  struct shape_line line; /* used unless the settings name another */
  struct channel_idle idle;
  uint64_t left; /* bytes of the current piece not read yet */
};

/* When `len` bytes that are sent now have left. */
static double line_take(struct shape_line *line, size_t len, double bytes_per_second) {
  const double now = clock_seconds();
  pthread_mutex_lock(&line->lock);
  if (line->free_at < now) line->free_at = now;
  line->free_at += (double)len / bytes_per_second;
  const double left = line->free_at;
  pthread_mutex_unlock(&line->lock);
  return left;
}

static fusion_status shaped_write(struct transport *t, const void *data, size_t len, fusion_error *err) {
  struct shaped *s = (struct shaped *)t;
  struct shape_line *line = s->settings.line ? s->settings.line : &s->line;
  const double arrival = line_take(line, len, s->settings.bytes_per_second) + s->settings.latency_ms * 1e-3;
  const uint64_t stamp[2] = {len, (uint64_t)(arrival * 1e9)};
  _Static_assert(sizeof stamp == STAMP_LEN, "both ends are on one machine: native order");
  const fusion_status status = s->inner->ops->write(s->inner, stamp, sizeof stamp, err);
  return status == FUSION_OK ? s->inner->ops->write(s->inner, data, len, err) : status;
}

static void wait_until(const struct channel_idle *idle, uint64_t ns) {
  while (idle->work && clock_seconds() * 1e9 < (double)ns && idle->work(idle->context)) continue;
  const struct timespec at = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) continue;
}

static fusion_status shaped_read(struct transport *t, void *data, size_t len, fusion_error *err) {
  struct shaped *s = (struct shaped *)t;
  uint8_t *at = data;
  while (len) {
    if (!s->left) {
      uint64_t stamp[2];
      const fusion_status status = s->inner->ops->read(s->inner, stamp, sizeof stamp, err);
      if (status != FUSION_OK) return status;
      s->left = stamp[0];
      wait_until(&s->idle, stamp[1]);
      continue;
    }
    const size_t part = s->left < len ? (size_t)s->left : len;
    const fusion_status status = s->inner->ops->read(s->inner, at, part, err);
    if (status != FUSION_OK) return status;
    at += part;
    len -= part;
    s->left -= part;
  }
  return FUSION_OK;
}

static void shaped_cancel(struct transport *t) {
  struct shaped *s = (struct shaped *)t;
  s->inner->ops->cancel(s->inner);
}

static void shaped_linger(struct transport *t, int limit_ms) {
  struct shaped *s = (struct shaped *)t;
  s->inner->ops->linger(s->inner, limit_ms);
}

static void shaped_set_timeout(struct transport *t, int timeout_ms) {
  struct shaped *s = (struct shaped *)t;
  if (s->inner->ops->set_timeout) s->inner->ops->set_timeout(s->inner, timeout_ms);
}

static void shaped_set_idle(struct transport *t, struct channel_idle idle) {
  struct shaped *s = (struct shaped *)t;
  s->idle = idle;
  if (s->inner->ops->set_idle) s->inner->ops->set_idle(s->inner, idle);
}

static void shaped_close(struct transport *t) {
  struct shaped *s = (struct shaped *)t;
  s->inner->ops->close(s->inner);
  pthread_mutex_destroy(&s->line.lock);
  mem_free(s);
}

static const struct transport_ops shaped_ops = {.write = shaped_write,
                                                .read = shaped_read,
                                                .cancel = shaped_cancel,
                                                .linger = shaped_linger,
                                                .set_timeout = shaped_set_timeout,
                                                .set_idle = shaped_set_idle,
                                                .close = shaped_close};

fusion_status channel_shape(struct channel **channel, const struct shape_settings *settings) {
  struct shaped *s = mem_alloc(1, sizeof *s);
  if (!s) {
    channel_close(*channel);
    *channel = NULL;
    return FUSION_E_MEMORY;
  }
  s->base.ops = &shaped_ops;
  s->settings = *settings;
  pthread_mutex_init(&s->line.lock, NULL);
  s->inner = channel_unwrap(*channel);
  return channel_new(channel, &s->base);
}
