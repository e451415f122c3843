/* Public face of the declared costs. */
#include <fusion/bench.h>
#include <math.h>

#include "api/model_api.h"
#include "api/speeds_api.h"
#include "base/sized.h"
#include "bench/bench_speeds.h"
#include "engine/engine.h"
#include "session/shards.h"

static_assert((int)SPEED_COUNT <= FUSION_SPEEDS_MAX, "public speeds have room for every one");

double fusion_prediction_seconds(const fusion_prediction *prediction, double bytes_per_second, double round_trip_ms) {
  fusion_prediction p = {.size = sizeof p};
  if (sized_take(&p, prediction, "fusion_prediction", NULL) != FUSION_OK) return NAN;
  const double slower = p.server_seconds > p.client_seconds ? p.server_seconds : p.client_seconds;
  const double computing = p.computing_seconds > slower ? p.computing_seconds : slower; /* an older caller has none */
  const double bytes = (double)(p.bytes_to_server > p.bytes_to_client ? p.bytes_to_server : p.bytes_to_client);
  const double traffic = bytes_per_second > 0 ? bytes / bytes_per_second : 0;
  return engine_waiting * computing + traffic + (double)p.rounds * round_trip_ms / 2000;
}

size_t fusion_model_shard(const fusion_model *model, const char *name, size_t limit, uint64_t memory) {
  const struct engine *engine;
  if (engine_named(&engine, name, NULL) != FUSION_OK) return 0;
  const struct program *program = &model->model->program;
  return size_min(shard_limit(engine, program, ROLE_SERVER, limit, memory),
                  shard_limit(engine, program, ROLE_CLIENT, limit, memory));
}

const char *fusion_speed_name(size_t index) {
  return engine_speed_name(index);
}

void fusion_speeds_init(fusion_speeds *speeds, size_t size) {
  fusion_speeds usual = {.size = sizeof usual};
  memcpy(usual.seconds, engine_speeds_usual.seconds, sizeof engine_speeds_usual.seconds);
  sized_init(speeds, size, &usual);
}

fusion_status fusion_bench_calibrate(fusion_speeds *speeds, fusion_error *err) {
  struct engine_speeds measured;
  fusion_speeds ours = {.size = sizeof ours};
  fusion_status status = sized_check(speeds, "fusion_speeds", err);
  if (status == FUSION_OK) status = bench_calibrate(&measured, err);
  if (status != FUSION_OK) return status;
  memcpy(ours.seconds, measured.seconds, sizeof measured.seconds);
  sized_give(speeds, &ours);
  return FUSION_OK;
}

fusion_status speeds_take(struct engine_speeds *out, const fusion_speeds *theirs, const char *what, fusion_error *err) {
  fusion_speeds ours;
  *out = engine_speeds_usual;
  if (!theirs) return FUSION_OK;
  fusion_speeds_init(&ours, sizeof ours);
  const fusion_status status = sized_take(&ours, theirs, "fusion_speeds", err);
  if (status != FUSION_OK) return status;
  memcpy(out->seconds, ours.seconds, sizeof out->seconds);
  return engine_speeds_plausible(out) ? FUSION_OK : error_set(err, FUSION_E_USAGE, "%s: implausible speeds", what);
}

/* Of what has been checked: bytes and rounds, then seconds. */
static fusion_status count(const struct engine_run *run, struct cost *cost, struct engine_seconds *seconds) {
  const size_t shards = div_up(run->samples, run->shard);
  size_t *sizes = mem_alloc(shards, sizeof *sizes);
  if (!sizes) return FUSION_E_MEMORY;
  for (size_t i = 0; i < shards; i++) sizes[i] = size_min(run->shard, run->samples - i * run->shard);
  fusion_status status = engine_cost(run->engine, run->program, sizes, shards, cost);
  if (status == FUSION_OK) status = engine_seconds(run, seconds);
  mem_free(sizes);
  return status;
}

fusion_status fusion_model_predict_on(const fusion_model *model, const fusion_prediction_settings *settings,
                                      fusion_prediction *out, fusion_error *err) {
  const struct program *program = &model->model->program;
  fusion_prediction_settings set = {.size = sizeof set};
  struct engine_speeds server, client;
  struct engine_run run = {.program = program, .server = &server, .client = &client};
  struct engine_seconds seconds = {0};
  struct cost cost = {0};
  fusion_status status;
  TRY(sized_check(out, "fusion_prediction", err));
  TRY(sized_take(&set, settings, "fusion_prediction_settings", err));
  TRY(engine_named(&run.engine, set.engine, err));
  TRY(speeds_take(&server, set.server, "prediction", err));
  TRY(speeds_take(&client, set.client, "prediction", err));
  if (!set.samples) return error_set(err, FUSION_E_USAGE, "prediction: no samples; give at least one");
  TRY(engine_check(run.engine, program, err));
  run.samples = set.samples;
  run.shard = set.shard && set.shard < set.samples ? set.shard : set.samples;
  status = count(&run, &cost, &seconds);
  if (status != FUSION_OK) return error_set(err, status, "prediction: %s", fusion_status_text(status));
  const fusion_prediction p = {.size = sizeof p,
                               .bytes_to_server = cost.bytes_to_server,
                               .bytes_to_client = cost.bytes_to_client,
                               .messages = cost.messages_to_server + cost.messages_to_client,
                               .rounds = cost.depth_client,
                               .server_memory = engine_memory(run.engine, program, run.shard, ROLE_SERVER),
                               .client_memory = engine_memory(run.engine, program, run.shard, ROLE_CLIENT),
                               .server_seconds = seconds.server,
                               .client_seconds = seconds.client,
                               .samples = run.samples,
                               .shard = run.shard,
                               .computing_seconds = seconds.together};
  sized_give(out, &p);
cleanup:
  return status;
}

fusion_status fusion_model_predict(const fusion_model *model, const char *engine, size_t samples, size_t shard,
                                   fusion_prediction *out, fusion_error *err) {
  const fusion_prediction_settings settings = {
      .size = sizeof settings, .engine = engine, .samples = samples, .shard = shard};
  return fusion_model_predict_on(model, &settings, out, err);
}
