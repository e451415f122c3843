/* What cheetah derives from a program, and which programs it refuses. */
#include "engine/cheetah/cheetah.h"

fusion_status cheetah_prepare(const struct engine *engine, struct model *model, fusion_error *err) {
  (void)engine; /* all of the family alike */
  return encrypted_steps_prepare(model, err);
}

/* Bytes of a session's correlations by silent OT, less those by a stream. */
static double stream_saves(const struct silent_params *params, const struct cot_softspoken_params *stream_params) {
  struct cot_cost silent_model;
  struct cot_softspoken_cost stream_model;
  struct cost silent = {0}, stream = {0};
  cot_open_silent_cost(&silent, &silent_model, params);
  cot_open_softspoken_cost(&stream, &stream_model, stream_params);
  struct cost *const both[] = {&silent, &stream};
  for (size_t i = 0; i < 2; i++) {
    cost_take_cots(both[i], ROLE_SERVER, params->expected_server_sends);
    cost_take_cots(both[i], ROLE_CLIENT, params->expected_client_sends);
  }
  return (double)silent.bytes_to_server + (double)silent.bytes_to_client - (double)stream.bytes_to_server -
         (double)stream.bytes_to_client;
}

static enum silent_profile profile_of(const struct engine_layout *layout) {
  return *(const enum silent_profile *)layout->engine->tuning;
}

struct cot_stock_plan cheetah_plan(const struct engine_layout *layout, size_t samples, bool *out_of_memory) {
  struct cost cost = {0};
  engine_gates_cost(&cost, layout, samples);
  struct cot_stock_plan plan = {.params = {.profile = profile_of(layout),
                                           .expected_server_sends = cost.cots_server_sends,
                                           .expected_client_sends = cost.cots_client_sends}};
  /* Few correlations: bytes count for more than time. */
  plan.stream_params = (struct cot_softspoken_params){
      .field_bits = 8, .expected = {[ROLE_SERVER] = cost.cots_server_sends, [ROLE_CLIENT] = cost.cots_client_sends}};
  plan.stream = stream_saves(&plan.params, &plan.stream_params) > 0;
  *out_of_memory = cost.out_of_memory;
  return plan;
}

/* Correlations for the session: how many it will take in each direction. */
static fusion_status size_silent(const struct engine_layout *layout, struct cheetah_layout *own, fusion_error *err) {
  bool out_of_memory;
  own->plan = cheetah_plan(layout, layout->expected_samples, &out_of_memory);
  if (!out_of_memory) return FUSION_OK;
  return error_set(err, FUSION_E_MEMORY, "out of memory for a layout of the program");
}

static bool begins_linear(const struct program *program) {
  for (uint32_t i = 1; i < program->count; i++) {
    const enum operator_gate gate = step_operator(&program->steps[i])->gate;
    if (gate != GATE_LOCAL) return gate == GATE_LINEAR;
  }
  return false;
}

fusion_status cheetah_layout_open(struct engine_layout *layout, fusion_error *err) {
  fusion_status status;
  struct cheetah_layout *own = layout->own = mem_alloc(1, sizeof *own);
  FAIL_IF(!own, error_set(err, FUSION_E_MEMORY, "out of memory for a layout of the program"));
  TRY(encrypted_steps_open(&own->steps, layout->program, layout->guard_bits, layout->expected_samples, err));
  if (profile_of(layout) == SILENT_WAN) own->steps.style.shape = CARRY_SHORTEST;
  FAIL_IF(cheetah_choose_matrices(layout) != FUSION_OK,
          error_set(err, FUSION_E_MEMORY, "out of memory for a layout of the program"));
  TRY(size_silent(layout, own, err));
  own->linear_first = layout->phase == ENGINE_AT_ONCE && begins_linear(layout->program);
  own->plan.params.begun_early = own->plan.stream_params.begun_early = own->linear_first;
  return FUSION_OK;
cleanup:
  cheetah_layout_close(layout);
  return status;
}

void cheetah_layout_close(struct engine_layout *layout) {
  struct cheetah_layout *own = layout->own;
  if (!own) return;
  encrypted_steps_close(&own->steps);
  mem_free(own->levels);
  mem_free(own);
  layout->own = NULL;
}
