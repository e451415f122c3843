/** A client's kept set-up: a one-time file (session/one_time_file.h) with the client's half of what the last job's
 *  set-up left (base/kept.h), so that the next job with the same server makes no base OTs.
 *
 *  The file is spent, durably, before the client names it to a server: after a kill at any point the next job finds a
 *  whole unused half or none, and without one makes a new set-up. It is written anew when the job has ended without a
 *  failure, whatever its verdict: what a server sees later must not depend on that. It is bound to the server's
 *  certificate and the engine. What does not fit is wiped, never used.
 *
 *  What a lying server gains: nothing. It may say that it has the other half; without it the set-up fails, as with any
 *  peer that breaks the protocol. It may say that it has none; then both make a new one. The half that the client has
 *  spent is gone in either case. If somebody puts an older copy of the file back, an honest server has spent its half;
 *  with one that kept it, all correlations are fresh nevertheless (docs/protocols/softspoken.md).
 *
 *  One thread at a time. */
#ifndef FUSION_SESSION_KEEP_H
#define FUSION_SESSION_KEEP_H

#include "base/kept.h"
#include "net/tls.h"
#include "session/messages.h"

struct keep;

/** The server and the engine that a set-up is for. */
struct keep_binding {
  uint8_t certificate[TLS_HASH_LEN]; /* zeros without TLS */
  char engine[SESSION_ENGINE_LEN];
};

/** The file need not be there. FUSION_E_INPUT: it is something else; FUSION_E_IO: its folder cannot be written. */
fusion_status keep_open(struct keep **out, const char *path, fusion_error *err) FUSION_MUST_CHECK;
/** Before a connection asks for anything: whether there is memory for what its set-up leaves. */
bool keep_ready(struct keep *k);
/** Spends the file. Whether it held a half for this binding, which keep_keeping then gives: its number. */
bool keep_take(struct keep *k, const struct keep_binding *binding, uint8_t number[SESSION_STATE_LEN]);
/** For the session that opens now. `uses`: from the half that was taken, else it is wiped; `keeps`: and leaves one, of
 *  this number. Borrowed until the next call. */
struct keeping *keep_keeping(struct keep *k, const struct ready *ready);
/** The session is open: what it began from is wiped. */
void keep_opened(struct keep *k);
/** Its connection has ended well, or not: what it left is kept, or wiped. */
void keep_ended(struct keep *k, bool well);
/** The job has ended without a failure: writes the file if there is a half to keep. If it cannot be written there is no
 *  file. One that another job has put there meanwhile stays, or that it is about to: then this job keeps nothing.
 * FUSION_E_IO, FUSION_E_MEMORY. */
fusion_status keep_write(struct keep *k, fusion_error *err) FUSION_MUST_CHECK;
/** Wipes. NULL is allowed. */
void keep_close(struct keep *k);

#endif
