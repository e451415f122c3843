/* What sessions cost beside their gates, and the engine's prices. */
#include "engine/delphi/delphi.h"
#include "silent/cot_silent.h"
#include "steps/step_seconds.h"

void delphi_open_cost(const struct engine_layout *layout, struct cost *cost) {
  struct delphi_layout *own = layout->own;
  if (layout->phase == ENGINE_ONLINE) return; /* no keys, no correlations */
  cot_open_silent_cost(cost, &own->refill, &own->silent);
  rlwe_open_cost(cost, &own->steps.keys);
}

size_t delphi_memory(const struct engine_layout *layout, enum role role) {
  const struct delphi_layout *own = delphi_own(layout);
  return layout->phase == ENGINE_ONLINE ? 0 : cot_silent_memory(&own->silent) + rlwe_memory(&own->steps.keys, role);
}

struct engine_seconds delphi_open_seconds(const struct engine_layout *layout, size_t samples,
                                          const struct engine_speeds *speeds) {
  const double setup = layout->phase == ENGINE_ONLINE ? 0 : speeds->seconds[SPEED_SETUP];
  (void)samples;
  return (struct engine_seconds){.server = setup, .client = setup};
}

struct engine_seconds delphi_gate_seconds(const struct engine_layout *layout, const struct engine_step *step,
                                          const struct engine_speeds *speeds) {
  const double *s = speeds->seconds;
  const struct delphi_layout *own = delphi_own(layout);
  const double bytes = (double)step->cost.bytes_to_server + (double)step->cost.bytes_to_client;
  struct engine_seconds seconds =
      step_seconds(&step->cost, speeds, cot_silent_price(&own->silent, s[SPEED_BASE], s[SPEED_SILENT], s[SPEED_ROW]));
  if (step->gate == GATE_LINEAR) {
    const struct linear_layer layer = step_linear(&own->steps, step->number);
    step_seconds_add(&seconds, step_linear_seconds(&layer, &own->steps.keys, step->samples, speeds));
    return seconds;
  }
  seconds.server += bytes * s[SPEED_EVALUATE];
  seconds.client += bytes * s[SPEED_GARBLE];
  return seconds;
}
