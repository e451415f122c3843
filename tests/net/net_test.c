/* TCP and TLS channels over loopback: what arrives, what is refused, what ends in time. */
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cursor.h"
#include "net/net_support.h"
#include "net/shaped.h"
#include "support/test_messages.h"

static struct certs certs;

static struct tls_context *server_tls_as(enum cert who, const char *client_ca) {
  struct tls_context *c;
  assert_ok(tls_server_new(&c, certs.cert[who], certs.key[who], client_ca, NULL));
  return c;
}

static struct tls_context *server_tls(const char *client_ca) {
  return server_tls_as(CERT_SERVER, client_ca);
}

static struct tls_context *client_tls(const char *ca, bool identity) {
  struct tls_context *c;
  assert_ok(tls_client_new(&c, ca, identity ? certs.client_cert : NULL, identity ? certs.client_key : NULL, NULL));
  return c;
}

static struct tls_context *client_tls_as(enum cert who) {
  struct tls_context *c;
  assert_ok(tls_client_new(&c, certs.ca, certs.cert[who], certs.key[who], NULL));
  return c;
}

struct big {
  struct channel *channel;
  uint8_t *out, *in;
  size_t len;
  fusion_status status;
};

/* Sends the whole at once, and only then receives. */
static void *exchange_big(void *arg) {
  struct big *b = arg;
  b->status = channel_send(b->channel, MSG_TEST, b->out, b->len);
  if (b->status == FUSION_OK) b->status = channel_recv(b->channel, MSG_TEST, b->in, b->len);
  return NULL;
}

static void exchange_over(struct channel *server, struct channel *client, size_t len) {
  struct big s = {.channel = server, .len = len}, c = {.channel = client, .len = len};
  uint64_t seed = 7;
  s.out = malloc(len), s.in = malloc(len), c.out = malloc(len), c.in = malloc(len);
  assert_true(s.out && s.in && c.out && c.in);
  for (size_t i = 0; i + 8 <= len; i += 8) {
    const uint64_t a = test_random(&seed), b = test_random(&seed);
    memcpy(s.out + i, &a, 8);
    memcpy(c.out + i, &b, 8);
  }
  test_run_both(exchange_big, &s, exchange_big, &c);
  assert_ok(s.status);
  assert_ok(c.status);
  assert_memory_equal(s.out, c.in, len);
  assert_memory_equal(c.out, s.in, len);
  free(s.out), free(s.in), free(c.out), free(c.in);
}

static void tcp__both_send_the_most_at_once(void **state) {
  (void)state;
  struct pair p;
  pair_open(&p, NULL, NULL, "127.0.0.1", 10000);
  exchange_over(p.server, p.client, CHANNEL_EXCHANGE_MAX - CHANNEL_HEADER_LEN);
  exchange_over(p.server, p.client, 1000);
  assert_int_equal(channel_get_stats(p.server).bytes_sent, channel_get_stats(p.client).bytes_received);
  assert_int_equal(channel_get_stats(p.client).bytes_sent, channel_get_stats(p.server).bytes_received);
  pair_close(&p);
}

static void tls__both_send_the_most_at_once(void **state) {
  (void)state;
  struct pair p;
  struct tls_context *s = server_tls(NULL), *c = client_tls(certs.ca, false);
  pair_open(&p, s, c, "127.0.0.1", 10000);
  assert_ok(p.server_status);
  assert_ok(p.client_status);
  exchange_over(p.server, p.client, CHANNEL_EXCHANGE_MAX - CHANNEL_HEADER_LEN);
  exchange_over(p.server, p.client, 1000);
  assert_true(p.client_sees.has_certificate);
  assert_false(p.server_sees.has_certificate);
  pair_close(&p);
  tls_free(s);
  tls_free(c);
}

/* Expects that no message passes, and that the client's error (of setting up or of the first receive) is `status`. */
static void expect_no_connection(struct tls_context *s, struct tls_context *c, const char *host, const char *text) {
  struct pair p;
  uint8_t byte;
  pair_open(&p, s, c, host, 3000);
  assert_int_not_equal(p.server_status, FUSION_OK);
  fusion_error *err = &p.client_error;
  if (p.client_status == FUSION_OK) {
    p.client_status = channel_recv(p.client, MSG_TEST, &byte, 1);
    *err = *channel_error(p.client);
  }
  assert_int_equal(p.client_status, FUSION_E_TLS);
  if (!strstr(err->text, text)) fail_msg("'%s' lacks '%s'", err->text, text);
  pair_close(&p);
}

static void tls__a_wrong_authority_is_refused(void **state) {
  (void)state;
  struct tls_context *s = server_tls(NULL), *c = client_tls(certs.other_ca, false);
  expect_no_connection(s, c, "localhost", "certificate is not acceptable");
  tls_free(s);
  tls_free(c);
}

static void tls__a_wrong_host_is_refused(void **state) {
  (void)state;
  struct tls_context *s = server_tls(NULL), *c = client_tls(certs.ca, false);
  expect_no_connection(s, c, "127.0.0.2", "IP address mismatch");
  tls_free(s);
  tls_free(c);
}

static void tls__a_common_name_is_no_host_name(void **state) {
  (void)state;
  struct tls_context *s = server_tls_as(CERT_SERVER_COMMON_NAME, NULL), *c = client_tls(certs.ca, false);
  expect_no_connection(s, c, "localhost", "hostname mismatch");
  tls_free(s);
  tls_free(c);
}

static void tls__a_server_certificate_for_another_purpose_is_refused(void **state) {
  (void)state;
  const enum cert wrong[] = {CERT_SERVER_NO_PURPOSE, CERT_CLIENT};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct tls_context *s = server_tls_as(wrong[i], NULL), *c = client_tls(certs.ca, false);
    expect_no_connection(s, c, "localhost", "a server's needs the extended key usage serverAuth");
    tls_free(s);
    tls_free(c);
  }
}

/* The server says why; the client, whose handshake is over by then, is told by an alert. */
static void tls__a_client_certificate_for_another_purpose_is_refused(void **state) {
  (void)state;
  const enum cert wrong[] = {CERT_CLIENT_NO_PURPOSE, CERT_SERVER};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct pair p;
    struct tls_context *s = server_tls(certs.ca), *c = client_tls_as(wrong[i]);
    pair_open(&p, s, c, "localhost", 3000);
    assert_int_equal(p.server_status, FUSION_E_TLS);
    assert_non_null(strstr(p.server_error.text, "a client's clientAuth"));
    pair_close(&p);
    expect_no_connection(s, c, "localhost", "TLS failed");
    tls_free(s);
    tls_free(c);
  }
}

static void tls__a_missing_client_certificate_is_refused(void **state) {
  (void)state;
  struct tls_context *s = server_tls(certs.ca), *c = client_tls(certs.ca, false);
  expect_no_connection(s, c, "localhost", "certificate required");
  tls_free(s);
  tls_free(c);
}

static void tls__a_strange_client_certificate_is_refused(void **state) {
  (void)state;
  struct tls_context *s = server_tls(certs.other_ca), *c = client_tls(certs.ca, true);
  expect_no_connection(s, c, "localhost", "TLS failed");
  tls_free(s);
  tls_free(c);
}

static void tls__a_client_certificate_is_seen_by_the_server(void **state) {
  (void)state;
  struct pair p;
  struct tls_context *s = server_tls(certs.ca), *c = client_tls(certs.ca, true);
  pair_open(&p, s, c, "localhost", 3000);
  assert_ok(p.client_status);
  assert_ok(p.server_status);
  assert_true(p.server_sees.has_certificate && p.client_sees.has_certificate);
  exchange_over(p.server, p.client, 100);
  pair_close(&p);
  tls_free(s);
  tls_free(c);
}

struct old_client {
  uint16_t port;
  int result;
};

static int dial_plain(uint16_t port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a)) abort();
  return fd;
}

static void *connect_with_tls_1_2(void *arg) {
  struct old_client *o = arg;
  SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
  SSL *ssl = SSL_new(ctx);
  const int fd = dial_plain(o->port);
  SSL_set_fd(ssl, fd);
  o->result = SSL_connect(ssl);
  SSL_free(ssl);
  SSL_CTX_free(ctx);
  close(fd);
  return NULL;
}

static void tls__version_1_2_is_refused(void **state) {
  (void)state;
  struct tls_context *s = server_tls(NULL);
  const struct net_address any = {.host = "127.0.0.1"};
  const struct net_limits limits = {.connect_timeout_ms = 3000, .timeout_ms = 3000};
  struct listener *l;
  struct channel *c;
  struct net_peer peer;
  pthread_t thread;
  int fd;
  assert_ok(listener_open(&l, &any, s, NULL));
  struct old_client old = {.port = listener_port(l)};
  pthread_create(&thread, NULL, connect_with_tls_1_2, &old);
  assert_ok(listener_wait(l, &fd, -1, NULL));
  assert_int_equal(listener_handshake(l, &c, fd, &limits, &peer, NULL), FUSION_E_TLS);
  assert_null(c);
  pthread_join(thread, NULL);
  assert_true(old.result <= 0);
  listener_close(l);
  tls_free(s);
}

static void tls__bad_files_are_named(void **state) {
  (void)state;
  struct tls_context *c;
  fusion_error err;
  assert_int_equal(tls_client_new(&c, "/nonexistent.pem", NULL, NULL, &err), FUSION_E_IO);
  assert_non_null(strstr(err.text, "/nonexistent.pem"));
  assert_int_equal(tls_server_new(&c, certs.server_cert, certs.client_key, NULL, &err), FUSION_E_TLS);
  assert_non_null(strstr(err.text, certs.client_key));
  assert_int_equal(tls_client_new(&c, NULL, NULL, NULL, &err), FUSION_E_USAGE);
  assert_int_equal(tls_client_new(&c, certs.ca, certs.client_cert, NULL, &err), FUSION_E_USAGE);
}

static void plaintext__other_machines_are_refused(void **state) {
  (void)state;
  const struct net_address all = {.host = "0.0.0.0"}, far = {.host = "192.0.2.1", .port = 9};
  const struct net_limits limits = {.connect_timeout_ms = 1000, .timeout_ms = 1000};
  struct listener *l;
  struct channel *c;
  struct net_peer peer;
  assert_int_equal(listener_open(&l, &all, NULL, NULL), FUSION_E_USAGE);
  assert_int_equal(channel_dial(&c, &far, NULL, &limits, &peer, NULL), FUSION_E_USAGE);
}

static void address__of_this_machine(void **state) {
  (void)state;
  static const char *const here[] = {"127.0.0.1:1", "127.9.0.1:1", "[::1]:1", "localhost:1"};
  static const char *const there[] = {"128.0.0.1:1", "[::2]:1", "localhost.example:1", "127.example:1"};
  struct net_address a;
  for (size_t i = 0; i < sizeof here / sizeof *here; i++) {
    assert_ok(net_address_parse(&a, here[i], NULL));
    assert_true(net_address_is_local(&a));
    assert_ok(net_address_parse(&a, there[i], NULL));
    assert_false(net_address_is_local(&a));
  }
}

static void address__forms(void **state) {
  (void)state;
  struct net_address a;
  assert_ok(net_address_parse(&a, "[::1]:7700", NULL));
  assert_string_equal(a.host, "::1");
  assert_int_equal(a.port, 7700);
  assert_ok(net_address_parse(&a, "example.org:65535", NULL));
  assert_string_equal(a.host, "example.org");
  const char *wrong[] = {"",        ":",       "host",  "host:", ":1",   "host:65536",
                         "host:-1", "host: 1", "::1:7", "[::1]", "[]:1", "h:1x"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    if (net_address_parse(&a, wrong[i], NULL) != FUSION_E_USAGE) fail_msg("'%s' was taken", wrong[i]);
}

/* Messages in pieces of one byte. */
struct dripping {
  int fd;
  const uint8_t *data;
  size_t len;
};

static void *drip(void *arg) {
  const struct dripping *d = arg;
  for (size_t i = 0; i < d->len; i++)
    if (send(d->fd, d->data + i, 1, MSG_NOSIGNAL) != 1) abort();
  return NULL;
}

/* A listener's channel whose peer is a bare socket. */
static int bare_open(struct channel **server, int timeout_ms) {
  const struct net_address any = {.host = "127.0.0.1"};
  const struct net_limits limits = {.connect_timeout_ms = 1000, .timeout_ms = timeout_ms};
  struct listener *l;
  struct net_peer peer;
  int accepted;
  assert_ok(listener_open(&l, &any, NULL, NULL));
  const int fd = dial_plain(listener_port(l));
  assert_ok(listener_wait(l, &accepted, -1, NULL));
  assert_ok(listener_handshake(l, server, accepted, &limits, &peer, NULL));
  listener_close(l);
  return fd;
}

static void write_frame(struct writer *w, uint32_t len, uint32_t sequence, uint16_t type, const char *payload) {
  write_u32(w, len);
  write_u32(w, sequence);
  write_u16(w, type);
  write_u16(w, 0);
  write_u32(w, 0);
  write_bytes(w, payload, strlen(payload));
}

static void tcp__one_byte_at_a_time(void **state) {
  (void)state;
  struct channel *server;
  struct writer w = {0};
  uint8_t got[5];
  pthread_t thread;
  const int fd = bare_open(&server, 5000);
  for (uint32_t i = 0; i < 20; i++) write_frame(&w, 5, i, MSG_TEST, "hello");
  struct dripping d = {.fd = fd, .data = w.data, .len = w.len};
  pthread_create(&thread, NULL, drip, &d);
  for (int i = 0; i < 20; i++) {
    assert_ok(channel_recv(server, MSG_TEST, got, 5));
    assert_memory_equal(got, "hello", 5);
  }
  pthread_join(thread, NULL);
  close(fd);
  channel_close(server);
  writer_free(&w);
}

/* One malformed frame each: the receive fails with FUSION_E_PEER, and so does everything after. */
static void framing__malformed_frames_poison(void **state) {
  (void)state;
  const struct {
    uint32_t len, sequence;
    uint16_t type;
  } wrong[] = {{5, 0, MSG_TEST_OTHER}, {4, 0, MSG_TEST},          {6, 0, MSG_TEST},
               {5, 1, MSG_TEST},       {5, UINT32_MAX, MSG_TEST}, {UINT32_MAX, 0, MSG_TEST},
               {5, 0, 0xffff},         {500, 0, MSG_REFUSAL},     {5, 0, MSG_REFUSAL}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct channel *server;
    struct writer w = {0};
    uint8_t got[5];
    const int fd = bare_open(&server, 5000);
    write_frame(&w, wrong[i].len, wrong[i].sequence, wrong[i].type, "hello");
    assert_int_equal(send(fd, w.data, w.len, 0), w.len);
    if (channel_recv(server, MSG_TEST, got, 5) != FUSION_E_PEER) fail_msg("case %zu: not refused", i);
    assert_int_equal(channel_recv(server, MSG_TEST, got, 5), FUSION_E_PEER);
    assert_int_equal(channel_send(server, MSG_TEST, got, 5), FUSION_E_PEER);
    assert_int_equal(channel_flush(server), FUSION_E_PEER);
    assert_true(channel_error(server)->text[0] != '\0');
    close(fd);
    channel_close(server);
    writer_free(&w);
  }
}

static void framing__a_huge_length_takes_no_memory(void **state) {
  (void)state;
  struct channel *server;
  struct writer w = {0};
  uint8_t *data;
  size_t len;
  const int fd = bare_open(&server, 5000);
  write_frame(&w, UINT32_MAX, 0, MSG_TEST, "");
  assert_int_equal(send(fd, w.data, w.len, 0), w.len);
  assert_int_equal(channel_recv_sized(server, MSG_TEST, SIZE_MAX, &data, &len), FUSION_E_PEER);
  assert_null(data);
  close(fd);
  channel_close(server);
  writer_free(&w);
}

static void tcp__a_peer_that_closes_at_any_byte(void **state) {
  (void)state;
  struct writer w = {0};
  write_frame(&w, 5, 0, MSG_TEST, "hello");
  for (size_t cut = 0; cut < w.len; cut++) {
    struct channel *server;
    uint8_t got[5];
    const int fd = bare_open(&server, 5000);
    assert_int_equal(send(fd, w.data, cut, 0), cut);
    close(fd);
    assert_int_equal(channel_recv(server, MSG_TEST, got, 5), FUSION_E_CLOSED);
    channel_close(server);
  }
  writer_free(&w);
}

static void tcp__a_silent_peer_times_out(void **state) {
  (void)state;
  struct channel *server;
  uint8_t byte;
  const double start = clock_seconds();
  const int fd = bare_open(&server, 100);
  assert_int_equal(channel_recv(server, MSG_TEST, &byte, 1), FUSION_E_TIMEOUT);
  assert_true(clock_seconds() - start < 2);
  channel_close(server);
  close(fd);
}

static void tcp__a_peer_that_never_reads_times_out(void **state) {
  (void)state;
  struct channel *server;
  const size_t len = (size_t)32 << 20;
  uint8_t *data = calloc(len, 1);
  const int fd = bare_open(&server, 200);
  assert_int_equal(channel_send(server, MSG_TEST, data, len), FUSION_E_TIMEOUT);
  channel_close(server);
  close(fd);
  free(data);
}

struct trickle {
  int fd;
  _Atomic bool stop;
};

static void *trickle_bytes(void *arg) {
  struct trickle *t = arg;
  while (!t->stop && send(t->fd, "", 1, MSG_NOSIGNAL) == 1) usleep(20000);
  return NULL;
}

static void tcp__a_trickle_does_not_hold_the_line(void **state) {
  (void)state;
  struct channel *server;
  uint8_t big[4096];
  pthread_t thread;
  struct trickle t = {.fd = bare_open(&server, 300)};
  pthread_create(&thread, NULL, trickle_bytes, &t);
  assert_int_equal(channel_recv(server, MSG_TEST, big, sizeof big), FUSION_E_TIMEOUT);
  t.stop = true;
  pthread_join(thread, NULL);
  channel_close(server);
  close(t.fd);
}

static void *accept_and_wait(void *arg) {
  usleep(400000);
  close(*(int *)arg);
  return NULL;
}

static void tls__a_silent_handshake_times_out(void **state) {
  (void)state;
  struct tls_context *s = server_tls(NULL);
  const struct net_address any = {.host = "127.0.0.1"};
  const struct net_limits limits = {.connect_timeout_ms = 100, .timeout_ms = 1000};
  struct listener *l;
  struct channel *c;
  struct net_peer peer;
  pthread_t thread;
  int accepted;
  assert_ok(listener_open(&l, &any, s, NULL));
  int fd = dial_plain(listener_port(l));
  pthread_create(&thread, NULL, accept_and_wait, &fd);
  assert_ok(listener_wait(l, &accepted, -1, NULL));
  assert_int_equal(listener_handshake(l, &c, accepted, &limits, &peer, NULL), FUSION_E_TIMEOUT);
  pthread_join(thread, NULL);
  listener_close(l);
  tls_free(s);
}

static void *cancel_soon(void *arg) {
  usleep(50000);
  channel_cancel(arg);
  return NULL;
}

static void channel__cancel_ends_a_running_receive(void **state) {
  (void)state;
  struct tls_context *s = server_tls(NULL), *c = client_tls(certs.ca, false);
  for (int tls = 0; tls < 2; tls++) {
    struct pair p;
    pthread_t thread;
    uint8_t byte;
    pair_open(&p, tls ? s : NULL, tls ? c : NULL, "127.0.0.1", 20000);
    pthread_create(&thread, NULL, cancel_soon, p.client);
    assert_int_equal(channel_recv(p.client, MSG_TEST, &byte, 1), FUSION_E_CLOSED);
    pthread_join(thread, NULL);
    pair_close(&p);
  }
  tls_free(s);
  tls_free(c);
}

static void listener__stop_ends_the_wait(void **state) {
  (void)state;
  const struct net_address any = {.host = "127.0.0.1"};
  struct listener *l;
  int fd;
  assert_ok(listener_open(&l, &any, NULL, NULL));
  listener_stop(l);
  assert_int_equal(listener_wait(l, &fd, -1, NULL), FUSION_E_CLOSED);
  listener_close(l);
}

struct refusal {
  struct channel *channel;
  bool later;
};

static void *refuse(void *arg) {
  struct refusal *r = arg;
  channel_refuse(r->channel, r->later, "too many samples; \x1b[31m at most 5");
  channel_close(r->channel);
  return NULL;
}

/* The refused client learns why at its next receive, and also when it is in the middle of sending. */
static void refusal__text_arrives(void **state) {
  (void)state;
  const size_t len = (size_t)8 << 20;
  uint8_t *data = calloc(len, 1);
  struct tls_context *s = server_tls(NULL), *c = client_tls(certs.ca, false);
  for (int round = 0; round < 4; round++) {
    const bool tls = round & 1, sending = round & 2;
    struct pair p;
    pthread_t thread;
    pair_open(&p, tls ? s : NULL, tls ? c : NULL, "127.0.0.1", 5000);
    struct refusal r = {p.server, round == 1 || round == 2};
    pthread_create(&thread, NULL, refuse, &r);
    fusion_status status = FUSION_OK;
    for (int i = 0; i < 100 && sending && status == FUSION_OK; i++) {
      status = channel_send(p.client, MSG_TEST, data, len);
      usleep(50000);
    }
    if (!sending) status = channel_recv(p.client, MSG_TEST, data, len);
    /* While the server lingers it swallows what we send; then sending fails, and the text is found. */
    assert_int_equal(status, r.later ? FUSION_E_BUSY : FUSION_E_REFUSED);
    assert_non_null(strstr(channel_error(p.client)->text, "too many samples; ?[31m at most 5"));
    pthread_join(thread, NULL);
    p.server = NULL;
    pair_close(&p);
  }
  tls_free(s);
  tls_free(c);
  free(data);
}

static void *answer_one(void *arg) {
  struct big *b = arg;
  b->status = channel_recv(b->channel, MSG_TEST, b->in, b->len);
  if (b->status == FUSION_OK) b->status = channel_send(b->channel, MSG_TEST, b->in, b->len);
  if (b->status == FUSION_OK) b->status = channel_flush(b->channel);
  return NULL;
}

static void *ask_one(void *arg) {
  struct big *b = arg;
  b->status = channel_send(b->channel, MSG_TEST, b->out, b->len);
  if (b->status == FUSION_OK) b->status = channel_recv(b->channel, MSG_TEST, b->in, b->len);
  return NULL;
}

/* Counts to `limit`, each time for 0.1 ms, and at `send_at` sends what the other end waits for. */
struct idler {
  struct channel *peer;
  unsigned limit, send_at, calls;
};

static bool idle_work(void *context) {
  struct idler *i = context;
  if (i->calls >= i->limit) return false;
  i->calls++;
  usleep(100);
  if (i->calls == i->send_at) {
    assert_ok(channel_send(i->peer, MSG_TEST, "word", 4));
    assert_ok(channel_flush(i->peer));
  }
  return true;
}

/* Work goes on until the message comes, and no longer, unless it comes to its end before. */
static void check_idle(struct channel *waits, struct channel *peer, unsigned delay_ms) {
  char got[4];
  struct idler i = {.peer = peer, .limit = 100000, .send_at = 20};
  channel_set_idle(waits, (struct channel_idle){idle_work, &i});
  assert_ok(channel_recv(waits, MSG_TEST, got, 4));
  assert_memory_equal(got, "word", 4);
  assert_true(i.calls >= 20 && i.calls < 100000);
  if (delay_ms) assert_true(i.calls > 20);
  i = (struct idler){.peer = peer, .limit = 20, .send_at = 20}; /* then waits */
  assert_ok(channel_recv(waits, MSG_TEST, got, 4));
  assert_int_equal(i.calls, 20);
  i = (struct idler){.peer = peer, .limit = 100000};
  assert_ok(channel_send(peer, MSG_TEST, "word", 4));
  assert_ok(channel_flush(peer));
  usleep(50000 + 1000 * delay_ms); /* it is there */
  assert_ok(channel_recv(waits, MSG_TEST, got, 4));
  assert_int_equal(i.calls, 0);
  channel_set_idle(waits, (struct channel_idle){NULL, NULL});
}

static void idle__work_is_done_while_nothing_comes(void **state) {
  (void)state;
  struct tls_context *s = server_tls(NULL), *c = client_tls(certs.ca, false);
  const struct shape_settings settings = {.bytes_per_second = 10e6, .latency_ms = 20};
  for (int kind = 0; kind < 4; kind++) { /* a pipe, TCP, TLS, TCP that is slowed down */
    struct pair p = {0};
    if (kind) pair_open(&p, kind == 2 ? s : NULL, kind == 2 ? c : NULL, "127.0.0.1", 5000);
    if (!kind) assert_ok(channel_pipe(&p.server, &p.client));
    if (kind == 3) {
      assert_ok(channel_shape(&p.server, &settings));
      assert_ok(channel_shape(&p.client, &settings));
    }
    check_idle(p.server, p.client, kind == 3 ? 20 : 0);
    check_idle(p.client, p.server, kind == 3 ? 20 : 0);
    channel_close(p.server);
    channel_close(p.client);
  }
  tls_free(s);
  tls_free(c);
}

static void shaped__delays_by_latency_and_bandwidth(void **state) {
  (void)state;
  const struct shape_settings settings = {.bytes_per_second = 10e6, .latency_ms = 30};
  const size_t len = 1000000;
  struct big s = {.len = len}, c = {.len = len};
  assert_ok(channel_pipe(&s.channel, &c.channel));
  assert_ok(channel_shape(&s.channel, &settings));
  assert_ok(channel_shape(&c.channel, &settings));
  s.in = malloc(len), c.out = calloc(len, 1), c.in = malloc(len);
  const double start = clock_seconds();
  test_run_both(answer_one, &s, ask_one, &c);
  const double seconds = clock_seconds() - start;
  assert_ok(s.status);
  assert_ok(c.status);
  /* 2 * (30 ms + 1 MB at 10 MB/s) = 260 ms */
  assert_true(seconds > 0.255);
  assert_true(seconds < 1.5);
  channel_close(s.channel);
  channel_close(c.channel);
  free(s.in), free(c.out), free(c.in);
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
      cmocka_unit_test(tcp__both_send_the_most_at_once),
      cmocka_unit_test(tls__both_send_the_most_at_once),
      cmocka_unit_test(tls__a_wrong_authority_is_refused),
      cmocka_unit_test(tls__a_wrong_host_is_refused),
      cmocka_unit_test(tls__a_common_name_is_no_host_name),
      cmocka_unit_test(tls__a_server_certificate_for_another_purpose_is_refused),
      cmocka_unit_test(tls__a_client_certificate_for_another_purpose_is_refused),
      cmocka_unit_test(tls__a_missing_client_certificate_is_refused),
      cmocka_unit_test(tls__a_strange_client_certificate_is_refused),
      cmocka_unit_test(tls__a_client_certificate_is_seen_by_the_server),
      cmocka_unit_test(tls__version_1_2_is_refused),
      cmocka_unit_test(tls__bad_files_are_named),
      cmocka_unit_test(tls__a_silent_handshake_times_out),
      cmocka_unit_test(plaintext__other_machines_are_refused),
      cmocka_unit_test(address__forms),
      cmocka_unit_test(address__of_this_machine),
      cmocka_unit_test(tcp__one_byte_at_a_time),
      cmocka_unit_test(tcp__a_peer_that_closes_at_any_byte),
      cmocka_unit_test(tcp__a_silent_peer_times_out),
      cmocka_unit_test(tcp__a_peer_that_never_reads_times_out),
      cmocka_unit_test(tcp__a_trickle_does_not_hold_the_line),
      cmocka_unit_test(framing__malformed_frames_poison),
      cmocka_unit_test(framing__a_huge_length_takes_no_memory),
      cmocka_unit_test(channel__cancel_ends_a_running_receive),
      cmocka_unit_test(listener__stop_ends_the_wait),
      cmocka_unit_test(refusal__text_arrives),
      cmocka_unit_test(idle__work_is_done_while_nothing_comes),
      cmocka_unit_test(shaped__delays_by_latency_and_bandwidth),
  };
  return cmocka_run_group_tests(tests, make_certs, remove_certs);
}
