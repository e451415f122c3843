/* Enlarging: Resize and Upsample to the nearest neighbour (a rearrangement), and transposed convolution (a convolution
 * of the input with zeros between its elements). */
#include <math.h>
#include <stdio.h>

#include "onnx/onnx_layout.h"

struct resize {
  char coordinates[32], nearest[24];
};

/* The place that output index o of an axis reads, before rounding. Source: the operator's definition, per mode. */
static double resize_place(const struct resize *r, double o, double scale, double in, double out) {
  const char *m = r->coordinates;
  if (!strcmp(m, "asymmetric")) return o / scale;
  if (!strcmp(m, "align_corners")) return out > 1 ? o * (in - 1) / (out - 1) : 0;
  if (!strcmp(m, "pytorch_half_pixel")) return out > 1 ? (o + 0.5) / scale - 0.5 : 0;
  if (!strcmp(m, "tf_half_pixel_for_nn")) return (o + 0.5) / scale;
  return (o + 0.5) / scale - 0.5; /* half_pixel */
}

static double resize_round(const struct resize *r, double x) {
  if (!strcmp(r->nearest, "ceil")) return ceil(x);
  if (!strcmp(r->nearest, "floor")) return floor(x);
  if (!strcmp(r->nearest, "round_prefer_ceil")) return floor(x + 0.5);
  return ceil(x - 0.5); /* round_prefer_floor */
}

static bool resize_known(const struct resize *r) {
  static const char *const coordinates[] = {"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel",
                                            "tf_half_pixel_for_nn"};
  static const char *const nearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
  bool a = false, b = false;
  for (size_t i = 0; i < sizeof coordinates / sizeof coordinates[0]; i++)
    a = a || !strcmp(r->coordinates, coordinates[i]);
  for (size_t i = 0; i < sizeof nearest / sizeof nearest[0]; i++) b = b || !strcmp(r->nearest, nearest[i]);
  return a && b;
}

/* Scales of all axes from the constant input (or old attribute) that holds them, or from the sizes. */
static fusion_status resize_scales(const struct call *c, const struct dims *in, double scales[MAX_RANK],
                                   double sizes[MAX_RANK]) {
  const bool upsample = !strcmp(c->node->op_type, "Upsample");
  const size_t at = upsample || c->im->opset < 11 ? 1 : 2;
  const Onnx__AttributeProto *old = attr_find(c, "scales");
  const struct tensor *s = call_constant(c, at), *z = upsample ? NULL : call_constant(c, 3);
  if ((call_input(c, at) && !s) || (!upsample && call_input(c, 3) && !z))
    return call_refuse(c, "export with fixed sizes", "takes its scales from data");
  const size_t scale_count = s     ? dims_size(&s->dims)
                             : old ? old->n_floats
                                   : 0,
               size_count = z ? dims_size(&z->dims) : 0;
  if ((scale_count != in->rank) == (size_count != in->rank)) return call_malformed(c, "lacks its scales or sizes");
  for (uint32_t k = 0; k < in->rank; k++) {
    scales[k] =
        scale_count == in->rank ? (s ? tensor_get(s, k) : (double)old->floats[k]) : tensor_get(z, k) / (double)in->d[k];
    if (k == 0 && size_count == in->rank && in->d[0] == 1) scales[k] = 1; /* the batch that the file was made for */
    sizes[k] = floor(in->d[k] * scales[k] + (size_count == in->rank ? 0.5 : 0));
    if (!(scales[k] > 0) || !(sizes[k] >= 1) || !(sizes[k] <= MODEL_MAX_TENSOR))
      return call_malformed(c, "has a scale that leaves nothing, or too much");
  }
  return FUSION_OK;
}

static bool resize_map(struct axis_map *m, const struct dims *in, const struct resize *r, const double *scales,
                       const double *sizes) {
  for (uint32_t k = 0; k < in->rank; k++) {
    if (!map_axis(m, (size_t)sizes[k], stride_of(in, k), 0, 1)) return false;
    if ((uint32_t)sizes[k] == in->d[k] && scales[k] >= 1 && scales[k] <= 1) continue;
    for (uint32_t o = 0; o < m->out.d[k]; o++) {
      double place = resize_round(r, resize_place(r, o, scales[k], in->d[k], sizes[k]));
      place = place < 0 ? 0 : place > in->d[k] - 1 ? in->d[k] - 1 : place;
      m->at[k][o] = (uint32_t)place * stride_of(in, k);
    }
  }
  return true;
}

fusion_status op_resize(struct call *c) {
  const struct dims *in = value_dims(c->in[0]);
  const bool old = !strcmp(c->node->op_type, "Upsample") || c->im->opset < 11;
  struct resize r;
  double scales[MAX_RANK], sizes[MAX_RANK];
  char mode[16], policy[24];
  attr_string(c, "mode", mode, sizeof mode);
  attr_string(c, "coordinate_transformation_mode", r.coordinates, sizeof r.coordinates);
  attr_string(c, "nearest_mode", r.nearest, sizeof r.nearest);
  attr_string(c, "keep_aspect_ratio_policy", policy, sizeof policy);
  if (old || !r.coordinates[0]) snprintf(r.coordinates, sizeof r.coordinates, old ? "asymmetric" : "half_pixel");
  if (old || !r.nearest[0]) snprintf(r.nearest, sizeof r.nearest, old ? "floor" : "round_prefer_floor");
  fusion_status status = resize_scales(c, in, scales, sizes);
  if (status != FUSION_OK) return status;
  bool same = true;
  for (uint32_t k = 0; k < in->rank; k++) same = same && scales[k] >= 1 && scales[k] <= 1;
  if (same && strcmp(r.coordinates, "tf_crop_and_resize")) return op_identity(c);
  if ((mode[0] && strcmp(mode, "nearest")) || !resize_known(&r) || (policy[0] && strcmp(policy, "stretch")))
    return call_refuse(c, "resize to the nearest neighbour, or before the network", "interpolates, or crops");
  struct axis_map m = {0};
  struct value out = {0};
  if (resize_map(&m, in, &r, scales, sizes))
    status = map_apply(c, c->in[0], &m, &m.out, &out);
  else
    status = call_malformed(c, "has a tensor above the limit");
  map_free(&m);
  return status == FUSION_OK ? call_set(c, 0, &out) : status;
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
    return call_refuse(c, "use constant weights and bias", "takes its weights from data");
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
