/* The gates: for each its run, its cost and its memory, side by side. */
#include "engine/cheetah/cheetah.h"

uint32_t cheetah_next_linear(const struct program *program, uint32_t number) {
  for (uint32_t i = number + 1; i < program->count; i++) {
    const enum operator_gate gate = step_operator(&program->steps[i])->gate;
    if (gate == GATE_MATMUL) return 0;
    if (gate == GATE_LINEAR) return i;
  }
  return 0;
}

/* The run's next layer, in what this party waits until then. */
static void begin_next(struct cheetah *c, const struct gate_call *call) {
  const struct engine_layout *layout = call->party->layout;
  const uint32_t next = cheetah_next_linear(layout->program, call->number);
  if (!next) return;
  const struct linear_layer layer = step_linear(&cheetah_own(layout)->steps, next);
  linear_begin_ahead(c->rlwe, &layer, call->party->weights[next].weights, call->samples);
}

static fusion_status linear_run(void *state, const struct gate_call *call) {
  struct cheetah *c = state;
  const struct linear_layer layer = step_linear(&cheetah_own(call->party->layout)->steps, call->number);
  const uint64_t *x = call->inputs[0];
  const fusion_status status = c->first_layer ? cheetah_first_layer(c) : FUSION_OK;
  if (status != FUSION_OK) return status;
  if (!call->weights) return linear_client(c->rlwe, &layer, x, call->out, call->samples);
  const fusion_status run = linear_server(c->rlwe, &layer, call->weights->weights, call->weights->bias,
                                          call->zero ? NULL : x, call->out, call->samples);
  if (run == FUSION_OK) begin_next(c, call);
  return run;
}

static void linear_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct linear_layer layer = step_linear(&cheetah_own(layout)->steps, number);
  linear_cost(cost, &layer, &cheetah_own(layout)->steps.keys, samples);
}

static size_t linear_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct linear_layer layer = step_linear(&cheetah_own(layout)->steps, number);
  return linear_memory(&layer, samples, role);
}

const struct engine_gate cheetah_gates[GATE_COUNT] = {
    [GATE_LINEAR] = {linear_run, linear_declare, linear_most},
    [GATE_RELU_TRUNCATE] = STEP_GATE(relu),
    [GATE_MULTIPLY] = STEP_GATE(multiply),
    [GATE_MAXPOOL] = STEP_GATE(maxpool),
    [GATE_LOOKUP] = STEP_GATE(lookup),
    [GATE_COMPARE] = STEP_GATE(compare),
    [GATE_MATMUL] = {cheetah_matmul_run, cheetah_matmul_cost, cheetah_matmul_memory},
    [GATE_TOP_K] = STEP_GATE(top_k),
};
