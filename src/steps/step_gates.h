/** steps: how the steps of a program map to the public parameters of the protocols: one place for the engines, for a
 *  run, its cost and its memory.
 *
 *  This file: what engines have in common, and gates that differ between them in a style at most. An engine that uses
 *  them has a `struct party` as the first member of its state, and a `struct step_style` as the first member of what
 *  its layout_open makes. */
#ifndef FUSION_STEPS_STEP_GATES_H
#define FUSION_STEPS_STEP_GATES_H

#include "engine/engine.h"
#include "gates/gates.h"

struct step_style {
  enum carry_shape shape; /* of the comparison trees */
  enum garbling garbled;  /* Relu, comparisons, pooling, functions and top-k */
  const uint8_t *terms;   /* borrowed: noise terms of raw tensors (encrypted_steps.h); NULL: shares are exact */
};

static inline const struct program_step *step_at(const struct engine_layout *layout, uint32_t number) {
  return &layout->program->steps[number];
}
/** Elements of the step's tensor. */
static inline size_t step_count(const struct engine_layout *layout, uint32_t number, size_t samples) {
  return samples * shape_size(step_at(layout, number)->out.shape);
}
static inline bool step_is_square(const struct program_step *step) {
  return step->inputs[0] == step->inputs[1];
}

struct layer_shape step_layer(const struct program *program, uint32_t number);

#define STEP_GATE_DECLARED(gate)                                                                                   \
  fusion_status step_##gate##_run(void *state, const struct gate_call *call);                                      \
  void step_##gate##_cost(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples); \
  size_t step_##gate##_memory(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role)
STEP_GATE_DECLARED(relu);
STEP_GATE_DECLARED(multiply); /* by oblivious transfer; no style */
STEP_GATE_DECLARED(maxpool);
STEP_GATE_DECLARED(lookup);
STEP_GATE_DECLARED(compare);
STEP_GATE_DECLARED(matmul); /* by oblivious transfer; no style */
STEP_GATE_DECLARED(top_k);
#undef STEP_GATE_DECLARED

/** A row of an engine's gates. */
#define STEP_GATE(gate) \
  { step_##gate##_run, step_##gate##_cost, step_##gate##_memory }

#endif
