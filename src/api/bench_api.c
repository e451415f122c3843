#include <fusion/bench.h>

#include "api/model_api.h"
#include "bench/bench_network.h"
#include "bench/bench_suite.h"
#include "net/shaped.h"

fusion_bench_settings fusion_bench_defaults(void) {
  return (fusion_bench_settings){.threads = 1, .runs = 5, .seconds = 0.03};
}

fusion_status fusion_bench_micro(const fusion_bench_settings *settings, fusion_error *err) {
  return bench_micro(settings, err);
}

bool fusion_bench_network_named(const char *name, fusion_bench_network *out) {
  const struct shape_settings *shape = NULL;
  *out = (fusion_bench_network){0};
  if (strcmp(name, "lan") == 0) shape = &shaped_lan;
  if (strcmp(name, "wan") == 0) shape = &shaped_wan;
  if (shape) *out = (fusion_bench_network){shape->bytes_per_second, 2 * shape->latency_ms};
  return shape || strcmp(name, "none") == 0;
}

fusion_bench_model_settings fusion_bench_model_defaults(void) {
  return (fusion_bench_model_settings){.engine = "cheetah", .samples = 868, .workers = 1, .pin = true};
}

fusion_status fusion_bench_model(const fusion_model *model, const fusion_bench_model_settings *settings,
                                 fusion_bench_model_result *result, fusion_error *err) {
  return bench_model(model->model, settings, result, err);
}
