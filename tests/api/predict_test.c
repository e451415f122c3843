/* Predicted seconds: whose speeds they follow, and how far from the truth they are. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <fusion/fusion.h>

#include "support/support.h"

static fusion_model *load_named(const char *name) {
  fusion_model *model;
  char path[4096];
  snprintf(path, sizeof path, "%s/tests/model/data/%s", getenv("FUSION_SOURCE"), name);
  assert_ok(fusion_model_load(&model, path, NULL));
  return model;
}

static fusion_model *load(void) {
  return load_named("tiny_mlp.fsn");
}

static fusion_model *load_functions(void) {
  return load_named("tiny_functions.fsn");
}

/* Products of matrices, as attention has them. */
static fusion_model *compile_attention(void) {
  enum { ROWS = 50, PLACES = 6, WIDTH = 8 };
  static const size_t shape[] = {ROWS, PLACES, WIDTH};
  double rows[ROWS * PLACES * WIDTH];
  fusion_array *calibration;
  fusion_model *model;
  char path[4096];
  for (size_t i = 0; i < ROWS * PLACES * WIDTH; i++) rows[i] = (double)(i * 37 % 101) / 50 - 1;
  snprintf(path, sizeof path, "%s/tests/model/attention/attention_scores_1.onnx", getenv("FUSION_SOURCE"));
  assert_ok(fusion_array_create(&calibration, FUSION_F64, 3, shape, rows));
  assert_ok(fusion_model_compile(&model, path, calibration, NULL, NULL, NULL, NULL));
  fusion_array_free(calibration);
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
    assert_true(other.computing_seconds >= 99 * usual.server_seconds);
    other.computing_seconds = usual.computing_seconds;
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

/* Each step takes as long as the slower party, which need not be the same one in all of them. */
static void predict_on__parties_wait_for_each_other_in_every_step(void **state) {
  (void)state;
  fusion_model *model = compile_attention();
  const fusion_prediction usual = predict(model, NULL, NULL, NULL);
  assert_true(usual.computing_seconds >= fmax(usual.server_seconds, usual.client_seconds));
  assert_true(usual.computing_seconds <= usual.server_seconds + usual.client_seconds);
  /* Both as busy: the client with set-up and gates, the server with encrypted products. */
  const fusion_speeds slow = slower(usual.server_seconds / usual.client_seconds);
  const fusion_prediction even = predict(model, NULL, NULL, &slow);
  expect_near(even.client_seconds, even.server_seconds);
  assert_true(even.computing_seconds > 1.2 * even.server_seconds);
  assert_true(even.computing_seconds < 2 * even.server_seconds);
  assert_true(fusion_prediction_seconds(&even, 0, 0) > even.computing_seconds);
  fusion_model_free(model);
}

/* Predicted over used, by party. */
struct ratios {
  double server, client;
};

static struct ratios measure(const fusion_model *model, const fusion_speeds *here, size_t samples, size_t shard) {
  fusion_bench_model_settings settings = fusion_bench_model_defaults();
  fusion_bench_model_result result = {.size = sizeof result};
  fusion_prediction p = {.size = sizeof p};
  settings.samples = samples;
  settings.shard = shard;
  assert_ok(fusion_bench_model(model, &settings, &result, NULL));
  const fusion_prediction_settings asked = {
      .size = sizeof asked, .samples = samples, .shard = shard, .server = here, .client = here};
  assert_ok(fusion_model_predict_on(model, &asked, &p, NULL));
  return (struct ratios){p.server_seconds / result.server_cpu, p.client_seconds / result.client_cpu};
}

static bool near_one(double ratio) {
  return ratio > 0.4 && ratio < 2.5;
}

/* Processor seconds, since the clock also counts what else runs. A machine whose load changes between the two
 * measurements gets another chance. */
static void calibrate__prediction_is_near_what_is_measured(void **state) {
  (void)state;
  enum { TRIES = 5 };
  static const struct {
    const char *name;
    fusion_model *(*make)(void);
    size_t samples, shard;
  } networks[] = {
      {"Relu", load, 300, 100}, {"functions", load_functions, 600, 600}, {"attention", compile_attention, 60, 60}};
  fusion_speeds here = {.size = sizeof here};
  assert_ok(fusion_bench_calibrate(&here, NULL));
  for (size_t k = 0; k < sizeof networks / sizeof *networks; k++) {
    fusion_model *model = networks[k].make();
    struct ratios r = {0, 0};
    for (int i = 0; i < TRIES && !(near_one(r.server) && near_one(r.client)); i++) {
      if (i > 0) assert_ok(fusion_bench_calibrate(&here, NULL));
      r = measure(model, &here, networks[k].samples, networks[k].shard);
    }
    if (!near_one(r.server) || !near_one(r.client))
      fail_msg("%s: predicted %g times what the server used, %g times what the client did", networks[k].name, r.server,
               r.client);
    fusion_model_free(model);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(predict_on__speeds_change_the_seconds_of_their_party_alone),
      cmocka_unit_test(predict_on__implausible_speeds_are_refused),
      cmocka_unit_test(predict_on__parties_wait_for_each_other_in_every_step),
      cmocka_unit_test(calibrate__prediction_is_near_what_is_measured),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
