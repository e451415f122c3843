/** Clients that attack a server on the wire: malformed, oversized, slow, endless, out of order, too many. For tests of
 *  the server's health and for the program cheating_client. Nothing of it is installed. */
#ifndef FUSION_TESTS_ATTACK_H
#define FUSION_TESTS_ATTACK_H

#include "adversary/cheat.h"

struct attack_target {
  struct net_address address;
  struct tls_context *tls; /* borrowed; NULL: plaintext */
  int give_up_ms;          /* how long an attack waits for the server to end it */
};

enum attack_end {
  ATTACK_ENDED,    /* the server ended or refused the connection, or let the attacker leave */
  ATTACK_SERVED,   /* the session went to its end: the attack did no harm, to the attacker either */
  ATTACK_ENDURED,  /* the server still held the connection when the attacker gave up: must not happen */
  ATTACK_NO_START, /* the server could not be reached */
};

struct attack {
  const char *name;
  enum attack_end (*run)(const struct attack *a, const struct attack_target *target, uint64_t *random);
  uint64_t value;       /* what the variants of one function differ in */
  bool tls_only;        /* it is about TLS */
  unsigned connections; /* beside each other; 0: one */
};

extern const struct attack attacks[];
extern const size_t attack_count;

/* ---- between the files: a connection without any framing ---- */

struct wire {
  int fd;
  SSL *ssl; /* NULL: plaintext */
};

/** Connects; `secure`: with TLS if the target has it. */
bool wire_open(struct wire *w, const struct attack_target *target, bool secure);
/** False when the server has closed or takes nothing for `limit_ms`. */
bool wire_send(struct wire *w, const void *data, size_t len, int limit_ms);
/** Drops what comes until the server closes (ATTACK_ENDED) or time is over (ATTACK_ENDURED). */
enum attack_end wire_wait(struct wire *w, int limit_ms);
/** `reset`: without a goodbye, the rest of the connection dropped. */
void wire_close(struct wire *w, bool reset);

enum attack_end attack_session(const struct attack *a, const struct attack_target *target, uint64_t *random);
enum attack_end attack_hello(const struct attack *a, const struct attack_target *target, uint64_t *random);
enum attack_end attack_start(const struct attack *a, const struct attack_target *target, uint64_t *random);
enum attack_end attack_shard(const struct attack *a, const struct attack_target *target, uint64_t *random);

#endif
