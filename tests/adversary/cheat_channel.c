/* A transport around an accepted connection's own that takes the server's frames apart and puts them together as the
 * cheats want them. What comes in is only looked at: which job, how many samples. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "adversary/cheat.h"
#include "base/cursor.h"
#include "net/channel_internal.h"
#include "support/test_messages.h"

enum { FLOOD_MAX = 1 << 30, PIECE_LEN = 1 << 16 };

struct frame {
  uint8_t *payload; /* owned */
  uint32_t len, depth;
  uint16_t type;
};

struct wrapped {
  struct transport base;
  struct transport *inner; /* owned */
  struct cheater *cheater;
  struct cheat_connection *connection; /* owned */
  uint32_t sequence;                   /* of the next frame that goes out */
  bool silent;
  uint64_t counted[CHEATS_MAX]; /* messages that matched each cheat's type */

  uint8_t header[CHANNEL_HEADER_LEN]; /* of the frame being collected */
  size_t header_have, have;
  struct frame frame;
  struct frame held;                /* to go out after the next one */
  struct frame before[CHEAT_TYPES]; /* the last message of each type that a cheat replays */

  uint16_t in_type; /* frames coming in: the reader asks for header and payload in turn */
  bool in_payload;
};

static struct frame frame_copy(const struct frame *f) {
  struct frame copy = *f;
  copy.payload = mem_alloc(f->len ? f->len : 1, 1);
  if (copy.payload && f->len) memcpy(copy.payload, f->payload, f->len);
  if (!copy.payload) copy.len = 0;
  return copy;
}

static void frame_free(struct frame *f) {
  mem_free(f->payload);
  *f = (struct frame){0};
}

static void put_u32(uint8_t *out, uint32_t v) {
  for (int i = 0; i < 4; i++) out[i] = (uint8_t)(v >> (8 * i));
}

/* The header says `claimed` bytes, `len` of the payload follow. */
static fusion_status emit_as(struct wrapped *w, const struct frame *f, uint32_t claimed, uint32_t len,
                             fusion_error *err) {
  uint8_t header[CHANNEL_HEADER_LEN] = {0};
  if (w->silent) return FUSION_OK;
  put_u32(header, claimed);
  put_u32(header + 4, w->sequence++);
  header[8] = (uint8_t)f->type;
  header[9] = (uint8_t)(f->type >> 8);
  put_u32(header + 12, f->depth);
  const fusion_status status = w->inner->ops->write(w->inner, header, sizeof header, err);
  if (status != FUSION_OK || !len) return status;
  return w->inner->ops->write(w->inner, f->payload, len, err);
}

static fusion_status emit(struct wrapped *w, const struct frame *f, fusion_error *err) {
  return emit_as(w, f, f->len, f->len, err);
}

static fusion_status release_held(struct wrapped *w, fusion_error *err) {
  if (!w->held.payload) return FUSION_OK;
  const fusion_status status = emit(w, &w->held, err);
  frame_free(&w->held);
  return status;
}

static void sleep_ms(uint64_t ms) {
  struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

static fusion_status hang_up(struct wrapped *w) {
  w->inner->ops->cancel(w->inner);
  return FUSION_E_CLOSED;
}

static fusion_status send_endless(struct wrapped *w, const struct frame *f, fusion_error *err) {
  uint8_t *zeros = mem_alloc(PIECE_LEN, 1);
  if (!zeros) return FUSION_E_MEMORY;
  fusion_status status = emit_as(w, f, UINT32_MAX, 0, err);
  for (size_t sent = 0; status == FUSION_OK && sent < FLOOD_MAX; sent += PIECE_LEN)
    status = w->inner->ops->write(w->inner, zeros, PIECE_LEN, err);
  mem_free(zeros);
  return status == FUSION_OK ? hang_up(w) : status;
}

static fusion_status send_flood(struct wrapped *w, const struct frame *f, fusion_error *err) {
  fusion_status status = FUSION_OK;
  for (size_t sent = 0; status == FUSION_OK && sent < FLOOD_MAX; sent += CHANNEL_HEADER_LEN + f->len)
    status = emit(w, f, err);
  return status == FUSION_OK ? hang_up(w) : status;
}

static void flip_bit(struct cheater *c, const struct cheat *cheat, struct frame *f) {
  if (!f->len) return;
  const uint64_t offset = cheat->offset == CHEAT_RANDOM ? cheat_random(c) : cheat->offset;
  const uint64_t bit = cheat->value == CHEAT_RANDOM ? cheat_random(c) : cheat->value;
  f->payload[offset % f->len] ^= (uint8_t)(1u << (bit % 8));
}

static void replay_payload(struct wrapped *w, struct frame *f) {
  const struct frame *before = &w->before[cheat_type_row(f->type)];
  memcpy(f->payload, before->payload, f->len);
}

static bool can_replay(const struct wrapped *w, const struct frame *f) {
  const struct frame *before = &w->before[cheat_type_row(f->type)];
  return before->payload && before->len == f->len && f->len;
}

/* One cheat on one frame. *sent: the frame is dealt with. */
static fusion_status apply(struct wrapped *w, const struct cheat *cheat, struct frame *f, bool *sent,
                           fusion_error *err) {
  struct cheater *c = w->cheater;
  *sent = true;
  switch (cheat->kind) {
    case CHEAT_FLIP: flip_bit(c, cheat, f); break;
    case CHEAT_GARBAGE:
      for (uint32_t i = 0; i < f->len; i++) f->payload[i] = (uint8_t)cheat_random(c);
      break;
    case CHEAT_ZERO:
      if (f->len) memset(f->payload, 0, f->len);
      break;
    case CHEAT_KEYED: cheat_keyed(c, cheat, w->connection->samples, f->payload, f->len); break;
    case CHEAT_DELAY: sleep_ms(cheat->value == CHEAT_RANDOM ? 500 : cheat->value); break;
    case CHEAT_REPLAY:
      if (!can_replay(w, f)) {
        const fusion_status status = emit(w, f, err);
        return status == FUSION_OK ? emit(w, f, err) : status;
      }
      replay_payload(w, f);
      break;
    case CHEAT_REORDER:
      if (w->held.payload) break;
      w->held = frame_copy(f);
      return w->held.payload ? FUSION_OK : FUSION_E_MEMORY;
    case CHEAT_DROP: return FUSION_OK;
    case CHEAT_TRUNCATE: {
      const fusion_status status = emit_as(w, f, f->len, f->len / 2, err);
      if (status == FUSION_OK) w->inner->ops->linger(w->inner, 100);
      return hang_up(w);
    }
    case CHEAT_CUT: return hang_up(w);
    case CHEAT_LENGTH:
      return emit_as(w, f, cheat->value == CHEAT_RANDOM ? f->len + 1 : (uint32_t)cheat->value, f->len, err);
    case CHEAT_ENDLESS: return send_endless(w, f, err);
    case CHEAT_FLOOD: return send_flood(w, f, err);
    case CHEAT_SILENCE: w->silent = true; return FUSION_OK;
    default: break;
  }
  *sent = false;
  return FUSION_OK;
}

static bool is_wire(enum cheat_kind kind) {
  return kind >= CHEAT_FLIP && kind != CHEAT_MANIFEST;
}

/* The greeting announces the manifest, which follows: both are altered. */
static fusion_status alter_manifest(struct wrapped *w, const struct cheat *cheat, struct frame *f) {
  struct writer manifest = {0};
  if (f->type != MSG_HELLO && f->type != MSG_MANIFEST) return FUSION_OK;
  if (f->type == MSG_HELLO && !cheat_allowed(w->cheater)) return FUSION_OK;
  cheat_manifest(w->cheater, cheat->value, &manifest);
  if (f->type == MSG_HELLO) cheat_greeting(&manifest, f->payload, f->len);
  if (f->type == MSG_HELLO) {
    writer_free(&manifest);
    return FUSION_OK;
  }
  mem_free(f->payload);
  f->payload = manifest.data;
  f->len = (uint32_t)manifest.len;
  return manifest.data ? FUSION_OK : FUSION_E_MEMORY;
}

static void remember(struct wrapped *w, const struct frame *f) {
  struct cheater *c = w->cheater;
  const unsigned row = cheat_type_row(f->type);
  pthread_mutex_lock(&c->lock);
  const uint32_t nth = c->sent[row]++;
  if (nth < CHEAT_LENGTHS_MAX) c->lengths[row][nth] = f->len;
  pthread_mutex_unlock(&c->lock);
  for (size_t i = 0; i < c->cheat_count; i++) {
    if (c->cheats[i].kind != CHEAT_REPLAY || w->before[row].payload == f->payload) continue;
    frame_free(&w->before[row]);
    w->before[row] = frame_copy(f);
    return;
  }
}

static fusion_status handle(struct wrapped *w, struct frame *f, fusion_error *err) {
  struct cheater *c = w->cheater;
  struct frame honest = frame_copy(f);
  bool sent = false;
  fusion_status status = honest.payload ? FUSION_OK : FUSION_E_MEMORY;
  if (f->type == MSG_OUTPUT) cheat_output(c, w->connection, f->payload, f->len);
  for (size_t i = 0; i < c->cheat_count && status == FUSION_OK && !sent; i++) {
    const struct cheat *cheat = &c->cheats[i];
    if (cheat->kind == CHEAT_MANIFEST) status = alter_manifest(w, cheat, f);
    if (!is_wire(cheat->kind) || (cheat->type && cheat->type != f->type) || f->type == MSG_REFUSAL) continue;
    if (++w->counted[i] != cheat->nth && cheat->nth) continue;
    if (!cheat_allowed(c)) continue;
    const char *name = cheat_type_name(f->type);
    cheat_log(c, "cheat: %s on message %llu of type %s (%u bytes)", cheat_kind_name(cheat->kind),
              (unsigned long long)w->counted[i], name ? name : "?", f->len);
    status = apply(w, cheat, f, &sent, err);
  }
  if (status == FUSION_OK && !sent) {
    status = emit(w, f, err);
    if (status == FUSION_OK) status = release_held(w, err);
  }
  if (honest.payload) remember(w, &honest);
  frame_free(&honest);
  return status;
}

/* Collects bytes into frames; the server writes whole frames before it waits for the client. */
static fusion_status wrapped_write(struct transport *t, const void *data, size_t len, fusion_error *err) {
  struct wrapped *w = (struct wrapped *)t;
  const uint8_t *at = data;
  fusion_status status = FUSION_OK;
  while (len && status == FUSION_OK) {
    if (w->header_have < CHANNEL_HEADER_LEN) {
      const size_t part = size_min(len, CHANNEL_HEADER_LEN - w->header_have);
      memcpy(w->header + w->header_have, at, part);
      w->header_have += part;
      at += part;
      len -= part;
      if (w->header_have < CHANNEL_HEADER_LEN) break;
      struct reader r = reader_of(w->header, sizeof w->header);
      w->frame.len = read_u32(&r);
      (void)read_u32(&r); /* numbered afresh */
      w->frame.type = read_u16(&r);
      (void)read_u16(&r);
      w->frame.depth = read_u32(&r);
      w->frame.payload = mem_alloc(w->frame.len ? w->frame.len : 1, 1);
      if (!w->frame.payload) return FUSION_E_MEMORY;
      w->have = 0;
    }
    const size_t part = size_min(len, w->frame.len - w->have);
    if (part) memcpy(w->frame.payload + w->have, at, part);
    w->have += part;
    at += part;
    len -= part;
    if (w->have < w->frame.len) break;
    status = handle(w, &w->frame, err);
    frame_free(&w->frame);
    w->header_have = 0;
  }
  return status;
}

/* Which job this is, and which of its samples the shard that begins holds. */
static void look_at(struct wrapped *w, const uint8_t *payload, size_t len) {
  struct reader r = reader_of(payload, len);
  struct cheat_connection *connection = w->connection;
  if (w->in_type == MSG_HELLO) {
    char engine[SESSION_ENGINE_LEN];
    uint8_t id[SESSION_JOB_LEN];
    (void)read_span(&r, 8 + 4 + 1 + 4); /* magic, newest version, role, oldest version */
    read_string(&r, engine, sizeof engine);
    read_bytes(&r, id, sizeof id);
    const uint64_t samples = read_u64(&r);
    if (!r.failed && samples && samples < (UINT64_C(1) << 32)) connection->job = cheat_job_of(w->cheater, id, samples);
  }
  if (w->in_type == MSG_SHARD && connection->job) {
    pthread_mutex_lock(&w->cheater->lock);
    connection->samples = read_u32(&r);
    connection->first = connection->job->begun;
    connection->job->begun += connection->samples;
    pthread_mutex_unlock(&w->cheater->lock);
  }
}

static fusion_status wrapped_read(struct transport *t, void *data, size_t len, fusion_error *err) {
  struct wrapped *w = (struct wrapped *)t;
  fusion_status status = release_held(w, err);
  struct cheater *c = w->cheater;
  if (status == FUSION_OK) status = w->inner->ops->read(w->inner, data, len, err);
  if (status != FUSION_OK) return status;
  if (w->in_payload) {
    if (c->role == ROLE_SERVER) look_at(w, data, len);
    if (c->seen) c->seen(c->seen_context, w->in_type, data, len);
    w->in_payload = false;
    return FUSION_OK;
  }
  struct reader r = reader_of(data, len);
  (void)read_u64(&r); /* length, number */
  w->in_type = read_u16(&r);
  w->in_payload = true; /* the core reads a payload even when it is empty */
  return FUSION_OK;
}

static void wrapped_cancel(struct transport *t) {
  struct wrapped *w = (struct wrapped *)t;
  w->inner->ops->cancel(w->inner);
}

static void wrapped_linger(struct transport *t, int limit_ms) {
  struct wrapped *w = (struct wrapped *)t;
  w->inner->ops->linger(w->inner, limit_ms);
}

static void wrapped_set_timeout(struct transport *t, int timeout_ms) {
  struct wrapped *w = (struct wrapped *)t;
  if (w->inner->ops->set_timeout) w->inner->ops->set_timeout(w->inner, timeout_ms);
}

/* Reads on until the peer closes: is there anything behind its last message, and when does it close? */
static void watch_end(struct wrapped *w) {
  struct cheater *c = w->cheater;
  uint8_t byte;
  while (w->inner->ops->read(w->inner, &byte, 1, NULL) == FUSION_OK) c->seen(c->seen_context, MSG_TEST, &byte, 1);
  c->seen(c->seen_context, 0, NULL, 0);
}

static void wrapped_close(struct transport *t) {
  struct wrapped *w = (struct wrapped *)t;
  struct cheater *c = w->cheater;
  if (c->seen) watch_end(w);
  pthread_mutex_lock(&c->lock);
  struct cheat_connection **at = &c->connections;
  while (*at && *at != w->connection) at = &(*at)->next;
  if (*at) *at = w->connection->next;
  pthread_mutex_unlock(&c->lock);
  w->inner->ops->close(w->inner);
  frame_free(&w->frame);
  frame_free(&w->held);
  for (size_t i = 0; i < CHEAT_TYPES; i++) frame_free(&w->before[i]);
  mem_free(w->connection->model_weights);
  mem_free(w->connection);
  mem_free(w);
}

static const struct transport_ops wrapped_ops = {.write = wrapped_write,
                                                 .read = wrapped_read,
                                                 .cancel = wrapped_cancel,
                                                 .linger = wrapped_linger,
                                                 .set_timeout = wrapped_set_timeout,
                                                 .close = wrapped_close};

fusion_status cheat_wrap(struct cheater *c, struct channel **channel) {
  struct wrapped *w = mem_alloc(1, sizeof *w);
  struct cheat_connection *connection = mem_alloc(1, sizeof *connection);
  if (!w || !connection) {
    mem_free(w);
    mem_free(connection);
    channel_close(*channel);
    *channel = NULL;
    return FUSION_E_MEMORY;
  }
  *w = (struct wrapped){.base = {&wrapped_ops}, .inner = channel_unwrap(*channel), .cheater = c};
  w->connection = connection;
  const fusion_status status = channel_new(channel, &w->base);
  if (status != FUSION_OK) return status;
  pthread_mutex_lock(&c->lock);
  connection->cheater = c;
  connection->channel = *channel;
  connection->next = c->connections;
  c->connections = connection;
  pthread_mutex_unlock(&c->lock);
  return FUSION_OK;
}
