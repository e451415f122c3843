/* Products of matrices: by encryption where that takes fewer bytes than by correlations. */
#include "engine/cheetah/cheetah.h"

static struct matrix_layer matrix_of(const struct engine_layout *layout, uint32_t number) {
  const struct program_step *step = step_at(layout, number);
  return (struct matrix_layer){.product = step_matrix_product(layout->program, step),
                               .ring_bits = step->out.ring_bits,
                               .guard_bits = layout->guard_bits[number],
                               .levels = cheetah_own(layout)->levels[number]};
}

/* Bytes both ways of a run of all samples that the session expects. */
static double total_of(const struct cost *cost) {
  return (double)cost->bytes_to_server + (double)cost->bytes_to_client;
}

static uint8_t choose_levels(const struct engine_layout *layout, uint32_t number) {
  struct matrix_layer layer = matrix_of(layout, number);
  const struct rlwe_keys keys = {.levels = layer.levels = matrix_choose_levels(&layer, layout->expected_samples)};
  struct cost encrypted = {0}, correlated = {0};
  if (!layer.levels) return 0;
  matrix_cost(&encrypted, &layer, layout->expected_samples);
  rlwe_open_cost(&encrypted, &keys);
  step_matmul_cost(&correlated, layout, number, layout->expected_samples);
  return total_of(&encrypted) < total_of(&correlated) ? layer.levels : 0;
}

fusion_status cheetah_choose_matrices(const struct engine_layout *layout) {
  struct cheetah_layout *own = layout->own;
  own->levels = mem_alloc(layout->program->count, sizeof *own->levels);
  if (!own->levels) return FUSION_E_MEMORY;
  for (uint32_t i = 1; i < layout->program->count; i++) {
    if (step_operator(step_at(layout, i))->gate != GATE_MATMUL) continue;
    own->levels[i] = choose_levels(layout, i);
    const struct matrix_layer layer = matrix_of(layout, i);
    if (layer.levels) rlwe_keys_add_matrix(&own->steps.keys, &layer);
  }
  return FUSION_OK;
}

struct matrix_work cheetah_matrix_work(const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct matrix_layer layer = matrix_of(layout, number);
  return layer.levels ? matrix_work(&layer, samples) : (struct matrix_work){0};
}

fusion_status cheetah_matmul_run(void *state, const struct gate_call *call) {
  const struct cheetah *c = state;
  const struct matrix_layer layer = matrix_of(call->party->layout, call->number);
  if (!layer.levels) return step_matmul_run(state, call);
  const uint64_t *a = call->inputs[0], *b = call->inputs[1];
  if (call->party->role == ROLE_SERVER) return matrix_server(c->rlwe, &layer, a, b, call->out, call->samples);
  return matrix_client(c->rlwe, &layer, a, b, call->out, call->samples);
}

void cheetah_matmul_cost(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct matrix_layer layer = matrix_of(layout, number);
  if (layer.levels)
    matrix_cost(cost, &layer, samples);
  else
    step_matmul_cost(cost, layout, number, samples);
}

size_t cheetah_matmul_memory(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct matrix_layer layer = matrix_of(layout, number);
  return layer.levels ? matrix_memory(&layer, role) : step_matmul_memory(layout, number, samples, role);
}
