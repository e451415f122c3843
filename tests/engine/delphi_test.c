/* What is delphi's own: its section is cheetah's, what it refuses, what it keeps. That its answers and costs are right
 * is tests/conformance. */
#include "engine/delphi/delphi.h"
#include "conformance/cases.h"
#include "program/program_section.h"
#include "support/support.h"

/* One file serves both. */
static void delphi__runs_what_was_compiled_for_cheetah(void **state) {
  (void)state;
  struct net n = conformance_net("mlp", 1);
  fusion_error err = {.status = FUSION_OK};
  assert_int_equal(engine_check(&engine_delphi, &n.model->program, &err), FUSION_E_MODEL);
  assert_string_equal(err.text,
                      "this model was not prepared for the delphi engine; compile it again (--engine delphi)");
  assert_ok(engine_prepare(engine_find("cheetah"), n.model, NULL));
  assert_ok(engine_check(&engine_delphi, &n.model->program, NULL));
  assert_int_equal(n.model->program.section_count, 1);
  assert_ok(engine_prepare(&engine_delphi, n.model, NULL));
  assert_ok(engine_check(engine_find("cheetah"), &n.model->program, NULL));
  assert_int_equal(n.model->program.section_count, 1);
  model_free(n.model);
}

/* 2^25 ReLUs of a wide ring. */
static void delphi_layout__refuses_traffic_without_end(void **state) {
  (void)state;
  const struct shape s = {32, 1024, 1024};
  struct net n = net_open(s, 30, 8, 1);
  fusion_error err = {.status = FUSION_OK};
  net_add(&n, OP_RELU, 0, s, 30, 8);
  assert_int_equal(engine_prepare(&engine_delphi, n.model, &err), FUSION_E_MODEL);
  assert_non_null(strstr(err.text, "layer 'step1': it sends "));
  assert_non_null(strstr(err.text, "GiB a sample, all layers together "));
  assert_non_null(strstr(err.text, "use another (--engine cheetah)"));
  model_free(n.model);
}

/* Online there are no keys, and one round trip a circuit. */
static void delphi__is_short_online(void **state) {
  (void)state;
  const size_t one = 1;
  struct net n = conformance_net("mlp", 1);
  struct cost ahead = {0}, online = {0}, at_once = {0};
  const struct program *p = &n.model->program;
  assert_ok(engine_prepare(&engine_delphi, n.model, NULL));
  assert_ok(engine_phase_cost(&engine_delphi, ENGINE_AHEAD, p, &one, 1, &ahead));
  assert_ok(engine_phase_cost(&engine_delphi, ENGINE_ONLINE, p, &one, 1, &online));
  assert_ok(engine_cost(&engine_delphi, p, &one, 1, &at_once));
  assert_true(online.bytes_to_server + online.bytes_to_client < (ahead.bytes_to_server + ahead.bytes_to_client) / 20);
  assert_true(online.depth_client < at_once.depth_client);
  assert_true(ahead.prepared_client < 200);
  assert_int_equal(online.prepared_server, 0);
  assert_int_equal(online.cots_client_sends, 0);
  model_free(n.model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(delphi__runs_what_was_compiled_for_cheetah),
      cmocka_unit_test(delphi_layout__refuses_traffic_without_end),
      cmocka_unit_test(delphi__is_short_online),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
