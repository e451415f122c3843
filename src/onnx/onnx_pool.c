/* Sliding windows: their attributes, and the pooling operators. */
#include "onnx/onnx_ops.h"

fusion_status call_spatial(const struct call *c, const struct value *v, struct shape *out) {
  const struct dims *d = &v->dims;
  if (v->constant) return call_refuse(c, "simplify the model before export", "works on a constant");
  if (d->rank != 3 && d->rank != 4)
    return call_refuse(c, "use one- or two-dimensional windows", "has an input of %u dimensions", d->rank);
  if (d->d[0] != 1) return call_refuse(c, "keep the batch as the first dimension", "works on a merged batch dimension");
  *out = (struct shape){d->d[1], d->rank == 4 ? d->d[2] : 1, d->d[d->rank - 1]};
  return FUSION_OK;
}

/* One axis of a window. */
struct side {
  int64_t in, kernel, stride, dilation, before, after;
};

static bool in_range(int64_t v, int64_t low) {
  return v >= low && v <= MODEL_MAX_WINDOW;
}

static bool side_auto_pad(struct side *s, const char *mode) {
  if (!mode[0] || !strcmp(mode, "NOTSET")) return true;
  s->before = s->after = 0;
  if (!strcmp(mode, "VALID")) return true;
  const bool upper = !strcmp(mode, "SAME_UPPER");
  if (!upper && strcmp(mode, "SAME_LOWER")) return false;
  const int64_t out = (s->in + s->stride - 1) / s->stride;
  const int64_t total = (out - 1) * s->stride + (s->kernel - 1) * s->dilation + 1 - s->in;
  if (total > 0) {
    s->before = upper ? total / 2 : total - total / 2;
    s->after = total - s->before;
  }
  return true;
}

/* How much farther the last window of ceil_mode reaches; a window that would start in the trailing padding is left out.
 */
static int64_t side_overhang(const struct side *s) {
  const int64_t span = (s->kernel - 1) * s->dilation + 1, room = s->in + s->before + s->after - span;
  if (room < 0) return 0;
  const int64_t steps = (room + s->stride - 1) / s->stride;
  if (steps * s->stride >= s->in + s->before) return 0;
  return steps * s->stride > room ? steps * s->stride - room : 0;
}

static bool read_sides(const struct call *c, uint32_t n, struct side *sides) {
  const int64_t *strides, *dilations, *pads;
  const size_t ns = attr_ints(c, "strides", &strides), nd = attr_ints(c, "dilations", &dilations),
               np = attr_ints(c, "pads", &pads);
  char mode[16];
  attr_string(c, "auto_pad", mode, sizeof mode);
  if ((ns && ns != n) || (nd && nd != n) || (np && np != 2 * n)) return false;
  for (uint32_t i = 0; i < n; i++) {
    struct side *s = &sides[2 - n + i];
    s->stride = ns ? strides[i] : 1;
    s->dilation = nd ? dilations[i] : 1;
    s->before = np ? pads[i] : 0;
    s->after = np ? pads[n + i] : 0;
    if (!in_range(s->kernel, 1) || !in_range(s->stride, 1) || !in_range(s->dilation, 1) || !in_range(s->before, 0) ||
        !in_range(s->after, 0) || !side_auto_pad(s, mode))
      return false;
  }
  return true;
}

fusion_status call_window(const struct call *c, const struct value *v, const uint32_t kernel[2], struct window *w,
                          uint32_t overhang[2]) {
  struct shape in, out;
  const fusion_status status = call_spatial(c, v, &in);
  if (status != FUSION_OK) return status;
  struct side sides[2] = {{in.height, kernel[0], 1, 1, 0, 0}, {in.width, kernel[1], 1, 1, 0, 0}};
  if (!read_sides(c, v->dims.rank - 2, sides))
    return call_refuse(c, "use non-negative pads, and strides and dilations from 1 on",
                       "has a window that is not supported");
  for (int i = 0; i < 2; i++) {
    const int64_t extra = attr_int(c, "ceil_mode", 0) ? side_overhang(&sides[i]) : 0;
    overhang[i] = (uint32_t)extra;
    sides[i].after += extra;
  }
  *w = (struct window){.kernel_h = kernel[0],
                       .kernel_w = kernel[1],
                       .stride_h = (uint32_t)sides[0].stride,
                       .stride_w = (uint32_t)sides[1].stride,
                       .pad_top = (uint32_t)sides[0].before,
                       .pad_left = (uint32_t)sides[1].before,
                       .pad_bottom = (uint32_t)sides[0].after,
                       .pad_right = (uint32_t)sides[1].after,
                       .dilation_h = (uint32_t)sides[0].dilation,
                       .dilation_w = (uint32_t)sides[1].dilation};
  return window_apply(in, w, &out) ? FUSION_OK : call_malformed(c, "has a window larger than its padded input");
}

static fusion_status pool_kernel(const struct call *c, uint32_t rank, uint32_t kernel[2]) {
  const int64_t *given;
  const size_t count = attr_ints(c, "kernel_shape", &given);
  kernel[0] = kernel[1] = 1;
  if (count + 2 != rank) return call_malformed(c, "has a 'kernel_shape' that does not fit its input");
  for (size_t i = 0; i < count; i++) {
    if (!in_range(given[i], 1)) return call_malformed(c, "has a 'kernel_shape' out of range");
    kernel[2 - count + i] = (uint32_t)given[i];
  }
  return FUSION_OK;
}

/* The input with explicit zeros around it, so that they count in an average while an overhang does not. */
static fusion_status pad_node(struct call *c, struct window *w, const uint32_t overhang[2], uint32_t *node) {
  const struct shape in = c->im->g->nodes[*node].shape;
  const uint32_t bottom = w->pad_bottom - overhang[0], right = w->pad_right - overhang[1];
  const struct shape out = {in.channels, in.height + w->pad_top + bottom, in.width + w->pad_left + right};
  const uint64_t area = (uint64_t)out.height * out.width;
  if (area * out.channels > MODEL_MAX_TENSOR) return call_malformed(c, "has a tensor above the limit");
  struct gather_source *sources = mem_alloc(shape_size(out), sizeof *sources);
  if (!sources) return call_out_of_memory(c);
  for (size_t i = 0; i < shape_size(out); i++) {
    const size_t y = i % area / out.width - w->pad_top, x = i % out.width - w->pad_left;
    const bool inside = y < in.height && x < in.width; /* below 0 wraps around */
    sources[i].index = inside ? (uint32_t)((i / area * in.height + y) * in.width + x) : GATHER_ZERO;
  }
  const struct graph_gather_spec spec = {
      .name = "pad", .inputs = node, .input_count = 1, .shape = out, .sources = sources};
  const fusion_status status = call_added(c, graph_add_gather(c->im->g, &spec, node));
  mem_free(sources);
  w->pad_top = w->pad_left = 0;
  w->pad_bottom = overhang[0];
  w->pad_right = overhang[1];
  return status;
}

/* A window wholly inside the padding would have no value. */
static bool pads_below_kernel(const struct window *w) {
  const uint64_t h = (uint64_t)(w->kernel_h - 1) * w->dilation_h + 1,
                 v = (uint64_t)(w->kernel_w - 1) * w->dilation_w + 1;
  return w->pad_top < h && w->pad_bottom < h && w->pad_left < v && w->pad_right < v;
}

fusion_status op_pool(struct call *c) {
  struct value x = *c->in[0];
  struct shape in;
  struct window w;
  uint32_t kernel[2], overhang[2];
  const bool max = !strcmp(c->node->op_type, "MaxPool");
  fusion_status status;
  if (call_uses_output(c, 1)) return call_refuse(c, "drop the second output", "gives indices");
  TRY(call_spatial(c, &x, &in));
  TRY(pool_kernel(c, x.dims.rank, kernel));
  TRY(call_window(c, &x, kernel, &w, overhang));
  if (!pads_below_kernel(&w)) return call_refuse(c, "pad less than the kernel", "pads by its kernel's size or more");
  TRY(value_view(c, &x, in, &x.node));
  bool count_pad = !max && attr_int(c, "count_include_pad", 0) && (w.pad_top | w.pad_left | w.pad_bottom | w.pad_right);
  if (count_pad && (overhang[0] || overhang[1])) {
    TRY(pad_node(c, &w, overhang, &x.node));
    count_pad = false;
  }
  TRY(call_added(c, graph_add_pool(c->im->g, max ? GRAPH_MAXPOOL : GRAPH_AVGPOOL, x.node, w, &x.node)));
  call_name_node(c, x.node);
  struct graph_node *n = &c->im->g->nodes[x.node];
  n->count_pad = count_pad;
  if (x.dims.rank == 4) x.dims.d[2] = n->shape.height;
  x.dims.d[x.dims.rank - 1] = n->shape.width;
  TRY(call_set(c, 0, &x));
cleanup:
  return status;
}

fusion_status op_global_pool(struct call *c) {
  struct value x = *c->in[0];
  struct shape in;
  const enum graph_op op = !strcmp(c->node->op_type, "GlobalMaxPool") ? GRAPH_MAXPOOL : GRAPH_AVGPOOL;
  fusion_status status;
  TRY(call_spatial(c, &x, &in));
  TRY(value_view(c, &x, in, &x.node));
  TRY(call_added(c, graph_add_pool(c->im->g, op, x.node, window_make(in.height, in.width, 1), &x.node)));
  call_name_node(c, x.node);
  for (uint32_t k = 2; k < x.dims.rank; k++) x.dims.d[k] = 1;
  TRY(call_set(c, 0, &x));
cleanup:
  return status;
}
