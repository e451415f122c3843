/* Fuzz target of the framing and of every message of a session. With libFuzzer (clang -fsanitize=fuzzer) the entry
 * point is called by it; else `message_fuzz SECONDS` damages valid messages itself. The first byte of an input chooses
 * the message that is due, the rest is what the peer sends. Whatever is accepted must be within the limits. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/cursor.h"
#include "net/channel_internal.h"
#include "session/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A transport that reads from memory and keeps what is written. */
struct tape {
  struct transport base;
  struct reader in;
  struct writer *out; /* borrowed, NULL: dropped */
};

static fusion_status tape_write(struct transport *t, const void *data, size_t len, fusion_error *err) {
  struct tape *tape = (struct tape *)t;
  (void)err;
  if (tape->out) write_bytes(tape->out, data, len);
  return FUSION_OK;
}

static fusion_status tape_read(struct transport *t, void *data, size_t len, fusion_error *err) {
  struct tape *tape = (struct tape *)t;
  (void)err;
  read_bytes(&tape->in, data, len);
  return tape->in.failed ? FUSION_E_CLOSED : FUSION_OK;
}

static void tape_cancel(struct transport *t) {
  (void)t;
}
static void tape_linger(struct transport *t, int limit_ms) {
  (void)t, (void)limit_ms;
}
static void tape_close(struct transport *t) {
  mem_free(t);
}

static const struct transport_ops tape_ops = {
    .write = tape_write, .read = tape_read, .cancel = tape_cancel, .linger = tape_linger, .close = tape_close};

static struct channel *tape_channel(const void *data, size_t len, struct writer *out) {
  struct tape *t = mem_alloc(1, sizeof *t);
  struct channel *c;
  if (!t) abort();
  *t = (struct tape){.base = {&tape_ops}, .in = reader_of(data, len), .out = out};
  if (channel_new(&c, &t->base) != FUSION_OK) abort();
  return c;
}

enum { KINDS = 6 };

static fusion_status receive(struct channel *c, unsigned kind) {
  struct client_hello client;
  struct server_hello server;
  struct start start;
  uint32_t number = 0;
  uint8_t *bytes;
  size_t len;
  fusion_status status = FUSION_OK;
  switch (kind) {
    case 0:
      status = client_hello_recv(c, &client);
      if (status == FUSION_OK && (!client.samples || client.samples > SESSION_SAMPLES_MAX)) abort();
      if (status == FUSION_OK && !memchr(client.stack, 0, sizeof client.stack)) abort();
      break;
    case 1:
      status = server_hello_recv(c, &server);
      if (status == FUSION_OK && (!server.manifest_len || !memchr(server.stack, 0, sizeof server.stack))) abort();
      break;
    case 2:
      status = start_recv(c, &start);
      if (status == FUSION_OK && (!start.shard_samples || start.shard_samples > SESSION_SHARD_MAX)) abort();
      break;
    case 3:
      status = ready_recv(c, &number);
      if (status == FUSION_OK && (!number || number > SESSION_SHARD_MAX)) abort();
      break;
    case 4:
      status = shard_recv(c, &number);
      if (status == FUSION_OK && number > SESSION_SHARD_MAX) abort();
      break;
    default:
      status = channel_recv_sized(c, MSG_MANIFEST, 1000, &bytes, &len);
      if (status == FUSION_OK && len > 1000) abort();
      if (status != FUSION_OK && bytes) abort();
      mem_free(bytes);
      break;
  }
  return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  if (!len) return 0;
  struct channel *c = tape_channel(data + 1, len - 1, NULL);
  const fusion_status status = receive(c, data[0] % KINDS);
  const fusion_error *err = channel_error(c);
  if (status != err->status || (status == FUSION_OK) != !err->text[0]) abort();
  for (const char *at = err->text; *at; at++)
    if (*at < ' ' || *at > '~') abort(); /* it may be shown on a terminal */
  /* A failure sticks. */
  if (status != FUSION_OK && channel_send(c, MSG_TEST, NULL, 0) != status) abort();
  channel_close(c);
  return 0;
}

#ifndef FUSION_LIBFUZZER
/* The bytes of a valid message of each kind. */
static void write_valid(struct writer *out, unsigned kind) {
  struct channel *c = tape_channel(NULL, 0, out);
  const struct client_hello client = {.stack = "cheetah", .samples = 2660, .has_manifest = true};
  const struct server_hello server = {.stack = "cheetah", .manifest_len = 700};
  const struct start start = {.shard_samples = 2660, .expected_samples = 2660};
  fusion_status status = FUSION_OK;
  if (kind == 0) status = client_hello_send(c, &client);
  if (kind == 1) status = server_hello_send(c, &server);
  if (kind == 2) status = start_send(c, &start);
  if (kind == 3) status = ready_send(c, 2660);
  if (kind == 4) status = shard_send(c, 2660);
  if (kind == 5) status = channel_send(c, MSG_MANIFEST, "a manifest", 10);
  if (kind == 6) channel_refuse(c, true, "the server is busy");
  if (status == FUSION_OK && kind < 6) status = channel_flush(c);
  if (status != FUSION_OK || out->failed) abort();
  channel_close(c);
}

static uint64_t next_random(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static void damage(struct writer *w, uint64_t *state) {
  for (uint64_t k = next_random(state) % 4; k > 0 && w->len > 1; k--) {
    const size_t at = 1 + next_random(state) % (w->len - 1);
    switch (next_random(state) % 4) {
      case 0: w->data[at] = (uint8_t)next_random(state); break;
      case 1: w->data[at] ^= (uint8_t)(1u << next_random(state) % 8); break;
      case 2: w->len = at; break;
      default: w->data[at] = next_random(state) % 2 ? 0 : 0xff; break;
    }
  }
}

int main(int argc, char **argv) {
  const double seconds = argc > 1 ? atof(argv[1]) : 1, start = clock_seconds();
  uint64_t state = (uint64_t)time(NULL) * 2 + 1, runs = 0;
  fprintf(stderr, "seed %llu\n", (unsigned long long)state);
  while (clock_seconds() - start < seconds) {
    struct writer w = {0};
    const unsigned kind = (unsigned)(next_random(&state) % (KINDS + 1));
    write_u8(&w, (uint8_t)(kind < KINDS ? kind : next_random(&state) % KINDS));
    write_valid(&w, kind);
    damage(&w, &state);
    LLVMFuzzerTestOneInput(w.data, w.len);
    writer_free(&w);
    runs++;
  }
  printf("%llu runs\n", (unsigned long long)runs);
  return 0;
}
#endif
