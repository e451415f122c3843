/* The gates: for each its run, its cost and its memory, side by side. */
#include "engine/cheetah/cheetah.h"

static const struct program_step *step_at(const struct engine_layout *layout, uint32_t number) {
  return &layout->program->steps[number];
}
static size_t out_count(const struct engine_layout *layout, uint32_t number, size_t samples) {
  return samples * shape_size(step_at(layout, number)->out.shape);
}

static fusion_status linear_run(void *state, const struct gate_call *call) {
  const struct cheetah *c = state;
  const struct linear_layer layer = step_linear(&cheetah_own(call->party->layout)->steps, call->number);
  const uint64_t *x = call->inputs[0];
  if (!call->weights) return linear_client(c->rlwe, &layer, x, call->out, call->samples);
  return linear_server(c->rlwe, &layer, call->weights->weights, call->weights->bias, call->zero ? NULL : x, call->out,
                       call->samples);
}

static void linear_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct linear_layer layer = step_linear(&cheetah_own(layout)->steps, number);
  linear_cost(cost, &layer, &cheetah_own(layout)->steps.keys, samples);
}

static size_t linear_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct linear_layer layer = step_linear(&cheetah_own(layout)->steps, number);
  return linear_memory(&layer, samples, role);
}

static fusion_status relu_run(void *state, const struct gate_call *call) {
  struct cheetah *c = state;
  const struct relu_truncate params = step_relu(&cheetah_own(call->party->layout)->steps, call->number);
  const size_t count = out_count(call->party->layout, call->number, call->samples);
  return relu_truncate(&c->party, &params, call->inputs[0], call->out, count);
}

static void relu_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct relu_truncate params = step_relu(&cheetah_own(layout)->steps, number);
  relu_truncate_cost(cost, &params, out_count(layout, number, samples));
}

static size_t relu_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct relu_truncate params = step_relu(&cheetah_own(layout)->steps, number);
  return relu_truncate_memory(&params, role, out_count(layout, number, samples));
}

static bool is_square(const struct program_step *step) {
  return step->inputs[0] == step->inputs[1];
}

static fusion_status multiply_run(void *state, const struct gate_call *call) {
  struct cheetah *c = state;
  const struct engine_layout *layout = call->party->layout;
  return multiply(&c->party, call->inputs[0], call->inputs[1], call->out,
                  out_count(layout, call->number, call->samples), step_at(layout, call->number)->out.ring_bits);
}

static void multiply_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct program_step *step = step_at(layout, number);
  multiply_cost(cost, is_square(step), out_count(layout, number, samples), step->out.ring_bits);
}

static size_t multiply_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct program_step *step = step_at(layout, number);
  (void)role; /* both alike */
  return multiply_memory(is_square(step), out_count(layout, number, samples), step->out.ring_bits);
}

static fusion_status maxpool_run(void *state, const struct gate_call *call) {
  struct cheetah *c = state;
  const struct program *program = call->party->layout->program;
  const struct maxpool params = step_maxpool(program, call->number);
  const size_t planes = call->samples * program->steps[call->number].out.shape.channels;
  return maxpool(&c->party, &params, call->inputs[0], call->out, planes);
}

static void maxpool_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct maxpool params = step_maxpool(layout->program, number);
  maxpool_cost(cost, &params, samples * step_at(layout, number)->out.shape.channels);
}

static size_t maxpool_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct maxpool params = step_maxpool(layout->program, number);
  return maxpool_memory(&params, role, samples * step_at(layout, number)->out.shape.channels);
}

static fusion_status lookup_run(void *state, const struct gate_call *call) {
  struct cheetah *c = state;
  const struct engine_layout *layout = call->party->layout;
  const struct lookup params = step_lookup(layout->program, call->number);
  return lookup(&c->party, &params, call->inputs[0], call->out, out_count(layout, call->number, call->samples));
}

static void lookup_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct lookup params = step_lookup(layout->program, number);
  lookup_cost(cost, &params, out_count(layout, number, samples));
}

static size_t lookup_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct lookup params = step_lookup(layout->program, number);
  return lookup_memory(&params, role, out_count(layout, number, samples));
}

static fusion_status top_k_run(void *state, const struct gate_call *call) {
  struct cheetah *c = state;
  const struct top_k params = step_top_k(call->party->layout->program);
  return top_k(&c->party, &params, call->inputs[0], call->out, call->values, call->samples);
}

static void top_k_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct top_k params = step_top_k(layout->program);
  (void)number; /* the last */
  top_k_cost(cost, &params, samples);
}

static size_t top_k_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct top_k params = step_top_k(layout->program);
  (void)number;
  return top_k_memory(&params, role, samples);
}

const struct engine_gate cheetah_gates[GATE_COUNT] = {
    [GATE_LINEAR] = {linear_run, linear_declare, linear_most},
    [GATE_RELU_TRUNCATE] = {relu_run, relu_declare, relu_most},
    [GATE_MULTIPLY] = {multiply_run, multiply_declare, multiply_most},
    [GATE_MAXPOOL] = {maxpool_run, maxpool_declare, maxpool_most},
    [GATE_LOOKUP] = {lookup_run, lookup_declare, lookup_most},
    [GATE_TOP_K] = {top_k_run, top_k_declare, top_k_most},
};
