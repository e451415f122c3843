/* Rearrangements that differ by element: Trilu, GatherElements. */
#include "onnx/onnx_layout.h"

/* Elements above or below a diagonal of the last two dimensions; zeros elsewhere. */
fusion_status op_trilu(struct call *c) {
  const struct value *x = c->in[0];
  const struct dims *d = value_dims(x);
  const struct tensor *k = call_constant(c, 1);
  const bool upper = attr_int(c, "upper", 1) != 0;
  if (call_input(c, 1) && (!k || !k->i || dims_size(&k->dims) != 1))
    return call_refuse(c, "use a constant diagonal", "has a diagonal that depends on the input");
  if (d->rank < 2) return call_malformed(c, "has an input of fewer than 2 dimensions");
  if (value_batch_at(x, d->rank - 1) || value_batch_at(x, d->rank - 2))
    return call_refuse(c, "keep the samples of a batch apart", "works across the batch dimension");
  const uint32_t rows = d->d[d->rank - 2], columns = d->d[d->rank - 1];
  const size_t count = dims_size(d);
  const int64_t far = INT32_MAX, given = k ? k->i[0] : 0, diagonal = given < -far ? -far : given > far ? far : given;
  struct gather_source *sources = mem_alloc(count, sizeof *sources);
  if (!sources) return call_out_of_memory(c);
  for (size_t i = 0; i < count; i++) {
    const int64_t row = (int64_t)(i / columns % rows), column = (int64_t)(i % columns), at = column - row;
    sources[i].index = (upper ? at >= diagonal : at <= diagonal) ? (uint32_t)i : GATHER_ZERO;
  }
  struct value out = {0};
  const fusion_status status = value_rearrange(c, x, sources, d, &out);
  mem_free(sources);
  return status == FUSION_OK ? call_set(c, 0, &out) : status;
}

/* The element of `x` that stands in the place of element i of the indices, along `axis` where they say. */
static uint32_t place_of(const struct dims *x, const struct tensor *index, size_t i, uint32_t axis) {
  size_t rest = i, at = 0, stride = 1;
  for (uint32_t k = x->rank; k-- > 0;) {
    const size_t coordinate = rest % index->dims.d[k];
    const int64_t wanted = index->i[i] < 0 ? index->i[i] + x->d[axis] : index->i[i];
    if (k == axis && (wanted < 0 || wanted >= x->d[axis])) return GATHER_ZERO;
    at += (k == axis ? (size_t)wanted : coordinate) * stride;
    stride *= x->d[k];
    rest /= index->dims.d[k];
  }
  return (uint32_t)at;
}

fusion_status op_gather_elements(struct call *c) {
  const struct value *x = c->in[0];
  const struct dims *d = value_dims(x);
  const struct tensor *index = call_constant(c, 1);
  uint32_t axis;
  if (!index) return call_refuse(c, "use constant indices", "has indices that depend on the input");
  if (!index->i || index->dims.rank != d->rank || !axis_fix(attr_int(c, "axis", 0), d->rank, &axis))
    return call_malformed(c, "has an axis or indices of the wrong kind");
  for (uint32_t k = 0; k < d->rank; k++)
    if (k != axis && index->dims.d[k] > d->d[k])
      return value_batch_at(x, k)
                 ? call_refuse(c, "use the same indices for all samples", "has indices for each sample of a batch")
                 : call_malformed(c, "has an index outside its input");
  if (value_batch_at(x, axis))
    return call_refuse(c, "keep the samples of a batch apart", "works across the batch dimension");
  const size_t count = dims_size(&index->dims);
  struct gather_source *sources = mem_alloc(count, sizeof *sources);
  struct value out = {0};
  fusion_status status;
  FAIL_IF(!sources, call_out_of_memory(c));
  for (size_t i = 0; i < count; i++) {
    sources[i].index = place_of(d, index, i, axis);
    FAIL_IF(sources[i].index == GATHER_ZERO, call_malformed(c, "has an index outside its input"));
  }
  TRY(value_rearrange(c, x, sources, &index->dims, &out));
  TRY(call_set(c, 0, &out));
cleanup:
  mem_free(sources);
  return status;
}
