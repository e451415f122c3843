/* What sci-ot derives from a program, and which programs it refuses. */
#include "engine/sci_ot/sci_ot.h"

/* Below 2^69 in all for one layer; counted as a double, exact enough for a limit. */
static double linear_bytes(const struct layer_shape *q) {
  return (double)layer_weight_count(q) * q->out_h * q->out_w * product_cot_bits(q) / 8;
}

/* Of a step whose products are by oblivious transfer; 0 for others. */
static double product_bytes(const struct program *program, uint32_t number) {
  const struct program_step *step = &program->steps[number];
  const enum operator_gate gate = step_operator(step)->gate;
  if (gate == GATE_MATMUL) {
    const struct matrix_product m = step_matrix_product(program, step);
    const double bits = step->out.ring_bits * (step->out.ring_bits + 1.0);
    return (double)matrix_product_left(&m) * m.columns * bits / 8;
  }
  if (gate != GATE_LINEAR) return 0;
  const struct layer_shape q = step_layer(program, number);
  return linear_bytes(&q);
}

/* Refuses programs whose linear layers would take too much traffic, with the largest of them. */
static fusion_status check_traffic(const struct engine_layout *layout, fusion_error *err) {
  const struct program *program = layout->program;
  double sum = 0, most = 0;
  uint32_t largest = 0;
  for (uint32_t i = 1; i < program->count; i++) {
    const double bytes = product_bytes(program, i);
    sum += bytes;
    if (bytes > most) {
      most = bytes;
      largest = i;
    }
  }
  if (sum <= (double)SCI_OT_SAMPLE_MAX) return FUSION_OK;
  return error_set(err, FUSION_E_MODEL,
                   "layer '%s': its products take %.3g GiB a sample, those of all layers %.3g GiB, where the %s engine "
                   "takes %.3g at most; use another engine (cheetah)",
                   program->steps[largest].name, most / 0x1p30, sum / 0x1p30, layout->engine->name,
                   (double)SCI_OT_SAMPLE_MAX / 0x1p30);
}

static fusion_status out_of_memory(fusion_error *err) {
  return error_set(err, FUSION_E_MEMORY, "out of memory for a layout of the program");
}

/* Correlations for the session: how many it will take in each direction. */
static fusion_status size_silent(const struct engine_layout *layout, struct sci_ot_layout *own, fusion_error *err) {
  struct cost cost = {0};
  if (!sci_ot_tuning(layout)->silent) return FUSION_OK;
  engine_run_cost(&cost, layout, layout->expected_samples);
  own->silent = (struct silent_params){.profile = SILENT_LAN,
                                       .expected_server_sends = cost.cots_server_sends,
                                       .expected_client_sends = cost.cots_client_sends};
  return cost.out_of_memory ? out_of_memory(err) : FUSION_OK;
}

fusion_status sci_ot_layout_open(struct engine_layout *layout, fusion_error *err) {
  fusion_status status;
  struct sci_ot_layout *own = layout->own = mem_alloc(1, sizeof *own);
  FAIL_IF(!own, out_of_memory(err));
  own->style.shape = CARRY_FIXED;
  TRY(check_traffic(layout, err));
  TRY(size_silent(layout, own, err));
  return FUSION_OK;
cleanup:
  sci_ot_layout_close(layout);
  return status;
}

void sci_ot_layout_close(struct engine_layout *layout) {
  mem_free(layout->own);
  layout->own = NULL;
}
