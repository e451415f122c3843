/* A job from the inputs to the verdict. */
#include "session/job.h"

#include <sodium.h>
#include <stdio.h>
#include <time.h>

#include "base/cpu_tier.h"
#include "base/cursor.h"
#include "program/program.h"
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

/* Predicted traffic of what is left: every worker opens once and runs its part of the shards. */
static fusion_status predict_traffic(struct client_job *job, size_t shards, fusion_error *why) {
  const struct job_settings *set = job->settings;
  const size_t workers = size_min(job->worker_count, shards);
  size_t *sizes = mem_alloc(shards, sizeof *sizes);
  if (!sizes) return error_set(why, FUSION_E_MEMORY, "out of memory");
  fusion_status status = FUSION_OK;
  uint64_t bytes = 0;
  for (size_t w = 0; w < workers && status == FUSION_OK; w++) {
    struct cost cost = {0};
    size_t count = 0;
    for (size_t i = w; i < shards; i += workers) sizes[count++] = shard_at(job->todo, shards, i).count;
    status = engine_cost(set->engine, &job->program, sizes, count, &cost);
    bytes += cost.bytes_to_client + cost.bytes_to_server;
  }
  mem_free(sizes);
  if (status != FUSION_OK) return error_set(why, status, "out of memory for the prediction of traffic");
  pthread_mutex_lock(&job->lock);
  job->predicted_bytes = bytes;
  pthread_mutex_unlock(&job->lock);
  if (!set->max_traffic || bytes <= set->max_traffic) return FUSION_OK;
  return error_set(why, FUSION_E_LIMIT, "the job would move %llu MiB; the limit is %llu MiB",
                   (unsigned long long)(bytes >> 20), (unsigned long long)(set->max_traffic >> 20));
}

static fusion_status quantise(const struct program *program, const struct picture_form *pictures, const double *raw,
                              size_t rows, int64_t **out, fusion_error *why) {
  const struct shape shape = program->steps[0].out.shape;
  const size_t row_size = shape_size(shape);
  struct preprocess chosen;
  size_t len;
  fusion_status status = preprocess_choose(&chosen, &program->preprocess, shape, pictures, why);
  if (status != FUSION_OK) return status;
  if (!size_mul(rows, row_size, &len)) return error_set(why, FUSION_E_MEMORY, "the inputs are too large");
  float *real = mem_alloc(len, sizeof *real);
  *out = mem_alloc(len, sizeof **out);
  FAIL_IF(!real || !*out, error_set(why, FUSION_E_MEMORY, "out of memory for the inputs"));
  preprocess_apply(&chosen, shape, raw, rows, real);
  status = program_quantise_input(program, real, rows, *out, why);
cleanup:
  mem_free_secret(real, len * sizeof *real);
  return status;
}

/* Secret randomness of the permutation: the operating system's own. */
static fusion_status random_bytes(void *context, void *out, size_t len) {
  (void)context;
  return os_random(out, len);
}

static fusion_status seeded_bytes(void *prg, void *out, size_t len) {
  prg_bytes(prg, out, len);
  return FUSION_OK;
}

/* With a journal the permutation comes from its seed, so that a resumed job has the same. */
static fusion_status draw_mix(struct client_job *job, fusion_error *why) {
  const struct mix_choice *choice = &job->input->choice;
  const struct journal *journal = job->settings->journal;
  fusion_status status = FUSION_E_MEMORY;
  struct prg *root = journal ? prg_new(journal_seed(journal)) : NULL;
  struct prg *stream = root ? prg_fork(root, "permutation", 0) : NULL;
  if (stream) status = mix_draw(&job->mix, choice, seeded_bytes, stream);
  if (!journal) status = mix_draw(&job->mix, choice, random_bytes, NULL);
  prg_free(stream);
  prg_free(root);
  if (status == FUSION_OK) return status;
  return error_set(why, status, "the mix cannot be drawn: %s", fusion_status_text(status));
}

/* How pictures are normalised belongs to what is asked. */
static void hash_pictures(crypto_generichash_state *state, const struct picture_form *p) {
  const uint64_t flags[] = {p != NULL, p && p->normalise, p && p->preprocess.reverse_channels,
                            p ? p->preprocess.count : 0};
  crypto_generichash_update(state, (const uint8_t *)flags, sizeof flags);
  if (!p) return;
  const size_t len = p->preprocess.count * sizeof *p->preprocess.mean;
  crypto_generichash_update(state, (const uint8_t *)&p->preprocess.scale, sizeof p->preprocess.scale);
  crypto_generichash_update(state, (const uint8_t *)p->preprocess.mean, len);
  crypto_generichash_update(state, (const uint8_t *)p->preprocess.deviation, len);
}

/* What the journal is told of the job. The hash is of all that the verdict depends on, keyed by the seed that the
 * public samples and the permutation come from. */
static struct journal_job describe(const struct client_job *job) {
  const struct job_input *in = job->input;
  const struct mix_choice *c = &in->choice;
  const uint64_t numbers[] = {c->queries,
                              c->copies,
                              c->public_samples,
                              c->errors,
                              in->row_size,
                              job->settings->agree_by_label,
                              job->settings->tolerance};
  struct journal_job out = {.samples = job->samples, .answer_size = job->answer_size};
  crypto_generichash_state state;
  snprintf(out.engine, sizeof out.engine, "%s", job->settings->engine->name);
  crypto_generichash_init(&state, journal_seed(job->settings->journal), PRG_SEED_LEN, sizeof out.input_hash);
  crypto_generichash_update(&state, (const uint8_t *)numbers, sizeof numbers);
  hash_pictures(&state, in->query_pictures);
  hash_pictures(&state, in->public_pictures);
  crypto_generichash_update(&state, (const uint8_t *)in->queries, c->queries * in->row_size * sizeof *in->queries);
  crypto_generichash_update(&state, (const uint8_t *)in->public_samples,
                            c->public_samples * in->row_size * sizeof *in->public_samples);
  crypto_generichash_update(&state, (const uint8_t *)in->labels, c->public_samples * sizeof *in->labels);
  crypto_generichash_final(&state, out.input_hash, sizeof out.input_hash);
  mem_wipe(&state, sizeof state);
  return out;
}

/* Room for the answers, and those that a resumed job has already. */
static fusion_status take_answers(struct client_job *job, fusion_error *why) {
  struct journal *journal = job->settings->journal;
  size_t count;
  if (size_mul(job->samples, job->answer_size, &count)) job->answers = mem_alloc(count, sizeof *job->answers);
  if (!job->answers) return error_set(why, FUSION_E_MEMORY, "out of memory for %zu answers", job->samples);
  if (!journal || !journal_resumed(journal)) return FUSION_OK;
  if (journal_resumed(journal)->answer_size != job->answer_size)
    return error_set(why, FUSION_E_INPUT, "the journal is damaged; remove it to begin a new job");
  job->done = mem_alloc(job->samples, sizeof *job->done);
  if (!job->done) return error_set(why, FUSION_E_MEMORY, "out of memory for the journal");
  const fusion_status status = journal_replay(journal, job->answers, job->done, why);
  for (size_t i = 0; i < job->samples; i++) job->samples_done += job->done[i];
  job->todo = job->samples - job->samples_done;
  return status;
}

fusion_status job_cut(struct client_job *job, fusion_error *why) {
  const struct job_settings *set = job->settings;
  const size_t wanted = size_min(size_min(set->shard_samples, job->todo), SESSION_SHARD_MAX);
  const struct workers_choice choice = {.engine = set->engine,
                                        .program = &job->program,
                                        .samples = job->todo,
                                        .shard_samples = wanted,
                                        .max_memory = set->max_memory,
                                        .round_trip_seconds = job->round_trip_seconds,
                                        .cores = cpu_cores()};
  job->worker_count = set->workers ? set->workers : workers_choose(&choice);
  const uint64_t share = set->max_memory / job->worker_count;
  job->shard_samples = (uint32_t)shard_limit(set->engine, &job->program, ROLE_CLIENT, wanted, share);
  if (!job->shard_samples)
    return error_set(
        why, FUSION_E_LIMIT, "one sample of the server's model takes %zu MiB here; a worker may use %llu MiB",
        engine_memory(set->engine, &job->program, 1, ROLE_CLIENT) >> 20, (unsigned long long)(share >> 20));
  const size_t even = div_up(job->todo, shards_count(job->todo, job->shard_samples, job->worker_count));
  job->shard_samples = (uint32_t)even;
  return predict_traffic(job, div_up(job->todo, even), why);
}

fusion_status job_take_manifest(struct client_job *job, const uint8_t *bytes, size_t len, fusion_error *why) {
  const struct job_input *in = job->input;
  struct reader r = reader_of(bytes, len);
  fusion_error program_error = {.status = FUSION_OK};
  fusion_status status = program_decode(&job->program, &r, &program_error);
  if (status != FUSION_OK)
    return error_set(why, FUSION_E_PEER, "the server's manifest is not valid: %s", program_error.text);
  job->has_program = true;
  status = engine_check(job->settings->engine, &job->program, &program_error);
  if (status == FUSION_E_MEMORY) return error_set(why, status, "%s", program_error.text);
  if (status != FUSION_OK) return error_set(why, FUSION_E_PEER, "the server's model: %s", program_error.text);
  if (!reader_done(&r)) return error_set(why, FUSION_E_PEER, "the server's manifest has bytes left over");
  job->input_size = shape_size(job->program.steps[0].out.shape);
  job->answer_size = program_answer_size(&job->program);
  if (job->input_size != in->row_size)
    return error_set(why, FUSION_E_INPUT,
                     "the samples have %zu numbers each; the server's model takes %zu (%u x %u x %u)", in->row_size,
                     job->input_size, job->program.steps[0].out.shape.channels, job->program.steps[0].out.shape.height,
                     job->program.steps[0].out.shape.width);
  TRY(take_answers(job, why));
  if (job->todo) TRY(job_cut(job, why));
  TRY(quantise(&job->program, in->query_pictures, in->queries, in->choice.queries, &job->queries, why));
  TRY(quantise(&job->program, in->public_pictures, in->public_samples, in->choice.public_samples, &job->public_samples,
               why));
  TRY(draw_mix(job, why));
  if (job->settings->journal && !journal_resumed(job->settings->journal)) {
    struct journal_job described = describe(job);
    described.manifest = bytes;
    described.manifest_len = len;
    TRY(journal_begin(job->settings->journal, &described, why));
  }
cleanup:
  return status;
}

static bool start_worker(struct worker *w, void *(*run)(void *)) {
  w->started = pthread_create(&w->thread, NULL, run, w) == 0;
  return w->started;
}

static fusion_status start_workers(struct client_job *job, fusion_error *err) {
  const fusion_status status = shard_queue_fill(&job->queue, job->samples, job->shard_samples, job->done);
  if (status != FUSION_OK) return error_set(err, status, "out of memory for a queue of shards");
  const size_t workers = size_min(job->worker_count, job->queue.capacity);
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
  const uint64_t kept = job->samples - job->todo;
  const uint64_t estimate = part < 1 ? kept + (uint64_t)(part * (double)job->todo) : job->samples - 1;
  return estimate > job->samples_done ? estimate : job->samples_done;
}

/* Called and returns with the lock held; lets go of it for the user's callback. */
static void report_progress(struct client_job *job, double seconds) {
  const struct job_settings *set = job->settings;
  uint64_t bytes = job->bytes_sent + job->bytes_received;
  for (size_t i = 0; i < job->worker_room; i++)
    if (job->workers[i].channel) bytes += channel_moved(job->workers[i].channel);
  const uint64_t done = estimate_done(job, bytes);
  pthread_mutex_unlock(&job->lock);
  bool go_on = !set->cancelled || !atomic_load(set->cancelled);
  if (go_on && set->progress) go_on = set->progress(set->progress_context, done, job->samples, bytes, seconds);
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

static fusion_status resume(struct client_job *job, fusion_error *why) {
  const struct journal *journal = job->settings->journal;
  const struct journal_job here = describe(job), *kept = journal_resumed(journal);
  fusion_status status = journal_check(journal, &here, why);
  if (status == FUSION_OK) status = job_take_manifest(job, kept->manifest, kept->manifest_len, why);
  if (status == FUSION_OK) manifest_hash(job->manifest_hash, kept->manifest, kept->manifest_len);
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

static void fill_verdict(const struct client_job *job, double started, fusion_verdict *v) {
  uint64_t sent = job->bytes_sent, received = job->bytes_received;
  v->seconds = clock_seconds() - started;
  v->bytes_sent = sent;
  v->bytes_received = received;
  v->rounds = (job->depth + 1) / 2;
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
  snprintf(v->server, sizeof v->server, "%.240s:%u", job->settings->address.host, job->settings->address.port);
  snprintf(v->engine, sizeof v->engine, "%s", job->settings->engine->name);
  snprintf(v->rounding, sizeof v->rounding, "%s", job->program.rounding == ROUNDING_FAST ? "fast" : "exact");
  hex(v->manifest_hash, job->manifest_hash, sizeof job->manifest_hash);
  v->certificate_hash[0] = '\0';
  if (job->peer.has_certificate) hex(v->certificate_hash, job->peer.certificate_sha256, TLS_HASH_LEN);
}

static fusion_status decide(struct client_job *job, struct job_output *output, fusion_verdict *verdict,
                            fusion_error *err) {
  const bool fast = job->program.rounding == ROUNDING_FAST;
  const struct mix_check check = {.kind = job->program.output == OUTPUT_LOGITS ? MIX_ANSWER_LOGITS : MIX_ANSWER_INDEX,
                                  .agreement = !fast                           ? MIX_AGREE_EXACT
                                               : job->settings->agree_by_label ? MIX_AGREE_LABEL
                                                                               : MIX_AGREE_WITHIN,
                                  .tolerance = job->settings->tolerance,
                                  .answer_size = job->answer_size};
  struct mix_result result;
  const size_t queries = job->input->choice.queries;
  int64_t *answers = mem_alloc(queries, job->answer_size * sizeof *answers);
  if (!answers) return error_set(err, FUSION_E_MEMORY, "out of memory for the answers");
  const fusion_status status = mix_verify(job->mix, &check, job->answers, job->input->labels, answers, &result);
  verdict->accepted = status == FUSION_OK && result.accepted;
  if (status == FUSION_OK) {
    verdict->wrong_public = result.wrong_public;
    verdict->disagreeing_queries = result.disagreeing_queries;
  }
  if (!verdict->accepted) {
    mem_free_secret(answers, queries * job->answer_size * sizeof *answers);
    answers = NULL;
  }
  output->answers = answers;
  output->answer_size = job->answer_size;
  output->queries = queries;
  if (status != FUSION_OK)
    return error_set(err, status, "the answers cannot be checked: %s", fusion_status_text(status));
  return FUSION_OK;
}

static fusion_status job_init(struct client_job *job, const struct job_settings *settings,
                              const struct job_input *input) {
  pthread_condattr_t monotonic;
  if (pthread_condattr_init(&monotonic)) return FUSION_E_RESOURCE;
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  const bool failed = pthread_cond_init(&job->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  if (failed) return FUSION_E_RESOURCE;
  pthread_mutex_init(&job->lock, NULL);
  job->settings = settings;
  job->input = input;
  job->samples = (size_t)(input->choice.queries * input->choice.copies + input->choice.public_samples);
  job->todo = job->samples;
  job->worker_room = settings->workers ? settings->workers : WORKERS_AUTO_MAX;
  job->workers = mem_alloc(job->worker_room, sizeof *job->workers);
  if (!job->workers || sodium_init() < 0) return FUSION_E_MEMORY;
  for (size_t i = 0; i < job->worker_room; i++) job->workers[i].job = job;
  return os_random(job->id, sizeof job->id);
}

static void job_free(struct client_job *job) {
  if (!job->settings) return;
  const struct mix_choice *c = &job->input->choice;
  mem_free_secret(job->queries, (size_t)c->queries * job->input_size * sizeof *job->queries);
  mem_free(job->public_samples);
  mem_free_secret(job->answers, job->samples * job->answer_size * sizeof *job->answers);
  mem_free(job->done);
  mix_free(job->mix);
  shard_queue_free(&job->queue);
  mem_free(job->workers);
  pthread_cond_destroy(&job->changed);
  pthread_mutex_destroy(&job->lock);
}

fusion_status job_run(const struct job_settings *settings, const struct job_input *input, struct job_output *output,
                      fusion_verdict *verdict, fusion_error *err) {
  struct client_job job = {0};
  fusion_error why = {.status = FUSION_OK};
  const double started = clock_seconds();
  *output = (struct job_output){0};
  fusion_status status = job_init(&job, settings, input);
  if (status != FUSION_OK) error_set(&why, status, "%s", fusion_status_text(status));
  if (status == FUSION_OK && settings->journal && journal_resumed(settings->journal)) status = resume(&job, &why);
  if (status == FUSION_OK && job.todo) status = run_workers(&job, started, &why);
  if (job.workers) worker_disconnect(&job.workers[0]);
  if (status == FUSION_OK) status = decide(&job, output, verdict, &why);
  if (status == FUSION_OK) {
    fill_verdict(&job, started, verdict);
    output->program = job.program;
    job.has_program = false;
  }
  if (job.has_program) program_free(&job.program);
  job_free(&job);
  return status == FUSION_OK ? status : error_set(err, status, "%s", why.text);
}

void job_output_free(struct job_output *output) {
  mem_free_secret(output->answers, output->queries * output->answer_size * sizeof *output->answers);
  program_free(&output->program);
  *output = (struct job_output){0};
}
