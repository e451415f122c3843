/** The ledger: a row for every job that ran samples, in a database that several servers may share: an SQLite file, or
 *  PostgreSQL. Rows are only ever added, each with a hash over itself and the one before it, so that a row that is
 *  altered, taken out or moved shows. It also counts the samples of each client's day (UTC): claims and counts change
 * in one transaction, so that servers that share the ledger share the limits, exactly.
 *
 *  A job that several servers ran parts of is one row: its parts add up in `open_jobs` until the last of these servers
 *  lets go of it. A server that was killed lets go when it has not renewed its hold for LEDGER_HOLD_S.
 *
 *  While a database on the network cannot be reached, jobs wait a little and are then told to come again. An operation
 *  whose answer was lost is never done twice: the database knows the number of each server's last one. The ends of jobs
 *  are kept until the database takes them. */
#ifndef FUSION_SERVICE_LEDGER_H
#define FUSION_SERVICE_LEDGER_H

#include "session/serve.h"

enum { LEDGER_HASH_LEN = 32, LEDGER_HEX_LEN = 2 * LEDGER_HASH_LEN + 1, LEDGER_HOLD_S = 120, LEDGER_RENEW_S = 30 };

struct ledger;

/** `where`: an address that begins with postgresql:// or postgres://, or a file, which is made if it is not there (mode
 *  0600). FUSION_E_IO, FUSION_E_INPUT, FUSION_E_NETWORK (the database cannot be reached), FUSION_E_USAGE,
 *  FUSION_E_UNSUPPORTED (PostgreSQL, in a build without libpq). */
fusion_status ledger_open(struct ledger **out, const char *where, fusion_error *err) FUSION_MUST_CHECK;
void ledger_close(struct ledger *l);

/** As in struct server_hooks. From any thread. FUSION_E_BUSY also while the database cannot be reached; but a release
 *  is then kept for later, which is no failure. */
fusion_status ledger_reserve(struct ledger *l, const struct allowance *a, fusion_error *why) FUSION_MUST_CHECK;
fusion_status ledger_book(struct ledger *l, const struct allowance *a, uint64_t samples,
                          fusion_error *why) FUSION_MUST_CHECK;
fusion_status ledger_release(struct ledger *l, const struct allowance *a, const struct event *ended,
                             fusion_error *why) FUSION_MUST_CHECK;
/** Renews this server's holds, and closes jobs that nobody holds any more: every LEDGER_RENEW_S. */
fusion_status ledger_renew(struct ledger *l, fusion_error *why) FUSION_MUST_CHECK;
/** Whether the database answered the last time that it was asked. */
bool ledger_answers(struct ledger *l);

/** See fusion_ledger_verify. */
fusion_status ledger_verify(const char *where, uint64_t *rows, char head[LEDGER_HEX_LEN],
                            fusion_error *err) FUSION_MUST_CHECK;

#endif
