#include "net/connect.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/stream.h"

struct listener {
  int fd, wake;
  uint16_t port;
  struct tls_context *tls; /* borrowed */
};

/* Takes fd. */
static fusion_status secure(struct channel **out, int fd, struct tls_context *tls, const char *host,
                            const struct net_limits *limits, double deadline, struct net_peer *peer,
                            fusion_error *err) {
  SSL *ssl = NULL;
  *peer = (struct net_peer){0};
  socket_peer(fd, peer->address);
  if (tls) {
    const fusion_status status = tls_handshake(&ssl, tls, fd, host, deadline, err);
    if (status != FUSION_OK) {
      close(fd);
      return status;
    }
    peer->has_certificate = tls_peer_hash(ssl, peer->certificate_sha256);
    tls_peer_name(ssl, peer->name);
    tls_shown_hash(ssl, peer->own_sha256);
  }
  const fusion_status status = stream_channel(out, fd, ssl, limits->timeout_ms);
  if (status != FUSION_OK) return error_set(err, status, "out of memory for a connection");
  return FUSION_OK;
}

fusion_status channel_dial(struct channel **out, const struct net_address *address, struct tls_context *tls,
                           const struct net_limits *limits, struct net_peer *peer, fusion_error *err) {
  const double deadline = clock_seconds() + limits->connect_timeout_ms * 1e-3;
  int fd;
  *out = NULL;
  const fusion_status status = socket_connect(&fd, address, !tls, limits->connect_timeout_ms, err);
  if (status != FUSION_OK) return status;
  return secure(out, fd, tls, address->host, limits, deadline, peer, err);
}

fusion_status listener_open(struct listener **out, const struct net_address *address, struct tls_context *tls,
                            fusion_error *err) {
  *out = NULL;
  struct listener *l = mem_alloc(1, sizeof *l);
  if (!l) return error_set(err, FUSION_E_MEMORY, "out of memory for the listener");
  l->tls = tls;
  l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  fusion_status status = FUSION_E_RESOURCE;
  if (l->wake >= 0) status = socket_listen(&l->fd, &l->port, address, !tls, err);
  if (status == FUSION_OK) {
    *out = l;
    return status;
  }
  if (l->wake < 0) error_set(err, status, "cannot create an event descriptor: %s", strerror(errno));
  if (l->wake >= 0) close(l->wake);
  mem_free(l);
  return status;
}

fusion_status listener_adopt(struct listener **out, int fd, struct tls_context *tls, fusion_error *err) {
  *out = NULL;
  uint16_t port;
  fusion_status status = socket_adopt(fd, &port, !tls, err);
  struct listener *l = status == FUSION_OK ? mem_alloc(1, sizeof *l) : NULL;
  const int wake = l ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
  if (l && wake >= 0) {
    *l = (struct listener){.fd = fd, .wake = wake, .port = port, .tls = tls};
    *out = l;
    return FUSION_OK;
  }
  mem_free(l);
  close(fd);
  return status == FUSION_OK ? error_set(err, FUSION_E_RESOURCE, "out of resources for the listener") : status;
}

uint16_t listener_port(const struct listener *l) {
  return l->port;
}

fusion_status listener_wait(struct listener *l, int *fd, int timeout_ms, fusion_error *err) {
  for (;;) {
    struct pollfd p[2] = {{.fd = l->fd, .events = POLLIN}, {.fd = l->wake, .events = POLLIN}};
    const int ready = poll(p, 2, timeout_ms);
    if (ready < 0 && errno != EINTR)
      return error_set(err, FUSION_E_IO, "waiting for connections failed: %s", strerror(errno));
    if (ready == 0) return FUSION_E_TIMEOUT;
    if (ready < 0) continue;
    if (p[1].revents) return error_set(err, FUSION_E_CLOSED, "the listener was stopped");
    if (!p[0].revents) continue;
    *fd = accept(l->fd, NULL, NULL);
    if (*fd >= 0) return FUSION_OK;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      /* Out of descriptors: the waiting connection stays queued; try again when others have ended. */
      struct pollfd wake = {.fd = l->wake, .events = POLLIN};
      poll(&wake, 1, 100);
    }
  }
}

void listener_stop(struct listener *l) {
  const uint64_t one = 1;
  const int kept = errno;
  const ssize_t n = write(l->wake, &one, sizeof one); /* a full counter wakes as well */
  (void)n;
  errno = kept;
}

void listener_shut(struct listener *l) {
  if (l->fd >= 0) close(l->fd);
  l->fd = -1;
}

void listener_close(struct listener *l) {
  if (!l) return;
  listener_shut(l);
  close(l->wake);
  mem_free(l);
}

fusion_status listener_handshake(struct listener *l, struct channel **out, int fd, const struct net_limits *limits,
                                 struct net_peer *peer, fusion_error *err) {
  *out = NULL;
  const double deadline = clock_seconds() + limits->connect_timeout_ms * 1e-3;
  if (socket_prepare(fd) != FUSION_OK) {
    const int problem = errno;
    close(fd);
    return error_set(err, FUSION_E_IO, "cannot set up the connection: %s", strerror(problem));
  }
  return secure(out, fd, l->tls, NULL, limits, deadline, peer, err);
}
