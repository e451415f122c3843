/* Which tensor is the answer, and what of the file is needed for it: a file may have several outputs (a label beside
 * the scores), and nodes that lead to the others may well be such as cannot be read. "FILE:TENSOR" names one. */
#include <stdio.h>
#include <unistd.h>

#include "onnx/onnx_import.h"

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

static bool is_made(const Onnx__GraphProto *g, const char *name) {
  for (size_t i = 0; i < g->n_node; i++) {
    for (size_t k = 0; k < g->node[i]->n_output; k++) {
      if (g->node[i]->output[k] && !strcmp(g->node[i]->output[k], name)) return true;
    }
  }
  for (size_t i = 0; i < g->n_input; i++) {
    if (g->input[i]->name && !strcmp(g->input[i]->name, name)) return true;
  }
  return false;
}

/* Nodes come in the order of computation: one pass from the end finds all that the output needs. */
fusion_status output_find_needed(struct importer *im, struct importer *needed) {
  const Onnx__GraphProto *g = im->model->graph;
  fusion_status status;
  char shown[64];
  TRY(output_choose(im));
  name_for_print(shown, im->wanted);
  FAIL_IF(
      !is_made(g, im->wanted),
      error_set(im->err, FUSION_E_MODEL, "'%s' has no tensor '%s' that a node makes; name another", im->path, shown));
  TRY(need(needed, im->wanted));
  for (size_t i = g->n_node; i-- > 0;) {
    if (!makes_needed(needed, g->node[i])) continue;
    for (size_t k = 0; k < g->node[i]->n_input; k++) TRY(need(needed, g->node[i]->input[k]));
  }
cleanup:
  return status;
}

bool output_is_needed(const struct importer *needed, const Onnx__NodeProto *node) {
  return makes_needed(needed, node);
}

fusion_status output_find(const struct importer *im, uint32_t *node) {
  char shown[64];
  name_for_print(shown, im->wanted);
  const struct value *v = importer_find(im, im->wanted);
  if (!v)
    return error_set(im->err, FUSION_E_MODEL, "'%s': its output '%s' is made by no node that could be read", im->path,
                     shown);
  if (v->constant)
    return error_set(im->err, FUSION_E_MODEL, "'%s': its output does not depend on its input; export the model again",
                     im->path);
  if (v->quantised)
    return error_set(im->err, FUSION_E_UNSUPPORTED,
                     "'%s': its output '%s' is quantised integers; end the model with DequantizeLinear", im->path,
                     shown);
  *node = v->node;
  return FUSION_OK;
}
