/* The gates: for each its run, its cost and its memory, side by side. */
#include "engine/sci_ot/sci_ot.h"

static fusion_status linear_run(void *state, const struct gate_call *call) {
  struct sci_ot *s = state;
  const struct layer_shape params = step_layer(call->party->layout->program, call->number);
  const uint64_t *x = call->inputs[0];
  if (!call->weights) return product_cot_client(&s->party, &params, x, call->out, call->samples);
  const struct layer_weights weights = {call->weights->weights, call->weights->bias};
  return product_cot_server(&s->party, &params, &weights, call->zero ? NULL : x, call->out, call->samples);
}

static void linear_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct layer_shape params = step_layer(layout->program, number);
  product_cot_cost(cost, &params, samples);
}

static size_t linear_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct layer_shape params = step_layer(layout->program, number);
  return product_cot_memory(&params, role, samples);
}

const struct engine_gate sci_ot_gates[GATE_COUNT] = {
    [GATE_LINEAR] = {linear_run, linear_declare, linear_most},
    [GATE_RELU_TRUNCATE] = STEP_GATE(relu),
    [GATE_MULTIPLY] = STEP_GATE(multiply),
    [GATE_MAXPOOL] = STEP_GATE(maxpool),
    [GATE_LOOKUP] = STEP_GATE(lookup),
    [GATE_COMPARE] = STEP_GATE(compare),
    [GATE_MATMUL] = STEP_GATE(matmul),
    [GATE_TOP_K] = STEP_GATE(top_k),
};
