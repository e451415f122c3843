/** The serving side: accepts connections, each a worker of some client's job, and runs the engine for them within
 * limits. */
#ifndef FUSION_SESSION_SERVE_H
#define FUSION_SESSION_SERVE_H

#include <fusion/server.h>

#include "engine/engine.h"
#include "net/connect.h"
#include "net/proxy_protocol.h"
#include "session/events.h"
#include "session/serve_models.h"

/** What one client may take, beside what all may. 0: no limit of its own. */
struct client_limits {
  uint64_t samples_day;    /* of its jobs in a day */
  uint64_t prepared_bytes; /* of its prepared runs; in place of its fair share of the server's */
  uint32_t jobs;           /* at once */
};

/** A job's claim on the allowances of its day. */
struct allowance {
  const char *job_id, *client, *engine, *model; /* model: its id in hexadecimal */
  uint64_t declared;                            /* samples */
  uint64_t ran;                                 /* samples at this server so far */
  uint64_t client_day, all_day; /* samples that this client's and all jobs of a day may run; client_day 0: no limit */
};

/** What stands above a server, which knows no more of it than this. Each function may be NULL; they are called from any
 *  thread, without locks. */
struct server_hooks {
  void *context;
  void (*event)(void *context, const struct event *e);
  /** What a client may take that uses this model (NULL: any). A client that may not come in, or not use it, gets *why
   * and its status. */
  fusion_status (*limits)(void *context, const char *client, const char *model, struct client_limits *out,
                          fusion_error *why);
  /** Reads again what may change while a server runs. On failure nothing has changed. */
  fusion_status (*reload)(void *context, fusion_error *why);
  /** Allowances that several servers share, all three or none: reserve before a job begins, book before its samples run
   *  (the reservation is used up first), and give back what is left when the job has ended. `ended` NULL: nothing ran.
   *  FUSION_E_BUSY when there may be room later, FUSION_E_LIMIT when there never is. */
  fusion_status (*reserve)(void *context, const struct allowance *a, fusion_error *why);
  fusion_status (*book)(void *context, const struct allowance *a, uint64_t samples, fusion_error *why);
  void (*release)(void *context, const struct allowance *a, const struct event *ended);
};

/** What the server's settings name, found and opened. */
struct server_handles {
  struct net_address listen;
  const struct proxy_list *proxies;   /* borrowed; whose PROXY headers are believed, and demanded; NULL: none */
  int listen_fd;                      /* inherited, listening, taken; 0 (as stdin never is): opens `listen` */
  struct tls_context *tls;            /* borrowed; NULL: plaintext on a loopback address */
  struct model_list *models;          /* borrowed; NULL: the one model that follows, under the settings' name */
  const struct model *model;          /* borrowed */
  struct engine_list engines;         /* that clients may ask for; each can run the model */
  const uint8_t *receipt_key;         /* borrowed, secret: RECEIPT_SECRET_LEN bytes; NULL: no receipts */
  const struct server_hooks *hooks;   /* borrowed; NULL: none */
  const struct engine_speeds *speeds; /* borrowed, plausible: told to clients, for their predictions; NULL: not told */
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
/** Within a second the server reads again what its hooks can; running jobs go on. From any thread and from a signal
 *  handler. */
void server_reload(struct server *s);
fusion_server_totals server_get_totals(struct server *s);
/** Whether a new job would be taken now; else *reason is a word: "draining" or "full". */
bool server_is_ready(struct server *s, const char **reason);
/** After server_run has returned (or was never called). */
void server_close(struct server *s);

#endif
