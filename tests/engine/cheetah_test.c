/* Whole programs through the cheetah engine, both parties in one process: every answer equals the plaintext executor's
 * bit for bit, and the counted bytes, messages and depth equal the declared ones. */
#include "engine/cheetah/cheetah.h"
#include "execute/execute.h"
#include "program/program_section.h"
#include "support/net.h"
#include "support/support.h"

static struct net net_mlp(uint64_t seed) {
  struct net n = net_open((struct shape){50, 1, 1}, 24, 8, seed);
  net_linear(&n, 0, (struct shape){33, 1, 1}, net_dense, 1, 22, 8);
  net_add(&n, OP_RELU, 1, (struct shape){33, 1, 1}, 20, 8)->shift = 10;
  net_linear(&n, 2, (struct shape){10, 1, 1}, net_dense, 1, 20, 8);
  net_add(&n, OP_TRUNCATE, 3, (struct shape){10, 1, 1}, 20, 18)->shift = 3;
  return n;
}

static struct net net_cnn(uint64_t seed) {
  struct net n = net_open((struct shape){3, 9, 8}, 26, 8, seed);
  net_linear(&n, 0, (struct shape){6, 9, 8}, (struct window){3, 3, 1, 1, 1, 1, 1, 1, 1, 1}, 3, 24, 8);
  net_add(&n, OP_RELU, 1, (struct shape){6, 9, 8}, 26, 15)->shift = 10;
  struct program_step *pool = net_add(&n, OP_MAXPOOL, 2, (struct shape){6, 5, 4}, 26, 15);
  pool->window = (struct window){3, 2, 2, 2, 1, 0, 1, 0, 1, 1};
  net_linear(&n, 3, (struct shape){8, 3, 2}, (struct window){3, 3, 2, 2, 1, 1, 1, 1, 1, 1}, 1, 26, 9);
  net_add(&n, OP_RELU, 4, (struct shape){8, 3, 2}, 25, 12)->shift = 9;
  struct program_step *sum = net_add(&n, OP_SUMPOOL, 5, (struct shape){8, 1, 1}, 25, 15);
  sum->window = (struct window){3, 2, 1, 1, 0, 0, 0, 0, 1, 1};
  net_linear(&n, 6, (struct shape){10, 1, 1}, net_dense, 1, 25, 12);
  net_add(&n, OP_TRUNCATE, 7, (struct shape){10, 1, 1}, 22, 21)->shift = 4;
  n.model->program.output = OUTPUT_LABEL;
  return n;
}

/* Signed values of one bit more than the pool declares: differences wrap, and both sides wrap alike. A Relu behind. */
static struct net net_wrapping_pool(uint64_t seed) {
  struct net n = net_open((struct shape){3, 9, 8}, 26, 8, seed);
  net_linear(&n, 0, (struct shape){6, 9, 8}, (struct window){3, 3, 1, 1, 1, 1, 1, 1, 1, 1}, 3, 17, 8);
  net_add(&n, OP_TRUNCATE, 1, (struct shape){6, 9, 8}, 9, 8)->shift = 8;
  struct program_step *pool = net_add(&n, OP_MAXPOOL, 2, (struct shape){6, 4, 3}, 9, 9);
  pool->window = (struct window){3, 3, 2, 2, 0, 0, 0, 0, 1, 1};
  net_add(&n, OP_RELU, 3, (struct shape){6, 4, 3}, 20, 9);
  net_linear(&n, 4, (struct shape){10, 1, 1}, (struct window){4, 3, 1, 1, 0, 0, 0, 0, 1, 1}, 1, 20, 8);
  net_add(&n, OP_TRUNCATE, 5, (struct shape){10, 1, 1}, 20, 19)->shift = 1;
  return n;
}

/* Two raw branches and a shifted clean one; a rearrangement that crosses channels. */
static struct net net_residual(uint64_t seed) {
  const struct shape s = {4, 6, 6};
  const struct window same = {3, 3, 1, 1, 1, 1, 1, 1, 1, 1};
  struct net n = net_open(s, 28, 8, seed);
  net_linear(&n, 0, s, same, 1, 24, 8);
  net_linear(&n, 0, s, net_dense, 1, 24, 10);
  struct program_step *add = net_add(&n, OP_ADD, 1, s, 24, 24);
  add->inputs[1] = 2;
  add->out.raw = true;
  net_add(&n, OP_RELU, 3, s, 28, 12)->shift = 8;
  net_linear(&n, 4, s, same, 1, 27, 8);
  add = net_add(&n, OP_ADD, 5, s, 27, 27);
  add->inputs[1] = 4;
  add->shift_left[1] = 6;
  add->out.raw = true;
  net_add(&n, OP_RELU, 6, s, 24, 20)->shift = 0;
  struct program_step *gather = net_add(&n, OP_GATHER, 7, (struct shape){30, 1, 1}, 24, 20);
  gather->gather = mem_alloc(30, sizeof *gather->gather);
  for (uint32_t i = 0; i < 30; i++)
    gather->gather[i] = i % 7 ? (struct gather_source){0, i * 4} : (struct gather_source){GATHER_ZERO, 0};
  return n;
}

static struct net net_quadratic(uint64_t seed) {
  struct net n = net_open((struct shape){40, 1, 1}, 30, 9, seed);
  net_linear(&n, 0, (struct shape){20, 1, 1}, net_dense, 1, 26, 8);
  net_add(&n, OP_TRUNCATE, 1, (struct shape){20, 1, 1}, 30, 12)->shift = 12;
  net_add(&n, OP_MUL, 2, (struct shape){20, 1, 1}, 30, 24);
  net_linear(&n, 3, (struct shape){7, 1, 1}, net_dense, 1, 30, 8);
  net_add(&n, OP_TRUNCATE, 4, (struct shape){7, 1, 1}, 25, 22)->shift = 8;
  net_add(&n, OP_TRUNCATE, 1, (struct shape){20, 1, 1}, 30, 14)->shift = 10;
  struct program_step *product = net_add(&n, OP_MUL, 2, (struct shape){20, 1, 1}, 30, 24);
  product->inputs[1] = 6;
  net_linear(&n, 7, (struct shape){7, 1, 1}, net_dense, 1, 30, 8);
  net_add(&n, OP_TRUNCATE, 8, (struct shape){7, 1, 1}, 25, 22)->shift = 8;
  struct program_step *add = net_add(&n, OP_ADD, 5, (struct shape){7, 1, 1}, 25, 23);
  add->inputs[1] = 9;
  n.model->program.output = OUTPUT_TOP_K;
  n.model->program.top_k = 3;
  return n;
}

/* A clipped activation, c - relu(c - relu(x)), and an offset of the client's input, where the server's share is zero.
 */
static struct net net_clip(uint64_t seed) {
  const struct shape s = {5, 4, 3};
  struct net n = net_open(s, 26, 8, seed);
  net_offset(&n, 0, s, false, 24, 9);
  net_linear(&n, 1, s, net_dense, 1, 23, 8);
  net_add(&n, OP_RELU, 2, s, 24, 13)->shift = 9;
  net_offset(&n, 3, s, true, 14, 14);
  net_add(&n, OP_RELU, 4, s, 22, 14);
  net_offset(&n, 5, s, true, 20, 15);
  net_linear(&n, 6, s, net_dense, 5, 20, 6);
  net_add(&n, OP_TRUNCATE, 7, s, 16, 14)->shift = 4;
  return n;
}

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
  const struct engine *engine = e->engine;
  struct engine_session *s = NULL;
  e->status = engine_open_server(&s, engine, e->model, e->channel, e->samples);
  for (size_t i = 0; i < e->shard_count && e->status == FUSION_OK; i++) e->status = engine_run_server(s, e->shards[i]);
  engine_close(s);
  return NULL;
}

static void *run_client(void *arg) {
  struct end *e = arg;
  const struct engine *engine = e->engine;
  const struct program *program = &e->model->program;
  struct engine_session *s = NULL;
  size_t done = 0;
  e->status = engine_open_client(&s, engine, program, e->channel, e->samples);
  for (size_t i = 0; i < e->shard_count && e->status == FUSION_OK; done += e->shards[i++])
    e->status = engine_run_client(s, e->inputs + done * shape_size(program->steps[0].out.shape),
                                  e->answers + done * program_answer_size(program), e->shards[i]);
  engine_close(s);
  return NULL;
}

static void assert_declared(const struct program *program, const struct end *server, const struct end *client) {
  struct cost cost = {0};
  assert_ok(engine_cost(client->engine, program, client->shards, client->shard_count, &cost));
  const struct channel_stats cs = channel_get_stats(client->channel), ss = channel_get_stats(server->channel);
  assert_int_equal(cs.bytes_sent, cost.bytes_to_server);
  assert_int_equal(cs.bytes_received, cost.bytes_to_client);
  assert_int_equal(cs.messages_sent, cost.messages_to_server);
  assert_int_equal(cs.messages_received, cost.messages_to_client);
  assert_int_equal(cs.depth, cost.depth_client);
  assert_int_equal(ss.depth, cost.depth_server);
}

static void check_engine(const char *name, struct net n, const size_t *shards, size_t shard_count) {
  struct program *program = &n.model->program;
  fusion_error err = {0};
  size_t samples = 0;
  for (size_t i = 0; i < shard_count; i++) samples += shards[i];
  const size_t in_size = shape_size(program->steps[0].out.shape), out_size = program_answer_size(program);
  if (program_validate(program, &err) != FUSION_OK) fail_msg("%s", err.text);
  const struct engine *engine = engine_find(name);
  if (engine_prepare(engine, n.model, &err) != FUSION_OK) fail_msg("%s", err.text);
  struct end server = {
      .engine = engine, .model = n.model, .shards = shards, .shard_count = shard_count, .samples = samples};
  struct end client = server;
  client.inputs = mem_alloc(samples * in_size, sizeof(int64_t));
  client.answers = mem_alloc(samples * out_size, sizeof(int64_t));
  for (size_t i = 0; i < samples * in_size; i++)
    client.inputs[i] = ring_signed(test_random(&n.seed), program->steps[0].out.value_bits);
  assert_ok(channel_pipe(&server.channel, &client.channel));
  test_run_both(run_server, &server, run_client, &client);
  assert_ok(server.status);
  assert_ok(client.status);
  int64_t *expected = mem_alloc(samples * out_size, sizeof(int64_t));
  assert_ok(program_execute(n.model, client.inputs, samples, expected, NULL));
  assert_memory_equal(client.answers, expected, samples * out_size * sizeof(int64_t));
  assert_declared(program, &server, &client);
  channel_close(server.channel);
  channel_close(client.channel);
  mem_free(expected);
  mem_free(client.inputs);
  mem_free(client.answers);
  model_free(n.model);
}

static void check_net(struct net n, const size_t *shards, size_t shard_count) {
  check_engine("cheetah", n, shards, shard_count);
}

static struct net net_wide(uint64_t seed) {
  struct net n = net_open((struct shape){8, 1, 1}, 20, 8, seed);
  net_linear(&n, 0, (struct shape){256, 1, 1}, net_dense, 1, 20, 8);
  net_add(&n, OP_RELU, 1, (struct shape){256, 1, 1}, 18, 12)->shift = 8;
  net_linear(&n, 2, (struct shape){4, 1, 1}, net_dense, 1, 18, 8);
  net_add(&n, OP_TRUNCATE, 3, (struct shape){4, 1, 1}, 18, 16)->shift = 2;
  return n;
}

/* So many correlations that the set of slow links takes over; it moves less. */
static void cheetah__tuned_for_slow_links_equals_the_executor(void **state) {
  (void)state;
  const size_t shards[] = {300, 700};
  struct net n = net_wide(1);
  struct cost usual = {0}, slow = {0};
  assert_ok(engine_prepare(engine_find("cheetah"), n.model, NULL));
  assert_ok(engine_cost(engine_find("cheetah"), &n.model->program, shards, 2, &usual));
  assert_ok(engine_cost(engine_find("cheetah-wan"), &n.model->program, shards, 2, &slow));
  assert_true(slow.bytes_to_client + slow.bytes_to_server <
              usual.bytes_to_client + usual.bytes_to_server - (UINT64_C(200) << 10));
  assert_int_equal(slow.cots_server_sends, usual.cots_server_sends);
  model_free(n.model);
  check_engine("cheetah-wan", net_wide(test_seed()), shards, 2);
}

static void engine__variants_of_one_family_are_served(void **state) {
  (void)state;
  const struct engine *cheetah = engine_find("cheetah"), *wan = engine_find("cheetah-wan");
  assert_ptr_equal(engine_variant(cheetah, "cheetah"), cheetah);
  assert_ptr_equal(engine_variant(cheetah, "cheetah-wan"), wan);
  assert_ptr_equal(engine_variant(wan, "cheetah"), cheetah);
  assert_null(engine_variant(cheetah, "nonsense"));
  const struct engine alone = {.name = "alone", .family = "alone"};
  assert_ptr_equal(engine_variant(&alone, "alone"), &alone);
  assert_null(engine_variant(&alone, "cheetah"));
}

/* What the shares carry below the values follows from the additions alone. */
static void cheetah_layout__finds_noise_terms_and_guards(void **state) {
  (void)state;
  static const uint8_t terms[] = {0, 1, 1, 2, 0, 1, 1, 0, 0}, guards[] = {0, 3, 3, 3, 0, 2, 2, 0, 0};
  struct net n = net_residual(1);
  struct engine_layout layout;
  assert_ok(engine_prepare(&engine_cheetah, n.model, NULL));
  assert_ok(engine_layout_open(&layout, &engine_cheetah, &n.model->program, 1, NULL));
  assert_int_equal(n.model->program.count, sizeof terms);
  assert_memory_equal(cheetah_own(&layout)->terms, terms, sizeof terms);
  assert_memory_equal(layout.guard_bits, guards, sizeof guards);
  engine_layout_close(&layout);
  model_free(n.model);
}

static void expect_refused(const struct program *program, const char *text) {
  fusion_error err = {.status = FUSION_OK};
  const size_t one = 1;
  struct cost cost = {0};
  assert_int_equal(engine_check(&engine_cheetah, program, &err), FUSION_E_MODEL);
  if (!strstr(err.text, text)) fail_msg("'%s' lacks '%s'", err.text, text);
  assert_int_equal(engine_cost(&engine_cheetah, program, &one, 1, &cost), FUSION_E_MODEL);
  assert_true(engine_memory(&engine_cheetah, program, 1, ROLE_CLIENT) == SIZE_MAX);
}

/* The section of a program comes from the peer or a file. */
static void cheetah_layout__hostile_sections_are_refused(void **state) {
  (void)state;
  struct net n = net_mlp(1);
  struct program *p = &n.model->program;
  expect_refused(p, "this model was not prepared for the cheetah engine; compile it again (--engine cheetah)");
  assert_ok(engine_prepare(&engine_cheetah, n.model, NULL));
  assert_ok(engine_check(&engine_cheetah_wan, p, NULL));
  uint8_t sets[3] = {0};
  assert_int_equal(program_find_section(p, "cheetah")->len, 2);
  memcpy(sets, program_find_section(p, "cheetah")->data, 2);
  for (unsigned first = 0; first <= UINT8_MAX; first++) { /* whatever it accepts, it can predict */
    const uint8_t changed[] = {(uint8_t)first, sets[1]};
    const size_t one = 1;
    struct cost cost = {0};
    assert_ok(program_set_section(p, "cheetah", changed, sizeof changed));
    const fusion_status status = engine_check(&engine_cheetah, p, NULL);
    assert_int_equal(engine_cost(&engine_cheetah, p, &one, 1, &cost), status);
    if (!rlwe_set_id((uint8_t)first)) expect_refused(p, "layer 'step1': its encryption parameters do not fit");
  }
  assert_ok(program_set_section(p, "cheetah", sets, 1));
  expect_refused(p, "layer 'step3': its encryption parameters do not fit");
  assert_ok(program_set_section(p, "cheetah", sets, 3));
  expect_refused(p, "damaged");
  assert_ok(program_set_section(p, "cheetah", sets, 2));
  assert_ok(engine_check(&engine_cheetah, p, NULL));
  model_free(n.model);
}

/* x + x, again and again: the noise terms double each time. */
static void cheetah_layout__bounds_noise_terms(void **state) {
  (void)state;
  const struct shape s = {3, 1, 1};
  struct net n = net_open(s, 20, 8, 1);
  fusion_error err = {.status = FUSION_OK};
  net_linear(&n, 0, s, net_dense, 1, 20, 4);
  for (uint32_t i = 1; i < 8; i++) net_add(&n, OP_ADD, i, s, 20, 20);
  assert_int_equal(engine_prepare(&engine_cheetah, n.model, &err), FUSION_E_MODEL);
  assert_string_equal(err.text, "layer 'step8': it sums too many linear layers; add in smaller groups");
  model_free(n.model);
}

static void engine_offered__names_the_family(void **state) {
  (void)state;
  char text[64];
  const struct engine alone = {.name = "alone", .family = "alone"};
  engine_offered(&engine_cheetah_wan, text, sizeof text);
  assert_string_equal(text, "cheetah, cheetah-wan");
  engine_offered(&engine_cheetah_wan, text, 12);
  assert_string_equal(text, "cheetah");
  engine_offered(&alone, text, sizeof text);
  assert_string_equal(text, "alone");
}

static void cheetah__mlp_equals_the_executor(void **state) {
  (void)state;
  check_net(net_mlp(test_seed()), (const size_t[]){1, 130, 7}, 3);
}

static void cheetah__cnn_with_labels_equals_the_executor(void **state) {
  (void)state;
  check_net(net_cnn(test_seed()), (const size_t[]){40}, 1);
}

static void cheetah__pools_that_wrap_equal_the_executor(void **state) {
  (void)state;
  check_net(net_wrapping_pool(test_seed()), (const size_t[]){40}, 1);
}

static void cheetah__residual_branches_equal_the_executor(void **state) {
  (void)state;
  check_net(net_residual(test_seed()), (const size_t[]){25}, 1);
}

static void cheetah__products_and_top_k_equal_the_executor(void **state) {
  (void)state;
  check_net(net_quadratic(test_seed()), (const size_t[]){60}, 1);
}

static void cheetah__offsets_equal_the_executor(void **state) {
  (void)state;
  check_net(net_clip(test_seed()), (const size_t[]){30, 3}, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cheetah__mlp_equals_the_executor),
      cmocka_unit_test(cheetah__cnn_with_labels_equals_the_executor),
      cmocka_unit_test(cheetah__pools_that_wrap_equal_the_executor),
      cmocka_unit_test(cheetah__residual_branches_equal_the_executor),
      cmocka_unit_test(cheetah__products_and_top_k_equal_the_executor),
      cmocka_unit_test(cheetah__offsets_equal_the_executor),
      cmocka_unit_test(cheetah__tuned_for_slow_links_equals_the_executor),
      cmocka_unit_test(cheetah_layout__finds_noise_terms_and_guards),
      cmocka_unit_test(cheetah_layout__hostile_sections_are_refused),
      cmocka_unit_test(cheetah_layout__bounds_noise_terms),
      cmocka_unit_test(engine__variants_of_one_family_are_served),
      cmocka_unit_test(engine_offered__names_the_family),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
