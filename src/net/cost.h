/** Declared cost: a dry run of a protocol's messages. Every protocol function f() has a twin f_cost() that says here what
 *  f() sends; tests assert that the counted bytes, messages and depth are exactly the declared ones. */
#ifndef FUSION_NET_COST_H
#define FUSION_NET_COST_H

#include "net/channel.h"

struct cost {
  uint64_t bytes_to_server, bytes_to_client; /* headers included */
  uint64_t messages_to_server, messages_to_client;
  uint32_t depth_server, depth_client; /* one-way delays: see channel.h */
  /* Correlations consumed, by who is the OT sender; ot/cot_cost turns them into refills. */
  uint64_t cots_server_sends, cots_client_sends;
  bool out_of_memory; /* while it was counted: the cost is too small */
  void *refill; /* ot's state (struct cot_cost), NULL when refills are not modelled */
};

static inline void cost_to_server(struct cost *c, size_t payload_len) {
  c->bytes_to_server += payload_len + CHANNEL_HEADER_LEN;
  c->messages_to_server++;
  if (c->depth_server < c->depth_client + 1) c->depth_server = c->depth_client + 1;
}

static inline void cost_to_client(struct cost *c, size_t payload_len) {
  c->bytes_to_client += payload_len + CHANNEL_HEADER_LEN;
  c->messages_to_client++;
  if (c->depth_client < c->depth_server + 1) c->depth_client = c->depth_server + 1;
}

/** Both send, then both receive. */
static inline void cost_exchange(struct cost *c, size_t to_server_len, size_t to_client_len) {
  const uint32_t server = c->depth_server, client = c->depth_client;
  c->bytes_to_server += to_server_len + CHANNEL_HEADER_LEN;
  c->bytes_to_client += to_client_len + CHANNEL_HEADER_LEN;
  c->messages_to_server++;
  c->messages_to_client++;
  if (c->depth_server < client + 1) c->depth_server = client + 1;
  if (c->depth_client < server + 1) c->depth_client = server + 1;
}

/** The party `from` sends `payload_len` bytes. */
static inline void cost_send(struct cost *c, enum role from, size_t payload_len) {
  if (from == ROLE_SERVER) cost_to_client(c, payload_len);
  else cost_to_server(c, payload_len);
}

#endif
