/** Which tensors must not share a scale. Additions and concatenations give what they join one scale; a product's scale
 * is at least that of its factors' product. So where a factor joins the product, as in x + x * x, values of x above
 * some size leave the product no scale, and smaller ones leave x a coarse one. */
#include <math.h>

#include "compile/lower_internal.h"
#include "compile/quantise_internal.h"

/** Largest magnitude of graph node g in calibration. A comparison, for GCC 12: see network_node_magnitude. */
static double reach_of(const struct lowering *l, uint32_t g) {
  double reach = 0;
  for (uint32_t c = 0; c < l->graph->nodes[g].shape.channels; c++) {
    const double v = fmax(fabs((double)l->ranges->low[g][c]), fabs((double)l->ranges->high[g][c]));
    if (v > reach) reach = v;
  }
  return reach;
}

/** Whether a product has a factor in this class of tensors. */
static bool has_factor(const struct network *net, const uint32_t *classes, uint32_t class) {
  for (uint32_t i = 0; i < net->count; i++) {
    const struct network_node *d = &net->nodes[i];
    for (uint32_t k = 0; node_operator(d)->scale == SCALE_PRODUCT && k < d->input_count; k++)
      if (classes[d->inputs[k]] == class) return true;
  }
  return false;
}

fusion_status lower_stays_apart(const struct lowering *l, struct lower_term small, struct lower_term large,
                                bool *apart) {
  static const double much = 4;
  const uint32_t count = l->net->count;
  *apart = false;
  if (l->apart == PART_NONE || !(reach_of(l, small.graph) * much <= reach_of(l, large.graph))) return FUSION_OK;
  uint32_t *classes = mem_alloc(count, sizeof *classes), *roots = mem_alloc(count, sizeof *roots);
  const fusion_status status = classes && roots ? quantise_classes(l->net, classes, roots) : FUSION_E_MEMORY;
  if (status == FUSION_OK)
    *apart = classes[small.node] != classes[large.node] &&
             (l->apart == PART_ALL || has_factor(l->net, classes, classes[small.node]));
  mem_free(classes);
  mem_free(roots);
  return status;
}
