/* The walker, by an engine whose gates are the plaintext meaning: shares, liveness, local steps, the output, and the
 * sums of costs and memory. */
#include "engine/walk.h"

#include "engine/clear_engine.h"
#include "execute/execute.h"
#include "model/model_support.h"

enum { SHARDS = 2, SAMPLES = 9 };
static const size_t shards[SHARDS] = {2, SAMPLES - 2};

struct end {
  const struct engine *engine;
  const struct model *model;
  struct channel *channel;
  int64_t *inputs, *answers;
  struct engine_stats stats;
  fusion_status status;
};

static void *run_server(void *arg) {
  struct end *e = arg;
  struct engine_session *s = NULL;
  e->status = engine_open_server(&s, e->engine, e->model, e->channel, SAMPLES);
  for (size_t i = 0; i < SHARDS && e->status == FUSION_OK; i++) e->status = engine_run_server(s, shards[i]);
  if (s) e->stats = engine_stats(s);
  engine_close(s);
  return NULL;
}

static void *run_client(void *arg) {
  struct end *e = arg;
  const struct program *program = &e->model->program;
  const size_t in = shape_size(program->steps[0].out.shape), out = program_answer_size(program);
  struct engine_session *s = NULL;
  e->status = engine_open_client(&s, e->engine, program, e->channel, SAMPLES);
  for (size_t i = 0, done = 0; i < SHARDS && e->status == FUSION_OK; done += shards[i++])
    e->status = engine_run_client(s, e->inputs + done * in, e->answers + done * out, shards[i]);
  if (s) e->stats = engine_stats(s);
  engine_close(s);
  return NULL;
}

/* Runs both ends over a pipe. */
static void run_both(struct end *server, struct end *client, const struct engine *engine, const struct model *m,
                     uint64_t *seed) {
  const struct program *program = &m->program;
  const size_t in = SAMPLES * shape_size(program->steps[0].out.shape);
  *server = *client = (struct end){.engine = engine, .model = m};
  client->inputs = mem_alloc(in, sizeof(int64_t));
  client->answers = mem_alloc(SAMPLES * program_answer_size(program), sizeof(int64_t));
  assert_true(client->inputs && client->answers);
  for (size_t i = 0; i < in; i++) client->inputs[i] = ring_signed(test_random(seed), program->steps[0].out.value_bits);
  assert_ok(channel_pipe(&server->channel, &client->channel));
  test_run_both(run_server, server, run_client, client);
}

static void end_both(struct end *server, struct end *client) {
  channel_close(server->channel);
  channel_close(client->channel);
  mem_free(client->inputs);
  mem_free(client->answers);
}

static void assert_all_declared(const struct program *program, const struct end *client) {
  const struct channel_stats stats = channel_get_stats(client->channel);
  struct cost cost = {0};
  uint64_t sent = 0, received = 0;
  assert_ok(engine_cost(&engine_clear, program, shards, SHARDS, &cost));
  assert_int_equal(stats.bytes_sent, cost.bytes_to_server);
  assert_int_equal(stats.bytes_received, cost.bytes_to_client);
  assert_int_equal(stats.messages_sent, cost.messages_to_server);
  assert_int_equal(stats.depth, cost.depth_client);
  for (int i = 0; i < STAGE_COUNT; i++) {
    sent += client->stats.bytes_sent[i];
    received += client->stats.bytes_received[i];
  }
  assert_int_equal(sent, stats.bytes_sent); /* every byte is booked on a stage */
  assert_int_equal(received, stats.bytes_received);
}

static void walk__every_operator_equals_the_executor(void **state) {
  (void)state;
  static const enum program_output outputs[] = {OUTPUT_LOGITS, OUTPUT_LABEL, OUTPUT_TOP_K};
  uint64_t seed = test_seed();
  for (size_t k = 0; network_kinds[k]; k++) {
    struct quantise_options options = quantise_defaults();
    options.weight_bits = options.activation_bits = 8;
    options.output = outputs[k % 3];
    options.top_k = 3;
    struct model *m = random_model_with(network_kinds[k], &seed, &options);
    struct end server, client;
    const size_t answers = SAMPLES * program_answer_size(&m->program);
    int64_t *expected = mem_alloc(answers, sizeof *expected);
    assert_ok(engine_prepare(&engine_clear, m, NULL));
    run_both(&server, &client, &engine_clear, m, &seed);
    assert_ok(server.status);
    assert_ok(client.status);
    assert_ok(program_execute(m, client.inputs, SAMPLES, expected, NULL));
    assert_memory_equal(client.answers, expected, answers * sizeof *expected);
    assert_all_declared(&m->program, &client);
    end_both(&server, &client);
    mem_free(expected);
    model_free(m);
  }
}

/* Peak of the live tensors and the gate beside them, by hand: input 30, dense 20, relu 20, ... of an mlp. */
static void walk_memory__is_that_of_live_shares_and_the_gate(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct model *m = random_model("mlp", &seed, 8, 8);
  const size_t samples = 100, live = 30 + 20,
               gate = 30; /* the first layer: both tensors, and its values at the server */
  assert_int_equal(engine_memory(&engine_clear, &m->program, samples, ROLE_SERVER),
                   heap_most((live + gate) * samples * sizeof(uint64_t)));
  struct engine_seconds once, twice;
  const struct engine_run one = {.engine = &engine_clear, .program = &m->program, .samples = samples, .shard = samples};
  struct engine_run two = one;
  two.samples *= 2;
  assert_ok(engine_seconds(&one, &once));
  assert_ok(engine_seconds(&two, &twice));
  assert_true(once.server > 0 && twice.server > 1.99 * once.server && twice.server < 2.01 * once.server);
  model_free(m);
}

static void engine_check__names_the_layer_of_a_missing_gate(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct model *m = random_model("pooled", &seed, 8, 8);
  struct engine_gate gates[GATE_COUNT];
  struct engine partial = engine_clear;
  fusion_error err = {.status = FUSION_OK};
  memcpy(gates, clear_gates, sizeof gates);
  gates[GATE_MAXPOOL] = (struct engine_gate){0};
  partial.gates = gates;
  assert_int_equal(engine_check(&partial, &m->program, &err), FUSION_E_MODEL);
  assert_non_null(strstr(err.text, "the clear engine cannot run max pooling; use another engine"));
  assert_int_equal(strncmp(err.text, "layer '", 7), 0);
  gates[GATE_MAXPOOL] = clear_gates[GATE_MAXPOOL];
  gates[GATE_TOP_K] = (struct engine_gate){0};
  assert_ok(engine_check(&partial, &m->program, &err)); /* it answers with logits */
  m->program.output = OUTPUT_LABEL;
  assert_int_equal(engine_check(&partial, &m->program, &err), FUSION_E_MODEL);
  assert_non_null(strstr(err.text, "the choice of the largest outputs"));
  model_free(m);
}

/* Both ends of a session on such a program fail with the line, the client's with a peer error. */
static void engine_open__refuses_on_the_channel(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct model *m = random_model("mlp", &seed, 8, 8);
  const struct engine_gate none[GATE_COUNT] = {{0}};
  struct engine empty = engine_clear;
  struct end server, client;
  empty.gates = none;
  run_both(&server, &client, &empty, m, &seed);
  assert_int_equal(server.status, FUSION_E_MODEL);
  assert_int_equal(client.status, FUSION_E_PEER);
  assert_non_null(strstr(channel_error(server.channel)->text, "cannot run linear layers"));
  assert_non_null(strstr(channel_error(client.channel)->text, "cannot run linear layers"));
  end_both(&server, &client);
  model_free(m);
}

static int zero_calls, calls;

static fusion_status count_zero(void *state, const struct gate_call *call) {
  if (call->party->role == ROLE_SERVER) {
    calls++;
    zero_calls += call->zero;
  }
  return clear_gates[GATE_LINEAR].run(state, call);
}

/* The first layer's server share is zeros and said to be; behind a gate none is. */
static void walk__says_where_the_server_has_zeros(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct model *m = random_model("mlp", &seed, 8, 8);
  struct engine_gate gates[GATE_COUNT];
  struct engine counting = engine_clear;
  struct end server, client;
  memcpy(gates, clear_gates, sizeof gates);
  gates[GATE_LINEAR].run = count_zero;
  counting.gates = gates;
  run_both(&server, &client, &counting, m, &seed);
  assert_ok(client.status);
  assert_int_equal(zero_calls, SHARDS);
  assert_int_equal(calls, 3 * SHARDS);
  end_both(&server, &client);
  model_free(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(walk__every_operator_equals_the_executor),
      cmocka_unit_test(walk_memory__is_that_of_live_shares_and_the_gate),
      cmocka_unit_test(engine_check__names_the_layer_of_a_missing_gate),
      cmocka_unit_test(engine_open__refuses_on_the_channel),
      cmocka_unit_test(walk__says_where_the_server_has_zeros),
  };
  return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
