/* Layout operators that move nothing: new dimensions for the same elements in the same order. */
#include "onnx/onnx_layout.h"

/* The same elements in the same order under other dimensions. */
static fusion_status relabel(struct call *c, const struct value *v, const struct dims *dims, uint32_t batch_axis) {
  if (v->constant) {
    struct tensor *t = tensor_alloc(dims, v->constant->type);
    if (!t) return call_out_of_memory(c);
    const size_t count = dims_size(dims);
    if (t->i && count) memcpy(t->i, v->constant->i, count * sizeof *t->i);
    if (t->f && count) memcpy(t->f, v->constant->f, count * sizeof *t->f);
    return call_set_constant(c, 0, t);
  }
  struct value out = *v;
  out.dims = *dims;
  out.batch_axis = batch_axis;
  return call_set(c, 0, &out);
}

/* A file made for a fixed batch of more than 1 says so in its targets; here the batch is 1. False when dimension 0 of
 * the target cannot be the batch, so that the batch would end up elsewhere. */
static bool reshape_batch(const struct call *c, const int64_t *want, size_t count, int64_t *target) {
  const struct value *v = c->in[0];
  const uint64_t batch = c->im->batch;
  if (!value_batch_at(v, 0) || count == 0 || want[0] == 0 || want[0] == -1) return true;
  if (batch > 1) {
    if ((uint64_t)want[0] % batch) return false;
    target[0] = want[0] / (int64_t)batch;
    return true;
  }
  if (want[0] == 1) return true;
  /* An open batch: a target without -1 fits a batch of 1 only, and is read so. */
  for (size_t k = 0; k < count; k++) {
    if (want[k] == -1) return false;
  }
  return true;
}

/* Resolves a Reshape target; false when it does not fit. */
static bool reshape_target(const struct call *c, const int64_t *want, size_t count, struct dims *out) {
  const struct dims *in = value_dims(c->in[0]);
  const bool keep_zero = attr_int(c, "allowzero", 0) != 0;
  const size_t size = dims_size(in);
  int64_t target[MAX_RANK];
  size_t known = 1, open = SIZE_MAX;
  for (size_t k = 0; k < count; k++) target[k] = want[k] == 0 && !keep_zero && k < in->rank ? in->d[k] : want[k];
  if (!reshape_batch(c, want, count, target)) return false;
  for (size_t k = 0; k < count; k++) {
    if (target[k] < -1 || target[k] > MODEL_MAX_TENSOR || (target[k] == -1 && open != SIZE_MAX)) return false;
    if (target[k] == -1) open = k;
    if (target[k] >= 0 && !size_mul(known, (size_t)target[k], &known)) return false;
  }
  if (open != SIZE_MAX) {
    if (known == 0 || size % known) return false;
    target[open] = (int64_t)(size / known);
  }
  for (size_t k = 0; k < count; k++) {
    if (!dims_push(out, (uint64_t)target[k])) return false;
  }
  return dims_size(out) == size;
}

/* The axis of `out` at which the batch begins: as many elements before it as now. False when there is none. */
static bool reshape_axis(const struct value *v, const struct dims *out, uint32_t *axis) {
  *axis = 0;
  if (!value_is_batched(v) || v->batch_axis == 0) return true;
  const size_t before = dims_span(&v->dims, 0, v->batch_axis);
  while (*axis < out->rank && dims_span(out, 0, *axis) < before) ++*axis;
  return *axis < out->rank && dims_span(out, 0, *axis) == before;
}

fusion_status op_reshape(struct call *c) {
  int64_t want[MAX_RANK];
  size_t count;
  const fusion_status status = call_integers(c, "shape", 1, want, &count);
  if (status != FUSION_OK) return status;
  struct dims dims = {0};
  uint32_t axis;
  if (count == SIZE_MAX || !reshape_target(c, want, count, &dims) || !reshape_axis(c->in[0], &dims, &axis))
    return call_malformed(c, "asks for a shape whose size differs from its input's, or moves the batch");
  return relabel(c, c->in[0], &dims, axis);
}

fusion_status op_flatten(struct call *c) {
  const struct dims *in = value_dims(c->in[0]);
  const int64_t axis = attr_int(c, "axis", 1);
  if (axis < -(int64_t)in->rank || axis > (int64_t)in->rank) return call_malformed(c, "has an axis outside its input");
  const uint32_t at = (uint32_t)(axis < 0 ? axis + in->rank : axis);
  if (value_batch_at(c->in[0], 0) && at == 0) return call_refuse(c, "use axis 1", "flattens the batch dimension too");
  struct dims dims = {0};
  if (!dims_push(&dims, dims_span(in, 0, at)) || !dims_push(&dims, dims_span(in, at, in->rank)))
    return call_malformed(c, "has a tensor above the limit");
  return relabel(c, c->in[0], &dims, 0);
}

fusion_status op_squeeze(struct call *c) {
  const struct value *v = c->in[0];
  const struct dims *in = value_dims(v);
  int64_t axes[MAX_RANK];
  size_t count;
  const fusion_status status = call_integers(c, "axes", 1, axes, &count);
  if (status != FUSION_OK) return status;
  bool drop[MAX_RANK] = {false};
  if (count == SIZE_MAX) {
    for (uint32_t k = 0; k < in->rank; k++) drop[k] = in->d[k] == 1 && !value_batch_at(v, k);
  } else if (!axes_set(axes, count, in->rank, drop)) {
    return call_malformed(c, "has axes outside its input");
  }
  if (value_is_batched(v) && drop[v->batch_axis])
    return call_refuse(c, "squeeze other axes only", "removes the batch dimension");
  struct dims dims = {0};
  uint32_t batch_axis = v->batch_axis;
  for (uint32_t k = 0; k < in->rank; k++) {
    batch_axis -= drop[k] && k < v->batch_axis;
    if (drop[k] && in->d[k] != 1) return call_malformed(c, "squeezes a dimension that is not 1");
    if (!drop[k] && !dims_push(&dims, in->d[k])) return call_malformed(c, "has a tensor above the limit");
  }
  return relabel(c, v, &dims, batch_axis);
}

fusion_status op_unsqueeze(struct call *c) {
  const struct value *v = c->in[0];
  const struct dims *in = value_dims(v);
  int64_t axes[MAX_RANK];
  size_t count;
  const fusion_status status = call_integers(c, "axes", 1, axes, &count);
  if (status != FUSION_OK) return status;
  bool added[MAX_RANK] = {false};
  if (count == SIZE_MAX || in->rank + count > MAX_RANK || !axes_set(axes, count, in->rank + (uint32_t)count, added))
    return call_malformed(c, "has axes outside its output");
  struct dims dims = {0};
  uint32_t from = 0, batch_axis = 0;
  for (uint32_t k = 0; k < in->rank + count; k++) {
    if (!added[k] && from == v->batch_axis) batch_axis = k;
    if (!dims_push(&dims, added[k] ? 1 : in->d[from++])) return call_malformed(c, "has a tensor above the limit");
  }
  return relabel(c, v, &dims, batch_axis);
}

fusion_status op_identity(struct call *c) {
  return relabel(c, c->in[0], value_dims(c->in[0]), c->in[0]->batch_axis);
}
