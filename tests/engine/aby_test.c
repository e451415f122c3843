/* What is aby's own: which programs it refuses, and what a triple costs. That its answers and costs are right is
 * tests/conformance's. */
#include "engine/aby/aby.h"

#include "conformance/cases.h"
#include "support/support.h"

/* A triple a product, a position and a sample: 4096 inputs to 1024 outputs are 4.2 million. */
static void aby__refuses_traffic_above_its_limit(void **state) {
  (void)state;
  fusion_error err = {.status = FUSION_OK};
  for (uint32_t inputs = 1024; inputs <= 4096; inputs *= 4) {
    struct net n = net_open((struct shape){inputs, 1, 1}, 24, 8, 1);
    net_linear(&n, 0, (struct shape){1024, 1, 1}, net_dense, 1, 24, 5);
    net_add(&n, OP_RELU, 1, (struct shape){1024, 1, 1}, 12, 12)->shift = 10;
    const fusion_status status = engine_check(&engine_aby, &n.model->program, &err);
    if (inputs == 1024) assert_ok(status);
    if (inputs == 4096) {
      assert_int_equal(status, FUSION_E_MODEL);
      assert_non_null(strstr(err.text, n.model->program.steps[1].name));
      assert_non_null(strstr(err.text, "use another engine (cheetah)"));
    }
    model_free(n.model);
  }
}

/* ABY's product takes 1,280 bytes for a triple and 16 for its openings at 32 bits; ours, with correlations of 3.9
 * bytes, less than half. A layer's products cost what others do. */
static void aby__a_triple_takes_less_than_half_of_the_original(void **state) {
  (void)state;
  enum { SAMPLES = 40, PRODUCTS = 30 * 20 * SAMPLES };
  struct net n = net_open((struct shape){30, 1, 1}, 32, 8, 1);
  net_linear(&n, 0, (struct shape){20, 1, 1}, net_dense, 1, 32, 5);
  const struct layer_shape shape = step_layer(&n.model->program, 1);
  struct cost layer = {0}, products = {0};
  triples_layer_cost(&layer, &shape, SAMPLES);
  triples_multiply_cost(&products, false, PRODUCTS, 32);
  assert_int_equal(layer.bytes_to_client, products.bytes_to_client);
  assert_int_equal(layer.bytes_to_server, products.bytes_to_server);
  assert_int_equal(layer.cots_client_sends, 32 * PRODUCTS);
  assert_int_equal(layer.cots_server_sends, 32 * PRODUCTS);
  const uint64_t correlations = (layer.cots_client_sends + layer.cots_server_sends) * 16 / SOFTSPOKEN_FIELD_BITS;
  assert_true(layer.bytes_to_client + layer.bytes_to_server + correlations < 1296u * PRODUCTS / 2);
  model_free(n.model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(aby__refuses_traffic_above_its_limit),
      cmocka_unit_test(aby__a_triple_takes_less_than_half_of_the_original),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
