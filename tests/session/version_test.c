/* Peers of other releases: what they say here is written by hand, byte for byte, as their versions do. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cursor.h"
#include "session/messages.h"
#include "session/session_scene.h"
#include "support/support.h"

enum { TYPE_HELLO = 1, TYPE_REFUSAL = 4, PAYLOAD_MAX = 512 }; /* as in version 1, and in all that follow */

struct frame {
  uint16_t type; /* 0: the connection ended */
  size_t len;
  uint8_t payload[PAYLOAD_MAX];
};

static bool read_all(int fd, void *out, size_t len) {
  for (size_t have = 0; have < len;) {
    const ssize_t n = recv(fd, (uint8_t *)out + have, len - have, 0);
    if (n <= 0) return false;
    have += (size_t)n;
  }
  return true;
}

static void frame_read(int fd, struct frame *f) {
  uint8_t header[CHANNEL_HEADER_LEN];
  *f = (struct frame){0};
  if (!read_all(fd, header, sizeof header)) return;
  struct reader r = reader_of(header, sizeof header);
  f->len = read_u32(&r);
  (void)read_u32(&r); /* sequence number */
  f->type = read_u16(&r);
  if (f->len > sizeof f->payload || !read_all(fd, f->payload, f->len)) f->type = 0;
}

/* The first frame of a side. */
static bool frame_write(int fd, uint16_t type, const struct writer *payload) {
  struct writer w = {0};
  write_u32(&w, (uint32_t)payload->len);
  write_u32(&w, 0);
  write_u16(&w, type);
  write_u16(&w, 0);
  write_u32(&w, 0);
  write_bytes(&w, payload->data, payload->len);
  const bool sent = !w.failed && send(fd, w.data, w.len, MSG_NOSIGNAL) == (ssize_t)w.len;
  writer_free(&w);
  return sent;
}

static void write_head(struct writer *w, uint32_t version, uint8_t role) {
  write_bytes(w, "FUSION\r\n", 8);
  write_u32(w, version);
  write_u8(w, role);
}

/* What follows version, role and range in a client's HELLO, in versions 1 and 2. */
static void write_job(struct writer *w) {
  write_string(w, "fake");
  for (uint8_t i = 0; i < 16; i++) write_u8(w, i); /* job */
  write_u64(w, 5);                                 /* samples */
  write_u8(w, 0);                                  /* has no manifest */
  for (int i = 0; i < 32; i++) write_u8(w, 0);
  write_u8(w, 0);      /* wants no receipts */
  write_string(w, ""); /* the only model; version 1 said nothing of models */
}

static void expect_refusal(const struct frame *f, const char *text) {
  char got[PAYLOAD_MAX];
  assert_int_equal(f->type, TYPE_REFUSAL);
  struct reader r = reader_of(f->payload, f->len);
  assert_int_equal(read_u8(&r), 0);
  read_string(&r, got, sizeof got);
  assert_true(reader_done(&r));
  assert_string_equal(got, text);
}

static const char *const refused = "it speaks version 2 of the protocol; use the same release on both sides";

/* Sends a HELLO of these bytes to the scene's server; its first answer. */
static void greet_server(const struct session_scene *s, struct writer *hello, struct frame *answer) {
  const struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons(s->ask_handles.address.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
  assert_true(frame_write(fd, TYPE_HELLO, hello));
  frame_read(fd, answer);
  close(fd);
  writer_free(hello);
}

static void server__tells_a_client_of_version_1(void **state) {
  (void)state;
  struct session_scene s;
  struct frame answer;
  struct writer hello = {0};
  scene_prepare(&s);
  scene_start(&s);
  write_head(&hello, 1, 'C');
  write_job(&hello);
  greet_server(&s, &hello, &answer);
  expect_refusal(&answer, refused);
  scene_end(&s);
  expect_log(&s, "the peer speaks version 1 of the protocol; this is version 2: use the same release on both sides");
}

/* It says more than version 2 knows, and gets version 2. */
static void server__serves_a_newer_client_that_speaks_this_version(void **state) {
  (void)state;
  struct session_scene s;
  struct frame answer;
  struct writer hello = {0};
  scene_prepare(&s);
  scene_start(&s);
  write_head(&hello, 9, 'C');
  write_u32(&hello, 2);
  write_job(&hello);
  write_string(&hello, "something that version 9 added");
  greet_server(&s, &hello, &answer);
  assert_int_equal(answer.type, TYPE_HELLO);
  struct reader r = reader_of(answer.payload, answer.len);
  (void)read_u64(&r); /* magic */
  assert_int_equal(read_u32(&r), 2);
  assert_int_equal(read_u8(&r), 'S');
  scene_end(&s);
}

static void server__tells_a_client_without_a_common_version(void **state) {
  (void)state;
  struct session_scene s;
  struct frame answer;
  struct writer hello = {0};
  scene_prepare(&s);
  scene_start(&s);
  write_head(&hello, 9, 'C');
  write_u32(&hello, 3);
  greet_server(&s, &hello, &answer);
  expect_refusal(&answer, refused);
  write_head(&hello, 0, 'C');
  greet_server(&s, &hello, &answer);
  expect_refusal(&answer, refused);
  scene_end(&s);
  expect_log(&s, "the peer speaks versions 3 to 9 of the protocol; this is version 2: use the same release");
  expect_log(&s, "the peer speaks version 0 of the protocol");
}

static void server__refuses_malformed_ranges(void **state) {
  (void)state;
  static const struct {
    uint32_t newest, oldest;
    bool cut;
  } ranges[] = {{2, 3, false}, {9, 10, false}, {2, 0, false}, {9, 0, false}, {UINT32_MAX, 0, false}, {2, 2, true}};
  struct session_scene s;
  scene_prepare(&s);
  scene_start(&s);
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
    struct frame answer;
    struct writer hello = {0};
    write_head(&hello, ranges[i].newest, 'C');
    if (!ranges[i].cut) write_u32(&hello, ranges[i].oldest);
    if (!ranges[i].cut) write_job(&hello);
    greet_server(&s, &hello, &answer);
    expect_refusal(&answer, "the client did not follow the protocol");
  }
  scene_end(&s);
  expect_log(&s, "a range of versions that cannot be read");
}

/* A server that answers a HELLO with one frame, and what the client says to it. */
struct played {
  int listener;
  uint16_t type;
  struct writer payload;
  struct frame hello, last;
};

static void *play(void *arg) {
  struct played *p = arg;
  const int fd = accept(p->listener, NULL, NULL);
  frame_read(fd, &p->hello);
  if (frame_write(fd, p->type, &p->payload)) frame_read(fd, &p->last);
  close(fd);
  return NULL;
}

/* A job against that server must end so. */
static void ask_played(struct played *p, const char *text) {
  struct session_scene s;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof at;
  pthread_t thread;
  p->listener = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(p->listener, (const struct sockaddr *)&at, sizeof at), 0);
  assert_int_equal(listen(p->listener, 1), 0);
  assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &len), 0);
  scene_prepare(&s);
  s.ask_handles.address.port = ntohs(at.sin_port);
  assert_int_equal(pthread_create(&thread, NULL, play, p), 0);
  expect_failure(&s, FUSION_E_VERSION, text);
  pthread_join(thread, NULL);
  close(p->listener);
  model_free(s.model);
  writer_free(&p->payload);
}

/* It answers every other version with this refusal. */
static void client__knows_a_server_of_version_1_by_its_refusal(void **state) {
  (void)state;
  struct played p = {.type = TYPE_REFUSAL};
  write_u8(&p.payload, 0);
  write_string(&p.payload, "the protocol was not followed");
  ask_played(&p, "the peer speaks version 1 of the protocol; this is version 2: use the same release on both sides");
  /* What it saw, up to where version 1 stops reading. */
  struct writer head = {0};
  write_head(&head, 2, 'C');
  assert_int_equal(p.hello.type, TYPE_HELLO);
  assert_true(p.hello.len <= 256); /* the longest HELLO that version 1 takes */
  assert_memory_equal(p.hello.payload, head.data, head.len);
  writer_free(&head);
}

static void client__refuses_a_server_that_picks_another_version(void **state) {
  (void)state;
  static const uint32_t versions[] = {1, 0, 3, 9, UINT32_MAX};
  for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
    struct played p = {.type = TYPE_HELLO};
    char text[64];
    snprintf(text, sizeof text, "the peer speaks version %u of the protocol; this is version 2", versions[i]);
    write_head(&p.payload, versions[i], 'S');
    write_string(&p.payload, "fake");
    for (int k = 0; k < 32; k++) write_u8(&p.payload, 0); /* hash */
    write_u32(&p.payload, 100);
    ask_played(&p, text);
    expect_refusal(&p.last, refused);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(server__tells_a_client_of_version_1),
      cmocka_unit_test(server__serves_a_newer_client_that_speaks_this_version),
      cmocka_unit_test(server__tells_a_client_without_a_common_version),
      cmocka_unit_test(server__refuses_malformed_ranges),
      cmocka_unit_test(client__knows_a_server_of_version_1_by_its_refusal),
      cmocka_unit_test(client__refuses_a_server_that_picks_another_version),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
