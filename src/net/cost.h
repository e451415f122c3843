/** Declared cost: a dry run of a protocol's messages. Every protocol function f() has a twin f_cost() that says here
 * what f() sends; tests assert that the counted bytes, messages and depth are exactly the declared ones. */
#ifndef FUSION_NET_COST_H
#define FUSION_NET_COST_H

#include "net/channel.h"

struct cost;

/** Where a session's correlations come from, for its costs: what a take of `count` of them in one call sets off. Kinds
 *  embed this as their first member. */
struct cost_source {
  void (*taken)(struct cost_source *source, struct cost *cost, enum role sender, uint64_t count);
  void (*postponed)(struct cost_source *source); /* these: see cot_postpone_check(); both NULL: it changes nothing */
  void (*settled)(struct cost_source *source, struct cost *cost);
};

struct cost {
  uint64_t bytes_to_server, bytes_to_client; /* headers included */
  uint64_t messages_to_server, messages_to_client;
  uint32_t depth_server, depth_client; /* one-way delays: see channel.h */
  /* Correlations consumed, by who is the OT sender (cost_take_cots in ot/cot.h). */
  uint64_t cots_server_sends, cots_client_sends;
  /* Entries of tables sent (gates/lookup.h): they take the processors' time. */
  uint64_t entries_server_sends, entries_client_sends;
  uint64_t prepared_server,
      prepared_client;        /* bytes of state that each party keeps for a later run (engine/engine.h) */
  bool out_of_memory;         /* while it was counted: the cost is too small */
  struct cost_source *source; /* borrowed; NULL when refills are not modelled */
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

/** The party `from` sends `payload_len` bytes. */
static inline void cost_send(struct cost *c, enum role from, size_t payload_len) {
  if (from == ROLE_SERVER)
    cost_to_client(c, payload_len);
  else
    cost_to_server(c, payload_len);
}

/** So many of them, at least one, in a row. */
static inline void cost_sends(struct cost *c, enum role from, size_t payload_len, uint64_t messages) {
  const uint64_t more = messages - 1;
  cost_send(c, from, payload_len);
  *(from == ROLE_SERVER ? &c->bytes_to_client : &c->bytes_to_server) += more * (payload_len + CHANNEL_HEADER_LEN);
  *(from == ROLE_SERVER ? &c->messages_to_client : &c->messages_to_server) += more;
}

/** A message of a flight in which both may send: it waits for nothing that came after `begun`, a copy of the cost at
 * the flight's beginning. */
static inline void cost_in_flight(struct cost *c, const struct cost *begun, enum role from, size_t payload_len) {
  struct cost sent = *c;
  sent.depth_server = begun->depth_server;
  sent.depth_client = begun->depth_client;
  cost_send(&sent, from, payload_len);
  if (sent.depth_server < c->depth_server) sent.depth_server = c->depth_server;
  if (sent.depth_client < c->depth_client) sent.depth_client = c->depth_client;
  *c = sent;
}

/** Both send, then both receive. */
static inline void cost_exchange(struct cost *c, size_t to_server_len, size_t to_client_len) {
  const struct cost begun = *c;
  cost_in_flight(c, &begun, ROLE_CLIENT, to_server_len);
  cost_in_flight(c, &begun, ROLE_SERVER, to_client_len);
}

#endif
