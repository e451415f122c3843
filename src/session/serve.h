/** The serving side: accepts connections, each a worker of some client's job, and runs the engine for them within
 * limits. */
#ifndef FUSION_SESSION_SERVE_H
#define FUSION_SESSION_SERVE_H

#include <fusion/server.h>

#include "engine/engine.h"
#include "net/connect.h"

/** What the server's settings name, found and opened. */
struct server_handles {
  struct net_address listen;
  struct tls_context *tls;    /* borrowed; NULL: plaintext on a loopback address */
  const struct model *model;  /* borrowed */
  struct engine_list engines; /* that clients may ask for; each can run the model */
  const uint8_t *receipt_key; /* borrowed, secret: RECEIPT_SECRET_LEN bytes; NULL: no receipts */
};

struct server;

/** Listens at once; serves when server_run is called. The settings are checked; their texts are borrowed for the call,
 *  and of those only `state` is read: the handles stand for the others. */
fusion_status server_open(struct server **out, const fusion_server_settings *settings,
                          const struct server_handles *handles, fusion_error *err) FUSION_MUST_CHECK;
uint16_t server_port(const struct server *s);
/** Serves until server_stop; returns when every connection has ended. */
fusion_status server_run(struct server *s, fusion_error *err) FUSION_MUST_CHECK;
/** First call: no new connections, running jobs get the grace time. Second call: running jobs end at once. From any
 * thread and from a signal handler. */
void server_stop(struct server *s);
fusion_server_totals server_get_totals(struct server *s);
/** After server_run has returned (or was never called). */
void server_close(struct server *s);

#endif
