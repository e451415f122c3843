/* Arithmetic on activations. Constants become AFFINE nodes; clipping and its relatives become sums of Relus, which are
 * exact for piecewise linear functions and keep 0 at 0 where the function does (so that zero padding may follow). */
#include <float.h>
#include <math.h>

#include "onnx/onnx_ops.h"

/* Numbers beyond stand for infinity, such as the least float in a mask; so large that nothing beside them counts, so
 * small that some may be summed up. */
static float within_reach(float v) {
  const float most = 0x1p100f;
  return v > most && v <= FLT_MAX ? most : v < -most && v >= -FLT_MAX ? -most : v;
}

/* A constant repeated to `dims`, as floats; NULL with *status set when that fails, or when there is no constant. */
static float *spread(struct call *c, const struct tensor *t, const struct dims *dims, fusion_status *status) {
  if (!t) return NULL;
  struct value repeated = {0};
  *status = value_expand(c, &(struct value){.constant = (struct tensor *)(uintptr_t)t}, dims, &repeated);
  if (*status != FUSION_OK) return NULL;
  const size_t count = dims_size(dims);
  float *out = mem_alloc(count, sizeof *out);
  if (!out) *status = call_out_of_memory(c);
  for (size_t i = 0; out && i < count; i++) out[i] = within_reach((float)tensor_get(repeated.constant, i));
  tensor_free(repeated.constant);
  return out;
}

/* True when every channel of `shape` has one value only. */
static bool constant_in_channels(const float *v, struct shape shape) {
  const size_t area = (size_t)shape.height * shape.width;
  for (uint32_t ch = 0; v && ch < shape.channels; ch++) {
    if (area > 1 && memcmp(v + ch * area, v + ch * area + 1, (area - 1) * sizeof *v)) return false;
  }
  return true;
}

/* Adds an AFFINE node with element-wise scale and bias (either may be NULL), per channel where they allow it. */
static fusion_status affine_node(struct call *c, struct value *x, const float *scale, const float *bias) {
  const size_t size = dims_size(&x->dims);
  const struct shape tries[3] = {c->im->g->nodes[x->node].shape, dims_shape(&x->dims), {(uint32_t)size, 1, 1}};
  struct shape shape = tries[2];
  for (int i = 2; i >= 0; i--) {
    if (constant_in_channels(scale, tries[i]) && constant_in_channels(bias, tries[i])) shape = tries[i];
  }
  const size_t area = (size_t)shape.height * shape.width;
  float *s = mem_alloc(shape.channels, sizeof *s), *b = mem_alloc(shape.channels, sizeof *b);
  fusion_status status = s && b ? value_view(c, x, shape, &x->node) : call_out_of_memory(c);
  if (status == FUSION_OK) {
    for (size_t ch = 0; ch < shape.channels; ch++) {
      s[ch] = scale ? scale[ch * area] : 1;
      b[ch] = bias ? bias[ch * area] : 0;
    }
    status = call_added(c, graph_add_affine(c->im->g, x->node, s, bias ? b : NULL, &x->node));
    if (status == FUSION_OK) call_name_node(c, x->node);
  }
  mem_free(s);
  mem_free(b);
  return status;
}

/* y = scale * x + bias, the constants broadcast (NULL: 1, 0). */
static fusion_status affine(struct call *c, const struct value *x, const struct tensor *scale,
                            const struct tensor *bias, struct value *out) {
  struct dims dims = x->dims;
  if ((scale && !dims_broadcast(&dims, &scale->dims, &dims)) || (bias && !dims_broadcast(&dims, &bias->dims, &dims)))
    return call_malformed(c, "has shapes that do not broadcast");
  struct value wide = *x;
  float *s = NULL, *b = NULL;
  fusion_status status = FUSION_OK;
  if (dims_size(&dims) != dims_size(&x->dims)) status = value_expand(c, x, &dims, &wide);
  if (status == FUSION_OK && x->batched && dims.rank > x->dims.rank)
    status = call_refuse(c, "keep the batch as the first dimension", "puts a dimension before the batch");
  wide.dims = dims;
  wide.integer = false;
  if (status == FUSION_OK) s = spread(c, scale, &dims, &status);
  if (status == FUSION_OK) b = spread(c, bias, &dims, &status);
  if (status == FUSION_OK) status = affine_node(c, &wide, s, b);
  mem_free(s);
  mem_free(b);
  *out = wide;
  return status;
}

fusion_status value_scale(struct call *c, const struct value *x, double scale, double bias, struct value *out) {
  float s = (float)scale, b = (float)bias;
  const struct tensor ts = {.f = &s}, tb = {.f = &b};
  return affine(c, x, &ts, bias > 0 || bias < 0 ? &tb : NULL, out);
}

fusion_status value_relu(struct call *c, const struct value *x, struct value *out) {
  *out = *x;
  const fusion_status status = call_added(c, graph_add_unary(c->im->g, GRAPH_RELU, x->node, &out->node));
  if (status == FUSION_OK) call_name_node(c, out->node);
  return status;
}

/* ADD or MUL of two activations after broadcasting. */
static fusion_status two_activations(struct call *c, enum graph_op op, const struct value *a, const struct value *b,
                                     struct value *out) {
  struct dims dims;
  if (!dims_broadcast(&a->dims, &b->dims, &dims)) return call_malformed(c, "has shapes that do not broadcast");
  struct value x = *a, y = *b;
  fusion_status status = FUSION_OK;
  if (!dims_equal(&a->dims, &dims)) TRY(value_expand(c, a, &dims, &x));
  if (!dims_equal(&b->dims, &dims)) TRY(value_expand(c, b, &dims, &y));
  TRY(value_view(c, &y, c->im->g->nodes[x.node].shape, &y.node));
  if (x.batched && y.batched && x.batch_axis != y.batch_axis)
    return call_malformed(c, "has operands whose batches are in different dimensions");
  *out = x.batched ? x : y;
  TRY(call_added(c, graph_add_binary(c->im->g, op, x.node, y.node, &out->node)));
  call_name_node(c, out->node);
cleanup:
  return status;
}

static fusion_status product(struct call *c, const struct value *a, const struct value *b, struct value *out) {
  bool done;
  const fusion_status status = value_fused(c, a, b, out, &done);
  return status != FUSION_OK || done ? status : two_activations(c, GRAPH_MUL, a, b, out);
}

/* -t or 1/t as a new constant. */
static struct tensor *tensor_map(const struct tensor *t, char op) {
  struct tensor *r = tensor_alloc(&t->dims, 0);
  const size_t count = dims_size(&t->dims);
  for (size_t i = 0; r && i < count; i++) tensor_set(r, i, op == '-' ? -tensor_get(t, i) : 1 / tensor_get(t, i));
  return r;
}

static fusion_status with_constant(struct call *c, char op, const struct value *x, const struct tensor *t,
                                   struct value *out) {
  if (op == '+') return affine(c, x, NULL, t, out);
  if (op == '*') return affine(c, x, t, NULL, out);
  struct tensor *r = tensor_map(t, op);
  if (!r) return call_out_of_memory(c);
  const fusion_status status = op == '-' ? affine(c, x, NULL, r, out) : affine(c, x, r, NULL, out);
  tensor_free(r);
  return status;
}

static const char *op_word(char op) {
  return op == '+' ? "Add" : op == '-' ? "Sub" : op == '*' ? "Mul" : "Div";
}

fusion_status value_binary(struct call *c, char op, const struct value *a, const struct value *b, struct value *out) {
  if (a->constant && b->constant) {
    *out = (struct value){0};
    return fold_binary(c, op_word(op), a->constant, b->constant, &out->constant);
  }
  if (b->constant) return with_constant(c, op, a, b->constant, out);
  if (op == '/') {
    struct value inverse;
    const fusion_status status = value_power(c, b, -1, &inverse);
    return status == FUSION_OK ? value_binary(c, '*', a, &inverse, out) : status;
  }
  if (a->constant && op == '-') {
    struct value negative;
    const fusion_status status = value_scale(c, b, -1, 0, &negative);
    return status == FUSION_OK ? with_constant(c, '+', &negative, a->constant, out) : status;
  }
  if (a->constant) return with_constant(c, op, b, a->constant, out);
  if (op == '*') return product(c, a, b, out);
  struct value right = *b;
  const fusion_status status = op == '-' ? value_scale(c, b, -1, 0, &right) : FUSION_OK;
  return status == FUSION_OK ? two_activations(c, GRAPH_ADD, a, &right, out) : status;
}

/* Ends an operator: the first output is `v` when the steps before went well. */
static fusion_status finish(struct call *c, fusion_status status, const struct value *v) {
  return status == FUSION_OK ? call_set(c, 0, v) : status;
}

/* Operator set 6 aligned the second operand at `axis`: the same as dimensions of 1 after it. */
static fusion_status align_operand(const struct call *c, const struct value *a, struct dims *b) {
  uint32_t axis;
  if (!attr_find(c, "axis")) return FUSION_OK;
  const uint32_t rank = value_dims(a)->rank;
  if (c->im->opset > 6 || !axis_fix(attr_int(c, "axis", 0), rank, &axis) || axis + b->rank > rank)
    return call_malformed(c, "has an 'axis' that does not fit");
  while (axis + b->rank < rank) {
    if (!dims_push(b, 1)) return call_malformed(c, "has a tensor above the limit");
  }
  return FUSION_OK;
}

fusion_status op_binary(struct call *c) {
  static const char *const words[] = {"Add", "Sub", "Mul", "Div"};
  struct value out = {0}, right = *c->in[1];
  struct tensor constant = {0};
  char op = '+';
  for (int i = 0; i < 4; i++) {
    if (!strcmp(c->node->op_type, words[i])) op = "+-*/"[i];
  }
  if (right.constant) {
    constant = *right.constant;
    right.constant = &constant;
  }
  fusion_status status = align_operand(c, c->in[0], right.constant ? &constant.dims : &right.dims);
  if (status == FUSION_OK) status = value_binary(c, op, c->in[0], &right, &out);
  return finish(c, status, &out);
}

/* Sum and Mean of any number of tensors. */
fusion_status op_sum(struct call *c) {
  struct value acc = *c->in[0];
  bool owned = false;
  fusion_status status = FUSION_OK;
  for (size_t i = 1; i < c->in_count && status == FUSION_OK; i++) {
    struct value next = {0};
    status = value_binary(c, '+', &acc, c->in[i], &next);
    if (owned) tensor_free(acc.constant);
    acc = next;
    owned = true;
  }
  if (status == FUSION_OK && !strcmp(c->node->op_type, "Mean") && !acc.constant)
    status = value_scale(c, &acc, 1.0 / (double)c->in_count, 0, &acc);
  if (acc.constant && (!owned || !strcmp(c->node->op_type, "Mean")))
    status = call_refuse(c, "simplify the model before export", "joins constants only");
  if (status != FUSION_OK && owned) tensor_free(acc.constant);
  return finish(c, status, &acc);
}

/* By products: the square of what was squared, times x where the power has a bit. */
fusion_status value_whole_power(struct call *c, const struct value *x, unsigned power, struct value *out) {
  unsigned bit = 1;
  while (2 * bit <= power) bit *= 2;
  fusion_status status = FUSION_OK;
  struct value acc = *x;
  for (bit /= 2; bit && status == FUSION_OK; bit /= 2) {
    const struct value half = acc;
    status = value_binary(c, '*', &half, &half, &acc);
    const struct value square = acc;
    if (status == FUSION_OK && (power & bit)) status = value_binary(c, '*', &square, x, &acc);
  }
  *out = acc;
  return status;
}

fusion_status op_pow(struct call *c) {
  enum { WHOLE_MOST = 8 };
  const struct tensor *e = call_constant(c, 1);
  if (!e || dims_size(&e->dims) != 1 || c->in[0]->constant)
    return call_refuse(c, "use one constant as power", "has a power that depends on the input or differs by element");
  const double power = tensor_get(e, 0);
  struct value out = {0};
  const bool whole = power >= 1 && power <= WHOLE_MOST && floor(power) >= power;
  if (!whole && !(power >= -WHOLE_MOST && power <= WHOLE_MOST && (power > 0 || power < 0)))
    return call_refuse(c, "use powers from -8 to 8", "has a power that is not supported");
  const fusion_status status =
      whole ? value_whole_power(c, c->in[0], (unsigned)power, &out) : value_power(c, c->in[0], power, &out);
  return finish(c, status, &out);
}

fusion_status op_neg(struct call *c) {
  struct value out;
  return finish(c, value_scale(c, c->in[0], -1, 0, &out), &out);
}

fusion_status op_relu(struct call *c) {
  struct value out;
  return finish(c, value_relu(c, c->in[0], &out), &out);
}

fusion_status value_abs(struct call *c, const struct value *x, struct value *out) {
  struct value r, twice, minus;
  fusion_status status;
  TRY(value_relu(c, x, &r));
  TRY(value_scale(c, &r, 2, 0, &twice));
  TRY(value_scale(c, x, -1, 0, &minus));
  TRY(value_binary(c, '+', &twice, &minus, out));
cleanup:
  return status;
}

fusion_status op_abs(struct call *c) {
  struct value out;
  return finish(c, value_abs(c, c->in[0], &out), &out);
}

/* min(max(x, low), high); infinite limits do nothing. high - relu(high - low - relu(x - low)): all but the two Relus
 * adds constants to x or -x, which costs two parties nothing. */
static fusion_status value_clip(struct call *c, const struct value *x, double low, double high, struct value *out) {
  const bool has_low = low > -(double)FLT_MAX, has_high = high < (double)FLT_MAX;
  const double base = has_low ? low : 0;
  struct value t = *x;
  fusion_status status = FUSION_OK;
  if (has_low) {
    if (base > 0 || base < 0) TRY(value_scale(c, x, 1, -base, &t));
    TRY(value_relu(c, &t, &t));
  }
  if (has_high) {
    TRY(value_scale(c, &t, -1, high - base, &t));
    TRY(value_relu(c, &t, &t));
    return value_scale(c, &t, -1, high, out);
  }
  if (base > 0 || base < 0) TRY(value_scale(c, &t, 1, base, &t));
  *out = t;
cleanup:
  return status;
}

/* A limit of Clip: attribute in old files, input in new ones. */
static fusion_status clip_limit(const struct call *c, const char *name, size_t input, double preset, double *out) {
  *out = attr_float(c, name, preset);
  const struct value *v = call_input(c, input);
  if (!v) return FUSION_OK;
  if (!v->constant || dims_size(&v->constant->dims) != 1)
    return call_refuse(c, "use constant limits", "has limits that depend on the input");
  *out = tensor_get(v->constant, 0);
  return *out >= -INFINITY ? FUSION_OK : call_malformed(c, "has a limit that is not a number");
}

fusion_status op_clip(struct call *c) {
  double low, high;
  struct value out;
  fusion_status status;
  TRY(clip_limit(c, "min", 1, -INFINITY, &low));
  TRY(clip_limit(c, "max", 2, INFINITY, &high));
  /* The standard: all values become the upper limit. */
  const bool crossed = low > high && high >= -(double)FLT_MAX;
  TRY(crossed ? value_scale(c, c->in[0], 0, high, &out) : value_clip(c, c->in[0], low, high, &out));
  TRY(call_set(c, 0, &out));
cleanup:
  return status;
}

/* slope * x + (1 - slope) * relu(x). */
static fusion_status leaky(struct call *c, const struct tensor *slope) {
  const float one = 1;
  const struct tensor ones = {.f = (float *)(uintptr_t)&one};
  struct tensor *rest = NULL;
  struct value line, bend, out;
  fusion_status status;
  TRY(fold_binary(c, "Sub", &ones, slope, &rest));
  TRY(affine(c, c->in[0], slope, NULL, &line));
  TRY(value_relu(c, c->in[0], &bend));
  TRY(affine(c, &bend, rest, NULL, &bend));
  TRY(value_binary(c, '+', &line, &bend, &out));
  TRY(call_set(c, 0, &out));
cleanup:
  tensor_free(rest);
  return status;
}

fusion_status op_leaky_relu(struct call *c) {
  float alpha = (float)attr_float(c, "alpha", 0.01);
  return leaky(c, &(struct tensor){.f = &alpha});
}

fusion_status op_prelu(struct call *c) {
  const struct value *x = c->in[0];
  if (x->constant || !c->in[1]->constant)
    return call_refuse(c, "use constant slopes", "has slopes that depend on the input");
  struct tensor slope = *c->in[1]->constant;
  struct dims dims;
  /* Operator set 6 gave one slope a channel as a vector. */
  const bool vector = c->im->opset < 7 && slope.dims.rank == 1 && x->dims.rank > 2 && slope.dims.d[0] == x->dims.d[1];
  for (uint32_t k = 2; vector && k < x->dims.rank; k++) {
    if (!dims_push(&slope.dims, 1)) return call_malformed(c, "has a tensor above the limit");
  }
  if (!dims_broadcast(&x->dims, &slope.dims, &dims) || !dims_equal(&dims, &x->dims))
    return call_malformed(c, "has slopes that do not fit its input");
  return leaky(c, &slope);
}

fusion_status op_hard_sigmoid(struct call *c) {
  struct value out;
  fusion_status status;
  TRY(value_scale(c, c->in[0], attr_float(c, "alpha", 0.2), attr_float(c, "beta", 0.5), &out));
  TRY(value_clip(c, &out, 0, 1, &out));
  TRY(call_set(c, 0, &out));
cleanup:
  return status;
}

/* max(a, b) = b + relu(a - b); min(a, b) = b - relu(b - a). The constant, if any, is b. */
static fusion_status larger(struct call *c, bool max, const struct value *a, const struct value *b, struct value *out) {
  struct value difference, bend;
  fusion_status status;
  if (a->constant && b->constant) {
    *out = (struct value){0};
    return fold_binary(c, max ? "Max" : "Min", a->constant, b->constant, &out->constant);
  }
  if (a->constant) return larger(c, max, b, a, out);
  TRY(value_binary(c, '-', max ? a : b, max ? b : a, &difference));
  TRY(value_relu(c, &difference, &bend));
  if (!max) TRY(value_scale(c, &bend, -1, 0, &bend));
  TRY(value_binary(c, '+', &bend, b, out));
cleanup:
  return status;
}

fusion_status op_max_min(struct call *c) {
  const bool max = !strcmp(c->node->op_type, "Max");
  struct value acc = *c->in[0];
  bool owned = false;
  fusion_status status = FUSION_OK;
  for (size_t i = 1; i < c->in_count && status == FUSION_OK; i++) {
    struct value next = {0};
    status = larger(c, max, &acc, c->in[i], &next);
    if (owned) tensor_free(acc.constant);
    acc = next;
    owned = true;
  }
  if (status == FUSION_OK && acc.constant && !owned)
    status = call_refuse(c, "remove the node", "has one constant only");
  return finish(c, status, &acc);
}

/* At inference Dropout does nothing. */
fusion_status op_dropout(struct call *c) {
  const struct tensor *training = call_constant(c, 2);
  if (c->im->opset < 7 && !attr_int(c, "is_test", 0))
    return call_refuse(c, "export the model in evaluation mode", "is in training mode");
  if (call_input(c, 2) && (!training || dims_size(&training->dims) != 1 || tensor_get(training, 0) > 0))
    return call_refuse(c, "export the model in evaluation mode", "is in training mode");
  return op_identity(c);
}
