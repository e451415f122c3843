#include "net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

fusion_status net_address_parse(struct net_address *out, const char *text, fusion_error *err) {
  const char *colon = strrchr(text, ':');
  const bool bracket = text[0] == '[';
  const char *host = bracket ? text + 1 : text;
  const char *host_end = bracket && colon > text ? colon - 1 : colon;
  const bool shaped = colon && host_end > host && (!bracket || *host_end == ']') &&
                      (bracket || !memchr(host, ':', (size_t)(host_end - host)));
  if (!shaped)
    return error_set(err, FUSION_E_USAGE, "'%.100s': not an address; write HOST:PORT, for IPv6 [HOST]:PORT", text);
  const size_t len = (size_t)(host_end - host);
  char *end;
  errno = 0;
  const unsigned long port = strtoul(colon + 1, &end, 10);
  if (len >= sizeof out->host || colon[1] < '0' || colon[1] > '9' || *end || errno || port > UINT16_MAX)
    return error_set(err, FUSION_E_USAGE, "'%.100s': not an address; the port is a number up to 65535", text);
  memcpy(out->host, host, len);
  out->host[len] = '\0';
  out->port = (uint16_t)port;
  return FUSION_OK;
}

fusion_status socket_wait(int fd, short events, double deadline) {
  for (;;) {
    const double left = deadline - clock_seconds();
    if (left <= 0) return FUSION_E_TIMEOUT;
    struct pollfd p = {.fd = fd, .events = events};
    const int ready = poll(&p, 1, left > 1e6 ? 1000000000 : (int)(left * 1e3) + 1);
    if (ready > 0) return FUSION_OK; /* an error or hang-up shows at the next read or write */
    if (ready < 0 && errno != EINTR) return FUSION_E_IO;
  }
}

fusion_status socket_prepare(int fd) {
  const int one = 1;
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) return FUSION_E_IO;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0) return FUSION_E_IO;
  return FUSION_OK;
}

void socket_peer(int fd, char out[NET_ADDRESS_LEN]) {
  struct sockaddr_storage address;
  socklen_t len = sizeof address;
  char host[64], port[8];
  snprintf(out, NET_ADDRESS_LEN, "?");
  if (getpeername(fd, (struct sockaddr *)&address, &len)) return;
  if (getnameinfo((struct sockaddr *)&address, len, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV))
    return;
  snprintf(out, NET_ADDRESS_LEN, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static bool is_loopback(const struct sockaddr *address) {
  if (address->sa_family == AF_INET)
    return (ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24) == 127;
  if (address->sa_family == AF_INET6)
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
  return false;
}

static fusion_status resolve(struct addrinfo **list, const struct net_address *address, bool passive,
                             fusion_error *err) {
  char port[8];
  snprintf(port, sizeof port, "%u", address->port);
  const struct addrinfo hints = {
      .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0)};
  const int code = getaddrinfo(address->host, port, &hints, list);
  if (code) return error_set(err, FUSION_E_IO, "'%s': cannot find this host: %s", address->host, gai_strerror(code));
  return FUSION_OK;
}

static fusion_status connect_one(int *out, const struct addrinfo *a, double deadline) {
  const int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
  if (fd < 0) return FUSION_E_IO;
  fusion_status status = socket_prepare(fd);
  if (status == FUSION_OK && connect(fd, a->ai_addr, a->ai_addrlen)) {
    status = errno == EINPROGRESS || errno == EINTR ? socket_wait(fd, POLLOUT, deadline) : FUSION_E_IO;
    int problem = 0;
    socklen_t len = sizeof problem;
    if (status == FUSION_OK && (getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &len) || problem)) {
      errno = problem;
      status = FUSION_E_IO;
    }
  }
  if (status == FUSION_OK) {
    *out = fd;
    return status;
  }
  const int kept = errno;
  close(fd);
  errno = kept;
  return status;
}

fusion_status socket_connect(int *fd, const struct net_address *address, bool loopback_only, int timeout_ms,
                             fusion_error *err) {
  struct addrinfo *list;
  fusion_status status = resolve(&list, address, false, err);
  if (status != FUSION_OK) return status;
  const double deadline = clock_seconds() + timeout_ms * 1e-3;
  status = FUSION_E_IO;
  for (const struct addrinfo *a = list; a; a = a->ai_next) {
    if (loopback_only && !is_loopback(a->ai_addr)) {
      status = error_set(err, FUSION_E_USAGE, "'%s': plaintext is allowed to this very machine only (127.0.0.1, ::1)",
                         address->host);
      continue;
    }
    status = connect_one(fd, a, deadline);
    if (status == FUSION_OK) break;
    error_set(err, status, "%s:%u: cannot connect: %s", address->host, address->port,
              status == FUSION_E_TIMEOUT ? "no answer in time" : strerror(errno));
  }
  freeaddrinfo(list);
  return status;
}

static fusion_status listen_one(int *out, uint16_t *port, const struct addrinfo *a) {
  const int one = 1;
  struct sockaddr_storage bound = {0};
  socklen_t len = sizeof bound;
  const int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
  if (fd < 0) return FUSION_E_IO;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) || bind(fd, a->ai_addr, a->ai_addrlen) ||
      listen(fd, 128) || getsockname(fd, (struct sockaddr *)&bound, &len)) {
    const int kept = errno;
    close(fd);
    errno = kept;
    return FUSION_E_IO;
  }
  *port = ntohs(bound.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)(const void *)&bound)->sin6_port
                                            : ((const struct sockaddr_in *)(const void *)&bound)->sin_port);
  *out = fd;
  return FUSION_OK;
}

fusion_status socket_listen(int *fd, uint16_t *port, const struct net_address *address, bool loopback_only,
                            fusion_error *err) {
  struct addrinfo *list;
  fusion_status status = resolve(&list, address, true, err);
  if (status != FUSION_OK) return status;
  if (loopback_only && !is_loopback(list->ai_addr))
    status = error_set(err, FUSION_E_USAGE, "'%s': plaintext is allowed on this very machine only (127.0.0.1, ::1)",
                       address->host);
  if (status == FUSION_OK) {
    status = listen_one(fd, port, list);
    if (status != FUSION_OK)
      error_set(err, status, "%s:%u: cannot listen: %s", address->host, address->port, strerror(errno));
  }
  freeaddrinfo(list);
  return status;
}
