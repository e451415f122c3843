/** The serving side: accepts connections, each a worker of some client's job, and runs the engine for them within
 * limits. */
#ifndef FUSION_SESSION_SERVE_H
#define FUSION_SESSION_SERVE_H

#include <fusion/server.h>

#include "engine/engine.h"
#include "net/connect.h"

struct server_settings {
  struct net_address listen;
  struct tls_context *tls;   /* borrowed; NULL: plaintext on a loopback address */
  const struct model *model; /* borrowed */
  const struct engine *engine;
  uint32_t max_clients;                         /* connections at once (each worker of a client is one) */
  uint64_t max_samples_job;                     /* samples of one job */
  uint64_t max_samples_day;                     /* samples of all jobs in 24 hours */
  const char *state;                            /* borrowed: file that keeps the count of these; may be NULL */
  uint64_t max_memory;                          /* bytes, for the shards of all connections together */
  uint32_t max_shard;                           /* samples a shard */
  int handshake_timeout_ms;                     /* from accepting to the client's START, message by message */
  int timeout_ms;                               /* silence tolerated later */
  int stop_grace_ms;                            /* how long running jobs may go on after server_stop */
  void (*log)(void *context, const char *line); /* one line for each job or refusal; called from any thread, never twice
                                                   at once; may be NULL */
  void *log_context;
};

struct server;

/** Listens at once; serves when server_run is called. */
fusion_status server_open(struct server **out, const struct server_settings *settings,
                          fusion_error *err) FUSION_MUST_CHECK;
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
