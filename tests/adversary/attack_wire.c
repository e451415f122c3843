/* Attacks below the session: sockets, TLS, frames. And the table of all attacks. */
#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "adversary/attack.h"
#include "base/cursor.h"
#include "support/support.h"

static void pause_ms(int ms) {
  struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

bool wire_open(struct wire *w, const struct attack_target *target, bool secure) {
  *w = (struct wire){.fd = -1};
  if (socket_connect(&w->fd, &target->address, true, 5000, NULL) != FUSION_OK) return false;
  if (!secure || !target->tls) return true;
  const double deadline = clock_seconds() + 5;
  if (tls_handshake(&w->ssl, target->tls, w->fd, target->address.host, deadline, NULL) == FUSION_OK) return true;
  close(w->fd);
  return false;
}

/* One try to move bytes; 0: wait for *events, -1: over. */
static ssize_t step(struct wire *w, void *in, const void *out, size_t len, short *events) {
  size_t moved = 0;
  if (!w->ssl) {
    const ssize_t n = out ? send(w->fd, out, len, MSG_NOSIGNAL | MSG_DONTWAIT) : recv(w->fd, in, len, MSG_DONTWAIT);
    *events = out ? POLLOUT : POLLIN;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    return n > 0 ? n : -1;
  }
  ERR_clear_error();
  errno = 0;
  const int result = out ? SSL_write_ex(w->ssl, out, len, &moved) : SSL_read_ex(w->ssl, in, len, &moved);
  if (result == 1) return (ssize_t)moved;
  return tls_outcome(w->ssl, result, events, NULL) == FUSION_OK ? 0 : -1;
}

bool wire_send(struct wire *w, const void *data, size_t len, int limit_ms) {
  const uint8_t *at = data;
  const double deadline = clock_seconds() + limit_ms * 1e-3;
  while (len) {
    short events = POLLOUT;
    const ssize_t n = step(w, NULL, at, len, &events);
    if (n < 0) return false;
    at += n;
    len -= (size_t)n;
    if (!n && socket_wait(w->fd, events, deadline) != FUSION_OK) return false;
  }
  return true;
}

enum attack_end wire_wait(struct wire *w, int limit_ms) {
  const double deadline = clock_seconds() + limit_ms * 1e-3;
  uint8_t dropped[4096];
  for (;;) {
    short events = POLLIN;
    const ssize_t n = step(w, dropped, NULL, sizeof dropped, &events);
    if (n < 0) return ATTACK_ENDED;
    if (!n && socket_wait(w->fd, events, deadline) != FUSION_OK) return ATTACK_ENDURED;
  }
}

void wire_close(struct wire *w, bool reset) {
  const struct linger none = {.l_onoff = 1, .l_linger = 0};
  if (reset) (void)!setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  if (w->ssl) SSL_free(w->ssl);
  close(w->fd);
}

static enum attack_end finish(struct wire *w, const struct attack_target *target) {
  const enum attack_end end = wire_wait(w, target->give_up_ms);
  wire_close(w, false);
  return end;
}

/* ---- TCP and TLS ---- */

/* value: 0 leaves with a goodbye, 1 with a reset. */
static enum attack_end leave(const struct attack *a, const struct attack_target *target, uint64_t *random) {
  struct wire w;
  (void)random;
  if (!wire_open(&w, target, a->value > 1)) return ATTACK_NO_START;
  wire_close(&w, a->value & 1);
  return ATTACK_ENDED;
}

/* value: 0 before TLS, 1 after it. */
static enum attack_end say_nothing(const struct attack *a, const struct attack_target *target, uint64_t *random) {
  struct wire w;
  (void)random;
  if (!wire_open(&w, target, a->value)) return ATTACK_NO_START;
  return finish(&w, target);
}

/* value: 0 in place of TLS, 1 inside it. */
static enum attack_end say_garbage(const struct attack *a, const struct attack_target *target, uint64_t *random) {
  struct wire w;
  uint8_t bytes[3000];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)test_random(random);
  if (!wire_open(&w, target, a->value)) return ATTACK_NO_START;
  (void)wire_send(&w, bytes, sizeof bytes, target->give_up_ms);
  return finish(&w, target);
}

static enum attack_end speak_http(const struct attack *a, const struct attack_target *target, uint64_t *random) {
  static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
  struct wire w;
  (void)random;
  if (!wire_open(&w, target, a->value)) return ATTACK_NO_START;
  (void)wire_send(&w, request, sizeof request - 1, target->give_up_ms);
  return finish(&w, target);
}

/* A real client's first TLS flight, cut in the middle (value 0) or with a flipped byte (value 1). */
static enum attack_end spoil_tls(const struct attack *a, const struct attack_target *target, uint64_t *random) {
  struct wire w;
  uint8_t hello[4096];
  SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
  SSL *ssl = ctx ? SSL_new(ctx) : NULL;
  BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
  if (!ssl || !in || !out || !wire_open(&w, target, false)) return ATTACK_NO_START;
  SSL_set_bio(ssl, in, out);
  (void)SSL_connect(ssl);
  int len = BIO_read(out, hello, sizeof hello);
  SSL_free(ssl);
  SSL_CTX_free(ctx);
  if (len < 100) return ATTACK_NO_START;
  if (a->value)
    hello[5 + test_random(random) % (size_t)(len - 5)] ^= (uint8_t)(1u << test_random(random) % 8);
  else
    len /= 2;
  (void)wire_send(&w, hello, (size_t)len, target->give_up_ms);
  return finish(&w, target);
}

static enum attack_end old_tls(const struct attack *a, const struct attack_target *target, uint64_t *random) {
  struct wire w;
  (void)a, (void)random;
  if (!wire_open(&w, target, false)) return ATTACK_NO_START;
  SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
  SSL *ssl = NULL;
  if (ctx && SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION)) ssl = SSL_new(ctx);
  bool agreed = false;
  if (ssl && SSL_set_fd(ssl, w.fd)) {
    const double deadline = clock_seconds() + target->give_up_ms * 1e-3;
    for (short events = POLLIN; !agreed && events;) {
      ERR_clear_error();
      const int result = SSL_connect(ssl);
      agreed = result == 1;
      if (!agreed && (tls_outcome(ssl, result, &events, NULL) != FUSION_OK || !events ||
                      socket_wait(w.fd, events, deadline) != FUSION_OK))
        break;
    }
  }
  SSL_free(ssl);
  SSL_CTX_free(ctx);
  wire_close(&w, false);
  return agreed ? ATTACK_ENDURED : ATTACK_ENDED;
}

/* ---- frames ---- */

/* A valid greeting with its header. */
static size_t greeting(uint8_t *out) {
  static const uint8_t head[] = {
      'F', 'U', 'S', 'I', 'O', 'N', '\r', '\n', SESSION_VERSION, 0, 0, 0, 'C', SESSION_VERSION_OLDEST, 0, 0, 0};
  struct writer w = {0};
  write_bytes(&w, head, sizeof head);
  write_string(&w, "cheetah");
  for (int i = 0; i < SESSION_JOB_LEN; i++) write_u8(&w, (uint8_t)i);
  write_u64(&w, 10);
  write_u8(&w, 0);
  for (int i = 0; i < SESSION_HASH_LEN; i++) write_u8(&w, 0);
  struct writer frame = {0};
  write_u32(&frame, (uint32_t)w.len);
  write_u32(&frame, 0);
  write_u16(&frame, MSG_HELLO);
  write_u16(&frame, 0);
  write_u32(&frame, 0);
  write_bytes(&frame, w.data, w.len);
  const size_t len = frame.len;
  memcpy(out, frame.data, len);
  writer_free(&w);
  writer_free(&frame);
  return len;
}

/* A greeting a byte at a time, each well within the time-out. */
static enum attack_end drip(const struct attack *a, const struct attack_target *target, uint64_t *random) {
  struct wire w;
  uint8_t bytes[512];
  (void)random;
  const size_t len = greeting(bytes);
  if (!wire_open(&w, target, a->value)) return ATTACK_NO_START;
  const double deadline = clock_seconds() + target->give_up_ms * 1e-3;
  size_t sent = 0;
  while (sent < len && clock_seconds() < deadline && wire_send(&w, bytes + sent, 1, 1000)) {
    sent++;
    pause_ms(target->give_up_ms / 40);
    short events = POLLIN;
    if (step(&w, bytes + 256, NULL, 1, &events) < 0) break;
  }
  wire_close(&w, false);
  return clock_seconds() < deadline ? ATTACK_ENDED : ATTACK_ENDURED;
}

/* value: bytes of a valid greeting that are sent before the silence. */
static enum attack_end stop_short(const struct attack *a, const struct attack_target *target, uint64_t *random) {
  struct wire w;
  uint8_t bytes[512];
  (void)random;
  (void)greeting(bytes);
  if (!wire_open(&w, target, true)) return ATTACK_NO_START;
  (void)wire_send(&w, bytes, a->value, target->give_up_ms);
  return finish(&w, target);
}

/* A greeting whose header says `value` bytes, and bytes for as long as the server takes them. */
static enum attack_end claim(const struct attack *a, const struct attack_target *target, uint64_t *random) {
  struct wire w;
  uint8_t bytes[512];
  const size_t len = greeting(bytes);
  (void)random;
  for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(a->value >> (8 * i));
  if (!wire_open(&w, target, true)) return ATTACK_NO_START;
  for (size_t sent = 0; sent < (size_t)64 << 20 && wire_send(&w, bytes, len, target->give_up_ms); sent += len) continue;
  return finish(&w, target);
}

/* A message of each type in turn where a greeting is due; each on a connection of its own. */
static enum attack_end wrong_type(const struct attack *a, const struct attack_target *target, uint64_t *random) {
  enum attack_end end = ATTACK_ENDED;
  enum { NUMBERS = 9, CLASSES = 8 }; /* a few more of each than there are */
  for (unsigned i = 0; i < NUMBERS * CLASSES && end == ATTACK_ENDED; i++) {
    struct wire w;
    uint8_t bytes[512];
    const size_t len = greeting(bytes);
    bytes[8] = (uint8_t)(i % NUMBERS);
    bytes[9] = (uint8_t)(a->value ? test_random(random) : i / NUMBERS);
    if (bytes[8] == MSG_HELLO && !bytes[9]) continue;
    if (!wire_open(&w, target, true)) return ATTACK_NO_START;
    (void)wire_send(&w, bytes, len, target->give_up_ms);
    end = finish(&w, target);
  }
  return end;
}

const struct attack attacks[] = {
    {.name = "connects and leaves", .run = leave, .value = 0, .connections = 4},
    {.name = "connects and resets", .run = leave, .value = 1, .connections = 4},
    {.name = "TLS, then leaves or resets", .run = leave, .value = 3, .tls_only = true, .connections = 4},
    {.name = "says nothing", .run = say_nothing, .value = 0, .connections = 4},
    {.name = "says nothing after TLS", .run = say_nothing, .value = 1, .tls_only = true, .connections = 4},
    {.name = "random bytes for a greeting", .run = say_garbage, .value = 1, .connections = 4},
    {.name = "random bytes in place of TLS", .run = say_garbage, .value = 0, .tls_only = true, .connections = 4},
    {.name = "HTTP in place of TLS", .run = speak_http, .value = 0, .tls_only = true},
    {.name = "HTTP for a greeting", .run = speak_http, .value = 1},
    {.name = "half a TLS greeting, then nothing", .run = spoil_tls, .value = 0, .tls_only = true},
    {.name = "a TLS greeting with a bit flipped", .run = spoil_tls, .value = 1, .tls_only = true, .connections = 4},
    {.name = "TLS 1.2", .run = old_tls, .tls_only = true},
    {.name = "a byte at a time", .run = drip, .value = 1, .connections = 2},
    {.name = "a byte at a time in place of TLS", .run = drip, .value = 0, .tls_only = true},
    {.name = "half a header, then nothing", .run = stop_short, .value = 7},
    {.name = "half a greeting, then nothing", .run = stop_short, .value = 40},
    {.name = "a length of 2^32 - 1, without end", .run = claim, .value = UINT32_MAX},
    {.name = "a length of 2^30, without end", .run = claim, .value = 1 << 30},
    {.name = "a length of 1025", .run = claim, .value = SESSION_HELLO_MAX + 1},
    {.name = "every other type for a greeting", .run = wrong_type, .value = 0},
    {.name = "types of any class", .run = wrong_type, .value = 1},
    {.name = "greetings with every field wrong", .run = attack_hello, .value = 0},
    {.name = "greetings cut at every byte", .run = attack_hello, .value = 1},
    {.name = "greetings with a bit flipped", .run = attack_hello, .value = 2},
    {.name = "two greetings, or none", .run = attack_hello, .value = 3},
    {.name = "huge and impossible counts in START", .run = attack_start, .value = 0},
    {.name = "the largest START, then nothing", .run = attack_start, .value = 1},
    {.name = "huge and impossible shards", .run = attack_shard, .value = 0},
    {.name = "shards without end", .run = attack_shard, .value = 1},
    {.name = "leaves after START", .run = attack_shard, .value = 2},
    {.name = "a session: a bit flipped", .run = attack_session, .value = CHEAT_FLIP},
    {.name = "a session: random bytes", .run = attack_session, .value = CHEAT_GARBAGE},
    {.name = "a session: a message repeated", .run = attack_session, .value = CHEAT_REPLAY},
    {.name = "a session: two messages exchanged", .run = attack_session, .value = CHEAT_REORDER},
    {.name = "a session: a message left out", .run = attack_session, .value = CHEAT_DROP},
    {.name = "a session: half a message, then the end", .run = attack_session, .value = CHEAT_TRUNCATE},
    {.name = "a session: cut", .run = attack_session, .value = CHEAT_CUT},
    {.name = "a session: a wrong length", .run = attack_session, .value = CHEAT_LENGTH},
    {.name = "a session: an endless message", .run = attack_session, .value = CHEAT_ENDLESS},
    {.name = "a session: endless messages", .run = attack_session, .value = CHEAT_FLOOD},
    {.name = "a session: silence", .run = attack_session, .value = CHEAT_SILENCE},
};
const size_t attack_count = sizeof attacks / sizeof attacks[0];
