/* The gates: for each its run, its cost and its memory, side by side. */
#include "base/bits.h"
#include "engine/delphi/delphi.h"

static size_t kept_len(const struct engine_layout *layout, uint32_t number, size_t samples) {
  return bits_len(step_count(layout, number, samples), engine_share_bits(layout, number));
}

/* Ahead: the server's share of an encrypted product in which its share of the input counts as zeros. */
static fusion_status linear_keep(const struct gate_call *call) {
  const struct engine_layout *layout = call->party->layout;
  const size_t len = kept_len(layout, call->number, call->samples);
  uint8_t *packed = heap_take(call->party->heap, len, 1);
  if (!packed) return FUSION_E_MEMORY;
  bits_pack(packed, call->out, step_count(layout, call->number, call->samples),
            engine_share_bits(layout, call->number));
  const fusion_status status = stream_write(call->party->stream, packed, len);
  heap_give(call->party->heap, packed, len);
  return status;
}

/* Online: the same, and the server's own product on its share of the input. */
static fusion_status linear_online(const struct gate_call *call, const struct linear_layer *layer) {
  const struct engine_layout *layout = call->party->layout;
  const size_t count = step_count(layout, call->number, call->samples);
  const size_t len = kept_len(layout, call->number, call->samples);
  const unsigned bits = engine_share_bits(layout, call->number);
  uint8_t *packed = heap_take(call->party->heap, len, 1);
  if (!packed) return FUSION_E_MEMORY;
  const fusion_status status = stream_read(call->party->stream, packed, len);
  bits_unpack(call->out, packed, count, bits);
  heap_give(call->party->heap, packed, len);
  delphi_add_product(layer, call->weights->weights, call->inputs[0], call->out, call->samples);
  for (size_t i = 0; i < count; i++) call->out[i] &= low_mask(bits);
  return status;
}

static fusion_status linear_run(void *state, const struct gate_call *call) {
  const struct delphi *d = state;
  const struct engine_layout *layout = call->party->layout;
  const struct linear_layer layer = step_linear(&delphi_own(layout)->steps, call->number);
  const bool ahead = layout->phase == ENGINE_AHEAD, online = layout->phase == ENGINE_ONLINE;
  const uint64_t *x = call->inputs[0];
  if (!call->weights && online) return FUSION_OK;
  if (!call->weights) return linear_client(d->rlwe, &layer, x, call->out, call->samples);
  if (online) return linear_online(call, &layer);
  const fusion_status status = linear_server(d->rlwe, &layer, call->weights->weights, call->weights->bias,
                                             call->zero || ahead ? NULL : x, call->out, call->samples);
  return status == FUSION_OK && ahead ? linear_keep(call) : status;
}

static void linear_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct linear_layer layer = step_linear(&delphi_own(layout)->steps, number);
  if (layout->phase != ENGINE_ONLINE) linear_cost(cost, &layer, &delphi_own(layout)->steps.keys, samples);
  if (layout->phase == ENGINE_AHEAD) cost->prepared_server += kept_len(layout, number, samples);
}

static size_t linear_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct linear_layer layer = step_linear(&delphi_own(layout)->steps, number);
  const size_t kept = kept_len(layout, number, samples);
  return layout->phase == ENGINE_ONLINE ? kept : size_max(kept, linear_memory(&layer, samples, role));
}

static struct multiply_garbled product_of(const struct engine_layout *layout, uint32_t number) {
  const struct program_step *step = step_at(layout, number);
  return (struct multiply_garbled){
      .bits = step->out.ring_bits, .square = step_is_square(step), .phase = delphi_own(layout)->steps.style.garbled};
}

static fusion_status multiply_run(void *state, const struct gate_call *call) {
  struct delphi *d = state;
  const struct engine_layout *layout = call->party->layout;
  const struct multiply_garbled params = product_of(layout, call->number);
  return multiply_garbled(&d->party, &params, call->inputs[0], call->inputs[1], call->out,
                          step_count(layout, call->number, call->samples));
}

static void multiply_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct multiply_garbled params = product_of(layout, number);
  multiply_garbled_cost(cost, &params, step_count(layout, number, samples));
}

static size_t multiply_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct multiply_garbled params = product_of(layout, number);
  return multiply_garbled_memory(&params, role, step_count(layout, number, samples));
}

const struct engine_gate delphi_gates[GATE_COUNT] = {
    [GATE_LINEAR] = {linear_run, linear_declare, linear_most},
    [GATE_RELU_TRUNCATE] = STEP_GATE(relu),
    [GATE_MULTIPLY] = {multiply_run, multiply_declare, multiply_most},
    [GATE_MAXPOOL] = STEP_GATE(maxpool),
    [GATE_LOOKUP] = STEP_GATE(lookup),
    [GATE_COMPARE] = STEP_GATE(compare),
    [GATE_TOP_K] = STEP_GATE(top_k),
};
