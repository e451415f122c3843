/* What sessions cost beside their gates, and the engine's prices. */
#include "engine/delphi/delphi.h"
#include "silent/cot_silent.h"

/* Limbs of a product; products that take as long as a ciphertext of a linear layer, interleaved. */
static const double limbs = 2, merge_products = 1e6;

void delphi_open_cost(const struct engine_layout *layout, struct cost *cost) {
  struct delphi_layout *own = layout->own;
  if (layout->phase == ENGINE_ONLINE) return; /* no keys, no correlations */
  cot_open_silent_cost(cost, &own->refill, &own->silent);
  rlwe_open_cost(cost, &own->steps.keys);
}

size_t delphi_memory(const struct engine_layout *layout, enum role role) {
  (void)role; /* both alike; keys are small */
  return layout->phase == ENGINE_ONLINE ? 0 : cot_silent_memory(&delphi_own(layout)->silent);
}

/* What a run makes the processors do, in the units that its time is proportional to. */
struct work {
  double correlations, table_bytes;
  double linear_bytes; /* both ways */
  double products;     /* multiply-adds on a coefficient of a polynomial at the server, limbs not counted */
  double merges;       /* of ciphertexts of linear layers, interleaved */
};

static struct work run_work(const struct engine_layout *layout, size_t samples) {
  struct work work = {0};
  for (uint32_t i = 1; i < layout->program->count; i++) {
    const enum operator_gate gate = step_operator(&layout->program->steps[i])->gate;
    if (gate == GATE_LOCAL) continue;
    struct cost cost = {0};
    delphi_gates[gate].cost(&cost, layout, i, samples);
    const double bytes = (double)cost.bytes_to_server + (double)cost.bytes_to_client;
    work.correlations += (double)cost.cots_client_sends;
    *(gate == GATE_LINEAR ? &work.linear_bytes : &work.table_bytes) += bytes;
    if (gate != GATE_LINEAR) continue;
    const struct linear_layer layer = step_linear(&delphi_own(layout)->steps, i);
    work.products += (double)linear_macs(&layer, &delphi_own(layout)->steps.keys, samples);
    work.merges += (double)linear_merges(&layer, &delphi_own(layout)->steps.keys, samples);
  }
  return work;
}

void delphi_seconds(const struct engine_layout *layout, size_t samples, const struct engine_speeds *speeds,
                    struct engine_seconds *opening, struct engine_seconds *run) {
  const struct work w = run_work(layout, samples);
  const double *s = speeds->seconds;
  const double correlations = w.correlations * s[SPEED_SILENT];
  const double setup = layout->phase == ENGINE_ONLINE ? 0 : s[SPEED_SETUP];
  *opening = (struct engine_seconds){setup, setup};
  *run = (struct engine_seconds){
      correlations + w.table_bytes * s[SPEED_EVALUATE] + w.linear_bytes * s[SPEED_SERVER_CIPHER] +
          limbs * (w.products + w.merges * merge_products) * s[SPEED_PRODUCT],
      correlations + w.table_bytes * s[SPEED_GARBLE] + w.linear_bytes * s[SPEED_CLIENT_CIPHER]};
}
