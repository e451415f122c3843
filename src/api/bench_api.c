#include <fusion/bench.h>

#include "api/model_api.h"
#include "base/sized.h"
#include "bench/bench_network.h"
#include "bench/bench_suite.h"
#include "net/shaped.h"

void fusion_bench_init(fusion_bench_settings *settings, size_t size) {
  const fusion_bench_settings defaults = {.size = sizeof defaults, .threads = 1, .runs = 5, .seconds = 0.03};
  sized_init(settings, size, &defaults);
}

fusion_status fusion_bench_micro(const fusion_bench_settings *settings, fusion_error *err) {
  fusion_bench_settings known = fusion_bench_defaults();
  const fusion_status status = sized_take(&known, settings, "fusion_bench_settings", err);
  return status == FUSION_OK ? bench_micro(&known, err) : status;
}

bool fusion_bench_network_named(const char *name, fusion_bench_network *out) {
  const struct shape_settings *shape = NULL;
  *out = (fusion_bench_network){0};
  if (strcmp(name, "lan") == 0) shape = &shaped_lan;
  if (strcmp(name, "wan") == 0) shape = &shaped_wan;
  if (shape) *out = (fusion_bench_network){shape->bytes_per_second, 2 * shape->latency_ms};
  return shape || strcmp(name, "none") == 0;
}

void fusion_bench_model_init(fusion_bench_model_settings *settings, size_t size) {
  const fusion_bench_model_settings defaults = {
      .size = sizeof defaults, .engine = "cheetah", .samples = 868, .workers = 1, .pin = true};
  sized_init(settings, size, &defaults);
}

fusion_status fusion_bench_model(const fusion_model *model, const fusion_bench_model_settings *settings,
                                 fusion_bench_model_result *result, fusion_error *err) {
  fusion_bench_model_settings known = fusion_bench_model_defaults();
  fusion_bench_model_result measured = {.size = sizeof measured};
  fusion_status status = sized_take(&known, settings, "fusion_bench_model_settings", err);
  if (status == FUSION_OK) status = sized_check(result, "fusion_bench_model_result", err);
  if (status == FUSION_OK) status = bench_model(model->model, &known, &measured, err);
  if (status == FUSION_OK) sized_give(result, &measured);
  return status;
}
