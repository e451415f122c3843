/** MATMUL: products of two tensors' matrices. */
#include "program/operators.h"

struct matrix_product step_matrix_product(const struct program *program, const struct program_step *step) {
  const struct shape a = step_input(program, step, 0)->shape;
  return (struct matrix_product){.channels = a.channels,
                                 .rows = a.height,
                                 .depth = a.width,
                                 .columns = step->out.shape.width,
                                 .transposed = step->transpose};
}

static void run_matmul(const struct operator_run *r) {
  const struct matrix_product q = step_matrix_product(r->program, r->step);
  const size_t left = matrix_product_left(&q), right = matrix_product_right(&q), size = matrix_product_size(&q);
  const uint64_t *a = (const uint64_t *)r->inputs[0], *b = (const uint64_t *)r->inputs[1];
  uint64_t *y = (uint64_t *)r->out;
  for (size_t s = 0; s < r->samples; s++) matrix_product_run(&q, a + s * left, b + s * right, y + s * size);
  for (size_t i = 0; i < r->samples * size; i++) r->out[i] = ring_signed(y[i], r->step->out.ring_bits);
}

static complaint check_matmul(const struct program *program, const struct program_step *s) {
  const struct shape a = step_input(program, s, 0)->shape, b = step_input(program, s, 1)->shape, y = s->out.shape;
  if (a.channels != b.channels || a.channels != y.channels) return "its channels differ";
  if (a.width != (s->transpose ? b.width : b.height)) return "its matrices do not fit each other";
  if (a.height != y.height || y.width != (s->transpose ? b.height : b.width)) return "its product has another shape";
  return NULL;
}

/** A sum of as many products as the matrices are deep. */
static unsigned matmul_width(const struct operator_width *w) {
  const struct program_step *s = &w->program->steps[w->step];
  return w->in[0] + w->in[1] + log2_up(step_input(w->program, s, 0)->shape.width);
}

const struct program_operator operator_matmul = {
    .name = "matmul",
    .inputs_least = 2,
    .inputs_most = 2,
    .fields = FIELD_TRANSPOSE,
    .raw = RAW_MAKES,
    .scale = SCALE_PRODUCT,
    .gate = GATE_MATMUL,
    .stage = STAGE_MULTIPLY,
    .free_shape = true,
    .check = check_matmul,
    .run = run_matmul,
    .width = matmul_width,
};
