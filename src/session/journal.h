/** A job's journal: a file from which a client that was killed goes on. It holds what the job is (the manifest, a seed
 * that the drawing of public samples and the permutation come from, a hash of inputs and settings) and the answers of
 * the shards that have run. Secret, therefore: mode 0600, and wiped when the job is over.
 *
 *  Why a server gains nothing from killing clients. A resumed client sends what a client sends that lost its
 *  connections: the remaining positions, in shards of public sizes, under fresh keys and masks. What the server may
 *  learn from that is no more than from the first run (DESIGN 2); positions stay what they were, so the odds of
 *  tampering stay too; and what was answered before the kill stays answered, right or wrong. The permutation is never
 *  drawn again for inputs of which an answer has been kept. A job whose answers are all there is decided from them,
 *  without the server, and always alike: a rejected job cannot be tried again, nor be judged by laxer settings. A job
 *  that ended because a message or a check of a running shard was wrong is wiped: such a failure may depend on a
 *  secret, and must not be provoked again for the same permutation. What is left of a job that ended so, or was
 *  rejected, says that it did (of a rejected one: when and why, a tombstone); a new job begins in its place only when
 * it is asked for.
 *
 *  File: a header (magic, byte order, version, how it ended), then records, each with a BLAKE2b tag over the tag before
 * and itself. A record is written behind the others and synced before the shard counts as done; a torn last one is
 * dropped, which costs a shard. docs/protocols/session.md has the layout. */
#ifndef FUSION_SESSION_JOURNAL_H
#define FUSION_SESSION_JOURNAL_H

#include "rand/prg.h"
#include "session/messages.h"

enum { JOURNAL_WHEN_LEN = 32, JOURNAL_WHY_LEN = 200 };

struct journal; /* one job at a time; journal_keep from any thread */

/** What a journal's job is. */
struct journal_job {
  char engine[SESSION_ENGINE_LEN];
  uint8_t input_hash[SESSION_HASH_LEN]; /* of inputs, labels and everything that the check depends on */
  uint64_t samples, answer_size;
  uint64_t canary_rows; /* that the canary file had when the job began, of which it drew some; it only grows. 0: none */
  const uint8_t *manifest; /* borrowed; in a resumed job owned by the journal */
  size_t manifest_len;
};

/** Opens a journal for this process alone, or makes an empty one. `path` is borrowed until journal_close. `again`: what
 *  is left of an ended job counts as an empty one, and stays until journal_begin. FUSION_E_IO (cannot be opened, in
 *  use), FUSION_E_INPUT (not a journal, damaged, of a job that ended by a failure), FUSION_E_REJECTED (a tombstone),
 *  FUSION_E_MEMORY; the file is left as it is. */
fusion_status journal_open(struct journal **out, const char *path, bool again, fusion_error *err) FUSION_MUST_CHECK;
/** The job that the journal holds; NULL when it is new. */
const struct journal_job *journal_resumed(const struct journal *j);
/** Secret: the job's randomness, PRG_SEED_LEN bytes from the operating system. */
const uint8_t *journal_seed(const struct journal *j);

/** FUSION_E_INPUT unless engine, input_hash and samples are those of the resumed job. */
fusion_status journal_check(const struct journal *j, const struct journal_job *job,
                            fusion_error *err) FUSION_MUST_CHECK;
/** Writes what the job is into a new journal. FUSION_E_IO, FUSION_E_MEMORY. */
fusion_status journal_begin(struct journal *j, const struct journal_job *job, fusion_error *err) FUSION_MUST_CHECK;
/** Fills in the kept answers of a resumed job, [samples][answer_size], and which samples they are for. */
fusion_status journal_replay(struct journal *j, int64_t *answers, bool *done, fusion_error *err) FUSION_MUST_CHECK;
/** Keeps the answers of samples [first, first + count): on the disk when it returns. FUSION_E_IO: nothing was kept. */
fusion_status journal_keep(struct journal *j, uint64_t first, uint32_t count, const int64_t *answers,
                           fusion_error *err) FUSION_MUST_CHECK;
/** Wipes the job: it ended by `status` and cannot go on. As well as the disk allows. */
void journal_spoil(struct journal *j, fusion_status status);
/** Leaves the file; removes one in which no job was begun. NULL is allowed. */
void journal_close(struct journal *j);

/** Wipes and removes a journal that nobody uses; one that is not there is no failure. A tombstone stays: only a new job
 * (`again` of journal_open) takes its place. */
fusion_status journal_remove(const char *path, fusion_error *err) FUSION_MUST_CHECK;
/** Wipes a journal that nobody uses and leaves a tombstone: the job was rejected, `when` (a time, below
 *  JOURNAL_WHEN_LEN characters) and `why` (below JOURNAL_WHY_LEN). Needs no more room on the disk than the job did. */
fusion_status journal_reject(const char *path, const char *when, const char *why, fusion_error *err) FUSION_MUST_CHECK;

#endif
