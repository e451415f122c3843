/* Products of two activations: MatMul, Gemm and Einsum. Leading dimensions become the channels of a MATMUL node; what
 * lies elsewhere is moved there by GATHERs, which cost two parties nothing. */
#include "onnx/onnx_ops.h"

static fusion_status refuse_batch(const struct call *c) {
  return call_refuse(c, "keep the samples of a batch apart", "works across the batch dimension");
}

/* `v` with the leading dimensions `lead`, as a node of shape [all of them][rows][columns]. */
static fusion_status operand(struct call *c, const struct value *v, const struct dims *lead, uint32_t *node) {
  const uint32_t rank = v->dims.rank, rows = v->dims.d[rank - 2], columns = v->dims.d[rank - 1];
  struct value wide = *v;
  struct dims dims = *lead;
  if (!dims_push(&dims, rows) || !dims_push(&dims, columns)) return call_malformed(c, "has a tensor above the limit");
  const fusion_status status = dims_equal(&dims, &v->dims) ? FUSION_OK : value_expand(c, v, &dims, &wide);
  if (status != FUSION_OK) return status;
  return value_view(c, &wide, (struct shape){(uint32_t)dims_size(lead), rows, columns}, node);
}

/* The batch is a leading dimension, of both the same where both have one. */
static bool batches_lead(const struct value *a, const struct value *b) {
  const uint32_t ra = a->dims.rank, rb = b->dims.rank;
  if (a->batched && a->batch_axis + 2 >= ra) return false;
  if (b->batched && b->batch_axis + 2 >= rb) return false;
  return !a->batched || !b->batched || ra - a->batch_axis == rb - b->batch_axis;
}

fusion_status value_matmul(struct call *c, const struct value *a, const struct value *b, struct value *out) {
  const uint32_t ra = a->dims.rank, rb = b->dims.rank;
  if (ra < 2 || rb < 2) return call_refuse(c, "multiply matrices", "multiplies a vector that depends on the input");
  if (a->dims.d[ra - 1] != b->dims.d[rb - 2]) return call_malformed(c, "has matrices that do not fit each other");
  if (!batches_lead(a, b)) return refuse_batch(c);
  struct dims left = a->dims, right = b->dims, lead;
  uint32_t nodes[2];
  fusion_status status;
  left.rank = ra - 2;
  right.rank = rb - 2;
  if (!dims_broadcast(&left, &right, &lead)) return call_malformed(c, "has shapes that do not broadcast");
  TRY(operand(c, a, &lead, &nodes[0]));
  TRY(operand(c, b, &lead, &nodes[1]));
  *out = a->batched ? *a : *b;
  out->dims = lead;
  if (!dims_push(&out->dims, a->dims.d[ra - 2]) || !dims_push(&out->dims, b->dims.d[rb - 1]))
    return call_malformed(c, "has a tensor above the limit");
  TRY(call_added(c, graph_add_matmul(c->im->g, nodes[0], nodes[1], false, &out->node)));
  call_name_node(c, out->node);
cleanup:
  return status;
}

/* ---- Einsum of two operands ---- */

enum { TERMS = 3, EQUATION_LEN = 64 }; /* left, right, result */

struct einsum {
  char term[TERMS][MAX_RANK + 1]; /* labels */
};

/* "bhid,bhjd->bhij": letters, each at most once in a term. */
static bool read_equation(const char *text, struct einsum *e) {
  size_t term = 0, count = 0;
  *e = (struct einsum){{{0}}};
  for (const char *p = text; *p; p++) {
    const bool arrow = p[0] == '-' && p[1] == '>';
    if (*p == ' ') continue;
    if (*p == ',' || arrow) {
      if (++term != (arrow ? 2u : 1u)) return false;
      count = 0;
      p += arrow;
      continue;
    }
    const bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
    if (!letter || strchr(e->term[term], *p) || count == MAX_RANK) return false;
    e->term[term][count++] = *p;
  }
  return term == 2;
}

/* The labels of term `of` that are (or are not) in term `in`, and in (or not in) the result, appended to `out`. */
static void pick(const struct einsum *e, size_t of, bool shared, bool kept, char *out) {
  for (const char *p = e->term[of]; *p; p++)
    if ((strchr(e->term[1 - of], *p) != NULL) == shared && (strchr(e->term[2], *p) != NULL) == kept)
      *strchr(out, 0) = *p;
}

/* What the labels are, in the order in which they are multiplied. */
struct labels {
  char batch[MAX_RANK + 1], inner[MAX_RANK + 1], left[MAX_RANK + 1], right[MAX_RANK + 1];
};

/* False when a label is summed over one operand alone, or comes from nowhere. */
static bool sort_labels(const struct einsum *e, struct labels *l) {
  *l = (struct labels){{0}, {0}, {0}, {0}};
  char lost[2 * MAX_RANK + 1] = {0};
  pick(e, 0, true, true, l->batch);
  pick(e, 0, true, false, l->inner);
  pick(e, 0, false, true, l->left);
  pick(e, 1, false, true, l->right);
  pick(e, 0, false, false, lost);
  pick(e, 1, false, false, lost);
  return !lost[0] && strlen(e->term[2]) == strlen(l->batch) + strlen(l->left) + strlen(l->right);
}

/* `v`, whose axes have the labels `from`, with the axes in the order of `to`. */
static fusion_status reorder(struct call *c, const struct value *v, const char *from, const char *to,
                             struct value *out) {
  uint32_t perm[MAX_RANK] = {0};
  bool moved = false;
  for (uint32_t k = 0; to[k]; k++) {
    perm[k] = (uint32_t)(strchr(from, to[k]) - from);
    moved = moved || perm[k] != k;
  }
  *out = *v;
  return moved || v->constant ? value_transpose(c, v, perm, out) : FUSION_OK;
}

static size_t span_of(const struct dims *d, const char *from, const char *labels) {
  size_t span = 1;
  for (; *labels; labels++) span *= d->d[strchr(from, *labels) - from];
  return span;
}

/* The operand as [batch][rows][columns]. */
static fusion_status as_matrices(struct call *c, const struct einsum *e, size_t which, const struct labels *l,
                                 struct value *out) {
  const struct value *v = c->in[which];
  const char *const rows = which ? l->inner : l->left, *const columns = which ? l->right : l->inner;
  char order[3 * MAX_RANK + 1] = {0};
  strcat(strcat(strcat(order, l->batch), rows), columns);
  const fusion_status status = reorder(c, v, e->term[which], order, out);
  const struct dims *d = value_dims(v);
  const size_t sizes[3] = {span_of(d, e->term[which], l->batch), span_of(d, e->term[which], rows),
                           span_of(d, e->term[which], columns)};
  out->dims = (struct dims){3, {(uint32_t)sizes[0], (uint32_t)sizes[1], (uint32_t)sizes[2]}};
  return status;
}

static fusion_status check_labels(const struct call *c, const struct einsum *e) {
  const struct dims *a = value_dims(c->in[0]), *b = value_dims(c->in[1]);
  if (strlen(e->term[0]) != a->rank || strlen(e->term[1]) != b->rank)
    return call_malformed(c, "has an equation that does not fit its inputs");
  for (uint32_t k = 0; k < a->rank; k++) {
    const char *at = strchr(e->term[1], e->term[0][k]);
    if (at && b->d[at - e->term[1]] != a->d[k]) return call_malformed(c, "has axes of one label and two sizes");
  }
  return FUSION_OK;
}

/* The result's axes, which lie in the order of batch, left, right, in the order of the equation. */
static fusion_status finish_einsum(struct call *c, const struct einsum *e, const struct labels *l, struct value *y) {
  char order[3 * MAX_RANK + 1] = {0};
  struct value out = {0};
  strcat(strcat(strcat(order, l->batch), l->left), l->right);
  y->dims.rank = 0;
  for (const char *p = order; *p; p++) {
    const size_t term = strchr(e->term[0], *p) ? 0 : 1;
    const struct dims *d = value_dims(c->in[term]);
    if (!dims_push(&y->dims, d->d[strchr(e->term[term], *p) - e->term[term]]))
      return call_malformed(c, "has a tensor above the limit");
  }
  const fusion_status status = reorder(c, y, order, e->term[2], &out);
  return status == FUSION_OK ? call_set(c, 0, &out) : status;
}

/* Tells in `out` which axis of batch, left, right holds the samples. False where they do not stay apart: their label is
 * summed over, or, of two activations, not one of both. */
static bool batch_label(const struct call *c, const struct einsum *e, const struct labels *l, struct value *out) {
  char order[3 * MAX_RANK + 1] = {0};
  strcat(strcat(strcat(order, l->batch), l->left), l->right);
  for (size_t k = 0; k < 2; k++) {
    if (!value_is_batched(c->in[k])) continue;
    const char label = e->term[k][c->in[k]->batch_axis];
    const char *const at = strchr(order, label);
    if (!at || (!c->in[1 - k]->constant && !strchr(l->batch, label))) return false;
    if (out->batched && out->batch_axis != (uint32_t)(at - order)) return false;
    out->batched = true;
    out->batch_axis = (uint32_t)(at - order);
  }
  return true;
}

fusion_status op_einsum(struct call *c) {
  char equation[EQUATION_LEN];
  struct einsum e;
  struct labels l;
  struct value a = {0}, b = {0}, y = {0};
  fusion_status status;
  attr_string(c, "equation", equation, sizeof equation);
  if (c->in_count != 2 || c->in[0]->constant || !read_equation(equation, &e) || !sort_labels(&e, &l))
    return call_refuse(c, "use MatMul, Mul and Transpose", "has an equation that is no product of matrices");
  TRY(check_labels(c, &e));
  if (!batch_label(c, &e, &l, &y)) return refuse_batch(c);
  TRY(as_matrices(c, &e, 0, &l, &a));
  TRY(as_matrices(c, &e, 1, &l, &b));
  if (b.constant && l.batch[0]) FAIL_IF(true, call_refuse(c, "use MatMul", "multiplies by a batch of constants"));
  a.batched = b.batched = false;
  const struct value batch = y;
  TRY(b.constant ? value_times_constant(c, &a, b.constant, &y) : value_matmul(c, &a, &b, &y));
  y.batched = batch.batched;
  y.batch_axis = batch.batch_axis;
  TRY(finish_einsum(c, &e, &l, &y));
cleanup:
  tensor_free(b.constant);
  return status;
}
