/* Public face of the declared costs. */
#include "api/model_api.h"
#include "engine/engine.h"
#include "session/shards.h"

/* Seconds of one core: a correlation's making and hashing, a byte of a gate's and of a linear layer's messages with
 * what goes into it, a multiply-add on an encrypted coefficient, keys and base OT. Fitted to runs of networks by stage
 * on the newer of the two machines of docs/performance.md, and 1.17 times that: between the two, which are 1.4 apart.
 */
static const double correlation_s = 10.4e-9, gate_byte_s = 4.1e-9, product_s = 3.3e-11, setup_s = 0.05;
static const double server_linear_byte_s = 4.5e-9, client_linear_byte_s = 3.4e-9;
/* Waiting for each other, beyond the slower party's own time. */
static const double waiting = 1.08;

double fusion_prediction_seconds(const fusion_prediction *p, double bytes_per_second, double round_trip_ms) {
  const double computing = p->server_seconds > p->client_seconds ? p->server_seconds : p->client_seconds;
  const double bytes = (double)(p->bytes_to_server > p->bytes_to_client ? p->bytes_to_server : p->bytes_to_client);
  const double traffic = bytes_per_second > 0 ? bytes / bytes_per_second : 0;
  return waiting * computing + traffic + (double)p->rounds * round_trip_ms / 2000;
}

size_t fusion_model_shard(const fusion_model *model, size_t limit, uint64_t memory) {
  const struct engine *engine = engine_find("cheetah");
  const struct program *program = &model->model->program;
  return size_min(shard_limit(engine, program, ROLE_SERVER, limit, memory),
                  shard_limit(engine, program, ROLE_CLIENT, limit, memory));
}

static void predict_seconds(fusion_prediction *out, const struct engine *engine, const struct program *program) {
  const struct engine_work w = engine->work(program, out->shard);
  const double shards = (double)out->samples / (double)out->shard;
  const double gates = w.correlations * correlation_s + w.gate_bytes * gate_byte_s;
  out->server_seconds = setup_s + shards * (gates + w.linear_bytes * server_linear_byte_s + w.products * product_s);
  out->client_seconds = setup_s + shards * (gates + w.linear_bytes * client_linear_byte_s);
}

fusion_status fusion_model_predict(const fusion_model *model, size_t samples, size_t shard, fusion_prediction *out,
                                   fusion_error *err) {
  const struct program *program = &model->model->program;
  const struct engine *engine = engine_find("cheetah");
  struct cost cost = {0};
  *out = (fusion_prediction){0};
  if (!samples) return error_set(err, FUSION_E_USAGE, "prediction: no samples; give at least one");
  for (uint32_t i = 0; i < program->count; i++)
    if (step_has_matrix(&program->steps[i]) && !program->steps[i].rlwe_set)
      return error_set(err, FUSION_E_MODEL, "layer '%s' has no encryption parameters; compile the model again",
                       program->steps[i].name);
  if (!shard || shard > samples) shard = samples;
  const size_t shards = div_up(samples, shard);
  size_t *sizes = mem_alloc(shards, sizeof *sizes);
  if (!sizes) return error_set(err, FUSION_E_MEMORY, "prediction: out of memory");
  for (size_t i = 0; i < shards; i++) sizes[i] = size_min(shard, samples - i * shard);
  const fusion_status status = engine->cost(program, sizes, shards, &cost);
  mem_free(sizes);
  if (status != FUSION_OK) return error_set(err, status, "prediction: %s", fusion_status_text(status));
  *out = (fusion_prediction){.bytes_to_server = cost.bytes_to_server,
                             .bytes_to_client = cost.bytes_to_client,
                             .messages = cost.messages_to_server + cost.messages_to_client,
                             .rounds = cost.depth_client,
                             .server_memory = engine->memory(program, shard, ROLE_SERVER),
                             .client_memory = engine->memory(program, shard, ROLE_CLIENT),
                             .samples = samples,
                             .shard = shard};
  predict_seconds(out, engine, program);
  return FUSION_OK;
}
