/* Which tensor is the answer, and what of the file is needed for it: a file may have several outputs (a label beside
 * the scores), and nodes that lead to the others may well be such as cannot be read. "FILE:TENSOR" names one. */
#include <stdio.h>
#include <unistd.h>

#include "reader/onnx_import.h"

enum { NAMES_LEN = 256 };

/* Splits "FILE:TENSOR" at the first colon that leaves an existing file; a file that exists as it stands is one. */
fusion_status output_split(struct importer *im, const char *path) {
  const size_t len = strlen(path);
  im->owned_path = mem_alloc(len + 1, 1);
  if (!im->owned_path) return error_set(im->err, FUSION_E_MEMORY, "'%.200s': out of memory", path);
  memcpy(im->owned_path, path, len);
  im->path = im->owned_path;
  if (access(path, F_OK) == 0) return FUSION_OK;
  for (char *colon = strchr(im->owned_path, ':'); colon; colon = strchr(colon + 1, ':')) {
    *colon = 0;
    if (colon > im->owned_path && colon[1] && access(im->owned_path, F_OK) == 0) {
      im->wanted = colon + 1;
      return FUSION_OK;
    }
    *colon = ':';
  }
  return FUSION_OK;
}

/* Labels and the like: integers, truth values or text. */
static bool holds_labels(const Onnx__ValueInfoProto *v) {
  const Onnx__TypeProto__Tensor *t =
      v->type && v->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? v->type->tensor_type : NULL;
  return t &&
         (t->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 ||
          t->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT32 ||
          t->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__STRING || t->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__BOOL);
}

static fusion_status refuse_many(const struct importer *im) {
  const Onnx__GraphProto *g = im->model->graph;
  char names[NAMES_LEN] = "";
  size_t len = 0;
  for (size_t i = 0; i < g->n_output && len < NAMES_LEN - 80; i++) {
    char shown[64];
    name_for_print(shown, g->output[i]->name);
    len += (size_t)snprintf(names + len, NAMES_LEN - len, "%s'%s'", i ? ", " : "", shown);
  }
  char first[64];
  name_for_print(first, g->output[0]->name);
  return error_set(im->err, FUSION_E_UNSUPPORTED, "'%s' has %zu outputs (%s); name one of them: %s:%s", im->path,
                   g->n_output, names, im->path, first);
}

/* The one output; of several the one that is no label, where there is one such. */
static fusion_status output_choose(struct importer *im) {
  const Onnx__GraphProto *g = im->model->graph;
  size_t others = 0;
  if (im->wanted) return FUSION_OK;
  for (size_t i = 0; i < g->n_output; i++) {
    if (g->n_output > 1 && holds_labels(g->output[i])) continue;
    im->wanted = g->output[i]->name;
    others++;
  }
  if (g->n_output > 1 && others != 1) return refuse_many(im);
  if (im->wanted) return FUSION_OK;
  return error_set(im->err, FUSION_E_MODEL, "'%s' has no output; export the model again", im->path);
}

static fusion_status need(struct importer *im, const char *name) {
  if (!name || !name[0]) return FUSION_OK;
  struct value *known = importer_find(im, name);
  if (known) known->uses++;
  return known ? FUSION_OK : importer_define(im, name, &(struct value){.uses = 1});
}

static bool makes_needed(const struct importer *needed, const Onnx__NodeProto *node) {
  for (size_t i = 0; i < node->n_output; i++) {
    if (node->output[i] && node->output[i][0] && importer_find(needed, node->output[i])) return true;
  }
  return false;
}

static bool is_made(const struct importer *im, const char *name) {
  const Onnx__GraphProto *g = im->model->graph;
  for (size_t i = 0; i < im->node_count; i++) {
    const Onnx__NodeProto *n = im->nodes[i].node;
    for (size_t k = 0; k < n->n_output; k++) {
      if (n->output[k] && !strcmp(n->output[k], name)) return true;
    }
  }
  for (size_t i = 0; i < g->n_input; i++) {
    if (g->input[i]->name && !strcmp(g->input[i]->name, name)) return true;
  }
  return false;
}

static void declare(const struct importer *needed, Onnx__ValueInfoProto *const *infos, size_t count) {
  for (size_t i = 0; i < count; i++) {
    struct value *v = infos[i]->name ? importer_find(needed, infos[i]->name) : NULL;
    if (v) v->declared = infos[i]->type;
  }
}

/* Nodes come in the order of computation: one pass from the end finds all that the output needs. */
fusion_status output_find_needed(struct importer *im, struct importer *needed) {
  const Onnx__GraphProto *g = im->model->graph;
  fusion_status status;
  char shown[64];
  TRY(output_choose(im));
  name_for_print(shown, im->wanted);
  FAIL_IF(
      !is_made(im, im->wanted),
      error_set(im->err, FUSION_E_MODEL, "'%s' has no tensor '%s' that a node makes; name another", im->path, shown));
  TRY(need(needed, im->wanted));
  for (size_t i = im->node_count; i-- > 0;) {
    const Onnx__NodeProto *n = im->nodes[i].node;
    if (!makes_needed(needed, n)) continue;
    for (size_t k = 0; k < n->n_input; k++) TRY(need(needed, n->input[k]));
  }
  declare(needed, g->value_info, g->n_value_info);
  declare(needed, g->output, g->n_output);
cleanup:
  return status;
}

/* "5x3x?". */
static void shape_for_print(char *out, size_t capacity, const Onnx__TensorShapeProto *shape) {
  size_t len = 0;
  out[0] = 0;
  for (size_t k = 0; k < shape->n_dim && len + 24 < capacity; k++) {
    const Onnx__TensorShapeProto__Dimension *d = shape->dim[k];
    const bool fixed = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    len += (size_t)snprintf(out + len, capacity - len, fixed ? "%s%lld" : "%s?", k ? "x" : "",
                            fixed ? (long long)d->dim_value : 0LL);
  }
}

static void dims_for_print(char *out, size_t capacity, const struct dims *d) {
  size_t len = 0;
  snprintf(out, capacity, "one value");
  for (uint32_t k = 0; k < d->rank && len + 24 < capacity; k++)
    len += (size_t)snprintf(out + len, capacity - len, "%s%u", k ? "x" : "", d->d[k]);
}

/* A declared 0 or -1 is how some exporters write an open dimension. The file's batch is 1 here: it may stand in an
 * activation's first dimension, and in any dimension of a constant that was computed from shapes. */
static bool dim_fits(const struct importer *im, const struct value *v, uint32_t k,
                     const Onnx__TensorShapeProto__Dimension *d) {
  const uint32_t size = value_dims(v)->d[k];
  if (d->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE || d->dim_value <= 0) return true;
  if (d->dim_value == (int64_t)size) return true;
  if (v->constant) return size == 1 && !im->whole;
  return value_batch_at(v, k) || (k == 0 && (uint64_t)d->dim_value == size * im->batch);
}

static fusion_status check_shape(const struct call *c, const struct value *v, const Onnx__TypeProto *type) {
  const Onnx__TypeProto__Tensor *t =
      type && type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? type->tensor_type : NULL;
  /* A shape without dimensions is a number, and what some exporters write for an unknown shape. */
  if (!t || !t->shape || t->shape->n_dim == 0) return FUSION_OK;
  const struct dims *got = value_dims(v);
  bool fits = t->shape->n_dim == got->rank;
  for (uint32_t k = 0; k < got->rank && fits; k++) fits = dim_fits(c->im, v, k, t->shape->dim[k]);
  if (fits) return FUSION_OK;
  char declared[120], computed[120], text[300];
  shape_for_print(declared, sizeof declared, t->shape);
  dims_for_print(computed, sizeof computed, got);
  snprintf(text, sizeof text, "makes a tensor of %s where the file declares %s", computed, declared);
  return call_malformed(c, text);
}

fusion_status output_check_shapes(const struct call *c) {
  for (size_t i = 0; i < c->node->n_output; i++) {
    if (!call_uses_output(c, i)) continue;
    const struct value *v = importer_find(c->im, c->node->output[i]);
    const struct value *told = importer_find(c->im->needed, c->node->output[i]);
    const fusion_status status = v && told ? check_shape(c, v, told->declared) : FUSION_OK;
    if (status != FUSION_OK) return status;
  }
  return FUSION_OK;
}

bool output_is_needed(const struct importer *needed, const Onnx__NodeProto *node) {
  return makes_needed(needed, node);
}

fusion_status output_find(const struct importer *im, uint32_t *node) {
  char shown[64];
  name_for_print(shown, im->wanted);
  const struct value *v = importer_find(im, im->wanted);
  if (!v)
    return error_set(im->err, FUSION_E_MODEL, "'%s': its output '%s' is not made by any node that could be read",
                     im->path, shown);
  if (v->constant)
    return error_set(im->err, FUSION_E_MODEL, "'%s': its output does not depend on its input; export the model again",
                     im->path);
  if (v->quantised)
    return error_set(im->err, FUSION_E_UNSUPPORTED,
                     "'%s': its output '%s' is quantised integers; end the model with DequantizeLinear", im->path,
                     shown);
  if (v->batched && v->batch_axis)
    return error_set(
        im->err, FUSION_E_UNSUPPORTED,
        "'%s': its output '%s' has the batch in dimension %u, counted from 0; end the model with a Transpose", im->path,
        shown, v->batch_axis);
  *node = v->node;
  return FUSION_OK;
}
