/* Channels: bytes a second in one direction, and the time of a message there and back. usage: bench_net [MEGABYTES] */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/net_support.h"

enum { PINGS = 2000, MESSAGE_LEN = 1 << 20 };

struct end {
  struct channel *channel;
  size_t messages;
};

static void need(fusion_status status) {
  if (status == FUSION_OK) return;
  fprintf(stderr, "failed: %s\n", fusion_status_text(status));
  exit(1);
}

static void *answer(void *arg) {
  const struct end *e = arg;
  uint8_t *data = mem_alloc(MESSAGE_LEN, 1);
  for (size_t i = 0; i < e->messages; i++) need(channel_recv(e->channel, MSG_TEST, data, MESSAGE_LEN));
  need(channel_send(e->channel, MSG_TEST, data, 1));
  for (int i = 0; i < PINGS; i++) {
    need(channel_recv(e->channel, MSG_TEST, data, 1));
    need(channel_send(e->channel, MSG_TEST, data, 1));
  }
  need(channel_flush(e->channel));
  mem_free(data);
  return NULL;
}

static void measure(const char *name, struct channel *server, struct channel *client, size_t messages) {
  struct end e = {.channel = server, .messages = messages};
  uint8_t *data = mem_alloc(MESSAGE_LEN, 1);
  pthread_t thread;
  if (pthread_create(&thread, NULL, answer, &e)) exit(1);
  const double start = clock_seconds();
  for (size_t i = 0; i < messages; i++) need(channel_send(client, MSG_TEST, data, MESSAGE_LEN));
  need(channel_recv(client, MSG_TEST, data, 1));
  const double sent = clock_seconds();
  for (int i = 0; i < PINGS; i++) {
    need(channel_send(client, MSG_TEST, data, 1));
    need(channel_recv(client, MSG_TEST, data, 1));
  }
  const double end = clock_seconds();
  pthread_join(thread, NULL);
  printf("%-5s %8.0f MB/s   %6.1f us there and back\n", name, (double)messages * MESSAGE_LEN * 1e-6 / (sent - start),
         (end - sent) * 1e6 / PINGS);
  mem_free(data);
}

int main(int argc, char **argv) {
  const size_t messages = argc > 1 ? strtoul(argv[1], NULL, 10) : 512;
  struct channel *server, *client;
  struct tls_context *server_tls, *client_tls;
  struct certs certs;
  struct pair p;
  need(channel_pipe(&server, &client));
  measure("pipe", server, client, messages);
  channel_close(server);
  channel_close(client);
  pair_open(&p, NULL, NULL, "127.0.0.1", 60000);
  measure("tcp", p.server, p.client, messages);
  pair_close(&p);
  certs_make(&certs);
  need(tls_server_new(&server_tls, certs.server_cert, certs.server_key, NULL, NULL));
  need(tls_client_new(&client_tls, certs.ca, NULL, NULL, NULL));
  pair_open(&p, server_tls, client_tls, "127.0.0.1", 60000);
  measure("tls", p.server, p.client, messages);
  pair_close(&p);
  tls_free(server_tls);
  tls_free(client_tls);
  certs_free(&certs);
  return 0;
}
