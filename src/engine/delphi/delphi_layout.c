/* What delphi derives from a program, and which programs it refuses. */
#include "engine/delphi/delphi.h"

/* Bytes of a sample beyond which a run would take an hour on a fast line, and a file system what it prepares. */
static const uint64_t traffic_max = UINT64_C(16) << 30;

static const enum garbling garbling[] = {
    [ENGINE_AT_ONCE] = GARBLED_NOW, [ENGINE_AHEAD] = GARBLED_AHEAD, [ENGINE_ONLINE] = GARBLED_ONLINE};

/* Names the layer that sends most. */
static fusion_status check_traffic(const struct engine_layout *layout, fusion_error *err) {
  const struct program *program = layout->program;
  uint64_t all = 0, most = 0;
  uint32_t worst = 0;
  for (uint32_t i = 1; i < program->count; i++) {
    const enum operator_gate gate = step_operator(&program->steps[i])->gate;
    struct cost cost = {0};
    if (gate == GATE_LOCAL) continue;
    delphi_gates[gate].cost(&cost, layout, i, 1);
    const uint64_t bytes = cost.bytes_to_server + cost.bytes_to_client;
    worst = bytes > most ? i : worst;
    most = bytes > most ? bytes : most;
    all += bytes;
  }
  if (all <= traffic_max) return FUSION_OK;
  return error_set(
      err, FUSION_E_MODEL,
      "layer '%s': it sends %.1f GiB a sample, all layers together %.1f, on the delphi engine; use another "
      "(--engine cheetah)",
      program->steps[worst].name, (double)most / 1073741824.0, (double)all / 1073741824.0);
}

/* Correlations for the session: the server never sends. */
static fusion_status size_silent(const struct engine_layout *layout, struct delphi_layout *own, fusion_error *err) {
  struct cost cost = {0};
  engine_run_cost(&cost, layout, layout->expected_samples);
  own->silent = (struct silent_params){.profile = SILENT_LAN, .expected_client_sends = cost.cots_client_sends};
  if (!cost.out_of_memory) return FUSION_OK;
  return error_set(err, FUSION_E_MEMORY, "out of memory for a layout of the program");
}

fusion_status delphi_layout_open(struct engine_layout *layout, fusion_error *err) {
  fusion_status status;
  struct delphi_layout *own = layout->own = mem_alloc(1, sizeof *own);
  FAIL_IF(!own, error_set(err, FUSION_E_MEMORY, "out of memory for a layout of the program"));
  TRY(encrypted_steps_open(&own->steps, layout->program, layout->guard_bits, layout->expected_samples, err));
  own->steps.style.garbled = garbling[layout->phase];
  TRY(check_traffic(layout, err));
  TRY(size_silent(layout, own, err));
  return FUSION_OK;
cleanup:
  delphi_layout_close(layout);
  return status;
}

void delphi_layout_close(struct engine_layout *layout) {
  struct delphi_layout *own = layout->own;
  if (!own) return;
  encrypted_steps_close(&own->steps);
  mem_free(own);
  layout->own = NULL;
}
