/* Inputs that are tokens. Their only readers are tables: Gather of a constant by the input; Shape may ask for their
 * size. The graph's input is a column of zeros and a one for each token, and a table is a layer. */
#include "onnx/onnx_ops.h"

/* The table's entries; 0 when the node reads the input `name` otherwise. */
static uint32_t entries_of(const struct importer *im, const Onnx__NodeProto *n, const char *name) {
  if (!n->op_type || strcmp(n->op_type, "Gather") || n->n_input != 2) return 0;
  if (!strcmp(n->input[0], name) || strcmp(n->input[1], name)) return 0;
  const struct value *table = importer_find(im, n->input[0]);
  if (!table || !table->constant || !table->constant->f || table->constant->dims.rank != 2) return 0;
  for (size_t i = 0; i < n->n_attribute; i++)
    if (n->attribute[i]->name && !strcmp(n->attribute[i]->name, "axis") && n->attribute[i]->i != 0) return 0;
  return table->constant->dims.d[0];
}

static bool reads(const Onnx__NodeProto *n, const char *name) {
  for (size_t k = 0; k < n->n_input; k++)
    if (n->input[k] && !strcmp(n->input[k], name)) return true;
  return false;
}

uint32_t tokens_count(const struct importer *im, const char *name) {
  uint32_t count = 0;
  for (size_t i = 0; i < im->node_count; i++) {
    const Onnx__NodeProto *n = im->nodes[i].node;
    if (!reads(n, name) || (n->op_type && !strcmp(n->op_type, "Shape"))) continue;
    const uint32_t entries = entries_of(im, n, name);
    if (!entries || (count && entries != count)) return 0;
    count = entries;
  }
  return count;
}

/* Of tokens 0 and 1: the first entry, and as often as the token says what the second has more. */
static fusion_status pair_embedding(struct call *c) {
  const struct tensor *table = c->in[0]->constant;
  const uint32_t width = table->dims.d[1], places = (uint32_t)dims_size(&c->in[1]->dims);
  const struct dims row = {1, {width}};
  struct value x = *c->in[1], out;
  struct tensor *first = tensor_alloc(&row, 0), *more = tensor_alloc(&row, 0);
  fusion_status status;
  FAIL_IF(!first || !more, call_out_of_memory(c));
  for (uint32_t k = 0; k < width; k++) {
    first->f[k] = table->f[k];
    more->f[k] = table->f[width + k] - table->f[k];
  }
  x.dims = (struct dims){3, {1, places, 1}};
  x.pair = x.integer = false;
  TRY(value_binary(c, '*', &x, &(struct value){.constant = more}, &out));
  TRY(value_binary(c, '+', &out, &(struct value){.constant = first}, &out));
  TRY(call_set(c, 0, &out));
cleanup:
  tensor_free(first);
  tensor_free(more);
  return status;
}

fusion_status op_embedding(struct call *c) {
  static const uint32_t turned[] = {0, 2, 1};
  const struct tensor *table = c->in[0]->constant;
  const struct value *tokens = c->in[1];
  if (tokens->pair) return pair_embedding(c);
  const uint32_t entries = table->dims.d[0], width = table->dims.d[1];
  const uint32_t places = (uint32_t)dims_size(&tokens->dims);
  /* Numbers may lie in channels behind the tokens'. */
  const uint32_t channels = c->im->g->nodes[tokens->node].shape.channels;
  struct value out = {.dims = {3, {1, width, places}}, .batched = tokens->batched};
  float *weights = mem_alloc((size_t)width * channels, sizeof *weights);
  fusion_status status;
  FAIL_IF(!weights, call_out_of_memory(c));
  for (uint32_t v = 0; v < entries; v++)
    for (uint32_t k = 0; k < width; k++) weights[(size_t)k * channels + v] = table->f[(size_t)v * width + k];
  const struct graph_linear_spec spec = {.name = "embedding",
                                         .input = tokens->node,
                                         .out_channels = width,
                                         .groups = 1,
                                         .window = window_make(1, 1, 1),
                                         .weights = weights};
  TRY(call_added(c, graph_add_linear(c->im->g, &spec, &out.node)));
  call_name_node(c, out.node);
  TRY(value_transpose(c, &out, turned, &out));
  TRY(call_set(c, 0, &out));
cleanup:
  mem_free(weights);
  return status;
}
