/* Products that exporters write an activation as: x * sigmoid(x) and its relatives, each the sum of a Relu and a
 * function that levels out, which is one table and no product. */
#include <math.h>

#include "onnx/onnx_ops.h"

static bool same_everywhere(const float *v, uint32_t count) {
  for (uint32_t i = 1; v && i < count; i++)
    if (v[i] < v[0] || v[i] > v[0]) return false;
  return true;
}

struct line line_of(const struct graph *g, uint32_t node) {
  struct line l = {node, 1, 0};
  for (;;) {
    const struct graph_node *n = &g->nodes[l.inner];
    if (n->op != GRAPH_AFFINE || !same_everywhere(n->weights, n->shape.channels) ||
        !same_everywhere(n->bias, n->shape.channels))
      return l;
    l.bias += l.scale * (n->bias ? (double)n->bias[0] : 0);
    l.scale *= (double)n->weights[0];
    l.inner = n->inputs[0];
  }
}

static bool is_near(double a, double b) {
  return fabs(a - b) <= 1e-4 * fabs(b);
}

/* scale * x of x itself. */
static bool is_multiple(const struct line *l, uint32_t x) {
  return l->inner == x && fabs(l->bias) <= 1e-7 * fabs(l->scale);
}

static bool is_activation(const struct graph_node *n, enum activation kind) {
  return n->op == GRAPH_ACTIVATION && n->use.kind == kind && is_near((double)n->use.gain, 1) &&
         is_near((double)n->use.stretch, 1);
}

/* x * x * x in either order. */
static bool is_cube(const struct graph *g, uint32_t node, uint32_t x) {
  const struct graph_node *n = &g->nodes[node];
  if (n->op != GRAPH_MUL) return false;
  for (unsigned k = 0; k < 2; k++) {
    const struct graph_node *square = &g->nodes[n->inputs[k]];
    if (square->op == GRAPH_MUL && square->inputs[0] == x && square->inputs[1] == x && n->inputs[1 - k] == x)
      return true;
  }
  return false;
}

/* sqrt(2 / pi) * (x + 0.044715 x^3). */
static bool is_gelu_argument(const struct graph *g, uint32_t node, uint32_t x) {
  const struct line outer = line_of(g, node);
  const struct graph_node *sum = &g->nodes[outer.inner];
  if (sum->op != GRAPH_ADD || !is_multiple(&outer, outer.inner)) return false;
  for (unsigned k = 0; k < 2; k++) {
    const struct line one = line_of(g, sum->inputs[k]), cube = line_of(g, sum->inputs[1 - k]);
    if (is_multiple(&one, x) && is_multiple(&cube, cube.inner) && is_cube(g, cube.inner, x) &&
        is_near(outer.scale * one.scale, 0.79788456080286536) && is_near(cube.scale, one.scale * 0.044715))
      return true;
  }
  return false;
}

/* log(1 + exp(x)): relu(x) and a table. */
static bool is_softplus(const struct graph *g, uint32_t node, uint32_t x) {
  const struct graph_node *n = &g->nodes[node];
  if (n->op != GRAPH_ADD) return false;
  for (unsigned k = 0; k < 2; k++) {
    const struct graph_node *bend = &g->nodes[n->inputs[k]], *rest = &g->nodes[n->inputs[1 - k]];
    if (bend->op == GRAPH_RELU && bend->inputs[0] == x && is_activation(rest, ACTIVATION_SOFTPLUS) &&
        rest->inputs[0] == x)
      return true;
  }
  return false;
}

/* t * min(max(x / 6 + 1/2, 0), 1), written t - t/q relu(q - p relu(k x + b)) as clips are. */
static bool is_hard_sigmoid(const struct graph *g, const struct line *gate, uint32_t x) {
  const struct graph_node *above = &g->nodes[gate->inner];
  if (above->op != GRAPH_RELU || !(gate->bias > 0)) return false;
  const struct line rest = line_of(g, above->inputs[0]);
  const struct graph_node *below = &g->nodes[rest.inner];
  if (below->op != GRAPH_RELU || !(rest.bias > 0)) return false;
  const struct line start = line_of(g, below->inputs[0]);
  const double slope = -rest.scale / rest.bias;
  return start.inner == x && is_near(-gate->scale * rest.bias, gate->bias) && is_near(slope * start.scale, 1.0 / 6) &&
         is_near(slope * start.bias, 0.5);
}

/* The activation that `gate`, a line of a function, makes of x as its factor: factor * (relu(x) + what use says of it,
 * with gain and stretch for x * gate). False when it makes none. */
static bool match(const struct graph *g, uint32_t x, const struct line *gate, double *factor,
                  struct activation_use *use) {
  const struct graph_node *n = &g->nodes[gate->inner];
  const uint32_t from = n->input_count ? n->inputs[0] : 0;
  const struct line argument = line_of(g, from);
  const bool plain = fabs(gate->bias) <= 1e-7, centred = is_near(gate->bias, gate->scale);
  double stretch = 1;
  *factor = gate->scale;
  if ((n->op == GRAPH_SIGMOID || is_activation(n, ACTIVATION_SIGMOID)) && plain && is_multiple(&argument, x)) {
    stretch = 1 / argument.scale;
    use->kind = ACTIVATION_SILU;
  } else if (is_activation(n, ACTIVATION_ERF) && centred && is_multiple(&argument, x)) {
    stretch = 0.70710678118654752 / argument.scale;
    *factor *= 2;
    use->kind = ACTIVATION_GELU;
  } else if (is_activation(n, ACTIVATION_TANH) && centred && is_gelu_argument(g, from, x)) {
    *factor *= 2;
    use->kind = ACTIVATION_GELU_TANH;
  } else if (is_activation(n, ACTIVATION_TANH) && plain && is_softplus(g, from, x)) {
    use->kind = ACTIVATION_MISH;
  } else if (is_hard_sigmoid(g, gate, x)) {
    *factor = gate->bias;
    use->kind = ACTIVATION_HARD_SWISH;
  } else {
    return false;
  }
  if (!(stretch >= 1e-6 && stretch <= 1e6)) return false;
  use->gain = use->stretch = (float)stretch;
  return true;
}

/* One order of the factors. */
static fusion_status fuse(struct call *c, const struct value *a, const struct value *b, struct value *out, bool *done) {
  const struct graph *g = c->im->g;
  const struct line x = line_of(g, a->node), gate = line_of(g, b->node);
  struct activation_use use = {.power = 0};
  struct value inner = *a, bend, rest;
  double factor;
  fusion_status status = FUSION_OK;
  if (!is_multiple(&x, x.inner) || !match(g, x.inner, &gate, &factor, &use)) return FUSION_OK;
  inner.node = x.inner;
  TRY(value_relu(c, &inner, &bend));
  TRY(value_activation(c, &inner, use, &rest));
  TRY(value_binary(c, '+', &bend, &rest, out));
  factor *= x.scale;
  if (!is_near(factor, 1)) TRY(value_scale(c, out, factor, 0, out));
  *done = true;
cleanup:
  return status;
}

static bool has_padding(const struct window *w) {
  return w->pad_top || w->pad_left || w->pad_bottom || w->pad_right;
}

fusion_status value_sum_for_mean(struct call *c, struct value *x, struct activation_use *use) {
  struct graph *g = c->im->g;
  const struct line l = line_of(g, x->node);
  const struct graph_node *pool = &g->nodes[l.inner];
  const double count = (double)pool->window.kernel_h * pool->window.kernel_w;
  if (pool->op != GRAPH_AVGPOOL || pool->sum || has_padding(&pool->window) || !(l.scale > 0)) return FUSION_OK;
  const double stretch = (double)use->stretch * count / l.scale;
  if (!(stretch <= 1e6)) return FUSION_OK;
  fusion_status status;
  TRY(call_added(c, graph_add_pool(g, GRAPH_AVGPOOL, pool->inputs[0], pool->window, &x->node)));
  g->nodes[x->node].sum = true;
  call_name_node(c, x->node);
  use->stretch = (float)stretch;
  const double bias = l.bias * count / l.scale;
  if (bias > 0 || bias < 0) TRY(value_scale(c, x, 1, bias, x));
cleanup:
  return status;
}

fusion_status value_fused(struct call *c, const struct value *a, const struct value *b, struct value *out, bool *done) {
  *done = false;
  if (!dims_equal(&a->dims, &b->dims)) return FUSION_OK;
  const fusion_status status = fuse(c, a, b, out, done);
  return status != FUSION_OK || *done ? status : fuse(c, b, a, out, done);
}
