/* Reductions along axes (a pooling over one wide window), and what stands at the end of a classifier. */
#include <math.h>

#include "onnx/onnx_layout.h"

struct reduction {
  bool axis[MAX_RANK];
  struct dims kept; /* the result's dimensions */
  uint32_t perm[MAX_RANK];
  bool trailing; /* the reduced axes come last already */
  size_t count;  /* elements that become one */
};

/* What follows from the axes. */
static void reduction_set(struct reduction *r, const struct dims *in, bool keep) {
  uint32_t n = 0;
  for (uint32_t k = 0; k < in->rank; k++) {
    if (!r->axis[k]) r->perm[n++] = k;
    if (!r->axis[k] || keep) dims_push(&r->kept, r->axis[k] ? 1 : in->d[k]);
  }
  const uint32_t first = n;
  r->count = 1;
  for (uint32_t k = 0; k < in->rank; k++) {
    if (!r->axis[k]) continue;
    r->perm[n++] = k;
    r->count *= in->d[k];
  }
  r->trailing = true;
  for (uint32_t k = 0; k < first; k++) r->trailing = r->trailing && r->perm[k] == k;
}

static fusion_status refuse_batch(const struct call *c, const struct value *x, const struct reduction *r) {
  if (!value_is_batched(x) || !x->dims.rank || !r->axis[x->batch_axis]) return FUSION_OK;
  return call_refuse(c, "reduce other axes only", "works across the batch dimension");
}

static fusion_status reduction_program(const struct call *c, struct reduction *r) {
  const struct dims *in = value_dims(c->in[0]);
  int64_t axes[MAX_RANK];
  size_t count;
  const fusion_status status = call_integers(c, "axes", 1, axes, &count);
  if (status != FUSION_OK) return status;
  if ((count == SIZE_MAX || count == 0) && !attr_int(c, "noop_with_empty_axes", 0)) {
    for (count = 0; count < in->rank; count++) axes[count] = (int64_t)count;
  }
  if (count == SIZE_MAX) count = 0;
  if (!axes_set(axes, count, in->rank, r->axis)) return call_malformed(c, "has axes outside its input");
  reduction_set(r, in, attr_int(c, "keepdims", 1) != 0);
  return refuse_batch(c, c->in[0], r);
}

static bool is_op(const struct call *c, const char *name) {
  return !strcmp(c->node->op_type, name);
}

static double reduce_step(const struct call *c, double acc, double v) {
  if (is_op(c, "ReduceProd")) return acc * v;
  if (is_op(c, "ReduceMax")) return fmax(acc, v);
  if (is_op(c, "ReduceMin")) return fmin(acc, v);
  if (is_op(c, "ReduceL1")) return acc + fabs(v);
  if (is_op(c, "ReduceSumSquare") || is_op(c, "ReduceL2")) return acc + v * v;
  if (is_op(c, "ReduceLogSumExp")) return acc + exp(v);
  return acc + v;
}

static double reduce_end(const struct call *c, double acc, size_t count) {
  if (is_op(c, "ReduceMean")) return acc / (double)count;
  if (is_op(c, "ReduceL2")) return sqrt(acc);
  return is_op(c, "ReduceLogSum") || is_op(c, "ReduceLogSumExp") ? log(acc) : acc;
}

/* `count` integers, wrapping at the type's width. */
static int64_t reduce_integers(const struct call *c, int32_t type, const int64_t *v, size_t count) {
  const char *name = is_op(c, "ReduceProd")  ? "Mul"
                     : is_op(c, "ReduceMax") ? "Max"
                     : is_op(c, "ReduceMin") ? "Min"
                                             : "Add";
  const struct integer_op *op = integer_op_find(name);
  int64_t acc = is_op(c, "ReduceProd") ? 1 : 0;
  for (size_t k = 0; k < count; k++) {
    int64_t x = v[k];
    if (is_op(c, "ReduceL1")) integer_unary("Abs", type, x, &x);
    if (is_op(c, "ReduceSumSquare")) integer_apply(integer_op_find("Mul"), type, x, x, &x);
    if (k == 0) acc = x;
    if (k > 0) integer_apply(op, type, acc, x, &acc);
  }
  if (is_op(c, "ReduceMean") && count) integer_apply(integer_op_find("Div"), type, acc, (int64_t)count, &acc);
  return acc;
}

static fusion_status reduce_constant(struct call *c, const struct reduction *r) {
  const struct tensor *x = c->in[0]->constant;
  struct value turned = {0};
  const fusion_status status = value_transpose(c, c->in[0], r->perm, &turned);
  if (status != FUSION_OK) return status;
  struct tensor *t = tensor_alloc(&r->kept, x->type);
  const size_t count = dims_size(&r->kept);
  for (size_t i = 0; t && i < count; i++) {
    if (t->i) {
      t->i[i] = reduce_integers(c, x->type, turned.constant->i + i * r->count, r->count);
      continue;
    }
    double acc = is_op(c, "ReduceProd") ? 1 : is_op(c, "ReduceMax") ? -INFINITY : is_op(c, "ReduceMin") ? INFINITY : 0;
    for (size_t k = 0; k < r->count; k++) acc = reduce_step(c, acc, tensor_get(turned.constant, i * r->count + k));
    tensor_set(t, i, reduce_end(c, acc, r->count));
  }
  tensor_free(turned.constant);
  return t ? call_set_constant(c, 0, t) : call_out_of_memory(c);
}

/* Mean, sum or maximum over the reduced axes: the spatial sides of a feature map, or one row of a rearranged tensor. */
static fusion_status reduce_window(struct call *c, const struct reduction *r, enum reduce kind, struct value *x) {
  const struct shape now = c->im->g->nodes[x->node].shape;
  const size_t kept = dims_size(&r->kept);
  struct window w = window_make(now.height, now.width, 1);
  fusion_status status = FUSION_OK;
  if (!r->trailing || now.channels != kept) {
    if (!r->trailing) {
      struct value turned;
      TRY(value_transpose(c, x, r->perm, &turned));
      x->node = turned.node;
    }
    TRY(value_view(c, x, (struct shape){(uint32_t)kept, 1, (uint32_t)r->count}, &x->node));
    w = window_make(1, (uint32_t)r->count, 1);
  }
  TRY(call_added(c,
                 graph_add_pool(c->im->g, kind == REDUCE_MAX ? GRAPH_MAXPOOL : GRAPH_AVGPOOL, x->node, w, &x->node)));
  c->im->g->nodes[x->node].sum = kind == REDUCE_SUM;
  call_name_node(c, x->node);
cleanup:
  return status;
}

fusion_status value_reduce(struct call *c, enum reduce kind, const struct value *x, const bool axis[MAX_RANK],
                           struct value *out) {
  struct reduction r = {0};
  memcpy(r.axis, axis, sizeof r.axis);
  reduction_set(&r, &x->dims, true);
  fusion_status status = refuse_batch(c, x, &r);
  *out = *x;
  if (status == FUSION_OK && r.count > 1) status = reduce_window(c, &r, kind, out);
  out->dims = r.kept;
  return status;
}

/* The result's dimensions, and where the batch is among them. */
static void take_kept(const struct reduction *r, struct value *x) {
  uint32_t gone = 0;
  for (uint32_t k = 0; k < x->batch_axis; k++) gone += r->axis[k];
  if (r->kept.rank < x->dims.rank) x->batch_axis -= gone;
  x->dims = r->kept;
}

/* Sums that a function follows. */
static fusion_status reduce_to_function(struct call *c, const struct reduction *r) {
  struct value x = *c->in[0], sum;
  fusion_status status;
  if (is_op(c, "ReduceLogSumExp")) {
    TRY(value_log_sum_exp(c, &x, r->axis, &sum));
  } else {
    const bool norm = is_op(c, "ReduceL2");
    if (norm) TRY(value_binary(c, '*', &x, &x, &x));
    TRY(value_reduce(c, REDUCE_SUM, &x, r->axis, &sum));
    if (norm) TRY(value_power(c, &sum, 0.5, &sum));
    if (!norm) TRY(value_activation(c, &sum, (struct activation_use){ACTIVATION_LOG, 1, 1, 0, 0}, &sum));
  }
  take_kept(r, &sum);
  TRY(call_set(c, 0, &sum));
cleanup:
  return status;
}

fusion_status op_reduce(struct call *c) {
  struct reduction r = {0};
  struct value x = *c->in[0];
  fusion_status status;
  TRY(reduction_program(c, &r));
  if (x.constant) return reduce_constant(c, &r);
  if (is_op(c, "ReduceL2") || is_op(c, "ReduceLogSum") || is_op(c, "ReduceLogSumExp")) return reduce_to_function(c, &r);
  if (is_op(c, "ReduceL1")) TRY(value_abs(c, &x, &x));
  if (is_op(c, "ReduceSumSquare")) TRY(value_binary(c, '*', &x, &x, &x));
  if (is_op(c, "ReduceProd")) return call_refuse(c, "use sums", "multiplies activations");
  const bool max = is_op(c, "ReduceMax"), min = is_op(c, "ReduceMin");
  if (r.count > 1) {
    if (min) TRY(value_scale(c, &x, -1, 0, &x));
    TRY(reduce_window(c, &r, max || min ? REDUCE_MAX : REDUCE_MEAN, &x));
  }
  take_kept(&r, &x);
  if (min && r.count > 1) TRY(value_scale(c, &x, -1, 0, &x));
  const bool sum = is_op(c, "ReduceSum") || is_op(c, "ReduceL1") || is_op(c, "ReduceSumSquare");
  if (sum && r.count > 1) TRY(value_scale(c, &x, (double)r.count, 0, &x));
  TRY(call_set(c, 0, &x));
cleanup:
  return status;
}

/* Element by element, at the end; the client applies it. */
fusion_status op_sigmoid(struct call *c) {
  struct value x = *c->in[0];
  const fusion_status status = call_added(c, graph_add_unary(c->im->g, GRAPH_SIGMOID, x.node, &x.node));
  if (status != FUSION_OK) return status;
  call_name_node(c, x.node);
  return call_set(c, 0, &x);
}
