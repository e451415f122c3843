/** The asking side: one job, mixed and checked (DESIGN 3, 8). A job's life: prepare (session/prepare.h), workers,
 * verdict.
 */
#ifndef FUSION_SESSION_JOB_H
#define FUSION_SESSION_JOB_H

#include <stdatomic.h>

#include <fusion/client.h>

#include "base/cursor.h"
#include "engine/engine.h"
#include "mixcheck/mix.h"
#include "net/connect.h"
#include "session/journal.h"

struct ahead;
struct keep;

/** What the client's settings name, found and opened. Borrowed. */
struct job_handles {
  struct net_address address;
  struct tls_context *tls; /* NULL: plaintext to a loopback address */
  const struct engine *engine;
  const char *model;                  /* a valid name (session/messages.h); NULL: the server's only one */
  const uint8_t *manifest;            /* hash, SESSION_HASH_LEN bytes, of the only one that is taken; NULL: any */
  const uint8_t *model_id;            /* MODEL_ID_LEN bytes, of the model that there was before; NULL: any */
  bool receipts;                      /* ask for them, and fail without */
  const uint8_t *receipt_key;         /* RECEIPT_KEY_LEN bytes, of the only key that may sign them; NULL: any */
  struct keep *keep;                  /* one worker keeps its set-ups in it (session/keep.h); NULL: none does */
  struct ahead *ahead;                /* the job's runs were prepared (session/ahead.h); NULL: it runs in one go */
  struct journal *journal;            /* NULL: a job that is lost with its process */
  const struct engine_speeds *speeds; /* plausible: this machine's; NULL: no seconds are predicted */
  const atomic_int *cancelled;        /* ends the job when not 0; may be NULL */
};

/** Public samples of which an accepted audit knows the answers: integers as the model takes and gives them. Borrowed.
 */
struct job_canaries {
  size_t count, input_size, answer_size;
  const int64_t *inputs, *answers; /* [count][input_size], [count][answer_size] */
  uint64_t rows;                   /* that there were to draw from */
  const uint8_t *manifest_hash;    /* of the audited model, SESSION_HASH_LEN bytes */
  const uint8_t *model_id;         /* of the same, MODEL_ID_LEN bytes; NULL or zeros: unknown */
  const char *audited_utc;
};

/** What is asked: real values as the user has them, before the manifest's preprocessing. Borrowed. Without queries the
 * job is an audit. */
struct job_input {
  const double *queries;               /* [choice.queries][row_size]; NULL: query_source is read, a part at a time */
  const double *public_samples;        /* [choice.public_samples - canaries][row_size] */
  const int64_t *labels;               /* [choice.public_samples - canaries] */
  const struct job_canaries *canaries; /* the first of the public samples; NULL: none */
  size_t row_size;
  /** What rows that are pictures bring along; NULL for raw rows. Borrowed. */
  const struct picture_form *query_pictures, *public_pictures;
  /** The arrays that the rows come from, to check them as a whole and to name a row; NULL: unknown. Borrowed. */
  const fusion_array *query_source, *public_source, *label_source;
  const size_t *public_rows; /* [choice.public_samples - canaries]: of the sources; NULL: in order */
  struct mix_choice choice;
};

static inline size_t job_canary_count(const struct job_input *in) {
  return in->canaries ? in->canaries->count : 0;
}
static inline size_t job_labelled_count(const struct job_input *in) {
  return (size_t)in->choice.public_samples - job_canary_count(in);
}
static inline bool job_is_audit(const struct job_input *in) {
  return in->choice.queries == 0;
}

/** Everything that a job depends on. Borrowed for its life. */
struct job_terms {
  const fusion_client_settings *settings; /* checked; its texts are not read: the handles stand for them */
  const struct job_handles *handles;
  const struct job_input *input;
};

struct job_output {
  struct program program; /* the manifest; program_free */
  bool labels_only;       /* answers are labels, answer_size is 1, though the program answers more */
  size_t answer_size;
  int64_t *answers;       /* owned (job_output_free): [queries][answer_size], what was compared; NULL when rejected */
  struct writer receipts; /* a file of the job's receipts, verified; empty when there are none */
  uint8_t *inputs;        /* owned: [queries][input_size] of input_len bytes (base/packed.h), as the model takes them;
                             NULL when rejected, and without canaries unless the job is an audit */
  int64_t *labels;        /* owned, of an accepted audit: [queries], the samples' true classes, from 0 on; else NULL */
  size_t input_size, input_len;
  size_t queries;                                                     /* of an audit: its public samples */
  uint8_t manifest_hash[SESSION_HASH_LEN], certificate[TLS_HASH_LEN]; /* zeros without TLS */
};

/** Runs the job. FUSION_OK with verdict->accepted or not: counts, traffic, times, hashes and server are filled in.
 * A journal's job goes on where it was, with what the journal's seed gave; the file stays until journal_remove.
 * Every message of the job has been sent and received before anything is decided, and nothing is sent after. */
fusion_status job_run(const struct job_terms *terms, struct job_output *output, fusion_verdict *verdict,
                      fusion_error *err) FUSION_MUST_CHECK;
/** Wipes and frees what the output owns. */
void job_output_free(struct job_output *output);

#endif
