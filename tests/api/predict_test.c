/* Predicted seconds: whose speeds they follow, and how far from the truth they are. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <fusion/fusion.h>

#include "support/support.h"

static fusion_model *load(void) {
  fusion_model *model;
  char path[4096];
  snprintf(path, sizeof path, "%s/tests/model/data/tiny_mlp.fsn", getenv("FUSION_SOURCE"));
  assert_ok(fusion_model_load(&model, path, NULL));
  return model;
}

static fusion_speeds slower(double times) {
  fusion_speeds speeds;
  fusion_speeds_init(&speeds, sizeof speeds);
  for (size_t i = 0; fusion_speed_name(i); i++) speeds.seconds[i] *= times;
  return speeds;
}

static fusion_prediction predict(const fusion_model *model, const char *engine, const fusion_speeds *server,
                                 const fusion_speeds *client) {
  const fusion_prediction_settings settings = {
      .size = sizeof settings, .engine = engine, .samples = 300, .shard = 100, .server = server, .client = client};
  fusion_prediction p = {.size = sizeof p};
  assert_ok(fusion_model_predict_on(model, &settings, &p, NULL));
  return p;
}

static void expect_near(double value, double expected) {
  if (fabs(value - expected) > 1e-9 * expected) fail_msg("%g where %g was due", value, expected);
}

/* Whatever both parties must do alike follows from the declared costs: these know no speeds. */
static void predict_on__speeds_change_the_seconds_of_their_party_alone(void **state) {
  (void)state;
  static const char *const engines[] = {"cheetah", "cheetah-wan", "delphi", "sci-ot", "sci-ot-silent", "sci-he", "aby"};
  fusion_model *model = load();
  const fusion_speeds slow = slower(100), fast = slower(0.01);
  for (size_t i = 0; i < sizeof engines / sizeof *engines; i++) {
    fusion_prediction usual = predict(model, engines[i], NULL, NULL), other = predict(model, engines[i], &slow, &fast);
    assert_true(usual.server_seconds > 0 && usual.client_seconds > 0);
    expect_near(other.server_seconds, 100 * usual.server_seconds);
    expect_near(other.client_seconds, 0.01 * usual.client_seconds);
    other.server_seconds = usual.server_seconds;
    other.client_seconds = usual.client_seconds;
    assert_memory_equal(&usual, &other, sizeof usual);
  }
  fusion_model_free(model);
}

static void predict_on__implausible_speeds_are_refused(void **state) {
  (void)state;
  const double bad[] = {0, -1, NAN, INFINITY, 1e9};
  fusion_model *model = load();
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    fusion_speeds speeds = slower(1);
    fusion_prediction p = {.size = sizeof p};
    const fusion_prediction_settings settings = {.size = sizeof settings, .samples = 1, .client = &speeds};
    speeds.seconds[1] = bad[i];
    assert_int_equal(fusion_model_predict_on(model, &settings, &p, NULL), FUSION_E_USAGE);
  }
  fusion_model_free(model);
}

/* Processor seconds, since the clock also counts what else runs. A machine whose load changes between the two
 * measurements gets another chance. */
static void calibrate__prediction_is_near_what_is_measured(void **state) {
  (void)state;
  enum { TRIES = 5, FACTOR = 3 };
  fusion_model *model = load();
  double ratio = 0;
  for (int i = 0; i < TRIES && !(ratio > 1.0 / FACTOR && ratio < FACTOR); i++) {
    fusion_speeds here = {.size = sizeof here};
    fusion_bench_model_settings settings = fusion_bench_model_defaults();
    fusion_bench_model_result result = {.size = sizeof result};
    settings.samples = 300;
    settings.shard = 100;
    assert_ok(fusion_bench_calibrate(&here, NULL));
    assert_ok(fusion_bench_model(model, &settings, &result, NULL));
    const fusion_prediction p = predict(model, NULL, &here, &here);
    ratio = (p.server_seconds + p.client_seconds) / (result.server_cpu + result.client_cpu);
  }
  if (!(ratio > 1.0 / FACTOR && ratio < FACTOR)) fail_msg("predicted %g times what was measured", ratio);
  fusion_model_free(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(predict_on__speeds_change_the_seconds_of_their_party_alone),
      cmocka_unit_test(predict_on__implausible_speeds_are_refused),
      cmocka_unit_test(calibrate__prediction_is_near_what_is_measured),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
