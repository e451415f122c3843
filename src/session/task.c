/* Tasks and reports: their bytes, and the coordinator's side. Running one is in job.c. */
#include "session/task.h"

#include <stdio.h>

#include "session/job_internal.h"

enum {
  TASK_MAGIC = 0x314b5446,   /* "FTK1" */
  REPORT_MAGIC = 0x31525446, /* "FTR1" */
  REPORT_HEADER_LEN = 40 + STAGE_COUNT * 28
};

/* ---- tasks ---- */

fusion_status task_decode(struct task *out, const uint8_t *bytes, size_t len, fusion_error *why) {
  struct reader r = reader_of(bytes, len);
  const bool known = read_u32(&r) == TASK_MAGIC;
  read_string(&r, out->engine, sizeof out->engine);
  read_bytes(&r, out->job, sizeof out->job);
  out->declared = read_u64(&r);
  out->samples = read_u32(&r);
  out->input_size = read_u32(&r);
  out->answer_size = read_u32(&r);
  out->manifest_len = read_u32(&r);
  out->manifest = read_span(&r, out->manifest_len);
  out->rows_len = reader_left(&r);
  out->rows = read_span(&r, out->rows_len);
  const bool good = known && reader_done(&r) && out->samples >= 1 && out->samples <= SESSION_SHARD_MAX &&
                    out->declared >= out->samples && out->declared <= SESSION_SAMPLES_MAX;
  if (good && task_report_len(out)) return FUSION_OK;
  return error_set(why, FUSION_E_INPUT, "this is no task of this release; run the same release everywhere");
}

size_t task_report_len(const struct task *task) {
  size_t len;
  if (!size_mul(task->samples, (size_t)task->answer_size * sizeof(uint64_t), &len)) return 0;
  return size_add(len, REPORT_HEADER_LEN, &len) ? len : 0;
}

/* The shard as a task; *bytes is owned by the caller (mem_free_secret). */
static fusion_status encode(uint8_t **bytes, size_t *len, const struct client_job *job, const struct shard *s,
                            fusion_error *why) {
  const struct prepared_job *p = &job->ready;
  const size_t rows_len = s->count * prepare_row_len(p);
  struct writer header = {0};
  write_u32(&header, TASK_MAGIC);
  write_string(&header, job->terms.handles->engine->name);
  write_bytes(&header, job->id, sizeof job->id);
  write_u64(&header, p->todo);
  write_u32(&header, (uint32_t)s->count);
  write_u32(&header, (uint32_t)p->input_size);
  write_u32(&header, (uint32_t)p->answer_size);
  write_u32(&header, (uint32_t)p->manifest_len);
  write_bytes(&header, p->manifest, p->manifest_len);
  *len = header.len + rows_len;
  *bytes = header.failed ? NULL : mem_alloc(*len, 1);
  if (*bytes) {
    memcpy(*bytes, header.data, header.len);
    prepare_rows(p, *bytes + header.len, s->first, s->count);
  }
  writer_free(&header);
  return *bytes ? FUSION_OK : error_set(why, FUSION_E_MEMORY, "out of memory for a task");
}

/* ---- reports ---- */

void task_report_write(uint8_t *report, const struct client_job *job) {
  const struct prepared_job *p = &job->ready;
  struct writer w = {0};
  write_u32(&w, REPORT_MAGIC);
  write_u32(&w, (uint32_t)p->samples);
  write_u32(&w, (uint32_t)p->answer_size);
  write_u32(&w, job->depth);
  write_u64(&w, job->connections);
  write_u64(&w, job->bytes_sent);
  write_u64(&w, job->bytes_received);
  for (int i = 0; i < STAGE_COUNT; i++) {
    write_f64(&w, job->stages.seconds[i]);
    write_u64(&w, job->stages.bytes_sent[i]);
    write_u64(&w, job->stages.bytes_received[i]);
    write_u32(&w, job->stages.depth[i]);
  }
  assert(!w.failed && w.len == REPORT_HEADER_LEN);
  memcpy(report, w.data, w.len);
  writer_free(&w);
  for (size_t i = 0; i < p->samples * p->answer_size; i++)
    for (size_t k = 0; k < 8; k++)
      report[REPORT_HEADER_LEN + 8 * i + k] = (uint8_t)((uint64_t)p->answers[i] >> (8 * k));
}

static fusion_status take_report(struct client_job *job, const struct shard *s, const uint8_t *report, size_t len,
                                 fusion_error *why) {
  const struct prepared_job *p = &job->ready;
  struct reader r = reader_of(report, len);
  const bool good = read_u32(&r) == REPORT_MAGIC && read_u32(&r) == s->count && read_u32(&r) == p->answer_size;
  if (!good) return error_set(why, FUSION_E_INPUT, "what run_task wrote is no report on its task");
  const uint32_t depth = read_u32(&r);
  pthread_mutex_lock(&job->lock);
  job->depth = depth > job->depth ? depth : job->depth;
  job->connections += (uint32_t)read_u64(&r);
  job->bytes_sent += read_u64(&r);
  job->bytes_received += read_u64(&r);
  for (int i = 0; i < STAGE_COUNT; i++) {
    job->stages.seconds[i] += read_f64(&r);
    job->stages.bytes_sent[i] += read_u64(&r);
    job->stages.bytes_received[i] += read_u64(&r);
    job->stages.depth[i] += read_u32(&r);
  }
  pthread_mutex_unlock(&job->lock);
  int64_t *answers = p->answers + s->first * p->answer_size;
  for (size_t i = 0; i < s->count * p->answer_size; i++) answers[i] = (int64_t)read_u64(&r);
  assert(reader_done(&r));
  return FUSION_OK;
}

fusion_status task_send(struct client_job *job, const struct shard *s, fusion_error *why) {
  const fusion_client_settings *set = job->terms.settings;
  const struct task shape = {.samples = (uint32_t)s->count, .answer_size = (uint32_t)job->ready.answer_size};
  const size_t report_len = task_report_len(&shape);
  uint8_t *task = NULL, *report = NULL;
  size_t len = 0;
  fusion_status status = encode(&task, &len, job, s, why);
  if (status != FUSION_OK) goto cleanup;
  report = mem_alloc(report_len, 1);
  FAIL_IF(!report, error_set(why, FUSION_E_MEMORY, "out of memory for a report"));
  *why = (fusion_error){.status = FUSION_OK};
  status = set->run_task(set->run_task_context, task, len, report, report_len, why);
  if (status != FUSION_OK && why->status != status) error_set(why, status, "%s", fusion_status_text(status));
  if (status == FUSION_OK) status = take_report(job, s, report, report_len, why);
cleanup:
  if (task) mem_free_secret(task, len);
  if (report) mem_free_secret(report, report_len);
  return status;
}

/* ---- a task's samples ---- */

fusion_status task_take_rows(struct prepared_job *p, const struct task *task, fusion_error *why) {
  size_t len, answers;
  const bool fits =
      size_mul(task->samples, prepare_row_len(p), &len) && size_mul(task->samples, p->answer_size, &answers);
  if (!fits || task->input_size != p->input_size || task->answer_size != p->answer_size || len != task->rows_len)
    return error_set(why, FUSION_E_INPUT, "the task's samples are not of its manifest");
  p->rows = task->rows;
  p->answers = mem_alloc(answers, sizeof *p->answers);
  return p->answers ? FUSION_OK : error_set(why, FUSION_E_MEMORY, "out of memory for a task");
}
