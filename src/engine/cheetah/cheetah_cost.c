/* What sessions cost beside their gates, and the engine's prices. */
#include "engine/cheetah/cheetah.h"
#include "silent/cot_silent.h"

/* Limbs of a product; products that take as long as a ciphertext of a product of matrices, multiplied and interleaved
 * by the server, as one that the client makes or reads, and as one of a linear layer, interleaved; what a correlation
 * of the set for slow lines costs more; the parties' parts of a set-up, of which the price is the mean. Fitted to the
 * stages of `fusion bench model`: an MLP, a small BERT (Zen 3, VAES). */
static const double limbs = 2, unit_products = 3.1e6, client_unit_products = 6e5, merge_products = 1e6, wan_more = 1.4,
                    server_setup = 0.8, client_setup = 1.2;

void cheetah_open_cost(const struct engine_layout *layout, struct cost *cost) {
  struct cheetah_layout *own = layout->own;
  if (layout->phase != ENGINE_AT_ONCE) return; /* each run has its own */
  if (own->plan.stream) cot_open_softspoken_cost(cost, &own->stream_cost, &own->plan.stream_params);
  if (!own->plan.stream) cot_open_silent_cost(cost, &own->refill, &own->plan.params);
  rlwe_open_cost(cost, &own->steps.keys);
}

void cheetah_stock_cost(const struct engine_layout *layout, struct cost *cost, size_t samples) {
  bool out_of_memory;
  const struct cot_stock_plan plan = cheetah_plan(layout, samples, &out_of_memory);
  rlwe_stock_cost(cost, &cheetah_own(layout)->steps.keys);
  cot_stock_cost(cost, &plan);
  cost->out_of_memory = cost->out_of_memory || out_of_memory;
}

size_t cheetah_memory(const struct engine_layout *layout, enum role role) {
  (void)role; /* both alike; keys are small */
  const struct cheetah_layout *own = cheetah_own(layout);
  return own->plan.stream ? cot_softspoken_memory(&own->plan.stream_params) : cot_silent_memory(&own->plan.params);
}

/* What a run makes the processors do, in the units that its time is proportional to. */
struct work {
  double correlations; /* taken, both directions */
  double linear_bytes; /* both ways */
  double units;        /* ciphertexts of products of matrices, multiplied and interleaved */
  double products;     /* multiply-adds on a coefficient of a polynomial at the server, limbs not counted */
  double merges;       /* of ciphertexts of linear layers, interleaved */
};

static struct work run_work(const struct engine_layout *layout, size_t samples) {
  struct work work = {0};
  for (uint32_t i = 1; i < layout->program->count; i++) {
    const enum operator_gate gate = step_operator(&layout->program->steps[i])->gate;
    if (gate == GATE_LOCAL) continue;
    struct cost cost = {0};
    cheetah_gates[gate].cost(&cost, layout, i, samples);
    work.correlations += (double)cost.cots_server_sends + (double)cost.cots_client_sends;
    if (gate == GATE_MATMUL) work.units += (double)cheetah_matrix_units(layout, i, samples);
    if (gate != GATE_LINEAR) continue;
    work.linear_bytes += (double)cost.bytes_to_server + (double)cost.bytes_to_client;
    const struct linear_layer layer = step_linear(&cheetah_own(layout)->steps, i);
    work.products += (double)linear_macs(&layer, &cheetah_own(layout)->steps.keys, samples);
    work.merges += (double)linear_merges(&layer, &cheetah_own(layout)->steps.keys, samples);
  }
  return work;
}

void cheetah_seconds(const struct engine_layout *layout, size_t samples, const struct engine_speeds *speeds,
                     struct engine_seconds *opening, struct engine_seconds *run) {
  const struct work w = run_work(layout, samples);
  const double *s = speeds->seconds;
  const struct cheetah_layout *own = cheetah_own(layout);
  const double silent = s[SPEED_SILENT] * (own->plan.params.profile == SILENT_WAN ? wan_more : 1);
  const double gates = w.correlations * (own->plan.stream ? s[SPEED_STREAM] : silent);
  const double products = limbs * (w.products + w.units * unit_products + w.merges * merge_products);
  const double client_products = limbs * w.units * client_unit_products;
  *opening = (struct engine_seconds){server_setup * s[SPEED_SETUP], client_setup * s[SPEED_SETUP]};
  *run = (struct engine_seconds){gates + w.linear_bytes * s[SPEED_SERVER_CIPHER] + products * s[SPEED_PRODUCT],
                                 gates + w.linear_bytes * s[SPEED_CLIENT_CIPHER] + client_products * s[SPEED_PRODUCT]};
}
