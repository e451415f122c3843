/* The gates: for each its run, its cost and its memory, side by side. */
#include "engine/sci_he/sci_he.h"

/* A linear layer at work. */
struct linear_work {
  struct sci_he *c;
  const struct gate_call *call;
  uint64_t *field, *rest; /* [outputs]; client: [inputs], what is left of x after the pieces so far */
  size_t outputs, inputs;
};

/* x less its lowest piece, read as signed, and down by its width. */
static void drop_piece(uint64_t *x, size_t count, unsigned bits) {
  for (size_t i = 0; i < count; i++) x[i] = (uint64_t)((int64_t)(x[i] - (uint64_t)ring_signed(x[i], bits)) >> bits);
}

static fusion_status add_piece(struct linear_work *w, unsigned number) {
  fusion_status status;
  const struct gate_call *call = w->call;
  const struct engine_layout *layout = call->party->layout;
  const struct sci_he_piece piece = sci_he_piece(layout, call->number, number);
  struct slots_layout l;
  const char *why;
  TRY(slots_layout_make(&l, &piece.layer, call->samples, &why));
  const struct field_ring params = sci_he_field(&l, layout, call->number, piece.shift);
  if (call->weights) TRY(slots_linear_server(w->c->slots, &l, call->weights->weights, w->field));
  if (!call->weights) TRY(slots_linear_client(w->c->slots, &l, w->rest, w->field));
  TRY(field_ring(&w->c->party, &params, w->field, w->field, w->outputs));
  for (size_t i = 0; i < w->outputs; i++) call->out[i] += w->field[i] << piece.shift;
  if (!call->weights) drop_piece(w->rest, w->inputs, piece.layer.ring_bits);
cleanup:
  slots_layout_free(&l);
  return status;
}

/* The server's own product, and the bias. */
static void set_own(const struct linear_work *w) {
  const struct gate_call *call = w->call;
  const struct sci_he_piece piece = sci_he_piece(call->party->layout, call->number, 0);
  slots_linear_local(&piece.layer, call->weights->weights, call->weights->bias, call->zero ? NULL : call->inputs[0],
                     call->out, call->samples);
}

static size_t in_count(const struct engine_layout *layout, uint32_t number, size_t samples) {
  return samples * shape_size(step_input(layout->program, step_at(layout, number), 0)->shape);
}

static fusion_status linear_run(void *state, const struct gate_call *call) {
  fusion_status status = FUSION_OK;
  struct sci_he *c = state;
  const struct engine_layout *layout = call->party->layout;
  const unsigned ring = step_at(layout, call->number)->out.ring_bits;
  struct linear_work w = {.c = c, .call = call, .outputs = step_count(layout, call->number, call->samples)};
  w.inputs = call->weights ? 0 : in_count(layout, call->number, call->samples);
  w.field = heap_take(c->party.heap, w.outputs, sizeof *w.field);
  w.rest = heap_take(c->party.heap, w.inputs, sizeof *w.rest);
  FAIL_IF(!w.field || !w.rest, FUSION_E_MEMORY);
  for (size_t i = 0; i < w.inputs; i++) w.rest[i] = (uint64_t)ring_signed(call->inputs[0][i], ring);
  if (call->weights) set_own(&w);
  for (unsigned k = 0; k < sci_he_own(layout)->pieces[call->number]; k++) TRY(add_piece(&w, k));
  for (size_t i = 0; i < w.outputs; i++) call->out[i] &= low_mask(ring);
cleanup:
  heap_give(c->party.heap, w.field, w.outputs * sizeof *w.field);
  heap_give(c->party.heap, w.rest, w.inputs * sizeof *w.rest);
  return status;
}

static void linear_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  sci_he_linear_cost(cost, layout, number, samples, &sci_he_own(layout)->sent);
}

static size_t linear_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct sci_he_piece piece = sci_he_piece(layout, number, 0);
  const size_t outputs = step_count(layout, number, samples), inputs = in_count(layout, number, samples);
  struct slots_layout l;
  const char *why;
  if (slots_layout_make(&l, &piece.layer, samples, &why) != FUSION_OK) return SIZE_MAX;
  const struct field_ring params = sci_he_field(&l, layout, number, 0);
  const size_t len = size_max(slots_linear_memory(&l, role), field_ring_memory(&params, role, outputs));
  slots_layout_free(&l);
  return len + (outputs + (role == ROLE_CLIENT ? inputs : 0)) * sizeof(uint64_t);
}

const struct engine_gate sci_he_gates[GATE_COUNT] = {
    [GATE_LINEAR] = {linear_run, linear_declare, linear_most},
    [GATE_RELU_TRUNCATE] = STEP_GATE(relu),
    [GATE_MULTIPLY] = STEP_GATE(multiply),
    [GATE_MAXPOOL] = STEP_GATE(maxpool),
    [GATE_LOOKUP] = STEP_GATE(lookup),
    [GATE_COMPARE] = STEP_GATE(compare),
    [GATE_MATMUL] = STEP_GATE(matmul),
    [GATE_TOP_K] = STEP_GATE(top_k),
};
