/* Runs prepared ahead of the input, for every engine that can: whole programs, answers equal to the plaintext
 * executor's bit for bit; bytes, messages, depth and the states' lengths equal to the declared ones. */
#include "base/memory_stream.h"
#include "conformance/cases.h"
#include "engine/engine.h"
#include "execute/execute.h"
#include "program/operators.h"
#include "support/support.h"

/* One party through all its runs of a phase. */
struct end {
  struct engine_opening opening;
  const size_t *shards;
  size_t shard_count;
  struct memory_stream *states; /* a shard each */
  const int64_t *inputs;
  int64_t *answers;
  fusion_status status;
};

static fusion_status run_shard(struct end *e, struct engine_session *s, size_t shard, size_t done) {
  const struct program *program = e->opening.program;
  const size_t samples = e->shards[shard];
  const struct byte_stream *stream = &e->states[shard].stream;
  if (e->opening.phase == ENGINE_AHEAD) return engine_prepare_run(s, samples, stream);
  if (e->opening.weights) return engine_run_prepared_server(s, samples, stream);
  return engine_run_prepared_client(s, e->inputs + done * shape_size(program->steps[0].out.shape),
                                    e->answers + done * program_answer_size(program), samples, stream);
}

static void *run_end(void *arg) {
  struct end *e = arg;
  struct engine_session *s = NULL;
  size_t done = 0;
  e->status = engine_open(&s, &e->opening);
  for (size_t i = 0; i < e->shard_count && e->status == FUSION_OK; done += e->shards[i++])
    e->status = run_shard(e, s, i, done);
  engine_close(s);
  return NULL;
}

static void assert_declared(const char *name, const struct end *server, const struct end *client) {
  struct cost cost = {0};
  const struct engine_opening *o = &client->opening;
  assert_ok(engine_phase_cost(o->engine, o->phase, o->program, client->shards, client->shard_count, &cost));
  const struct channel_stats cs = channel_get_stats(o->channel), ss = channel_get_stats(server->opening.channel);
  if (cs.bytes_sent != cost.bytes_to_server || cs.bytes_received != cost.bytes_to_client)
    fail_msg("%s, %s, phase %d: %llu and %llu bytes counted, %llu and %llu declared", o->engine->name, name,
             (int)o->phase, (unsigned long long)cs.bytes_sent, (unsigned long long)cs.bytes_received,
             (unsigned long long)cost.bytes_to_server, (unsigned long long)cost.bytes_to_client);
  assert_int_equal(cs.messages_sent, cost.messages_to_server);
  assert_int_equal(cs.messages_received, cost.messages_to_client);
  assert_int_equal(cs.depth, cost.depth_client);
  assert_int_equal(ss.depth, cost.depth_server);
  if (o->phase != ENGINE_AHEAD) return;
  size_t kept[2] = {0};
  for (size_t i = 0; i < client->shard_count; i++) {
    kept[0] += server->states[i].len;
    kept[1] += client->states[i].len;
  }
  assert_int_equal(kept[0], cost.prepared_server);
  assert_int_equal(kept[1], cost.prepared_client);
}

static void run_phase(const char *name, struct end *server, struct end *client, enum engine_phase phase) {
  server->opening.phase = client->opening.phase = phase;
  assert_ok(channel_pipe(&server->opening.channel, &client->opening.channel));
  test_run_both(run_end, server, run_end, client);
  if (server->status != FUSION_OK || client->status != FUSION_OK)
    fail_msg("%s, %s, phase %d: %d %s, %d %s", server->opening.engine->name, name, (int)phase, server->status,
             channel_error(server->opening.channel)->text, client->status,
             channel_error(client->opening.channel)->text);
  assert_declared(name, server, client);
  channel_close(server->opening.channel);
  channel_close(client->opening.channel);
}

static void check_case(const struct engine *engine, const char *name, struct model *model, const size_t *shards,
                       uint64_t *seed) {
  const struct program *program = &model->program;
  struct memory_stream states[2][CONFORMANCE_SHARDS];
  size_t samples = 0, count = 0;
  const fusion_status status = engine_prepare(engine, model, NULL);
  if (conformance_refusal(engine, name)) {
    assert_int_equal(status, FUSION_E_MODEL);
    return;
  }
  assert_ok(status);
  for (; count < CONFORMANCE_SHARDS && shards[count]; count++) {
    samples += shards[count];
    memory_stream_open(&states[0][count]);
    memory_stream_open(&states[1][count]);
  }
  const size_t in = samples * shape_size(program->steps[0].out.shape), out = samples * program_answer_size(program);
  int64_t *inputs = mem_alloc(in, sizeof *inputs), *answers = mem_alloc(out, sizeof *answers);
  int64_t *expected = mem_alloc(out, sizeof *expected);
  for (size_t i = 0; i < in; i++) inputs[i] = ring_signed(test_random(seed), program->steps[0].out.value_bits);
  struct end server = {.opening = {.engine = engine, .program = program, .weights = model->weights},
                       .shards = shards,
                       .shard_count = count,
                       .states = states[0]};
  struct end client = {.opening = {.engine = engine, .program = program},
                       .shards = shards,
                       .shard_count = count,
                       .states = states[1],
                       .inputs = inputs,
                       .answers = answers};
  server.opening.expected_samples = client.opening.expected_samples = samples;
  run_phase(name, &server, &client, ENGINE_AHEAD);
  run_phase(name, &server, &client, ENGINE_ONLINE);
  assert_ok(program_execute(model, inputs, samples, expected, NULL));
  for (size_t i = 0; i < out; i++)
    if (answers[i] != expected[i])
      fail_msg("%s, %s: number %zu is %lld, expected %lld", engine->name, name, i, (long long)answers[i],
               (long long)expected[i]);
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(states[0][i].at, states[0][i].len); /* nothing is left */
    assert_int_equal(states[1][i].at, states[1][i].len);
    memory_stream_close(&states[0][i]);
    memory_stream_close(&states[1][i]);
  }
  mem_free(inputs);
  mem_free(answers);
  mem_free(expected);
}

static void engines_that_run_ahead__equal_the_executor(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  size_t engines = 0;
  for (size_t e = 0; engine_at(e); e++) {
    engines += engine_runs_ahead(engine_at(e));
    for (size_t i = 0; engine_runs_ahead(engine_at(e)) && i < conformance_case_count; i++) {
      const struct conformance_case *c = &conformance_cases[i];
      struct net n = c->build(test_random(&seed));
      assert_ok(program_validate(&n.model->program, NULL));
      check_case(engine_at(e), c->name, n.model, c->shards, &seed);
      model_free(n.model);
    }
  }
  assert_true(engines > 0);
}

/* A server that alters what it keeps (macs, tables, shares, numbers of hashes) sends other choices and gets other
 * shares. The client goes on as ever: it ends well and sends as many bytes (run_phase checks them); only its answers
 * may be others. */
static void a_server_that_alters_its_state__changes_answers_alone(void **state) {
  (void)state;
  enum { TRIES = 60 };
  uint64_t seed = test_seed(), wrong = 0;
  const size_t shards[CONFORMANCE_SHARDS] = {3};
  struct net n = conformance_net("mlp", 1);
  const struct program *program = &n.model->program;
  const size_t in = shards[0] * shape_size(program->steps[0].out.shape), out = shards[0] * program_answer_size(program);
  int64_t *inputs = mem_alloc(in, sizeof *inputs), *answers = mem_alloc(out, sizeof *answers);
  int64_t *expected = mem_alloc(out, sizeof *expected);
  assert_ok(engine_prepare(engine_find("delphi"), n.model, NULL));
  assert_ok(program_execute(n.model, inputs, shards[0], expected, NULL));
  for (unsigned i = 0; i < TRIES; i++) {
    struct memory_stream states[2];
    memory_stream_open(&states[0]);
    memory_stream_open(&states[1]);
    struct end server = {.opening = {.engine = engine_find("delphi"), .program = program, .weights = n.model->weights},
                         .shards = shards,
                         .shard_count = 1,
                         .states = &states[0]};
    struct end client = {.opening = {.engine = engine_find("delphi"), .program = program},
                         .shards = shards,
                         .shard_count = 1,
                         .states = &states[1],
                         .inputs = inputs,
                         .answers = answers};
    run_phase("mlp", &server, &client, ENGINE_AHEAD);
    states[0].data[i < 16 ? i : test_random(&seed) % states[0].len] ^= (uint8_t)(1u << i % 8);
    run_phase("mlp", &server, &client, ENGINE_ONLINE);
    wrong += memcmp(answers, expected, out * sizeof *answers) != 0;
    memory_stream_close(&states[0]);
    memory_stream_close(&states[1]);
  }
  assert_true(wrong > 16); /* all numbers of hashes, and more */
  mem_free(inputs);
  mem_free(answers);
  mem_free(expected);
  model_free(n.model);
}

static void engines_that_do_not__refuse(void **state) {
  (void)state;
  struct net n = conformance_net("mlp", 1);
  fusion_error err = {.status = FUSION_OK};
  struct engine_layout layout;
  const struct engine *sci_ot = engine_find("sci-ot");
  assert_false(engine_runs_ahead(sci_ot));
  assert_ok(engine_prepare(sci_ot, n.model, NULL));
  assert_int_equal(engine_layout_open_phase(&layout, sci_ot, ENGINE_ONLINE, &n.model->program, 1, &err),
                   FUSION_E_UNSUPPORTED);
  assert_string_equal(err.text, "the sci-ot engine cannot prepare runs ahead; use cheetah or delphi");
  model_free(n.model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(engines_that_run_ahead__equal_the_executor),
      cmocka_unit_test(a_server_that_alters_its_state__changes_answers_alone),
      cmocka_unit_test(engines_that_do_not__refuse),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
