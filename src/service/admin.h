/** Metrics, health and status over HTTP, on an address of their own: GET and HEAD alone, nothing that changes anything.
 */
#ifndef FUSION_SERVICE_ADMIN_H
#define FUSION_SERVICE_ADMIN_H

#include "service/metrics.h"
#include "session/serve.h"

enum { ADMIN_ID_LEN = 65 };

/** What the pages show of the model. */
struct admin_model {
  char name[NET_NAME_LEN], id[ADMIN_ID_LEN];
  size_t input_shape[3], answer_size;
};

struct admin;

/** Listens on "HOST:PORT" and answers in a thread of its own. `metrics` and `model` are borrowed. */
fusion_status admin_open(struct admin **out, const char *address, struct metrics *metrics,
                         const struct admin_model *model, fusion_error *err) FUSION_MUST_CHECK;
void admin_close(struct admin *a);
/** NULL: there is no server; not ready. */
void admin_watch(struct admin *a, struct server *server);
uint16_t admin_port(const struct admin *a);

#endif
