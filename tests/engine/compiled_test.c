/** Compiled networks, with every kind of step, on the cheetah engine: answers equal the executor's bit for bit, also on
 * inputs far outside the calibrated ranges (whatever wraps must wrap alike), at exactly the declared cost. */
#include "engine/engine.h"
#include "execute/execute.h"
#include "model/model_support.h"

enum { SAMPLES = 9 };

struct end {
  const struct model *model;
  struct channel *channel;
  int64_t *inputs, *answers;
  fusion_status status;
};

static void *run_server(void *arg) {
  struct end *e = arg;
  struct engine_session *s = NULL;
  e->status = engine_open_server(&s, engine_find("cheetah"), e->model, e->channel, SAMPLES);
  if (e->status == FUSION_OK) e->status = engine_run_server(s, SAMPLES);
  engine_close(s);
  return NULL;
}

static void *run_client(void *arg) {
  struct end *e = arg;
  struct engine_session *s = NULL;
  e->status = engine_open_client(&s, engine_find("cheetah"), &e->model->program, e->channel, SAMPLES);
  if (e->status == FUSION_OK) e->status = engine_run_client(s, e->inputs, e->answers, SAMPLES);
  engine_close(s);
  return NULL;
}

/** Half of the samples are small, half use all of the input's values. */
static void fill_inputs(const struct program *program, int64_t *inputs, uint64_t *seed) {
  const size_t size = shape_size(program->steps[0].out.shape);
  const unsigned bits = program->steps[0].out.value_bits;
  for (size_t i = 0; i < SAMPLES * size; i++)
    inputs[i] = ring_signed(test_random(seed), i / size % 2 || bits < 4 ? bits : bits - 3);
}

static void check_model(const char *kind, struct model *m, uint64_t *seed) {
  const struct program *program = &m->program;
  const size_t in = shape_size(program->steps[0].out.shape), out = program_answer_size(program), shard = SAMPLES;
  struct end server = {.model = m}, client = {.model = m};
  struct cost cost = {0};
  fusion_error err = {.status = FUSION_OK};
  if (engine_prepare(engine_find("cheetah"), m, &err) != FUSION_OK) fail_msg("%s: %s", kind, err.text);
  client.inputs = mem_alloc(SAMPLES * in, sizeof(int64_t));
  client.answers = mem_alloc(SAMPLES * out, sizeof(int64_t));
  int64_t *expected = mem_alloc(SAMPLES * out, sizeof(int64_t));
  assert_true(client.inputs && client.answers && expected);
  fill_inputs(program, client.inputs, seed);
  assert_ok(channel_pipe(&server.channel, &client.channel));
  test_run_both(run_server, &server, run_client, &client);
  assert_ok(server.status);
  assert_ok(client.status);
  assert_ok(program_execute(m, client.inputs, SAMPLES, expected, NULL));
  for (size_t i = 0; i < SAMPLES * out; i++)
    if (client.answers[i] != expected[i]) fail_msg("%s: answer %zu of sample %zu differs", kind, i % out, i / out);
  assert_ok(engine_cost(engine_find("cheetah"), program, &shard, 1, &cost));
  const struct channel_stats stats = channel_get_stats(client.channel);
  assert_int_equal(stats.bytes_sent, cost.bytes_to_server);
  assert_int_equal(stats.bytes_received, cost.bytes_to_client);
  assert_int_equal(stats.depth, cost.depth_client);
  channel_close(server.channel);
  channel_close(client.channel);
  mem_free(client.inputs);
  mem_free(client.answers);
  mem_free(expected);
}

static void cheetah__compiled_networks_equal_the_executor(void **state) {
  (void)state;
  static const enum program_output outputs[] = {OUTPUT_LOGITS, OUTPUT_LABEL, OUTPUT_TOP_K};
  uint64_t seed = test_seed();
  for (size_t k = 0; network_kinds[k]; k++) {
    struct quantise_options options = quantise_defaults();
    options.weight_bits = options.activation_bits = 8;
    options.output = outputs[k % 3];
    options.top_k = 3;
    struct model *m = random_model_with(network_kinds[k], &seed, &options);
    check_model(network_kinds[k], m, &seed);
    model_free(m);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(cheetah__compiled_networks_equal_the_executor)};
  return cmocka_run_group_tests_name("compiled", tests, NULL, NULL);
}
