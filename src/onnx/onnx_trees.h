/** Tree ensembles on their way from the file's attributes to a forest (onnx_trees.c, onnx_tree_places.c). */
#ifndef FUSION_ONNX_ONNX_TREES_H
#define FUSION_ONNX_ONNX_TREES_H

#include "graph/forest.h"
#include "onnx/onnx_ops.h"

enum { TREES_NODES_MAX = 1 << 20 };

/** What a node does, by the numbers of version 5. */
enum mode { MODE_LEQ, MODE_LT, MODE_GTE, MODE_GT, MODE_EQ, MODE_NEQ, MODE_MEMBER, MODE_LEAF, MODE_UNKNOWN };

/** An attribute's numbers, from a list of floats or of integers, or a tensor. */
struct numbers {
  double *v; /* owned */
  size_t count;
};

/** The file's trees before they are a forest. */
struct reading {
  struct call *c;
  struct forest f;
  bool *given; /* owned: [rows][outputs]: the leaf gives the output a value */
  uint32_t capacity;
  struct numbers split, weights, base;
};

/** A node that goes to `yes` where the mode's comparison of the feature with v is true. */
struct branch {
  enum mode mode;
  uint32_t feature, yes, no;
  double v;
};

/** How the trees' answers become one, by the numbers of version 5. */
enum way { WAY_AVERAGE, WAY_SUM, WAY_MIN, WAY_MAX, WAY_UNKNOWN };

enum transform { TRANSFORM_NONE, TRANSFORM_SOFTMAX, TRANSFORM_LOGISTIC, TRANSFORM_UNKNOWN };

fusion_status trees_numbers(const struct call *c, const char *name, struct numbers *out);
bool trees_index_ok(int64_t v, size_t count);
/** Room for twice as many nodes, as x = v is two decisions. */
fusion_status trees_open_nodes(struct reading *r, size_t nodes, size_t roots);
fusion_status trees_open_values(struct reading *r, size_t rows, int64_t outputs);
/** Writes a branch at `at`, and appends its second decision where it needs one. */
void trees_set_branch(struct reading *r, uint32_t at, struct branch b);
/** What leaves' weights are multiplied by. */
double trees_factor(const struct reading *r, enum way way);
/** The forest's layers behind the row of features x, which becomes the answer. */
fusion_status trees_plant(struct reading *r, enum way way, struct value *x);
fusion_status trees_add_transform(struct call *c, enum transform t, struct value *x);
fusion_status trees_refuse_transform(const struct call *c);
fusion_status trees_refuse_way(const struct call *c);
void trees_close(struct reading *r);

#endif
