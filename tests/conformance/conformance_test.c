/* Every engine of the registry on every operator of the table: whole programs, both parties in one process, answers
 * equal to the plaintext executor's bit for bit, and bytes, messages and depth counted equal to the declared ones. An
 * engine that cannot run a case must refuse it with a line of its own, and the table of refusals in cases.c must say
 * so. */
#include <stdio.h>

#include "conformance/cases.h"
#include "engine/engine.h"
#include "execute/execute.h"
#include "graph/forest.h"
#include "model/model_support.h"
#include "program/operators.h"
#include "support/support.h"

struct end {
  const struct engine *engine;
  const struct model *model;
  struct channel *channel;
  const size_t *shards;
  size_t shard_count, samples;
  int64_t *inputs, *answers;
  fusion_status status;
};

static void *run_server(void *arg) {
  struct end *e = arg;
  struct engine_session *s = NULL;
  e->status = engine_open_server(&s, e->engine, e->model, e->channel, e->samples);
  for (size_t i = 0; i < e->shard_count && e->status == FUSION_OK; i++) e->status = engine_run_server(s, e->shards[i]);
  engine_close(s);
  return NULL;
}

static void *run_client(void *arg) {
  struct end *e = arg;
  const struct program *program = &e->model->program;
  struct engine_session *s = NULL;
  size_t done = 0;
  e->status = engine_open_client(&s, e->engine, program, e->channel, e->samples);
  for (size_t i = 0; i < e->shard_count && e->status == FUSION_OK; done += e->shards[i++])
    e->status = engine_run_client(s, e->inputs + done * shape_size(program->steps[0].out.shape),
                                  e->answers + done * program_answer_size(program), e->shards[i]);
  engine_close(s);
  return NULL;
}

static void assert_declared(const char *name, const struct end *server, const struct end *client) {
  struct cost cost = {0};
  assert_ok(engine_cost(client->engine, &client->model->program, client->shards, client->shard_count, &cost));
  const struct channel_stats cs = channel_get_stats(client->channel), ss = channel_get_stats(server->channel);
  if (cs.bytes_sent != cost.bytes_to_server || cs.bytes_received != cost.bytes_to_client)
    fail_msg("%s, %s: %llu and %llu bytes counted, %llu and %llu declared", client->engine->name, name,
             (unsigned long long)cs.bytes_sent, (unsigned long long)cs.bytes_received,
             (unsigned long long)cost.bytes_to_server, (unsigned long long)cost.bytes_to_client);
  assert_int_equal(cs.messages_sent, cost.messages_to_server);
  assert_int_equal(cs.messages_received, cost.messages_to_client);
  assert_int_equal(cs.depth, cost.depth_client);
  assert_int_equal(ss.depth, cost.depth_server);
}

/** Half of the samples are small, half use all of the input's values. */
static void fill_inputs(const struct program *program, int64_t *inputs, size_t samples, uint64_t *seed) {
  const size_t size = shape_size(program->steps[0].out.shape);
  const unsigned bits = program->steps[0].out.value_bits;
  for (size_t i = 0; i < samples * size; i++)
    inputs[i] = ring_signed(test_random(seed), i / size % 2 || bits < 4 ? bits : bits - 3);
}

static void run_case(const struct engine *engine, const char *name, const struct model *model, const size_t *shards,
                     size_t shard_count, uint64_t *seed) {
  const struct program *program = &model->program;
  size_t samples = 0;
  for (size_t i = 0; i < shard_count; i++) samples += shards[i];
  const size_t in = shape_size(program->steps[0].out.shape), out = program_answer_size(program);
  struct end server = {
      .engine = engine, .model = model, .shards = shards, .shard_count = shard_count, .samples = samples};
  struct end client = server;
  int64_t *expected = mem_alloc(samples * out, sizeof *expected);
  client.inputs = mem_alloc(samples * in, sizeof *client.inputs);
  client.answers = mem_alloc(samples * out, sizeof *client.answers);
  assert_true(expected && client.inputs && client.answers);
  fill_inputs(program, client.inputs, samples, seed);
  assert_ok(channel_pipe(&server.channel, &client.channel));
  test_run_both(run_server, &server, run_client, &client);
  if (server.status != FUSION_OK || client.status != FUSION_OK)
    fail_msg("%s, %s: %s, %s", engine->name, name, channel_error(server.channel)->text,
             channel_error(client.channel)->text);
  assert_ok(program_execute(model, client.inputs, samples, expected, NULL));
  for (size_t i = 0; i < samples * out; i++)
    if (client.answers[i] != expected[i])
      fail_msg("%s, %s: number %zu of answer %zu is %lld, expected %lld", engine->name, name, i % out, i / out,
               (long long)client.answers[i], (long long)expected[i]);
  assert_declared(name, &server, &client);
  channel_close(server.channel);
  channel_close(client.channel);
  mem_free(expected);
  mem_free(client.inputs);
  mem_free(client.answers);
}

/** Prepares and runs, or sees the refusal that the table names. */
static void check_case(const struct engine *engine, const char *name, struct model *model, const size_t *shards,
                       size_t shard_count, uint64_t *seed) {
  fusion_error err = {.status = FUSION_OK};
  const char *refusal = conformance_refusal(engine, name);
  const fusion_status status = engine_prepare(engine, model, &err);
  if (refusal) {
    assert_int_not_equal(status, FUSION_OK);
    assert_non_null(strstr(err.text, refusal));
    return;
  }
  if (status != FUSION_OK) fail_msg("%s refuses '%s': %s", engine->name, name, err.text);
  run_case(engine, name, model, shards, shard_count, seed);
}

static void every_engine__equals_the_executor_on_every_operator(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (size_t e = 0; engine_at(e); e++)
    for (size_t i = 0; i < conformance_case_count; i++) {
      const struct conformance_case *c = &conformance_cases[i];
      struct net n = c->build(test_random(&seed));
      fusion_error err = {.status = FUSION_OK};
      if (program_validate(&n.model->program, &err) != FUSION_OK) fail_msg("%s: %s", c->name, err.text);
      size_t shards = 0;
      while (shards < CONFORMANCE_SHARDS && c->shards[shards]) shards++;
      check_case(engine_at(e), c->name, n.model, c->shards, shards, &seed);
      model_free(n.model);
    }
}

static void every_engine__equals_the_executor_on_compiled_networks(void **state) {
  (void)state;
  static const enum program_output outputs[] = {OUTPUT_LOGITS, OUTPUT_LABEL, OUTPUT_TOP_K};
  uint64_t seed = test_seed();
  for (size_t e = 0; engine_at(e); e++)
    for (size_t k = 0; network_kinds[k]; k++) {
      struct quantise_options options = quantise_defaults();
      options.weight_bits = options.activation_bits = 8;
      options.output = outputs[k % 3];
      options.top_k = 3;
      struct model *m = random_model_with(network_kinds[k], &seed, &options);
      check_case(engine_at(e), network_kinds[k], m, &(const size_t){9}, 1, &seed);
      model_free(m);
    }
}

static struct model *defended_model(const struct defence *d, uint64_t *seed) {
  enum { SAMPLES = 40 };
  struct graph *g = random_network("mlp", seed);
  float *x = random_floats(seed, SAMPLES * shape_size(g->nodes[0].shape), 1);
  struct quantise_options options = quantise_defaults();
  struct quantise_report report;
  struct model *m;
  options.weight_bits = 8;
  options.activation_bits = 12;
  options.defence = *d;
  assert_ok(graph_defend(g, d, &options.defended, &options.classes, NULL));
  graph_refine_rounding(g, d, defence_finer(d));
  assert_ok(graph_relax_limits(g, x, SAMPLES));
  assert_ok(quantise_graph(&m, g, x, SAMPLES, &options, &report, NULL));
  mem_free(report.steps);
  mem_free(x);
  graph_free(g);
  return m;
}

static void every_engine__equals_the_executor_on_defences(void **state) {
  (void)state;
  static const struct defence defences[] = {{.kind = DEFENCE_REVERSE_SIGMOID, .beta = 0.7, .gamma = 0.2},
                                            {.kind = DEFENCE_ROUND, .digits = 2}};
  uint64_t seed = test_seed();
  for (size_t e = 0; engine_at(e); e++)
    for (size_t k = 0; k < sizeof defences / sizeof defences[0]; k++) {
      struct model *m = defended_model(&defences[k], &seed);
      check_case(engine_at(e), "defences", m, &(const size_t){9}, 1, &seed);
      model_free(m);
    }
}

/* Trees of depth two on four features: the first decision of each leads to the second or the third. */
static struct graph *forest_network(uint64_t *seed) {
  enum { TREES = 3, FEATURES = 4, EACH = 7, OUTPUTS = 2 };
  struct graph *g = graph_alloc();
  struct forest_shape shape;
  const char *why;
  uint32_t x;
  float values[TREES * 4 * OUTPUTS], base[OUTPUTS] = {0.5F, -1};
  uint32_t roots[TREES];
  struct forest_node nodes[TREES * EACH];
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) values[i] = random_unit(seed);
  for (uint32_t t = 0; t < TREES; t++) {
    struct forest_node *n = nodes + t * EACH;
    roots[t] = t * EACH;
    for (uint32_t k = 0; k < EACH; k++)
      n[k] = (struct forest_node){.leaf = k > 2,
                                  .row = t * 4 + (k > 2 ? k - 3 : 0),
                                  .feature = (uint32_t)(test_random(seed) % FEATURES),
                                  .at = random_unit(seed),
                                  .at_least = test_random(seed) & 1,
                                  .hit = t * EACH + 2 * k + 1,
                                  .miss = t * EACH + 2 * k + 2};
  }
  const struct forest f = {.nodes = nodes,
                           .values = values,
                           .base = base,
                           .roots = roots,
                           .node_count = TREES * EACH,
                           .rows = TREES * 4,
                           .trees = TREES,
                           .outputs = OUTPUTS};
  assert_ok(graph_add_input(g, (struct shape){FEATURES, 1, 1}, &x));
  assert_ok(forest_add(g, x, &f, &shape, &x, &why));
  return g;
}

static void every_engine__equals_the_executor_on_compiled_trees(void **state) {
  (void)state;
  enum { SAMPLES = 40, FEATURES = 4 };
  uint64_t seed = test_seed();
  struct quantise_options options = quantise_defaults();
  options.weight_bits = options.activation_bits = 10;
  for (size_t e = 0; engine_at(e); e++) {
    struct graph *g = forest_network(&seed);
    float *x = random_floats(&seed, SAMPLES * FEATURES, 1);
    struct quantise_report report;
    struct model *m;
    options.output = e % 2 ? OUTPUT_LABEL : OUTPUT_LOGITS;
    assert_ok(quantise_graph(&m, g, x, SAMPLES, &options, &report, NULL));
    check_case(engine_at(e), "trees", m, &(const size_t){11}, 1, &seed);
    mem_free(report.steps);
    mem_free(x);
    model_free(m);
    graph_free(g);
  }
}

/** A new operator without a case fails here. */
static void cases__have_every_operator_and_every_answer(void **state) {
  (void)state;
  bool has_output[OUTPUT_TOP_K + 1] = {false}, has_op[256] = {false};
  for (size_t i = 0; i < conformance_case_count; i++) {
    struct net n = conformance_cases[i].build(1);
    const struct program *p = &n.model->program;
    for (uint32_t k = 0; k < p->count; k++) has_op[p->steps[k].op] = true;
    has_output[p->output] = true;
    model_free(n.model);
  }
  for (unsigned op = 0; op < 256; op++)
    if (program_operator((enum program_op)op) && !has_op[op])
      fail_msg("operator '%s' has no case in tests/conformance/cases.c", program_operator((enum program_op)op)->name);
  for (unsigned o = 0; o <= OUTPUT_TOP_K; o++) assert_true(has_output[o]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cases__have_every_operator_and_every_answer),
      cmocka_unit_test(every_engine__equals_the_executor_on_every_operator),
      cmocka_unit_test(every_engine__equals_the_executor_on_compiled_networks),
      cmocka_unit_test(every_engine__equals_the_executor_on_compiled_trees),
      cmocka_unit_test(every_engine__equals_the_executor_on_defences),
  };
  return cmocka_run_group_tests_name("conformance", tests, NULL, NULL);
}
