/** The float executor's layers, on a chunk of samples: tensors are [sample][channel][row][column]. */
#ifndef FUSION_GRAPH_FLOAT_LAYER_H
#define FUSION_GRAPH_FLOAT_LAYER_H

#include "graph/float_tile_kernels.h"
#include "graph/graph.h"

/** A LINEAR node made ready: weights in panels of tile.rows output channels, [group][panel][k][row], or none when the
 *  node has too few output channels a group and is computed directly. */
struct float_linear {
  const struct graph_node *node; /* borrowed */
  struct shape in;
  const struct float_tile_kernels *tile;
  float *panels; /* owned; NULL: direct */
};

/** FUSION_E_MEMORY. */
fusion_status float_linear_open(struct float_linear *l, const struct graph *g,
                                const struct graph_node *n) FUSION_MUST_CHECK;
void float_linear_close(struct float_linear *l);
/** Floats of scratch memory that a run needs. */
size_t float_linear_scratch(const struct float_linear *l);
void float_linear_run(const struct float_linear *l, float *out, const float *x, size_t samples, float *scratch);

/** Any other node; in[k] is its k-th input. `out` may be in[0] for RELU, AFFINE, ADD and MUL. */
void float_layer_run(const struct graph *g, const struct graph_node *n, float *out, const float *const *in,
                     size_t samples);

#endif
