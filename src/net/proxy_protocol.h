/** The PROXY protocol, version 2: a load balancer says in front of a connection whom it comes from. Only what the
 *  addresses of a list send is believed.
 *
 *  Source: https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, section 2.2. Stricter than that: TCP over IPv4
 * and IPv6 alone, extensions (TLVs) must fill the header exactly, a checksum (PP2_TYPE_CRC32C) must be right. */
#ifndef FUSION_NET_PROXY_PROTOCOL_H
#define FUSION_NET_PROXY_PROTOCOL_H

#include "net/socket.h"

enum {
  PROXY_FIXED_LEN = 16,  /* signature, version and command, family, length of the rest */
  PROXY_REST_MAX = 1024, /* bytes behind it that are accepted */
  PROXY_LIST_MAX = 32
};

/** Where a connection comes from, as its header says. */
struct proxy_source {
  bool known; /* else the balancer itself asks, for example to see whether the server is well */
  char address[NET_ADDRESS_LEN];
  uint8_t network[NET_NETWORK_LEN]; /* as socket_peer_network */
};

/** The length of the rest by the first PROXY_FIXED_LEN bytes. FUSION_E_PEER with a line. */
fusion_status proxy_rest_len(const uint8_t fixed[PROXY_FIXED_LEN], size_t *rest_len,
                             fusion_error *why) FUSION_MUST_CHECK;
/** The whole header, PROXY_FIXED_LEN + rest_len bytes. */
fusion_status proxy_parse(const uint8_t *header, size_t len, struct proxy_source *out,
                          fusion_error *why) FUSION_MUST_CHECK;

/** Addresses and networks: "10.0.0.1", "10.0.0.0/8", "fd00::/8". An IPv4 address covers its form within IPv6. */
struct proxy_list {
  size_t count;
  struct {
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;
  } at[PROXY_LIST_MAX];
};
/** Split by commas. FUSION_E_USAGE. */
fusion_status proxy_list_parse(struct proxy_list *out, const char *text, fusion_error *err) FUSION_MUST_CHECK;
/** Whether the peer of a connected descriptor is on the list. */
bool proxy_list_has(const struct proxy_list *l, int fd);

/** Reads and takes the header from a connection, and nothing behind it. FUSION_E_TIMEOUT, FUSION_E_CLOSED,
 *  FUSION_E_PEER. */
fusion_status proxy_receive(int fd, double deadline, struct proxy_source *out, fusion_error *why) FUSION_MUST_CHECK;

#endif
