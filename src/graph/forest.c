#include "graph/forest.h"

#include <float.h>

enum {
  NODES_MAX = 1 << 20,       /* decisions of all trees together, padded */
  PATH_WEIGHTS_MAX = 1 << 26 /* of the layer of paths */
};
/* A decision costs more than twice as much where paths are a layer: so much may the padding to full trees add. */
enum { FULL_FACTOR = 3 };

void forest_free(struct forest *f) {
  mem_free(f->nodes);
  mem_free(f->values);
  mem_free(f->base);
  mem_free(f->roots);
  *f = (struct forest){0};
}

/* The layers under construction. */
struct planter {
  const struct forest *f;
  struct forest_shape shape;
  uint32_t features;
  float *choice, *at;        /* [trees * decisions][features], [trees * decisions]: 1 or -1, and the bias */
  struct gather_source *way; /* full: [trees * decisions][depth]: decisions of a leaf's path, or their complements */
  float *path, *missing;     /* else: [trees * decisions][decisions], [trees * decisions]: less the mismatches */
  float *values, *base;      /* [outputs][trees * decisions], [outputs] */
  /* Of the tree at hand: */
  uint32_t tree, placed, leaves;
  uint32_t trail[FOREST_DEPTH_MAX]; /* decisions on the way, and whether they were hit */
  bool hit[FOREST_DEPTH_MAX];
  uint32_t last; /* row of the leaf that is left out */
};

static size_t decisions_of(const struct planter *p) {
  return (size_t)p->shape.trees * p->shape.decisions;
}

/* ---- The shape ---- */

struct survey {
  const struct forest *f;
  uint32_t features, decisions, depth, walked;
  const char *wrong;
};

static void visit(struct survey *s, uint32_t node, uint32_t depth) {
  if (s->wrong) return;
  if (node >= s->f->node_count) s->wrong = "has a branch that leads nowhere";
  if (depth > FOREST_DEPTH_MAX) s->wrong = "has a tree of more than 64 levels, or a loop";
  if (++s->walked > NODES_MAX) s->wrong = "has more than 2^20 nodes";
  if (s->wrong) return;
  const struct forest_node *n = &s->f->nodes[node];
  if (n->leaf) {
    if (n->row >= s->f->rows) s->wrong = "has a leaf without values";
    if (depth > s->depth) s->depth = depth;
    return;
  }
  s->decisions++;
  if (n->feature >= s->features) s->wrong = "compares a feature that its input does not have";
  if (!(n->at >= -FLT_MAX && n->at <= FLT_MAX)) s->wrong = "compares with a number that is not finite";
  visit(s, n->hit, depth + 1);
  visit(s, n->miss, depth + 1);
}

static const char *survey_shape(struct forest_shape *shape, const struct forest *f, uint32_t features) {
  struct survey s = {.f = f, .features = features};
  uint32_t most = 0;
  for (uint32_t t = 0; t < f->trees && !s.wrong; t++) {
    s.decisions = 0;
    visit(&s, f->roots[t], 0);
    most = s.decisions > most ? s.decisions : most;
  }
  if (s.wrong) return s.wrong;
  if (!most) return "has no decisions";
  *shape = (struct forest_shape){.trees = f->trees, .depth = s.depth, .decisions = most};
  if (s.depth <= FOREST_FULL_DEPTH_MAX && (UINT64_C(1) << s.depth) - 1 <= (uint64_t)FULL_FACTOR * most) {
    shape->full = true;
    shape->decisions = (uint32_t)((1u << s.depth) - 1);
  }
  const uint64_t all = (uint64_t)shape->trees * shape->decisions;
  if (all > NODES_MAX || (!shape->full && all * shape->decisions > PATH_WEIGHTS_MAX))
    return "is too large when its trees are padded to one shape";
  return NULL;
}

/* ---- Decisions, paths, values ---- */

static void set_decision(struct planter *p, uint32_t place, const struct forest_node *n) {
  const size_t at = (size_t)p->tree * p->shape.decisions + place;
  p->choice[at * p->features + n->feature] = n->at_least ? 1 : -1;
  p->at[at] = n->at_least ? -n->at : n->at;
}

/* A decision that leads to one leaf either way repeats another, whose threshold the input tells apart anyway. */
static const struct forest_node *any_decision(const struct forest *f, uint32_t tree) {
  const struct forest_node *root = &f->nodes[f->roots[tree]];
  for (uint32_t t = 0; root->leaf && t < f->trees; t++) root = &f->nodes[f->roots[t]];
  return root;
}

/* The leaf's value; the path is p->trail[0 .. depth - 1]. */
static void set_leaf(struct planter *p, const struct forest_node *n, uint32_t leaf, uint32_t depth) {
  const size_t n_all = decisions_of(p), at = (size_t)p->tree * p->shape.decisions + leaf;
  const struct forest *f = p->f;
  for (uint32_t o = 0; o < f->outputs; o++)
    p->values[o * n_all + at] =
        f->values[(size_t)n->row * f->outputs + o] - f->values[(size_t)p->last * f->outputs + o];
  for (uint32_t k = 0; k < depth; k++) {
    if (p->shape.full) {
      const uint32_t first = p->tree * p->shape.decisions;
      p->way[at * p->shape.depth + k] = (struct gather_source){p->hit[k] ? 0 : 1, first + p->trail[k]};
      continue;
    }
    p->path[at * p->shape.decisions + p->trail[k]] = p->hit[k] ? 1 : -1;
    p->missing[at] -= p->hit[k] ? 1.0F : 0.0F;
  }
}

/* A full tree, its decisions in the order of a heap; the last leaf is left out. */
static void place_full(struct planter *p, uint32_t node, uint32_t place, uint32_t depth) {
  const struct forest_node *n = &p->f->nodes[node];
  const uint32_t decisions = p->shape.decisions;
  if (depth == p->shape.depth) {
    if (place < 2 * decisions) set_leaf(p, n, place - decisions, depth);
    return;
  }
  set_decision(p, place, n->leaf ? any_decision(p->f, p->tree) : n);
  p->trail[depth] = place;
  p->hit[depth] = true;
  place_full(p, n->leaf ? node : n->hit, 2 * place + 1, depth + 1);
  p->hit[depth] = false;
  place_full(p, n->leaf ? node : n->miss, 2 * place + 2, depth + 1);
}

/* Decisions and leaves in the order of a walk; the leaf that no hit leads to is left out. */
static void place_walk(struct planter *p, uint32_t node, uint32_t depth, bool any_hit) {
  const struct forest_node *n = &p->f->nodes[node];
  if (n->leaf) {
    if (any_hit) set_leaf(p, n, p->leaves++, depth);
    return;
  }
  p->trail[depth] = p->placed;
  set_decision(p, p->placed++, n);
  p->hit[depth] = true;
  place_walk(p, n->hit, depth + 1, true);
  p->hit[depth] = false;
  place_walk(p, n->miss, depth + 1, any_hit);
}

/* Where the fewest hits lead. */
static uint32_t last_row(const struct forest *f, uint32_t tree) {
  uint32_t node = f->roots[tree];
  while (!f->nodes[node].leaf) node = f->nodes[node].miss;
  return f->nodes[node].row;
}

static void place_tree(struct planter *p, uint32_t tree) {
  const struct forest *f = p->f;
  p->tree = tree;
  p->placed = p->leaves = 0;
  p->last = last_row(f, tree);
  for (uint32_t o = 0; o < f->outputs; o++) p->base[o] += f->values[(size_t)p->last * f->outputs + o];
  if (p->shape.full) {
    place_full(p, f->roots[tree], 0, 0);
    return;
  }
  place_walk(p, f->roots[tree], 0, false);
  for (; p->placed < p->shape.decisions; p->placed++) set_decision(p, p->placed, any_decision(f, tree));
  /* No path leads to these. */
  for (; p->leaves < p->shape.decisions; p->leaves++) p->missing[(size_t)tree * p->shape.decisions + p->leaves] = -1;
}

static fusion_status planter_open(struct planter *p) {
  const size_t all = decisions_of(p);
  size_t choice;
  if (!size_mul(all, p->features, &choice) || choice > MODEL_MAX_TENSOR) return FUSION_E_MODEL;
  p->choice = mem_alloc(choice, sizeof *p->choice);
  p->at = mem_alloc(all, sizeof *p->at);
  p->values = mem_alloc(all * p->f->outputs, sizeof *p->values);
  p->base = mem_alloc(p->f->outputs, sizeof *p->base);
  if (!p->choice || !p->at || !p->values || !p->base) return FUSION_E_MEMORY;
  memcpy(p->base, p->f->base, p->f->outputs * sizeof *p->base);
  if (p->shape.full) {
    p->way = mem_alloc(all * p->shape.depth, sizeof *p->way);
    return p->way ? FUSION_OK : FUSION_E_MEMORY;
  }
  p->path = mem_alloc(all * p->shape.decisions, sizeof *p->path);
  p->missing = mem_alloc(all, sizeof *p->missing);
  return p->path && p->missing ? FUSION_OK : FUSION_E_MEMORY;
}

static void planter_close(struct planter *p) {
  mem_free(p->choice);
  mem_free(p->at);
  mem_free(p->way);
  mem_free(p->path);
  mem_free(p->missing);
  mem_free(p->values);
  mem_free(p->base);
}

/* ---- The layers ---- */

static fusion_status add_layer(struct graph *g, const char *name, uint32_t groups, uint32_t out, float **weights,
                               const float *bias, uint32_t *at) {
  const struct graph_linear_spec spec = {.name = name,
                                         .input = *at,
                                         .out_channels = out,
                                         .groups = groups,
                                         .window = window_make(1, 1, 1),
                                         .taken = *weights,
                                         .bias = bias};
  const fusion_status status = graph_add_linear(g, &spec, at);
  if (status == FUSION_OK) *weights = NULL;
  return status;
}

static fusion_status add_affine(struct graph *g, uint32_t from, float scale, float bias, uint32_t *at) {
  const uint32_t channels = g->nodes[from].shape.channels;
  float *s = mem_alloc(channels, sizeof *s), *b = mem_alloc(channels, sizeof *b);
  fusion_status status = s && b ? FUSION_OK : FUSION_E_MEMORY;
  for (uint32_t c = 0; status == FUSION_OK && c < channels; c++) {
    s[c] = scale;
    b[c] = bias;
  }
  if (status == FUSION_OK) status = graph_add_affine(g, from, s, b, at);
  mem_free(s);
  mem_free(b);
  return status;
}

/* A leaf is reached where all decisions of its path, or their complements, are true: where their average is 1. */
static fusion_status add_full_paths(struct graph *g, const struct planter *p, uint32_t *at) {
  const uint32_t depth = p->shape.depth, all = (uint32_t)decisions_of(p);
  const float short_of_one = -(1 - 0.25F / (float)depth); /* half a decision and a half would do */
  uint32_t both[2] = {*at, 0};
  fusion_status status;
  TRY(add_affine(g, *at, -1, 1, &both[1]));
  const struct graph_gather_spec spec = {
      .name = "paths", .inputs = both, .input_count = 2, .shape = {all, 1, depth}, .sources = p->way};
  TRY(graph_add_gather(g, &spec, at));
  TRY(graph_add_pool(g, GRAPH_AVGPOOL, *at, (struct window){1, depth, 1, 1, 0, 0, 0, 0, 1, 1}, at));
  TRY(add_affine(g, *at, 1, short_of_one, at));
  TRY(graph_add_unary(g, GRAPH_COMPARE, *at, at));
cleanup:
  return status;
}

static fusion_status add_layers(struct graph *g, struct planter *p, uint32_t *at) {
  const uint32_t all = (uint32_t)decisions_of(p);
  fusion_status status;
  TRY(add_layer(g, "decisions", 1, all, &p->choice, p->at, at));
  TRY(graph_add_unary(g, GRAPH_COMPARE, *at, at));
  if (p->shape.full && p->shape.depth > 1) TRY(add_full_paths(g, p, at));
  if (!p->shape.full) {
    TRY(add_layer(g, "paths", p->shape.trees, all, &p->path, p->missing, at));
    TRY(graph_add_unary(g, GRAPH_COMPARE, *at, at));
  }
  TRY(add_layer(g, "leaves", 1, p->f->outputs, &p->values, p->base, at));
cleanup:
  return status;
}

fusion_status forest_add(struct graph *g, uint32_t features, const struct forest *f, struct forest_shape *shape,
                         uint32_t *index, const char **why) {
  const struct shape in = g->nodes[features].shape;
  struct planter p = {.f = f, .features = in.channels};
  fusion_status status;
  *why = in.height == 1 && in.width == 1 ? survey_shape(&p.shape, f, p.features) : "works on more than a row";
  if (*why) return FUSION_E_MODEL;
  status = planter_open(&p);
  if (status == FUSION_E_MODEL) *why = "is too large when its trees are padded to one shape";
  for (uint32_t t = 0; status == FUSION_OK && t < f->trees; t++) place_tree(&p, t);
  *index = features;
  if (status == FUSION_OK) status = add_layers(g, &p, index);
  if (status == FUSION_E_MODEL && !*why) *why = "is too large when its trees are padded to one shape";
  *shape = p.shape;
  planter_close(&p);
  return status;
}
