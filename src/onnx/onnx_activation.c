/* Activations that are no sums of Relus: tables of functions that level out, and Relus beside them. */
#include "onnx/onnx_ops.h"

static bool is(const struct call *c, const char *name) {
  return !strcmp(c->node->op_type, name);
}

static fusion_status value_activation(struct call *c, const struct value *x, struct activation_use use,
                                      struct value *out) {
  *out = *x;
  if (!(use.stretch >= 1e-6f && use.stretch <= 1e6f && use.gain >= -1e6f && use.gain <= 1e6f))
    return call_malformed(c, "has an attribute that is out of range");
  const fusion_status status = call_added(c, graph_add_activation(c->im->g, x->node, use, &out->node));
  if (status == FUSION_OK) call_name_node(c, out->node);
  return status;
}

/* Tanh, Erf. */
fusion_status op_activation(struct call *c) {
  struct value out;
  const enum activation kind = is(c, "Tanh") ? ACTIVATION_TANH : ACTIVATION_ERF;
  const fusion_status status = value_activation(c, c->in[0], (struct activation_use){kind, 1, 1}, &out);
  return status == FUSION_OK ? call_set(c, 0, &out) : status;
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
  if (is(c, "Elu")) return beside_relu(c, 1, (struct activation_use){ACTIVATION_EXP_TAIL, alpha, 1});
  if (is(c, "Celu")) return beside_relu(c, 1, (struct activation_use){ACTIVATION_EXP_TAIL, alpha, alpha});
  const float gamma = (float)attr_float(c, "gamma", 1.05070102214813232421875);
  return beside_relu(c, (double)gamma, (struct activation_use){ACTIVATION_EXP_TAIL, alpha * gamma, 1});
}

fusion_status op_softplus(struct call *c) {
  return beside_relu(c, 1, (struct activation_use){ACTIVATION_SOFTPLUS, 1, 1});
}

fusion_status op_gelu(struct call *c) {
  char form[16];
  attr_string(c, "approximate", form, sizeof form);
  const bool tanh_form = !strcmp(form, "tanh");
  if (!tanh_form && form[0] && strcmp(form, "none"))
    return call_refuse(c, "use 'none' or 'tanh'", "has an approximation that is not supported");
  return beside_relu(c, 1, (struct activation_use){tanh_form ? ACTIVATION_GELU_TANH : ACTIVATION_GELU, 1, 1});
}

void sigmoids_inside(struct graph *g) {
  for (uint32_t i = 0; i + 1 < g->count; i++) {
    struct graph_node *n = &g->nodes[i];
    if (n->op != GRAPH_SIGMOID) continue;
    n->op = GRAPH_ACTIVATION;
    n->use = (struct activation_use){ACTIVATION_SIGMOID, 1, 1};
  }
}
