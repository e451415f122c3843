/** Sockets: addresses, connecting and listening with time limits. All descriptors are non-blocking and close on exec.
 */
#ifndef FUSION_NET_SOCKET_H
#define FUSION_NET_SOCKET_H

#include "base/base.h"

enum { NET_HOST_LEN = 256, NET_ADDRESS_LEN = 80, NET_NETWORK_LEN = 8 };

/** "host:port", "1.2.3.4:port" or "[::1]:port" taken apart. */
struct net_address {
  char host[NET_HOST_LEN];
  uint16_t port;
};

/** FUSION_E_USAGE with a text when `text` is none of the forms above. Port 0 is allowed. */
fusion_status net_address_parse(struct net_address *out, const char *text, fusion_error *err) FUSION_MUST_CHECK;

/** Whether the host is a loopback address, or called localhost: the peer is a process of this machine. */
bool net_address_is_local(const struct net_address *address);

/** Connects within `timeout_ms`. The host's addresses are tried side by side, each a quarter of a second after the one
 *  before it, IPv6 and IPv4 by turns (RFC 8305). With `loopback_only`, addresses of other machines are refused with
 *  FUSION_E_USAGE. FUSION_E_NETWORK, FUSION_E_TIMEOUT. */
fusion_status socket_connect(int *fd, const struct net_address *address, bool loopback_only, int timeout_ms,
                             fusion_error *err) FUSION_MUST_CHECK;
/** The same for addresses that are known: the first that answers. On failure errno is that of the last one. */
struct addrinfo;
fusion_status socket_race(int *fd, const struct addrinfo *list, double deadline) FUSION_MUST_CHECK;
/** Listens; `port` gets the port in use (port 0 asks the system for one). */
fusion_status socket_listen(int *fd, uint16_t *port, const struct net_address *address, bool loopback_only,
                            fusion_error *err) FUSION_MUST_CHECK;

/** Prepares an accepted or connected descriptor: non-blocking, no delay of small messages. */
fusion_status socket_prepare(int fd) FUSION_MUST_CHECK;
/** The peer's address as text. */
void socket_peer(int fd, char out[NET_ADDRESS_LEN]);

/** The peer's network, as far as one machine has it for itself: an IPv4 address, or the first half of an IPv6 one.
 * False, and zeros, when the peer is gone. */
bool socket_peer_network(int fd, uint8_t out[NET_NETWORK_LEN]);

/** Takes over a descriptor that was inherited: FUSION_E_USAGE when it is no listening TCP socket or, with
 *  `loopback_only`, bound to another address. */
fusion_status socket_adopt(int fd, uint16_t *port, bool loopback_only, fusion_error *err) FUSION_MUST_CHECK;

/** Waits until the descriptor is ready for `events` or `deadline` (clock_seconds) has passed: FUSION_E_TIMEOUT. */
fusion_status socket_wait(int fd, short events, double deadline) FUSION_MUST_CHECK;

#endif
