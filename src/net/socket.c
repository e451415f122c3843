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

bool net_address_is_local(const struct net_address *address) {
  struct in_addr four;
  struct in6_addr six;
  if (strcmp(address->host, "localhost") == 0) return true;
  if (inet_pton(AF_INET, address->host, &four) == 1) return ntohl(four.s_addr) >> 24 == 127;
  return inet_pton(AF_INET6, address->host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
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

bool socket_peer_network(int fd, uint8_t out[NET_NETWORK_LEN]) {
  struct sockaddr_storage address;
  socklen_t len = sizeof address;
  memset(out, 0, NET_NETWORK_LEN);
  if (getpeername(fd, (struct sockaddr *)&address, &len)) return false;
  if (address.ss_family == AF_INET) memcpy(out, &((const struct sockaddr_in *)(const void *)&address)->sin_addr, 4);
  if (address.ss_family != AF_INET6) return true;
  const struct in6_addr *host = &((const struct sockaddr_in6 *)(const void *)&address)->sin6_addr;
  const bool mapped = IN6_IS_ADDR_V4MAPPED(host);
  memcpy(out, host->s6_addr + (mapped ? 12 : 0), mapped ? 4 : NET_NETWORK_LEN);
  return true;
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
  if (code)
    return error_set(err, FUSION_E_NETWORK, "'%s': cannot find this host: %s", address->host, gai_strerror(code));
  return FUSION_OK;
}

enum {
  RACE_MAX = 16,      /* addresses of a host that are tried */
  RACE_STAGGER = 250, /* ms before the next one starts while none has answered: RFC 8305, section 5 */
};

/* Connections under way. */
struct race {
  struct pollfd at[RACE_MAX]; /* fd -1: failed, or not begun */
  size_t begun, running;
  int problem; /* errno of the last that failed */
};

/* IPv6 and IPv4 by turns, beginning with what the system prefers, each family in the system's order. */
static size_t interleave(const struct addrinfo *out[RACE_MAX], const struct addrinfo *list) {
  const struct addrinfo *next[2] = {list, list};
  size_t count = 0;
  const int first = list->ai_family;
  for (size_t turn = 0; count < RACE_MAX && (next[0] || next[1]); turn ^= 1) {
    while (next[turn] && (next[turn]->ai_family == first) != (turn == 0)) next[turn] = next[turn]->ai_next;
    if (!next[turn]) continue;
    out[count++] = next[turn];
    next[turn] = next[turn]->ai_next;
  }
  return count;
}

static void race_lose(struct race *r, size_t i, int problem) {
  r->problem = problem;
  close(r->at[i].fd);
  r->at[i].fd = -1;
  r->running--;
}

static void race_begin(struct race *r, const struct addrinfo *a) {
  struct pollfd *p = &r->at[r->begun];
  *p = (struct pollfd){.fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol), .events = POLLOUT};
  const size_t i = r->begun++;
  r->problem = errno;
  if (p->fd < 0) return;
  r->running++;
  const bool under_way = socket_prepare(p->fd) == FUSION_OK &&
                         (connect(p->fd, a->ai_addr, a->ai_addrlen) == 0 || errno == EINPROGRESS || errno == EINTR);
  if (!under_way) race_lose(r, i, errno);
}

/* The connection that came about, or -1. */
static int race_winner(struct race *r) {
  for (size_t i = 0; i < r->begun; i++) {
    int problem = 0;
    socklen_t len = sizeof problem;
    if (r->at[i].fd < 0 || !r->at[i].revents) continue;
    if (getsockopt(r->at[i].fd, SOL_SOCKET, SO_ERROR, &problem, &len)) problem = errno;
    if (!problem) return r->at[i].fd;
    race_lose(r, i, problem);
  }
  return -1;
}

fusion_status socket_race(int *fd, const struct addrinfo *list, double deadline) {
  const struct addrinfo *order[RACE_MAX];
  const size_t count = interleave(order, list);
  struct race r = {.problem = 0};
  int won = -1;
  double next = 0;
  fusion_status status = FUSION_E_NETWORK;
  while (won < 0 && (r.running || r.begun < count)) {
    const double now = clock_seconds();
    if (now >= deadline) {
      status = FUSION_E_TIMEOUT;
      break;
    }
    if (r.begun < count && (now >= next || !r.running)) {
      race_begin(&r, order[r.begun]);
      next = now + RACE_STAGGER * 1e-3;
      continue;
    }
    const double until = r.begun < count && next < deadline ? next : deadline;
    const int ready = poll(r.at, r.begun, (int)((until - now) * 1e3) + 1);
    if (ready > 0) won = race_winner(&r);
  }
  for (size_t i = 0; i < r.begun; i++)
    if (r.at[i].fd >= 0 && r.at[i].fd != won) close(r.at[i].fd);
  errno = r.problem;
  *fd = won;
  return won >= 0 ? FUSION_OK : status;
}

static fusion_status check_loopback(const struct addrinfo *list, const char *host, fusion_error *err) {
  for (const struct addrinfo *a = list; a; a = a->ai_next)
    if (!is_loopback(a->ai_addr))
      return error_set(err, FUSION_E_USAGE, "'%s': plaintext is allowed to this very machine only (127.0.0.1, ::1)",
                       host);
  return FUSION_OK;
}

fusion_status socket_connect(int *fd, const struct net_address *address, bool loopback_only, int timeout_ms,
                             fusion_error *err) {
  struct addrinfo *list;
  fusion_status status = resolve(&list, address, false, err);
  if (status != FUSION_OK) return status;
  if (loopback_only) status = check_loopback(list, address->host, err);
  if (status == FUSION_OK) {
    status = socket_race(fd, list, clock_seconds() + timeout_ms * 1e-3);
    if (status != FUSION_OK)
      error_set(err, status, "%s:%u: cannot connect: %s", address->host, address->port,
                status == FUSION_E_TIMEOUT ? "no answer in time" : strerror(errno));
  }
  freeaddrinfo(list);
  return status;
}

static uint16_t port_of(const struct sockaddr_storage *address) {
  if (address->ss_family == AF_INET6) return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
  return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
}

fusion_status socket_adopt(int fd, uint16_t *port, bool loopback_only, fusion_error *err) {
  struct sockaddr_storage bound = {0};
  socklen_t len = sizeof bound, option_len = sizeof(int);
  int listening = 0;
  const bool is_tcp = getsockname(fd, (struct sockaddr *)&bound, &len) == 0 &&
                      (bound.ss_family == AF_INET || bound.ss_family == AF_INET6) &&
                      getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &option_len) == 0 && listening;
  if (!is_tcp) return error_set(err, FUSION_E_USAGE, "descriptor %d: not a listening TCP socket", fd);
  if (loopback_only && !is_loopback((const struct sockaddr *)&bound))
    return error_set(err, FUSION_E_USAGE, "descriptor %d: plaintext is allowed on this very machine only", fd);
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
    return error_set(err, FUSION_E_IO, "descriptor %d: cannot be set up: %s", fd, strerror(errno));
  *port = port_of(&bound);
  return FUSION_OK;
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
  *port = port_of(&bound);
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
