/* Activations that are no sums of Relus: tables of functions that level out, and Relus beside them. */
#include <math.h>

#include "onnx/onnx_ops.h"

static bool is(const struct call *c, const char *name) {
  return !strcmp(c->node->op_type, name);
}

fusion_status value_activation(struct call *c, const struct value *x, struct activation_use use, struct value *out) {
  struct value from = *x;
  if (!(use.stretch >= 1e-6f && use.stretch <= 1e6f && use.gain >= -1e6f && use.gain <= 1e6f && use.power >= -8 &&
        use.power <= 8))
    return call_malformed(c, "has an attribute that is out of range");
  fusion_status status = FUSION_OK;
  if (activation_range(use.kind) == RANGE_OCTAVES) status = value_sum_for_mean(c, &from, &use);
  *out = from;
  if (status == FUSION_OK) status = call_added(c, graph_add_activation(c->im->g, from.node, use, &out->node));
  if (status == FUSION_OK) call_name_node(c, out->node);
  return status;
}

static fusion_status single(struct call *c, struct activation_use use) {
  struct value out;
  const fusion_status status = value_activation(c, c->in[0], use, &out);
  return status == FUSION_OK ? call_set(c, 0, &out) : status;
}

/* log(sigmoid(x)) = -(relu(-x) + log(1 + exp(-|x|))). */
static fusion_status log_sigmoid(struct call *c, const struct value *x) {
  struct value bend, rest, out;
  fusion_status status;
  TRY(value_scale(c, x, -1, 0, &bend));
  TRY(value_relu(c, &bend, &bend));
  TRY(value_scale(c, &bend, -1, 0, &bend));
  TRY(value_activation(c, x, (struct activation_use){ACTIVATION_SOFTPLUS, -1, 1, 0, 0}, &rest));
  TRY(value_binary(c, '+', &bend, &rest, &out));
  TRY(call_set(c, 0, &out));
cleanup:
  return status;
}

/* A logarithm, also of what is exported apart from it. */
fusion_status op_log(struct call *c) {
  struct value x = *c->in[0];
  const struct graph_node *from = &c->im->g->nodes[x.node];
  const enum graph_op op = from->op;
  const bool log = from->log;
  if (op == GRAPH_SIGMOID || op == GRAPH_SOFTMAX) x.node = from->inputs[0];
  if (op == GRAPH_SIGMOID) return log_sigmoid(c, &x);
  if (op == GRAPH_SOFTMAX && !log) return softmax_of_all(c, &x, true);
  return single(c, (struct activation_use){ACTIVATION_LOG, 1, 1, 0, 0});
}

/* Functions that are one table. */
fusion_status op_activation(struct call *c) {
  static const struct {
    const char *name;
    enum activation kind;
    float power;
  } kinds[] = {{"Tanh", ACTIVATION_TANH, 0},     {"Erf", ACTIVATION_ERF, 0},          {"Exp", ACTIVATION_EXP, 0},
               {"Log", ACTIVATION_LOG, 0},       {"Sin", ACTIVATION_SIN, 0},          {"Cos", ACTIVATION_COS, 0},
               {"Sqrt", ACTIVATION_POWER, 0.5f}, {"Reciprocal", ACTIVATION_POWER, -1}};
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
    if (is(c, kinds[i].name)) return single(c, (struct activation_use){kinds[i].kind, 1, 1, kinds[i].power, 0});
  return call_malformed(c, "is no function of one number");
}

/* gain * relu(x) + the function. */
static fusion_status beside_relu(struct call *c, double gain, struct activation_use use) {
  struct value bend, rest, out;
  fusion_status status;
  TRY(value_relu(c, c->in[0], &bend));
  if (gain > 1 || gain < 1) TRY(value_scale(c, &bend, gain, 0, &bend));
  TRY(value_activation(c, c->in[0], use, &rest));
  TRY(value_binary(c, '+', &bend, &rest, &out));
  TRY(call_set(c, 0, &out));
cleanup:
  return status;
}

fusion_status op_elu(struct call *c) {
  const float alpha = (float)attr_float(c, "alpha", is(c, "Selu") ? 1.67326319217681884765625 : 1);
  if (is(c, "Elu")) return beside_relu(c, 1, (struct activation_use){ACTIVATION_EXP_TAIL, alpha, 1, 0, 0});
  if (is(c, "Celu")) return beside_relu(c, 1, (struct activation_use){ACTIVATION_EXP_TAIL, alpha, alpha, 0, 0});
  const float gamma = (float)attr_float(c, "gamma", 1.05070102214813232421875);
  return beside_relu(c, (double)gamma, (struct activation_use){ACTIVATION_EXP_TAIL, alpha * gamma, 1, 0, 0});
}

/* x * sigmoid(alpha x) */
fusion_status op_swish(struct call *c) {
  const double alpha = attr_float(c, "alpha", 1);
  if (!(alpha > 0)) return call_refuse(c, "use an alpha above 0", "has an alpha that is not supported");
  return beside_relu(c, 1, (struct activation_use){ACTIVATION_SILU, (float)(1 / alpha), (float)(1 / alpha), 0, 0});
}

fusion_status op_softplus(struct call *c) {
  return beside_relu(c, 1, (struct activation_use){ACTIVATION_SOFTPLUS, 1, 1, 0, 0});
}

fusion_status op_gelu(struct call *c) {
  char form[16];
  attr_string(c, "approximate", form, sizeof form);
  const bool tanh_form = !strcmp(form, "tanh");
  if (!tanh_form && form[0] && strcmp(form, "none"))
    return call_refuse(c, "use 'none' or 'tanh'", "has an approximation that is not supported");
  return beside_relu(c, 1, (struct activation_use){tanh_form ? ACTIVATION_GELU_TANH : ACTIVATION_GELU, 1, 1, 0, 0});
}

fusion_status op_mish(struct call *c) {
  return beside_relu(c, 1, (struct activation_use){ACTIVATION_MISH, 1, 1, 0, 0});
}

fusion_status op_hard_swish(struct call *c) {
  return beside_relu(c, 1, (struct activation_use){ACTIVATION_HARD_SWISH, 1, 1, 0, 0});
}

/* x / (1 + |x|). */
fusion_status op_softsign(struct call *c) {
  struct value size, out;
  fusion_status status;
  TRY(value_abs(c, c->in[0], &size));
  TRY(value_scale(c, &size, 1, 1, &size));
  TRY(value_binary(c, '/', c->in[0], &size, &out));
  TRY(call_set(c, 0, &out));
cleanup:
  return status;
}

fusion_status value_power(struct call *c, const struct value *x, double power, struct value *out) {
  const struct graph_node *from = &c->im->g->nodes[x->node];
  const struct activation_use plain = {ACTIVATION_POWER, 1, 1, (float)power, 0};
  if (from->op != GRAPH_ACTIVATION || from->use.kind != ACTIVATION_POWER || !(from->use.gain > 0))
    return value_activation(c, x, plain, out);
  /* (gain * (x / stretch)^a)^b */
  struct activation_use use = from->use;
  const struct value inner = {
      .node = from->inputs[0], .dims = x->dims, .batched = x->batched, .batch_axis = x->batch_axis};
  use.power *= (float)power;
  use.gain = (float)pow((double)use.gain, power);
  return value_activation(c, &inner, use, out);
}

void sigmoids_inside(struct graph *g) {
  for (uint32_t i = 0; i + 1 < g->count; i++) {
    struct graph_node *n = &g->nodes[i];
    if (n->op != GRAPH_SIGMOID) continue;
    n->op = GRAPH_ACTIVATION;
    n->use = (struct activation_use){ACTIVATION_SIGMOID, 1, 1, 0, 0};
  }
}
