/* The order of computation. Files have it by the standard; some tools write nodes in another order. */
#include "reader/onnx_expand.h"

enum { UNSEEN, OPEN, DONE };

struct sorter {
  struct importer *im;
  struct importer made;     /* its table: tensor to the number of the node that makes it, in `uses` */
  struct flat_node *sorted; /* [node_count] */
  size_t *stack, *at;       /* nodes being looked into, and the next input of each node */
  uint8_t *state;
  size_t count;
};

static fusion_status note_makers(struct sorter *s) {
  for (size_t i = 0; i < s->im->node_count; i++) {
    const Onnx__NodeProto *n = s->im->nodes[i].node;
    for (size_t k = 0; k < n->n_output; k++) {
      if (!n->output[k] || !n->output[k][0]) continue;
      const fusion_status status = importer_define(&s->made, n->output[k], &(struct value){.uses = i});
      if (status != FUSION_OK) return status;
    }
  }
  return FUSION_OK;
}

/* The node that makes input k of node i; SIZE_MAX when none does. */
static size_t maker(const struct sorter *s, size_t i, size_t k) {
  const char *name = s->im->nodes[i].node->input[k];
  const struct value *v = name && name[0] ? importer_find(&s->made, name) : NULL;
  return v ? v->uses : SIZE_MAX;
}

static bool in_order(const struct sorter *s) {
  for (size_t i = 0; i < s->im->node_count; i++) {
    for (size_t k = 0; k < s->im->nodes[i].node->n_input; k++) {
      const size_t from = maker(s, i, k);
      if (from != SIZE_MAX && from >= i) return false;
    }
  }
  return true;
}

/* Puts node i behind all that it depends on. False when it depends on itself. */
static bool visit(struct sorter *s, size_t i) {
  size_t depth = 0;
  if (s->state[i] == DONE) return true;
  s->stack[depth++] = i;
  s->state[i] = OPEN;
  while (depth) {
    const size_t node = s->stack[depth - 1];
    if (s->at[node] == s->im->nodes[node].node->n_input) {
      s->state[node] = DONE;
      s->sorted[s->count++] = s->im->nodes[node];
      depth--;
      continue;
    }
    const size_t from = maker(s, node, s->at[node]++);
    if (from == SIZE_MAX || s->state[from] == DONE) continue;
    if (s->state[from] == OPEN) return false;
    s->state[from] = OPEN;
    s->stack[depth++] = from;
  }
  return true;
}

static fusion_status sort(struct sorter *s) {
  const size_t count = s->im->node_count;
  s->sorted = mem_alloc(count, sizeof *s->sorted);
  s->stack = mem_alloc(count, sizeof *s->stack);
  s->at = mem_alloc(count, sizeof *s->at);
  s->state = mem_alloc(count, sizeof *s->state);
  if (!s->sorted || !s->stack || !s->at || !s->state)
    return error_set(s->im->err, FUSION_E_MEMORY, "'%s': out of memory while reading the model", s->im->path);
  for (size_t i = 0; i < count; i++) {
    if (visit(s, i)) continue;
    char shown[64];
    name_for_print(shown, s->im->nodes[i].node->op_type);
    return error_set(s->im->err, FUSION_E_MODEL, "'%s': nodes form a cycle (operator %s); export the model again",
                     s->im->path, shown);
  }
  memcpy(s->im->nodes, s->sorted, count * sizeof *s->sorted);
  return FUSION_OK;
}

fusion_status order_nodes(struct importer *im) {
  struct sorter s = {.im = im, .made = {.err = im->err, .path = im->path}};
  fusion_status status = note_makers(&s);
  if (status == FUSION_OK && !in_order(&s)) status = sort(&s);
  importer_clear(&s.made);
  mem_free(s.sorted);
  mem_free(s.stack);
  mem_free(s.at);
  mem_free(s.state);
  return status;
}
