/** Metrics, health and status over HTTP, on an address of their own: GET and HEAD alone, nothing that changes anything.
 */
#ifndef FUSION_SERVICE_ADMIN_H
#define FUSION_SERVICE_ADMIN_H

#include "service/metrics.h"
#include "session/serve.h"

struct admin;

/** Listens on "HOST:PORT" and answers in a thread of its own. `metrics` and `models` are borrowed. */
fusion_status admin_open(struct admin **out, const char *address, struct metrics *metrics, struct model_list *models,
                         fusion_error *err) FUSION_MUST_CHECK;
void admin_close(struct admin *a);
/** NULL: there is no server; not ready. */
void admin_watch(struct admin *a, struct server *server);
uint16_t admin_port(const struct admin *a);

#endif
