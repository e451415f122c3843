/* What aby derives from a program, and which programs it refuses. */
#include "engine/aby/aby.h"

/* Bytes of one product's triple and openings, correlations included. */
static double product_bytes(unsigned ring_bits, bool square) {
  struct cost cost = {0};
  enum { MANY = 4096 };
  triples_multiply_cost(&cost, square, MANY, ring_bits);
  const double correlations = (double)cost.cots_server_sends + (double)cost.cots_client_sends;
  const double bytes = (double)cost.bytes_to_server + (double)cost.bytes_to_client;
  return (bytes + correlations * 16 / SOFTSPOKEN_FIELD_BITS) / MANY;
}

static double step_bytes(const struct engine_layout *layout, uint32_t number) {
  const struct program *program = layout->program;
  const struct program_step *step = &program->steps[number];
  const enum operator_gate gate = step_operator(step)->gate;
  if (gate == GATE_MULTIPLY)
    return (double)shape_size(step->out.shape) * product_bytes(step->out.ring_bits, step->inputs[0] == step->inputs[1]);
  if (gate != GATE_LINEAR) return 0;
  const struct layer_shape q = step_layer(program, number);
  const double bytes =
      aby_tuning(layout)->matrix ? triples_matrix_bytes(q.ring_bits) : product_bytes(q.ring_bits, false);
  return (double)layer_weight_count(&q) * q.out_h * q.out_w * bytes;
}

/* Refuses programs whose triples would take too much traffic, with the largest of their layers. */
static fusion_status check_traffic(const struct engine_layout *layout, fusion_error *err) {
  const struct program *program = layout->program;
  double sum = 0, most = 0;
  uint32_t largest = 0;
  for (uint32_t i = 1; i < program->count; i++) {
    const double bytes = step_bytes(layout, i);
    sum += bytes;
    if (bytes > most) {
      most = bytes;
      largest = i;
    }
  }
  if (sum <= (double)ABY_SAMPLE_MAX) return FUSION_OK;
  return error_set(
      err, FUSION_E_MODEL,
      "layer '%s': its triples take %.3g GiB a sample and those of all layers %.3g GiB, where the %s engine "
      "takes %.3g at most; use another engine (cheetah)",
      program->steps[largest].name, most / 0x1p30, sum / 0x1p30, layout->engine->name, (double)ABY_SAMPLE_MAX / 0x1p30);
}

fusion_status aby_layout_open(struct engine_layout *layout, fusion_error *err) {
  const fusion_status status = check_traffic(layout, err);
  if (status != FUSION_OK) return status;
  struct aby_layout *own = layout->own = mem_alloc(1, sizeof *own);
  if (!own) return error_set(err, FUSION_E_MEMORY, "out of memory for a layout of the program");
  own->style.garbled = GARBLED_NOW;
  return FUSION_OK;
}

void aby_layout_close(struct engine_layout *layout) {
  mem_free(layout->own);
  layout->own = NULL;
}
