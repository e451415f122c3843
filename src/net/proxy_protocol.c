#include "net/proxy_protocol.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static const uint8_t signature[12] = {'\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};
static const char version_1[] = "PROXY ";

enum {
  VERSION_AND_LOCAL = 0x20,
  VERSION_AND_PROXY = 0x21,
  FAMILY_UNKNOWN = 0x00,
  FAMILY_TCP_4 = 0x11,
  FAMILY_TCP_6 = 0x21,
  TLV_HEAD_LEN = 3,
  TLV_CRC32C = 0x03,
  CRC_LEN = 4
};

fusion_status proxy_rest_len(const uint8_t fixed[PROXY_FIXED_LEN], size_t *rest_len, fusion_error *why) {
  *rest_len = 0;
  if (memcmp(fixed, version_1, sizeof version_1 - 1) == 0)
    return error_set(why, FUSION_E_PEER,
                     "the proxy speaks version 1 of the PROXY protocol; set it to version 2 (haproxy: send-proxy-v2)");
  if (memcmp(fixed, signature, sizeof signature) != 0)
    return error_set(why, FUSION_E_PEER, "the proxy sent no PROXY protocol header (haproxy: send-proxy-v2)");
  if (fixed[12] != VERSION_AND_LOCAL && fixed[12] != VERSION_AND_PROXY)
    return error_set(why, FUSION_E_PEER, "the proxy's header has version and command 0x%02x, neither 0x20 nor 0x21",
                     fixed[12]);
  const size_t len = (size_t)fixed[14] << 8 | fixed[15];
  if (len > PROXY_REST_MAX)
    return error_set(why, FUSION_E_PEER, "the proxy's header is longer than %d bytes",
                     PROXY_FIXED_LEN + PROXY_REST_MAX);
  *rest_len = len;
  return FUSION_OK;
}

/* CRC-32C (RFC 3720) over the header with its own four bytes as zeros. */
static uint32_t checksum(const uint8_t *header, size_t len, size_t zero_at) {
  uint32_t crc = UINT32_MAX;
  for (size_t i = 0; i < len; i++) {
    crc ^= i - zero_at < CRC_LEN ? 0 : header[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
  }
  return ~crc;
}

static fusion_status check_extensions(const uint8_t *header, size_t len, size_t at, fusion_error *why) {
  while (at < len) {
    const bool headed = len - at >= TLV_HEAD_LEN;
    const size_t value_len = headed ? (size_t)header[at + 1] << 8 | header[at + 2] : 0;
    if (!headed || value_len > len - at - TLV_HEAD_LEN)
      return error_set(why, FUSION_E_PEER, "the extensions of the proxy's header are longer than the header");
    const uint8_t *v = header + at + TLV_HEAD_LEN;
    if (header[at] == TLV_CRC32C) {
      const size_t value_at = at + TLV_HEAD_LEN;
      const bool right = value_len == CRC_LEN && ((uint32_t)v[0] << 24 | (uint32_t)v[1] << 16 | (uint32_t)v[2] << 8 |
                                                  v[3]) == checksum(header, len, value_at);
      if (!right) return error_set(why, FUSION_E_PEER, "the checksum of the proxy's header is wrong");
    }
    at += TLV_HEAD_LEN + value_len;
  }
  return FUSION_OK;
}

static void take_source(struct proxy_source *out, const uint8_t *addresses, bool is_6) {
  char host[INET6_ADDRSTRLEN] = "?";
  const uint8_t *ports = addresses + (is_6 ? 32 : 8);
  static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
  const bool is_mapped = is_6 && memcmp(addresses, mapped, sizeof mapped) == 0;
  inet_ntop(is_6 ? AF_INET6 : AF_INET, addresses, host, sizeof host);
  snprintf(out->address, sizeof out->address, is_6 ? "[%s]:%u" : "%s:%u", host, (unsigned)ports[0] << 8 | ports[1]);
  if (is_6 && !is_mapped)
    memcpy(out->network, addresses, NET_NETWORK_LEN);
  else
    memcpy(out->network, addresses + (is_mapped ? sizeof mapped : 0), 4);
  out->known = true;
}

fusion_status proxy_parse(const uint8_t *header, size_t len, struct proxy_source *out, fusion_error *why) {
  size_t rest_len;
  *out = (struct proxy_source){.known = false};
  if (len < PROXY_FIXED_LEN) return error_set(why, FUSION_E_PEER, "the proxy's header is cut off");
  const fusion_status status = proxy_rest_len(header, &rest_len, why);
  if (status != FUSION_OK) return status;
  if (rest_len != len - PROXY_FIXED_LEN) return error_set(why, FUSION_E_PEER, "the proxy's header is cut off");
  const uint8_t family = header[13];
  if (header[12] == VERSION_AND_LOCAL) return FUSION_OK; /* the rest is to be ignored */
  const size_t addresses_len = family == FAMILY_TCP_4 ? 12 : family == FAMILY_TCP_6 ? 36 : 0;
  if (!addresses_len)
    return error_set(why, FUSION_E_PEER,
                     family == FAMILY_UNKNOWN ? "the proxy's header does not say whom the connection comes from"
                                              : "the proxy's header is not of TCP over IPv4 or IPv6");
  if (rest_len < addresses_len)
    return error_set(why, FUSION_E_PEER, "the proxy's header is too short for its addresses");
  const fusion_status extended = check_extensions(header, len, PROXY_FIXED_LEN + addresses_len, why);
  if (extended == FUSION_OK) take_source(out, header + PROXY_FIXED_LEN, family == FAMILY_TCP_6);
  return extended;
}

static fusion_status receive(int fd, uint8_t *out, size_t len, double deadline, fusion_error *why) {
  for (size_t have = 0; have < len;) {
    const fusion_status status = socket_wait(fd, POLLIN, deadline);
    if (status != FUSION_OK) return error_set(why, status, "the proxy's header did not come in time");
    const ssize_t n = recv(fd, out + have, len - have, MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) return error_set(why, FUSION_E_CLOSED, "the connection ended within the proxy's header");
    have += (size_t)n;
  }
  return FUSION_OK;
}

fusion_status proxy_receive(int fd, double deadline, struct proxy_source *out, fusion_error *why) {
  uint8_t header[PROXY_FIXED_LEN + PROXY_REST_MAX];
  size_t rest_len;
  fusion_status status = receive(fd, header, PROXY_FIXED_LEN, deadline, why);
  if (status == FUSION_OK) status = proxy_rest_len(header, &rest_len, why);
  if (status == FUSION_OK) status = receive(fd, header + PROXY_FIXED_LEN, rest_len, deadline, why);
  return status == FUSION_OK ? proxy_parse(header, PROXY_FIXED_LEN + rest_len, out, why) : status;
}

/* ---- the list ---- */

static const uint8_t map_prefix[12] = {[10] = 0xff, [11] = 0xff};

/* "10.0.0.0/8" into 16 bytes and 104 bits. */
static bool parse_network(const char *text, uint8_t address[16], unsigned *bits) {
  char host[INET6_ADDRSTRLEN];
  const size_t len = strcspn(text, "/");
  if (len >= sizeof host) return false;
  snprintf(host, sizeof host, "%.*s", (int)len, text);
  const bool is_4 = inet_pton(AF_INET, host, address + 12) == 1;
  if (is_4) memcpy(address, map_prefix, sizeof map_prefix);
  if (!is_4 && inet_pton(AF_INET6, host, address) != 1) return false;
  const unsigned most = is_4 ? 32 : 128;
  unsigned long given = most;
  if (text[len]) {
    char *end;
    if (text[len + 1] < '0' || text[len + 1] > '9') return false;
    given = strtoul(text + len + 1, &end, 10);
    if (*end || given > most) return false;
  }
  *bits = (unsigned)given + (128 - most);
  return true;
}

fusion_status proxy_list_parse(struct proxy_list *out, const char *text, fusion_error *err) {
  *out = (struct proxy_list){.count = 0};
  for (const char *at = text;; at++) {
    char one[64];
    const size_t len = strcspn(at, ",");
    if (out->count == PROXY_LIST_MAX)
      return error_set(err, FUSION_E_USAGE, "more than %d addresses of proxies; give their network", PROXY_LIST_MAX);
    snprintf(one, sizeof one, "%.*s", len < sizeof one ? (int)len : 0, at);
    if (!parse_network(one, out->at[out->count].address, &out->at[out->count].bits))
      return error_set(err, FUSION_E_USAGE, "'%.*s': not an address or network; write 10.0.0.1 or 10.0.0.0/24",
                       (int)size_min(len, 80), at);
    out->count++;
    at += len;
    if (!*at) return FUSION_OK;
  }
}

static bool covers(const uint8_t *network, unsigned bits, const uint8_t *address) {
  const unsigned whole = bits / 8, rest = bits % 8;
  if (memcmp(network, address, whole) != 0) return false;
  return !rest || (network[whole] ^ address[whole]) >> (8 - rest) == 0;
}

bool proxy_list_has(const struct proxy_list *l, int fd) {
  struct sockaddr_storage peer;
  socklen_t len = sizeof peer;
  uint8_t address[16] = {0};
  if (!l->count || getpeername(fd, (struct sockaddr *)&peer, &len)) return false;
  if (peer.ss_family == AF_INET6) {
    memcpy(address, &((const struct sockaddr_in6 *)(const void *)&peer)->sin6_addr, sizeof address);
  } else if (peer.ss_family == AF_INET) {
    memcpy(address, map_prefix, sizeof map_prefix);
    memcpy(address + 12, &((const struct sockaddr_in *)(const void *)&peer)->sin_addr, 4);
  } else {
    return false;
  }
  for (size_t i = 0; i < l->count; i++)
    if (covers(l->at[i].address, l->at[i].bits, address)) return true;
  return false;
}
