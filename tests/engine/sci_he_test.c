/* What is sci-he's own: rings that one plaintext modulus cannot hold, rotation keys, refusals. That its answers and
 * costs are right is tests/conformance's. */
#include "engine/sci_he/sci_he.h"

#include "conformance/cases.h"
#include "execute/execute.h"
#include "support/support.h"

struct end {
  const struct model *model;
  struct channel *channel;
  size_t samples;
  const int64_t *inputs;
  int64_t *answers;
  fusion_status status;
};

static void *run_server(void *arg) {
  struct end *e = arg;
  struct engine_session *s = NULL;
  e->status = engine_open_server(&s, &engine_sci_he, e->model, e->channel, e->samples);
  if (e->status == FUSION_OK) e->status = engine_run_server(s, e->samples);
  engine_close(s);
  return NULL;
}

static void *run_client(void *arg) {
  struct end *e = arg;
  struct engine_session *s = NULL;
  e->status = engine_open_client(&s, &engine_sci_he, &e->model->program, e->channel, e->samples);
  if (e->status == FUSION_OK) e->status = engine_run_client(s, e->inputs, e->answers, e->samples);
  engine_close(s);
  return NULL;
}

static void expect_equal(const struct model *model, size_t samples, uint64_t *random) {
  const struct program *program = &model->program;
  const size_t in = shape_size(program->steps[0].out.shape), out = program_answer_size(program);
  int64_t *inputs = mem_alloc(samples * in, sizeof *inputs), *answers = mem_alloc(samples * out, sizeof *answers);
  int64_t *expected = mem_alloc(samples * out, sizeof *expected);
  assert_true(inputs && answers && expected);
  for (size_t i = 0; i < samples * in; i++)
    inputs[i] = ring_signed(test_random(random), program->steps[0].out.value_bits);
  struct end server = {.model = model, .samples = samples}, client = server;
  client.inputs = inputs;
  client.answers = answers;
  assert_ok(channel_pipe(&server.channel, &client.channel));
  test_run_both(run_server, &server, run_client, &client);
  assert_ok(server.status);
  assert_ok(client.status);
  assert_ok(program_execute(model, inputs, samples, expected, NULL));
  assert_memory_equal(answers, expected, samples * out * sizeof *answers);
  channel_close(server.channel);
  channel_close(client.channel);
  mem_free(inputs);
  mem_free(answers);
  mem_free(expected);
}

static void sci_he__wide_rings_run_in_pieces(void **state) {
  (void)state;
  static const struct { uint8_t ring, weights, pieces; } cases[] = {{22, 8, 1}, {44, 12, 2}, {57, 14, 3}};
  uint64_t random = test_seed();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct shape out = {7, 1, 1};
    struct net n = net_open((struct shape){40, 1, 1}, 60, 20, test_random(&random));
    net_linear(&n, 0, out, net_dense, 1, cases[i].ring, cases[i].weights);
    net_add(&n, OP_TRUNCATE, 1, out, cases[i].ring, cases[i].ring)->shift = 3;
    struct engine_layout layout;
    assert_ok(engine_layout_open(&layout, &engine_sci_he, &n.model->program, 3, NULL));
    assert_int_equal(sci_he_own(&layout)->pieces[1], cases[i].pieces);
    const unsigned last = cases[i].pieces - 1u;
    const struct sci_he_piece piece = sci_he_piece(&layout, 1, last);
    assert_int_equal(piece.shift + piece.layer.ring_bits, cases[i].ring);
    engine_layout_close(&layout);
    expect_equal(n.model, 3, &random);
    model_free(n.model);
  }
}

/* A second shard of the same size finds all keys there; another size needs others. */
static void sci_he__rotation_keys_are_sent_once(void **state) {
  (void)state;
  struct net n = conformance_net("mlp", 1);
  uint64_t bytes[3];
  for (size_t count = 1; count <= 3; count++) {
    const size_t shards[] = {7, 7, 100};
    struct engine_layout layout;
    struct cost cost = {0};
    assert_ok(engine_layout_open(&layout, &engine_sci_he, &n.model->program, 114, NULL));
    sci_he_open_cost(&layout, &cost);
    const struct cost opened = cost;
    for (size_t i = 0; i < count; i++) engine_run_cost(&cost, &layout, shards[i]);
    bytes[count - 1] = cost.bytes_to_server - opened.bytes_to_server;
    engine_layout_close(&layout);
  }
  const uint64_t key = (uint64_t)12 * SLOTS_N * SLOTS_PRIME_BITS / 8;
  assert_true(bytes[0] > 2 * key);
  assert_true(bytes[1] - bytes[0] < bytes[0] - key);
  assert_true(bytes[2] - bytes[1] > key);
  model_free(n.model);
}

static void expect_refused(const struct net *n, const char *line) {
  fusion_error err = {.status = FUSION_OK};
  const size_t one = 1;
  struct cost cost = {0};
  assert_int_equal(engine_check(&engine_sci_he, &n->model->program, &err), FUSION_E_MODEL);
  assert_string_equal(err.text, line);
  assert_int_equal(engine_cost(&engine_sci_he, &n->model->program, &one, 1, &cost), FUSION_E_MODEL);
  assert_true(engine_memory(&engine_sci_he, &n->model->program, 1, ROLE_CLIENT) == SIZE_MAX);
  model_free(n->model);
}

static void sci_he__refuses_what_slots_cannot_pack(void **state) {
  (void)state;
  const struct shape wide = {1, 1, 5000};
  struct net n = net_open(wide, 20, 8, 1);
  net_linear(&n, 0, wide, (struct window){1, 1, 1, 1, 0, 0, 0, 0, 1, 1}, 1, 20, 4);
  expect_refused(&n, "layer 'step1': its image is wider than a row of slots (4096); use another engine");
  n = net_open((struct shape){1, 70, 70}, 20, 8, 1);
  net_linear(&n, 0, (struct shape){1, 5, 5}, (struct window){66, 66, 1, 1, 0, 0, 0, 0, 1, 1}, 1, 20, 4);
  expect_refused(&n, "layer 'step1': its window is too large for packing in slots; use another engine");
}

static void sci_he__refuses_traffic_above_its_limit(void **state) {
  (void)state;
  const struct shape s = {64, 1024, 1024};
  fusion_error err = {.status = FUSION_OK};
  struct net n = net_open(s, 20, 8, 1);
  for (uint32_t i = 0; i < 6; i += 2) {
    net_linear(&n, i, s, net_dense, 1, 20, 4);
    net_add(&n, OP_TRUNCATE, i + 1, s, 20, 8)->shift = 8;
  }
  assert_int_equal(engine_check(&engine_sci_he, &n.model->program, &err), FUSION_E_MODEL);
  assert_non_null(strstr(err.text, "layer 'step1': it takes "));
  assert_non_null(strstr(err.text, "where the sci-he engine takes 4 at most; use another engine (cheetah)"));
  model_free(n.model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sci_he__wide_rings_run_in_pieces),
      cmocka_unit_test(sci_he__rotation_keys_are_sent_once),
      cmocka_unit_test(sci_he__refuses_what_slots_cannot_pack),
      cmocka_unit_test(sci_he__refuses_traffic_above_its_limit),
  };
  return cmocka_run_group_tests_name("sci_he", tests, NULL, NULL);
}
