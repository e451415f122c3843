/* Non-blocking reads and writes with poll. A writer whose peer does not read goes on reading into an inbox, so that two
 * parties that send to each other at once both come through. */
#include "net/stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/socket.h"

enum {
  INBOX_CHUNK = 1 << 16,
  PROGRESS_LEN = 1 << 16, /* bytes that buy a fresh time-out: a peer cannot hold on with a trickle */
};

struct stream {
  struct transport base;
  int fd;
  SSL *ssl; /* NULL: plain */
  int timeout_ms;
  _Atomic bool cancelled;
  bool ended;     /* nothing more can be received */
  bool broken;    /* nothing more can be sent */
  uint8_t *inbox; /* bytes [begin, end) were received ahead */
  size_t begin, end, capacity;
  struct channel_idle idle;
};

/* A running operation's time limit. */
struct patience {
  double deadline;
  size_t moved;
};

static struct patience patience_start(const struct stream *s) {
  return (struct patience){.deadline = clock_seconds() + s->timeout_ms * 1e-3};
}

static void patience_progress(struct patience *p, const struct stream *s, size_t len) {
  p->moved += len;
  if (p->moved < PROGRESS_LEN) return;
  *p = patience_start(s);
}

static fusion_status plain_outcome(short blocked, short *events, fusion_error *err) {
  *events = 0;
  if (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK) {
    *events = blocked;
    return FUSION_OK;
  }
  if (errno == ECONNRESET || errno == EPIPE) return error_set(err, FUSION_E_CLOSED, "the connection broke off");
  return error_set(err, FUSION_E_NETWORK, "the connection failed: %s", strerror(errno));
}

/* Receives what is there: *got == 0 means wait for *events. */
static fusion_status fetch(struct stream *s, void *data, size_t len, size_t *got, short *events, fusion_error *err) {
  *got = 0;
  *events = 0;
  if (s->ended) return error_set(err, FUSION_E_CLOSED, "the peer closed the connection");
  if (!s->ssl) {
    const ssize_t n = recv(s->fd, data, len, 0);
    s->ended = n == 0;
    if (n == 0) return error_set(err, FUSION_E_CLOSED, "the peer closed the connection");
    if (n < 0) return plain_outcome(POLLIN, events, err);
    *got = (size_t)n;
    return FUSION_OK;
  }
  ERR_clear_error();
  errno = 0;
  const int result = SSL_read_ex(s->ssl, data, len, got);
  if (result == 1) return FUSION_OK;
  const fusion_status status = tls_outcome(s->ssl, result, events, err);
  s->ended = status != FUSION_OK;
  return status;
}

static fusion_status push(struct stream *s, const void *data, size_t len, size_t *sent, short *events,
                          fusion_error *err) {
  *sent = 0;
  *events = 0;
  if (s->broken) return error_set(err, FUSION_E_CLOSED, "the connection broke off");
  if (!s->ssl) {
    const ssize_t n = send(s->fd, data, len, MSG_NOSIGNAL);
    if (n < 0) {
      const fusion_status status = plain_outcome(POLLOUT, events, err);
      s->broken = status != FUSION_OK;
      return status;
    }
    *sent = (size_t)n;
    return FUSION_OK;
  }
  ERR_clear_error();
  errno = 0;
  const int result = SSL_write_ex(s->ssl, data, len, sent);
  if (result == 1) return FUSION_OK;
  const fusion_status status = tls_outcome(s->ssl, result, events, err);
  s->broken = status != FUSION_OK;
  return status;
}

static fusion_status timed_out(const struct stream *s, fusion_status status, fusion_error *err) {
  if (status == FUSION_E_TIMEOUT)
    return error_set(err, status, "the peer was silent for %.3g seconds", s->timeout_ms * 1e-3);
  return error_set(err, status, "waiting for the connection failed: %s", strerror(errno));
}

static fusion_status stopped(fusion_error *err) {
  return error_set(err, FUSION_E_CLOSED, "the connection was closed here");
}

/* Makes room for a chunk behind the inbox's bytes. */
static bool inbox_room(struct stream *s) {
  if (s->begin == s->end) s->begin = s->end = 0;
  if (s->capacity - s->end >= INBOX_CHUNK) return true;
  if (s->begin > 0 && s->begin >= s->capacity / 2) {
    memmove(s->inbox, s->inbox + s->begin, s->end - s->begin);
    s->end -= s->begin;
    s->begin = 0;
    if (s->capacity - s->end >= INBOX_CHUNK) return true;
  }
  const size_t capacity = size_max(2 * s->capacity, INBOX_CHUNK);
  uint8_t *grown = mem_alloc(capacity, 1);
  if (!grown) return false;
  if (s->end > s->begin) memcpy(grown, s->inbox + s->begin, s->end - s->begin);
  mem_free_secret(s->inbox, s->capacity);
  s->inbox = grown;
  s->end -= s->begin;
  s->begin = 0;
  s->capacity = capacity;
  return true;
}

/* A blocked writer's reading. The peer's end or failure shows at the next read. Returns true when bytes came. */
static bool read_ahead(struct stream *s) {
  size_t got;
  short events;
  if (s->end - s->begin >= CHANNEL_EXCHANGE_MAX || s->ended || !inbox_room(s)) return false;
  if (fetch(s, s->inbox + s->end, INBOX_CHUNK, &got, &events, NULL) != FUSION_OK) return false;
  s->end += got;
  return got > 0;
}

static fusion_status stream_write(struct transport *t, const void *data, size_t len, fusion_error *err) {
  struct stream *s = (struct stream *)t;
  const uint8_t *at = data;
  struct patience patience = patience_start(s);
  while (len) {
    size_t sent;
    short events;
    if (atomic_load(&s->cancelled)) return stopped(err);
    fusion_status status = push(s, at, len, &sent, &events, err);
    if (status != FUSION_OK) return status;
    at += sent;
    len -= sent;
    if (sent) {
      patience_progress(&patience, s, sent);
      continue;
    }
    const bool full = s->end - s->begin >= CHANNEL_EXCHANGE_MAX;
    if (read_ahead(s)) continue;
    if (!s->ended && !full) events |= POLLIN;
    status = socket_wait(s->fd, events, patience.deadline);
    if (status != FUSION_OK) return timed_out(s, status, err);
  }
  return FUSION_OK;
}

/* Works until bytes come (true), there is no work, or the time is up. */
static bool work_meanwhile(const struct stream *s, const struct patience *patience) {
  struct pollfd p = {.fd = s->fd, .events = POLLIN};
  while (s->idle.work && clock_seconds() < patience->deadline) {
    if (poll(&p, 1, 0) != 0) return true;
    if (!s->idle.work(s->idle.context)) return false;
  }
  return false;
}

static fusion_status stream_read(struct transport *t, void *data, size_t len, fusion_error *err) {
  struct stream *s = (struct stream *)t;
  uint8_t *at = data;
  struct patience patience = patience_start(s);
  while (len) {
    const size_t waiting = size_min(len, s->end - s->begin);
    if (waiting) {
      memcpy(at, s->inbox + s->begin, waiting);
      s->begin += waiting;
      at += waiting;
      len -= waiting;
      continue;
    }
    if (atomic_load(&s->cancelled)) return stopped(err);
    const bool direct = len >= INBOX_CHUNK;
    if (!direct && !inbox_room(s)) return error_set(err, FUSION_E_MEMORY, "out of memory for received bytes");
    size_t got;
    short events;
    fusion_status status = fetch(s, direct ? at : s->inbox + s->end, direct ? len : INBOX_CHUNK, &got, &events, err);
    if (status != FUSION_OK) return atomic_load(&s->cancelled) ? stopped(err) : status;
    at += direct ? got : 0;
    len -= direct ? got : 0;
    s->end += direct ? 0 : got;
    patience_progress(&patience, s, got);
    if (!got && work_meanwhile(s, &patience)) continue;
    if (!got) status = socket_wait(s->fd, events, patience.deadline);
    if (status != FUSION_OK) return timed_out(s, status, err);
  }
  return FUSION_OK;
}

static void stream_cancel(struct transport *t) {
  struct stream *s = (struct stream *)t;
  atomic_store(&s->cancelled, true);
  shutdown(s->fd, SHUT_RDWR); /* wakes a poll */
}

static void stream_linger(struct transport *t, int limit_ms) {
  struct stream *s = (struct stream *)t;
  const double deadline = clock_seconds() + limit_ms * 1e-3;
  uint8_t dropped[4096];
  if (s->ssl && !s->broken) {
    ERR_clear_error();
    SSL_shutdown(s->ssl);
  }
  s->broken = true;
  if (shutdown(s->fd, SHUT_WR)) return;
  while (!atomic_load(&s->cancelled) && clock_seconds() < deadline) {
    const ssize_t n = recv(s->fd, dropped, sizeof dropped, 0);
    if (n > 0 || (n < 0 && errno == EINTR)) continue;
    if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) return;
    if (socket_wait(s->fd, POLLIN, deadline) != FUSION_OK) return;
  }
}

static void stream_set_timeout(struct transport *t, int timeout_ms) {
  ((struct stream *)t)->timeout_ms = timeout_ms;
}

static void stream_set_idle(struct transport *t, struct channel_idle idle) {
  ((struct stream *)t)->idle = idle;
}

static void stream_close(struct transport *t) {
  struct stream *s = (struct stream *)t;
  if (s->ssl && (s->broken || s->ended)) SSL_free(s->ssl);
  if (s->ssl && !s->broken && !s->ended) tls_close(s->ssl);
  close(s->fd);
  mem_free_secret(s->inbox, s->capacity);
  mem_free(s);
}

static const struct transport_ops stream_ops = {.write = stream_write,
                                                .read = stream_read,
                                                .cancel = stream_cancel,
                                                .linger = stream_linger,
                                                .set_timeout = stream_set_timeout,
                                                .set_idle = stream_set_idle,
                                                .close = stream_close};

fusion_status stream_channel(struct channel **out, int fd, SSL *ssl, int timeout_ms) {
  *out = NULL;
  struct stream *s = mem_alloc(1, sizeof *s);
  if (!s) {
    SSL_free(ssl);
    close(fd);
    return FUSION_E_MEMORY;
  }
  s->base.ops = &stream_ops;
  s->fd = fd;
  s->ssl = ssl;
  s->timeout_ms = timeout_ms;
  return channel_new(out, &s->base);
}
