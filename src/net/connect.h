/** Channels over the network: dialling a server, and a listener with its accepted connections. */
#ifndef FUSION_NET_CONNECT_H
#define FUSION_NET_CONNECT_H

#include "net/channel.h"
#include "net/socket.h"
#include "net/tls.h"

/** Who is at the other end. */
struct net_peer {
  char address[NET_ADDRESS_LEN];
  bool has_certificate;
  uint8_t certificate_sha256[TLS_HASH_LEN];
  char name[NET_NAME_LEN];          /* that its certificate gives it; empty: none */
  uint8_t own_sha256[TLS_HASH_LEN]; /* of the certificate that this side showed; zeros: none */
};

struct net_limits {
  int connect_timeout_ms; /* for TCP and TLS together */
  int timeout_ms;         /* silence tolerated in a read or write */
};

/** Connects. `tls` NULL means plaintext, which is refused but for loopback addresses. */
fusion_status channel_dial(struct channel **out, const struct net_address *address, struct tls_context *tls,
                           const struct net_limits *limits, struct net_peer *peer, fusion_error *err) FUSION_MUST_CHECK;

struct listener;

/** `tls` (borrowed) NULL means plaintext, which is refused but for loopback addresses. */
fusion_status listener_open(struct listener **out, const struct net_address *address, struct tls_context *tls,
                            fusion_error *err) FUSION_MUST_CHECK;
/** The same with a socket that listens already, taken; with `tls` NULL it must be bound to a loopback address. */
fusion_status listener_adopt(struct listener **out, int fd, struct tls_context *tls,
                             fusion_error *err) FUSION_MUST_CHECK;
uint16_t listener_port(const struct listener *l);
/** Waits for a connection: its descriptor, handshake still to do. FUSION_E_CLOSED after listener_stop, FUSION_E_TIMEOUT
 *  after `timeout_ms` (below 0: never). */
fusion_status listener_wait(struct listener *l, int *fd, int timeout_ms, fusion_error *err) FUSION_MUST_CHECK;
/** Ends listener_wait, now or later. From any thread, and from a signal handler. */
void listener_stop(struct listener *l);
/** Lets go of the address, so that new connections are refused at once; accepted ones are not touched. */
void listener_shut(struct listener *l);
void listener_close(struct listener *l);

/** Turns an accepted descriptor (taken) into a channel; does the TLS handshake. From any thread. */
fusion_status listener_handshake(struct listener *l, struct channel **out, int fd, const struct net_limits *limits,
                                 struct net_peer *peer, fusion_error *err) FUSION_MUST_CHECK;

#endif
