/* Calls of the file's own functions become the nodes of their bodies: what a body calls its inputs and outputs becomes
 * what the caller calls them, other names get the caller's output before them, and attributes that refer to the
 * caller's are replaced. Exporters write modules and composed operators so; the rest of the reader never sees a
 * function. */
#include <stdio.h>

#include "reader/onnx_expand.h"

/* Memory that lives as long as the nodes. */
struct owned_block {
  struct owned_block *next;
  max_align_t data[];
};

/* A call under expansion. */
struct expansion {
  struct importer *im;
  const struct onnx_function *stack[FUNCTION_DEPTH_MAX];
  size_t depth, made, bytes;
};

struct inlined {
  const struct onnx_function *f;
  const Onnx__NodeProto *caller;
  const char *prefix; /* the caller's first output: no other node has it */
};

static fusion_status refuse(const struct expansion *x, const Onnx__NodeProto *caller, const char *what) {
  char shown[64];
  name_for_print(shown, caller->op_type);
  return error_set(x->im->err, FUSION_E_MODEL, "'%s': function '%s' %s; export the model again", x->im->path, shown,
                   what);
}

static void *take(struct expansion *x, size_t len) {
  x->bytes += len;
  if (x->bytes > FUNCTION_BYTES_MAX) return NULL;
  struct owned_block *b = mem_alloc(1, sizeof *b + len);
  if (!b) return NULL;
  b->next = x->im->blocks;
  x->im->blocks = b;
  return b->data;
}

static char *take_joined(struct expansion *x, const char *prefix, const char *name) {
  const size_t len = strlen(prefix) + strlen(name) + 2;
  char *text = take(x, len);
  if (text) snprintf(text, len, "%s/%s", prefix, name);
  return text;
}

static bool push(struct importer *im, const Onnx__NodeProto *node, int64_t opset, bool shared) {
  if (im->node_count == im->node_room) {
    const size_t room = im->node_room ? 2 * im->node_room : 64;
    struct flat_node *nodes = mem_alloc(room, sizeof *nodes);
    if (!nodes) return false;
    if (im->node_count) memcpy(nodes, im->nodes, im->node_count * sizeof *nodes);
    mem_free(im->nodes);
    im->nodes = nodes;
    im->node_room = room;
  }
  im->nodes[im->node_count++] = (struct flat_node){node, opset, shared};
  return true;
}

/* What the caller calls a tensor of the body; empty for an input that it leaves out. NULL when memory is out. */
static char *renamed(struct expansion *x, const struct inlined *in, char *name) {
  const Onnx__FunctionProto *f = in->f->proto;
  static char nothing[1];
  if (!name || !name[0]) return nothing;
  for (size_t i = 0; i < f->n_input; i++) {
    if (f->input[i] && !strcmp(f->input[i], name)) return i < in->caller->n_input ? in->caller->input[i] : nothing;
  }
  for (size_t i = 0; i < f->n_output && i < in->caller->n_output; i++) {
    if (f->output[i] && !strcmp(f->output[i], name) && in->caller->output[i] && in->caller->output[i][0])
      return in->caller->output[i];
  }
  return take_joined(x, in->prefix, name);
}

static char **renamed_all(struct expansion *x, const struct inlined *in, char **names, size_t count) {
  char **out = take(x, size_max(count, 1) * sizeof *out);
  for (size_t i = 0; out && i < count; i++) {
    out[i] = renamed(x, in, names[i]);
    if (!out[i]) return NULL;
  }
  return out;
}

static Onnx__AttributeProto *named(Onnx__AttributeProto *const *list, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++) {
    if (list[i]->name && !strcmp(list[i]->name, name)) return list[i];
  }
  return NULL;
}

/* The body's attributes; one that refers to the caller's takes its value, or the function's preset, or is left out. */
static bool resolve_attributes(struct expansion *x, const struct inlined *in, const Onnx__NodeProto *body,
                               Onnx__NodeProto *out) {
  out->n_attribute = 0;
  out->attribute = take(x, size_max(body->n_attribute, 1) * sizeof(Onnx__AttributeProto *));
  if (!out->attribute) return false;
  for (size_t i = 0; i < body->n_attribute; i++) {
    Onnx__AttributeProto *own = body->attribute[i];
    if (own->ref_attr_name && own->ref_attr_name[0]) {
      const Onnx__AttributeProto *given = named(in->caller->attribute, in->caller->n_attribute, own->ref_attr_name);
      if (!given) given = named(in->f->presets, in->f->preset_count, own->ref_attr_name);
      if (!given) continue;
      Onnx__AttributeProto *copy = take(x, sizeof *copy);
      if (!copy) return false;
      *copy = *given;
      copy->name = own->name;
      own = copy;
    }
    out->attribute[out->n_attribute++] = own;
  }
  return true;
}

static Onnx__NodeProto *body_node(struct expansion *x, const struct inlined *in, const Onnx__NodeProto *body) {
  Onnx__NodeProto *node = take(x, sizeof *node);
  if (!node) return NULL;
  *node = *body;
  node->input = renamed_all(x, in, body->input, body->n_input);
  node->output = renamed_all(x, in, body->output, body->n_output);
  if (!node->input || !node->output || !resolve_attributes(x, in, body, node)) return NULL;
  if (body->name && body->name[0])
    node->name = take_joined(x, in->caller->name && in->caller->name[0] ? in->caller->name : in->prefix, body->name);
  return node->name || !body->name ? node : NULL;
}

static fusion_status expand_call(struct expansion *x, const struct onnx_function *f, const Onnx__NodeProto *caller);

static fusion_status expand_node(struct expansion *x, const Onnx__NodeProto *node, int64_t opset, bool shared) {
  const struct onnx_function *f = function_of(x->im, node);
  if (f) return expand_call(x, f, node);
  if (push(x->im, node, opset, shared)) return FUSION_OK;
  return error_set(x->im->err, FUSION_E_MEMORY, "'%s': out of memory while reading the model", x->im->path);
}

/* An output that is an input as it stands. */
static fusion_status pass_through(struct expansion *x, const struct inlined *in, size_t output) {
  const Onnx__FunctionProto *f = in->f->proto;
  bool input = false;
  for (size_t i = 0; i < f->n_input; i++) input = input || (f->input[i] && !strcmp(f->input[i], f->output[output]));
  if (!input || !in->caller->output[output] || !in->caller->output[output][0]) return FUSION_OK;
  static char identity[] = "Identity";
  Onnx__NodeProto *node = take(x, sizeof *node);
  char **names = take(x, 2 * sizeof *names);
  if (!node || !names) return refuse(x, in->caller, "grows beyond the limit of expanded functions");
  onnx__node_proto__init(node);
  names[0] = renamed(x, in, f->output[output]);
  names[1] = in->caller->output[output];
  node->op_type = identity;
  node->n_input = node->n_output = 1;
  node->input = names;
  node->output = names + 1;
  return expand_node(x, node, in->f->opset, true);
}

static fusion_status expand_call(struct expansion *x, const struct onnx_function *f, const Onnx__NodeProto *caller) {
  struct inlined in = {.f = f, .caller = caller};
  for (size_t i = 0; i < caller->n_output && !in.prefix; i++) {
    if (caller->output[i] && caller->output[i][0]) in.prefix = caller->output[i];
  }
  if (!in.prefix) return FUSION_OK; /* nobody can read what it makes */
  for (size_t i = 0; i < x->depth; i++) {
    if (x->stack[i] == f) return refuse(x, caller, "calls itself");
  }
  if (x->depth == FUNCTION_DEPTH_MAX) return refuse(x, caller, "is nested too deeply");
  if (caller->n_input > f->proto->n_input || caller->n_output > f->proto->n_output)
    return refuse(x, caller, "is called with more inputs or outputs than it has");
  x->stack[x->depth++] = f;
  x->made += f->proto->n_node;
  fusion_status status = FUSION_OK;
  for (size_t i = 0; i < f->proto->n_node && status == FUSION_OK; i++) {
    const Onnx__NodeProto *node = x->made > FUNCTION_NODES_MAX ? NULL : body_node(x, &in, f->proto->node[i]);
    status =
        node ? expand_node(x, node, f->opset, true) : refuse(x, caller, "grows beyond the limit of expanded functions");
  }
  for (size_t i = 0; i < caller->n_output && status == FUSION_OK; i++) {
    if (f->proto->output[i]) status = pass_through(x, &in, i);
  }
  x->depth--;
  return status;
}

fusion_status expand_nodes(struct importer *im) {
  const Onnx__GraphProto *g = im->model->graph;
  struct expansion x = {.im = im};
  fusion_status status;
  TRY(functions_open(im));
  for (size_t i = 0; i < g->n_node; i++) TRY(expand_node(&x, g->node[i], im->opset, false));
  TRY(order_nodes(im));
cleanup:
  return status;
}

void expand_free(struct importer *im) {
  functions_close(im);
  mem_free(im->nodes);
  while (im->blocks) {
    struct owned_block *next = im->blocks->next;
    mem_free(im->blocks);
    im->blocks = next;
  }
}
