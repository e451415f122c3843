/* Tree ensembles of domain ai.onnx.ml: TreeEnsembleClassifier and TreeEnsembleRegressor (versions 1 and 3), and what
 * they share with TreeEnsemble (onnx_tree_places.c). All become a forest (graph/forest.h). Missing values cannot occur:
 * clients refuse inputs that are no numbers, so the attributes that say where such go have no effect. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "onnx/onnx_trees.h"

enum { OUTPUTS_MAX = 1 << 12 };

/* A tensor's doubles, which constants do not keep; false when it holds none in the usual places. */
static bool doubles_of(const Onnx__TensorProto *t, struct numbers *out) {
  const bool raw = t->has_raw_data && t->raw_data.len % sizeof(double) == 0;
  if (t->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE || (!raw && !t->n_double_data)) return false;
  out->count = raw ? t->raw_data.len / sizeof(double) : t->n_double_data;
  out->v = mem_alloc(out->count, sizeof *out->v);
  if (out->v && out->count)
    memcpy(out->v, raw ? (const void *)t->raw_data.data : t->double_data, out->count * sizeof *out->v);
  return true;
}

fusion_status trees_numbers(const struct call *c, const char *name, struct numbers *out) {
  Onnx__AttributeProto *a = (Onnx__AttributeProto *)(uintptr_t)attr_find(c, name);
  struct tensor *t = NULL;
  fusion_status status = FUSION_OK;
  if (!a) return FUSION_OK;
  if (a->t && doubles_of(a->t, out)) return out->v ? FUSION_OK : call_out_of_memory(c);
  if (a->t) TRY(tensor_from_proto(c->im, a->t, &t));
  out->count = t ? dims_size(&t->dims) : a->n_floats ? a->n_floats : a->n_ints;
  out->v = mem_alloc(out->count, sizeof *out->v);
  FAIL_IF(!out->v, call_out_of_memory(c));
  for (size_t i = 0; i < out->count; i++)
    out->v[i] = t ? tensor_get(t, i) : a->n_floats ? (double)a->floats[i] : (double)a->ints[i];
cleanup:
  tensor_free(t);
  return status;
}

/* From the list, else from the tensor of doubles that later versions have beside it. */
static fusion_status either_of(const struct call *c, const char *name, const char *tensor, struct numbers *out) {
  const fusion_status status = trees_numbers(c, name, out);
  return status == FUSION_OK && !out->v ? trees_numbers(c, tensor, out) : status;
}

void trees_close(struct reading *r) {
  forest_free(&r->f);
  mem_free(r->given);
  mem_free(r->split.v);
  mem_free(r->weights.v);
  mem_free(r->base.v);
}

/* The single-precision number that compares with single-precision data as v does. */
static float limit_of(double v, bool at_least) {
  const float f = (float)v;
  if (at_least) return (double)f < v ? nextafterf(f, INFINITY) : f;
  return (double)f > v ? nextafterf(f, -INFINITY) : f;
}

/* Writes it at `at`; x = v is two decisions, the second of which is appended. */
void trees_set_branch(struct reading *r, uint32_t at, struct branch b) {
  const bool equal = b.mode == MODE_EQ || b.mode == MODE_NEQ;
  const bool at_least = b.mode == MODE_LT || b.mode == MODE_GTE;
  /* Of x < v the complement is x >= v; of x > v, x <= v; of x != v, x = v. */
  const bool turned = b.mode == MODE_LT || b.mode == MODE_GT || b.mode == MODE_NEQ;
  struct forest_node n = {.feature = b.feature,
                          .at = limit_of(b.v, at_least),
                          .at_least = at_least,
                          .hit = turned ? b.no : b.yes,
                          .miss = turned ? b.yes : b.no};
  if (equal) {
    const uint32_t second = r->f.node_count++;
    r->f.nodes[second] = n;
    r->f.nodes[second].at = limit_of(b.v, true);
    r->f.nodes[second].at_least = true;
    n.hit = second;
  }
  r->f.nodes[at] = n;
}

fusion_status trees_open_nodes(struct reading *r, size_t nodes, size_t roots) {
  if (nodes > TREES_NODES_MAX || roots > TREES_NODES_MAX)
    return call_refuse(r->c, "prune it", "has more than 2^20 nodes");
  r->capacity = (uint32_t)(2 * nodes);
  r->f.nodes = mem_alloc(r->capacity, sizeof *r->f.nodes);
  r->f.roots = mem_alloc(roots, sizeof *r->f.roots);
  return r->f.nodes && r->f.roots ? FUSION_OK : call_out_of_memory(r->c);
}

fusion_status trees_open_values(struct reading *r, size_t rows, int64_t outputs) {
  size_t count;
  if (outputs < 1 || outputs > OUTPUTS_MAX) return call_refuse(r->c, "split it", "has no outputs, or more than 4096");
  if (!size_mul(rows, (size_t)outputs, &count) || count > MODEL_MAX_TENSOR)
    return call_refuse(r->c, "prune it", "has too many leaves");
  r->f.rows = (uint32_t)rows;
  r->f.outputs = (uint32_t)outputs;
  r->f.values = mem_alloc(count, sizeof *r->f.values);
  r->f.base = mem_alloc(r->f.outputs, sizeof *r->f.base);
  r->given = mem_alloc(count, sizeof *r->given);
  return r->f.values && r->f.base && r->given ? FUSION_OK : call_out_of_memory(r->c);
}

bool trees_index_ok(int64_t v, size_t count) {
  return v >= 0 && (uint64_t)v < count;
}

/* ---- Versions 1 and 3: nodes by the numbers of tree and node, leaves' weights by the same ---- */

struct key {
  int64_t tree, node;
  uint32_t at;
};

static int compare_keys(const void *a, const void *b) {
  const struct key *x = a, *y = b;
  if (x->tree != y->tree) return x->tree < y->tree ? -1 : 1;
  return (x->node > y->node) - (x->node < y->node);
}

static uint32_t find_node(const struct key *keys, size_t count, int64_t tree, int64_t node) {
  const struct key wanted = {.tree = tree, .node = node};
  const struct key *k = bsearch(&wanted, keys, count, sizeof *keys, compare_keys);
  return k ? k->at : UINT32_MAX;
}

static enum mode mode_of(const Onnx__AttributeProto *modes, size_t i) {
  static const char *const names[] = {"BRANCH_LEQ", "BRANCH_LT",  "BRANCH_GTE",    "BRANCH_GT",
                                      "BRANCH_EQ",  "BRANCH_NEQ", "BRANCH_MEMBER", "LEAF"};
  for (size_t k = 0; k < sizeof names / sizeof *names; k++)
    if (modes->strings[i].len == strlen(names[k]) && !memcmp(modes->strings[i].data, names[k], strlen(names[k])))
      return (enum mode)k;
  return MODE_UNKNOWN;
}

/* The node attributes of versions 1 and 3. */
struct columns {
  const int64_t *trees, *nodes, *features, *yes, *no;
  const Onnx__AttributeProto *modes;
  size_t count;
};

static fusion_status take_columns(struct reading *r, struct columns *q) {
  const struct call *c = r->c;
  const size_t n = attr_ints(c, "nodes_nodeids", &q->nodes);
  fusion_status status;
  q->count = n;
  q->modes = attr_find(c, "nodes_modes");
  TRY(either_of(c, "nodes_values", "nodes_values_as_tensor", &r->split));
  const bool fit = n && attr_ints(c, "nodes_treeids", &q->trees) == n &&
                   attr_ints(c, "nodes_featureids", &q->features) == n &&
                   attr_ints(c, "nodes_truenodeids", &q->yes) == n && attr_ints(c, "nodes_falsenodeids", &q->no) == n &&
                   q->modes && q->modes->n_strings == n && r->split.count == n;
  if (!fit) status = call_malformed(c, "has node attributes of different lengths");
cleanup:
  return status;
}

static fusion_status read_node(struct reading *r, const struct columns *q, const struct key *keys, size_t i,
                               bool *child) {
  const enum mode mode = mode_of(q->modes, i);
  if (mode == MODE_LEAF) {
    r->f.nodes[i] = (struct forest_node){.leaf = true, .row = (uint32_t)i};
    return FUSION_OK;
  }
  if (mode > MODE_NEQ)
    return call_refuse(r->c, "export it with comparisons", "has a mode of branch that is not supported");
  const struct branch b = {
      .mode = mode,
      .feature = trees_index_ok(q->features[i], UINT32_MAX) ? (uint32_t)q->features[i] : UINT32_MAX,
      .yes = find_node(keys, q->count, q->trees[i], q->yes[i]),
      .no = find_node(keys, q->count, q->trees[i], q->no[i]),
      .v = r->split.v[i]};
  if (b.yes == UINT32_MAX || b.no == UINT32_MAX) return call_malformed(r->c, "has a branch that leads nowhere");
  if (!(fabs(b.v) <= (double)FLT_MAX)) return call_malformed(r->c, "compares with a number that is not finite");
  child[b.yes] = child[b.no] = true;
  trees_set_branch(r, (uint32_t)i, b);
  return FUSION_OK;
}

/* The one node of each tree that is no other's child. */
static fusion_status find_roots(struct reading *r, const struct key *keys, size_t count, const bool *child) {
  for (size_t i = 0; i < count; i++) {
    if (child[keys[i].at]) continue;
    const bool again = r->f.trees && keys[i].tree == keys[r->f.roots[r->f.trees - 1]].tree;
    if (again) return call_malformed(r->c, "has a tree with two roots");
    r->f.roots[r->f.trees++] = (uint32_t)i;
  }
  for (uint32_t t = 0; t < r->f.trees; t++) r->f.roots[t] = keys[r->f.roots[t]].at;
  return r->f.trees ? FUSION_OK : call_malformed(r->c, "has no root");
}

static fusion_status read_nodes(struct reading *r, struct key **keys, struct columns *q) {
  fusion_status status;
  bool *child = NULL;
  TRY(take_columns(r, q));
  TRY(trees_open_nodes(r, q->count, q->count));
  *keys = mem_alloc(q->count, sizeof **keys);
  child = mem_alloc(q->count, sizeof *child);
  FAIL_IF(!*keys || !child, call_out_of_memory(r->c));
  for (size_t i = 0; i < q->count; i++) (*keys)[i] = (struct key){q->trees[i], q->nodes[i], (uint32_t)i};
  qsort(*keys, q->count, sizeof **keys, compare_keys);
  r->f.node_count = (uint32_t)q->count;
  for (size_t i = 0; i < q->count; i++) TRY(read_node(r, q, *keys, i, child));
  TRY(find_roots(r, *keys, q->count, child));
cleanup:
  mem_free(child);
  return status;
}

/* What leaves are worth: attributes `prefix`_treeids, _nodeids, _ids, _weights. */
struct worth {
  const int64_t *trees, *nodes, *outputs;
  size_t count;
  double factor;
};

static fusion_status take_worth(struct reading *r, const char *prefix, struct worth *w) {
  char name[5][40];
  static const char *const parts[] = {"treeids", "nodeids", "ids", "weights", "weights_as_tensor"};
  fusion_status status;
  for (size_t i = 0; i < 5; i++) snprintf(name[i], sizeof name[i], "%s_%s", prefix, parts[i]);
  w->count = attr_ints(r->c, name[0], &w->trees);
  TRY(either_of(r->c, name[3], name[4], &r->weights));
  TRY(either_of(r->c, "base_values", "base_values_as_tensor", &r->base));
  if (attr_ints(r->c, name[1], &w->nodes) != w->count || attr_ints(r->c, name[2], &w->outputs) != w->count ||
      r->weights.count != w->count || !w->count)
    status = call_malformed(r->c, "has leaf attributes of different lengths");
cleanup:
  return status;
}

/* `only`: all weights are for the one output, whatever they say. */
static fusion_status read_worth(struct reading *r, const struct worth *w, const struct key *keys, size_t count,
                                bool only) {
  for (size_t i = 0; i < w->count; i++) {
    const uint32_t node = find_node(keys, count, w->trees[i], w->nodes[i]);
    const int64_t output = only ? 0 : w->outputs[i];
    if (node == UINT32_MAX || !r->f.nodes[node].leaf || !trees_index_ok(output, r->f.outputs))
      return call_malformed(r->c, "gives a weight to what is no leaf, or for no output");
    const size_t at = (size_t)node * r->f.outputs + (size_t)output;
    r->f.values[at] += (float)(r->weights.v[i] * w->factor);
    r->given[at] = true;
  }
  return FUSION_OK;
}

static fusion_status read_base(struct reading *r) {
  if (r->base.count > 1 && r->base.count != r->f.outputs)
    return call_malformed(r->c, "has another number of base values than of outputs");
  for (size_t i = 0; i < r->base.count; i++) r->f.base[i] = (float)r->base.v[i];
  if (r->base.count == 1 && r->f.outputs > 1)
    return call_malformed(r->c, "has another number of base values than of outputs");
  return FUSION_OK;
}

/* ---- What follows the trees ---- */

static fusion_status plant_all(struct reading *r, struct value *x) {
  struct call *c = r->c;
  struct forest_shape shape;
  const char *why = NULL;
  uint32_t features;
  fusion_status status;
  TRY(ml_features(c, x, &features));
  TRY(value_view(c, x, (struct shape){features, 1, 1}, &x->node));
  status = forest_add(c->im->g, x->node, &r->f, &shape, &x->node, &why);
  if (status == FUSION_E_MODEL && why) status = call_refuse(c, "prune it or export it again", "%s", why);
  FAIL_IF(status == FUSION_E_MEMORY, call_out_of_memory(c));
  TRY(status);
  call_name_node(c, x->node);
  x->dims.d[x->dims.rank - 1] = r->f.outputs;
  x->integer = false;
  if (shape.full)
    snprintf(c->im->g->note, sizeof c->im->g->note, "%u trees are padded to full ones of depth %u, which is public",
             shape.trees, shape.depth);
  else
    snprintf(c->im->g->note, sizeof c->im->g->note, "%u trees are padded to %u decisions each, which is public",
             shape.trees, shape.decisions);
cleanup:
  return status;
}

static enum transform transform_of(const struct call *c) {
  static const char *const names[] = {"NONE", "SOFTMAX", "LOGISTIC"};
  char text[16];
  attr_string(c, "post_transform", text, sizeof text);
  if (!text[0]) return TRANSFORM_NONE;
  for (int i = 0; i < 3; i++)
    if (!strcmp(text, names[i])) return (enum transform)i;
  return TRANSFORM_UNKNOWN;
}

fusion_status trees_refuse_transform(const struct call *c) {
  return call_refuse(c, "use NONE, SOFTMAX or LOGISTIC", "has a post_transform that is not supported");
}

fusion_status trees_add_transform(struct call *c, enum transform t, struct value *x) {
  if (t == TRANSFORM_NONE) return FUSION_OK;
  const enum graph_op op = t == TRANSFORM_SOFTMAX ? GRAPH_SOFTMAX : GRAPH_SIGMOID;
  return call_added(c, graph_add_unary(c->im->g, op, x->node, &x->node));
}

static enum way way_of(const struct call *c) {
  static const char *const names[] = {"AVERAGE", "SUM", "MIN", "MAX"};
  char text[16];
  attr_string(c, "aggregate_function", text, sizeof text);
  if (!text[0]) return WAY_SUM;
  for (int i = 0; i < WAY_UNKNOWN; i++)
    if (!strcmp(text, names[i])) return (enum way)i;
  return WAY_UNKNOWN;
}

/* What leaves' weights are multiplied by: the least is minus the largest of the negatives. */
double trees_factor(const struct reading *r, enum way w) {
  return w == WAY_AVERAGE ? 1 / (double)r->f.trees : w == WAY_MIN ? -1 : 1;
}

/* Which tree a row of values belongs to. */
struct owners {
  uint32_t *tree; /* owned: [rows]; UINT32_MAX before */
  uint32_t walked;
};

/* Marks the leaves below a node; false when another tree's are among them, or the walk is too long. */
static bool mark_tree(const struct reading *r, uint32_t node, uint32_t tree, uint32_t depth, struct owners *o) {
  if (node >= r->f.node_count || depth > FOREST_DEPTH_MAX || ++o->walked > TREES_NODES_MAX) return false;
  const struct forest_node *n = &r->f.nodes[node];
  if (!n->leaf) return mark_tree(r, n->hit, tree, depth + 1, o) && mark_tree(r, n->miss, tree, depth + 1, o);
  const bool mine = o->tree[n->row] == UINT32_MAX || o->tree[n->row] == tree;
  o->tree[n->row] = tree;
  return mine;
}

/* Fills the values of trees apart: [rows][outputs * trees]. Of several outputs a tree counts where the leaf that is
 * reached gives the output a value; else it has the least of the output's, which is none among others. The first output
 * whose value may come from no tree at all; UINT32_MAX when there is none. */
static uint32_t part_values(struct reading *r, const float *values, const bool *given, uint32_t outputs,
                            const uint32_t *owner, bool *always) {
  const uint32_t trees = r->f.trees;
  for (uint32_t o = 0; o < outputs; o++) {
    float least = INFINITY;
    bool any = false;
    for (uint32_t t = 0; t < trees; t++) always[t] = true;
    for (uint32_t i = 0; i < r->f.rows; i++) {
      if (owner[i] == UINT32_MAX) continue;
      const bool is = outputs == 1 || given[(size_t)i * outputs + o];
      const float v = values[(size_t)i * outputs + o];
      always[owner[i]] = always[owner[i]] && is;
      if (is && v < least) least = v;
    }
    for (uint32_t t = 0; t < trees; t++) any = any || always[t];
    if (!any) return o;
    for (uint32_t i = 0; i < r->f.rows; i++) {
      if (owner[i] == UINT32_MAX) continue;
      const bool is = outputs == 1 || given[(size_t)i * outputs + o];
      const size_t at = ((size_t)i * outputs + o) * trees + owner[i];
      r->f.values[at] = is ? values[(size_t)i * outputs + o] : least;
    }
  }
  return UINT32_MAX;
}

/* Gives every tree outputs of its own. */
static fusion_status part_trees(struct reading *r) {
  const uint32_t trees = r->f.trees, rows = r->f.rows, outputs = r->f.outputs;
  float *values = r->f.values, *base = r->f.base;
  bool *given = r->given, *always = mem_alloc(trees, sizeof *always);
  struct owners o = {.tree = mem_alloc(rows, sizeof *o.tree)};
  fusion_status status;
  r->f.values = r->f.base = NULL;
  r->given = NULL;
  FAIL_IF(!o.tree || !always, call_out_of_memory(r->c));
  TRY(trees_open_values(r, rows, (int64_t)outputs * trees));
  for (uint32_t i = 0; i < rows; i++) o.tree[i] = UINT32_MAX;
  for (uint32_t t = 0; t < trees; t++)
    FAIL_IF(!mark_tree(r, r->f.roots[t], t, 0, &o),
            call_malformed(r->c, "has trees that share leaves, or are too deep"));
  const uint32_t bare = part_values(r, values, given, outputs, o.tree, always);
  if (bare != UINT32_MAX)
    status = call_refuse(r->c, "give each output a tree all of whose leaves have a value for it",
                         "takes the least or the largest of trees that may give output %u no value", bare);
cleanup:
  mem_free(o.tree);
  mem_free(always);
  mem_free(given);
  mem_free(values);
  mem_free(base);
  return status;
}

/* sign * x + base, for each output. */
static fusion_status add_base(struct call *c, uint32_t outputs, float sign, const float *base, struct value *x) {
  float *scale = mem_alloc(outputs, sizeof *scale);
  if (!scale) return call_out_of_memory(c);
  for (uint32_t o = 0; o < outputs; o++) scale[o] = sign;
  const fusion_status status = call_added(c, graph_add_affine(c->im->g, x->node, scale, base, &x->node));
  mem_free(scale);
  return status;
}

/* The least or the largest of the trees' answers, plus the base value. */
static fusion_status plant_one(struct reading *r, enum way way, struct value *x) {
  struct call *c = r->c;
  const uint32_t outputs = r->f.outputs, trees = r->f.trees;
  float *base = mem_alloc(outputs, sizeof *base);
  fusion_status status;
  FAIL_IF(!base, call_out_of_memory(c));
  memcpy(base, r->f.base, outputs * sizeof *base);
  TRY(part_trees(r));
  TRY(plant_all(r, x));
  TRY(value_view(c, x, (struct shape){outputs, 1, trees}, &x->node));
  if (trees > 1)
    TRY(call_added(c, graph_add_pool(c->im->g, GRAPH_MAXPOOL, x->node,
                                     (struct window){1, trees, 1, 1, 0, 0, 0, 0, 1, 1}, &x->node)));
  x->dims.d[x->dims.rank - 1] = outputs;
  TRY(add_base(c, outputs, way == WAY_MIN ? -1 : 1, base, x));
cleanup:
  mem_free(base);
  return status;
}

fusion_status trees_plant(struct reading *r, enum way way, struct value *x) {
  return way == WAY_MIN || way == WAY_MAX ? plant_one(r, way, x) : plant_all(r, x);
}

fusion_status trees_refuse_way(const struct call *c) {
  return call_malformed(c, "puts its trees together in an unknown way");
}

fusion_status op_tree_regressor(struct call *c) {
  struct reading r = {.c = c};
  struct value x = *c->in[0];
  struct columns q;
  struct worth w = {0};
  struct key *keys = NULL;
  fusion_status status;
  const enum transform transform = transform_of(c);
  const enum way way = way_of(c);
  FAIL_IF(transform == TRANSFORM_UNKNOWN, trees_refuse_transform(c));
  FAIL_IF(way == WAY_UNKNOWN, trees_refuse_way(c));
  TRY(read_nodes(&r, &keys, &q));
  TRY(take_worth(&r, "target", &w));
  w.factor = trees_factor(&r, way);
  TRY(trees_open_values(&r, q.count, attr_int(c, "n_targets", 1)));
  TRY(read_worth(&r, &w, keys, q.count, false));
  TRY(read_base(&r));
  TRY(trees_plant(&r, way, &x));
  TRY(trees_add_transform(c, transform, &x));
  TRY(call_set(c, 0, &x));
cleanup:
  mem_free(keys);
  trees_close(&r);
  return status;
}

/* Two classes and weights for one alone: s is the score of the second. */
static bool has_one_score(const struct worth *w, size_t classes) {
  for (size_t i = 0; i < w->count; i++)
    if (w->outputs[i] != w->outputs[0]) return false;
  return classes == 2 && w->outputs[0] == 0;
}

/* Both scores of s: (0, s) for what the logistic function follows, (1 - s, s) if no weight is negative, else (-s, s).
 */
static fusion_status spread_score(struct call *c, const struct numbers *weights, bool logistic, struct value *x) {
  static const float scale[2] = {-1, 1};
  bool positive = true;
  for (size_t i = 0; i < weights->count; i++) positive = positive && weights->v[i] >= 0;
  const float bias[2] = {positive ? 1.0F : 0.0F, 0};
  x->dims.d[x->dims.rank - 1] = 2;
  if (!logistic || positive) return call_added(c, graph_add_dense(c->im->g, x->node, 2, scale, bias, &x->node));
  const struct gather_source sources[2] = {{.index = GATHER_ZERO}, {0}};
  const uint32_t from = x->node;
  const struct graph_gather_spec spec = {
      .name = "scores", .inputs = &from, .input_count = 1, .shape = {2, 1, 1}, .sources = sources};
  return call_added(c, graph_add_gather(c->im->g, &spec, &x->node));
}

static fusion_status set_classes(struct call *c, struct value *x, enum transform transform) {
  fusion_status status;
  if (call_uses_output(c, 0)) TRY(ml_classifier_label(c, *x));
  TRY(trees_add_transform(c, transform, x));
  TRY(call_set(c, 1, x));
cleanup:
  return status;
}

/* Labels that the node names. */
static size_t class_count(const struct call *c) {
  const int64_t *ints;
  const Onnx__AttributeProto *texts = attr_find(c, "classlabels_strings");
  return attr_ints(c, "classlabels_int64s", &ints) + (texts ? texts->n_strings : 0);
}

fusion_status op_tree_classifier(struct call *c) {
  struct reading r = {.c = c};
  struct value x = *c->in[0];
  struct columns q;
  struct worth w = {0};
  struct key *keys = NULL;
  enum transform transform = transform_of(c);
  const size_t classes = class_count(c);
  fusion_status status;
  FAIL_IF(transform == TRANSFORM_UNKNOWN, trees_refuse_transform(c));
  TRY(ml_take_labels(c, "classlabels_int64s", "classlabels_strings", 0));
  TRY(read_nodes(&r, &keys, &q));
  TRY(take_worth(&r, "class", &w));
  w.factor = 1;
  const bool one = has_one_score(&w, classes);
  TRY(trees_open_values(&r, q.count, one ? 1 : (int64_t)classes));
  TRY(read_worth(&r, &w, keys, q.count, one));
  /* Of two base values the second belongs to the one score. */
  if (one && r.base.count == 2) r.base.v[0] = r.base.v[--r.base.count];
  TRY(read_base(&r));
  TRY(plant_all(&r, &x));
  if (one) TRY(spread_score(c, &r.weights, transform == TRANSFORM_LOGISTIC, &x));
  /* softmax(0, s) are the logistic function's two values; nothing else follows one score. */
  if (one) transform = c->im->g->nodes[x.node].op == GRAPH_GATHER ? TRANSFORM_SOFTMAX : TRANSFORM_NONE;
  TRY(set_classes(c, &x, transform));
cleanup:
  mem_free(keys);
  trees_close(&r);
  return status;
}
