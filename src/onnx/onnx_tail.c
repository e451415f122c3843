/* Ends of exported classifiers that say in several nodes what one can: (1 - p, p) of p = sigmoid(x) is the softmax of
 * (0, x). */
#include "onnx/onnx_ops.h"

static bool is_complement(const struct graph *g, uint32_t node, uint32_t sigmoid) {
  const struct graph_node *n = &g->nodes[node];
  return n->op == GRAPH_AFFINE && n->inputs[0] == sigmoid && n->bias && n->weights[0] >= -1 && n->weights[0] <= -1 &&
         n->bias[0] >= 1 && n->bias[0] <= 1;
}

/* True when `last` joins 1 - p and p; *score is x, and `second` whether p stands at the second place. */
static bool is_pair(const struct graph *g, const struct graph_node *last, uint32_t *score, bool *second) {
  if (last->op != GRAPH_GATHER || last->input_count != 2 || shape_size(last->shape) != 2) return false;
  const uint32_t a = last->gather[0].input, b = last->gather[1].input;
  if (last->gather[0].index != 0 || last->gather[1].index != 0 || a > 1 || b > 1 || a == b) return false;
  const uint32_t first = last->inputs[a], other = last->inputs[b];
  for (int turn = 0; turn < 2; turn++) {
    const uint32_t p = turn ? first : other, q = turn ? other : first;
    const struct graph_node *n = &g->nodes[p];
    if (n->op != GRAPH_SIGMOID || shape_size(n->shape) != 1 || !is_complement(g, q, p)) continue;
    *score = n->inputs[0];
    *second = turn == 0;
    return true;
  }
  return false;
}

fusion_status tail_fold(struct graph *g) {
  uint32_t score = 0, node;
  bool second = false;
  const struct graph_node *last = &g->nodes[g->count - 1];
  if (!is_pair(g, last, &score, &second)) return FUSION_OK;
  const struct gather_source nothing = {.index = GATHER_ZERO}, x = {0};
  const struct gather_source sources[2] = {second ? nothing : x, second ? x : nothing};
  const struct graph_gather_spec spec = {
      .name = "scores", .inputs = &score, .input_count = 1, .shape = last->shape, .sources = sources};
  fusion_status status;
  TRY(graph_add_gather(g, &spec, &node));
  TRY(graph_add_unary(g, GRAPH_SOFTMAX, node, &node));
  TRY(graph_simplify(g, node));
cleanup:
  return status;
}
