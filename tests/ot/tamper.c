#include "ot/tamper.h"

#include <sys/socket.h>
#include <unistd.h>

#include "net/channel_internal.h"

struct tampered {
  struct transport base;
  int fd;
  uint64_t written, position;
  uint8_t flip;
};

static fusion_status write_part(int fd, const uint8_t *data, size_t len) {
  while (len) {
    const ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
    if (n <= 0) return FUSION_E_CLOSED;
    data += n;
    len -= (size_t)n;
  }
  return FUSION_OK;
}

static fusion_status tampered_write(struct transport *base, const void *data, size_t len, fusion_error *err) {
  struct tampered *t = (struct tampered *)base;
  const uint8_t *bytes = data;
  (void)err;
  const uint64_t before = t->written;
  t->written += len;
  if (t->position < before || t->position >= t->written) return write_part(t->fd, bytes, len);
  const size_t at = (size_t)(t->position - before);
  const uint8_t altered = bytes[at] ^ t->flip;
  fusion_status status = write_part(t->fd, bytes, at);
  if (!t->flip) {
    shutdown(t->fd, SHUT_RDWR);
    return FUSION_E_CLOSED;
  }
  if (status == FUSION_OK) status = write_part(t->fd, &altered, 1);
  if (status == FUSION_OK) status = write_part(t->fd, bytes + at + 1, len - at - 1);
  return status;
}

static fusion_status tampered_read(struct transport *base, void *data, size_t len, fusion_error *err) {
  struct tampered *t = (struct tampered *)base;
  uint8_t *at = data;
  (void)err;
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
  mem_free(t);
}

static const struct transport_ops tampered_ops = {
    .write = tampered_write, .read = tampered_read, .close = tampered_close};

static fusion_status end_new(struct channel **out, int fd, uint64_t position, uint8_t flip) {
  struct tampered *t = mem_alloc(1, sizeof *t);
  if (!t) return FUSION_E_MEMORY;
  *t = (struct tampered){.base = {&tampered_ops}, .fd = fd, .position = position, .flip = flip};
  return channel_new(out, &t->base);
}

fusion_status tamper_pair(struct channel **server, struct channel **client, struct tamper tamper) {
  int fds[2];
  *server = *client = NULL;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds)) return FUSION_E_IO;
  const uint64_t never = UINT64_MAX;
  fusion_status status = end_new(server, fds[0], tamper.who == ROLE_SERVER ? tamper.position : never, tamper.flip);
  if (status != FUSION_OK) return status;
  return end_new(client, fds[1], tamper.who == ROLE_CLIENT ? tamper.position : never, tamper.flip);
}
