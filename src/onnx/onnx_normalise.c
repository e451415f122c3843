/* Rows of values less their average, over their size: LayerNormalization and its relatives; Softmax and its logarithm.
 * What a row shares (maximum, sum) is one value, repeated along the axes by value_binary's broadcasting. */
#include <math.h>

#include "onnx/onnx_ops.h"

static bool is(const struct call *c, const char *name) {
  return !strcmp(c->node->op_type, name);
}

static size_t count_along(const struct value *x, const bool axis[MAX_RANK]) {
  size_t count = 1;
  for (uint32_t k = 0; k < x->dims.rank; k++) count *= axis[k] ? x->dims.d[k] : 1;
  return count;
}

static void axes_from(bool axis[MAX_RANK], uint32_t first, uint32_t end) {
  for (uint32_t k = 0; k < MAX_RANK; k++) axis[k] = k >= first && k < end;
}

/* x less its maximum along the axes; their exponentials; the logarithm of the sum of these. Each may be NULL. */
static fusion_status exponentials(struct call *c, const struct value *x, const bool axis[MAX_RANK],
                                  struct value *shifted, struct value *powers, struct value *sum, struct value *top) {
  fusion_status status;
  TRY(value_reduce(c, REDUCE_MAX, x, axis, top));
  TRY(value_binary(c, '-', x, top, shifted));
  TRY(value_activation(c, shifted, (struct activation_use){ACTIVATION_EXP_BELOW, 1, 1, 0, 0}, powers));
  TRY(value_reduce(c, REDUCE_SUM, powers, axis, sum));
cleanup:
  return status;
}

static const struct activation_use natural_log = {ACTIVATION_LOG, 1, 1, 0, 0};

fusion_status value_log_sum_exp(struct call *c, const struct value *x, const bool axis[MAX_RANK], struct value *out) {
  struct value shifted, powers, sum, top;
  fusion_status status;
  TRY(exponentials(c, x, axis, &shifted, &powers, &sum, &top));
  TRY(value_activation(c, &sum, natural_log, &sum));
  TRY(value_binary(c, '+', &sum, &top, out));
cleanup:
  return status;
}

static fusion_status softmax_along(struct call *c, const struct value *x, const bool axis[MAX_RANK], bool log,
                                   struct value *out) {
  struct value shifted, powers, sum, top;
  fusion_status status;
  TRY(exponentials(c, x, axis, &shifted, &powers, &sum, &top));
  if (log) {
    TRY(value_activation(c, &sum, natural_log, &sum));
    TRY(value_binary(c, '-', &shifted, &sum, out));
  } else {
    TRY(value_binary(c, '/', &powers, &sum, out));
  }
cleanup:
  return status;
}

/* It may be the end, which the client computes: the node keeps both, until it is known. */
fusion_status softmax_of_all(struct call *c, const struct value *x, bool log) {
  enum { INSIDE_MOST = 1 << 16 }; /* longer ones are ends, and need not be laid out */
  const bool inside = dims_size(&x->dims) <= INSIDE_MOST;
  struct value out = *x;
  bool set[MAX_RANK];
  fusion_status status;
  for (uint32_t k = 0; k < x->dims.rank; k++) set[k] = !value_batch_at(x, k);
  if (inside) TRY(softmax_along(c, x, set, log, &out));
  TRY(value_view(c, &out, c->im->g->nodes[x->node].shape, &out.node));
  const uint32_t both[] = {x->node, out.node};
  struct graph_node *n = graph_add_node(c->im->g, GRAPH_SOFTMAX, "softmax", both, inside ? 2 : 1);
  if (!n) return call_out_of_memory(c);
  n->log = log;
  out.node = c->im->g->count - 1;
  call_name_node(c, out.node);
  TRY(call_set(c, 0, &out));
cleanup:
  return status;
}

fusion_status op_softmax(struct call *c) {
  const struct value *x = c->in[0];
  const bool older = c->im->opset < 13, log = is(c, "LogSoftmax");
  struct value out;
  uint32_t axis;
  bool set[MAX_RANK];
  fusion_status status;
  if (!axis_fix(attr_int(c, "axis", older ? 1 : -1), x->dims.rank, &axis))
    return call_malformed(c, "has an axis outside its input");
  axes_from(set, axis, older ? x->dims.rank : axis + 1);
  if (count_along(x, set) == dims_size(&x->dims) && !(x->batched && set[x->batch_axis]))
    return softmax_of_all(c, x, log);
  TRY(softmax_along(c, x, set, log, &out));
  TRY(call_set(c, 0, &out));
cleanup:
  return status;
}

static bool is_end(const struct graph_node *n) {
  return n->op == GRAPH_SOFTMAX || n->op == GRAPH_ARGMAX;
}

fusion_status ends_inside(struct graph *g) {
  bool any = false;
  for (uint32_t i = 0; i < g->count; i++) {
    struct graph_node *n = &g->nodes[i];
    for (uint32_t k = 0; k < n->input_count; k++) {
      const struct graph_node *from = &g->nodes[n->inputs[k]];
      if (is_end(from) && from->input_count == 2) n->inputs[k] = from->inputs[1];
    }
    if (!is_end(n) || n->input_count < 2) continue;
    any = true;
    if (i + 1 == g->count) n->input_count = 1;
  }
  return any ? graph_simplify(g, g->count - 1) : FUSION_OK;
}

struct norm {
  const bool *axis;
  double eps;
  bool centre; /* takes off the average */
};

/* (x - mean) / sqrt(variance + eps) along the axes. */
static fusion_status normalise(struct call *c, const struct value *x, const struct norm *n, struct value *out,
                               struct value *mean, struct value *inverse) {
  const double count = (double)count_along(x, n->axis);
  struct value rest = *x, square, sum;
  fusion_status status;
  if (count > 1e6) return call_refuse(c, "normalise shorter rows", "normalises rows of more than a million values");
  if (n->centre) {
    TRY(value_reduce(c, REDUCE_MEAN, x, n->axis, mean));
    TRY(value_binary(c, '-', x, mean, &rest));
  }
  TRY(value_binary(c, '*', &rest, &rest, &square));
  TRY(value_reduce(c, REDUCE_SUM, &square, n->axis, &sum));
  if (n->eps > 0) TRY(value_scale(c, &sum, 1, n->eps * count, &sum));
  TRY(value_activation(c, &sum, (struct activation_use){ACTIVATION_POWER, 1, (float)count, -0.5f, 0}, inverse));
  TRY(value_binary(c, '*', &rest, inverse, out));
cleanup:
  return status;
}

/* Times the scale, plus the bias: constants of any shape that broadcasts. */
static fusion_status scaled(struct call *c, struct value *x, const struct value *scale, const struct value *bias) {
  fusion_status status = FUSION_OK;
  if (scale) TRY(value_binary(c, '*', x, scale, x));
  if (bias) TRY(value_binary(c, '+', x, bias, x));
cleanup:
  return status;
}

/* A constant of one dimension, followed by dimensions of 1; *view borrows. False when it has other dimensions. */
static bool along_channels(const struct value *v, uint32_t after, struct tensor *copy, struct value *view) {
  if (!v->constant || v->constant->dims.rank != 1) return false;
  *copy = *v->constant;
  *view = (struct value){.constant = copy};
  for (uint32_t k = 0; k < after; k++)
    if (!dims_push(&copy->dims, 1)) return false;
  return true;
}

static double epsilon_of(const struct call *c) {
  return fmax(attr_float(c, "epsilon", 1e-5), 0);
}

/* LayerNormalization, RMSNormalization. */
fusion_status op_layer_norm(struct call *c) {
  struct value y, mean = {0}, inverse;
  uint32_t axis;
  bool set[MAX_RANK];
  fusion_status status;
  if (!axis_fix(attr_int(c, "axis", -1), c->in[0]->dims.rank, &axis))
    return call_malformed(c, "has an axis outside its input");
  if (c->in[0]->batched && axis <= c->in[0]->batch_axis)
    return call_refuse(c, "normalise other axes", "works across the batch dimension");
  axes_from(set, axis, c->in[0]->dims.rank);
  const struct norm n = {set, epsilon_of(c), is(c, "LayerNormalization")};
  TRY(normalise(c, c->in[0], &n, &y, &mean, &inverse));
  TRY(scaled(c, &y, call_input(c, 1), call_input(c, 2)));
  TRY(call_set(c, 0, &y));
  if (!n.centre) return status;
  TRY(call_set(c, 1, &mean));
  TRY(call_set(c, 2, &inverse));
cleanup:
  return status;
}

fusion_status op_group_norm(struct call *c) {
  struct value x = *c->in[0], y, mean, inverse, scale, bias;
  struct tensor copies[2];
  bool set[MAX_RANK];
  fusion_status status;
  const int64_t groups = attr_int(c, "num_groups", 1);
  const struct dims whole = x.dims;
  if (whole.rank < 3 || groups < 1 || groups > whole.d[1] || whole.d[1] % groups)
    return call_malformed(c, "has groups that do not fit its input");
  /* [N, groups, channels of one, ...] */
  x.dims = (struct dims){3, {whole.d[0], (uint32_t)groups, 0}};
  x.dims.d[2] = (uint32_t)(dims_span(&whole, 1, whole.rank) / (size_t)groups);
  axes_from(set, 2, 3);
  const struct norm n = {set, epsilon_of(c), true};
  TRY(normalise(c, &x, &n, &y, &mean, &inverse));
  const bool by_group = c->im->opset < 21; /* later: one scale a channel */
  if (!by_group) y.dims = whole;
  const uint32_t after = y.dims.rank - 2;
  if (!along_channels(c->in[1], after, &copies[0], &scale) || !along_channels(c->in[2], after, &copies[1], &bias))
    return call_refuse(c, "use constants, one a group or channel", "has a scale or bias that depends on the input");
  TRY(scaled(c, &y, &scale, &bias));
  y.dims = whole;
  TRY(call_set(c, 0, &y));
cleanup:
  return status;
}

fusion_status op_instance_norm(struct call *c) {
  struct value y, mean, inverse, scale, bias;
  struct tensor copies[2];
  bool set[MAX_RANK];
  fusion_status status;
  const uint32_t rank = c->in[0]->dims.rank;
  if (rank < 3) return call_malformed(c, "has an input of fewer than 3 dimensions");
  axes_from(set, 2, rank);
  const struct norm n = {set, epsilon_of(c), true};
  TRY(normalise(c, c->in[0], &n, &y, &mean, &inverse));
  if (!along_channels(c->in[1], rank - 2, &copies[0], &scale) || !along_channels(c->in[2], rank - 2, &copies[1], &bias))
    return call_refuse(c, "use constants, one a channel", "has a scale or bias that depends on the input");
  TRY(scaled(c, &y, &scale, &bias));
  TRY(call_set(c, 0, &y));
cleanup:
  return status;
}

fusion_status op_mean_variance_norm(struct call *c) {
  static const int64_t preset[] = {0, 2, 3};
  const int64_t *axes = preset;
  struct value y, mean, inverse;
  bool set[MAX_RANK] = {false};
  fusion_status status;
  const size_t given = attr_ints(c, "axes", &axes), count = given ? given : sizeof preset / sizeof preset[0];
  if (!axes_set(given ? axes : preset, count, c->in[0]->dims.rank, set))
    return call_malformed(c, "has axes outside its input");
  const struct norm n = {set, 1e-9, true};
  TRY(normalise(c, c->in[0], &n, &y, &mean, &inverse));
  TRY(call_set(c, 0, &y));
cleanup:
  return status;
}

fusion_status op_lp_norm(struct call *c) {
  struct value x = *c->in[0], size, y;
  const int64_t p = attr_int(c, "p", 2);
  uint32_t axis;
  bool set[MAX_RANK];
  fusion_status status;
  if (!axis_fix(attr_int(c, "axis", -1), x.dims.rank, &axis)) return call_malformed(c, "has an axis outside its input");
  if (p != 1 && p != 2) return call_refuse(c, "use 1 or 2", "has a norm that is not supported");
  axes_from(set, axis, axis + 1);
  if (p == 1) TRY(value_abs(c, &x, &size));
  if (p == 2) TRY(value_binary(c, '*', &x, &x, &size));
  TRY(value_reduce(c, REDUCE_SUM, &size, set, &size));
  TRY(value_power(c, &size, p == 1 ? -1 : -0.5, &size));
  TRY(value_binary(c, '*', &x, &size, &y));
  TRY(call_set(c, 0, &y));
cleanup:
  return status;
}
