/* Floor, Ceil and Round of activations. A layer of ones takes a half off and what it gives is rounded to whole numbers
 * where it becomes clean. Fixed point has whole numbers only to within a unit: so values that little below one count as
 * it, which also decides Round's ties, to even numbers. A second layer of ones frees what follows from the unit 1. */
#include "onnx/onnx_ops.h"

enum { LIMIT = 1 << 15 };
static const float nearly_whole = 0x1p-9f;

static fusion_status ones(struct call *c, uint32_t from, float bias, uint32_t *to) {
  const uint32_t channels = c->im->g->nodes[from].shape.channels;
  float *w = mem_alloc(channels, sizeof *w), *b = mem_alloc(channels, sizeof *b);
  const struct graph_linear_spec spec = {.name = "ones",
                                         .input = from,
                                         .out_channels = channels,
                                         .groups = channels,
                                         .window = window_make(1, 1, 1),
                                         .weights = w,
                                         .bias = b};
  fusion_status status = w && b ? FUSION_OK : call_out_of_memory(c);
  for (uint32_t i = 0; status == FUSION_OK && i < channels; i++) {
    w[i] = 1;
    b[i] = bias;
  }
  if (status == FUSION_OK) status = call_added(c, graph_add_linear(c->im->g, &spec, to));
  if (status == FUSION_OK) call_name_node(c, *to);
  mem_free(w);
  mem_free(b);
  return status;
}

/* floor(scale * x + bias). */
static fusion_status floor_of(struct call *c, double scale, double bias, struct value *out) {
  struct value x = *c->in[0];
  fusion_status status;
  if (scale < 1 || scale > 1 || bias < 0 || bias > 0) TRY(value_scale(c, c->in[0], scale, bias, &x));
  TRY(ones(c, x.node, nearly_whole - 0.5F, &x.node));
  TRY(call_added(c, graph_add_quantise(c->im->g, x.node, 1, -LIMIT, LIMIT, &x.node)));
  call_name_node(c, x.node);
  TRY(ones(c, x.node, 0, &x.node));
  *out = x;
cleanup:
  return status;
}

/* Ceil: -floor(-x). Round: ties go to the even number, so those above an even one do not count, and those above an odd
 * one do: floor(x / 2 + 1 / 4) + ceil(x / 2 - 1 / 4). */
fusion_status op_round(struct call *c) {
  const char *op = c->node->op_type;
  struct value out, down;
  fusion_status status;
  if (c->in[0]->integer) return op_identity(c);
  if (!strcmp(op, "Floor")) {
    TRY(floor_of(c, 1, 0, &out));
  } else if (!strcmp(op, "Ceil")) {
    TRY(floor_of(c, -1, 0, &out));
    TRY(value_scale(c, &out, -1, 0, &out));
  } else {
    TRY(floor_of(c, 0.5, 0.25, &out));
    TRY(floor_of(c, -0.5, 0.25, &down));
    TRY(value_binary(c, '-', &out, &down, &out));
  }
  TRY(call_set(c, 0, &out));
cleanup:
  return status;
}
