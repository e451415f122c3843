/* The operators of domain ai.onnx.ml that classical models are exported with and that are linear maps; and what such
 * exports put behind the scores. */
#include <math.h>
#include <stdio.h>

#include "onnx/onnx_ops.h"

static size_t attr_floats(const struct call *c, const char *name, const float **out) {
  const Onnx__AttributeProto *a = attr_find(c, name);
  *out = a ? a->floats : NULL;
  return a ? a->n_floats : 0;
}

/* A row of features: all dimensions but the last are 1. */
fusion_status ml_features(const struct call *c, const struct value *x, uint32_t *features) {
  if (x->dims.rank == 0 || dims_size(&x->dims) != x->dims.d[x->dims.rank - 1] || (x->dims.rank == 1 && x->batched))
    return call_refuse(c, "give it one row of features per sample", "works on more than a row of features");
  *features = x->dims.d[x->dims.rank - 1];
  return FUSION_OK;
}

/* y = (x - offset) * scale, one number for all features or one for each. */
fusion_status op_scaler(struct call *c) {
  struct value x = *c->in[0];
  const float *offset, *scale;
  const size_t offsets = attr_floats(c, "offset", &offset), scales = attr_floats(c, "scale", &scale);
  uint32_t features = 0;
  fusion_status status = ml_features(c, &x, &features);
  if (status != FUSION_OK) return status;
  if ((offsets > 1 && offsets != features) || (scales > 1 && scales != features))
    return call_malformed(c, "has a different number of offsets or scales than features");
  float *s = mem_alloc(features, sizeof *s), *b = mem_alloc(features, sizeof *b);
  status = s && b ? value_view(c, &x, (struct shape){features, 1, 1}, &x.node) : call_out_of_memory(c);
  for (size_t i = 0; status == FUSION_OK && i < features; i++) {
    s[i] = scales ? scale[scales == 1 ? 0 : i] : 1;
    b[i] = offsets ? -offset[offsets == 1 ? 0 : i] * s[i] : 0;
  }
  if (status == FUSION_OK) status = call_added(c, graph_add_affine(c->im->g, x.node, s, b, &x.node));
  mem_free(s);
  mem_free(b);
  if (status != FUSION_OK) return status;
  call_name_node(c, x.node);
  x.integer = false;
  return call_set(c, 0, &x);
}

/* x times the attribute `coefficients` [rows][features], plus `intercepts`. */
static fusion_status linear_scores(struct call *c, struct value *x, uint32_t *rows) {
  const float *weights, *bias;
  const size_t count = attr_floats(c, "coefficients", &weights), biases = attr_floats(c, "intercepts", &bias);
  uint32_t features = 0;
  fusion_status status;
  TRY(ml_features(c, x, &features));
  if (count == 0 || count % features || (biases && biases != count / features))
    return call_malformed(c, "has coefficients or intercepts that do not fit its input");
  *rows = (uint32_t)(count / features);
  TRY(value_view(c, x, (struct shape){features, 1, 1}, &x->node));
  TRY(call_added(c, graph_add_dense(c->im->g, x->node, *rows, weights, biases ? bias : NULL, &x->node)));
  call_name_node(c, x->node);
  x->dims.d[x->dims.rank - 1] = *rows;
  x->integer = false;
cleanup:
  return status;
}

fusion_status op_linear_regressor(struct call *c) {
  struct value x = *c->in[0];
  char transform[16];
  uint32_t rows;
  fusion_status status;
  attr_string(c, "post_transform", transform, sizeof transform);
  if (transform[0] && strcmp(transform, "NONE"))
    return call_refuse(c, "export it without", "has a post_transform that is not supported");
  TRY(linear_scores(c, &x, &rows));
  if (attr_int(c, "targets", 1) != rows) return call_malformed(c, "has a different number of targets than intercepts");
  TRY(call_set(c, 0, &x));
cleanup:
  return status;
}

/* Keeps what the file calls the classes, unless they are numbered from 0 on. The graph keeps one list: that of the last
 * node that has one. `classes`: how many there are; 0 when the node does not say. */
fusion_status ml_take_labels(struct call *c, const char *numbers, const char *texts, size_t classes) {
  const int64_t *ints;
  const size_t count = attr_ints(c, numbers, &ints);
  const Onnx__AttributeProto *a = attr_find(c, texts);
  const size_t named = a ? a->n_strings : 0;
  struct class_labels l = {0};
  if (!count && !named) return FUSION_OK;
  if (count && named) return call_malformed(c, "has labels of two kinds");
  if (classes && count + named != classes) return call_malformed(c, "has another number of labels than of classes");
  fusion_status status = class_labels_open(&l, count + named, named > 0);
  if (status == FUSION_OK && count) memcpy(l.numbers, ints, count * sizeof *ints);
  for (uint32_t i = 0; status == FUSION_OK && i < named; i++)
    status = class_labels_set_text(&l, i, a->strings[i].data, a->strings[i].len);
  if (status == FUSION_OK && !class_labels_plain(&l) && class_labels_check(&l, l.count)) status = FUSION_E_MODEL;
  if (status == FUSION_OK && !class_labels_plain(&l)) {
    class_labels_free(&c->im->g->labels);
    c->im->g->labels = l;
    return FUSION_OK;
  }
  class_labels_free(&l);
  if (status == FUSION_OK) return FUSION_OK;
  if (status == FUSION_E_MEMORY) return call_out_of_memory(c);
  return call_malformed(c, "has labels that are not 2 to 65536 different ones of up to 255 bytes of text");
}

/* The label is the place of the best score. */
fusion_status ml_classifier_label(struct call *c, struct value x) {
  if (!importer_needs(c->im, c->node->output[0])) return FUSION_OK;
  const fusion_status status = call_added(c, graph_add_unary(c->im->g, GRAPH_ARGMAX, x.node, &x.node));
  if (status != FUSION_OK) return status;
  x.dims.rank--;
  x.integer = true;
  return call_set(c, 0, &x);
}

fusion_status op_linear_classifier(struct call *c) {
  struct value x = *c->in[0];
  char transform[16];
  uint32_t rows;
  fusion_status status;
  attr_string(c, "post_transform", transform, sizeof transform);
  const bool softmax = !strcmp(transform, "SOFTMAX"), logistic = !strcmp(transform, "LOGISTIC");
  if (transform[0] && !softmax && !logistic && strcmp(transform, "NONE"))
    return call_refuse(c, "use NONE, SOFTMAX or LOGISTIC", "has a post_transform that is not supported");
  TRY(linear_scores(c, &x, &rows));
  if (rows < 2)
    return call_refuse(c, "give every class its own row of coefficients",
                       "has one row of coefficients for two classes");
  TRY(ml_take_labels(c, "classlabels_ints", "classlabels_strings", rows));
  if (call_uses_output(c, 0)) TRY(ml_classifier_label(c, x));
  if (softmax || logistic) {
    TRY(call_added(c, graph_add_unary(c->im->g, softmax ? GRAPH_SOFTMAX : GRAPH_SIGMOID, x.node, &x.node)));
    call_name_node(c, x.node);
  }
  TRY(call_set(c, 1, &x));
cleanup:
  return status;
}

/* Two scores that are each other's negative: their sigmoids sum to 1. */
static bool opposite_rows(const struct graph *g, const struct graph_node *n) {
  if (n->op != GRAPH_LINEAR || n->shape.channels != 2 || n->groups != 1) return false;
  const size_t fan = shape_size(g->nodes[n->inputs[0]].shape);
  bool opposite =
      shape_size(n->shape) == 2 && (!n->bias || fabsf(n->bias[0] + n->bias[1]) <= 1e-6f * fabsf(n->bias[0]));
  for (size_t i = 0; i < fan && opposite; i++)
    opposite = fabsf(n->weights[i] + n->weights[fan + i]) <= 1e-6f * fabsf(n->weights[i]);
  return opposite;
}

/* Behind class probabilities: they sum to 1 already, or the scores before are the answer. */
fusion_status op_normalizer(struct call *c) {
  struct value x = *c->in[0];
  char norm[8];
  attr_string(c, "norm", norm, sizeof norm);
  const struct graph_node *n = &c->im->g->nodes[x.node];
  if (strcmp(norm, "L1") || (n->op != GRAPH_SOFTMAX && n->op != GRAPH_SIGMOID))
    return call_refuse(c, "normalise the data before the network", "divides by the size of an activation");
  if (n->op == GRAPH_SIGMOID && !opposite_rows(c->im->g, &c->im->g->nodes[n->inputs[0]])) {
    x.node = n->inputs[0];
    snprintf(c->im->g->note, sizeof c->im->g->note,
             "the sigmoids of the scores and the Normalizer behind them are left out: answers are the scores before");
  }
  return call_set(c, 0, &x);
}

/* Scores with their classes' names. */
fusion_status op_zip_map(struct call *c) {
  const fusion_status status = ml_take_labels(c, "classlabels_int64s", "classlabels_strings", 0);
  return status == FUSION_OK ? op_identity(c) : status;
}
