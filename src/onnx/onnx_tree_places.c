/* TreeEnsemble of domain ai.onnx.ml, version 5: one operator, children and leaves by their places. */
#include <float.h>
#include <math.h>

#include "onnx/onnx_trees.h"

/* Of each of several values a node in the set's chain. */
struct set {
  const double *values;
  size_t count;
};

/* x in the set: one node for each of its values, each of which asks further where x is another. */
static void set_member(struct reading *r, uint32_t at, struct branch b, struct set set) {
  const uint32_t no = b.no;
  b.mode = MODE_EQ;
  for (size_t k = 0; k < set.count; k++) {
    const uint32_t next = k + 1 < set.count ? r->f.node_count++ : no;
    b.v = set.values[k];
    b.no = next;
    trees_set_branch(r, at, b);
    at = next;
  }
}

struct places {
  const int64_t *features, *yes, *no, *yes_leaf, *no_leaf, *roots, *targets;
  struct numbers modes, members; /* owned; members: of each set the values, then one that is no number */
  size_t count, root_count, leaf_count;
};

static fusion_status take_places(struct reading *r, struct places *q) {
  const struct call *c = r->c;
  const size_t n = attr_ints(c, "nodes_featureids", &q->features);
  fusion_status status;
  q->count = n;
  q->root_count = attr_ints(c, "tree_roots", &q->roots);
  q->leaf_count = attr_ints(c, "leaf_targetids", &q->targets);
  TRY(trees_numbers(c, "nodes_modes", &q->modes));
  TRY(trees_numbers(c, "membership_values", &q->members));
  TRY(trees_numbers(c, "nodes_splits", &r->split));
  TRY(trees_numbers(c, "leaf_weights", &r->weights));
  const bool fit =
      n && attr_ints(c, "nodes_truenodeids", &q->yes) == n && attr_ints(c, "nodes_falsenodeids", &q->no) == n &&
      attr_ints(c, "nodes_trueleafs", &q->yes_leaf) == n && attr_ints(c, "nodes_falseleafs", &q->no_leaf) == n &&
      q->modes.count == n && r->split.count == n && q->root_count && q->leaf_count &&
      r->weights.count == q->leaf_count && q->leaf_count <= TREES_NODES_MAX;
  if (!fit) status = call_malformed(c, "has attributes of different lengths");
cleanup:
  return status;
}

/* Leaves stand behind the branches. */
static uint32_t place_of(const struct places *q, int64_t at, bool leaf) {
  if (!trees_index_ok(at, leaf ? q->leaf_count : q->count)) return UINT32_MAX;
  return (uint32_t)at + (leaf ? (uint32_t)q->count : 0);
}

/* The next set of members, from *at on. */
static fusion_status next_set(const struct reading *r, const struct places *q, size_t *at, struct set *set) {
  *set = (struct set){.values = q->members.v ? q->members.v + *at : NULL};
  while (*at + set->count < q->members.count && !isnan(set->values[set->count])) {
    if (!(fabs(set->values[set->count]) <= (double)FLT_MAX))
      return call_malformed(r->c, "compares with a number that is not finite");
    set->count++;
  }
  *at += set->count + (*at + set->count < q->members.count);
  return set->count ? FUSION_OK : call_malformed(r->c, "lacks the members of a set");
}

static fusion_status read_place(struct reading *r, const struct places *q, uint32_t i, size_t *member) {
  const double mode = q->modes.v[i], v = r->split.v[i];
  if (!(mode >= 0 && mode <= MODE_MEMBER)) return call_malformed(r->c, "has an unknown mode of branch");
  const struct branch b = {
      .mode = (enum mode)mode,
      .feature = trees_index_ok(q->features[i], UINT32_MAX) ? (uint32_t)q->features[i] : UINT32_MAX,
      .yes = place_of(q, q->yes[i], q->yes_leaf[i] != 0),
      .no = place_of(q, q->no[i], q->no_leaf[i] != 0),
      .v = v};
  struct set set;
  if (b.mode == MODE_MEMBER) {
    const fusion_status status = next_set(r, q, member, &set);
    if (status == FUSION_OK) set_member(r, i, b, set);
    return status;
  }
  if (!(fabs(v) <= (double)FLT_MAX)) return call_malformed(r->c, "compares with a number that is not finite");
  trees_set_branch(r, i, b);
  return FUSION_OK;
}

static fusion_status read_places(struct reading *r, const struct places *q) {
  const uint32_t leaves = (uint32_t)q->count;
  size_t member = 0;
  fusion_status status;
  TRY(trees_open_nodes(r, q->count + q->leaf_count + q->members.count, q->root_count));
  r->f.node_count = (uint32_t)(q->count + q->leaf_count);
  for (uint32_t i = 0; i < q->leaf_count; i++) r->f.nodes[leaves + i] = (struct forest_node){.leaf = true, .row = i};
  for (uint32_t i = 0; i < q->count; i++) TRY(read_place(r, q, i, &member));
  for (size_t t = 0; t < q->root_count; t++) r->f.roots[r->f.trees++] = place_of(q, q->roots[t], false);
cleanup:
  return status;
}

fusion_status op_tree_ensemble(struct call *c) {
  struct reading r = {.c = c};
  struct value x = *c->in[0];
  struct places q = {0};
  fusion_status status;
  const int64_t way = attr_int(c, "aggregate_function", 1), transform = attr_int(c, "post_transform", 0);
  FAIL_IF(!trees_index_ok(transform, TRANSFORM_UNKNOWN), trees_refuse_transform(c));
  FAIL_IF(!trees_index_ok(way, WAY_UNKNOWN), trees_refuse_way(c));
  TRY(take_places(&r, &q));
  TRY(read_places(&r, &q));
  const double factor = trees_factor(&r, (enum way)way);
  TRY(trees_open_values(&r, q.leaf_count, attr_int(c, "n_targets", 1)));
  for (size_t i = 0; i < q.leaf_count; i++) {
    FAIL_IF(!trees_index_ok(q.targets[i], r.f.outputs), call_malformed(c, "gives a weight for no output"));
    r.f.values[i * r.f.outputs + (size_t)q.targets[i]] = (float)(r.weights.v[i] * factor);
    r.given[i * r.f.outputs + (size_t)q.targets[i]] = true;
  }
  TRY(trees_plant(&r, (enum way)way, &x));
  TRY(trees_add_transform(c, (enum transform)transform, &x));
  TRY(call_set(c, 0, &x));
cleanup:
  mem_free(q.modes.v);
  mem_free(q.members.v);
  trees_close(&r);
  return status;
}
