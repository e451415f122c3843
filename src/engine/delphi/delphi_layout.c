/* What delphi derives from a program, and which programs it refuses. */
#include "engine/delphi/delphi.h"

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
