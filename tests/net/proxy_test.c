/* The PROXY protocol: headers byte for byte, lists of addresses, and reading from a connection. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/proxy_protocol.h"
#include "support/support.h"

enum { HEADER_MAX = PROXY_FIXED_LEN + PROXY_REST_MAX + 8 };

struct header {
  uint8_t bytes[HEADER_MAX];
  size_t len;
};

static void add(struct header *h, const void *bytes, size_t len) {
  memcpy(h->bytes + h->len, bytes, len);
  h->len += len;
  h->bytes[14] = (uint8_t)((h->len - PROXY_FIXED_LEN) >> 8);
  h->bytes[15] = (uint8_t)(h->len - PROXY_FIXED_LEN);
}

static struct header header_of(uint8_t command, uint8_t family) {
  struct header h = {.bytes = "\r\n\r\n\0\r\nQUIT\n", .len = PROXY_FIXED_LEN};
  h.bytes[12] = command;
  h.bytes[13] = family;
  return h;
}

/* From 203.0.113.7:40000 to 192.0.2.1:7700. */
static struct header header_of_4(void) {
  struct header h = header_of(0x21, 0x11);
  add(&h, "\xcb\x00\x71\x07\xc0\x00\x02\x01\x9c\x40\x1e\x14", 12);
  return h;
}

static void expect_refused(const struct header *h, const char *text) {
  struct proxy_source source;
  fusion_error why;
  assert_int_equal(proxy_parse(h->bytes, h->len, &source, &why), FUSION_E_PEER);
  if (!strstr(why.text, text)) fail_msg("'%s' where '%s' was due", why.text, text);
  assert_false(source.known);
}

static void parse__takes_the_source_of_both_families(void **state) {
  (void)state;
  struct proxy_source source;
  struct header h = header_of_4();
  assert_ok(proxy_parse(h.bytes, h.len, &source, NULL));
  assert_true(source.known);
  assert_string_equal(source.address, "203.0.113.7:40000");
  assert_memory_equal(source.network, "\xcb\x00\x71\x07\0\0\0\0", NET_NETWORK_LEN);
  h = header_of(0x21, 0x21);
  uint8_t six[36] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1, [31] = 2, [32] = 0x9c, 0x40, 0x1e, 0x14};
  add(&h, six, sizeof six);
  assert_ok(proxy_parse(h.bytes, h.len, &source, NULL));
  assert_string_equal(source.address, "[2001:db8::1]:40000");
  assert_memory_equal(source.network, "\x20\x01\x0d\xb8\0\0\0\0", NET_NETWORK_LEN);
}

static void parse__a_look_of_the_proxy_itself_has_no_source(void **state) {
  (void)state;
  struct proxy_source source;
  struct header h = header_of(0x20, 0x00);
  assert_ok(proxy_parse(h.bytes, h.len, &source, NULL));
  assert_false(source.known);
  add(&h, "whatever", 8);
  assert_ok(proxy_parse(h.bytes, h.len, &source, NULL));
  assert_false(source.known);
}

static void parse__what_is_not_exact_is_refused(void **state) {
  (void)state;
  struct header h = {.bytes = "PROXY TCP4 203.0.113.7 192.0.2.1 40000 7700\r\n", .len = 46};
  expect_refused(&h, "version 1 of the PROXY protocol; set it to version 2 (haproxy: send-proxy-v2)");
  h = (struct header){.bytes = {0x16, 3, 1}, .len = 64};
  expect_refused(&h, "no PROXY protocol header");
  h = header_of_4();
  h.bytes[12] = 0x31;
  expect_refused(&h, "version and command 0x31");
  h = header_of_4();
  h.bytes[12] = 0x22;
  expect_refused(&h, "version and command 0x22");
  h = header_of_4();
  h.len--;
  expect_refused(&h, "cut off");
  h = header_of_4();
  h.len++;
  expect_refused(&h, "cut off");
  h = header_of(0x21, 0x11);
  add(&h, "\xcb\x00\x71\x07\xc0\x00\x02\x01\x9c\x40\x1e", 11);
  expect_refused(&h, "too short for its addresses");
  h = header_of(0x21, 0x00);
  expect_refused(&h, "does not say whom");
  h = header_of_4();
  h.bytes[13] = 0x12; /* UDP */
  expect_refused(&h, "not of TCP");
  h.bytes[13] = 0x31; /* a Unix socket */
  expect_refused(&h, "not of TCP");
  h = header_of_4();
  h.bytes[14] = 0xff;
  expect_refused(&h, "longer than");
}

static void parse__extensions_fill_the_header_exactly(void **state) {
  (void)state;
  struct proxy_source source;
  struct header h = header_of_4();
  add(&h, "\x05\x00\x02id\x04\x00\x00", 8); /* an id, and padding of no length */
  assert_ok(proxy_parse(h.bytes, h.len, &source, NULL));
  assert_true(source.known);
  h = header_of_4();
  add(&h, "\x05\x00\x03id", 5);
  expect_refused(&h, "extensions");
  h = header_of_4();
  add(&h, "\x05\x00", 2);
  expect_refused(&h, "extensions");
}

/* The sum was computed by another program, which gives the sum of RFC 3720, B.4, for 32 zeros. */
static void parse__a_checksum_must_be_right(void **state) {
  (void)state;
  struct proxy_source source;
  struct header h = header_of_4();
  add(&h, "\x03\x00\x04\x00\x00\x00\x00", 7);
  expect_refused(&h, "checksum");
  memcpy(h.bytes + h.len - 4, "CRC!", 4);
  expect_refused(&h, "checksum");
  static const uint8_t right[4] = {0x3e, 0xbf, 0x9e, 0x55};
  memcpy(h.bytes + h.len - 4, right, 4);
  assert_ok(proxy_parse(h.bytes, h.len, &source, NULL));
  h.bytes[16] ^= 1;
  expect_refused(&h, "checksum");
  h = header_of_4();
  add(&h, "\x03\x00\x03\x00\x00\x00", 6);
  expect_refused(&h, "checksum");
}

/* ---- connections ---- */

static void connect_pair(int pair[2]) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof at;
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(listener, (const struct sockaddr *)&at, len), 0);
  assert_int_equal(listen(listener, 1), 0);
  assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
  pair[0] = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(connect(pair[0], (const struct sockaddr *)&at, sizeof at), 0);
  pair[1] = accept(listener, NULL, NULL);
  assert_true(pair[1] >= 0);
  close(listener);
}

static bool list_has(const char *text, int fd) {
  struct proxy_list l;
  fusion_error err;
  if (proxy_list_parse(&l, text, &err) != FUSION_OK) fail_msg("%s", err.text);
  return proxy_list_has(&l, fd);
}

static void list__covers_addresses_and_networks(void **state) {
  (void)state;
  static const char *const wrong[] = {"",
                                      "10.0.0.0/33",
                                      "10.0.0.0/",
                                      "10.0.0.0/-1",
                                      "10.0.0",
                                      "host",
                                      "::1/129",
                                      ",",
                                      "::1,",
                                      "::1/8x",
                                      "1234567890123456789012345678901234567890123456789012345678901234567890"};
  int pair[2];
  struct proxy_list l;
  connect_pair(pair);
  assert_true(list_has("127.0.0.1", pair[1]));
  assert_true(list_has("10.0.0.0/8,127.0.0.0/8", pair[1]));
  assert_true(list_has("::ffff:127.0.0.1", pair[1]));
  assert_true(list_has("126.0.0.0/7", pair[1]));
  assert_true(list_has("0.0.0.0/0", pair[1]));
  assert_false(list_has("::1", pair[1]));
  assert_false(list_has("127.0.0.2,128.0.0.0/7", pair[1]));
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    assert_int_equal(proxy_list_parse(&l, wrong[i], NULL), FUSION_E_USAGE);
  close(pair[0]);
  close(pair[1]);
}

static void list__knows_nobody_who_is_gone(void **state) {
  (void)state;
  static const struct linger at_once = {.l_onoff = 1};
  static const uint8_t zeros[NET_NETWORK_LEN], here[NET_NETWORK_LEN] = {127, 0, 0, 1};
  uint8_t network[NET_NETWORK_LEN];
  int pair[2];
  connect_pair(pair);
  assert_true(socket_peer_network(pair[1], network));
  assert_memory_equal(network, here, sizeof here);
  assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
  close(pair[0]);
  assert_false(list_has("0.0.0.0/0", pair[1]));
  assert_false(socket_peer_network(pair[1], network));
  assert_memory_equal(network, zeros, sizeof zeros);
  close(pair[1]);
}

static void receive__leaves_what_follows_the_header(void **state) {
  (void)state;
  int pair[2];
  struct proxy_source source;
  struct header h = header_of_4();
  char rest[8];
  connect_pair(pair);
  add(&h, "\x04\x00\x01\x00", 4);
  assert_int_equal(send(pair[0], h.bytes, h.len, 0), (ssize_t)h.len);
  assert_int_equal(send(pair[0], "hello", 5, 0), 5);
  assert_ok(proxy_receive(pair[1], clock_seconds() + 5, &source, NULL));
  assert_string_equal(source.address, "203.0.113.7:40000");
  assert_int_equal(recv(pair[1], rest, sizeof rest, 0), 5);
  assert_memory_equal(rest, "hello", 5);
  assert_int_equal(send(pair[0], h.bytes, 20, 0), 20);
  assert_int_equal(proxy_receive(pair[1], clock_seconds() + 0.05, &source, NULL), FUSION_E_TIMEOUT);
  close(pair[0]);
  assert_int_equal(proxy_receive(pair[1], clock_seconds() + 5, &source, NULL), FUSION_E_CLOSED);
  close(pair[1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(parse__takes_the_source_of_both_families),
      cmocka_unit_test(parse__a_look_of_the_proxy_itself_has_no_source),
      cmocka_unit_test(parse__what_is_not_exact_is_refused),
      cmocka_unit_test(parse__extensions_fill_the_header_exactly),
      cmocka_unit_test(parse__a_checksum_must_be_right),
      cmocka_unit_test(list__covers_addresses_and_networks),
      cmocka_unit_test(list__knows_nobody_who_is_gone),
      cmocka_unit_test(receive__leaves_what_follows_the_header),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
