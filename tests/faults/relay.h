/** A TCP relay between client and server that fails as told: a network whose failures come at exact bytes. */
#ifndef FUSION_TESTS_RELAY_H
#define FUSION_TESTS_RELAY_H

#include <stdbool.h>
#include <stdint.h>

enum relay_fault {
  RELAY_NONE,
  RELAY_CUT,   /* both connections are reset */
  RELAY_STALL, /* nothing passes any more, neither way; nothing is closed */
  RELAY_ALTER, /* one bit of one byte is another */
  RELAY_DRIP,  /* one byte at a time from there on for 200 bytes, with pauses */
};

struct relay;

/** Relays 127.0.0.1:*port to 127.0.0.1:server. On each of the first `connections` connections the fault strikes after
 *  `after` bytes from the server (or from the client). */
struct relay *relay_open(uint16_t *port, uint16_t server);
void relay_set(struct relay *r, enum relay_fault fault, bool from_server, uint64_t after, unsigned connections);
/** Bytes that passed from the server (or the client) since relay_set. */
uint64_t relay_passed(struct relay *r, bool from_server);
void relay_close(struct relay *r);

#endif
