/* Defences as layers behind the outputs z. With p = softmax(z), S = sum of exp(z - max z), all of it as a Softmax
 * inside a network has it, log(p / (1 - p)) = z - max z - log(S) - log(1 - p): two functions of S for a sample and two
 * tables for an output, none of a difference of near values. Probabilities above 63/64 count as that, as far as 1 - p
 * goes. Of one output, or of those that count by themselves, log(p / (1 - p)) is z; of two classes it is the
 * difference. */
#include <math.h>

#include "graph/graph.h"

/* What the layers of a defence are added to. */
struct tail {
  struct graph *g;
  uint32_t z; /* outputs as a row [1][1][width] */
  uint32_t width;
  uint32_t shifted; /* z less its maximum */
  uint32_t sum;     /* S, [1][1][1] */
  uint32_t chances; /* p */
};

static const struct activation_use below = {ACTIVATION_EXP_BELOW, 1, 1, 0, 0};
static const struct activation_use inverse = {ACTIVATION_POWER, 1, 1, -1, 0};
static const struct activation_use minus_log = {ACTIVATION_LOG, -1, 1, 0, 0};
static const struct activation_use log_rest = {ACTIVATION_LOG_REST, 1, 1, 0, 0};

uint32_t graph_logits(const struct graph *graph) {
  const struct graph_node *last = &graph->nodes[graph->count - 1];
  const bool final = last->op == GRAPH_SOFTMAX || last->op == GRAPH_SIGMOID || last->op == GRAPH_ARGMAX;
  return final ? last->inputs[0] : graph->count - 1;
}

/* One value for all of the row. */
static fusion_status repeat(struct tail *t, uint32_t one, uint32_t *out) {
  struct gather_source *sources = mem_alloc(t->width, sizeof *sources);
  if (!sources) return FUSION_E_MEMORY;
  const struct graph_gather_spec spec = {
      .name = "defence", .inputs = &one, .input_count = 1, .shape = {1, 1, t->width}, .sources = sources};
  const fusion_status status = graph_add_gather(t->g, &spec, out);
  mem_free(sources);
  return status;
}

/* scale * x + bias as a layer, so that what follows may have any unit. */
static fusion_status layer(struct tail *t, uint32_t from, float bias, uint32_t *out) {
  const float one = 1;
  const struct graph_linear_spec spec = {.name = "defence",
                                         .input = from,
                                         .out_channels = 1,
                                         .groups = 1,
                                         .window = window_make(1, 1, 1),
                                         .weights = &one,
                                         .bias = &bias};
  return graph_add_linear(t->g, &spec, out);
}

static fusion_status add_softmax(struct tail *t) {
  const struct window row = window_make(1, t->width, 1);
  const float minus = -1;
  uint32_t top, powers, factor;
  fusion_status status;
  TRY(graph_add_pool(t->g, GRAPH_MAXPOOL, t->z, row, &top));
  TRY(graph_add_affine(t->g, top, &minus, NULL, &top));
  TRY(repeat(t, top, &top));
  TRY(graph_add_binary(t->g, GRAPH_ADD, t->z, top, &t->shifted));
  TRY(graph_add_activation(t->g, t->shifted, below, &powers));
  TRY(graph_add_pool(t->g, GRAPH_AVGPOOL, powers, row, &t->sum));
  t->g->nodes[t->sum].sum = true;
  TRY(graph_add_activation(t->g, t->sum, inverse, &factor));
  TRY(repeat(t, factor, &factor));
  TRY(graph_add_binary(t->g, GRAPH_MUL, powers, factor, &t->chances));
cleanup:
  return status;
}

/* u = log(p / (1 - p)) of more than two classes. */
static fusion_status add_log_odds(struct tail *t, uint32_t *out) {
  uint32_t log_sum, rest;
  fusion_status status;
  TRY(add_softmax(t));
  TRY(graph_add_activation(t->g, t->sum, minus_log, &log_sum));
  TRY(repeat(t, log_sum, &log_sum));
  TRY(graph_add_activation(t->g, t->chances, log_rest, &rest));
  TRY(graph_add_binary(t->g, GRAPH_ADD, t->shifted, log_sum, out));
  TRY(graph_add_binary(t->g, GRAPH_ADD, *out, rest, out));
cleanup:
  return status;
}

/* (a - b, b - a). */
static fusion_status add_difference(struct tail *t, uint32_t *out) {
  static const struct gather_source turned[2] = {{0, 1}, {0, 0}};
  const struct graph_gather_spec spec = {
      .name = "defence", .inputs = &t->z, .input_count = 1, .shape = {1, 1, 2}, .sources = turned};
  const float minus = -1;
  uint32_t other;
  fusion_status status;
  TRY(graph_add_gather(t->g, &spec, &other));
  TRY(graph_add_affine(t->g, other, &minus, NULL, &other));
  TRY(graph_add_binary(t->g, GRAPH_ADD, t->z, other, out));
cleanup:
  return status;
}

static fusion_status add_reverse_sigmoid(struct tail *t, const struct defence *d, bool classes, uint32_t *out) {
  const struct activation_use use = {ACTIVATION_REVERSE_SIGMOID, 1, 1, (float)d->beta, (float)d->gamma};
  uint32_t odds = t->z;
  fusion_status status = FUSION_OK;
  if (classes && t->width == 2) TRY(add_difference(t, &odds));
  if (classes && t->width > 2) TRY(add_log_odds(t, &odds));
  TRY(graph_add_activation(t->g, odds, use, out));
cleanup:
  return status;
}

/* A QUANTISE node from -1/2 to 1/2. */
static void round_to(struct graph_node *n, const struct defence *d, unsigned finer) {
  const double half = pow(10, d->digits) / 2;
  n->step = (float)ldexp(0.5 / half, -(int)finer);
  n->high = (int32_t)ldexp(half, (int)finer);
  n->low = -n->high;
}

/* p less 1/2 on the grid of 10^-digits. */
static fusion_status add_rounding(struct tail *t, const struct defence *d, bool classes, uint32_t *out) {
  const struct activation_use centred = {ACTIVATION_REVERSE_SIGMOID, 1, 1, 0, 0};
  const bool many = classes && t->width > 2;
  uint32_t odds = t->z;
  fusion_status status = FUSION_OK;
  if (many) TRY(add_softmax(t));
  if (classes && t->width == 2) TRY(add_difference(t, &odds));
  if (!many) TRY(graph_add_activation(t->g, odds, centred, &t->chances));
  TRY(layer(t, t->chances, many ? -0.5f : 0, out));
  TRY(graph_add_quantise(t->g, *out, 1, -1, 1, out));
  round_to(&t->g->nodes[*out], d, 0);
cleanup:
  return status;
}

void graph_refine_rounding(struct graph *g, const struct defence *defence, unsigned finer) {
  if (defence->kind == DEFENCE_ROUND) round_to(&g->nodes[g->count - 2], defence, finer);
}

fusion_status graph_defend(struct graph *g, const struct defence *defence, uint32_t *outputs, bool *classes,
                           fusion_error *err) {
  const char *wrong = defence_check(defence);
  const uint32_t logits = graph_logits(g);
  const struct shape shape = g->nodes[logits].shape;
  struct tail t = {.g = g, .width = (uint32_t)shape_size(shape)};
  uint32_t out;
  fusion_status status;
  if (wrong) return error_set(err, FUSION_E_USAGE, "defence: %s", wrong);
  if (defence->kind == DEFENCE_NONE) return FUSION_OK;
  *classes = t.width > 1 && g->nodes[g->count - 1].op != GRAPH_SIGMOID;
  *outputs = logits;
  if (*classes && t.width != shape.channels && t.width != shape.width)
    return error_set(err, FUSION_E_UNSUPPORTED, "defence: the network's outputs are no row of classes (%ux%ux%u)",
                     shape.channels, shape.height, shape.width);
  while (g->count > logits + 1) graph_node_clear(&g->nodes[--g->count]);
  TRY(graph_add_reshape(g, logits, (struct shape){1, 1, t.width}, &t.z));
  status = defence->kind == DEFENCE_ROUND ? add_rounding(&t, defence, *classes, &out)
                                          : add_reverse_sigmoid(&t, defence, *classes, &out);
  if (status == FUSION_OK) status = graph_add_reshape(g, out, (struct shape){t.width, 1, 1}, NULL);
cleanup:
  return status == FUSION_OK ? status : error_set(err, status, "defence: %s", fusion_status_text(status));
}
