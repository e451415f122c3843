/** Preparing a job: what the manifest says is checked against the client's limits, the work is cut into shards, inputs
 *  are quantised, the permutation is drawn, the journal is told or read. The rest of the job's life is session/job.h.
 */
#ifndef FUSION_SESSION_PREPARE_H
#define FUSION_SESSION_PREPARE_H

#include "session/check_inputs.h"
#include "session/job.h"
#include "session/messages.h"

/** A job made ready. Written by one thread, read-only once the workers run, but for `answers`. */
struct prepared_job {
  size_t samples, todo;   /* all, and those without a kept answer */
  struct program program; /* owned, once `has_program` */
  bool has_program;
  uint8_t manifest_hash[SESSION_HASH_LEN];
  size_t input_size, answer_size, input_len; /* values of a sample and of an answer; bytes of a sample's value */
  uint8_t *manifest;                         /* owned: its bytes, where shards run elsewhere; else NULL */
  size_t manifest_len;
  const uint8_t *rows; /* borrowed, secret: of a task, [samples][input_size] packed, in order; NULL: the mix has them */
  struct input_range query_range, public_range; /* how the inputs lie beside the model's range */
  struct mix_check check;                       /* what is compared */
  uint8_t *queries, *public_samples;            /* owned, secret: quantised, packed; canaries come first */
  int64_t *labels;                              /* owned: the classes of the labelled samples, from 0 on */
  struct mix *mix;                              /* owned, secret */
  bool *done;                                   /* owned: [samples], the journal has the answer; NULL: none */
  int64_t *answers;         /* owned: [samples][answer_size], shuffled order; each worker writes its shards' rows */
  size_t worker_count;      /* connections side by side */
  uint32_t shard_samples;   /* samples in a shard, at most */
  uint64_t predicted_bytes; /* of what is left to do */
};

/** Which of `rows` public rows a job uses: `count` numbers, uniform without repetition, so that a server that has seen
 *  the file before cannot prepare for a part. With a journal they come from its seed: the job that goes on has the same
 *  ones. FUSION_E_MEMORY, FUSION_E_ENTROPY. */
fusion_status prepare_public_rows(size_t *out, size_t count, size_t rows, const struct journal *journal,
                                  fusion_error *why) FUSION_MUST_CHECK;

/** The same for the canaries of a file of `rows`. A resumed job draws from those alone that there were when it began.
 *  FUSION_E_INPUT (there are too few), FUSION_E_MEMORY, FUSION_E_ENTROPY. */
fusion_status prepare_canary_rows(size_t *out, size_t count, uint64_t *rows, const struct journal *journal,
                                  fusion_error *why) FUSION_MUST_CHECK;

/** What the answers of a program are. */
enum mix_answer_kind prepare_answer_kind(const struct program *program);

/** An empty job of the terms' size. */
struct prepared_job prepare_begin(const struct job_terms *t);
/** A job that the journal holds, if it is one of these terms. FUSION_E_INPUT, and as prepare_manifest. */
fusion_status prepare_resume(struct prepared_job *p, const struct job_terms *t, fusion_error *why) FUSION_MUST_CHECK;
/** A new job from the server's manifest. `round_trip_seconds` as for prepare_cut. FUSION_E_OTHER_MODEL,
 * FUSION_E_MODEL_CHANGED, FUSION_E_PEER (not a manifest of the engine), FUSION_E_ROUNDING and FUSION_E_USAGE (what the
 * client compares does not fit the model), FUSION_E_LIMIT, FUSION_E_INPUT, FUSION_E_MEMORY, FUSION_E_IO (the journal).
 */
fusion_status prepare_manifest(struct prepared_job *p, const struct job_terms *t, const uint8_t *bytes, size_t len,
                               double round_trip_seconds, fusion_error *why) FUSION_MUST_CHECK;
/** The program alone, for a task of another client's job. */
fusion_status prepare_program(struct prepared_job *p, const struct job_terms *t, const uint8_t *bytes, size_t len,
                              fusion_error *why) FUSION_MUST_CHECK;
/** Chooses workers and the shards' size, from the program and the round trip (0: unknown), within the client's limits.
 *  FUSION_E_LIMIT, FUSION_E_MEMORY. */
fusion_status prepare_cut(struct prepared_job *p, const struct job_terms *t, double round_trip_seconds,
                          fusion_error *why) FUSION_MUST_CHECK;
/** The shuffled samples [first, first + count), packed, into out [count][prepare_row_len]. */
void prepare_rows(const struct prepared_job *p, uint8_t *out, size_t first, size_t count);
/** Bytes of a packed sample. */
static inline size_t prepare_row_len(const struct prepared_job *p) {
  return p->input_size * p->input_len;
}
/** Wipes and frees. */
void prepare_free(struct prepared_job *p, const struct job_terms *t);

#endif
