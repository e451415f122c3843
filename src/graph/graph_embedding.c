/* Embeddings that the client looks up: what one layer makes of a token is a row of its weights. */
#include "graph/graph.h"

/* The only node that reads the input; 0 when there are others, or it is no layer of single columns. */
static uint32_t embedding_layer(const struct graph *g) {
  uint32_t found = 0;
  for (uint32_t i = 1; i < g->count; i++)
    for (uint32_t k = 0; k < g->nodes[i].input_count; k++) {
      if (g->nodes[i].inputs[k]) continue;
      if (found) return 0;
      found = i;
    }
  const struct graph_node *n = &g->nodes[found];
  const bool columns = n->op == GRAPH_LINEAR && n->groups == 1 && n->window.kernel_h * n->window.kernel_w == 1 &&
                       n->shape.height == 1 && n->shape.width == g->nodes[0].shape.width;
  return columns ? found : 0;
}

fusion_status graph_publish_embeddings(struct graph *g, float **table, fusion_error *err) {
  const uint32_t layer = g->tokens ? embedding_layer(g) : 0;
  const struct graph_node *n = &g->nodes[layer];
  *table = NULL;
  if (!g->tokens)
    return error_set(err, FUSION_E_UNSUPPORTED, "--publish-embeddings: the network's input is no row of tokens");
  if (!layer)
    return error_set(err, FUSION_E_UNSUPPORTED, "--publish-embeddings: the tokens are read by more than one table");
  const uint32_t width = n->shape.channels;
  float *rows = mem_alloc((size_t)g->tokens * width, sizeof *rows);
  if (!rows) return error_set(err, FUSION_E_MEMORY, "out of memory for the embeddings");
  for (uint32_t v = 0; v < g->tokens; v++)
    for (uint32_t c = 0; c < width; c++)
      rows[(size_t)v * width + c] = n->weights[(size_t)c * g->tokens + v] + (n->bias ? n->bias[c] : 0);
  for (uint32_t i = layer + 1; i < g->count; i++)
    for (uint32_t k = 0; k < g->nodes[i].input_count; k++)
      if (g->nodes[i].inputs[k] == layer) g->nodes[i].inputs[k] = 0;
  g->nodes[0].shape = n->shape;
  g->nodes[0].step = 0;
  const fusion_status status = graph_simplify(g, g->count - 1);
  if (status != FUSION_OK) {
    mem_free(rows);
    return error_set(err, status, "embeddings: %s", fusion_status_text(status));
  }
  *table = rows;
  return FUSION_OK;
}
