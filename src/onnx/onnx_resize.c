/* Enlarging: Resize and Upsample to the nearest neighbour (a rearrangement), and transposed convolution (a convolution
 * of the input with zeros between its elements). */
#include <math.h>
#include <stdio.h>

#include "onnx/onnx_resize.h"

enum { MAX_REGION = 65504 }; /* of tf_crop_and_resize, in sizes of the input */

/* Source: the operator's definition, per mode. */
float resize_place(const struct resize *r, uint32_t k, float o, float in) {
  const char *m = r->coordinates;
  const float scale = r->scales[k], out = (float)r->sizes[k];
  if (r->crop) {
    if (out <= 1) return (float)(0.5 * (double)((r->from[k] + r->to[k]) * (in - 1)));
    return r->from[k] * (in - 1) + o * (r->to[k] - r->from[k]) * (in - 1) / (out - 1);
  }
  if (!strcmp(m, "asymmetric")) return o / scale;
  if (!strcmp(m, "align_corners")) return out > 1 ? o * (in - 1) / (out - 1) : 0;
  if (!strcmp(m, "pytorch_half_pixel")) return out > 1 ? (o + 0.5f) / scale - 0.5f : 0;
  if (!strcmp(m, "tf_half_pixel_for_nn")) return (o + 0.5f) / scale;
  if (!strcmp(m, "half_pixel_symmetric")) {
    const float adjustment = out / (scale * in), offset = in / 2 * (1 - adjustment);
    return (float)((double)offset + ((double)o + 0.5) / (double)scale - 0.5);
  }
  return (o + 0.5f) / scale - 0.5f; /* half_pixel */
}

static float resize_round(const char *nearest, float x) {
  if (!strcmp(nearest, "ceil")) return ceilf(x);
  if (!strcmp(nearest, "floor")) return floorf(x);
  if (!strcmp(nearest, "round_prefer_ceil")) return floorf(x) + (x - floorf(x) >= 0.5f ? 1.0f : 0.0f);
  return floorf(x) + (x - floorf(x) > 0.5f ? 1.0f : 0.0f); /* round_prefer_floor */
}

static bool one_of(const char *name, const char *const *names, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (!strcmp(name, names[i])) return true;
  }
  return false;
}

static bool resize_known(const struct resize *r) {
  static const char *const coordinates[] = {"half_pixel",        "half_pixel_symmetric", "asymmetric",
                                            "align_corners",     "tf_half_pixel_for_nn", "pytorch_half_pixel",
                                            "tf_crop_and_resize"};
  static const char *const nearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
  static const char *const policies[] = {"stretch", "not_larger", "not_smaller"};
  return one_of(r->coordinates, coordinates, sizeof coordinates / sizeof coordinates[0]) &&
         one_of(r->nearest, nearest, sizeof nearest / sizeof nearest[0]) &&
         one_of(r->policy, policies, sizeof policies / sizeof policies[0]);
}

static void attr_word(const struct call *c, const char *name, char *out, size_t capacity, const char *preset) {
  attr_string(c, name, out, capacity);
  if (!out[0]) snprintf(out, capacity, "%s", preset);
}

static fusion_status resize_attributes(const struct call *c, uint32_t rank, struct resize *r) {
  const int64_t *axes;
  const size_t count = attr_ints(c, "axes", &axes);
  bool set[MAX_RANK] = {false};
  r->old = !strcmp(c->node->op_type, "Upsample") || c->im->opset < 11;
  attr_word(c, "mode", r->mode, sizeof r->mode, "nearest");
  attr_word(c, "coordinate_transformation_mode", r->coordinates, sizeof r->coordinates,
            r->old ? "asymmetric" : "half_pixel");
  attr_word(c, "nearest_mode", r->nearest, sizeof r->nearest, r->old ? "floor" : "round_prefer_floor");
  attr_word(c, "keep_aspect_ratio_policy", r->policy, sizeof r->policy, "stretch");
  r->crop = !strcmp(r->coordinates, "tf_crop_and_resize");
  r->fill = r->crop ? (float)attr_float(c, "extrapolation_value", 0) : 0;
  if (count > rank || !axes_set(axes, count, rank, set)) return call_malformed(c, "has axes outside its input");
  r->count = count ? (uint32_t)count : rank;
  for (uint32_t i = 0; i < r->count; i++) {
    if (!count) r->axes[i] = i;
    if (count) axis_fix(axes[i], rank, &r->axes[i]);
  }
  return FUSION_OK;
}

/* Scales of the axes from the constant input (or old attribute) that holds them. */
static bool resize_by_scales(const struct call *c, const struct dims *in, const struct tensor *s, struct resize *r) {
  const Onnx__AttributeProto *old = attr_find(c, "scales");
  for (uint32_t i = 0; i < r->count; i++) {
    const uint32_t k = r->axes[i];
    const float scale = s ? (float)tensor_get(s, i) : old->floats[i];
    const float size = scale * (float)in->d[k];
    if (!(scale > 0) || !(size >= 1) || !(size <= (float)MODEL_MAX_TENSOR)) return false;
    r->scales[k] = scale;
    r->sizes[k] = (uint32_t)size;
  }
  return true;
}

/* Sizes of the axes; with a policy other than "stretch" one scale for all of them. */
static bool resize_by_sizes(const struct call *c, const struct dims *in, const struct tensor *z, struct resize *r) {
  const bool smaller = !strcmp(r->policy, "not_larger"), larger = !strcmp(r->policy, "not_smaller");
  float common = 0;
  for (uint32_t i = 0; i < r->count; i++) {
    const uint32_t k = r->axes[i];
    double size = tensor_get(z, i);
    /* The batch that the file was made for. */
    if (k == 0 && !c->in[0]->constant && c->in[0]->batched) size = in->d[0];
    if (!(size >= 1) || !(size <= (float)MODEL_MAX_TENSOR)) return false;
    r->sizes[k] = (uint32_t)size;
    r->scales[k] = (float)r->sizes[k] / (float)in->d[k];
    const bool takes = i == 0 || (smaller && r->scales[k] < common) || (larger && r->scales[k] > common);
    if (takes) common = r->scales[k];
  }
  for (uint32_t i = 0; i < r->count && (smaller || larger); i++) {
    const uint32_t k = r->axes[i];
    const float size = floorf(common * (float)in->d[k] + 0.5f);
    if (!(size >= 1) || !(size <= (float)MODEL_MAX_TENSOR)) return false;
    r->scales[k] = common;
    r->sizes[k] = (uint32_t)size;
  }
  return true;
}

static bool resize_region(const struct tensor *roi, struct resize *r) {
  if (!roi || dims_size(&roi->dims) != 2 * r->count) return false;
  for (uint32_t i = 0; i < r->count; i++) {
    const float from = (float)tensor_get(roi, i), to = (float)tensor_get(roi, r->count + i);
    if (!(fabsf(from) <= MAX_REGION) || !(fabsf(to) <= MAX_REGION)) return false;
    r->from[r->axes[i]] = from;
    r->to[r->axes[i]] = to;
  }
  return true;
}

static fusion_status resize_read(const struct call *c, const struct dims *in, struct resize *r) {
  const bool upsample = !strcmp(c->node->op_type, "Upsample");
  const size_t at = upsample || c->im->opset < 11 ? 1 : 2;
  const Onnx__AttributeProto *old = attr_find(c, "scales");
  const fusion_status status = resize_attributes(c, in->rank, r);
  if (status != FUSION_OK) return status;
  const struct tensor *s = call_constant(c, at), *z = at == 2 ? call_constant(c, 3) : NULL;
  const struct tensor *roi = at == 2 ? call_constant(c, 1) : NULL;
  for (size_t i = 1; i < c->in_count; i++) {
    if (c->in[i] && !c->in[i]->constant)
      return call_refuse(c, "export with fixed sizes", "has scales that depend on the input");
  }
  for (uint32_t k = 0; k < in->rank; k++) {
    r->scales[k] = 1;
    r->sizes[k] = in->d[k];
    r->to[k] = 1;
  }
  const size_t scale_count = s     ? dims_size(&s->dims)
                             : old ? old->n_floats
                                   : 0,
               size_count = z ? dims_size(&z->dims) : 0;
  if ((scale_count != r->count) == (size_count != r->count)) return call_malformed(c, "lacks its scales or sizes");
  if (r->crop && !resize_region(roi, r)) return call_malformed(c, "lacks its region, or has one out of range");
  if (scale_count == r->count ? resize_by_scales(c, in, s, r) : resize_by_sizes(c, in, z, r)) return FUSION_OK;
  return call_malformed(c, "has a scale that leaves nothing, or too much");
}

/* Axis k as a list of input indices; UINT32_MAX lies outside. */
static void resize_axis(const struct resize *r, uint32_t k, uint32_t in, const char *nearest, uint32_t *out) {
  const bool same = r->sizes[k] == in && r->scales[k] >= 1 && r->scales[k] <= 1 && !r->crop;
  for (uint32_t o = 0; o < r->sizes[k]; o++) {
    const float place = same ? (float)o : resize_place(r, k, (float)o, (float)in), last = (float)(in - 1);
    const float near = same ? place : resize_round(nearest, place);
    out[o] = same ? o : near < 0 ? 0 : near > last ? in - 1 : (uint32_t)near;
    if (r->crop && (place < 0 || place > last)) out[o] = UINT32_MAX;
  }
}

/* Before operator set 11 nothing said which neighbour a smaller output takes; implementations round up or down. Both
 * must give the same. */
static fusion_status resize_agrees(const struct call *c, const struct resize *r, uint32_t k, uint32_t in) {
  uint32_t *up = mem_alloc(r->sizes[k], sizeof *up), *down = mem_alloc(r->sizes[k], sizeof *down);
  fusion_status status = up && down ? FUSION_OK : call_out_of_memory(c);
  if (status == FUSION_OK) {
    resize_axis(r, k, in, "ceil", up);
    resize_axis(r, k, in, "floor", down);
    if (memcmp(up, down, r->sizes[k] * sizeof *up))
      status = call_refuse(c, "export with operator set 11 or later", "does not say which neighbours it uses");
  }
  mem_free(up);
  mem_free(down);
  return status;
}

static fusion_status resize_map(const struct call *c, const struct dims *in, const struct resize *r,
                                struct axis_map *m) {
  for (uint32_t k = 0; k < in->rank; k++) {
    if (r->old && r->scales[k] < 1) {
      const fusion_status status = resize_agrees(c, r, k, in->d[k]);
      if (status != FUSION_OK) return status;
    }
    if (!map_axis(m, r->sizes[k], 0, 0, 0)) return call_malformed(c, "has a tensor above the limit");
    resize_axis(r, k, in->d[k], r->nearest, m->at[k]);
    for (uint32_t o = 0; o < r->sizes[k]; o++) {
      uint32_t *at = &m->at[k][o];
      *at = *at == UINT32_MAX ? GATHER_ZERO : *at * stride_of(in, k);
    }
  }
  return FUSION_OK;
}

fusion_status op_resize(struct call *c) {
  const struct dims *in = value_dims(c->in[0]);
  struct resize r = {0};
  struct axis_map m = {0};
  fusion_status status = resize_read(c, in, &r);
  if (status != FUSION_OK) return status;
  bool same = !r.crop;
  for (uint32_t k = 0; k < in->rank; k++) same = same && r.scales[k] >= 1 && r.scales[k] <= 1;
  if (same) return op_identity(c);
  const bool linear = !strcmp(r.mode, "linear") || !strcmp(r.mode, "bilinear"), cubic = !strcmp(r.mode, "cubic");
  if ((!linear && !cubic && strcmp(r.mode, "nearest")) || !resize_known(&r))
    return call_refuse(c, "use 'nearest', 'linear' or 'cubic'", "has a mode that is not supported");
  if (!(fabsf(r.fill) <= MAX_FILL)) return call_refuse(c, "use a moderate value", "fills with a value out of range");
  if (linear || cubic) return resize_interpolate(c, &r, cubic);
  status = resize_map(c, in, &r, &m);
  if (status == FUSION_OK) status = map_filled(c, &m, (double)r.fill);
  map_free(&m);
  return status;
}

/* One axis of a transposed convolution. */
struct spread {
  int64_t in, kernel, stride, dilation, before, after, extra, out;
};

static bool spread_fix(struct spread *s, const char *mode, int64_t wanted) {
  const int64_t span = (s->kernel - 1) * s->dilation + 1, whole = s->stride * (s->in - 1) + s->extra + span;
  const bool same = !strncmp(mode, "SAME_", 5);
  if (mode[0] && strcmp(mode, "NOTSET") && strcmp(mode, "VALID") && !same) return false;
  if (!strcmp(mode, "VALID")) s->before = s->after = 0;
  if (same && !wanted) wanted = s->in * s->stride;
  if (wanted) {
    const int64_t total = whole - wanted;
    s->before = total > 0 ? (!strcmp(mode, "SAME_UPPER") ? total / 2 : total - total / 2) : 0;
    s->after = total - s->before;
  }
  s->out = whole - s->before - s->after;
  return s->out >= 1 && s->out <= MODEL_MAX_WINDOW && span <= MODEL_MAX_WINDOW;
}

static int64_t entry(const int64_t *v, size_t count, uint32_t i, int64_t preset) {
  return count ? v[i] : preset;
}

static bool spread_read(const struct call *c, uint32_t n, struct spread *sides) {
  const int64_t *strides, *dilations, *pads, *extra, *wanted;
  const size_t ns = attr_ints(c, "strides", &strides), nd = attr_ints(c, "dilations", &dilations),
               np = attr_ints(c, "pads", &pads), ne = attr_ints(c, "output_padding", &extra),
               nw = attr_ints(c, "output_shape", &wanted);
  char mode[16];
  attr_string(c, "auto_pad", mode, sizeof mode);
  if ((ns && ns != n) || (nd && nd != n) || (np && np != 2 * n) || (ne && ne != n) || (nw && nw < n)) return false;
  for (uint32_t i = 0; i < n; i++) {
    struct spread *s = &sides[i];
    s->stride = entry(strides, ns, i, 1);
    s->dilation = entry(dilations, nd, i, 1);
    s->before = entry(pads, np, i, 0);
    s->after = entry(pads, np, n + i, 0);
    s->extra = entry(extra, ne, i, 0);
    const int64_t from_one[2] = {s->stride, s->dilation}, from_zero[3] = {s->before, s->after, s->extra};
    for (int k = 0; k < 2; k++) {
      if (from_one[k] < 1 || from_one[k] > MODEL_MAX_WINDOW) return false;
    }
    for (int k = 0; k < 3; k++) {
      if (from_zero[k] < 0 || from_zero[k] > MODEL_MAX_WINDOW) return false;
    }
    const int64_t out = nw ? wanted[nw - n + i] : 0;
    if (out < 0 || out > MODEL_MAX_WINDOW || s->kernel > MODEL_MAX_WINDOW || !spread_fix(s, mode, out)) return false;
  }
  return true;
}

/* The input with stride - 1 zeros between its elements and the kernel's reach around it, less the pads. */
static bool spread_map(struct axis_map *m, const struct dims *in, uint32_t n, const struct spread *sides) {
  for (uint32_t k = 0; k < 2; k++) {
    if (!map_axis(m, in->d[k], stride_of(in, k), 0, 1)) return false;
  }
  for (uint32_t i = 0; i < n; i++) {
    const struct spread *s = &sides[i];
    const int64_t reach = (s->kernel - 1) * s->dilation;
    if (!map_axis(m, (size_t)(s->out + reach), 0, 0, 0)) return false;
    for (int64_t o = 0; o < s->out + reach; o++) {
      const int64_t at = o - (reach - s->before), place = at / s->stride;
      const bool lies = at >= 0 && at % s->stride == 0 && place < s->in;
      m->at[2 + i][o] = lies ? (uint32_t)place * stride_of(in, 2 + i) : GATHER_ZERO;
    }
  }
  return true;
}

/* Weights [in][out/groups][..] as [out][in/groups][..], each kernel turned round. */
static float *turned_weights(const struct tensor *w, uint32_t groups) {
  const size_t in = w->dims.d[0], out_group = w->dims.d[1], taps = dims_span(&w->dims, 2, w->dims.rank);
  const size_t in_group = in / groups;
  float *t = mem_alloc(dims_size(&w->dims), sizeof *t);
  for (size_t i = 0; t && i < in; i++) {
    for (size_t o = 0; o < out_group; o++) {
      const size_t row = i / in_group * out_group + o;
      for (size_t k = 0; k < taps; k++)
        t[(row * in_group + i % in_group) * taps + taps - 1 - k] = (float)tensor_get(w, (i * out_group + o) * taps + k);
    }
  }
  return t;
}

static fusion_status transposed_node(struct call *c, const struct tensor *w, const struct tensor *b,
                                     struct graph_linear_spec *spec) {
  float *weights = turned_weights(w, spec->groups), *bias = mem_alloc(spec->out_channels, sizeof *bias);
  fusion_status status = weights && bias ? FUSION_OK : call_out_of_memory(c);
  for (size_t o = 0; status == FUSION_OK && b && o < spec->out_channels; o++) bias[o] = (float)tensor_get(b, o);
  spec->weights = weights;
  spec->bias = b ? bias : NULL;
  if (status == FUSION_OK) status = call_added(c, graph_add_linear(c->im->g, spec, &spec->input));
  mem_free(weights);
  mem_free(bias);
  return status;
}

fusion_status op_conv_transpose(struct call *c) {
  struct value x = *c->in[0], wide;
  const struct tensor *w = call_constant(c, 1), *b = call_constant(c, 2);
  const int64_t groups = attr_int(c, "group", 1);
  struct spread sides[2] = {{0}};
  struct axis_map m = {0};
  struct shape in;
  fusion_status status;
  if (!w || (call_input(c, 2) && !b))
    return call_refuse(c, "use constant weights and bias", "has weights that depend on the input");
  TRY(call_spatial(c, &x, &in));
  const uint32_t n = x.dims.rank - 2;
  const uint64_t out = groups > 0 && groups <= in.channels && w->dims.rank > 1 ? w->dims.d[1] * (uint64_t)groups : 0;
  if (out == 0 || out > MODEL_MAX_WINDOW || w->dims.rank != x.dims.rank || w->dims.d[0] != in.channels ||
      in.channels % groups || (b && dims_size(&b->dims) != out))
    return call_malformed(c, "has groups, weights or bias that do not fit its input");
  for (uint32_t i = 0; i < n; i++) sides[i] = (struct spread){.in = x.dims.d[2 + i], .kernel = w->dims.d[2 + i]};
  if (dims_size(&w->dims) == 0 || !spread_read(c, n, sides))
    return call_refuse(c, "use non-negative pads, and strides and dilations from 1 on",
                       "has a window that is not supported");
  FAIL_IF(!spread_map(&m, &x.dims, n, sides), call_malformed(c, "has a tensor above the limit"));
  TRY(map_apply(c, &x, &m, &m.out, &wide));
  struct window window = window_make(n == 2 ? w->dims.d[2] : 1, w->dims.d[n + 1], 1);
  window.dilation_h = n == 2 ? (uint32_t)sides[0].dilation : 1;
  window.dilation_w = (uint32_t)sides[n - 1].dilation;
  struct graph_linear_spec spec = {.out_channels = (uint32_t)out, .groups = (uint32_t)groups, .window = window};
  const struct shape padded = {in.channels, n == 2 ? m.out.d[2] : 1, m.out.d[n + 1]};
  TRY(value_view(c, &wide, padded, &spec.input));
  TRY(transposed_node(c, w, b, &spec));
  call_name_node(c, spec.input);
  x.node = spec.input;
  x.dims.d[1] = (uint32_t)out;
  for (uint32_t i = 0; i < n; i++) x.dims.d[2 + i] = (uint32_t)sides[i].out;
  TRY(call_set(c, 0, &x));
cleanup:
  map_free(&m);
  return status;
}
