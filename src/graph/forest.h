/** Decision trees as layers of a graph: comparisons of features, what they make of each leaf's path, the leaves'
 * values.
 *
 *  What is public of a forest is its padded shape: how many trees, and how many decisions and leaves each of them has.
 *  Which feature a decision compares, with what, and what a leaf is worth are weights. A balanced forest is padded to
 *  full trees of one depth: then it is public, too, which decisions lead to which leaf, and that costs two parties
 *  nothing (a rearrangement and a sum). Other forests have as many decisions a tree as the largest, and paths are the
 *  weights of a layer with one group a tree.
 *
 *  One leaf of a tree is reached where no other is: so its value is a constant, the others' are what they differ by. */
#ifndef FUSION_GRAPH_FOREST_H
#define FUSION_GRAPH_FOREST_H

#include "graph/graph.h"

enum { FOREST_DEPTH_MAX = 64, FOREST_FULL_DEPTH_MAX = 12 };

struct forest_node {
  bool leaf;
  uint32_t row;       /* leaf: of the values */
  uint32_t feature;   /* below the input's size */
  float at;           /* finite */
  bool at_least;      /* the decision is x >= at; else x <= at */
  uint32_t hit, miss; /* where to go if it is true, if not */
};

struct forest {
  struct forest_node *nodes; /* owned */
  float *values;             /* owned: [rows][outputs] */
  float *base;               /* owned: [outputs] */
  uint32_t *roots;           /* owned: [trees] */
  uint32_t node_count, rows, trees, outputs;
};
void forest_free(struct forest *f);

/** The padded shape. */
struct forest_shape {
  uint32_t trees, depth, decisions; /* decisions of a tree; leaves are one more */
  bool full;                        /* full trees of this depth */
};

/** Adds the layers, from a row of features [features][1][1] to [outputs][1][1]. On failure *why says what is wrong, and
 *  the status is FUSION_E_MODEL; or FUSION_E_MEMORY. Nodes may come from a hostile file: children that are no nodes,
 *  cycles and shared children that make a tree too large are refused. */
fusion_status forest_add(struct graph *g, uint32_t features, const struct forest *f, struct forest_shape *shape,
                         uint32_t *index, const char **why) FUSION_MUST_CHECK;

#endif
