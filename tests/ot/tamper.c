#include "ot/tamper.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/channel_internal.h"

struct tampered {
  struct transport base;
  int fd;
  uint64_t written, position;
  uint8_t flip;
  void (*waits)(void *context);
  void *context;
  uint8_t *inbox; /* read while a write had to wait; what is not consumed is [inbox_at, inbox_len) */
  size_t inbox_at, inbox_len, inbox_size;
};

static fusion_status read_ahead(struct tampered *t) {
  enum { PIECE = 1 << 16 };
  if (t->inbox_size - t->inbox_len < PIECE) {
    const size_t left = t->inbox_len - t->inbox_at;
    uint8_t *larger = mem_alloc(2 * left + PIECE, 1);
    if (!larger) return FUSION_E_MEMORY;
    if (left) memcpy(larger, t->inbox + t->inbox_at, left);
    mem_free(t->inbox);
    t->inbox = larger;
    t->inbox_at = 0;
    t->inbox_len = left;
    t->inbox_size = 2 * left + PIECE;
  }
  const ssize_t n = recv(t->fd, t->inbox + t->inbox_len, PIECE, MSG_DONTWAIT);
  if (n <= 0) return n < 0 && errno == EAGAIN ? FUSION_OK : FUSION_E_CLOSED;
  t->inbox_len += (size_t)n;
  return FUSION_OK;
}

/* Reads meanwhile, as channels must: both ends may be writing. */
static fusion_status write_part(struct tampered *t, const uint8_t *data, size_t len) {
  while (len) {
    const ssize_t n = send(t->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      data += n;
      len -= (size_t)n;
      continue;
    }
    if (n == 0 || errno != EAGAIN) return FUSION_E_CLOSED;
    struct pollfd wait = {.fd = t->fd, .events = POLLIN | POLLOUT};
    if (poll(&wait, 1, -1) < 0) return FUSION_E_IO;
    if (!(wait.revents & POLLIN)) continue;
    const fusion_status status = read_ahead(t);
    if (status != FUSION_OK) return status;
  }
  return FUSION_OK;
}

static fusion_status tampered_write(struct transport *base, const void *data, size_t len, fusion_error *err) {
  struct tampered *t = (struct tampered *)base;
  const uint8_t *bytes = data;
  (void)err;
  const uint64_t before = t->written;
  t->written += len;
  if (t->position < before || t->position >= t->written) return write_part(t, bytes, len);
  const size_t at = (size_t)(t->position - before);
  const uint8_t altered = bytes[at] ^ t->flip;
  fusion_status status = write_part(t, bytes, at);
  if (!t->flip) {
    shutdown(t->fd, SHUT_RDWR);
    return FUSION_E_CLOSED;
  }
  if (status == FUSION_OK) status = write_part(t, &altered, 1);
  if (status == FUSION_OK) status = write_part(t, bytes + at + 1, len - at - 1);
  return status;
}

static fusion_status tampered_read(struct transport *base, void *data, size_t len, fusion_error *err) {
  struct tampered *t = (struct tampered *)base;
  uint8_t *at = data;
  (void)err;
  const size_t ahead = size_min(len, t->inbox_len - t->inbox_at);
  if (ahead) memcpy(at, t->inbox + t->inbox_at, ahead);
  t->inbox_at += ahead;
  at += ahead;
  len -= ahead;
  if (len && t->waits) t->waits(t->context);
  while (len) {
    const ssize_t n = recv(t->fd, at, len, 0);
    if (n <= 0) return FUSION_E_CLOSED;
    at += n;
    len -= (size_t)n;
  }
  return FUSION_OK;
}

static void tampered_close(struct transport *base) {
  struct tampered *t = (struct tampered *)base;
  close(t->fd);
  mem_free(t->inbox);
  mem_free(t);
}

static const struct transport_ops tampered_ops = {
    .write = tampered_write, .read = tampered_read, .close = tampered_close};

static fusion_status end_new(struct channel **out, int fd, const struct tamper *tamper, enum role role) {
  struct tampered *t = mem_alloc(1, sizeof *t);
  if (!t) return FUSION_E_MEMORY;
  *t = (struct tampered){.base = {&tampered_ops},
                         .fd = fd,
                         .position = tamper->who == role ? tamper->position : UINT64_MAX,
                         .flip = tamper->flip,
                         .waits = tamper->waits,
                         .context = tamper->contexts[role]};
  return channel_new(out, &t->base);
}

fusion_status tamper_pair(struct channel **server, struct channel **client, struct tamper tamper) {
  int fds[2];
  *server = *client = NULL;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds)) return FUSION_E_IO;
  const fusion_status status = end_new(server, fds[0], &tamper, ROLE_SERVER);
  if (status != FUSION_OK) return status;
  return end_new(client, fds[1], &tamper, ROLE_CLIENT);
}
