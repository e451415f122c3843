/** Lowering of AVGPOOL: a sum whose divisor lies in the scale, in a truncation or in a layer of ones. */
#include "compile/lower_internal.h"

/** Taps of a window along one axis that lie inside, at output position `at`. */
static uint32_t taps_inside(uint32_t in, uint32_t at, uint32_t kernel, uint32_t stride, uint32_t before,
                            uint32_t dilation) {
  uint32_t count = 0;
  for (uint32_t k = 0; k < kernel; k++) {
    const int64_t pos = (int64_t)at * stride + (int64_t)k * dilation - before;
    count += pos >= 0 && pos < in;
  }
  return count;
}

static fusion_status append_reshape(struct lowering *l, uint32_t g, struct shape shape) {
  const uint32_t from = l->net->count - 1;
  struct network_node *d = lower_append(l, OP_GATHER, g, &from, 1);
  if (!d) return FUSION_E_MEMORY;
  d->shape = shape;
  d->gather = mem_alloc(shape_size(shape), sizeof *d->gather);
  if (!d->gather) return FUSION_E_MEMORY;
  for (uint32_t i = 0; i < shape_size(shape); i++) d->gather[i].index = i;
  return FUSION_OK;
}

/** Windows at the border that divide by fewer elements: every position gets its own factor. */
static fusion_status lower_uneven_average(struct lowering *l, uint32_t g) {
  const struct graph_node *n = &l->graph->nodes[g];
  const struct window *w = &n->window;
  const struct shape in = l->graph->nodes[n->inputs[0]].shape;
  const uint32_t size = (uint32_t)shape_size(n->shape), area = w->kernel_h * w->kernel_w;
  const struct shape flat = {.channels = size, .height = 1, .width = 1};
  float *factors = mem_alloc(size, sizeof *factors);
  fusion_status status = factors ? FUSION_OK : FUSION_E_MEMORY;
  for (uint32_t i = 0; factors && i < size; i++) {
    const uint32_t y = i / n->shape.width % n->shape.height, x = i % n->shape.width;
    const uint32_t taps = taps_inside(in.height, y, w->kernel_h, w->stride_h, w->pad_top, w->dilation_h) *
                          taps_inside(in.width, x, w->kernel_w, w->stride_w, w->pad_left, w->dilation_w);
    factors[i] = taps ? (float)area / (float)taps : 1;
  }
  if (status == FUSION_OK) status = append_reshape(l, g, flat);
  if (status == FUSION_OK) status = lower_factors(l, g, l->net->count - 1, flat, factors);
  mem_free(factors);
  if (status != FUSION_OK) return status;
  const uint32_t raw = l->net->count - 1;
  struct network_node *d = lower_append(l, OP_TRUNCATE, g, &raw, 1);
  if (!d) return FUSION_E_MEMORY;
  d->shape = flat;
  status = append_reshape(l, g, n->shape);
  return status == FUSION_OK ? lower_done(l, g) : status;
}

/** True when some reader ties this tensor's scale to another's: then the average's own scale cannot just be carried. */
static bool scale_is_tied(const struct lowering *l, uint32_t g) {
  for (uint32_t i = g + 1; i < l->graph->count; i++) {
    const struct graph_node *n = &l->graph->nodes[i];
    for (uint32_t k = 0; k < n->input_count; k++) {
      if (n->inputs[k] != g) continue;
      if (n->op == GRAPH_ADD || n->op == GRAPH_MUL || n->op == GRAPH_MATMUL || n->op == GRAPH_ACTIVATION ||
          (n->op == GRAPH_GATHER && n->input_count > 1))
        return true;
      const bool offset = n->op == GRAPH_AFFINE && lower_sign(n);
      const bool passes =
          n->op == GRAPH_GATHER || n->op == GRAPH_MAXPOOL || n->op == GRAPH_RELU || n->op == GRAPH_AVGPOOL || offset;
      if (passes && scale_is_tied(l, i)) return true;
    }
  }
  return false;
}

fusion_status lower_average(struct lowering *l, uint32_t g) {
  const struct graph_node *n = &l->graph->nodes[g];
  const struct window *w = &n->window;
  const bool padded = w->pad_top || w->pad_left || w->pad_bottom || w->pad_right;
  uint32_t from;
  fusion_status status = lower_clean(l, n->inputs[0], &from);
  if (status != FUSION_OK) return status;
  struct network_node *d = lower_append(l, OP_SUMPOOL, g, &from, 1);
  if (!d) return FUSION_E_MEMORY;
  d->window = n->window;
  d->sum = n->sum;
  const uint32_t sum = l->net->count - 1;
  const uint32_t area = w->kernel_h * w->kernel_w;
  const bool tied = !n->sum && scale_is_tied(l, g);
  if (n->sum || (tied && !padded && (area & (area - 1)) == 0))
    return lower_append(l, OP_TRUNCATE, g, &sum, 1) ? lower_done(l, g) : FUSION_E_MEMORY;
  if (padded && !n->count_pad) return lower_uneven_average(l, g);
  if (!tied) return lower_done(l, g);
  /* A layer of ones takes the divisor into its weights. */
  status = lower_factors(l, g, sum, n->shape, NULL);
  return status == FUSION_OK ? lower_done(l, g) : status;
}
