/** The client's side of runs that are prepared ahead of their inputs (engine/engine.h): preparing them, and what a
 * later job takes from the file.
 *
 *  The file is a one-time file (session/one_time_file.h), for one job: bound to manifest, engine and the cut into
 * shards; for each shard the number of the server's state and the client's own. It is read and checked as a whole when
 * the job is set up, compared with the job's shards and named to the server, and spent as a whole, on the disk, before
 * the first message of the job's first shard. Then it is wiped: the states are in memory. The secret permutation is
 * drawn when the job begins, after the server has done all that it could do while it prepared: which places of the job
 * it spoiled tells it nothing. */
#ifndef FUSION_SESSION_AHEAD_H
#define FUSION_SESSION_AHEAD_H

#include "session/job.h"
#include "session/messages.h"
#include "session/shards.h"

struct ahead;

/** Prepares a job of so many samples, copies and public ones included, over one connection. That `path` can be made is
 *  found out first; it is there when the server has kept all of the job. FUSION_E_IO, FUSION_E_INPUT, and the errors of
 *  a job before its inputs. */
fusion_status ahead_prepare(const fusion_client_settings *settings, const struct job_handles *handles, uint64_t samples,
                            const char *path, fusion_error *err) FUSION_MUST_CHECK;

/** A file for a job: all of it is read, nothing is spent. FUSION_E_INPUT: it is not there, was used, or is damaged;
 *  FUSION_E_MEMORY. */
fusion_status ahead_open(struct ahead **out, const char *path, fusion_error *err) FUSION_MUST_CHECK;
/** Wipes; a file that was spent is gone, one that was not stays. NULL is allowed. */
void ahead_close(struct ahead *a);

/** Whether it is for such a job; how it is cut. FUSION_E_INPUT with a line that says for which it is. */
fusion_status ahead_check(const struct ahead *a, const struct engine *engine,
                          const uint8_t manifest_hash[SESSION_HASH_LEN], uint64_t samples, uint32_t *shard_samples,
                          fusion_error *err) FUSION_MUST_CHECK;
/** Whether its states are as this version makes them for such a program, and fit, all of them and one that runs, the
 *  memory. Before anything is spent. FUSION_E_INPUT, FUSION_E_LIMIT. */
fusion_status ahead_check_states(const struct ahead *a, const struct engine *engine, const struct program *program,
                                 uint64_t max_memory, fusion_error *err) FUSION_MUST_CHECK;
/** Whether it is cut as the job is: every shard has its state. Before anything is spent. FUSION_E_INPUT. */
fusion_status ahead_check_shards(const struct ahead *a, const struct shard *shards, size_t count,
                                 fusion_error *err) FUSION_MUST_CHECK;
/** The server's states that it needs, in the order of the shards; borrowed. */
const struct state_name *ahead_states(const struct ahead *a, size_t *count);

/** A shard's state; borrowed from the file. */
struct ahead_state {
  const uint8_t *number; /* of the server's: SESSION_STATE_LEN bytes */
  const struct byte_stream *stream;
};
/** Takes the state of the shard that begins at sample `first`; the first call spends the file. A shard that was taken
 *  before cannot run again: FUSION_E_INPUT. */
fusion_status ahead_take(struct ahead *a, struct ahead_state *out, size_t first, size_t count,
                         fusion_error *err) FUSION_MUST_CHECK;

#endif
