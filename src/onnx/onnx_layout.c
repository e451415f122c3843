/* Layout operators: the output's elements are input elements (or zeros) in another order. Each operator says, for every
 * axis of its output, how far each index moves in the input; one routine then moves a constant's values or makes a
 * GATHER node. Where nothing moves (Reshape, Squeeze, Flatten) an activation keeps its node under new dimensions. */
#include "onnx/onnx_layout.h"

void map_free(struct axis_map *m) {
  for (uint32_t k = 0; k < MAX_RANK; k++) mem_free(m->at[k]);
}

bool map_axis(struct axis_map *m, size_t size, uint32_t stride, int64_t from, int64_t step) {
  const uint32_t k = m->out.rank;
  if (!dims_push(&m->out, size)) return false;
  m->at[k] = mem_alloc(size, sizeof *m->at[k]);
  if (!m->at[k]) return false;
  for (size_t o = 0; o < size; o++) m->at[k][o] = (uint32_t)(from + (int64_t)o * step) * stride;
  return true;
}

/* The input's flat index for each output element in turn. */
static void map_fill(const struct axis_map *m, struct gather_source *out) {
  uint32_t index[MAX_RANK] = {0};
  const size_t count = dims_size(&m->out);
  for (size_t i = 0; i < count; i++) {
    uint32_t flat = 0;
    for (uint32_t k = 0; k < m->out.rank; k++) {
      const uint32_t step = m->at[k][index[k]];
      flat = step == GATHER_ZERO || flat == GATHER_ZERO ? GATHER_ZERO : flat + step;
    }
    out[i] = (struct gather_source){.index = flat};
    for (uint32_t k = m->out.rank; k-- > 0;) {
      if (++index[k] < m->out.d[k]) break;
      index[k] = 0;
    }
  }
}

static fusion_status move_constant(struct call *c, const struct tensor *from, const struct gather_source *source,
                                   const struct dims *dims, struct value *out) {
  struct tensor *t = tensor_alloc(dims, from->type);
  if (!t) return call_out_of_memory(c);
  const size_t count = dims_size(dims);
  for (size_t i = 0; i < count; i++) {
    if (source[i].index == GATHER_ZERO) continue;
    if (t->i) t->i[i] = from->i[source[i].index];
    if (t->f) t->f[i] = from->f[source[i].index];
  }
  *out = (struct value){.constant = t};
  return FUSION_OK;
}

struct shape dims_shape(const struct dims *d) {
  uint32_t s[MAX_RANK] = {1, 1, 1}, n = 0;
  for (uint32_t k = d->rank > 1 && d->d[0] == 1 ? 1 : 0; k < d->rank; k++) s[n++] = d->d[k];
  if (n == 0) return (struct shape){1, 1, 1};
  if (n <= 2) return (struct shape){s[0], 1, n == 2 ? s[1] : 1};
  uint32_t middle = s[1];
  for (uint32_t k = 2; k + 1 < n; k++) middle *= s[k];
  return (struct shape){s[0], middle, s[n - 1]};
}

static fusion_status move_activation(struct call *c, const struct value *v, const struct gather_source *source,
                                     const struct dims *dims, struct value *out) {
  const size_t count = dims_size(dims);
  if (count == 0) return call_refuse(c, "remove the node", "leaves an empty tensor");
  *out = *v;
  out->dims = *dims;
  bool moved = count != dims_size(&v->dims);
  for (size_t i = 0; i < count && !moved; i++) moved = source[i].index != i;
  if (!moved) return FUSION_OK;
  const struct graph_gather_spec spec = {
      .name = "", .inputs = &v->node, .input_count = 1, .shape = dims_shape(dims), .sources = source};
  const fusion_status status = call_added(c, graph_add_gather(c->im->g, &spec, &out->node));
  if (status == FUSION_OK) call_name_node(c, out->node);
  return status;
}

/* The batch's axis comes out as it was. */
static bool keeps_batch(const struct value *v, const struct axis_map *m) {
  const struct dims *in = value_dims(v);
  const uint32_t axis = v->batch_axis;
  if (!value_is_batched(v) || axis >= in->rank || axis >= m->out.rank) return true;
  bool whole = m->out.d[axis] == in->d[axis];
  for (uint32_t o = 0; o < m->out.d[axis] && whole; o++) whole = m->at[axis][o] == o * stride_of(in, axis);
  return whole;
}

fusion_status value_rearrange(struct call *c, const struct value *v, const struct gather_source *source,
                              const struct dims *dims, struct value *out) {
  return v->constant ? move_constant(c, v->constant, source, dims, out) : move_activation(c, v, source, dims, out);
}

/* The values under the map, whatever becomes of the batch. */
static fusion_status map_move(struct call *c, const struct value *v, const struct axis_map *m, const struct dims *dims,
                              struct value *out) {
  struct gather_source *source = mem_alloc(dims_size(dims), sizeof *source);
  if (!source) return call_out_of_memory(c);
  map_fill(m, source);
  const fusion_status status = value_rearrange(c, v, source, dims, out);
  mem_free(source);
  return status;
}

fusion_status map_apply(struct call *c, const struct value *v, const struct axis_map *m, const struct dims *dims,
                        struct value *out) {
  if (!keeps_batch(v, m))
    return call_refuse(c, "keep the samples of a batch apart", "works across the batch dimension");
  return map_move(c, v, m, dims, out);
}

fusion_status map_filled(struct call *c, const struct axis_map *m, double value) {
  struct value low = {0}, wide = {0}, out = {0};
  float v = (float)value;
  struct value fill = {.constant = &(struct tensor){.f = &v}};
  const bool zero = !(value > 0 || value < 0);
  fusion_status status;
  if (!zero) TRY(value_binary(c, '-', c->in[0], &fill, &low));
  TRY(map_apply(c, zero ? c->in[0] : &low, m, &m->out, &wide));
  if (zero) return call_set(c, 0, &wide);
  TRY(value_binary(c, '+', &wide, &fill, &out));
  TRY(call_set(c, 0, &out));
cleanup:
  tensor_free(low.constant);
  tensor_free(wide.constant);
  return status;
}

fusion_status value_view(struct call *c, const struct value *v, struct shape shape, uint32_t *node) {
  const struct shape now = c->im->g->nodes[v->node].shape;
  *node = v->node;
  if (now.channels == shape.channels && now.height == shape.height && now.width == shape.width) return FUSION_OK;
  const fusion_status status = call_added(c, graph_add_reshape(c->im->g, v->node, shape, node));
  if (status == FUSION_OK) call_name_node(c, *node);
  return status;
}

fusion_status value_expand(struct call *c, const struct value *v, const struct dims *dims, struct value *out) {
  const struct dims *in = value_dims(v);
  struct axis_map m = {0};
  bool ok = in->rank <= dims->rank;
  for (uint32_t k = 0; k < dims->rank && ok; k++) {
    const uint32_t missing = dims->rank - in->rank;
    const uint32_t size = k < missing ? 1 : in->d[k - missing];
    ok = (size == 1 || size == dims->d[k]) &&
         map_axis(&m, dims->d[k], k < missing ? 0 : stride_of(in, k - missing), 0, size == 1 ? 0 : 1);
  }
  fusion_status status = FUSION_OK;
  if (!ok) status = call_malformed(c, "has shapes that do not broadcast");
  /* A batched tensor may gain leading dimensions only if they are 1: then the batch moves inwards, which is refused. */
  if (status == FUSION_OK && value_is_batched(v) && in->rank < dims->rank)
    status = call_refuse(c, "keep the batch as the first dimension", "puts a dimension before the batch");
  if (status == FUSION_OK) status = map_apply(c, v, &m, dims, out);
  map_free(&m);
  return status;
}

fusion_status value_transpose(struct call *c, const struct value *v, const uint32_t *perm, struct value *out) {
  const struct dims *in = value_dims(v);
  struct axis_map m = {0};
  bool ok = true;
  for (uint32_t k = 0; k < in->rank && ok; k++) ok = map_axis(&m, in->d[perm[k]], stride_of(in, perm[k]), 0, 1);
  fusion_status status = ok ? map_move(c, v, &m, &m.out, out) : call_out_of_memory(c);
  map_free(&m);
  for (uint32_t k = 0; k < in->rank && status == FUSION_OK; k++)
    if (value_batch_at(v, perm[k])) out->batch_axis = k;
  return status;
}
