/* Certificates as operators have them: out of their time, replaced, and naming clients. And a host's addresses. */
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net_support.h"
#include "support/test_messages.h"

static struct certs certs;

static struct tls_context *server_tls(const char *client_ca) {
  struct tls_context *c;
  assert_ok(tls_server_new(&c, certs.server_cert, certs.server_key, client_ca, NULL));
  return c;
}

static struct tls_context *client_tls(const char *ca) {
  struct tls_context *c;
  assert_ok(tls_client_new(&c, ca, NULL, NULL, NULL));
  return c;
}

static struct tls_context *client_tls_as(enum cert who) {
  struct tls_context *c;
  assert_ok(tls_client_new(&c, certs.ca, certs.cert[who], certs.key[who], NULL));
  return c;
}

static void tls__certificates_out_of_their_time_are_refused_at_the_start(void **state) {
  (void)state;
  struct tls_context *c;
  fusion_error err;
  const enum cert late = CERT_SERVER_EXPIRED, early = CERT_SERVER_TOO_EARLY;
  assert_int_equal(tls_server_new(&c, certs.cert[late], certs.key[late], NULL, &err), FUSION_E_TLS);
  assert_non_null(strstr(err.text, "this certificate expired on 20"));
  assert_non_null(strstr(err.text, certs.cert[late]));
  assert_int_equal(tls_server_new(&c, certs.cert[early], certs.key[early], NULL, &err), FUSION_E_TLS);
  assert_non_null(strstr(err.text, "this certificate is not valid before 20"));
}

/* Another authority's certificate from now on; connections that are there stay. */
static void tls__reloading_changes_new_connections_alone(void **state) {
  (void)state;
  struct certs others;
  struct pair before, after;
  fusion_error err;
  uint8_t byte = 1;
  certs_make(&others);
  struct tls_context *s = server_tls(NULL), *c = client_tls(certs.ca), *d = client_tls(others.ca);
  pair_open(&before, s, c, "localhost", 10000);
  assert_ok(before.client_status);
  assert_int_equal(tls_server_reload(s, others.server_cert, certs.server_key, NULL, &err), FUSION_E_TLS);
  pair_open(&after, s, c, "localhost", 10000); /* nothing has changed */
  assert_ok(after.client_status);
  pair_close(&after);
  assert_ok(tls_server_reload(s, others.server_cert, others.server_key, NULL, &err));
  pair_open(&after, s, d, "localhost", 10000);
  assert_ok(after.client_status);
  assert_memory_equal(after.client_sees.certificate_sha256, after.server_sees.own_sha256, TLS_HASH_LEN);
  assert_memory_not_equal(after.server_sees.own_sha256, before.server_sees.own_sha256, TLS_HASH_LEN);
  assert_ok(channel_send(before.client, MSG_TEST, &byte, 1));
  assert_ok(channel_flush(before.client));
  assert_ok(channel_recv(before.server, MSG_TEST, &byte, 1));
  pair_close(&before);
  pair_close(&after);
  tls_free(s);
  tls_free(c);
  tls_free(d);
  certs_free(&others);
}

static void tls__a_client_certificate_names_its_client(void **state) {
  (void)state;
  const struct {
    enum cert cert;
    const char *name;
  } cases[] = {{CERT_CLIENT, "a client"}, {CERT_CLIENT_NAMELESS, "mail@example.org"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct pair p;
    struct tls_context *s = server_tls(certs.ca), *c = client_tls_as(cases[i].cert);
    pair_open(&p, s, c, "localhost", 10000);
    assert_ok(p.server_status);
    assert_string_equal(p.server_sees.name, cases[i].name);
    pair_close(&p);
    tls_free(s);
    tls_free(c);
  }
}

/* A socket of 127.0.0.1 that listens; *at: its address. */
static int listen_at(struct sockaddr_in *at, int backlog) {
  socklen_t len = sizeof *at;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  assert_true(fd >= 0);
  assert_int_equal(bind(fd, (const struct sockaddr *)at, sizeof *at), 0);
  assert_int_equal(listen(fd, backlog), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
  return fd;
}

static void connect__a_silent_address_does_not_hold_up_the_next(void **state) {
  (void)state;
  enum { FILLERS = 4 };
  struct sockaddr_in at[2];
  int fillers[FILLERS], fd;
  /* A full queue answers no further connection, as an address does that a firewall swallows. */
  const int silent = listen_at(&at[0], 0), live = listen_at(&at[1], 8);
  for (int i = 0; i < FILLERS; i++) {
    fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)!connect(fillers[i], (const struct sockaddr *)&at[0], sizeof at[0]);
  }
  usleep(50000);
  struct addrinfo list[2];
  for (int i = 0; i < 2; i++)
    list[i] = (struct addrinfo){.ai_family = AF_INET,
                                .ai_socktype = SOCK_STREAM,
                                .ai_addr = (struct sockaddr *)&at[i],
                                .ai_addrlen = sizeof at[i]};
  list[0].ai_next = &list[1];
  const double start = clock_seconds();
  assert_ok(socket_race(&fd, list, start + 20));
  assert_true(clock_seconds() - start < 10);
  struct sockaddr_in peer;
  socklen_t len = sizeof peer;
  assert_int_equal(getpeername(fd, (struct sockaddr *)&peer, &len), 0);
  assert_int_equal(peer.sin_port, at[1].sin_port);
  close(fd);
  list[0].ai_next = NULL;
  assert_int_equal(socket_race(&fd, list, clock_seconds() + 0.3), FUSION_E_TIMEOUT);
  for (int i = 0; i < FILLERS; i++) close(fillers[i]);
  close(silent);
  close(live);
}

static int make_certs(void **state) {
  (void)state;
  certs_make(&certs);
  return 0;
}

static int remove_certs(void **state) {
  (void)state;
  certs_free(&certs);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tls__certificates_out_of_their_time_are_refused_at_the_start),
      cmocka_unit_test(tls__reloading_changes_new_connections_alone),
      cmocka_unit_test(tls__a_client_certificate_names_its_client),
      cmocka_unit_test(connect__a_silent_address_does_not_hold_up_the_next),
  };
  return cmocka_run_group_tests(tests, make_certs, remove_certs);
}
