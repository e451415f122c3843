#include "adversary/scene.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "execute/execute.h"
#include "mixcheck/mix.h"
#include "program/fsn.h"
#include "session/ahead.h"
#include "session/job.h"
#include "session/keep.h"
#include "session/serve.h"
#include "support/support.h"

enum { STEPS = SCENE_LAST + 2, CLASSES = SCENE_CLASSES };

static const struct window dense = {1, 1, 1, 1, 0, 0, 0, 0, 1, 1};

static struct program_step *add_step(struct model *m, enum program_op op, uint32_t input, struct shape shape,
                                     unsigned ring_bits, unsigned value_bits) {
  struct program_step *s = &m->program.steps[m->program.count++];
  s->op = op;
  s->input_count = op == OP_INPUT ? 0 : op == OP_MUL || op == OP_MATMUL ? 2 : 1;
  s->inputs = mem_alloc(2, sizeof *s->inputs);
  for (uint32_t i = 0; i < s->input_count; i++) s->inputs[i] = input;
  s->out = (struct program_tensor){
      .shape = shape, .ring_bits = (uint8_t)ring_bits, .value_bits = (uint8_t)value_bits, .scale = 1};
  s->window = dense;
  s->groups = 1;
  snprintf(s->name, sizeof s->name, "step%u", m->program.count - 1);
  return s;
}

static void add_linear(struct scene *s, uint32_t input, struct shape shape, unsigned ring_bits, unsigned weight_bits) {
  struct model *m = s->model;
  struct program_step *step = add_step(m, OP_LINEAR, input, shape, ring_bits, ring_bits);
  const uint32_t number = m->program.count - 1;
  step->weight_bits = (uint8_t)weight_bits;
  step->out.raw = true;
  const size_t count = program_weight_count(&m->program, number);
  struct program_weights *w = &m->weights[number];
  w->weights = mem_alloc(count, sizeof *w->weights);
  w->bias = mem_alloc(shape.channels, sizeof *w->bias);
  for (size_t i = 0; i < count; i++) w->weights[i] = (int16_t)ring_signed(test_random(&s->random), weight_bits);
}

/* A function of 12 bits, nearly 256 x, in pieces. */
static void add_table(struct scene *s, uint32_t input, struct shape shape) {
  struct program_step *step = add_step(s->model, OP_LOOKUP, input, shape, 24, 21);
  step->table = mem_alloc(1, sizeof *step->table);
  assert_non_null(step->table);
  step->table->index_bits = 5;
  step->table->low_bits = 7;
  for (int h = 0; h < 32; h++) {
    step->table->base[h] = ((h < 16 ? h : h - 32) * 128 + 64) * 256;
    step->table->slope[h] = 256 + ring_signed(test_random(&s->random), 5);
  }
}

static void add_function(struct scene *s, uint32_t input, struct shape shape) {
  add_step(s->model, OP_TRUNCATE, input, shape, 13, 12)->shift = 10;
  add_table(s, input + 1, shape);
  add_step(s->model, OP_TRUNCATE, input + 2, shape, 24, 17)->shift = 4;
}

/* Steps 3 and 4, and the side of what they make: a pool and a square, or, for FUSION_TEST_MATRICES, a product of
 * matrices. */
static uint32_t add_middle(struct scene *s) {
  if (getenv("FUSION_TEST_MATRICES")) {
    struct program_step *product = add_step(s->model, OP_MATMUL, 2, (struct shape){4, 4, 4}, 24, 24);
    product->transpose = true;
    product->out.raw = true;
    add_step(s->model, OP_TRUNCATE, 3, (struct shape){4, 4, 4}, 24, 14)->shift = 8;
    return 4;
  }
  add_step(s->model, OP_MAXPOOL, 2, (struct shape){4, 2, 2}, 24, 12)->window =
      (struct window){2, 2, 2, 2, 0, 0, 0, 0, 1, 1};
  add_step(s->model, OP_MUL, 3, (struct shape){4, 2, 2}, 24, 24);
  return 2;
}

static void open_model(struct scene *s) {
  s->model = mem_alloc(1, sizeof *s->model);
  s->model->program.steps = mem_alloc(STEPS, sizeof *s->model->program.steps);
  s->model->weights = mem_alloc(STEPS, sizeof *s->model->weights);
  s->model->program.preprocess.scale = 1;
}

static void prepare_model(const struct scene *s) {
  fusion_error err = {.status = FUSION_OK};
  if (program_validate(&s->model->program, &err) != FUSION_OK) fail_msg("%s", err.text);
  if (engine_prepare(scene_engine(), s->model, &err) != FUSION_OK) fail_msg("%s", err.text);
}

static void make_decisions(struct scene *s) {
  open_model(s);
  add_step(s->model, OP_INPUT, 0, (struct shape){12, 1, 1}, 20, 8);
  add_linear(s, 0, (struct shape){64, 1, 1}, 18, 4);
  add_step(s->model, OP_COMPARE, 1, (struct shape){64, 1, 1}, 8, 2);
  add_linear(s, 2, (struct shape){64, 1, 1}, 8, 2);
  add_step(s->model, OP_COMPARE, 3, (struct shape){64, 1, 1}, 14, 2);
  add_linear(s, 4, (struct shape){CLASSES, 1, 1}, 14, 7);
  add_step(s->model, OP_TRUNCATE, 5, (struct shape){CLASSES, 1, 1}, 13, 12)->shift = 1;
  prepare_model(s);
}

static void make_model(struct scene *s) {
  open_model(s);
  add_step(s->model, OP_INPUT, 0, (struct shape){2, 4, 4}, 24, 8);
  add_linear(s, 0, (struct shape){4, 4, 4}, 24, 8);
  add_step(s->model, OP_RELU, 1, (struct shape){4, 4, 4}, 24, 12)->shift = 8;
  const uint32_t side = add_middle(s);
  add_linear(s, 4, (struct shape){5, side, side}, 24, 8);
  add_function(s, SCENE_MIDDLE, (struct shape){5, side, side});
  add_linear(s, SCENE_LAST - 1, (struct shape){CLASSES, 1, 1}, 24, 7);
  s->model->program.steps[SCENE_LAST].window = (struct window){side, side, 1, 1, 0, 0, 0, 0, 1, 1};
  const size_t count = program_weight_count(&s->model->program, SCENE_LAST);
  struct program_weights *last = &s->model->weights[SCENE_LAST];
  mem_free(last->weights);
  last->weights = mem_alloc(count, sizeof(int16_t));
  for (size_t i = 0; i < count; i++) last->weights[i] = (int16_t)ring_signed(test_random(&s->random), 7);
  add_step(s->model, OP_TRUNCATE, SCENE_LAST, (struct shape){CLASSES, 1, 1}, 22, 20)->shift = 3;
  prepare_model(s);
}

void scene_expect(struct scene *s, size_t samples) {
  int64_t *rows = mem_alloc(samples * s->row_size, sizeof *rows);
  assert_non_null(rows);
  for (size_t i = 0; i < samples * s->row_size; i++) rows[i] = (int64_t)s->inputs[i];
  assert_ok(program_execute(s->model, rows, samples, s->expected, &(struct execute_options){.threads = 1}));
  mem_free(rows);
}

const struct engine *scene_engine(void) {
  const struct engine *engine;
  fusion_error err = {.status = FUSION_OK};
  if (engine_named(&engine, getenv("FUSION_TEST_ENGINE"), &err) != FUSION_OK) fail_msg("%s", err.text);
  return engine;
}

bool scene_keeps(void) {
  return getenv("FUSION_TEST_KEEP") != NULL;
}

bool scene_ahead(void) {
  return getenv("FUSION_TEST_AHEAD") != NULL;
}

static void open_with(struct scene *s, void (*make)(struct scene *s), uint64_t seed, uint64_t samples_max) {
  *s = (struct scene){.shard_samples = 16, .workers = 1, .tries = 2, .timeout_ms = 5000, .random = seed};
  make(s);
  s->row_size = shape_size(s->model->program.steps[0].out.shape);
  s->answer_size = program_answer_size(&s->model->program);
  s->inputs = mem_alloc(samples_max * s->row_size, sizeof *s->inputs);
  s->labels = mem_alloc(samples_max, sizeof *s->labels);
  s->expected = mem_alloc(samples_max * s->answer_size, sizeof *s->expected);
  for (size_t i = 0; i < samples_max * s->row_size; i++) s->inputs[i] = (double)(test_random(&s->random) % 255) - 127;
  scene_expect(s, samples_max);
}

void scene_open(struct scene *s, uint64_t seed, uint64_t samples_max) {
  open_with(s, make_model, seed, samples_max);
}

void scene_open_decisions(struct scene *s, uint64_t seed, uint64_t samples_max) {
  open_with(s, make_decisions, seed, samples_max);
}

void scene_close(struct scene *s) {
  mem_free(s->inputs);
  mem_free(s->labels);
  mem_free(s->expected);
  model_free(s->model);
}

void scene_set_output(struct scene *s, enum program_output output, uint32_t top_k) {
  fusion_error err = {.status = FUSION_OK};
  s->model->program.output = output;
  s->model->program.top_k = top_k;
  s->answer_size = program_answer_size(&s->model->program);
  if (program_validate(&s->model->program, &err) != FUSION_OK) fail_msg("%s", err.text);
}

int64_t scene_label(const struct scene *s, const int64_t *answer) {
  static const enum mix_answer_kind kinds[] = {
      [OUTPUT_LOGITS] = MIX_ANSWER_LOGITS, [OUTPUT_LABEL] = MIX_ANSWER_INDEX, [OUTPUT_TOP_K] = MIX_ANSWER_TOP_K};
  const struct mix_check check = {.kind = kinds[s->model->program.output], .answer_size = s->answer_size};
  return mix_label(&check, answer);
}

struct model *scene_copy_model(const struct scene *s) {
  struct writer w = {0};
  struct model *m;
  assert_ok(fsn_encode(&w, s->model));
  assert_ok(fsn_decode(&m, w.data, w.len, "the model", NULL));
  writer_free(&w);
  return m;
}

/* The last layer's outputs turned by one: what was class k is now class k + 1. */
struct model *scene_wrong_model(const struct scene *s) {
  struct model *m = scene_copy_model(s);
  const size_t row = program_weight_count(&m->program, SCENE_LAST) / CLASSES;
  for (size_t k = 0; k < CLASSES; k++)
    memcpy(m->weights[SCENE_LAST].weights + (k + 1) % CLASSES * row, s->model->weights[SCENE_LAST].weights + k * row,
           row * sizeof(int16_t));
  return m;
}

static void label_public(struct scene *s) {
  for (uint64_t i = 0; i < s->public_samples; i++) {
    const int64_t best = scene_label(s, s->expected + (s->queries + i) * s->answer_size);
    s->labels[i] = i < s->mislabelled ? (best + 1) % CLASSES : best;
  }
}

static void *serve(void *server) {
  return (void *)(intptr_t)server_run(server, NULL);
}

static enum outcome judge(const struct scene *s, fusion_status status, const fusion_verdict *v,
                          const struct job_output *out, fusion_error *why) {
  if (status != FUSION_OK) {
    assert_null(out->answers);
    return OUTCOME_FAILED;
  }
  if (!v->accepted) {
    assert_null(out->answers);
    error_set(why, FUSION_OK, "%s", v->reason);
    return OUTCOME_REJECTED;
  }
  assert_non_null(out->answers);
  enum outcome outcome = OUTCOME_RIGHT;
  for (size_t q = 0; q < s->queries; q++) {
    const size_t at = q * s->answer_size, len = s->answer_size * sizeof(int64_t);
    if (memcmp(out->answers + at, s->expected + at, len) == 0) continue;
    outcome = OUTCOME_WRONG;
    if (s->tampered && memcmp(out->answers + at, s->tampered + at, len) != 0)
      fail_msg("the answer to query %zu is neither model's", q);
  }
  return outcome;
}

/* The first public samples as an audit left them. The inputs are whole numbers. */
static struct job_canaries take_canaries(const struct scene *s, int64_t *inputs, uint8_t hash[SESSION_HASH_LEN]) {
  struct writer manifest = {0};
  for (size_t i = 0; i < s->canaries * s->row_size; i++) inputs[i] = (int64_t)s->inputs[s->queries * s->row_size + i];
  program_encode(&manifest, &s->model->program);
  manifest_hash(hash, manifest.data, manifest.len);
  writer_free(&manifest);
  return (struct job_canaries){.count = s->canaries,
                               .input_size = s->row_size,
                               .answer_size = s->answer_size,
                               .inputs = inputs,
                               .answers = s->expected + s->queries * s->answer_size,
                               .rows = s->canaries,
                               .manifest_hash = s->audited ? s->audited : hash,
                               .audited_utc = "2026-02-03T04:05:06Z"};
}

/* Until the server has seen the end of every connection, so that records of jobs are alike. */
static void await_quiet(struct server *server) {
  for (int i = 0; i < 5000 && server_get_totals(server).connections; i++) usleep(2000);
}

static fusion_status prepare(const struct scene *s, const fusion_client_settings *asking, struct job_handles *handles,
                             fusion_error *why) {
  const uint64_t samples = s->queries * s->copies + s->public_samples + s->canaries;
  const fusion_status status = ahead_prepare(asking, handles, samples, s->prepared, why);
  await_quiet(s->server);
  return status == FUSION_OK ? ahead_open(&handles->ahead, s->prepared, why) : status;
}

enum outcome scene_ask(struct scene *s, uint16_t port, struct tls_context *tls, fusion_error *why) {
  struct job_output out = {0};
  fusion_verdict verdict = {0};
  label_public(s);
  fusion_client_settings asking = fusion_client_defaults();
  asking.workers = s->workers;
  asking.shard_samples = s->shard_samples;
  asking.tries = s->tries;
  asking.max_memory = UINT64_C(1) << 30;
  asking.max_manifest = 1 << 20;
  asking.connect_timeout_ms = asking.timeout_ms = (uint32_t)s->timeout_ms;
  struct job_handles handles = {.address = {.host = "127.0.0.1", .port = port}, .tls = tls, .engine = scene_engine()};
  uint8_t hash[SESSION_HASH_LEN];
  int64_t *canary_inputs = mem_alloc(s->canaries * s->row_size, sizeof *canary_inputs);
  assert_non_null(canary_inputs);
  const struct job_canaries canaries = take_canaries(s, canary_inputs, hash);
  const struct job_input input = {.queries = s->inputs,
                                  .public_samples = s->inputs + (s->queries + s->canaries) * s->row_size,
                                  .labels = s->labels + s->canaries,
                                  .canaries = s->canaries ? &canaries : NULL,
                                  .row_size = s->row_size,
                                  .choice = {s->queries, s->copies, s->public_samples, s->errors, 1}};
  const struct job_terms terms = {&asking, &handles, &input};
  fusion_status status = s->prepared[0] ? prepare(s, &asking, &handles, why) : FUSION_OK;
  if (status == FUSION_OK && s->kept[0]) status = keep_open(&handles.keep, s->kept, why);
  if (status == FUSION_OK) status = job_run(&terms, &out, &verdict, why);
  if (status == FUSION_OK && handles.keep) assert_ok(keep_write(handles.keep, why));
  keep_close(handles.keep);
  ahead_close(handles.ahead);
  s->changed = verdict.changed_canaries;
  s->disagreeing = verdict.disagreeing_queries;
  const enum outcome outcome = judge(s, status, &verdict, &out, why);
  mem_free(canary_inputs);
  if (status == FUSION_OK) job_output_free(&out);
  return outcome;
}

/* States of jobs that failed. */
static void remove_folder(const char *folder) {
  char name[400];
  DIR *dir = opendir(folder);
  assert_non_null(dir);
  for (const struct dirent *e; (e = readdir(dir));) {
    snprintf(name, sizeof name, "%s/%s", folder, e->d_name);
    unlink(name);
  }
  closedir(dir);
  assert_int_equal(rmdir(folder), 0);
}

enum outcome scene_run(struct scene *s, struct cheater *cheater, fusion_error *why) {
  struct server *server;
  pthread_t thread;
  const struct server_handles handles = {
      .listen = {.host = "127.0.0.1"}, .model = &cheater->model, .engines = {{cheater->engine}, 1}};
  char folder[] = "/tmp/fusion-scene-XXXXXX";
  fusion_server_settings serving = fusion_server_defaults();
  if (scene_ahead()) {
    serving.prepared_folder = mkdtemp(folder);
    assert_non_null(serving.prepared_folder);
    snprintf(s->prepared, sizeof s->prepared, "%s.client", folder);
    cheater->same_places = true;
  }
  if (scene_keeps()) snprintf(s->kept, sizeof s->kept, "/tmp/fusion-scene-%d.kept", (int)getpid());
  serving.max_clients = 4;
  serving.max_samples_job = 1u << 20;
  serving.max_samples_day = 1u << 30;
  serving.max_memory = UINT64_C(1) << 30;
  serving.max_shard = 4096;
  serving.handshake_timeout_ms = serving.timeout_ms = (uint32_t)s->timeout_ms;
  serving.stop_grace_ms = 0;
  cheater_attach(cheater);
  assert_ok(server_open(&server, &serving, &handles, why));
  s->server = server;
  assert_int_equal(pthread_create(&thread, NULL, serve, server), 0);
  enum outcome outcome = scene_ask(s, server_port(server), NULL, why);
  if ((scene_ahead() || scene_keeps()) && outcome != OUTCOME_FAILED) await_quiet(server);
  if (scene_keeps() && (outcome == OUTCOME_RIGHT || outcome == OUTCOME_REJECTED)) {
    assert_int_equal(access(s->kept, F_OK), 0);
    outcome = scene_ask(s, server_port(server), NULL, why);
    if (outcome != OUTCOME_FAILED) await_quiet(server);
  }
  server_stop(server);
  server_stop(server); /* twice: connections that still run are cut */
  pthread_join(thread, NULL);
  server_close(server);
  if (s->kept[0]) {
    unlink(s->kept);
    s->kept[0] = '\0';
  }
  if (s->prepared[0]) {
    unlink(s->prepared);
    remove_folder(folder);
    s->prepared[0] = '\0';
  }
  return outcome;
}
