/* A job from the inputs to the verdict: its threads, and what came out. */
#include "session/job.h"

#include <sodium.h>
#include <stdio.h>
#include <time.h>

#include "session/ahead.h"
#include "session/job_internal.h"
#include "session/workers.h"

void job_fail(struct client_job *job, fusion_status status, const char *text) {
  pthread_mutex_lock(&job->lock);
  if (!job->ended) error_set(&job->failure, status, "%s", text);
  job->ended = true;
  for (size_t i = 0; i < job->worker_room; i++)
    if (job->workers[i].channel) channel_cancel(job->workers[i].channel);
  pthread_cond_broadcast(&job->changed);
  pthread_mutex_unlock(&job->lock);
}

static bool start_worker(struct worker *w, void *(*run)(void *)) {
  w->started = pthread_create(&w->thread, NULL, run, w) == 0;
  return w->started;
}

static fusion_status start_workers(struct client_job *job, fusion_error *err) {
  const struct ahead *ahead = job->terms.handles->ahead;
  fusion_status status = shard_queue_fill(&job->queue, job->ready.samples, job->ready.shard_samples, job->ready.done);
  if (status != FUSION_OK) return error_set(err, status, "out of memory for a queue of shards");
  if (ahead) status = ahead_check_shards(ahead, job->queue.shards, job->queue.capacity, err);
  if (status != FUSION_OK) return status;
  const size_t workers = size_min(job->ready.worker_count, job->queue.capacity);
  job->working = workers;
  for (size_t i = 0; i < workers; i++) {
    struct worker *w = &job->workers[i];
    start_worker(w, worker_main);
    if (w->started) continue;
    pthread_mutex_lock(&job->lock);
    job->working -= workers - i;
    pthread_mutex_unlock(&job->lock);
    if (i == 0) return error_set(err, FUSION_E_RESOURCE, "the system is out of threads");
    break;
  }
  return FUSION_OK;
}

/* Samples done: whole shards, and the part of the running ones that the traffic shows. Called with the lock held. */
static uint64_t estimate_done(const struct client_job *job, uint64_t bytes) {
  const double part = job->predicted_bytes ? (double)bytes / (double)job->predicted_bytes : 0;
  const uint64_t kept = job->ready.samples - job->ready.todo;
  const uint64_t estimate = part < 1 ? kept + (uint64_t)(part * (double)job->ready.todo) : job->ready.samples - 1;
  return estimate > job->samples_done ? estimate : job->samples_done;
}

/* Called and returns with the lock held; lets go of it for the user's callback. */
static void report_progress(struct client_job *job, double seconds) {
  const fusion_client_settings *set = job->terms.settings;
  const atomic_int *cancelled = job->terms.handles->cancelled;
  uint64_t bytes = job->bytes_sent + job->bytes_received;
  for (size_t i = 0; i < job->worker_room; i++)
    if (job->workers[i].channel) bytes += channel_moved(job->workers[i].channel);
  const fusion_progress now = {.samples_done = estimate_done(job, bytes),
                               .samples = job->ready.samples,
                               .bytes = bytes,
                               .seconds = seconds,
                               .predicted_seconds = job->prediction.whole};
  pthread_mutex_unlock(&job->lock);
  bool go_on = !cancelled || !atomic_load(cancelled);
  if (go_on && set->progress) go_on = set->progress(set->progress_context, &now);
  if (!go_on) job_fail(job, FUSION_E_CLOSED, "the job was cancelled");
  if (set->max_seconds > 0 && seconds > set->max_seconds)
    job_fail(job, FUSION_E_TIMEOUT, "the job took longer than its time limit");
  pthread_mutex_lock(&job->lock);
}

/* Waits until the workers have done everything or the job has failed, then for the workers themselves: when this
 * returns, the job's traffic is over. */
static fusion_status watch_workers(struct client_job *job, double started, fusion_error *err) {
  pthread_mutex_lock(&job->lock);
  while (!job->ended && job->working) {
    struct timespec soon;
    clock_gettime(CLOCK_MONOTONIC, &soon);
    soon.tv_nsec += 100000000;
    if (soon.tv_nsec >= 1000000000) soon.tv_sec++, soon.tv_nsec -= 1000000000;
    pthread_cond_timedwait(&job->changed, &job->lock, &soon);
    report_progress(job, clock_seconds() - started);
  }
  pthread_mutex_unlock(&job->lock);
  for (size_t i = 0; i < job->worker_room; i++) {
    if (job->workers[i].started) pthread_join(job->workers[i].thread, NULL);
    job->workers[i].started = false;
  }
  if (job->ended) return error_set(err, job->failure.status, "%s", job->failure.text);
  return FUSION_OK;
}

/* The first connection alone, which brings the manifest; then all workers. */
static fusion_status run_workers(struct client_job *job, double started, fusion_error *err) {
  fusion_status status = FUSION_OK;
  job->working = 1;
  if (!start_worker(&job->workers[0], worker_greet_main))
    return error_set(err, FUSION_E_RESOURCE, "the system is out of threads");
  TRY(watch_workers(job, started, err));
  TRY(start_workers(job, err));
  TRY(watch_workers(job, started, err));
  assert(shard_queue_all_done(&job->queue));
cleanup:
  return status;
}

static void hex(char *out, const uint8_t *bytes, size_t len) {
  sodium_bin2hex(out, 2 * len + 1, bytes, len);
}

static void add_stage(fusion_verdict *v, const char *name, double seconds, uint64_t sent, uint64_t received) {
  if (v->stage_count == FUSION_VERDICT_STAGES) return;
  fusion_verdict_stage *s = &v->stages[v->stage_count++];
  snprintf(s->name, sizeof s->name, "%s", name);
  s->seconds = seconds;
  s->bytes_sent = sent;
  s->bytes_received = received;
}

static void say_compared(const struct mix_check *check, fusion_verdict *v) {
  static const char *const texts[] = {
      [MIX_AGREE_EXACT] = "every number of every copy", [MIX_AGREE_LABEL] = "labels only"};
  if (check->agreement == MIX_AGREE_WITHIN)
    snprintf(v->compared, sizeof v->compared, "numbers within %llu", (unsigned long long)check->tolerance);
  else
    snprintf(v->compared, sizeof v->compared, "%s", texts[check->agreement]);
}

static void fill_verdict(const struct client_job *job, double started, fusion_verdict *v) {
  uint64_t sent = job->bytes_sent, received = job->bytes_received;
  v->seconds = clock_seconds() - started;
  v->bytes_sent = sent;
  v->bytes_received = received;
  v->rounds = (job->depth + 1) / 2;
  v->predicted_seconds = job->prediction.whole;
  v->predicted_server = job->prediction.server;
  v->predicted_client = job->prediction.client;
  v->workers = job->connections;
  for (int i = 0; i < STAGE_COUNT; i++) {
    sent -= job->stages.bytes_sent[i] < sent ? job->stages.bytes_sent[i] : sent;
    received -= job->stages.bytes_received[i] < received ? job->stages.bytes_received[i] : received;
  }
  v->stage_count = 0;
  add_stage(v, "session", job->greeting_seconds, sent, received);
  for (int i = 0; i < STAGE_COUNT; i++)
    add_stage(v, engine_stage_name((enum operator_stage)i), job->stages.seconds[i], job->stages.bytes_sent[i],
              job->stages.bytes_received[i]);
  snprintf(v->server, sizeof v->server, "%.240s:%u", job->terms.handles->address.host,
           job->terms.handles->address.port);
  snprintf(v->engine, sizeof v->engine, "%s", job->terms.handles->engine->name);
  snprintf(v->rounding, sizeof v->rounding, "%s", job->ready.program.rounding == ROUNDING_FAST ? "fast" : "exact");
  say_compared(&job->ready.check, v);
  inputs_note(v->note, sizeof v->note, &job->ready.program, job->terms.input, &job->ready.query_range,
              &job->ready.public_range);
  const size_t end = strlen(v->note);
  if (!v->accepted && v->wrong_public && !job->ready.program.labels.count && inputs_labels_lack_zero(job->terms.input))
    snprintf(v->note + end, sizeof v->note - end,
             "%sno label is 0, the first class: if labels count from 1, subtract 1 from each", end ? "; " : "");
  v->clipped_queries = job->ready.query_range.samples;
  v->clipped_public = job->ready.public_range.samples;
  hex(v->model_id, job->ready.program.model_id, sizeof job->ready.program.model_id);
  hex(v->manifest_hash, job->ready.manifest_hash, sizeof job->ready.manifest_hash);
  v->certificate_hash[0] = '\0';
  if (job->peer.has_certificate) hex(v->certificate_hash, job->peer.certificate_sha256, TLS_HASH_LEN);
}

static fusion_status decide(struct client_job *job, struct job_output *output, fusion_verdict *verdict,
                            fusion_error *err) {
  const struct mix_check *check = &job->ready.check;
  struct mix_result result;
  const struct mix_choice *choice = &job->terms.input->choice;
  const bool audit = job_is_audit(job->terms.input);
  const size_t queries = (size_t)(audit ? choice->public_samples : choice->queries), size = mix_compared_size(check);
  int64_t *answers = mem_alloc(queries, size * sizeof *answers);
  if (!answers) return error_set(err, FUSION_E_MEMORY, "out of memory for the answers");
  const fusion_status status =
      mix_verify(job->ready.mix, check, job->ready.answers, job->ready.labels, answers, &result);
  verdict->accepted = status == FUSION_OK && result.accepted;
  if (status == FUSION_OK) {
    verdict->wrong_public = result.wrong_public;
    verdict->disagreeing_queries = result.disagreeing_queries;
    verdict->disagreeing_public = result.disagreeing_public;
    verdict->changed_canaries = result.changed_canaries;
  }
  if (!verdict->accepted) {
    mem_free_secret(answers, queries * size * sizeof *answers);
    answers = NULL;
  }
  if (verdict->accepted && (audit || job->terms.input->canaries)) {
    uint8_t **inputs = audit ? &job->ready.public_samples : &job->ready.queries;
    if (audit) {
      mix_public_answers(job->ready.mix, job->ready.answers, size, 0, queries, answers);
      output->labels = job->ready.labels;
      job->ready.labels = NULL;
    }
    output->inputs = *inputs;
    *inputs = NULL;
  }
  output->input_size = job->ready.input_size;
  output->input_len = job->ready.input_len;
  output->answers = answers;
  output->answer_size = size;
  output->labels_only = check->agreement == MIX_AGREE_LABEL && job->ready.program.output != OUTPUT_LABEL;
  output->queries = queries;
  if (status != FUSION_OK)
    return error_set(err, status, "the answers cannot be checked: %s", fusion_status_text(status));
  return FUSION_OK;
}

/* Receipts say what ran, not what came of it: they are there for every verdict. */
static fusion_status take_receipts(struct client_job *job, struct job_output *output, fusion_verdict *verdict,
                                   fusion_error *err) {
  verdict->receipt_samples = job->receipt_samples;
  if (!job->receipt_count) return FUSION_OK;
  receipts_encode(&output->receipts, job->receipts, job->receipt_count);
  return output->receipts.failed ? error_set(err, FUSION_E_MEMORY, "out of memory for the receipts") : FUSION_OK;
}

static fusion_status job_init(struct client_job *job, const struct job_terms *terms) {
  pthread_condattr_t monotonic;
  if (pthread_condattr_init(&monotonic)) return FUSION_E_RESOURCE;
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  const bool failed = pthread_cond_init(&job->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  if (failed) return FUSION_E_RESOURCE;
  pthread_mutex_init(&job->lock, NULL);
  job->terms = *terms;
  job->ready = prepare_begin(terms);
  job->worker_room = terms->settings->workers ? terms->settings->workers : WORKERS_AUTO_MAX;
  job->workers = mem_alloc(job->worker_room, sizeof *job->workers);
  if (!job->workers || sodium_init() < 0) return FUSION_E_MEMORY;
  for (size_t i = 0; i < job->worker_room; i++) job->workers[i].job = job;
  job->workers[0].keep = terms->handles->keep;
  return os_random(job->id, sizeof job->id);
}

static void job_free(struct client_job *job) {
  if (!job->terms.settings) return;
  prepare_free(&job->ready, &job->terms);
  shard_queue_free(&job->queue);
  mem_free(job->workers);
  mem_free(job->receipts);
  pthread_cond_destroy(&job->changed);
  pthread_mutex_destroy(&job->lock);
}

static fusion_status resume(struct client_job *job, fusion_error *why) {
  const struct journal *journal = job->terms.handles->journal;
  if (!journal || !journal_resumed(journal)) return FUSION_OK;
  const fusion_status status = prepare_resume(&job->ready, &job->terms, why);
  job->samples_done = job->ready.samples - job->ready.todo;
  job->predicted_bytes = job->ready.predicted_bytes;
  return status;
}

fusion_status job_run(const struct job_terms *terms, struct job_output *output, fusion_verdict *verdict,
                      fusion_error *err) {
  struct client_job job = {0};
  fusion_error why = {.status = FUSION_OK};
  const double started = clock_seconds();
  *output = (struct job_output){0};
  fusion_status status = job_init(&job, terms);
  if (status != FUSION_OK) error_set(&why, status, "%s", fusion_status_text(status));
  if (status == FUSION_OK) status = resume(&job, &why);
  if (status == FUSION_OK && job.ready.todo) status = run_workers(&job, started, &why);
  if (job.workers) worker_disconnect(&job.workers[0]);
  if (status == FUSION_OK) status = take_receipts(&job, output, verdict, &why);
  if (status == FUSION_OK) status = decide(&job, output, verdict, &why);
  if (status == FUSION_OK) {
    fill_verdict(&job, started, verdict);
    memcpy(output->manifest_hash, job.ready.manifest_hash, sizeof output->manifest_hash);
    if (job.peer.has_certificate) memcpy(output->certificate, job.peer.certificate_sha256, sizeof output->certificate);
    output->program = job.ready.program;
    job.ready.has_program = false;
  }
  if (status != FUSION_OK) writer_free(&output->receipts);
  job_free(&job);
  return status == FUSION_OK ? status : error_set(err, status, "%s", why.text);
}

static fusion_status run_task(struct client_job *job, const struct task *task, fusion_error *why) {
  const double started = clock_seconds();
  memcpy(job->id, task->job, sizeof job->id);
  job->declared = task->declared;
  job->ready.samples = job->ready.todo = task->samples;
  fusion_status status = prepare_program(&job->ready, &job->terms, task->manifest, task->manifest_len, why);
  if (status == FUSION_OK) status = task_take_rows(&job->ready, task, why);
  return status == FUSION_OK ? run_workers(job, started, why) : status;
}

fusion_status task_run(const struct job_terms *terms, const struct task *task, uint8_t *report, fusion_error *err) {
  struct client_job job = {0};
  fusion_error why = {.status = FUSION_OK};
  fusion_status status = job_init(&job, terms);
  if (status != FUSION_OK) error_set(&why, status, "%s", fusion_status_text(status));
  if (status == FUSION_OK) status = run_task(&job, task, &why);
  if (job.workers) worker_disconnect(&job.workers[0]);
  if (status == FUSION_OK) task_report_write(report, &job);
  job_free(&job);
  return status == FUSION_OK ? status : error_set(err, status, "%s", why.text);
}

void job_output_free(struct job_output *output) {
  mem_free_secret(output->answers, output->queries * output->answer_size * sizeof *output->answers);
  mem_free(output->labels);
  if (output->inputs) mem_free_secret(output->inputs, output->queries * output->input_size * output->input_len);
  program_free(&output->program);
  writer_free(&output->receipts);
  *output = (struct job_output){0};
}
