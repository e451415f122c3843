/* Ifs become the nodes of both branches, of which the reader takes those whose condition it finds true.
 * Calls of the file's own functions become the nodes of their bodies: what a body calls its inputs and outputs becomes
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
  uint32_t guard; /* of the nodes at hand */
};

/* A function's body, or a branch of an If, which reads what is around it, too. */
struct inlined {
  const struct onnx_function *f; /* of a branch: that of the body around it; NULL: none */
  const Onnx__NodeProto *caller; /* of a branch: that function's */
  const char *prefix;            /* the caller's or the If's first output: no other node has it */
  const Onnx__GraphProto *branch;
  const struct inlined *around;
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

/* The list with room for one more; NULL when memory is out. */
static void *with_room(void *list, size_t count, size_t *room, size_t element_len) {
  if (count < *room) return list;
  const size_t more = *room ? 2 * *room : 16;
  void *longer = mem_alloc(more, element_len);
  if (!longer) return NULL;
  if (count) memcpy(longer, list, count * element_len);
  mem_free(list);
  *room = more;
  return longer;
}

static bool push(struct importer *im, const Onnx__NodeProto *node, int64_t opset, bool shared, uint32_t guard) {
  struct flat_node *nodes = with_room(im->nodes, im->node_count, &im->node_room, sizeof *nodes);
  if (!nodes) return false;
  im->nodes = nodes;
  im->nodes[im->node_count++] = (struct flat_node){node, opset, shared, guard};
  return true;
}

/* A branch has no inputs, the body of a loop has. */
static bool made_in(const Onnx__GraphProto *g, const char *name) {
  for (size_t i = 0; i < g->n_input; i++)
    if (g->input[i]->name && !strcmp(g->input[i]->name, name)) return true;
  for (size_t i = 0; i < g->n_initializer; i++)
    if (g->initializer[i]->name && !strcmp(g->initializer[i]->name, name)) return true;
  for (size_t i = 0; i < g->n_node; i++)
    for (size_t k = 0; k < g->node[i]->n_output; k++)
      if (g->node[i]->output[k] && !strcmp(g->node[i]->output[k], name)) return true;
  return false;
}

static bool importer_guard(struct importer *im, struct guard guard) {
  struct guard *guards = with_room(im->guards, im->guard_count, &im->guard_room, sizeof *guards);
  if (!guards) return false;
  im->guards = guards;
  im->guards[im->guard_count++] = guard;
  return true;
}

/* What the caller calls a tensor of the body; empty for an input that it leaves out. NULL when memory is out. */
static char *renamed(struct expansion *x, const struct inlined *in, char *name) {
  static char nothing[1];
  if (!name || !name[0]) return nothing;
  if (!in) return name;
  if (in->branch) return made_in(in->branch, name) ? take_joined(x, in->prefix, name) : renamed(x, in->around, name);
  const Onnx__FunctionProto *f = in->f->proto;
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
    if (own->ref_attr_name && own->ref_attr_name[0] && in->f) {
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
  const bool named_caller = in->caller && in->caller->name && in->caller->name[0];
  if (body->name && body->name[0] && !in->branch)
    node->name = take_joined(x, named_caller ? in->caller->name : in->prefix, body->name);
  return node->name || !body->name ? node : NULL;
}

static fusion_status expand_call(struct expansion *x, const struct onnx_function *f, const Onnx__NodeProto *caller);

static fusion_status expand_node(struct expansion *x, const Onnx__NodeProto *node, int64_t opset, bool shared) {
  const struct onnx_function *f = function_of(x->im, node);
  if (f) return expand_call(x, f, node);
  if (push(x->im, node, opset, shared, x->guard)) return FUSION_OK;
  return error_set(x->im->err, FUSION_E_MEMORY, "'%s': out of memory while reading the model", x->im->path);
}

static fusion_status too_large(const struct expansion *x) {
  return error_set(x->im->err, FUSION_E_MODEL,
                   "'%s': functions and branches grow beyond the limit; export the model again", x->im->path);
}

/* A node without attributes. NULL when memory is out. */
static Onnx__NodeProto *take_node(struct expansion *x, const char *type, size_t inputs) {
  Onnx__NodeProto *node = take(x, sizeof *node);
  char **names = take(x, (inputs + 1) * sizeof *names);
  if (!node || !names) return NULL;
  onnx__node_proto__init(node);
  node->op_type = (char *)(uintptr_t)type;
  node->n_input = inputs;
  node->n_output = 1;
  node->input = names;
  node->output = names + inputs;
  return node;
}

/* Constants of a branch. */
static fusion_status expand_initialiser(struct expansion *x, const struct inlined *in, Onnx__TensorProto *t,
                                        int64_t opset) {
  static char value[] = "value";
  Onnx__NodeProto *node = take_node(x, "Constant", 0);
  Onnx__AttributeProto *a = take(x, sizeof *a), **list = take(x, sizeof(Onnx__AttributeProto *));
  if (!node || !a || !list) return too_large(x);
  onnx__attribute_proto__init(a);
  a->name = value;
  a->has_type = 1;
  a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
  a->t = t;
  list[0] = a;
  node->attribute = list;
  node->n_attribute = 1;
  node->output[0] = renamed(x, in, t->name);
  return node->output[0] ? expand_node(x, node, opset, true) : too_large(x);
}

static fusion_status expand_body(struct expansion *x, const struct inlined *in, const Onnx__NodeProto *body,
                                 int64_t opset);

/* One branch's nodes, which are read where the condition is `wanted`. */
static fusion_status expand_branch(struct expansion *x, const struct inlined *in, char *condition, bool wanted,
                                   int64_t opset) {
  const Onnx__GraphProto *g = in->branch;
  const uint32_t outer = x->guard;
  fusion_status status = FUSION_OK;
  x->made += g->n_node + g->n_initializer + 1;
  if (x->made > FUNCTION_NODES_MAX) return too_large(x);
  FAIL_IF(!importer_guard(x->im, (struct guard){condition, wanted, outer}), too_large(x));
  x->guard = (uint32_t)x->im->guard_count;
  for (size_t i = 0; i < g->n_initializer; i++) TRY(expand_initialiser(x, in, g->initializer[i], opset));
  for (size_t i = 0; i < g->n_node; i++) TRY(expand_body(x, in, g->node[i], opset));
cleanup:
  x->guard = outer;
  return status;
}

/* If: both branches, of which one will be read, and for each output a node If(condition, then, else). */
static fusion_status expand_if(struct expansion *x, const struct inlined *around, const Onnx__NodeProto *body,
                               int64_t opset) {
  static const char *const names[2] = {"else_branch", "then_branch"};
  struct inlined in[2] = {{0}};
  char *condition = body->n_input ? renamed(x, around, body->input[0]) : NULL;
  char *first = body->n_output ? renamed(x, around, body->output[0]) : NULL;
  fusion_status status = FUSION_OK;
  if (!condition || !first) return too_large(x);
  if (x->depth == FUNCTION_DEPTH_MAX) return too_large(x);
  x->stack[x->depth++] = NULL;
  for (int k = 1; k >= 0; k--) {
    const Onnx__AttributeProto *a = named(body->attribute, body->n_attribute, names[k]);
    FAIL_IF(!a || !a->g || a->g->n_output != body->n_output,
            error_set(x->im->err, FUSION_E_MODEL, "'%s': an If lacks a branch, or an output of it", x->im->path));
    in[k] = (struct inlined){.f = around ? around->f : NULL,
                             .caller = around ? around->caller : NULL,
                             .prefix = take_joined(x, first, names[k]),
                             .branch = a->g,
                             .around = around};
    FAIL_IF(!in[k].prefix, too_large(x));
    TRY(expand_branch(x, &in[k], condition, k == 1, opset));
  }
  for (size_t i = 0; i < body->n_output; i++) {
    Onnx__NodeProto *node = take_node(x, "If", 3);
    FAIL_IF(!node, too_large(x));
    node->name = body->name;
    node->input[0] = condition;
    node->input[1] = renamed(x, &in[1], in[1].branch->output[i]->name);
    node->input[2] = renamed(x, &in[0], in[0].branch->output[i]->name);
    node->output[0] = renamed(x, around, body->output[i]);
    FAIL_IF(!node->input[1] || !node->input[2] || !node->output[0], too_large(x));
    TRY(expand_node(x, node, opset, true));
  }
cleanup:
  x->depth--;
  return status;
}

static fusion_status loop_refused(const struct expansion *x, const char *what) {
  return error_set(x->im->err, FUSION_E_UNSUPPORTED,
                   "'%s': the body of a loop %s; export the model with its loops unrolled", x->im->path, what);
}

/* Inputs or outputs of the body, under the names that the nodes around it may read. NULL when memory is out. */
static Onnx__ValueInfoProto **take_infos(struct expansion *x, const struct inlined *in, Onnx__ValueInfoProto **infos,
                                         size_t count) {
  Onnx__ValueInfoProto **out = take(x, size_max(count, 1) * sizeof(Onnx__ValueInfoProto *));
  for (size_t i = 0; out && i < count; i++) {
    out[i] = take(x, sizeof *out[i]);
    if (!out[i]) return NULL;
    onnx__value_info_proto__init(out[i]);
    out[i]->name = renamed(x, in, infos[i]->name);
    if (!out[i]->name) return NULL;
  }
  return out;
}

/* The body of a Loop or Scan with its tensors' names in the surroundings; its constants become nodes of those. */
static fusion_status take_body(struct expansion *x, const struct inlined *in, int64_t opset, Onnx__GraphProto **out) {
  const Onnx__GraphProto *g = in->branch;
  Onnx__GraphProto *copy = take(x, sizeof *copy);
  Onnx__NodeProto **nodes = take(x, size_max(g->n_node, 1) * sizeof(Onnx__NodeProto *));
  fusion_status status = FUSION_OK;
  x->made += g->n_node + g->n_initializer;
  if (!copy || !nodes || x->made > FUNCTION_NODES_MAX) return too_large(x);
  for (size_t i = 0; i < g->n_initializer; i++) TRY(expand_initialiser(x, in, g->initializer[i], opset));
  for (size_t i = 0; i < g->n_node; i++) {
    bool nested = function_of(x->im, g->node[i]) != NULL;
    for (size_t k = 0; k < g->node[i]->n_attribute; k++) nested = nested || g->node[i]->attribute[k]->g;
    FAIL_IF(nested, loop_refused(x, "holds another loop, a branch or a function"));
    nodes[i] = body_node(x, in, g->node[i]);
    FAIL_IF(!nodes[i], too_large(x));
  }
  *copy = *g;
  copy->node = nodes;
  copy->n_initializer = 0;
  copy->input = take_infos(x, in, g->input, g->n_input);
  copy->output = take_infos(x, in, g->output, g->n_output);
  FAIL_IF(!copy->input || !copy->output, too_large(x));
  *out = copy;
cleanup:
  return status;
}

/* The node's inputs, as many as its body has, and then all names that the body reads, twice: it reads them again and
 * again. */
static bool add_names(struct expansion *x, Onnx__NodeProto *node, const Onnx__GraphProto *body) {
  static char nothing[1];
  size_t count = body->n_output + body->n_input;
  for (size_t i = 0; i < body->n_node; i++) count += body->node[i]->n_input;
  char **names = take(x, (node->n_input + 2 * count + 1) * sizeof *names);
  size_t at = node->n_input;
  if (!names) return false;
  if (at) memcpy(names, node->input, at * sizeof *names);
  while (at < body->n_input) names[at++] = nothing;
  for (int twice = 0; twice < 2; twice++)
    for (size_t i = 0; i < body->n_node; i++)
      for (size_t k = 0; k < body->node[i]->n_input; k++)
        if (body->node[i]->input[k][0] && !made_in(body, body->node[i]->input[k]))
          names[at++] = body->node[i]->input[k];
  for (size_t i = 0; i < body->n_output; i++)
    if (!made_in(body, body->output[i]->name)) names[at++] = body->output[i]->name;
  node->input = names;
  node->n_input = at;
  return true;
}

/* Loop and Scan: the node with a body that reads its surroundings by their names (onnx_loop.c unrolls it). */
static fusion_status expand_loop(struct expansion *x, const struct inlined *around, const Onnx__NodeProto *body,
                                 int64_t opset) {
  const Onnx__AttributeProto *a = named(body->attribute, body->n_attribute, "body");
  struct inlined in = {.f = around ? around->f : NULL, .caller = around ? around->caller : NULL, .around = around};
  const char *first = NULL;
  for (size_t i = 0; i < body->n_output && !first; i++)
    if (body->output[i] && body->output[i][0]) first = renamed(x, around, body->output[i]);
  if (!a || !a->g || !first) return loop_refused(x, "is missing, or makes nothing");
  if (body->n_input > a->g->n_input) return loop_refused(x, "has fewer inputs than the loop");
  in.branch = a->g;
  in.prefix = first;
  Onnx__NodeProto *node = take(x, sizeof *node);
  Onnx__AttributeProto *own = take(x, sizeof *own);
  fusion_status status = FUSION_OK;
  if (!node || !own) return too_large(x);
  *node = *body;
  *own = *a;
  node->input = renamed_all(x, around, body->input, body->n_input);
  node->output = renamed_all(x, around, body->output, body->n_output);
  const struct inlined none = {0};
  FAIL_IF(!node->input || !node->output || !resolve_attributes(x, around ? around : &none, body, node), too_large(x));
  TRY(take_body(x, &in, opset, &own->g));
  for (size_t i = 0; i < node->n_attribute; i++)
    if (node->attribute[i] == a) node->attribute[i] = own;
  FAIL_IF(!add_names(x, node, own->g), too_large(x));
  TRY(expand_node(x, node, opset, true));
cleanup:
  return status;
}

/* A node as its surroundings call its tensors. */
static fusion_status expand_body(struct expansion *x, const struct inlined *in, const Onnx__NodeProto *body,
                                 int64_t opset) {
  if (body->op_type && !strcmp(body->op_type, "If") && (!body->domain || !body->domain[0]))
    return expand_if(x, in, body, opset);
  if (body->op_type && (!strcmp(body->op_type, "Loop") || !strcmp(body->op_type, "Scan")) &&
      (!body->domain || !body->domain[0]))
    return expand_loop(x, in, body, opset);
  const Onnx__NodeProto *node = in ? body_node(x, in, body) : body;
  return node ? expand_node(x, node, opset, in != NULL) : too_large(x);
}

/* An output that is an input as it stands. */
static fusion_status pass_through(struct expansion *x, const struct inlined *in, size_t output) {
  const Onnx__FunctionProto *f = in->f->proto;
  bool input = false;
  for (size_t i = 0; i < f->n_input; i++) input = input || (f->input[i] && !strcmp(f->input[i], f->output[output]));
  if (!input || !in->caller->output[output] || !in->caller->output[output][0]) return FUSION_OK;
  Onnx__NodeProto *node = take_node(x, "Identity", 1);
  if (!node) return refuse(x, in->caller, "grows beyond the limit of expanded functions");
  node->input[0] = renamed(x, in, f->output[output]);
  node->output[0] = in->caller->output[output];
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
    status = x->made > FUNCTION_NODES_MAX ? refuse(x, caller, "grows beyond the limit of expanded functions")
                                          : expand_body(x, &in, f->proto->node[i], f->opset);
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
  for (size_t i = 0; i < g->n_node; i++) TRY(expand_body(&x, NULL, g->node[i], im->opset));
  TRY(order_nodes(im));
cleanup:
  return status;
}

bool expand_is_read(const struct importer *im, const struct flat_node *node) {
  for (uint32_t g = node->guard; g; g = im->guards[g - 1].outer) {
    const struct value *v = importer_find(im, im->guards[g - 1].condition);
    if (!v || !v->constant || dims_size(&v->constant->dims) != 1) return false;
    const bool is = tensor_get(v->constant, 0) > 0 || tensor_get(v->constant, 0) < 0;
    if (is != im->guards[g - 1].wanted) return false;
  }
  return true;
}

void expand_free(struct importer *im) {
  mem_free(im->guards);
  functions_close(im);
  mem_free(im->nodes);
  while (im->blocks) {
    struct owned_block *next = im->blocks->next;
    mem_free(im->blocks);
    im->blocks = next;
  }
}
