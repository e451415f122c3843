/* Connections that a load balancer passes on: the test plays it, on the loopback address. */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "session/session_scene.h"
#include "support/support.h"

enum { HEADER_LEN = 28, EACH = 64 /* connections of one network that wait */ };

static struct proxy_list loopback;

static int dial(const struct session_scene *s) {
  const struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons(s->ask_handles.address.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
  return fd;
}

/* From 203.0.113.`host`, port 40000. */
static void say_source(int fd, uint8_t host) {
  uint8_t h[HEADER_LEN] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71";
  const uint8_t ports[] = {192, 0, 2, 1, 0x9c, 0x40, 0x1e, 0x14};
  h[19] = host;
  memcpy(h + 20, ports, sizeof ports);
  assert_int_equal(send(fd, h, sizeof h, MSG_NOSIGNAL), HEADER_LEN);
}

static void start(struct session_scene *s, const char *addresses) {
  assert_ok(proxy_list_parse(&loopback, addresses, NULL));
  scene_prepare(s);
  s->serve_handles.proxies = &loopback;
  scene_start(s);
}

static void wait_for_connections(struct server *server, uint64_t count) {
  const double end = clock_seconds() + 20;
  while (server_get_totals(server).connections != count && clock_seconds() < end) usleep(2000);
  assert_int_equal(server_get_totals(server).connections, count);
}

static void wait_for_refused(struct server *server, uint64_t count) {
  const double end = clock_seconds() + 20;
  while (server_get_totals(server).refused != count && clock_seconds() < end) usleep(2000);
  assert_int_equal(server_get_totals(server).refused, count);
}

static void source__is_the_one_in_the_header(void **state) {
  (void)state;
  static const char garbage[64] = "this is no frame";
  struct session_scene s;
  start(&s, "127.0.0.0/8");
  const int fd = dial(&s);
  say_source(fd, 7);
  assert_int_equal(send(fd, garbage, sizeof garbage, MSG_NOSIGNAL), sizeof garbage);
  wait_for_refused(s.server, 1);
  close(fd);
  scene_end(&s);
  expect_log(&s, "refused 203.0.113.7:40000: ");
}

static void header__is_demanded_and_must_be_of_version_2(void **state) {
  (void)state;
  static const char version_1[] = "PROXY TCP4 203.0.113.7 192.0.2.1 40000 7700\r\n";
  struct session_scene s;
  start(&s, "127.0.0.1");
  expect_failure(&s, FUSION_E_CLOSED, ""); /* a client without a proxy, each time that it tries */
  usleep(300000);
  const uint64_t refused = server_get_totals(s.server).refused;
  const int fd = dial(&s);
  assert_int_equal(send(fd, version_1, sizeof version_1, MSG_NOSIGNAL), sizeof version_1);
  wait_for_refused(s.server, refused + 1);
  close(fd);
  scene_end(&s);
  expect_log(&s, "the proxy sent no PROXY protocol header");
  expect_log(&s, "the proxy speaks version 1 of the PROXY protocol");
}

static void header__of_others_is_not_taken(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  start(&s, "10.0.0.0/8,::1");
  const int fd = dial(&s);
  say_source(fd, 7);
  wait_for_refused(s.server, 1);
  close(fd);
  expect_accept(&s, &v);
  scene_end(&s);
  expect_log(&s, "refused 127.0.0.1:");
  assert_null(strstr(s.log, "203.0.113.7"));
}

static void proxy__looks_without_a_line(void **state) {
  (void)state;
  static const uint8_t local[16] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
  struct session_scene s;
  start(&s, "127.0.0.1");
  int fd = dial(&s);
  assert_int_equal(send(fd, local, sizeof local, MSG_NOSIGNAL), sizeof local);
  close(fd);
  fd = dial(&s); /* a client that leaves at once */
  say_source(fd, 7);
  close(fd);
  usleep(300000);
  wait_for_connections(s.server, 0);
  assert_int_equal(server_get_totals(s.server).refused, 0);
  scene_end(&s);
  assert_null(strstr(s.log, "refused"));
}

/* A balancer that gives up a connection resets it, often before the server has taken it. */
static void proxy__resets_without_a_line(void **state) {
  (void)state;
  static const struct linger at_once = {.l_onoff = 1};
  struct session_scene s;
  start(&s, "127.0.0.1");
  for (int i = 0; i < 500; i++) {
    const int fd = dial(&s);
    say_source(fd, 7);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(fd);
  }
  usleep(300000);
  wait_for_connections(s.server, 0);
  assert_int_equal(server_get_totals(s.server).refused, 0);
  scene_end(&s);
  assert_null(strstr(s.log, "refused"));
}

static void waiting__is_counted_by_the_clients_network(void **state) {
  (void)state;
  enum { SILENT = 150 };
  struct session_scene s;
  int fds[2 * SILENT];
  assert_ok(proxy_list_parse(&loopback, "127.0.0.1", NULL));
  scene_prepare(&s);
  s.serve_handles.proxies = &loopback;
  s.serve.handshake_timeout_ms = 60000;
  scene_start(&s);
  for (int i = 0; i < SILENT; i++) {
    fds[i] = dial(&s);
    say_source(fds[i], (uint8_t)i);
  }
  wait_for_connections(s.server, SILENT); /* more than one network may have, of many networks */
  usleep(400000);
  for (int i = SILENT; i < 2 * SILENT; i++) {
    fds[i] = dial(&s);
    say_source(fds[i], 0);
    usleep(i < SILENT + EACH ? 0 : 10000);
  }
  const double end = clock_seconds() + 20;
  while (server_get_totals(s.server).connections > SILENT + EACH && clock_seconds() < end) usleep(2000);
  assert_in_range(server_get_totals(s.server).connections, SILENT, SILENT + EACH);
  for (int i = 0; i < 2 * SILENT; i++) close(fds[i]);
  scene_end(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(source__is_the_one_in_the_header),
      cmocka_unit_test(header__is_demanded_and_must_be_of_version_2),
      cmocka_unit_test(header__of_others_is_not_taken),
      cmocka_unit_test(proxy__looks_without_a_line),
      cmocka_unit_test(proxy__resets_without_a_line),
      cmocka_unit_test(waiting__is_counted_by_the_clients_network),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
