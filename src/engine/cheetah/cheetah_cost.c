/* What sessions cost beside their gates, and the engine's prices. */
#include "engine/cheetah/cheetah.h"
#include "silent/cot_silent.h"

/* Seconds of one core: a correlation's making and hashing, a byte of a gate's and of a linear layer's messages with
 * what goes into it, a multiply-add on an encrypted coefficient, keys and base OT. Fitted to runs of networks by stage
 * on the newer of the two machines of docs/performance.md, and 1.17 times that: between the two, which are 1.4 apart.
 */
static const double correlation_s = 10.4e-9, gate_byte_s = 4.1e-9, product_s = 3.3e-11, setup_s = 0.05;
static const double unit_s = 3e-4, merge_s = 1.2e-4;
static const double server_linear_byte_s = 4.5e-9, client_linear_byte_s = 3.4e-9;

void cheetah_open_cost(const struct engine_layout *layout, struct cost *cost) {
  struct cheetah_layout *own = layout->own;
  if (own->stream)
    cot_open_softspoken_cost(cost, &own->stream_cost);
  else
    cot_open_silent_cost(cost, &own->refill, &own->silent);
  rlwe_open_cost(cost, &own->steps.keys);
}

size_t cheetah_memory(const struct engine_layout *layout, enum role role) {
  (void)role; /* both alike; keys are small */
  const struct cheetah_layout *own = cheetah_own(layout);
  return own->stream ? cot_softspoken_memory() : cot_silent_memory(&own->silent);
}

/* What a run makes the processors do, in the units that its time is proportional to. */
struct work {
  double correlations; /* taken, both directions */
  double gate_bytes;   /* of nonlinear steps, both ways, refills of correlations not counted */
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
    const double bytes = (double)cost.bytes_to_server + (double)cost.bytes_to_client;
    work.correlations += (double)cost.cots_server_sends + (double)cost.cots_client_sends;
    *(gate == GATE_LINEAR ? &work.linear_bytes : &work.gate_bytes) += bytes;
    if (gate == GATE_MATMUL) work.units += (double)cheetah_matrix_units(layout, i, samples);
    if (gate != GATE_LINEAR) continue;
    const struct linear_layer layer = step_linear(&cheetah_own(layout)->steps, i);
    work.products += (double)linear_macs(&layer, &cheetah_own(layout)->steps.keys, samples);
    work.merges += (double)linear_merges(&layer, &cheetah_own(layout)->steps.keys, samples);
  }
  return work;
}

void cheetah_seconds(const struct engine_layout *layout, size_t samples, struct engine_seconds *opening,
                     struct engine_seconds *run) {
  const struct work w = run_work(layout, samples);
  const double gates = w.correlations * correlation_s + w.gate_bytes * gate_byte_s;
  *opening = (struct engine_seconds){setup_s, setup_s};
  *run = (struct engine_seconds){
      gates + w.linear_bytes * server_linear_byte_s + w.products * product_s + w.units * unit_s + w.merges * merge_s,
      gates + w.linear_bytes * client_linear_byte_s};
}
