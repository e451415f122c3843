/* Comparisons and logic on activations. Truth values are exact 0 and 1: a comparison is [x >= 0] of a difference, and
 * logic is arithmetic on its results. */
#include <math.h>

#include "onnx/onnx_ops.h"

static bool is(const struct call *c, const char *name) {
  return !strcmp(c->node->op_type, name);
}

/* 1 - x. */
static fusion_status value_not(struct call *c, const struct value *x, struct value *out) {
  const float one = 1;
  const struct tensor ones = {.f = (float *)(uintptr_t)&one};
  if (!x->constant) return value_scale(c, x, -1, 1, out);
  *out = (struct value){0};
  return fold_binary(c, "Sub", &ones, x->constant, &out->constant);
}

/* [a >= b]. */
static fusion_status at_least(struct call *c, const struct value *a, const struct value *b, struct value *out) {
  fusion_status status;
  TRY(value_binary(c, '-', a, b, out));
  TRY(call_added(c, graph_add_unary(c->im->g, GRAPH_COMPARE, out->node, &out->node)));
  call_name_node(c, out->node);
cleanup:
  return status;
}

/* Both a >= b and b >= a. */
static fusion_status both_ways(struct call *c, const struct value *a, const struct value *b, struct value *out) {
  struct value up, down;
  fusion_status status;
  TRY(at_least(c, a, b, &up));
  TRY(at_least(c, b, a, &down));
  TRY(value_scale(c, &down, 1, -1, &down));
  TRY(value_binary(c, '+', &up, &down, out));
cleanup:
  return status;
}

/* Reals are equal by chance alone, the more so in fixed point. */
static fusion_status equal(struct call *c, const struct value *a, const struct value *b, struct value *out) {
  const bool whole = (!a->constant && a->integer) || (!b->constant && b->integer);
  if (!whole) return call_refuse(c, "compare with a tolerance", "asks whether real numbers are equal");
  return both_ways(c, a, b, out);
}

static fusion_status set_truth(struct call *c, fusion_status status, struct value *v) {
  v->integer = true;
  return status == FUSION_OK ? call_set(c, 0, v) : status;
}

fusion_status op_compare(struct call *c) {
  const struct value *a = c->in[0], *b = c->in[1];
  struct value out = {0};
  fusion_status status;
  if (is(c, "Equal")) return set_truth(c, equal(c, a, b, &out), &out);
  /* a > b and a < b are the complements of b >= a and a >= b. */
  const bool turned = is(c, "Greater") || is(c, "LessOrEqual"), complement = is(c, "Greater") || is(c, "Less");
  status = turned ? at_least(c, b, a, &out) : at_least(c, a, b, &out);
  if (status == FUSION_OK && complement) status = value_not(c, &out, &out);
  return set_truth(c, status, &out);
}

/* And: a b. Or: the complement of both complements' And. Xor: (a - b)^2. */
fusion_status op_logic(struct call *c) {
  struct value a = *c->in[0], b = *c->in[1], out = {0}, not_a = {0}, not_b = {0};
  fusion_status status;
  if (is(c, "And")) return set_truth(c, value_binary(c, '*', &a, &b, &out), &out);
  if (is(c, "Xor")) {
    TRY(value_binary(c, '-', &a, &b, &out));
    TRY(value_binary(c, '*', &out, &out, &out));
  } else {
    TRY(value_not(c, &a, &not_a));
    TRY(value_not(c, &b, &not_b));
    TRY(value_binary(c, '*', &not_a, &not_b, &out));
    TRY(value_not(c, &out, &out));
  }
  status = set_truth(c, status, &out);
cleanup:
  tensor_free(not_a.constant);
  tensor_free(not_b.constant);
  return status;
}

fusion_status op_not(struct call *c) {
  struct value out;
  return set_truth(c, value_not(c, c->in[0], &out), &out);
}

/* [x >= 0] - [-x >= 0]. */
fusion_status op_sign(struct call *c) {
  const struct value *x = c->in[0];
  struct value up = *x, down;
  fusion_status status;
  TRY(call_added(c, graph_add_unary(c->im->g, GRAPH_COMPARE, x->node, &up.node)));
  call_name_node(c, up.node);
  TRY(value_scale(c, x, -1, 0, &down));
  TRY(call_added(c, graph_add_unary(c->im->g, GRAPH_COMPARE, down.node, &down.node)));
  TRY(value_binary(c, '-', &up, &down, &up));
  up.integer = x->integer;
  TRY(call_set(c, 0, &up));
cleanup:
  return status;
}

static bool all_whole(const float *v, uint32_t count) {
  for (uint32_t i = 0; v && i < count; i++)
    if (v[i] < rintf(v[i]) || v[i] > rintf(v[i])) return false;
  return true;
}

bool value_is_whole(const struct graph *g, uint32_t node) {
  const struct graph_node *n = &g->nodes[node];
  while ((n->op == GRAPH_GATHER && n->input_count == 1) || n->op == GRAPH_AFFINE) {
    const bool affine = n->op == GRAPH_AFFINE;
    if (affine && !(all_whole(n->weights, n->shape.channels) && all_whole(n->bias, n->shape.channels))) return false;
    n = &g->nodes[n->inputs[0]];
  }
  return n->op == GRAPH_COMPARE || (n->op == GRAPH_INPUT && n->step >= 1 && n->step <= 1);
}

fusion_status op_to_truth(struct call *c) {
  float zero = 0;
  struct tensor zeros = {.f = &zero};
  const struct value nothing = {.constant = &zeros};
  struct value out = {0};
  fusion_status status = both_ways(c, c->in[0], &nothing, &out);
  if (status == FUSION_OK) status = value_not(c, &out, &out);
  return set_truth(c, status, &out);
}

/* A constant's numbers as reals, so that differences do not wrap. */
static struct tensor *as_reals(const struct tensor *t) {
  struct tensor *r = tensor_alloc(&t->dims, 0);
  for (size_t i = 0; r && i < dims_size(&t->dims); i++) tensor_set(r, i, tensor_get(t, i));
  return r;
}

/* A constant that stands for minus infinity beside x: x is nothing to it. */
static bool is_far_below(const struct value *v) {
  const double far = 1 << 30;
  for (size_t i = 0; v->constant && i < dims_size(&v->constant->dims); i++)
    if (!(tensor_get(v->constant, i) <= -far)) return false;
  return v->constant && dims_size(&v->constant->dims) > 0;
}

/* x where the condition, or its complement, is 0, else a number far below: x + condition * that number. */
static fusion_status choose_far_below(struct call *c, bool complement, const struct tensor *below,
                                      const struct value *x) {
  struct tensor *far = as_reals(below);
  struct value condition = *c->in[0], turned = {0}, part = {0}, out = {0};
  fusion_status status;
  FAIL_IF(!far, call_out_of_memory(c));
  for (size_t i = 0; i < dims_size(&far->dims); i++) far->f[i] = fmaxf(far->f[i], -0x1p100f);
  condition.integer = false;
  if (complement) {
    TRY(value_not(c, &condition, &turned));
    condition = turned;
  }
  TRY(value_binary(c, '*', &condition, &(struct value){.constant = far}, &part));
  TRY(value_binary(c, '+', x, &part, &out));
  TRY(call_set(c, 0, &out));
cleanup:
  tensor_free(turned.constant);
  tensor_free(part.constant);
  tensor_free(far);
  return status;
}

/* b + condition * (a - b). */
fusion_status op_choose(struct call *c) {
  if (is_far_below(c->in[1]) && !c->in[2]->constant) return choose_far_below(c, false, c->in[1]->constant, c->in[2]);
  if (is_far_below(c->in[2]) && !c->in[1]->constant) return choose_far_below(c, true, c->in[2]->constant, c->in[1]);
  struct value a = *c->in[1], b = *c->in[2], rest = {0}, part = {0}, out = {0};
  struct tensor *owned[2] = {a.constant ? as_reals(a.constant) : NULL, b.constant ? as_reals(b.constant) : NULL};
  fusion_status status;
  FAIL_IF((a.constant && !owned[0]) || (b.constant && !owned[1]), call_out_of_memory(c));
  a.constant = owned[0];
  b.constant = owned[1];
  TRY(value_binary(c, '-', &a, &b, &rest));
  TRY(value_binary(c, '*', c->in[0], &rest, &part));
  TRY(value_binary(c, '+', &part, &b, &out));
  out.integer = (c->in[1]->constant ? c->in[1]->constant->i != NULL : c->in[1]->integer);
  TRY(call_set(c, 0, &out));
cleanup:
  tensor_free(rest.constant);
  tensor_free(owned[0]);
  tensor_free(owned[1]);
  return status;
}
