/* The operators of domain ai.onnx.ml that prepare features. */
#include <math.h>

#include "onnx/onnx_ops.h"

/* y = 1 where x > threshold, else 0. */
fusion_status op_binarizer(struct call *c) {
  struct value x;
  fusion_status status;
  TRY(value_scale(c, c->in[0], -1, attr_float(c, "threshold", 0), &x));
  TRY(call_added(c, graph_add_unary(c->im->g, GRAPH_COMPARE, x.node, &x.node)));
  call_name_node(c, x.node);
  TRY(value_scale(c, &x, -1, 1, &x));
  TRY(call_set(c, 0, &x));
cleanup:
  return status;
}

/* Missing values do not reach the network: clients refuse them. */
fusion_status op_imputer(struct call *c) {
  if (!isnan(attr_float(c, "replaced_value_float", (double)NAN)) || attr_find(c, "replaced_value_int64"))
    return call_refuse(c, "replace them before the network", "replaces values that are numbers");
  return op_identity(c);
}

/* Of one input: the row as it is. */
fusion_status op_feature_vectorizer(struct call *c) {
  uint32_t features;
  if (c->in_count != 1) return call_refuse(c, "use Concat", "joins several tensors");
  const fusion_status status = ml_features(c, c->in[0], &features);
  return status == FUSION_OK ? op_identity(c) : status;
}

/* The features of the given places. */
fusion_status op_feature_extractor(struct call *c) {
  struct value x = *c->in[0];
  const struct tensor *places = call_constant(c, 1);
  struct gather_source *sources = NULL;
  uint32_t features;
  fusion_status status;
  FAIL_IF(!places || !places->i, call_refuse(c, "answer with the scores instead of the label: FILE:TENSOR names them",
                                             "takes places that depend on the input"));
  TRY(ml_features(c, &x, &features));
  const size_t count = dims_size(&places->dims);
  sources = mem_alloc(count, sizeof *sources);
  FAIL_IF(!sources, call_out_of_memory(c));
  for (size_t i = 0; i < count; i++) {
    FAIL_IF(places->i[i] < 0 || places->i[i] >= features, call_malformed(c, "takes a feature that is not there"));
    sources[i].index = (uint32_t)places->i[i];
  }
  const uint32_t from = x.node;
  const struct graph_gather_spec spec = {
      .name = "features", .inputs = &from, .input_count = 1, .shape = {(uint32_t)count, 1, 1}, .sources = sources};
  TRY(call_added(c, graph_add_gather(c->im->g, &spec, &x.node)));
  call_name_node(c, x.node);
  x.dims.d[x.dims.rank - 1] = (uint32_t)count;
  TRY(call_set(c, 0, &x));
cleanup:
  mem_free(sources);
  return status;
}

/* [x >= category - 1/2] or [x >= category + 1/2] for every feature and category. */
static fusion_status add_steps(struct call *c, uint32_t row, const int64_t *categories, size_t count, double offset,
                               uint32_t *node) {
  const uint32_t features = c->im->g->nodes[row].shape.channels;
  const size_t rows = (size_t)features * count;
  size_t weights;
  if (!size_mul(rows, features, &weights) || weights > MODEL_MAX_TENSOR)
    return call_refuse(c, "encode the data before the network", "makes too many features");
  float *w = mem_alloc(weights, sizeof *w), *b = mem_alloc(rows, sizeof *b);
  fusion_status status = w && b ? FUSION_OK : call_out_of_memory(c);
  for (size_t r = 0; status == FUSION_OK && r < rows; r++) {
    w[r * features + r / count] = 1;
    b[r] = (float)-((double)categories[r % count] + offset);
  }
  if (status == FUSION_OK) status = call_added(c, graph_add_dense(c->im->g, row, (uint32_t)rows, w, b, node));
  if (status == FUSION_OK) status = call_added(c, graph_add_unary(c->im->g, GRAPH_COMPARE, *node, node));
  mem_free(w);
  mem_free(b);
  return status;
}

/* A place for each category: the difference of two steps. Other numbers give zeros. */
fusion_status op_one_hot(struct call *c) {
  struct value x = *c->in[0], above;
  const int64_t *categories;
  const size_t count = attr_ints(c, "cats_int64s", &categories);
  uint32_t features, row;
  fusion_status status;
  if (!count || attr_find(c, "cats_strings"))
    return call_refuse(c, "encode the data before the network", "encodes texts, or nothing");
  TRY(ml_features(c, &x, &features));
  TRY(value_view(c, &x, (struct shape){features, 1, 1}, &row));
  FAIL_IF(!dims_push(&x.dims, count), call_malformed(c, "has a tensor above the limit"));
  x.integer = false;
  above = x;
  TRY(add_steps(c, row, categories, count, -0.5, &x.node));
  TRY(add_steps(c, row, categories, count, 0.5, &above.node));
  TRY(value_binary(c, '-', &x, &above, &x));
  TRY(call_set(c, 0, &x));
cleanup:
  return status;
}
