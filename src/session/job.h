/** The asking side: one job, mixed and checked (DESIGN 3, 8). */
#ifndef FUSION_SESSION_JOB_H
#define FUSION_SESSION_JOB_H

#include <fusion/verdict.h>
#include <stdatomic.h>

#include "engine/engine.h"
#include "mixcheck/mix.h"
#include "net/connect.h"
#include "program/program.h"
#include "session/journal.h"

struct job_settings {
  struct net_address address;
  struct tls_context *tls; /* borrowed; NULL: plaintext to a loopback address */
  const struct engine *engine;
  uint32_t workers;       /* connections; 0: chosen by the round trip and the cores (session/workers.h) */
  uint32_t shard_samples; /* at most so many samples in a shard */
  uint32_t tries;         /* runs of a shard before the job fails */
  uint64_t max_memory;    /* bytes, all workers together */
  uint64_t max_manifest;  /* bytes */
  uint64_t max_traffic;   /* predicted bytes both ways; 0: no limit */
  double max_seconds;     /* of the whole job; 0: no limit */
  struct net_limits limits;
  struct journal *journal; /* borrowed; NULL: a job that is lost with its process */
  bool agree_by_label;     /* rounding fast: copies need only have one label (else every number within `tolerance`) */
  uint64_t tolerance;
  /** Called about ten times a second by the thread that runs the job; a job ends when it returns false. May be NULL. */
  bool (*progress)(void *context, uint64_t samples_done, uint64_t samples, uint64_t bytes, double seconds);
  void *progress_context;
  const atomic_int *cancelled; /* ends the job when not 0; may be NULL */
};

/** What is asked: real values as the user has them, before the manifest's preprocessing. Borrowed. */
struct job_input {
  const double *queries;        /* [choice.queries][row_size] */
  const double *public_samples; /* [choice.public_samples][row_size] */
  const int64_t *labels;        /* [choice.public_samples] */
  size_t row_size;
  /** What rows that are pictures bring along; NULL for raw rows. Borrowed. */
  const struct picture_form *query_pictures, *public_pictures;
  struct mix_choice choice;
};

struct job_output {
  struct program program; /* the manifest; program_free */
  size_t answer_size;
  int64_t *answers; /* owned (job_output_free): [queries][answer_size]; NULL when rejected */
  size_t queries;
};

/** Runs the job. FUSION_OK with verdict->accepted or not: counts, traffic, times, hashes and server are filled in.
 * A journal's job goes on where it was, with what the journal's seed gave; the file stays until journal_remove.
 * Every message of the job has been sent and received before anything is decided, and nothing is sent after. */
fusion_status job_run(const struct job_settings *settings, const struct job_input *input, struct job_output *output,
                      fusion_verdict *verdict, fusion_error *err) FUSION_MUST_CHECK;
/** Wipes and frees what the output owns. */
void job_output_free(struct job_output *output);

#endif
