/* The gates: for each its run, its cost and its memory, side by side. */
#include "engine/aby/aby.h"

static fusion_status linear_run(void *state, const struct gate_call *call) {
  struct aby *a = state;
  const struct layer_shape shape = step_layer(call->party->layout->program, call->number);
  const uint64_t *x = call->zero ? NULL : call->inputs[0];
  const struct program_weights *w = call->weights;
  const struct layer_weights server = w ? (struct layer_weights){w->weights, w->bias} : (struct layer_weights){0};
  const struct layer_weights *weights = w ? &server : NULL;
  if (aby_tuning(call->party->layout)->matrix)
    return triples_matrix(&a->party, &shape, weights, x, call->out, call->samples);
  return triples_layer(&a->party, &shape, weights, x, call->out, call->samples);
}

static void linear_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct layer_shape shape = step_layer(layout->program, number);
  if (aby_tuning(layout)->matrix)
    triples_matrix_cost(cost, &shape, samples);
  else
    triples_layer_cost(cost, &shape, samples);
}

static size_t linear_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct layer_shape shape = step_layer(layout->program, number);
  if (aby_tuning(layout)->matrix) return triples_matrix_memory(&shape, role, samples);
  return triples_layer_memory(&shape, samples); /* both alike */
}

static fusion_status multiply_run(void *state, const struct gate_call *call) {
  struct aby *a = state;
  const struct engine_layout *layout = call->party->layout;
  return triples_multiply(&a->party, call->inputs[0], call->inputs[1], call->out,
                          step_count(layout, call->number, call->samples),
                          step_at(layout, call->number)->out.ring_bits);
}

static void multiply_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct program_step *step = step_at(layout, number);
  triples_multiply_cost(cost, step_is_square(step), step_count(layout, number, samples), step->out.ring_bits);
}

static size_t multiply_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct program_step *step = step_at(layout, number);
  (void)role; /* both alike */
  return triples_multiply_memory(step_is_square(step), step_count(layout, number, samples), step->out.ring_bits);
}

const struct engine_gate aby_gates[GATE_COUNT] = {
    [GATE_LINEAR] = {linear_run, linear_declare, linear_most},
    [GATE_RELU_TRUNCATE] = STEP_GATE(relu),
    [GATE_MULTIPLY] = {multiply_run, multiply_declare, multiply_most},
    [GATE_MAXPOOL] = STEP_GATE(maxpool),
    [GATE_LOOKUP] = STEP_GATE(lookup),
    [GATE_COMPARE] = STEP_GATE(compare),
    [GATE_TOP_K] = STEP_GATE(top_k),
};
