/** Two ends of a real connection in one process. */
#ifndef FUSION_TESTS_NET_SUPPORT_H
#define FUSION_TESTS_NET_SUPPORT_H

#include "net/connect.h"
#include "support/certs.h"
#include "support/support.h"

struct pair {
  struct channel *server, *client;
  fusion_status server_status, client_status; /* of setting up */
  fusion_error server_error, client_error;
  struct net_peer server_sees, client_sees;
};

/** Connects over loopback; NULL contexts give plaintext. `host` is what the client dials. */
void pair_open(struct pair *p, struct tls_context *server_tls, struct tls_context *client_tls, const char *host,
               int timeout_ms);
void pair_close(struct pair *p);

#endif
