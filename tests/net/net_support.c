#include "net/net_support.h"

#include <pthread.h>
#include <stdlib.h>

struct accepting {
  struct listener *listener;
  struct pair *pair;
  struct net_limits limits;
};

static void *accept_one(void *arg) {
  struct accepting *a = arg;
  int fd;
  a->pair->server_status = listener_wait(a->listener, &fd, -1, &a->pair->server_error);
  if (a->pair->server_status == FUSION_OK)
    a->pair->server_status = listener_handshake(a->listener, &a->pair->server, fd, &a->limits, &a->pair->server_sees,
                                                &a->pair->server_error);
  return NULL;
}

void pair_open(struct pair *p, struct tls_context *server_tls, struct tls_context *client_tls, const char *host,
               int timeout_ms) {
  *p = (struct pair){0};
  struct accepting a = {.pair = p, .limits = {.connect_timeout_ms = 5000, .timeout_ms = timeout_ms}};
  struct net_address address = {.host = "127.0.0.1"};
  pthread_t thread;
  if (host[0] == '1') strcpy(address.host, host);
  if (listener_open(&a.listener, &address, server_tls, &p->server_error) != FUSION_OK) abort();
  address.port = listener_port(a.listener);
  strcpy(address.host, host);
  if (pthread_create(&thread, NULL, accept_one, &a)) abort();
  p->client_status = channel_dial(&p->client, &address, client_tls, &a.limits, &p->client_sees, &p->client_error);
  pthread_join(thread, NULL);
  listener_close(a.listener);
}

void pair_close(struct pair *p) {
  channel_close(p->server);
  channel_close(p->client);
}
