/* What is sci-ot's own: which programs it refuses, and what its tunings and its products cost. That its answers and
 * costs are right is tests/conformance's. */
#include "engine/sci_ot/sci_ot.h"

#include <string.h>

#include "conformance/cases.h"
#include "support/support.h"

static struct net wide_convolution(uint32_t channels) {
  struct net n = net_open((struct shape){channels, 32, 32}, 26, 8, 1);
  net_linear(&n, 0, (struct shape){channels, 32, 32}, (struct window){3, 3, 1, 1, 1, 1, 1, 1, 1, 1}, 1, 26, 5);
  net_add(&n, OP_RELU, 1, (struct shape){channels, 32, 32}, 12, 12)->shift = 10;
  return n;
}

/* 9 * 64^2 * 32^2 products of 15 bytes are 0.53 GiB; with 128 channels 2.1. */
static void sci_ot__refuses_traffic_above_its_limit(void **state) {
  (void)state;
  fusion_error err = {.status = FUSION_OK};
  struct net n = wide_convolution(64);
  assert_ok(engine_check(&engine_sci_ot, &n.model->program, &err));
  model_free(n.model);
  n = wide_convolution(128);
  const struct engine *const engines[] = {&engine_sci_ot, &engine_sci_ot_silent};
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(engine_check(engines[i], &n.model->program, &err), FUSION_E_MODEL);
    assert_non_null(strstr(err.text, n.model->program.steps[1].name));
    assert_non_null(strstr(err.text, "its products take 2.11 GiB a sample, those of all layers 2.11 GiB"));
    assert_non_null(strstr(err.text, "use another engine (cheetah)"));
  }
  model_free(n.model);
}

/* A sample's products take the bits of product_cot_bits() and little more when a shard has many samples. */
static void sci_ot__a_product_takes_fifteen_bytes(void **state) {
  (void)state;
  enum { SAMPLES = 1024 };
  struct net n = net_open((struct shape){100, 1, 1}, 26, 8, 1);
  net_linear(&n, 0, (struct shape){50, 1, 1}, net_dense, 1, 26, 5);
  const struct layer_shape q = step_layer(&n.model->program, 1);
  assert_int_equal(product_cot_bits(&q), 120);
  struct cost cost = {0};
  product_cot_cost(&cost, &q, SAMPLES);
  const uint64_t products = (uint64_t)100 * 50 * SAMPLES, bytes = cost.bytes_to_server + cost.bytes_to_client;
  assert_true(bytes >= 15 * products && bytes < 15 * products + products / 100);
  assert_int_equal(cost.cots_client_sends, 100 * 50 * 5);
  assert_int_equal(cost.cots_server_sends, 0);
  model_free(n.model);
}

static void sci_ot__silent_correlations_move_less(void **state) {
  (void)state;
  struct net n = conformance_net("wide", 1);
  const size_t shard = 700;
  struct cost stream = {0}, silent = {0};
  assert_ok(engine_cost(&engine_sci_ot, &n.model->program, &shard, 1, &stream));
  assert_ok(engine_cost(&engine_sci_ot_silent, &n.model->program, &shard, 1, &silent));
  assert_int_equal(stream.cots_client_sends, silent.cots_client_sends);
  assert_int_equal(stream.cots_server_sends, silent.cots_server_sends);
  assert_true(silent.bytes_to_server + silent.bytes_to_client < stream.bytes_to_server + stream.bytes_to_client);
  assert_string_equal(engine_find("sci-ot-silent")->family, engine_sci_ot.family);
  model_free(n.model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sci_ot__refuses_traffic_above_its_limit),
      cmocka_unit_test(sci_ot__a_product_takes_fifteen_bytes),
      cmocka_unit_test(sci_ot__silent_correlations_move_less),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
