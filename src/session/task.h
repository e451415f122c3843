/** Tasks: shards that other processes run, and their reports. Between processes of one release, each other's own.
 *
 *  Task: magic, engine, the job's number and size, how many samples, sizes of sample and answer, manifest, samples, as
 *  many bytes a value as the input's width needs. Report: magic, how many samples, size of an answer, counts, answers.
 */
#ifndef FUSION_SESSION_TASK_H
#define FUSION_SESSION_TASK_H

#include "session/job.h"
#include "session/messages.h"

/** What a task says. Borrows its bytes. */
struct task {
  char engine[SESSION_ENGINE_LEN];
  uint8_t job[SESSION_JOB_LEN];
  uint64_t declared; /* samples of the whole job, at least `samples` */
  uint32_t samples;  /* 1 to SESSION_SHARD_MAX */
  uint32_t input_size, answer_size;
  const uint8_t *manifest, *rows;
  size_t manifest_len, rows_len;
};

/** FUSION_E_INPUT: none of this release. */
fusion_status task_decode(struct task *out, const uint8_t *bytes, size_t len, fusion_error *why) FUSION_MUST_CHECK;
/** Bytes of the report on a task; 0 when there would be too many. */
size_t task_report_len(const struct task *task);

/** Runs the task on the handles' server and writes its report. terms->input is that of a job without samples. */
fusion_status task_run(const struct job_terms *terms, const struct task *task, uint8_t *report,
                       fusion_error *err) FUSION_MUST_CHECK;

#endif
