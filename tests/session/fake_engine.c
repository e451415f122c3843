#include "session/fake_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/engine_messages.h"
#include "support/support.h"
#include "support/test_messages.h"

struct fake_behaviour fake;

void fake_reset(void) {
  memset(&fake, 0, sizeof fake);
  fake.memory_per_sample = 1000;
}

static bool once(atomic_int *counter) {
  int left = atomic_load(counter);
  while (left > 0)
    if (atomic_compare_exchange_weak(counter, &left, left - 1)) return true;
  return false;
}

static fusion_status open_session(void **state, const struct engine_party *p) {
  const uint64_t mine = p->layout->expected_samples;
  uint64_t theirs;
  *state = &fake; /* there are no keys */
  if (p->role == ROLE_CLIENT) return channel_send(p->channel, MSG_TEST, &mine, sizeof mine);
  const fusion_status status = channel_recv(p->channel, MSG_TEST, &theirs, sizeof theirs);
  if (status != FUSION_OK) return status;
  if (theirs != mine) return channel_fail(p->channel, FUSION_E_PEER, "expectations differ");
  atomic_fetch_add(&fake.opened, 1);
  return FUSION_OK;
}

static void close_session(void *state) {
  (void)state;
}

/* Dense; the client's input goes over in the clear, the server's share is the value. */
static fusion_status run_linear(void *state, const struct gate_call *call) {
  const struct program_step *steps = call->party->layout->program->steps, *s = &steps[call->number];
  const size_t in = shape_size(steps[call->number - 1].out.shape), out = shape_size(s->out.shape);
  struct channel *channel = call->party->channel;
  fusion_status status;
  (void)state;
  if (!call->weights) return channel_send(channel, MSG_TEST, call->inputs[0], call->samples * in * sizeof(uint64_t));
  uint64_t *x = mem_alloc(call->samples * in, sizeof *x), *y = call->out;
  atomic_fetch_add(&fake.runs, 1);
  if ((int)call->samples > fake.largest_shard) fake.largest_shard = (int)call->samples;
  TRY(channel_recv(channel, MSG_TEST, x, call->samples * in * sizeof *x));
  if (fake.delay_ms) usleep((useconds_t)fake.delay_ms * 1000);
  if (once(&fake.cut_runs)) channel_cancel(channel);
  if (once(&fake.forget_runs)) channel_record(channel, true);
  FAIL_IF(once(&fake.refuse_runs), channel_fail(channel, FUSION_E_CRYPTO, "a secret reason"));
  for (size_t i = 0; i < call->samples * out; i++) {
    y[i] = (uint64_t)call->weights->bias[i % out];
    for (size_t k = 0; k < in; k++) y[i] += x[i / out * in + k] * (uint64_t)call->weights->weights[i % out * in + k];
    y[i] &= low_mask(s->out.ring_bits);
  }
cleanup:
  mem_free(x);
  return status;
}

/* No label changes. */
static void grow_largest(uint64_t *answer, size_t size, unsigned ring_bits, int by) {
  uint64_t *largest = answer;
  for (size_t k = 1; k < size; k++)
    if (ring_signed(answer[k], ring_bits) > ring_signed(*largest, ring_bits)) largest = &answer[k];
  *largest = (*largest + (uint64_t)by) & low_mask(ring_bits);
}

static bool same_answer(const uint64_t *answer, const int64_t *like, size_t size, unsigned ring_bits) {
  for (size_t k = 0; k < size; k++)
    if (ring_signed(answer[k], ring_bits) != like[k]) return false;
  return true;
}

static void grow_answers(uint64_t *out, size_t samples, size_t size, unsigned ring_bits) {
  for (size_t i = 0; fake.grow_by && i < samples; i += 2) grow_largest(out + i * size, size, ring_bits, fake.grow_by);
  const int64_t *like = fake.grow_answer;
  for (size_t i = 0; like && i < samples; i++) {
    if (!same_answer(out + i * size, like, size, ring_bits)) continue;
    if (atomic_compare_exchange_strong(&fake.grow_answer, &like, NULL))
      grow_largest(out + i * size, size, ring_bits, 1);
    return;
  }
}

static fusion_status run_truncate(void *state, const struct gate_call *call) {
  const struct program_step *s = &call->party->layout->program->steps[call->number];
  struct channel *channel = call->party->channel;
  const size_t count = call->samples * shape_size(s->out.shape);
  (void)state;
  for (size_t i = 0; call->weights && i < count; i++) {
    const int64_t x = ring_signed(call->inputs[0][i] + (UINT64_C(1) << (s->shift - 1)), 30);
    call->out[i] = (uint64_t)(x >> s->shift) & low_mask(s->out.ring_bits);
  }
  if (!call->weights) return FUSION_OK;
  if (once(&fake.alter_from)) call->out[0] ^= 1;
  grow_answers(call->out, call->samples, count / call->samples, s->out.ring_bits);
  if (once(&fake.hang_runs)) return channel_recv(channel, MSG_TEST, NULL, 0);
  return once(&fake.short_answers) ? channel_send(channel, MSG_OUTPUT, call->out, 1) : FUSION_OK;
}

static void open_cost(const struct engine_layout *layout, struct cost *cost) {
  (void)layout;
  cost_to_server(cost, sizeof(uint64_t));
}

static void linear_declared(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  cost_to_server(cost, samples * shape_size(layout->program->steps[number - 1].out.shape) * sizeof(uint64_t));
}

static void nothing_declared(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  (void)cost, (void)layout, (void)number, (void)samples;
}

/* The server's half is the larger. */
static struct engine_seconds opening_predicted(const struct engine_layout *layout, size_t samples,
                                               const struct engine_speeds *speeds) {
  (void)layout, (void)samples;
  return (struct engine_seconds){.server = speeds->seconds[SPEED_SETUP], .client = speeds->seconds[SPEED_SETUP]};
}

static struct engine_seconds gate_predicted(const struct engine_layout *layout, const struct engine_step *step,
                                            const struct engine_speeds *speeds) {
  const double each = (double)step->samples * speeds->seconds[SPEED_GATE];
  (void)layout;
  return (struct engine_seconds){.server = 2 * each, .client = each};
}

static size_t session_memory(const struct engine_layout *layout, enum role role) {
  (void)role;
  return layout->expected_samples * fake.memory_per_sample;
}

static size_t no_memory(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  (void)layout, (void)number, (void)samples, (void)role;
  return 0;
}

static const struct engine_gate gates[GATE_COUNT] = {
    [GATE_LINEAR] = {run_linear, linear_declared, no_memory},
    [GATE_RELU_TRUNCATE] = {run_truncate, nothing_declared, no_memory},
};

const struct engine fake_engine = {.name = "fake",
                                   .family = "fake",
                                   .open = open_session,
                                   .close = close_session,
                                   .open_cost = open_cost,
                                   .memory = session_memory,
                                   .open_seconds = opening_predicted,
                                   .gate_seconds = gate_predicted,
                                   .gates = gates};

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
  linear->out.raw = true;
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
