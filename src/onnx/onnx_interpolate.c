/* Resize and Upsample that interpolate. What an output reads along one axis are fixed parts of its neighbours: a
 * product with a constant matrix for each axis. */
#include <math.h>

#include "onnx/onnx_resize.h"

struct filter {
  bool cubic;
  double a;       /* of cubic: -1/2 or -3/4 usually */
  bool antialias; /* wider where the output is smaller */
  bool exclude;   /* nothing is read outside the input, where otherwise its last values go on */
};

/* The part of a neighbour at this distance. Source: the operator's definition (Keys 1981 for cubic). */
static double filter_value(const struct filter *f, double distance) {
  const double d = fabs(distance), a = f->a;
  if (!f->cubic) return d < 1 ? 1 - d : 0;
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

/* Column o of the matrix [in][out]; zeros where a region's output lies outside. */
static void fill_column(float *matrix, const struct resize *r, const struct filter *f, uint32_t k, uint32_t o,
                        uint32_t in) {
  const uint32_t out = r->sizes[k];
  const double place = (double)resize_place(r, k, (float)o, (float)in), scale = (double)r->scales[k];
  const double narrow = f->antialias && scale < 1 ? scale : 1, reach = (f->cubic ? 2 : 1) / narrow;
  double sum = 0;
  if (r->crop && (place < 0 || place > in - 1)) return;
  const int64_t first = (int64_t)ceil(place - reach), last = (int64_t)floor(place + reach);
  for (int pass = 0; pass < 2; pass++) {
    const bool renew = f->exclude || f->antialias;
    for (int64_t i = first; i <= last; i++) {
      const bool outside = i < 0 || i >= in;
      const double part = outside && f->exclude ? 0 : filter_value(f, ((double)i - place) * narrow);
      const uint32_t at = i < 0 ? 0 : i >= in ? in - 1 : (uint32_t)i;
      if (pass == 0) sum += part;
      if (pass == 1) matrix[(size_t)at * out + o] += (float)(renew ? part / sum : part);
    }
    if (!(fabs(sum) > 0)) return;
  }
}

/* Along axis k: it comes last, is multiplied, and goes back. */
static fusion_status along_axis(struct call *c, const struct resize *r, const struct filter *f, uint32_t k,
                                struct value *x) {
  const uint32_t rank = x->dims.rank, in = x->dims.d[k], out = r->sizes[k];
  uint32_t perm[MAX_RANK];
  struct tensor *w = tensor_alloc(&(struct dims){2, {in, out}}, 0);
  fusion_status status;
  FAIL_IF(!w, call_out_of_memory(c));
  for (uint32_t o = 0; o < out; o++) fill_column(w->f, r, f, k, o, in);
  for (uint32_t i = 0; i < rank; i++) perm[i] = i;
  perm[k] = rank - 1;
  perm[rank - 1] = k;
  if (k != rank - 1) TRY(value_transpose(c, x, perm, x));
  TRY(value_times_constant(c, x, w, x));
  if (k != rank - 1) TRY(value_transpose(c, x, perm, x));
cleanup:
  tensor_free(w);
  return status;
}

/* An axis that is left as it is. */
static bool stays(const struct resize *r, uint32_t k, uint32_t in) {
  if (r->sizes[k] != in) return false;
  if (r->crop) return r->from[k] <= 0 && r->from[k] >= 0 && r->to[k] <= 1 && r->to[k] >= 1;
  return r->scales[k] >= 1 && r->scales[k] <= 1;
}

/* With aligned corners the reference implementation divides by the size that the scale gives, ONNX Runtime by the whole
 * one: they must be the same. */
static bool corners_agree(const struct resize *r, uint32_t k, uint32_t in) {
  const double size = (double)r->scales[k] * in;
  return strcmp(r->coordinates, "align_corners") || fabs(size - rint(size)) <= 1e-5 * size;
}

fusion_status resize_interpolate(struct call *c, const struct resize *r, bool cubic) {
  const struct filter f = {.cubic = cubic,
                           .a = attr_float(c, "cubic_coeff_a", -0.75),
                           .antialias = attr_int(c, "antialias", 0) != 0,
                           .exclude = attr_int(c, "exclude_outside", 0) != 0};
  struct value x = *c->in[0];
  const double fill = (double)r->fill;
  fusion_status status = FUSION_OK;
  if (x.constant) return call_refuse(c, "resize it before export", "works on a constant");
  if (!(fabs(f.a) <= 16)) return call_malformed(c, "has a coefficient that is out of range");
  x.integer = false;
  if (fill > 0 || fill < 0) TRY(value_scale(c, &x, 1, -fill, &x));
  for (uint32_t k = x.dims.rank; k-- > 0;) {
    if (stays(r, k, x.dims.d[k])) continue;
    if (!corners_agree(r, k, x.dims.d[k]))
      return call_refuse(c, "export with sizes instead of scales", "aligns corners of a size that is not whole");
    if (value_batch_at(&x, k))
      return call_refuse(c, "resize other dimensions only", "works across the batch dimension");
    if ((uint64_t)x.dims.d[k] * r->sizes[k] > MODEL_MAX_TENSOR)
      return call_malformed(c, "has a tensor above the limit");
    TRY(along_axis(c, r, &f, k, &x));
  }
  if (fill > 0 || fill < 0) TRY(value_scale(c, &x, 1, fill, &x));
  TRY(call_set(c, 0, &x));
cleanup:
  return status;
}
