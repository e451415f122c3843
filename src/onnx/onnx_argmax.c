/* Where the largest value is: at the end of a network, over all values of a sample, the client's answer; else numbers.
 * Those are exact: the maximum is one of the values, so comparing each with it gives zeros and ones, and sums of these
 * are whole. */
#include "onnx/onnx_ops.h"

static bool is(const struct call *c, const char *name) {
  return !strcmp(c->node->op_type, name);
}

/* Rows of values: [count][1][width]. */
struct rows {
  struct call *c;
  uint32_t node, count, width;
};

static fusion_status added(const struct rows *r, fusion_status status) {
  if (status == FUSION_OK) call_name_node(r->c, r->node);
  return call_added(r->c, status);
}

/* Value k of a row becomes value k + from of node `of`, or 0 outside its `wide` values; all the same value if `wide` is
 * 1. */
static fusion_status move(struct rows *r, uint32_t of, uint32_t wide, int64_t from) {
  struct gather_source *sources = mem_alloc((size_t)r->count * r->width, sizeof *sources);
  if (!sources) return call_out_of_memory(r->c);
  for (uint32_t row = 0; row < r->count; row++)
    for (uint32_t k = 0; k < r->width; k++) {
      const int64_t at = wide == 1 ? 0 : k + from;
      const bool inside = at >= 0 && at < wide;
      sources[(size_t)row * r->width + k].index = inside ? row * wide + (uint32_t)at : GATHER_ZERO;
    }
  const struct graph_gather_spec spec = {
      .name = "", .inputs = &of, .input_count = 1, .shape = {r->count, 1, r->width}, .sources = sources};
  const fusion_status status = added(r, graph_add_gather(r->c->im->g, &spec, &r->node));
  mem_free(sources);
  return status;
}

static fusion_status line(struct rows *r, float scale, float bias) {
  float *s = mem_alloc(r->count, sizeof *s), *b = mem_alloc(r->count, sizeof *b);
  fusion_status status = s && b ? FUSION_OK : call_out_of_memory(r->c);
  for (uint32_t i = 0; status == FUSION_OK && i < r->count; i++) {
    s[i] = scale;
    b[i] = bias;
  }
  if (status == FUSION_OK) status = added(r, graph_add_affine(r->c->im->g, r->node, s, b, &r->node));
  mem_free(s);
  mem_free(b);
  return status;
}

static fusion_status add(struct rows *r, uint32_t other) {
  return added(r, graph_add_binary(r->c->im->g, GRAPH_ADD, r->node, other, &r->node));
}

/* [x >= 0] */
static fusion_status compare(struct rows *r) {
  return added(r, graph_add_unary(r->c->im->g, GRAPH_COMPARE, r->node, &r->node));
}

/* 1 where a value is its row's largest, else 0. */
static fusion_status mark_largest(struct rows *r) {
  const uint32_t x = r->node, width = r->width;
  const struct window w = window_make(1, width, 1);
  fusion_status status;
  TRY(added(r, graph_add_pool(r->c->im->g, GRAPH_MAXPOOL, x, w, &r->node)));
  TRY(line(r, -1, 0));
  TRY(move(r, r->node, 1, 0));
  TRY(add(r, x));
  TRY(compare(r));
cleanup:
  return status;
}

/* Of zeros and ones: 1 from a row's first one on, or up to its last. */
static fusion_status mark_behind(struct rows *r, bool last) {
  fusion_status status = FUSION_OK;
  for (uint32_t step = 1; step < r->width; step *= 2) {
    const uint32_t sum = r->node;
    TRY(move(r, sum, r->width, last ? (int64_t)step : -(int64_t)step));
    TRY(add(r, sum));
  }
  TRY(line(r, 1, -1));
  TRY(compare(r));
cleanup:
  return status;
}

/* Sums of rows, by halves. */
static fusion_status sum(struct rows *r) {
  fusion_status status = FUSION_OK;
  while (r->width > 1) {
    const uint32_t all = r->node, wide = r->width;
    r->width = (wide + 1) / 2;
    TRY(move(r, all, wide, 0));
    const uint32_t left = r->node;
    TRY(move(r, all, wide, r->width));
    TRY(add(r, left));
  }
cleanup:
  return status;
}

/* The place of the first or the last of the largest values. From the first one on there are width - place values. */
static fusion_status places(struct rows *r, bool last) {
  const uint32_t width = r->width;
  fusion_status status;
  TRY(mark_largest(r));
  TRY(mark_behind(r, last));
  TRY(sum(r));
  TRY(last ? line(r, 1, -1) : line(r, -1, (float)width));
cleanup:
  return status;
}

/* Along one axis, which comes last. */
static fusion_status argmax_along(struct call *c, const struct value *x, uint32_t axis, uint32_t *node) {
  uint32_t perm[MAX_RANK], n = 0;
  struct value turned;
  fusion_status status;
  for (uint32_t k = 0; k < x->dims.rank; k++)
    if (k != axis) perm[n++] = k;
  perm[n] = axis;
  TRY(value_transpose(c, x, perm, &turned));
  struct rows r = {.c = c, .width = x->dims.d[axis]};
  r.count = (uint32_t)(dims_size(&x->dims) / r.width);
  TRY(value_view(c, &turned, (struct shape){r.count, 1, r.width}, &r.node));
  TRY(places(&r, attr_int(c, "select_last_index", 0) != 0));
  *node = r.node;
cleanup:
  return status;
}

/* At the end the client decides; where other layers follow, the second of both takes its place. */
static fusion_status argmax_of_all(struct call *c, struct value *x, uint32_t axis) {
  enum { INSIDE_MOST = 1 << 12 }; /* longer ones are ends, and need not be laid out */
  const bool inside = x->dims.d[axis] > 1 && x->dims.d[axis] <= INSIDE_MOST;
  uint32_t both[2] = {x->node, x->node};
  if (inside) {
    const fusion_status status = argmax_along(c, x, axis, &both[1]);
    if (status != FUSION_OK) return status;
  }
  struct graph_node *n = graph_add_node(c->im->g, GRAPH_ARGMAX, "argmax", both, inside ? 2 : 1);
  if (!n) return call_out_of_memory(c);
  n->shape = (struct shape){1, 1, 1};
  x->node = c->im->g->count - 1;
  call_name_node(c, x->node);
  return FUSION_OK;
}

/* ArgMax, and ArgMin as that of -x. */
fusion_status op_argmax(struct call *c) {
  struct value x = *c->in[0];
  uint32_t axis;
  fusion_status status = FUSION_OK;
  if (!axis_fix(attr_int(c, "axis", 0), x.dims.rank, &axis)) return call_malformed(c, "has an axis outside its input");
  if (value_batch_at(&x, axis))
    return call_refuse(c, "keep the samples of a batch apart", "works across the batch dimension");
  /* Softmax and Sigmoid keep the order. */
  const struct graph_node *from = &c->im->g->nodes[x.node];
  const bool all = x.dims.d[axis] == dims_size(&x.dims);
  if ((from->op == GRAPH_SOFTMAX && all) || from->op == GRAPH_SIGMOID) x.node = from->inputs[0];
  if (is(c, "ArgMin")) TRY(value_scale(c, &x, -1, 0, &x));
  struct dims dims = {0};
  for (uint32_t k = 0; k < x.dims.rank; k++)
    if (k != axis || attr_int(c, "keepdims", 1)) dims_push(&dims, k == axis ? 1 : x.dims.d[k]);
  TRY(all && !attr_int(c, "select_last_index", 0) ? argmax_of_all(c, &x, axis) : argmax_along(c, &x, axis, &x.node));
  if (dims.rank < x.dims.rank && axis < x.batch_axis) x.batch_axis--;
  x.dims = dims;
  x.integer = true;
  TRY(call_set(c, 0, &x));
cleanup:
  return status;
}
