/** What a transport gives to the framing core: blocking bytes in and out. */
#ifndef FUSION_NET_CHANNEL_INTERNAL_H
#define FUSION_NET_CHANNEL_INTERNAL_H

#include "net/channel.h"

enum { CHANNEL_BUFFER_LEN = 1 << 17 };

struct transport;

struct transport_ops {
  /** Sends all of it; may read into an inbox of its own meanwhile so that two senders do not block each other. */
  fusion_status (*write)(struct transport *t, const void *data, size_t len, fusion_error *err);
  /** Fills all of it. */
  fusion_status (*read)(struct transport *t, void *data, size_t len, fusion_error *err);
  /** Ends every read and write, running or later, with FUSION_E_CLOSED. From any thread. */
  void (*cancel)(struct transport *t);
  /** Says that nothing more will be sent, then drops what the peer still sends until it closes or `limit_ms` passed, so
   *  that the last bytes sent reach it. */
  void (*linger)(struct transport *t, int limit_ms);
  /** Changes how long a read or write may take; NULL when the transport knows no time-outs. */
  void (*set_timeout)(struct transport *t, int timeout_ms);
  /** What a read does while it would block; NULL when the transport cannot tell. */
  void (*set_idle)(struct transport *t, struct channel_idle idle);
  void (*close)(struct transport *t);
};

/** Kinds embed this as their first member. */
struct transport {
  const struct transport_ops *ops;
};

/** Takes `t` (closed with the channel, and on failure). */
fusion_status channel_new(struct channel **out, struct transport *t) FUSION_MUST_CHECK;

/** Takes the transport out of a channel through which nothing has passed yet, to wrap it; frees the channel. */
struct transport *channel_unwrap(struct channel *c);

#endif
