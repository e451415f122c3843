#include "session/fake_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "execute/execute.h"
#include "support/support.h"

struct fake_behaviour fake;

void fake_reset(void) {
  memset(&fake, 0, sizeof fake);
  fake.memory_per_sample = 1000;
}

struct engine_session {
  const struct model *model;
  const struct program *program;
  struct channel *channel;
  struct engine_stats stats;
};

static bool once(atomic_int *counter) {
  int left = atomic_load(counter);
  while (left > 0)
    if (atomic_compare_exchange_weak(counter, &left, left - 1)) return true;
  return false;
}

static struct engine_session *session_new(const struct model *model, const struct program *program,
                                          struct channel *channel) {
  struct engine_session *s = mem_alloc(1, sizeof *s);
  if (!s) abort();
  *s = (struct engine_session){.model = model, .program = program, .channel = channel};
  return s;
}

static fusion_status open_server(struct engine_session **out, const struct model *model, struct channel *channel,
                                 size_t expected_samples) {
  uint64_t expected;
  *out = NULL;
  const fusion_status status = channel_recv(channel, MSG_TEST, &expected, sizeof expected);
  if (status != FUSION_OK) return status;
  if (expected != expected_samples) return channel_fail(channel, FUSION_E_PEER, "expectations differ");
  atomic_fetch_add(&fake.opened, 1);
  *out = session_new(model, &model->program, channel);
  return FUSION_OK;
}

static fusion_status open_client(struct engine_session **out, const struct program *program, struct channel *channel,
                                 size_t expected_samples) {
  const uint64_t expected = expected_samples;
  *out = session_new(NULL, program, channel);
  return channel_send(channel, MSG_TEST, &expected, sizeof expected);
}

static fusion_status run_server(struct engine_session *s, size_t samples) {
  const size_t in = samples * shape_size(s->program->steps[0].out.shape),
               out = samples * program_answer_size(s->program);
  int64_t *inputs = malloc(in * sizeof *inputs), *answers = malloc(out * sizeof *answers);
  fusion_status status;
  atomic_fetch_add(&fake.runs, 1);
  if ((int)samples > fake.largest_shard) fake.largest_shard = (int)samples;
  TRY(channel_recv(s->channel, MSG_TEST, inputs, in * sizeof *inputs));
  if (fake.delay_ms) usleep((useconds_t)fake.delay_ms * 1000);
  if (once(&fake.cut_runs)) channel_cancel(s->channel);
  FAIL_IF(once(&fake.refuse_runs), channel_fail(s->channel, FUSION_E_CRYPTO, "a secret reason"));
  TRY(program_execute(s->model, inputs, samples, answers, &(struct execute_options){.threads = 1}));
  if (once(&fake.alter_from)) answers[0] ^= 1;
  if (once(&fake.hang_runs)) TRY(channel_recv(s->channel, MSG_TEST, NULL, 0));
  TRY(channel_send(s->channel, MSG_TEST, answers, out * sizeof *answers - once(&fake.short_answers)));
cleanup:
  free(inputs);
  free(answers);
  return status;
}

static fusion_status run_client(struct engine_session *s, const int64_t *inputs, int64_t *answers, size_t samples) {
  const size_t in = samples * shape_size(s->program->steps[0].out.shape) * sizeof *inputs;
  const size_t out = samples * program_answer_size(s->program) * sizeof *answers;
  fusion_status status = channel_send(s->channel, MSG_TEST, inputs, in);
  if (status == FUSION_OK) status = channel_recv(s->channel, MSG_TEST, answers, out);
  s->stats.bytes_sent[STAGE_LINEAR] += in;
  s->stats.bytes_received[STAGE_LINEAR] += out;
  return status;
}

static struct engine_stats stats(const struct engine_session *s) {
  return s->stats;
}
static void close_session(struct engine_session *s) {
  mem_free(s);
}

static fusion_status declared_cost(const struct program *program, const size_t *shard_samples, size_t shards,
                                   struct cost *cost) {
  cost_to_server(cost, sizeof(uint64_t));
  for (size_t i = 0; i < shards; i++) {
    cost_to_server(cost, shard_samples[i] * shape_size(program->steps[0].out.shape) * sizeof(int64_t));
    cost_to_client(cost, shard_samples[i] * program_answer_size(program) * sizeof(int64_t));
  }
  return FUSION_OK;
}

static size_t memory(const struct program *program, size_t samples, enum role role) {
  (void)program, (void)role;
  return samples * fake.memory_per_sample;
}

const struct engine fake_engine = {.name = "fake",
                                   .open_server = open_server,
                                   .open_client = open_client,
                                   .run_server = run_server,
                                   .run_client = run_client,
                                   .stats = stats,
                                   .close = close_session,
                                   .cost = declared_cost,
                                   .memory = memory};

struct model *fake_model(uint32_t inputs, uint32_t outputs, uint64_t seed) {
  struct model *m = mem_alloc(1, sizeof *m);
  m->program.count = 3;
  m->program.preprocess.scale = 1;
  m->program.steps = mem_alloc(3, sizeof *m->program.steps);
  m->weights = mem_alloc(3, sizeof *m->weights);
  for (uint32_t i = 0; i < 3; i++) {
    struct program_step *s = &m->program.steps[i];
    snprintf(s->name, sizeof s->name, "step%u", i);
    s->out =
        (struct program_tensor){.shape = {i ? outputs : inputs, 1, 1}, .ring_bits = 30, .value_bits = 20, .scale = 1};
    if (!i) continue;
    s->input_count = 1;
    s->inputs = mem_alloc(1, sizeof *s->inputs);
    s->inputs[0] = i - 1;
  }
  struct program_step *linear = &m->program.steps[1], *truncate = &m->program.steps[2];
  linear->op = OP_LINEAR;
  linear->window = (struct window){1, 1, 1, 1, 0, 0, 0, 0, 1, 1};
  linear->groups = 1;
  linear->weight_bits = 8;
  linear->out.noise_terms = 1;
  linear->out.guard_bits = program_guard_bits(1);
  m->weights[1].weights = mem_alloc((size_t)inputs * outputs, sizeof *m->weights[1].weights);
  m->weights[1].bias = mem_alloc(outputs, sizeof *m->weights[1].bias);
  for (size_t i = 0; i < (size_t)inputs * outputs; i++)
    m->weights[1].weights[i] = (int16_t)((int)(test_random(&seed) % 255) - 127);
  truncate->op = OP_TRUNCATE;
  truncate->shift = 2;
  truncate->out.scale = 0.25;
  fusion_error err;
  if (program_validate(&m->program, &err) != FUSION_OK) {
    fprintf(stderr, "%s\n", err.text);
    abort();
  }
  return m;
}
