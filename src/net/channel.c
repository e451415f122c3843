#include <sodium.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/cursor.h"
#include "base/secret.h"
#include "net/channel_internal.h"

enum {
  REFUSAL_MAX = 400,        /* bytes of a refusal's payload */
  REFUSAL_LINGER_MS = 1000, /* for the refused peer to read it and close */
};

struct channel {
  struct transport *transport; /* owned */
  struct channel_stats stats;
  _Atomic uint64_t moved; /* bytes sent and received, for other threads to look at */
  fusion_error error;
  uint32_t send_sequence, recv_sequence;
  bool recording;
  crypto_generichash_state sent, received; /* of the frames, while recording */
  size_t buffered;
  uint8_t buffer[CHANNEL_BUFFER_LEN];
};

struct frame_header {
  uint32_t len, sequence, depth;
  uint16_t type, zero;
};

fusion_status channel_new(struct channel **out, struct transport *t) {
  struct channel *c = mem_alloc(1, sizeof *c);
  *out = c;
  if (!c) {
    t->ops->close(t);
    return FUSION_E_MEMORY;
  }
  c->transport = t;
  return FUSION_OK;
}

void channel_close(struct channel *c) {
  if (!c) return;
  c->transport->ops->close(c->transport);
  mem_free_secret(c, sizeof *c);
}

struct transport *channel_unwrap(struct channel *c) {
  struct transport *t = c->transport;
  mem_free_secret(c, sizeof *c);
  return t;
}

void channel_cancel(struct channel *c) {
  c->transport->ops->cancel(c->transport);
}

void channel_set_timeout(struct channel *c, int timeout_ms) {
  if (c->transport->ops->set_timeout) c->transport->ops->set_timeout(c->transport, timeout_ms);
}

void channel_set_idle(struct channel *c, struct channel_idle idle) {
  if (c->transport->ops->set_idle) c->transport->ops->set_idle(c->transport, idle);
}

void channel_record(struct channel *c, bool on) {
  c->recording = on;
  if (!on) return;
  crypto_generichash_init(&c->sent, NULL, 0, CHANNEL_HASH_LEN);
  crypto_generichash_init(&c->received, NULL, 0, CHANNEL_HASH_LEN);
}

static void record(const struct channel *c, crypto_generichash_state *state, const void *data, size_t len) {
  if (c->recording && len) crypto_generichash_update(state, data, len);
}

void channel_recorded(const struct channel *c, uint8_t sent[CHANNEL_HASH_LEN], uint8_t received[CHANNEL_HASH_LEN]) {
  crypto_generichash_state state = c->sent;
  crypto_generichash_final(&state, sent, CHANNEL_HASH_LEN);
  state = c->received;
  crypto_generichash_final(&state, received, CHANNEL_HASH_LEN);
}

struct channel_stats channel_get_stats(const struct channel *c) {
  return c->stats;
}
uint64_t channel_moved(const struct channel *c) {
  return atomic_load_explicit(&c->moved, memory_order_relaxed);
}

const fusion_error *channel_error(const struct channel *c) {
  return &c->error;
}

fusion_status channel_fail(struct channel *c, fusion_status status, const char *format, ...) {
  if (c->error.status != FUSION_OK) return c->error.status;
  va_list args;
  va_start(args, format);
  c->error.status = status;
  vsnprintf(c->error.text, sizeof c->error.text, format, args);
  va_end(args);
  return status;
}

/* A transport's failure sticks, with a general text where it gave none. */
static fusion_status checked(struct channel *c, fusion_status status) {
  if (status == FUSION_OK) return status;
  c->error.status = status;
  if (!c->error.text[0]) snprintf(c->error.text, sizeof c->error.text, "%s", fusion_status_text(status));
  return status;
}

static void find_refusal(struct channel *c);

static fusion_status write_out(struct channel *c, const void *data, size_t len) {
  const fusion_status status = checked(c, c->transport->ops->write(c->transport, data, len, &c->error));
  if (status == FUSION_E_CLOSED) find_refusal(c);
  return c->error.status;
}

fusion_status channel_flush(struct channel *c) {
  if (c->error.status != FUSION_OK) return c->error.status;
  const size_t len = c->buffered;
  c->buffered = 0;
  return len ? write_out(c, c->buffer, len) : FUSION_OK;
}

static fusion_status put(struct channel *c, const void *data, size_t len) {
  if (len > CHANNEL_BUFFER_LEN - c->buffered) {
    const fusion_status status = channel_flush(c);
    if (status != FUSION_OK) return status;
  }
  if (len > CHANNEL_BUFFER_LEN) return write_out(c, data, len);
  if (len) memcpy(c->buffer + c->buffered, data, len);
  c->buffered += len;
  return FUSION_OK;
}

static void header_encode(uint8_t out[CHANNEL_HEADER_LEN], const struct frame_header *h) {
  for (int i = 0; i < 4; i++) {
    out[i] = (uint8_t)(h->len >> (8 * i));
    out[4 + i] = (uint8_t)(h->sequence >> (8 * i));
    out[12 + i] = (uint8_t)(h->depth >> (8 * i));
  }
  out[8] = (uint8_t)h->type;
  out[9] = (uint8_t)(h->type >> 8);
  out[10] = out[11] = 0;
}

static struct frame_header header_decode(const uint8_t in[CHANNEL_HEADER_LEN]) {
  struct reader r = reader_of(in, CHANNEL_HEADER_LEN);
  struct frame_header h;
  h.len = read_u32(&r);
  h.sequence = read_u32(&r);
  h.type = read_u16(&r);
  h.zero = read_u16(&r);
  h.depth = read_u32(&r);
  return h;
}

fusion_status channel_send(struct channel *c, message_type type, const void *data, size_t len) {
  if (c->error.status != FUSION_OK) return c->error.status;
  if (len > CHANNEL_FRAME_MAX)
    return channel_fail(c, FUSION_E_INTERNAL, "a message of %zu bytes is above the frame limit", len);
  const struct frame_header h = {
      .len = (uint32_t)len, .sequence = c->send_sequence++, .depth = c->stats.depth, .type = type};
  uint8_t bytes[CHANNEL_HEADER_LEN];
  secret_check_public(data, len);
  header_encode(bytes, &h);
  record(c, &c->sent, bytes, sizeof bytes);
  record(c, &c->sent, data, len);
  c->stats.bytes_sent += CHANNEL_HEADER_LEN + len;
  atomic_fetch_add_explicit(&c->moved, CHANNEL_HEADER_LEN + len, memory_order_relaxed);
  c->stats.messages_sent++;
  const fusion_status status = put(c, bytes, sizeof bytes);
  return status == FUSION_OK ? put(c, data, len) : status;
}

/* The peer's last words are for people: printable ASCII only, so that they can be shown on a terminal. */
static fusion_status take_refusal(struct channel *c, size_t len) {
  uint8_t payload[REFUSAL_MAX];
  char text[REFUSAL_MAX];
  if (len > sizeof payload) return channel_fail(c, FUSION_E_PEER, "the peer sent a refusal of %zu bytes", len);
  const fusion_status status = checked(c, c->transport->ops->read(c->transport, payload, len, &c->error));
  if (status != FUSION_OK) return status;
  struct reader r = reader_of(payload, len);
  const uint8_t later = read_u8(&r);
  read_string(&r, text, sizeof text);
  if (!reader_done(&r) || later > 1)
    return channel_fail(c, FUSION_E_PEER, "the peer sent a refusal that cannot be read");
  for (char *at = text; *at; at++)
    if (*at < ' ' || *at > '~') *at = '?';
  return channel_fail(c, later ? FUSION_E_BUSY : FUSION_E_REFUSED, "the peer refused: %s", text);
}

/* The peer closed while we were sending. It may have said why before: what it sent is still there to be read, the
 * refusal behind messages that nobody will want any more. Replaces the error if so. */
static void find_refusal(struct channel *c) {
  const fusion_error closed = c->error;
  uint8_t bytes[CHANNEL_HEADER_LEN], dropped[1024];
  fusion_error ignored;
  fusion_status status = FUSION_OK;
  for (size_t total = 0; total < CHANNEL_EXCHANGE_MAX && status == FUSION_OK;) {
    status = c->transport->ops->read(c->transport, bytes, sizeof bytes, &ignored);
    const struct frame_header h = header_decode(bytes);
    if (status != FUSION_OK || h.sequence != c->recv_sequence++) break;
    if (h.type == MSG_REFUSAL) {
      c->error = (fusion_error){.status = FUSION_OK};
      status = take_refusal(c, h.len);
      if (status != FUSION_E_REFUSED && status != FUSION_E_BUSY) c->error = closed;
      return;
    }
    total += h.len;
    for (size_t left = h.len; left && status == FUSION_OK; left -= size_min(left, sizeof dropped))
      status = c->transport->ops->read(c->transport, dropped, size_min(left, sizeof dropped), &ignored);
  }
}

/* Reads and checks the header of the next frame; its payload follows. */
static fusion_status recv_header(struct channel *c, message_type type, struct frame_header *h) {
  uint8_t bytes[CHANNEL_HEADER_LEN];
  fusion_status status = channel_flush(c);
  if (status != FUSION_OK) return status;
  status = checked(c, c->transport->ops->read(c->transport, bytes, sizeof bytes, &c->error));
  if (status != FUSION_OK) return status;
  *h = header_decode(bytes);
  if (h->sequence != c->recv_sequence)
    return channel_fail(c, FUSION_E_PEER, "the peer sent message number %u where %u was due", h->sequence,
                        c->recv_sequence);
  if (h->type == MSG_REFUSAL) return take_refusal(c, h->len);
  if (h->type != type || h->zero != 0)
    return channel_fail(c, FUSION_E_PEER, "the peer sent a message of type %u.%u where type %u.%u was due",
                        message_class(h->type), message_number(h->type), message_class(type), message_number(type));
  c->recv_sequence++;
  record(c, &c->received, bytes, sizeof bytes);
  c->stats.bytes_received += CHANNEL_HEADER_LEN + h->len;
  atomic_fetch_add_explicit(&c->moved, CHANNEL_HEADER_LEN + h->len, memory_order_relaxed);
  c->stats.messages_received++;
  /* A hostile depth only spoils the count of rounds. */
  if (h->depth + 1 > c->stats.depth) c->stats.depth = h->depth + 1;
  return FUSION_OK;
}

fusion_status channel_recv(struct channel *c, message_type type, void *data, size_t len) {
  struct frame_header h;
  const fusion_status status = recv_header(c, type, &h);
  if (status != FUSION_OK) return status;
  if (h.len != len)
    return channel_fail(c, FUSION_E_PEER, "the peer sent %u bytes in a message of type %u.%u where %zu were due", h.len,
                        message_class(type), message_number(type), len);
  const fusion_status read = checked(c, c->transport->ops->read(c->transport, data, len, &c->error));
  if (read == FUSION_OK) record(c, &c->received, data, len);
  return read;
}

fusion_status channel_recv_sized(struct channel *c, message_type type, size_t max_len, uint8_t **data, size_t *len) {
  struct frame_header h;
  *data = NULL;
  *len = 0;
  fusion_status status = recv_header(c, type, &h);
  if (status != FUSION_OK) return status;
  if (h.len > size_min(max_len, CHANNEL_FRAME_MAX))
    return channel_fail(c, FUSION_E_PEER,
                        "the peer sent %u bytes in a message of type %u.%u where at most %zu are allowed", h.len,
                        message_class(type), message_number(type), max_len);
  uint8_t *buffer = mem_alloc(h.len, 1);
  if (!buffer) return channel_fail(c, FUSION_E_MEMORY, "out of memory for a message of %u bytes", h.len);
  status = checked(c, c->transport->ops->read(c->transport, buffer, h.len, &c->error));
  if (status != FUSION_OK) {
    mem_free(buffer);
    return status;
  }
  record(c, &c->received, buffer, h.len);
  *data = buffer;
  *len = h.len;
  return FUSION_OK;
}

void channel_refuse(struct channel *c, bool later, const char *text) {
  struct writer w = {0};
  char kept[REFUSAL_MAX - 3];
  uint8_t bytes[CHANNEL_HEADER_LEN];
  const fusion_status before = c->error.status;
  if (before != FUSION_OK && before != FUSION_E_PEER && before != FUSION_E_VERSION && before != FUSION_E_CRYPTO &&
      before != FUSION_E_MEMORY)
    return;
  snprintf(kept, sizeof kept, "%s", text);
  write_u8(&w, later);
  write_string(&w, kept);
  const struct frame_header h = {
      .len = (uint32_t)w.len, .sequence = c->send_sequence++, .depth = c->stats.depth, .type = MSG_REFUSAL};
  header_encode(bytes, &h);
  fusion_error ignored;
  fusion_status status = w.failed ? FUSION_E_MEMORY : FUSION_OK;
  if (status == FUSION_OK) status = c->transport->ops->write(c->transport, c->buffer, c->buffered, &ignored);
  c->buffered = 0;
  if (status == FUSION_OK) status = c->transport->ops->write(c->transport, bytes, sizeof bytes, &ignored);
  if (status == FUSION_OK) status = c->transport->ops->write(c->transport, w.data, w.len, &ignored);
  if (status == FUSION_OK) c->transport->ops->linger(c->transport, REFUSAL_LINGER_MS);
  channel_fail(c, FUSION_E_CLOSED, "the connection was ended by a refusal: %s", kept);
  writer_free(&w);
}
