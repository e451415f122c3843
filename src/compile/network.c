/** What a lowered network owns, and what calibration tells it. */
#include <math.h>

#include "compile/network.h"

void network_free(struct network *n) {
  for (uint32_t i = 0; n->nodes && i < n->count; i++) {
    struct network_node *d = &n->nodes[i];
    mem_free(d->inputs);
    mem_free(d->weights);
    mem_free(d->bias);
    mem_free(d->gather);
    mem_free(d->low);
    mem_free(d->high);
    mem_free(d->mean);
    mem_free(d->factor);
    mem_free(d->thresholds);
  }
  mem_free(n->nodes);
  input_units_free(&n->input_units);
  *n = (struct network){0};
}

static fusion_status set_range(struct network_node *d, const struct network_ranges *r, uint32_t g, uint32_t channels) {
  d->low = mem_alloc(d->shape.channels, sizeof *d->low);
  d->high = mem_alloc(d->shape.channels, sizeof *d->high);
  d->mean = mem_alloc(d->shape.channels, sizeof *d->mean);
  if (!d->low || !d->high || !d->mean) return FUSION_E_MEMORY;
  /* A reshaped intermediate has other channels than its origin: each of its equal parts belongs to one of them. */
  for (uint32_t c = 0; c < d->shape.channels; c++) {
    const uint32_t from = (uint32_t)((uint64_t)c * channels / d->shape.channels);
    d->low[c] = d->rectified && r->low[g][from] < 0 ? 0 : r->low[g][from];
    d->high[c] = d->rectified && r->high[g][from] < 0 ? 0 : r->high[g][from];
    d->mean[c] = r->mean[g][from];
  }
  return FUSION_OK;
}

fusion_status network_set_ranges(struct network *n, const struct graph *graph, const struct network_ranges *ranges) {
  for (uint32_t i = 0; i < n->count; i++) {
    const uint32_t g = n->nodes[i].origin;
    const fusion_status status = set_range(&n->nodes[i], ranges, g, graph->nodes[g].shape.channels);
    if (status != FUSION_OK) return status;
  }
  return FUSION_OK;
}

/** A row of one weight: 1 or -1, as its sign is all that counts. */
static bool make_thresholds(struct network_node *d, uint32_t depth) {
  for (uint32_t o = 0; o < d->shape.channels; o++) {
    unsigned weights = 0;
    for (uint32_t k = 0; k < depth; k++) weights += d->weights[(size_t)o * depth + k] != 0;
    if (weights != 1) return false;
  }
  for (uint32_t o = 0; o < d->shape.channels; o++)
    for (uint32_t k = 0; k < depth; k++) {
      float *w = &d->weights[(size_t)o * depth + k];
      if (*w == 0) continue;
      d->bias[o] /= fabsf(*w);
      *w = *w > 0 ? 1 : -1;
    }
  return true;
}

fusion_status network_find_thresholds(struct network *n, uint32_t node) {
  struct network_node *d = &n->nodes[node];
  if (d->op != OP_LINEAR || d->window.kernel_h * d->window.kernel_w != 1) return FUSION_OK;
  if (!make_thresholds(d, n->nodes[d->inputs[0]].shape.channels / d->groups)) return FUSION_OK;
  d->thresholds = mem_alloc(d->shape.channels, sizeof *d->thresholds);
  if (!d->thresholds) return FUSION_E_MEMORY;
  for (uint32_t c = 0; c < d->shape.channels; c++) d->thresholds[c] = (struct threshold){-INFINITY, INFINITY};
  return FUSION_OK;
}

static void note_value(struct threshold *t, double at, bool includes, double v) {
  const bool above = includes ? v >= at : v > at;
  if (above)
    t->above = fmin(t->above, v);
  else
    t->below = fmax(t->below, v);
}

/** One of the first layer's rows. A weight of -1 reads x <= bias, else x >= -bias. */
static void set_threshold(struct network_node *d, uint32_t row, uint32_t depth, const float *input, size_t stride,
                          size_t samples) {
  const float *weights = d->weights + (size_t)row * depth;
  uint32_t feature = 0;
  while (weights[feature] == 0) feature++;
  const bool at_least = weights[feature] > 0;
  const double at = at_least ? -(double)d->bias[row] : (double)d->bias[row];
  feature += row / (d->shape.channels / d->groups) * depth;
  for (size_t s = 0; s < samples; s++)
    note_value(&d->thresholds[row], at, at_least, (double)input[s * stride + feature]);
}

void network_set_thresholds(struct network *n, const float *input, size_t samples) {
  const struct shape in = n->nodes[0].shape;
  if (in.height != 1 || in.width != 1) return;
  for (uint32_t i = 1; i < n->count; i++) {
    struct network_node *d = &n->nodes[i];
    if (!d->thresholds || d->inputs[0] != 0) continue;
    for (uint32_t c = 0; c < d->shape.channels; c++)
      set_threshold(d, c, in.channels / d->groups, input, in.channels, samples);
  }
}

double network_threshold_gap(const struct network *n) {
  double gap = INFINITY;
  for (uint32_t i = 1; i < n->count; i++) {
    const struct network_node *d = &n->nodes[i];
    for (uint32_t c = 0; d->thresholds && d->inputs[0] == 0 && c < d->shape.channels; c++)
      gap = fmin(gap, d->thresholds[c].above - d->thresholds[c].below);
  }
  return gap;
}

/* Comparisons, not fmax(): GCC 12 for ARM breaks down on a loop of fmax() and fabs() (in vect_transform_reduction). */
double network_node_magnitude(const struct network_node *d) {
  double most = 0;
  for (uint32_t c = 0; c < d->shape.channels; c++) {
    const double v = fmax(fabs((double)d->low[c]), fabs((double)d->high[c]));
    if (v > most) most = v;
  }
  return most;
}
