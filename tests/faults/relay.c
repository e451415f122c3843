#include "faults/relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 1 << 14, LINKS = 64, DRIP_LEN = 200 };

struct link {
  struct relay *relay;
  pthread_t thread;
  int client, server;
  bool faulty;
};

struct relay {
  int listener;
  uint16_t server;
  pthread_t thread;
  atomic_bool stop;
  atomic_int fault, from_server, faulty_left;
  atomic_ullong after, passed[2];
  struct link links[LINKS];
  unsigned count;
};

static bool send_all(int fd, const uint8_t *data, size_t len) {
  while (len) {
    const ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    len -= (size_t)n;
  }
  return true;
}

/* So that closing resets. */
static void reset(int fd) {
  const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static bool drip(int fd, const uint8_t *data, size_t len) {
  for (size_t i = 0; i < len; i++) {
    if (!send_all(fd, data + i, 1)) return false;
    usleep(500);
  }
  return true;
}

/* Passes a chunk on. False when the link ends. */
static bool pass(struct link *l, bool from_server, uint64_t *passed, bool *stalled) {
  struct relay *r = l->relay;
  uint8_t data[CHUNK];
  const int from = from_server ? l->server : l->client, to = from_server ? l->client : l->server;
  const enum relay_fault fault =
      l->faulty && atomic_load(&r->from_server) == from_server ? (enum relay_fault)atomic_load(&r->fault) : RELAY_NONE;
  const uint64_t after = atomic_load(&r->after);
  size_t want = sizeof data;
  if (fault != RELAY_NONE && *passed < after && after - *passed < want) want = (size_t)(after - *passed);
  const bool strikes = fault != RELAY_NONE && *passed >= after;
  if (strikes && fault == RELAY_STALL) *stalled = true;
  if (strikes && fault == RELAY_CUT) {
    reset(l->client);
    reset(l->server);
    return false;
  }
  if (*stalled) return true;
  if (strikes && fault == RELAY_DRIP) want = DRIP_LEN;
  const ssize_t n = recv(from, data, want, 0);
  if (n <= 0) return false;
  if (strikes && fault == RELAY_ALTER && *passed == after) data[0] ^= 1;
  *passed += (uint64_t)n;
  atomic_fetch_add(&r->passed[from_server], (uint64_t)n);
  return strikes && fault == RELAY_DRIP && *passed < after + 2 * DRIP_LEN ? drip(to, data, (size_t)n)
                                                                          : send_all(to, data, (size_t)n);
}

static void *link_main(void *arg) {
  struct link *l = arg;
  uint64_t passed[2] = {0, 0};
  bool stalled = false, open = true;
  while (open && !atomic_load(&l->relay->stop)) {
    struct pollfd p[2] = {{.fd = stalled ? -1 : l->client, .events = POLLIN},
                          {.fd = stalled ? -1 : l->server, .events = POLLIN}};
    if (poll(p, 2, 20) < 0) break;
    if (!stalled && p[0].revents) open = pass(l, false, &passed[0], &stalled);
    if (!stalled && open && p[1].revents) open = pass(l, true, &passed[1], &stalled);
  }
  close(l->client);
  close(l->server);
  return NULL;
}

static int dial(uint16_t port) {
  const struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0) return fd;
  close(fd);
  return -1;
}

static void *accept_main(void *arg) {
  struct relay *r = arg;
  const int one = 1;
  while (!atomic_load(&r->stop)) {
    struct pollfd p = {.fd = r->listener, .events = POLLIN};
    if (poll(&p, 1, 20) <= 0) continue;
    const int client = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) continue;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    const int server = r->count < LINKS ? dial(r->server) : -1;
    if (server < 0) {
      close(client);
      continue;
    }
    struct link *l = &r->links[r->count++];
    *l = (struct link){.relay = r, .client = client, .server = server};
    l->faulty = atomic_fetch_sub(&r->faulty_left, 1) > 0;
    if (pthread_create(&l->thread, NULL, link_main, l)) abort();
  }
  return NULL;
}

struct relay *relay_open(uint16_t *port, uint16_t server) {
  struct relay *r = calloc(1, sizeof *r);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof at;
  if (!r) abort();
  r->server = server;
  r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (r->listener < 0 || bind(r->listener, (const struct sockaddr *)&at, len) || listen(r->listener, 16) ||
      getsockname(r->listener, (struct sockaddr *)&at, &len))
    abort();
  *port = ntohs(at.sin_port);
  if (pthread_create(&r->thread, NULL, accept_main, r)) abort();
  return r;
}

void relay_set(struct relay *r, enum relay_fault fault, bool from_server, uint64_t after, unsigned connections) {
  atomic_store(&r->fault, (int)fault);
  atomic_store(&r->from_server, from_server);
  atomic_store(&r->after, after);
  atomic_store(&r->faulty_left, (int)connections);
  atomic_store(&r->passed[0], 0);
  atomic_store(&r->passed[1], 0);
}

uint64_t relay_passed(struct relay *r, bool from_server) {
  return atomic_load(&r->passed[from_server]);
}

void relay_close(struct relay *r) {
  atomic_store(&r->stop, true);
  pthread_join(r->thread, NULL);
  for (unsigned i = 0; i < r->count; i++) pthread_join(r->links[i].thread, NULL);
  close(r->listener);
  free(r);
}
