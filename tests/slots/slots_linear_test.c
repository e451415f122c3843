/* Linear layers by slot encryption: both parties in one process, shares modulo t against the plain product, counted
 * traffic against the declared one. */
#include "slots/slots_linear.h"
#include "support/support.h"

struct end {
  enum role role;
  struct channel *channel;
  const struct slots_layout *l;
  const uint64_t *x;
  const int16_t *weights;
  uint64_t *field;
  fusion_status status;
};

static void *run_end(void *arg) {
  struct end *e = arg;
  struct prg *prg = NULL;
  struct slots *s = NULL;
  e->status = prg_new_random(&prg);
  if (e->status == FUSION_OK) e->status = slots_open(&s, e->role, e->channel, prg);
  if (e->status == FUSION_OK && e->role == ROLE_CLIENT) e->status = slots_linear_client(s, e->l, e->x, e->field);
  if (e->status == FUSION_OK && e->role == ROLE_SERVER) e->status = slots_linear_server(s, e->l, e->weights, e->field);
  slots_close(s);
  prg_free(prg);
  return NULL;
}

static size_t in_size(const struct layer_shape *l) {
  return (size_t)l->in_channels * l->in_h * l->in_w;
}
static size_t out_size(const struct layer_shape *l) {
  return (size_t)l->out_channels * l->out_h * l->out_w;
}
static size_t weight_count(const struct layer_shape *l) {
  return (size_t)l->out_channels * (l->in_channels / l->groups) * l->kernel_h * l->kernel_w;
}

static void check_traffic(const struct slots_layout *l, const struct end *server, const struct end *client) {
  struct cost cost = {0};
  struct slots_elements have = {0};
  slots_open_cost(&cost);
  slots_linear_cost(&cost, l, &have);
  const struct channel_stats s = channel_get_stats(server->channel), c = channel_get_stats(client->channel);
  assert_int_equal(c.bytes_sent, cost.bytes_to_server);
  assert_int_equal(c.bytes_received, cost.bytes_to_client);
  assert_int_equal(c.messages_sent, cost.messages_to_server);
  assert_int_equal(c.messages_received, cost.messages_to_client);
  assert_int_equal(c.depth, cost.depth_client);
  assert_int_equal(s.depth, cost.depth_server);
}

/* Extreme values among random ones. */
static uint64_t draw(uint64_t *random, unsigned bits) {
  const uint64_t r = test_random(random), ends[] = {UINT64_C(1) << (bits - 1), low_mask(bits - 1), 0};
  return r % 8 < 3 ? ends[r % 8] : r >> 8;
}

static void check_layer(const char *name, const struct layer_shape *layer, size_t samples, uint64_t *random) {
  struct slots_layout l;
  const char *why = NULL;
  if (slots_layout_make(&l, layer, samples, &why) != FUSION_OK) fail_msg("%s: %s", name, why);
  const size_t in = samples * in_size(layer), out = samples * out_size(layer), weights = weight_count(layer);
  uint64_t *x = mem_alloc(in, sizeof *x), *y = mem_alloc(out, sizeof *y);
  int64_t *bias = mem_alloc(layer->out_channels, sizeof *bias);
  int16_t *w = mem_alloc(weights, sizeof *w);
  struct end server = {.role = ROLE_SERVER, .l = &l, .weights = w, .field = mem_alloc(out, sizeof(uint64_t))};
  struct end client = {.role = ROLE_CLIENT, .l = &l, .x = x, .field = mem_alloc(out, sizeof(uint64_t))};
  for (size_t i = 0; i < weights; i++)
    w[i] = (int16_t)ring_signed(draw(random, layer->weight_bits), layer->weight_bits);
  for (size_t i = 0; i < in; i++) x[i] = draw(random, layer->ring_bits);
  assert_ok(channel_pipe(&server.channel, &client.channel));
  test_run_both(run_end, &server, run_end, &client);
  assert_ok(server.status);
  assert_ok(client.status);
  check_traffic(&l, &server, &client);
  for (size_t i = 0; i < in; i++) x[i] = (uint64_t)ring_signed(x[i], layer->ring_bits);
  slots_linear_local(layer, w, bias, x, y, samples);
  const uint64_t t = slots_plain_prime(l.plain_bits);
  for (size_t i = 0; i < out; i++) {
    assert_true(server.field[i] < t && client.field[i] < t);
    if (slots_add(server.field[i], client.field[i], t) != y[i] + l.offset)
      fail_msg("%s: output %zu of %zu is %llu, not %llu", name, i, out,
               (unsigned long long)slots_add(server.field[i], client.field[i], t),
               (unsigned long long)(y[i] + l.offset));
  }
  channel_close(server.channel);
  channel_close(client.channel);
  mem_free(server.field);
  mem_free(client.field);
  mem_free(w);
  mem_free(bias);
  mem_free(x);
  mem_free(y);
  slots_layout_free(&l);
}

static struct layer_shape dense(uint32_t in, uint32_t out, uint8_t ring, uint8_t bits) {
  return (struct layer_shape){in, 1, 1, out, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, ring, bits};
}

static void slots_linear__dense_layers(void **state) {
  (void)state;
  uint64_t random = test_seed();
  const struct {
    struct layer_shape layer;
    size_t samples;
  } cases[] = {
      {dense(784, 128, 24, 4), 1},   {dense(128, 10, 22, 5), 1}, {dense(50, 33, 22, 8), 130},
      {dense(8, 256, 20, 8), 300},   {dense(1, 1, 2, 2), 1},     {dense(20, 7, 30, 8), 60},
      {dense(300, 20, 20, 8), 5000}, {dense(3, 5000, 20, 8), 2}, {dense(9000, 3, 20, 6), 1},
      {dense(40, 9000, 20, 6), 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    check_layer("dense", &cases[i].layer, cases[i].samples, &random);
}

static void slots_linear__convolutions(void **state) {
  (void)state;
  uint64_t random = test_seed();
  const struct {
    const char *name;
    struct layer_shape layer;
    size_t samples;
  } cases[] = {
      {"padded", {3, 9, 8, 6, 9, 8, 3, 3, 3, 1, 1, 1, 1, 1, 1, 24, 8}, 4},
      {"groups", {8, 6, 6, 4, 6, 6, 4, 3, 3, 1, 1, 1, 1, 1, 1, 20, 6}, 1},
      {"depthwise", {40, 16, 16, 40, 16, 16, 40, 3, 3, 1, 1, 1, 1, 1, 1, 20, 6}, 1},
      {"strided", {6, 5, 4, 8, 3, 2, 1, 3, 3, 2, 2, 1, 1, 1, 1, 26, 9}, 40},
      {"stride above kernel", {5, 17, 13, 3, 6, 4, 1, 2, 1, 3, 4, 0, 0, 1, 1, 18, 5}, 2},
      {"dilated", {2, 20, 20, 3, 16, 14, 1, 3, 3, 1, 1, 0, 0, 2, 3, 18, 5}, 1},
      {"whole image", {6, 4, 3, 10, 1, 1, 1, 4, 3, 1, 1, 0, 0, 1, 1, 20, 8}, 9},
      {"in bands", {2, 70, 70, 3, 70, 70, 1, 3, 3, 1, 1, 1, 1, 1, 1, 18, 6}, 2},
      {"in strided bands", {3, 150, 150, 4, 75, 75, 1, 7, 7, 2, 2, 3, 3, 1, 1, 18, 6}, 1},
      {"wide", {64, 8, 8, 64, 8, 8, 1, 3, 3, 1, 1, 1, 1, 1, 1, 18, 8}, 1},
      {"many samples", {3, 8, 8, 4, 8, 8, 1, 3, 3, 1, 1, 1, 1, 1, 1, 18, 8}, 150},
      {"more output than input", {2, 3, 3, 2, 7, 7, 1, 3, 3, 1, 1, 3, 3, 1, 1, 18, 8}, 3},
      {"a row of outputs", {2, 5, 9, 3, 1, 9, 1, 5, 3, 1, 1, 0, 1, 1, 1, 18, 8}, 3},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    check_layer(cases[i].name, &cases[i].layer, cases[i].samples, &random);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(slots_linear__dense_layers),
      cmocka_unit_test(slots_linear__convolutions),
  };
  return cmocka_run_group_tests_name("slots_linear", tests, NULL, NULL);
}
