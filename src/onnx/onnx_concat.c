/* Concat: several inputs along one axis. All constant: folded. Else one GATHER node of the activations, with zeros in
 * the constants' places, and the constants added. */
#include "onnx/onnx_layout.h"

struct concat {
  uint32_t axis;
  struct dims dims;
  size_t outer, inner; /* elements before and after the axis */
};

static fusion_status concat_program(const struct call *c, struct concat *p) {
  const struct dims *first = value_dims(c->in[0]);
  if (!axis_fix(attr_int(c, "axis", 1), first->rank, &p->axis))
    return call_malformed(c, "has an axis outside its input");
  uint64_t along = 0;
  for (size_t i = 0; i < c->in_count; i++) {
    const struct dims *d = value_dims(c->in[i]);
    bool same = d->rank == first->rank;
    for (uint32_t k = 0; k < first->rank && same; k++) same = k == p->axis || d->d[k] == first->d[k];
    if (!same) return call_malformed(c, "joins tensors of different shapes");
    if (value_batch_at(c->in[i], p->axis))
      return call_refuse(c, "join along another axis", "works across the batch dimension");
    for (size_t k = 0; k < i; k++) {
      if (value_is_batched(c->in[k]) && value_is_batched(c->in[i]) && c->in[k]->batch_axis != c->in[i]->batch_axis)
        return call_malformed(c, "joins tensors whose batches are in different dimensions");
    }
    along += d->d[p->axis];
  }
  for (uint32_t k = 0; k < first->rank; k++) {
    if (!dims_push(&p->dims, k == p->axis ? along : first->d[k]))
      return call_malformed(c, "has a tensor above the limit");
  }
  p->outer = dims_span(first, 0, p->axis);
  p->inner = dims_span(first, p->axis + 1, first->rank);
  return FUSION_OK;
}

/* The constants in their places, zeros elsewhere. NULL when out of memory. */
static struct tensor *concat_constants(const struct call *c, const struct concat *p, int32_t type) {
  const size_t row = p->dims.d[p->axis] * p->inner;
  struct tensor *t = tensor_alloc(&p->dims, type);
  size_t at = 0;
  for (size_t i = 0; t && i < c->in_count; i++) {
    const struct tensor *from = c->in[i]->constant;
    const size_t part = value_dims(c->in[i])->d[p->axis] * p->inner;
    for (size_t o = 0; from && o < p->outer; o++) {
      for (size_t k = 0; k < part; k++) {
        if (t->i && from->i) tensor_copy(t, o * row + at + k, from, o * part + k);
        if (!t->i || !from->i) tensor_set(t, o * row + at + k, tensor_get(from, o * part + k));
      }
    }
    at += part;
  }
  return t;
}

/* `constants` (NULL: there are none) has the result's dimensions, with zeros where activations go. */
static fusion_status concat_activations(struct call *c, const struct concat *p, struct tensor *constants) {
  const size_t row = p->dims.d[p->axis] * p->inner;
  struct gather_source *sources = mem_alloc(p->outer * row, sizeof *sources);
  uint32_t *inputs = mem_alloc(c->in_count, sizeof *inputs);
  struct value out = {0}, joined;
  uint32_t activations = 0;
  fusion_status status = sources && inputs ? FUSION_OK : call_out_of_memory(c);
  size_t at = 0;
  for (uint32_t i = 0; i < c->in_count && status == FUSION_OK; i++) {
    const bool constant = c->in[i]->constant != NULL;
    const size_t part = value_dims(c->in[i])->d[p->axis] * p->inner;
    for (size_t o = 0; o < p->outer; o++) {
      for (size_t k = 0; k < part; k++)
        sources[o * row + at + k] =
            (struct gather_source){.input = activations, .index = constant ? GATHER_ZERO : (uint32_t)(o * part + k)};
    }
    at += part;
    if (constant) continue;
    if (activations == 0 || !out.batched) out = *c->in[i];
    inputs[activations++] = c->in[i]->node;
  }
  if (status == FUSION_OK) {
    const struct graph_gather_spec spec = {
        .name = "", .inputs = inputs, .input_count = activations, .shape = dims_shape(&p->dims), .sources = sources};
    status = call_added(c, graph_add_gather(c->im->g, &spec, &out.node));
  }
  mem_free(sources);
  mem_free(inputs);
  if (status != FUSION_OK) return status;
  call_name_node(c, out.node);
  out.dims = p->dims;
  if (!constants) return call_set(c, 0, &out);
  status = value_binary(c, '+', &out, &(struct value){.constant = constants}, &joined);
  return status == FUSION_OK ? call_set(c, 0, &joined) : status;
}

fusion_status op_concat(struct call *c) {
  size_t constants = 0;
  for (size_t i = 0; i < c->in_count; i++) constants += c->in[i]->constant != NULL;
  struct concat p = {0};
  const fusion_status status = concat_program(c, &p);
  if (status != FUSION_OK) return status;
  struct tensor *t = NULL;
  const bool all = constants == c->in_count;
  if (constants) t = concat_constants(c, &p, all ? c->in[0]->constant->type : 0);
  if (constants && !t) return call_out_of_memory(c);
  if (all) return call_set_constant(c, 0, t);
  const fusion_status joined = concat_activations(c, &p, t);
  tensor_free(t);
  return joined;
}
