/* QuantizeLinear and DequantizeLinear. Constants are computed away. On an activation the pair is one QUANTISE node: the
 * tensor's own grid and range, which fixed point takes over; between the two only operators that move or compare values
 * may stand. */
#include <math.h>

#include "onnx/onnx_ops.h"

enum { UNSIGNED_PRESET = ONNX__TENSOR_PROTO__DATA_TYPE__UINT8 };

/* Where the scales of a tensor stand: one for all, one for each place along an axis, or one for each block of `block`
 * places along it. */
struct scales {
  const struct tensor *scale, *zero; /* zero may be NULL */
  uint32_t axis;
  size_t block; /* 0: none */
  size_t inner; /* elements behind the axis */
  size_t along; /* places along it */
};

static bool scales_fit(const struct call *c, const struct dims *d, struct scales *out) {
  const struct tensor *s = call_constant(c, 1), *z = call_constant(c, 2);
  const int64_t block = attr_int(c, "block_size", 0);
  const size_t count = dims_size(&s->dims);
  *out = (struct scales){.scale = s, .zero = z, .block = block > 0 ? (size_t)block : 0};
  if (block < 0 || (z && dims_size(&z->dims) != count)) return false;
  if (!axis_fix(attr_int(c, "axis", 1), d->rank, &out->axis)) out->axis = 0;
  out->inner = d->rank ? dims_span(d, out->axis + 1, d->rank) : 1;
  out->along = d->rank ? d->d[out->axis] : 1;
  if (!block) return count == 1 || count == out->along;
  bool fits = d->rank && s->dims.rank == d->rank;
  for (uint32_t k = 0; fits && k < d->rank; k++)
    fits = s->dims.d[k] == (k == out->axis ? div_up(d->d[k], out->block) : d->d[k]);
  return fits;
}

/* The scale and zero point of an element. */
static void scale_at(const struct scales *s, size_t index, double *scale, double *zero) {
  const size_t place = index / s->inner % s->along;
  size_t at = dims_size(&s->scale->dims) == 1 ? 0 : place;
  if (s->block)
    at = (index / (s->inner * s->along) * div_up(s->along, s->block) + place / s->block) * s->inner + index % s->inner;
  *scale = tensor_get(s->scale, at);
  *zero = s->zero ? tensor_get(s->zero, at) : 0;
}

/* Range of the integers: the zero point's type says it, else the attribute, else unsigned bytes. */
static bool integer_range(const struct call *c, double *low, double *high) {
  const struct tensor *z = call_constant(c, 2);
  const int64_t type = z ? z->type : attr_int(c, "output_dtype", UNSIGNED_PRESET);
  switch (type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8: *low = INT8_MIN, *high = INT8_MAX; return true;
    case 0: /* output_dtype's preset */
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT8: *low = 0, *high = UINT8_MAX; return z == NULL || type != 0;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT16: *low = INT16_MIN, *high = INT16_MAX; return true;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT16: *low = 0, *high = UINT16_MAX; return true;
    case TYPE_INT4: *low = -8, *high = 7; return true;
    case TYPE_UINT4: *low = 0, *high = 15; return true;
    default: return false;
  }
}

static double clamp_to(double v, double low, double high) {
  return v < low ? low : v > high ? high : v;
}

static fusion_status quantise_constant(struct call *c, const struct tensor *x, double low, double high) {
  const struct tensor *z = call_constant(c, 2);
  const int64_t given = attr_int(c, "output_dtype", 0);
  struct scales scales;
  if (!scales_fit(c, &x->dims, &scales)) return call_malformed(c, "has scales that do not fit its input");
  struct tensor *t = tensor_alloc(&x->dims, z ? z->type : given ? (int32_t)given : UNSIGNED_PRESET);
  if (!t) return call_out_of_memory(c);
  const size_t count = dims_size(&x->dims);
  for (size_t i = 0; i < count; i++) {
    double scale = 1, zero = 0;
    scale_at(&scales, i, &scale, &zero);
    if (!(scale > 0)) {
      tensor_free(t);
      return call_malformed(c, "has a scale that is not positive");
    }
    /* As the standard has it: divided in single precision. */
    const float steps = (float)tensor_get(x, i) / (float)scale;
    tensor_set(t, i, clamp_to(nearbyint((double)steps) + zero, low, high));
  }
  return call_set_constant(c, 0, t);
}

/* The constant scale and zero point of a whole tensor. */
static fusion_status whole_scale(const struct call *c, double *scale, double *zero) {
  const struct tensor *s = call_constant(c, 1), *z = call_constant(c, 2);
  if (!s || (call_input(c, 2) && !z))
    return call_refuse(c, "quantise the model statically", "has a scale that depends on the input");
  if (dims_size(&s->dims) != 1 || (z && dims_size(&z->dims) != 1))
    return call_refuse(c, "quantise activations per tensor", "has several scales for an activation");
  *scale = tensor_get(s, 0);
  *zero = z ? tensor_get(z, 0) : 0;
  if (!(*scale > 0) || !(*scale <= 1e30)) return call_malformed(c, "has a scale that is not positive");
  return FUSION_OK;
}

fusion_status op_quantize(struct call *c) {
  struct value x = *c->in[0];
  double low, high, scale, zero;
  fusion_status status;
  if (!integer_range(c, &low, &high))
    return call_refuse(c, "quantise to 4, 8 or 16 bits", "makes integers of a type that is not supported");
  if (x.constant && call_constant(c, 1) && (!call_input(c, 2) || call_constant(c, 2)))
    return quantise_constant(c, x.constant, low, high);
  TRY(whole_scale(c, &scale, &zero));
  TRY(call_added(
      c, graph_add_quantise(c->im->g, x.node, (float)scale, (int32_t)(low - zero), (int32_t)(high - zero), &x.node)));
  call_name_node(c, x.node);
  x.integer = true;
  x.quantised = true;
  x.step = scale;
  x.zero = zero;
  TRY(call_set(c, 0, &x));
cleanup:
  return status;
}

/* (q - zero point) * scale of integers that are data: the input, or what was quantised before. */
static fusion_status dequantise_activation(struct call *c) {
  struct value x = *c->in[0];
  double scale, zero;
  fusion_status status;
  TRY(whole_scale(c, &scale, &zero));
  if (!x.integer) return call_malformed(c, "works on floats");
  if (!x.quantised) {
    TRY(value_scale(c, &x, scale, -zero * scale, &x));
  } else if (x.step < scale || x.step > scale || x.zero < zero || x.zero > zero) {
    return call_refuse(c, "dequantise with the scale that quantised", "has a different scale than its input");
  }
  x.integer = x.quantised = false;
  TRY(call_set(c, 0, &x));
cleanup:
  return status;
}

/* Weights stored as integers: (q - zero point) * scale. */
fusion_status op_dequantize(struct call *c) {
  const struct tensor *q = call_constant(c, 0), *s = call_constant(c, 1);
  if (!c->in[0]->constant) return dequantise_activation(c);
  if (!s || (call_input(c, 2) && !call_constant(c, 2)))
    return call_refuse(c, "quantise the model statically", "has a scale that depends on the input");
  struct scales scales;
  if (!scales_fit(c, &q->dims, &scales)) return call_malformed(c, "has scales that do not fit its input");
  struct tensor *t = tensor_alloc(&q->dims, 0);
  if (!t) return call_out_of_memory(c);
  const size_t count = dims_size(&q->dims);
  for (size_t i = 0; i < count; i++) {
    double scale = 1, zero = 0;
    scale_at(&scales, i, &scale, &zero);
    t->f[i] = (float)((tensor_get(q, i) - zero) * scale);
  }
  return call_set_constant(c, 0, t);
}
