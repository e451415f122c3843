/** Who the clients are, by the names that their certificates give them, and what each may take: a JSON file of the
 *  operator's.
 *
 *      {"hospital-a": {"samples_day": 2000000, "jobs": 4, "prepared_bytes": 1000000000, "models": ["tumour"]},
 *       "*":          {"samples_day": 10000}}
 *
 *  Models are names, for all their versions, or NAME@VERSION. "*" stands for all that have no entry; without it they
 * are refused. What an entry does not name is not limited, but for prepared_bytes (session/serve.h). */
#ifndef FUSION_SERVICE_CLIENTS_H
#define FUSION_SERVICE_CLIENTS_H

#include "session/serve.h"

struct clients;

/** FUSION_E_IO, FUSION_E_INPUT (names the entry). */
fusion_status clients_load(struct clients **out, const char *path, fusion_error *err) FUSION_MUST_CHECK;
/** NULL is allowed. */
void clients_free(struct clients *c);
/** `model`: NAME or NAME@VERSION, for which an entry for NAME stands too; NULL: any. FUSION_E_REFUSED when the client
 * has no entry, or not for this model. */
fusion_status clients_limits(const struct clients *c, const char *client, const char *model, struct client_limits *out,
                             fusion_error *why) FUSION_MUST_CHECK;

#endif
