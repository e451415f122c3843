/* Fuzz target of the framing and of every message that is parsed: those of a session, the manifest, a public key, base
 * OT points. (All other messages are of a length that both sides know, and any bytes in them are valid.) The first byte
 * of an input chooses the message that is due, the rest is what the peer sends. Whatever is accepted must be within the
 * limits. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "lattice/rlwe.h"
#include "net/channel_internal.h"
#include "ot/base_ot.h"
#include "program/program.h"
#include "session/messages.h"
#include "session/shards.h"
#include "support/test_messages.h"

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

enum { KINDS = 10, POINTS = 3, MEMORY_MAX = 1 << 30 };

/* What a client does with a manifest before it sends anything else. */
static fusion_status receive_manifest(struct channel *c) {
  const struct engine *engine = engine_find("cheetah");
  uint8_t *bytes;
  size_t len;
  fusion_status status = channel_recv_sized(c, MSG_MANIFEST, 1 << 16, &bytes, &len);
  if (status != FUSION_OK) return status;
  struct program program;
  struct reader r = reader_of(bytes, len);
  fusion_error err = {.status = FUSION_OK};
  status = program_decode(&program, &r, &err);
  if ((status == FUSION_OK) != !err.text[0]) abort();
  if (status != FUSION_OK) status = channel_fail(c, FUSION_E_PEER, "%s", err.text);
  if (status == FUSION_OK) {
    struct cost cost = {0};
    const size_t most = shard_limit(engine, &program, ROLE_CLIENT, 64, MEMORY_MAX);
    if (most > 64 || (most && engine_memory(engine, &program, most, ROLE_CLIENT) > MEMORY_MAX)) abort();
    if (most && engine_cost(engine, &program, &most, 1, &cost) != FUSION_OK)
      status = channel_fail(c, FUSION_E_PEER, "unsuitable");
    program_free(&program);
  }
  mem_free(bytes);
  return status;
}

static struct prg *fixed_prg(void) {
  static const uint8_t seed[PRG_SEED_LEN] = {7};
  struct prg *prg = prg_new(seed);
  if (!prg) abort();
  return prg;
}

static fusion_status receive_key(struct channel *c) {
  struct prg *prg = fixed_prg();
  struct rlwe *r = NULL;
  const fusion_status status = rlwe_open_server(&r, c, prg, &(struct rlwe_keys){.of_ring = {1, 1}});
  if ((status == FUSION_OK) != (r != NULL)) abort();
  rlwe_close(r);
  prg_free(prg);
  return status;
}

/* The points of either side of the base OT; sends its own into the void. */
static fusion_status receive_points(struct channel *c, bool sends) {
  static const uint8_t choices[POINTS] = {0, 1, 1};
  const struct base_ot_id id = {.points = 3, .sender = sends ? ROLE_SERVER : ROLE_CLIENT};
  struct base_ot_sender *s = NULL;
  struct base_ot_receiver *r = NULL;
  struct prg *prg = fixed_prg();
  block keys[2 * POINTS];
  fusion_status status =
      sends ? base_ot_sender_post(&s, id, c, prg, POINTS) : base_ot_receiver_post(&r, id, c, prg, choices, POINTS);
  if (status == FUSION_OK) status = sends ? base_ot_sender_finish(s, 3, keys) : base_ot_receiver_finish(r, 3, keys);
  base_ot_sender_free(s);
  base_ot_receiver_free(r);
  prg_free(prg);
  return status;
}

static bool spoken(uint32_t version) {
  return version >= SESSION_VERSION_OLDEST && version <= SESSION_VERSION;
}

static fusion_status receive_states(struct channel *c) {
  struct state_name *states;
  size_t count;
  const fusion_status status = states_recv(c, &states, &count);
  if ((status == FUSION_OK) != (states != NULL)) abort();
  if (states && (!count || count > SESSION_STATES_MAX)) abort();
  for (size_t i = 0; states && i < count; i++)
    if (!states[i].samples || states[i].samples > SESSION_SHARD_MAX) abort();
  mem_free(states);
  return status;
}

static fusion_status receive(struct channel *c, unsigned kind) {
  struct client_hello client;
  struct server_hello server;
  struct start start;
  struct ready ready;
  const struct start named = {.shard_samples = 1, .expected_samples = 1, .keep = true, .has_kept = true};
  static const uint8_t none[SESSION_STATE_LEN];
  uint32_t number = 0;
  fusion_status status = FUSION_OK;
  switch (kind) {
    case 0:
      status = client_hello_recv(c, &client);
      if (status == FUSION_OK && !spoken(client.version)) abort();
      if (status == FUSION_OK && (!client.samples || client.samples > SESSION_SAMPLES_MAX)) abort();
      if (status == FUSION_OK && !memchr(client.engine, 0, sizeof client.engine)) abort();
      if (status == FUSION_OK && client.model[0] && !model_name_is_valid(client.model)) abort();
      break;
    case 1:
      status = server_hello_recv(c, &server);
      if (status == FUSION_OK && !spoken(server.version)) abort();
      if (status == FUSION_OK && (!server.manifest_len || !memchr(server.engine, 0, sizeof server.engine))) abort();
      if (status == FUSION_OK && server.has_speeds && !engine_speeds_plausible(&server.speeds)) abort();
      break;
    case 2:
      status = start_recv(c, &start);
      if (status == FUSION_OK && (!start.shard_samples || start.shard_samples > SESSION_SHARD_MAX)) abort();
      if (status == FUSION_OK && !start.has_kept && memcmp(start.kept, none, sizeof none) != 0) abort();
      break;
    case 3:
      status = ready_recv(c, &named, &ready);
      if (status == FUSION_OK && (!ready.shard_samples || ready.shard_samples > SESSION_SHARD_MAX)) abort();
      if (status == FUSION_OK && !ready.keeps && memcmp(ready.number, none, sizeof none) != 0) abort();
      break;
    case 4:
      status = shard_recv(c, &number);
      if (status == FUSION_OK && number > SESSION_SHARD_MAX) abort();
      break;
    case 5: return receive_manifest(c);
    case 6: return receive_key(c);
    case 7: return receive_points(c, true);
    case 8: return receive_points(c, false);
    case 9: return receive_states(c);
    default: break;
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
