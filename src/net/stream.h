/** The transport over a connected socket, plain or TLS. */
#ifndef FUSION_NET_STREAM_H
#define FUSION_NET_STREAM_H

#include "net/channel_internal.h"
#include "net/tls.h"

/** Takes `fd` and `ssl` (NULL: plain), also on failure. `timeout_ms`: how long a read or write may go without
 * completing or moving on by 64 KiB. */
fusion_status stream_channel(struct channel **out, int fd, SSL *ssl, int timeout_ms) FUSION_MUST_CHECK;

#endif
