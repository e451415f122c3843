/* Public face of the declared costs. */
#include "api/model_api.h"
#include "stack/stack.h"

fusion_status fusion_model_predict(const fusion_model *model, size_t samples, size_t shard, fusion_prediction *out,
                                   fusion_error *err) {
  const struct plan *plan = &model->model->plan;
  const struct stack *stack = stack_find("cheetah");
  struct cost cost = {0};
  *out = (fusion_prediction){0};
  if (!samples) return error_set(err, FUSION_E_USAGE, "prediction: no samples; give at least one");
  for (uint32_t i = 0; i < plan->count; i++)
    if (plan->steps[i].kind == PLAN_LINEAR && !plan->steps[i].rlwe_set)
      return error_set(err, FUSION_E_MODEL, "layer '%s' has no encryption parameters; compile the model again",
                       plan->steps[i].name);
  if (!shard || shard > samples) shard = samples;
  const size_t shards = div_up(samples, shard);
  size_t *sizes = mem_alloc(shards, sizeof *sizes);
  if (!sizes) return error_set(err, FUSION_E_MEMORY, "prediction: out of memory");
  for (size_t i = 0; i < shards; i++) sizes[i] = size_min(shard, samples - i * shard);
  const fusion_status status = stack->cost(plan, sizes, shards, &cost);
  mem_free(sizes);
  if (status != FUSION_OK) return error_set(err, status, "prediction: %s", fusion_status_text(status));
  *out = (fusion_prediction){.bytes_to_server = cost.bytes_to_server,
                             .bytes_to_client = cost.bytes_to_client,
                             .messages = cost.messages_to_server + cost.messages_to_client,
                             .rounds = cost.depth_client,
                             .server_memory = stack->memory(plan, shard, ROLE_SERVER),
                             .client_memory = stack->memory(plan, shard, ROLE_CLIENT)};
  return FUSION_OK;
}
