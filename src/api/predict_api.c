/* Public face of the declared costs. */
#include <math.h>

#include "api/model_api.h"
#include "base/sized.h"
#include "engine/engine.h"
#include "session/shards.h"

/* Waiting for each other, beyond the slower party's own time. */
static const double waiting = 1.08;

double fusion_prediction_seconds(const fusion_prediction *prediction, double bytes_per_second, double round_trip_ms) {
  fusion_prediction p = {.size = sizeof p};
  if (sized_take(&p, prediction, "fusion_prediction", NULL) != FUSION_OK) return NAN;
  const double computing = p.server_seconds > p.client_seconds ? p.server_seconds : p.client_seconds;
  const double bytes = (double)(p.bytes_to_server > p.bytes_to_client ? p.bytes_to_server : p.bytes_to_client);
  const double traffic = bytes_per_second > 0 ? bytes / bytes_per_second : 0;
  return waiting * computing + traffic + (double)p.rounds * round_trip_ms / 2000;
}

size_t fusion_model_shard(const fusion_model *model, const char *name, size_t limit, uint64_t memory) {
  const struct engine *engine;
  if (engine_named(&engine, name, NULL) != FUSION_OK) return 0;
  const struct program *program = &model->model->program;
  return size_min(shard_limit(engine, program, ROLE_SERVER, limit, memory),
                  shard_limit(engine, program, ROLE_CLIENT, limit, memory));
}

fusion_status fusion_model_predict(const fusion_model *model, const char *name, size_t samples, size_t shard,
                                   fusion_prediction *out, fusion_error *err) {
  const struct program *program = &model->model->program;
  const struct engine *engine;
  struct cost cost = {0};
  fusion_status status = sized_check(out, "fusion_prediction", err);
  if (status == FUSION_OK) status = engine_named(&engine, name, err);
  if (status != FUSION_OK) return status;
  if (!samples) return error_set(err, FUSION_E_USAGE, "prediction: no samples; give at least one");
  status = engine_check(engine, program, err);
  if (status != FUSION_OK) return status;
  if (!shard || shard > samples) shard = samples;
  const size_t shards = div_up(samples, shard);
  size_t *sizes = mem_alloc(shards, sizeof *sizes);
  if (!sizes) return error_set(err, FUSION_E_MEMORY, "prediction: out of memory");
  for (size_t i = 0; i < shards; i++) sizes[i] = size_min(shard, samples - i * shard);
  struct engine_seconds seconds = {0};
  status = engine_cost(engine, program, sizes, shards, &cost);
  if (status == FUSION_OK) status = engine_seconds(engine, program, samples, shard, &seconds);
  mem_free(sizes);
  if (status != FUSION_OK) return error_set(err, status, "prediction: %s", fusion_status_text(status));
  const fusion_prediction p = {.size = sizeof p,
                               .bytes_to_server = cost.bytes_to_server,
                               .bytes_to_client = cost.bytes_to_client,
                               .messages = cost.messages_to_server + cost.messages_to_client,
                               .rounds = cost.depth_client,
                               .server_memory = engine_memory(engine, program, shard, ROLE_SERVER),
                               .client_memory = engine_memory(engine, program, shard, ROLE_CLIENT),
                               .server_seconds = seconds.server,
                               .client_seconds = seconds.client,
                               .samples = samples,
                               .shard = shard};
  sized_give(out, &p);
  return FUSION_OK;
}
