/* Layout operators that move elements: Transpose, Slice, Split, Gather, Pad, Expand, Tile, DepthToSpace, SpaceToDepth.
 */
#include <math.h>

#include "onnx/onnx_layout.h"

/* Ends a map-based operator with one input and one output. `built` is false when building the map ran out. */
static fusion_status map_finish(struct call *c, struct axis_map *m, bool built, const struct dims *dims,
                                size_t output) {
  struct value v = {0};
  fusion_status status = built ? map_apply(c, c->in[0], m, dims ? dims : &m->out, &v) : call_out_of_memory(c);
  map_free(m);
  return status == FUSION_OK ? call_set(c, output, &v) : status;
}

fusion_status op_transpose(struct call *c) {
  const struct dims *in = value_dims(c->in[0]);
  const int64_t *given;
  const size_t count = attr_ints(c, "perm", &given);
  uint32_t perm[MAX_RANK];
  bool seen[MAX_RANK] = {false};
  for (uint32_t k = 0; k < in->rank; k++) perm[k] = in->rank - 1 - k;
  if (count && (count != in->rank || !axes_set(given, count, in->rank, seen)))
    return call_malformed(c, "has a 'perm' that is not a permutation");
  for (uint32_t k = 0; k < count; k++) perm[k] = (uint32_t)(given[k] < 0 ? given[k] + in->rank : given[k]);
  struct value out = {0};
  const fusion_status status = value_transpose(c, c->in[0], perm, &out);
  return status == FUSION_OK ? call_set(c, 0, &out) : status;
}

static int64_t clamp(int64_t v, int64_t low, int64_t high) {
  return v < low ? low : v > high ? high : v;
}

/* Start and end of one axis of `size` > 0 after ONNX's clamping; returns the number of places. */
static size_t slice_clamp(int64_t size, int64_t *start, int64_t end, int64_t step) {
  const int64_t top = step > 0 ? size : size - 1, bottom = step > 0 ? 0 : -1;
  const int64_t s = clamp(*start < 0 ? *start + size : *start, 0, top);
  const int64_t e = clamp(end < 0 ? end + size : end, bottom, top);
  *start = s;
  if (step > 0) return e > s ? (size_t)((e - s - 1) / step + 1) : 0;
  return s > e ? (size_t)((s - e - 1) / -step + 1) : 0;
}

struct slice {
  int64_t starts[MAX_RANK], ends[MAX_RANK], axes[MAX_RANK], steps[MAX_RANK];
  size_t count;
};

static fusion_status slice_read(const struct call *c, uint32_t rank, struct slice *s) {
  size_t ends, axes, steps;
  fusion_status status;
  TRY(call_integers(c, "starts", 1, s->starts, &s->count));
  TRY(call_integers(c, "ends", 2, s->ends, &ends));
  TRY(call_integers(c, "axes", 3, s->axes, &axes));
  TRY(call_integers(c, NULL, 4, s->steps, &steps));
  if (s->count == SIZE_MAX || s->count > rank || ends != s->count || (axes != SIZE_MAX && axes != s->count) ||
      (steps != SIZE_MAX && steps != s->count))
    return call_malformed(c, "has lists of different lengths");
  for (size_t i = 0; i < s->count; i++) {
    if (axes == SIZE_MAX) s->axes[i] = (int64_t)i;
    if (steps == SIZE_MAX) s->steps[i] = 1;
    if (s->steps[i] == 0 || s->steps[i] == INT64_MIN) return call_malformed(c, "has a step of 0");
  }
cleanup:
  return status;
}

static fusion_status refuse_batch(const struct call *c) {
  return call_refuse(c, "keep the samples of a batch apart", "works across the batch dimension");
}

static bool slice_keeps_batch(const struct call *c, int64_t start, int64_t end, int64_t step) {
  return start == 0 && step == 1 &&
         (end >= INT32_MAX || (c->im->batch > 1 && (uint64_t)end >= c->im->batch && end > 0));
}

fusion_status op_slice(struct call *c) {
  const struct dims *in = value_dims(c->in[0]);
  struct slice s = {0};
  const fusion_status status = slice_read(c, in->rank, &s);
  if (status != FUSION_OK) return status;
  size_t sizes[MAX_RANK];
  int64_t from[MAX_RANK] = {0}, step[MAX_RANK];
  bool seen[MAX_RANK] = {false};
  for (uint32_t k = 0; k < in->rank; k++) {
    sizes[k] = in->d[k];
    step[k] = 1;
  }
  if (!axes_set(s.axes, s.count, in->rank, seen)) return call_malformed(c, "has axes outside its input");
  for (size_t i = 0; i < s.count; i++) {
    const uint32_t k = (uint32_t)(s.axes[i] < 0 ? s.axes[i] + in->rank : s.axes[i]);
    /* At batch 1 a slice along it may look like the whole: it is judged by its numbers. */
    if (value_batch_at(c->in[0], k) && !slice_keeps_batch(c, s.starts[i], s.ends[i], s.steps[i]))
      return refuse_batch(c);
    from[k] = s.starts[i];
    step[k] = s.steps[i];
    sizes[k] = in->d[k] ? slice_clamp(in->d[k], &from[k], s.ends[i], step[k]) : 0;
  }
  struct axis_map m = {0};
  bool ok = true;
  for (uint32_t k = 0; k < in->rank && ok; k++)
    ok = map_axis(&m, sizes[k], stride_of(in, k), from[k], sizes[k] > 1 ? step[k] : 1);
  return map_finish(c, &m, ok, NULL, 0);
}

/* Sizes of Split's outputs: given, or equal (the last may be smaller). */
static bool split_sizes(const struct call *c, uint32_t size, int64_t given[MAX_RANK], size_t count, uint32_t *sizes) {
  const size_t outputs = c->node->n_output;
  uint64_t total = 0;
  if (count != SIZE_MAX && count != outputs) return false;
  const uint32_t part = (uint32_t)div_up(size, outputs);
  for (size_t i = 0; i < outputs; i++) {
    if (count != SIZE_MAX && (given[i] < 0 || given[i] > size)) return false;
    sizes[i] = count != SIZE_MAX ? (uint32_t)given[i] : (uint32_t)size_min(part, size - size_min(size, i * part));
    total += sizes[i];
  }
  return total == size;
}

fusion_status op_split(struct call *c) {
  const struct dims *in = value_dims(c->in[0]);
  uint32_t axis, sizes[MAX_RANK], from = 0;
  int64_t given[MAX_RANK];
  size_t count;
  if (!axis_fix(attr_int(c, "axis", 0), in->rank, &axis)) return call_malformed(c, "has an axis outside its input");
  if (c->node->n_output > MAX_RANK)
    return call_refuse(c, "use several Slice nodes", "has more than %d outputs", MAX_RANK);
  fusion_status status = call_integers(c, "split", 1, given, &count);
  if (status != FUSION_OK) return status;
  if (c->node->n_output == 0 || !split_sizes(c, in->d[axis], given, count, sizes))
    return call_malformed(c, "has parts that do not make up its input");
  for (size_t i = 0; i < c->node->n_output && status == FUSION_OK; i++) {
    struct axis_map m = {0};
    bool ok = true;
    for (uint32_t k = 0; k < in->rank && ok; k++)
      ok = map_axis(&m, k == axis ? sizes[i] : in->d[k], stride_of(in, k), k == axis ? from : 0, 1);
    status = map_finish(c, &m, ok, NULL, i);
    from += sizes[i];
  }
  return status;
}

fusion_status op_gather(struct call *c) {
  const struct dims *in = value_dims(c->in[0]);
  const struct tensor *index = call_constant(c, 1);
  uint32_t axis;
  if (!index && c->in[0]->constant && (c->in[1]->tokens || c->in[1]->pair)) return op_embedding(c);
  if (!index) return call_refuse(c, "use constant indices", "has indices that depend on the input");
  if (!index->i || !axis_fix(attr_int(c, "axis", 0), in->rank, &axis))
    return call_malformed(c, "has an axis or indices of the wrong kind");
  if (value_batch_at(c->in[0], axis)) return refuse_batch(c);
  const size_t count = dims_size(&index->dims);
  struct axis_map m = {0};
  struct dims dims = {0};
  bool ok = true, fits = true;
  for (uint32_t k = 0; k < in->rank && ok && fits; k++) {
    ok = map_axis(&m, k == axis ? count : in->d[k], stride_of(in, k), 0, k == axis ? 0 : 1);
    for (uint32_t j = 0; k == axis && j < index->dims.rank && fits; j++) fits = dims_push(&dims, index->dims.d[j]);
    if (k != axis) fits = fits && dims_push(&dims, in->d[k]);
  }
  for (size_t o = 0; o < count && ok && fits; o++) {
    const int64_t i = index->i[o] < 0 ? index->i[o] + in->d[axis] : index->i[o];
    fits = i >= 0 && i < in->d[axis];
    if (fits) m.at[axis][o] = (uint32_t)i * stride_of(in, axis);
  }
  if (!fits) {
    map_free(&m);
    return call_malformed(c, "has an index outside its input");
  }
  struct value out = {0};
  const fusion_status status = ok ? map_apply(c, c->in[0], &m, &dims, &out) : call_out_of_memory(c);
  map_free(&m);
  if (value_is_batched(&out) && axis < out.batch_axis) out.batch_axis += index->dims.rank - 1; /* of 0: one less */
  return status == FUSION_OK ? call_set(c, 0, &out) : status;
}

/* Place of a padded index in an axis of `size`; -1 for the constant. */
static int64_t pad_place(int64_t i, int64_t size, const char *mode) {
  if (i >= 0 && i < size) return i;
  if (!strcmp(mode, "edge")) return i < 0 ? 0 : size - 1;
  if (!strcmp(mode, "reflect")) return i < 0 ? -i : 2 * (size - 1) - i;
  return -1;
}

static bool pad_map(struct axis_map *m, const struct dims *in, const int64_t *before, const int64_t *after,
                    const char *mode) {
  for (uint32_t k = 0; k < in->rank; k++) {
    const int64_t size = in->d[k], limit = MODEL_MAX_WINDOW;
    if (before[k] < -size || after[k] < -size || before[k] > limit || after[k] > limit) return false;
    const int64_t to = size + before[k] + after[k];
    if (to < 0 || !map_axis(m, (size_t)to, stride_of(in, k), 0, 1)) return false;
    if (!strcmp(mode, "reflect") && (before[k] >= size || after[k] >= size)) return false;
    for (int64_t o = 0; o < to; o++) {
      const int64_t place = pad_place(o - before[k], size, mode);
      m->at[k][o] = place < 0 ? GATHER_ZERO : (uint32_t)place * stride_of(in, k);
    }
  }
  return true;
}

/* Spreads the pads of listed axes over all of them. */
static bool pad_amounts(const struct call *c, uint32_t rank, int64_t before[MAX_RANK], int64_t after[MAX_RANK]) {
  const int64_t *pads;
  size_t count = attr_ints(c, "pads", &pads);
  const struct tensor *t = call_constant(c, 1), *axes = call_constant(c, 3);
  if (t && t->i) {
    pads = t->i;
    count = dims_size(&t->dims);
  }
  const size_t named = axes ? dims_size(&axes->dims) : rank;
  if (count != 2 * named || named > rank || (axes && !axes->i)) return false;
  for (size_t i = 0; i < named; i++) {
    uint32_t k = (uint32_t)i;
    if (axes && !axis_fix(axes->i[i], rank, &k)) return false;
    before[k] = pads[i];
    after[k] = pads[named + i];
  }
  return true;
}

fusion_status op_pad(struct call *c) {
  const struct dims *in = value_dims(c->in[0]);
  char mode[16];
  attr_string(c, "mode", mode, sizeof mode);
  for (size_t i = 1; i < c->in_count; i++) {
    if (c->in[i] && !c->in[i]->constant)
      return call_refuse(c, "use constant pads", "has pads that depend on the input");
  }
  if (mode[0] && strcmp(mode, "constant") && strcmp(mode, "edge") && strcmp(mode, "reflect"))
    return call_refuse(c, "use mode constant, edge or reflect", "has an unknown mode");
  const struct tensor *fill = call_constant(c, 2);
  const bool constant = !mode[0] || !strcmp(mode, "constant");
  const double given = fill && dims_size(&fill->dims) ? tensor_get(fill, 0) : attr_float(c, "value", 0);
  const double value = constant ? given : 0;
  if (!(fabs(value) <= MAX_FILL))
    return call_refuse(c, "for MaxPool use the pool's own pads", "pads with a value that is not moderate");
  int64_t before[MAX_RANK] = {0}, after[MAX_RANK] = {0};
  struct axis_map m = {0};
  if (!pad_amounts(c, in->rank, before, after) || !pad_map(&m, in, before, after, mode)) {
    map_free(&m);
    return call_malformed(c, "has pads that do not fit its input");
  }
  const fusion_status status = map_filled(c, &m, value);
  map_free(&m);
  return status;
}

fusion_status op_expand(struct call *c) {
  int64_t want[MAX_RANK];
  size_t count;
  struct dims target = {0}, dims;
  fusion_status status = call_integers(c, "shape", 1, want, &count);
  if (status != FUSION_OK) return status;
  bool ok = count != SIZE_MAX;
  const struct value *v = c->in[0];
  /* The batch that the file was made for. */
  if (ok && value_batch_at(v, 0) && count == v->dims.rank && want[0] > 0 && (uint64_t)want[0] == c->im->batch)
    want[0] = 1;
  for (size_t k = 0; ok && k < count; k++) ok = want[k] >= 0 && dims_push(&target, (uint64_t)want[k]);
  if (!ok || !dims_broadcast(value_dims(c->in[0]), &target, &dims))
    return call_malformed(c, "has shapes that do not fit");
  struct value out = {0};
  status = value_expand(c, c->in[0], &dims, &out);
  return status == FUSION_OK ? call_set(c, 0, &out) : status;
}

fusion_status op_tile(struct call *c) {
  const struct dims *in = value_dims(c->in[0]);
  int64_t times[MAX_RANK];
  size_t count;
  const fusion_status status = call_integers(c, "repeats", 1, times, &count);
  if (status != FUSION_OK) return status;
  if (count != in->rank) return call_malformed(c, "has a different number of repeats than dimensions");
  struct axis_map m = {0};
  bool ok = true;
  for (uint32_t k = 0; k < in->rank && ok; k++) {
    ok = times[k] >= 0 && times[k] <= MODEL_MAX_TENSOR &&
         map_axis(&m, in->d[k] * (size_t)times[k], stride_of(in, k), 0, 1);
    for (uint32_t o = 0; ok && o < m.out.d[k]; o++) m.at[k][o] = o % in->d[k] * stride_of(in, k);
  }
  return map_finish(c, &m, ok, NULL, 0);
}

/* Depth to space and back: [1, C, H, W] seen under six dimensions, permuted, and relabelled. */
static fusion_status blocks(struct call *c, const struct dims *six, const uint32_t *perm, const struct dims *to) {
  struct value view = *c->in[0], out = {0};
  if (view.constant) return call_refuse(c, "fold the constants first", "works on a constant");
  view.dims = *six;
  const fusion_status status = value_transpose(c, &view, perm, &out);
  if (status != FUSION_OK) return status;
  out.dims = *to;
  return call_set(c, 0, &out);
}

fusion_status op_depth_to_space(struct call *c) {
  const struct dims *in = value_dims(c->in[0]);
  const int64_t b = attr_int(c, "blocksize", 0);
  char mode[8];
  attr_string(c, "mode", mode, sizeof mode);
  if (in->rank != 4 || b < 1 || b > MODEL_MAX_WINDOW || in->d[1] % (uint32_t)(b * b & UINT32_MAX ? b * b : 1) ||
      (uint64_t)(b * b) > in->d[1])
    return call_malformed(c, "has a block size that does not fit");
  const uint32_t s = (uint32_t)b, depth = in->d[1] / (s * s), h = in->d[2], w = in->d[3];
  const struct dims to = {4, {in->d[0], depth, h * s, w * s}};
  if (!strcmp(mode, "CRD"))
    return blocks(c, &(struct dims){6, {in->d[0], depth, s, s, h, w}}, (const uint32_t[]){0, 1, 4, 2, 5, 3}, &to);
  return blocks(c, &(struct dims){6, {in->d[0], s, s, depth, h, w}}, (const uint32_t[]){0, 3, 4, 1, 5, 2}, &to);
}

fusion_status op_space_to_depth(struct call *c) {
  const struct dims *in = value_dims(c->in[0]);
  const int64_t b = attr_int(c, "blocksize", 0);
  if (in->rank != 4 || b < 1 || b > MODEL_MAX_WINDOW || in->d[2] % (uint32_t)b || in->d[3] % (uint32_t)b)
    return call_malformed(c, "has a block size that does not fit");
  const uint32_t s = (uint32_t)b, depth = in->d[1], h = in->d[2] / s, w = in->d[3] / s;
  const struct dims to = {4, {in->d[0], depth * s * s, h, w}};
  return blocks(c, &(struct dims){6, {in->d[0], depth, h, s, w, s}}, (const uint32_t[]){0, 3, 5, 1, 2, 4}, &to);
}
