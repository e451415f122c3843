/* The gates: for each its run, its cost and its memory, side by side. */
#include "engine/aby/aby.h"

static const struct program_step *step_at(const struct engine_layout *layout, uint32_t number) {
  return &layout->program->steps[number];
}
static size_t out_count(const struct engine_layout *layout, uint32_t number, size_t samples) {
  return samples * shape_size(step_at(layout, number)->out.shape);
}

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

static fusion_status relu_run(void *state, const struct gate_call *call) {
  struct aby *a = state;
  const struct relu_truncate params = aby_relu(call->party->layout->program, call->number);
  const size_t count = out_count(call->party->layout, call->number, call->samples);
  return relu_truncate(&a->party, &params, call->inputs[0], call->out, count);
}

static void relu_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct relu_truncate params = aby_relu(layout->program, number);
  relu_truncate_cost(cost, &params, out_count(layout, number, samples));
}

static size_t relu_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct relu_truncate params = aby_relu(layout->program, number);
  return relu_truncate_memory(&params, role, out_count(layout, number, samples));
}

static bool is_square(const struct program_step *step) {
  return step->inputs[0] == step->inputs[1];
}

static fusion_status multiply_run(void *state, const struct gate_call *call) {
  struct aby *a = state;
  const struct engine_layout *layout = call->party->layout;
  return triples_multiply(&a->party, call->inputs[0], call->inputs[1], call->out,
                          out_count(layout, call->number, call->samples), step_at(layout, call->number)->out.ring_bits);
}

static void multiply_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct program_step *step = step_at(layout, number);
  triples_multiply_cost(cost, is_square(step), out_count(layout, number, samples), step->out.ring_bits);
}

static size_t multiply_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct program_step *step = step_at(layout, number);
  (void)role; /* both alike */
  return triples_multiply_memory(is_square(step), out_count(layout, number, samples), step->out.ring_bits);
}

static fusion_status maxpool_run(void *state, const struct gate_call *call) {
  struct aby *a = state;
  const struct program *program = call->party->layout->program;
  const struct maxpool params = aby_maxpool(program, call->number);
  const size_t planes = call->samples * program->steps[call->number].out.shape.channels;
  return maxpool(&a->party, &params, call->inputs[0], call->out, planes);
}

static void maxpool_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct maxpool params = aby_maxpool(layout->program, number);
  maxpool_cost(cost, &params, samples * step_at(layout, number)->out.shape.channels);
}

static size_t maxpool_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct maxpool params = aby_maxpool(layout->program, number);
  return maxpool_memory(&params, role, samples * step_at(layout, number)->out.shape.channels);
}

static fusion_status top_k_run(void *state, const struct gate_call *call) {
  struct aby *a = state;
  const struct top_k params = aby_top_k(call->party->layout->program);
  return top_k(&a->party, &params, call->inputs[0], call->out, call->values, call->samples);
}

static void top_k_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct top_k params = aby_top_k(layout->program);
  (void)number; /* the last */
  top_k_cost(cost, &params, samples);
}

static size_t top_k_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct top_k params = aby_top_k(layout->program);
  (void)number;
  return top_k_memory(&params, role, samples);
}

const struct engine_gate aby_gates[GATE_COUNT] = {
    [GATE_LINEAR] = {linear_run, linear_declare, linear_most},
    [GATE_RELU_TRUNCATE] = {relu_run, relu_declare, relu_most},
    [GATE_MULTIPLY] = {multiply_run, multiply_declare, multiply_most},
    [GATE_MAXPOOL] = {maxpool_run, maxpool_declare, maxpool_most},
    [GATE_TOP_K] = {top_k_run, top_k_declare, top_k_most},
};
