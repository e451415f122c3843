/* Arithmetic on constants: what exporters leave in a file to compute shapes, and weights in pieces. Integers stay
 * integers; reals are computed in double and rounded once. */
#include <math.h>

#include "onnx/onnx_ops.h"

static bool real_apply(const char *op, double a, double b, double *out) {
  if (!strcmp(op, "Add"))
    *out = a + b;
  else if (!strcmp(op, "Sub"))
    *out = a - b;
  else if (!strcmp(op, "Mul"))
    *out = a * b;
  else if (!strcmp(op, "Div"))
    *out = a / b;
  else if (!strcmp(op, "Pow"))
    *out = pow(a, b);
  else if (!strcmp(op, "Fmod"))
    *out = fmod(a, b);
  else if (!strcmp(op, "Min"))
    *out = fmin(a, b);
  else if (!strcmp(op, "Max"))
    *out = fmax(a, b);
  else if (!strcmp(op, "Equal"))
    *out = a >= b && a <= b;
  else if (!strcmp(op, "Greater"))
    *out = a > b;
  else if (!strcmp(op, "Less"))
    *out = a < b;
  else if (!strcmp(op, "GreaterOrEqual"))
    *out = a >= b;
  else if (!strcmp(op, "LessOrEqual"))
    *out = a <= b;
  else
    return false;
  return true;
}

/* Strides of a tensor read under broadcasting to `to`: 0 along repeated dimensions. */
static void broadcast_strides(const struct dims *from, const struct dims *to, size_t strides[MAX_RANK]) {
  const uint32_t missing = to->rank - from->rank;
  for (uint32_t k = 0; k < to->rank; k++)
    strides[k] = k < missing || from->d[k - missing] == 1 ? 0 : dims_span(from, k - missing + 1, from->rank);
}

/* Truth values when two are compared, else the operands' common type; a power has the type of its base. */
static int32_t result_type(const struct integer_op *op, const struct tensor *a, const struct tensor *b) {
  if (op && op->compares) return ONNX__TENSOR_PROTO__DATA_TYPE__BOOL;
  return a->type == b->type || (op && !strcmp(op->name, "Pow")) ? a->type : 0;
}

static bool fold_element(const char *name, const struct integer_op *op, const struct tensor *a, size_t ia,
                         const struct tensor *b, size_t ib, struct tensor *out, size_t io) {
  if (a->i && b->i) return op && integer_apply(op, a->type, a->i[ia], b->i[ib], &out->i[io]);
  double v = 0;
  if (!real_apply(name, tensor_get(a, ia), tensor_get(b, ib), &v)) return false;
  tensor_set(out, io, v);
  return true;
}

fusion_status fold_binary(const struct call *c, const char *op, const struct tensor *a, const struct tensor *b,
                          struct tensor **out) {
  struct dims dims;
  if (!dims_broadcast(&a->dims, &b->dims, &dims)) return call_malformed(c, "has shapes that do not broadcast");
  const struct integer_op *integer = integer_op_find(op);
  if (a->i && b->i && !result_type(integer, a, b)) return call_malformed(c, "has operands of different types");
  struct tensor *t = tensor_alloc(&dims, result_type(integer, a, b));
  if (!t) return call_out_of_memory(c);
  size_t sa[MAX_RANK], sb[MAX_RANK], index[MAX_RANK] = {0}, ia = 0, ib = 0;
  broadcast_strides(&a->dims, &dims, sa);
  broadcast_strides(&b->dims, &dims, sb);
  const size_t count = dims_size(&dims);
  for (size_t i = 0; i < count; i++) {
    if (!fold_element(op, integer, a, ia, b, ib, t, i)) {
      tensor_free(t);
      return call_refuse(c, "simplify the model before export", "cannot be computed on these constants");
    }
    for (uint32_t k = dims.rank; k-- > 0;) {
      ia += sa[k];
      ib += sb[k];
      if (++index[k] < dims.d[k]) break;
      ia -= sa[k] * dims.d[k];
      ib -= sb[k] * dims.d[k];
      index[k] = 0;
    }
  }
  *out = t;
  return FUSION_OK;
}

fusion_status op_fold_binary(struct call *c) {
  if (!call_constant(c, 0) || !call_constant(c, 1))
    return call_refuse(c, "rewrite it with Relu, or remove it", "is supported on constants only");
  struct tensor *t = NULL;
  char direction[8];
  const char *name = c->node->op_type;
  attr_string(c, "direction", direction, sizeof direction);
  if (!strcmp(name, "Mod") && attr_int(c, "fmod", 0)) name = "Fmod";
  if (!strcmp(name, "BitShift")) name = !strcmp(direction, "LEFT") ? "ShiftLeft" : "ShiftRight";
  const fusion_status status = fold_binary(c, name, c->in[0]->constant, c->in[1]->constant, &t);
  return status == FUSION_OK ? call_set_constant(c, 0, t) : status;
}

static bool unary_apply(const char *op, double x, double *out) {
  if (!strcmp(op, "Neg"))
    *out = -x;
  else if (!strcmp(op, "Abs"))
    *out = fabs(x);
  else if (!strcmp(op, "Sign"))
    *out = x > 0 ? 1 : x < 0 ? -1 : x;
  else if (!strcmp(op, "Sqrt"))
    *out = sqrt(x);
  else if (!strcmp(op, "Reciprocal"))
    *out = 1 / x;
  else if (!strcmp(op, "Exp"))
    *out = exp(x);
  else if (!strcmp(op, "Log"))
    *out = log(x);
  else if (!strcmp(op, "Floor"))
    *out = floor(x);
  else if (!strcmp(op, "Ceil"))
    *out = ceil(x);
  else if (!strcmp(op, "Round"))
    *out = nearbyint(x);
  else if (!strcmp(op, "Not"))
    *out = x >= 0 && x <= 0;
  else if (!strcmp(op, "Relu"))
    *out = x > 0 ? x : 0;
  else if (!strcmp(op, "Sigmoid"))
    *out = 1 / (1 + exp(-x));
  else if (!strcmp(op, "Tanh"))
    *out = tanh(x);
  else
    return false;
  return true;
}

/* What to do about a function of data. */
static const char *activation_remedy(const char *op) {
  static const char *const remedies[][2] = {
      {"Floor", "round the answers instead"},
      {"Ceil", "round the answers instead"},
      {"Round", "round the answers instead"},
  };
  for (size_t i = 0; i < sizeof remedies / sizeof remedies[0]; i++) {
    if (!strcmp(op, remedies[i][0])) return remedies[i][1];
  }
  return "use Relu, HardSwish or x*x as activation";
}

fusion_status op_fold_unary(struct call *c) {
  const struct tensor *x = call_constant(c, 0);
  if (!x) return call_refuse(c, activation_remedy(c->node->op_type), "is supported on constants only");
  struct tensor *t = tensor_alloc(&x->dims, x->type);
  if (!t) return call_out_of_memory(c);
  const size_t count = dims_size(&x->dims);
  for (size_t i = 0; i < count; i++) {
    double v = 0;
    const bool ok = x->i ? integer_unary(c->node->op_type, x->type, x->i[i], &t->i[i])
                         : unary_apply(c->node->op_type, tensor_get(x, i), &v);
    if (!ok) {
      tensor_free(t);
      return call_refuse(c, "simplify the model before export", "cannot be computed on constants");
    }
    if (t->f) tensor_set(t, i, v);
  }
  return call_set_constant(c, 0, t);
}

fusion_status op_where(struct call *c) {
  const struct tensor *test = call_constant(c, 0), *a = call_constant(c, 1), *b = call_constant(c, 2);
  if (!test || !a || !b) return call_refuse(c, "remove the node", "is supported on constants only");
  struct dims ab, dims;
  if (!dims_broadcast(&a->dims, &b->dims, &ab) || !dims_broadcast(&ab, &test->dims, &dims))
    return call_malformed(c, "has shapes that do not broadcast");
  if (!a->i != !b->i) return call_malformed(c, "has branches of two types");
  struct tensor *t = tensor_alloc(&dims, a->type);
  if (!t) return call_out_of_memory(c);
  size_t s[3][MAX_RANK];
  broadcast_strides(&test->dims, &dims, s[0]);
  broadcast_strides(&a->dims, &dims, s[1]);
  broadcast_strides(&b->dims, &dims, s[2]);
  const size_t count = dims_size(&dims);
  for (size_t i = 0; i < count; i++) {
    size_t at[3] = {0, 0, 0}, left = i;
    for (uint32_t k = dims.rank; k-- > 0; left /= dims.d[k]) {
      for (int j = 0; j < 3; j++) at[j] += left % dims.d[k] * s[j][k];
    }
    const bool first = tensor_get(test, at[0]) > 0;
    tensor_copy(t, i, first ? a : b, first ? at[1] : at[2]);
  }
  return call_set_constant(c, 0, t);
}

static fusion_status cast_to(struct call *c, int64_t type) {
  const bool integer = type_kind(type) == TYPE_INTEGER, truth = type == ONNX__TENSOR_PROTO__DATA_TYPE__BOOL;
  const struct value *v = c->in[0];
  if (type_kind(type) == TYPE_UNKNOWN)
    return call_refuse(c, "use a float or an integer type", "makes elements of a type that is not supported");
  if (!v->constant) {
    const bool whole = v->integer || (truth && value_is_whole(c->im->g, v->node));
    if (integer && !whole) return call_refuse(c, "remove the node", "rounds an activation to integers");
    struct value out = *v;
    out.integer = integer;
    if (truth) return op_to_truth(c);
    if (type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16)
      return call_refuse(c, "export the model in float", "rounds an activation to 8 bits");
    return call_set(c, 0, &out);
  }
  const struct tensor *x = v->constant;
  struct tensor *t = tensor_alloc(&x->dims, (int32_t)type);
  if (!t) return call_out_of_memory(c);
  const size_t count = dims_size(&x->dims);
  for (size_t i = 0; i < count; i++) {
    if (x->i && integer) t->i[i] = truth ? x->i[i] != 0 : integer_wrap(type, (uint64_t)x->i[i]);
    if (!x->i || !integer) tensor_set(t, i, tensor_get(x, i));
  }
  return call_set_constant(c, 0, t);
}

fusion_status op_cast(struct call *c) {
  return cast_to(c, attr_int(c, "to", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT));
}

/* To the type of the second input. */
fusion_status op_cast_like(struct call *c) {
  const struct tensor *like = call_constant(c, 1);
  if (like && like->type) return cast_to(c, like->type);
  if (c->in[1]->integer) return call_refuse(c, "use Cast", "takes its type from integer data");
  return cast_to(c, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
}

fusion_status op_constant(struct call *c) {
  const Onnx__AttributeProto *a = c->node->n_attribute == 1 ? c->node->attribute[0] : NULL;
  struct tensor *t = NULL;
  if (a && a->t && !strcmp(a->name, "value")) {
    const fusion_status status = tensor_from_proto(c->im, a->t, &t);
    return status == FUSION_OK ? call_set_constant(c, 0, t) : status;
  }
  const bool reals = a && (a->n_floats || a->has_f), many = a && (a->n_floats || a->n_ints);
  if (!a || (!reals && !a->n_ints && !a->has_i)) return call_refuse(c, "use a tensor of numbers", "holds no numbers");
  struct dims dims = {0};
  const size_t count = many ? size_max(a->n_floats, a->n_ints) : 1;
  if (many && !dims_push(&dims, count)) return call_malformed(c, "has a tensor above the limit");
  t = tensor_alloc(&dims, reals ? ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT : ONNX__TENSOR_PROTO__DATA_TYPE__INT64);
  if (!t) return call_out_of_memory(c);
  for (size_t i = 0; i < count; i++) {
    if (reals) t->f[i] = many ? a->floats[i] : a->f;
    if (!reals) t->i[i] = many ? a->ints[i] : a->i;
  }
  return call_set_constant(c, 0, t);
}

fusion_status op_constant_of_shape(struct call *c) {
  const struct tensor *shape = call_constant(c, 0);
  const Onnx__AttributeProto *a = attr_find(c, "value");
  if (!shape || !shape->i || shape->dims.rank > 1)
    return call_refuse(c, "export with fixed shapes", "has a shape that depends on the input");
  struct dims dims = {0};
  const size_t rank = dims_size(&shape->dims);
  for (size_t k = 0; k < rank; k++) {
    if (shape->i[k] < 0 || !dims_push(&dims, (uint64_t)shape->i[k]))
      return call_malformed(c, "has a tensor above the limit");
  }
  struct tensor *fill = NULL, *t = NULL;
  if (a && a->t) {
    const fusion_status status = tensor_from_proto(c->im, a->t, &fill);
    if (status != FUSION_OK) return status;
  }
  if (fill && dims_size(&fill->dims) != 1) {
    tensor_free(fill);
    return call_malformed(c, "has a value of more than one element");
  }
  t = tensor_alloc(&dims, fill ? fill->type : ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
  const size_t count = dims_size(&dims);
  for (size_t i = 0; t && fill && i < count; i++) tensor_copy(t, i, fill, 0);
  tensor_free(fill);
  return t ? call_set_constant(c, 0, t) : call_out_of_memory(c);
}

/* Shapes are told in the file's terms: a batch that it fixes counts. */
static uint64_t file_batch(const struct call *c, const struct value *v) {
  return value_is_batched(v) ? c->im->batch : 1;
}

fusion_status op_shape(struct call *c) {
  const struct value *v = c->in[0];
  const struct dims *in = v->constant ? &v->constant->dims : &v->dims;
  int64_t from = attr_int(c, "start", 0), to = attr_int(c, "end", in->rank);
  from = from < 0 ? from + in->rank : from;
  to = to < 0 ? to + in->rank : to;
  from = from < 0 ? 0 : from > in->rank ? in->rank : from;
  to = to < from ? from : to > in->rank ? in->rank : to;
  struct tensor *t = tensor_alloc(&(struct dims){1, {(uint32_t)(to - from)}}, ONNX__TENSOR_PROTO__DATA_TYPE__INT64);
  if (!t) return call_out_of_memory(c);
  for (int64_t k = from; k < to; k++)
    t->i[k - from] = (int64_t)(in->d[k] * (value_batch_at(v, (uint32_t)k) ? c->im->batch : 1));
  return call_set_constant(c, 0, t);
}

fusion_status op_size(struct call *c) {
  const struct value *v = c->in[0];
  if (value_is_batched(v) && c->im->batch == 1)
    return call_refuse(c, "export with fixed shapes", "counts the batch dimension too");
  struct tensor *t = tensor_alloc(&(struct dims){0}, ONNX__TENSOR_PROTO__DATA_TYPE__INT64);
  if (!t) return call_out_of_memory(c);
  t->i[0] = (int64_t)(dims_size(value_dims(v)) * file_batch(c, v));
  return call_set_constant(c, 0, t);
}

fusion_status op_range(struct call *c) {
  const struct tensor *p[3];
  for (size_t i = 0; i < 3; i++) {
    p[i] = call_constant(c, i);
    if (!p[i] || dims_size(&p[i]->dims) != 1)
      return call_refuse(c, "use constants", "does not have three constant numbers");
  }
  const double start = tensor_get(p[0], 0), end = tensor_get(p[1], 0), step = tensor_get(p[2], 0);
  const double places = ceil((end - start) / step);
  struct dims dims = {0};
  if (!(places <= MODEL_MAX_TENSOR) || !dims_push(&dims, places > 0 ? (uint64_t)places : 0))
    return call_malformed(c, "has a tensor above the limit");
  struct tensor *t = tensor_alloc(&dims, p[0]->type);
  if (!t) return call_out_of_memory(c);
  const bool integer = t->i && p[2]->i;
  for (uint32_t i = 0; i < dims.d[0]; i++) {
    if (integer) t->i[i] = integer_wrap(t->type, (uint64_t)p[0]->i[0] + i * (uint64_t)p[2]->i[0]);
    if (!integer) tensor_set(t, i, start + i * step);
  }
  return call_set_constant(c, 0, t);
}
