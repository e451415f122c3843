/** What operations need around a server: who its clients are, the ledger, metrics, health and a status page. Fed by the
 *  session's events; nobody below knows it. */
#ifndef FUSION_SERVICE_SERVICE_H
#define FUSION_SERVICE_SERVICE_H

#include "service/clients.h"

struct service;

/** Each text may be NULL: not wanted. Borrowed for service_open alone. */
struct service_settings {
  const char *clients, *ledger, *admin;
  struct model_list *models; /* borrowed for the service's life: what its pages show */
};

fusion_status service_open(struct service **out, const struct service_settings *settings,
                           fusion_error *err) FUSION_MUST_CHECK;
/** NULL is allowed. */
void service_close(struct service *s);

/** The server whose state health and pages show; NULL: not yet, or no more. */
void service_watch(struct service *s, struct server *server);
/** The admin address's port; 0 without one. */
uint16_t service_port(const struct service *s);

/** Reads the clients' file; *out is NULL without one. Then takes it: *fresh gets what was there. */
fusion_status service_read_clients(struct service *s, struct clients **out, fusion_error *err) FUSION_MUST_CHECK;
void service_take_clients(struct service *s, struct clients **fresh);

/** As in struct server_hooks. */
void service_event(struct service *s, const struct event *e);
fusion_status service_limits(struct service *s, const char *client, const char *model, struct client_limits *out,
                             fusion_error *why) FUSION_MUST_CHECK;
fusion_status service_reserve(struct service *s, const struct allowance *a, fusion_error *why) FUSION_MUST_CHECK;
fusion_status service_book(struct service *s, const struct allowance *a, uint64_t samples,
                           fusion_error *why) FUSION_MUST_CHECK;
void service_release(struct service *s, const struct allowance *a, const struct event *ended);

#endif
