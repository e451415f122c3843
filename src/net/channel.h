/** net: channels between the two parties. Everything the protocols say to each other passes here, framed, numbered,
 *  counted and length-checked. Kinds: in-memory pipe (tests), TCP, TLS 1.3, and a shaper (LAN/WAN) around any of them.
 *
 *  A frame is a header of CHANNEL_HEADER_LEN bytes (u32 payload length, u32 sequence number, u16 type, u16 zero, u32
 *  depth) and the payload. A receiver names the type and exact length that it expects: anything else is a peer error
 * and poisons the channel (every later call fails with the same status). Depth is the number of one-way message delays
 * on the longest chain of messages so far (a Lamport clock): the honest count of rounds, used for reporting alone.
 *
 *  Sending buffers; receiving first flushes what is buffered. Two parties may send to each other at once without
 *  deadlock up to CHANNEL_EXCHANGE_MAX bytes in each direction (a blocked writer goes on reading). */
#ifndef FUSION_NET_CHANNEL_H
#define FUSION_NET_CHANNEL_H

#include "base/base.h"

enum { CHANNEL_HEADER_LEN = 16, CHANNEL_HASH_LEN = 32 };
#define CHANNEL_FRAME_MAX ((size_t)1 << 30)     /* longest payload accepted */
#define CHANNEL_EXCHANGE_MAX ((size_t)64 << 20) /* simultaneous bytes each way that may be in flight */

/** Who a party is. The protocols have no party numbers. */
enum role { ROLE_SERVER, ROLE_CLIENT };

/** The other party. */
static inline enum role role_peer(enum role role) {
  return role == ROLE_SERVER ? ROLE_CLIENT : ROLE_SERVER;
}

/** What a message is: the class of the module that sends it in the high byte, its number within the class in the low
 *  byte. A frame of another type than the receiver expects is refused. Each module declares its own messages, one enum
 *  with a MESSAGE_TYPE for each; numbers never change and are never used again. docs/protocols/messages.md lists them
 *  all. Class 0xff is for tests. */
typedef uint16_t message_type;
#define MESSAGE_TYPE(class, number) ((class) << 8 | (number))
static inline unsigned message_class(message_type type) {
  return type >> 8;
}
static inline unsigned message_number(message_type type) {
  return type & 0xff;
}

/** The one message of this module: allowed in place of any other, see channel_refuse. It is of the session's class, so
 *  that peers of version 1, which knew no classes, can read it. */
enum channel_message {
  MSG_REFUSAL = MESSAGE_TYPE(0, 4),
};

struct channel_stats {
  uint64_t bytes_sent, bytes_received; /* headers included */
  uint64_t messages_sent, messages_received;
  uint32_t depth; /* see above */
};

struct channel; /* opaque; one thread at a time */

/** Both ends of an in-memory pipe (unbounded queue; close of one end is seen by the other as FUSION_E_CLOSED). */
fusion_status channel_pipe(struct channel **server_end, struct channel **client_end) FUSION_MUST_CHECK;

fusion_status channel_send(struct channel *c, message_type type, const void *data, size_t len) FUSION_MUST_CHECK;
fusion_status channel_recv(struct channel *c, message_type type, void *data, size_t len) FUSION_MUST_CHECK;
/** A message whose length the receiver does not know: at most `max_len`. *data is owned by the caller (mem_free). */
fusion_status channel_recv_sized(struct channel *c, message_type type, size_t max_len, uint8_t **data,
                                 size_t *len) FUSION_MUST_CHECK;
fusion_status channel_flush(struct channel *c) FUSION_MUST_CHECK;

/** From now on (or no longer) hashes every frame, headers included, but REFUSAL: for receipts. 1.25 ns a byte, measured
 * on one core with AVX2. */
void channel_record(struct channel *c, bool on);
/** BLAKE2b-256 of the frames that were sent and of those that were received while they were recorded, each in order. */
void channel_recorded(const struct channel *c, uint8_t sent[CHANNEL_HASH_LEN], uint8_t received[CHANNEL_HASH_LEN]);

struct channel_stats channel_get_stats(const struct channel *c);
/** Bytes sent and received so far, headers included. Allowed from another thread: for showing progress. */
uint64_t channel_moved(const struct channel *c);
/** The first failure with its text (status FUSION_OK and empty text when there was none). */
const fusion_error *channel_error(const struct channel *c);
/** Poisons the channel with a failure that a protocol found in the peer's bytes; returns `status`. */
fusion_status channel_fail(struct channel *c, fusion_status status, const char *format, ...) FUSION_PRINTF(3, 4);
/** Tells the peer why the connection ends (one line of printable ASCII; it gets FUSION_E_REFUSED with this text, or
 * FUSION_E_BUSY when `later` says that it may try again later, at its next receive or failing send), waits briefly
 * until it has read so, and poisons the channel. Works also after FUSION_E_PEER, FUSION_E_VERSION, FUSION_E_CRYPTO and
 * FUSION_E_MEMORY; does nothing after other failures. The text must not depend on secrets. */
void channel_refuse(struct channel *c, bool later, const char *text);
/** Makes every running and later call fail with FUSION_E_CLOSED. Allowed from another thread. */
void channel_cancel(struct channel *c);
/** Work for a party that waits for a message: called again and again while there is nothing to read, until it returns
 *  false: there is nothing to do. Each call is to be short: a message that comes meanwhile waits for its end. It must
 *  not use the channel. */
struct channel_idle {
  bool (*work)(void *context); /* NULL: none */
  void *context;               /* borrowed */
};
void channel_set_idle(struct channel *c, struct channel_idle idle);
/** Changes the silence tolerated in a read or write, where the channel knows time-outs. */
void channel_set_timeout(struct channel *c, int timeout_ms);
/** Closes and frees; NULL is allowed. */
void channel_close(struct channel *c);

#endif
