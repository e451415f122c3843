/* Embeddings that the client looks up: what one layer makes of a token is a row of its weights. */
#include "graph/graph.h"

/* Elements of the input that are tokens' columns. */
static size_t token_elements(const struct graph *g) {
  return (size_t)g->tokens * g->nodes[0].shape.height * g->nodes[0].shape.width;
}

/* A rearrangement of the numbers beside the tokens. */
static bool reads_numbers(const struct graph *g, const struct graph_node *n) {
  if (n->op != GRAPH_GATHER || n->input_count != 1) return false;
  for (size_t i = 0; i < shape_size(n->shape); i++)
    if (n->gather[i].index != GATHER_ZERO && n->gather[i].index < token_elements(g)) return false;
  return true;
}

/* The only node that reads the tokens; 0 when there are others, or it is no layer of single columns. */
static uint32_t embedding_layer(const struct graph *g) {
  uint32_t found = 0;
  for (uint32_t i = 1; i < g->count; i++)
    for (uint32_t k = 0; k < g->nodes[i].input_count; k++) {
      if (g->nodes[i].inputs[k] || reads_numbers(g, &g->nodes[i])) continue;
      if (found) return 0;
      found = i;
    }
  const struct graph_node *n = &g->nodes[found];
  const bool columns = n->op == GRAPH_LINEAR && n->groups == 1 && n->window.kernel_h * n->window.kernel_w == 1 &&
                       n->shape.height == 1 && n->shape.width == g->nodes[0].shape.width;
  return columns ? found : 0;
}

/* Gives the input a token's `width` channels instead of its columns, and makes the layer a view of them. */
static fusion_status replace_layer(struct graph *g, uint32_t layer) {
  struct graph_node *n = &g->nodes[layer];
  const size_t was = token_elements(g), is = shape_size(n->shape);
  struct gather_source *view = mem_alloc(is, sizeof *view);
  if (!view) return FUSION_E_MEMORY;
  for (size_t i = 0; i < is; i++) view[i].index = (uint32_t)i;
  for (uint32_t i = 1; i < g->count; i++) {
    const struct graph_node *m = &g->nodes[i];
    if (!reads_numbers(g, m) || m->inputs[0]) continue;
    for (size_t k = 0; k < shape_size(m->shape); k++)
      if (m->gather[k].index != GATHER_ZERO) m->gather[k].index = (uint32_t)(m->gather[k].index - was + is);
  }
  g->nodes[0].shape.channels += n->shape.channels - g->tokens;
  mem_free(n->weights);
  mem_free(n->bias);
  n->weights = n->bias = NULL;
  n->op = GRAPH_GATHER;
  n->gather = view;
  return FUSION_OK;
}

fusion_status graph_publish_embeddings(struct graph *g, float **table, fusion_error *err) {
  const uint32_t layer = g->tokens ? embedding_layer(g) : 0;
  const struct graph_node *n = &g->nodes[layer];
  *table = NULL;
  if (!g->tokens)
    return error_set(err, FUSION_E_UNSUPPORTED, "--publish-embeddings: the network's input is no row of tokens");
  if (!layer)
    return error_set(err, FUSION_E_UNSUPPORTED, "--publish-embeddings: the tokens are read by more than one table");
  const uint32_t width = n->shape.channels, channels = g->nodes[0].shape.channels;
  float *rows = mem_alloc((size_t)g->tokens * width, sizeof *rows);
  if (!rows) return error_set(err, FUSION_E_MEMORY, "out of memory for the embeddings");
  for (uint32_t v = 0; v < g->tokens; v++)
    for (uint32_t c = 0; c < width; c++)
      rows[(size_t)v * width + c] = n->weights[(size_t)c * channels + v] + (n->bias ? n->bias[c] : 0);
  g->nodes[0].step = 0;
  fusion_status status = replace_layer(g, layer);
  if (status == FUSION_OK) status = graph_simplify(g, g->count - 1);
  if (status != FUSION_OK) {
    mem_free(rows);
    return error_set(err, status, "embeddings: %s", fusion_status_text(status));
  }
  *table = rows;
  return FUSION_OK;
}
