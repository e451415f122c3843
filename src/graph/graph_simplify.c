/* Rewriting a graph into fewer and cheaper nodes of the same meaning. All rules are exact in real arithmetic; folded
 * weights are computed in double and rounded once. Rules run over the nodes in order until none applies:
 *   - AFFINE folds into the LINEAR before it, or into the one behind it (its bias only where no zero padding meets it);
 *   - AFFINE after AFFINE, GATHER after GATHER, RELU of what cannot be negative, and identities disappear;
 *   - AFFINE moves through AVGPOOL, MAXPOOL (positive scales) and GATHER where that brings it to a LINEAR;
 *   - AFFINE without a bias moves from a MATMUL to what it multiplies from the left;
 *   - zero padding moves into the window behind it. */
#include "graph/graph.h"

struct simplifier {
  struct graph *g;
  uint32_t *uses;  /* how many inputs name the node (the output counts once more) */
  uint32_t *alias; /* the node that stands for it now: itself, or an earlier one */
  bool changed;
};

static struct graph_node *node_at(const struct simplifier *s, uint32_t i) {
  return &s->g->nodes[i];
}

static struct graph_node *input_of(const struct simplifier *s, const struct graph_node *n) {
  return node_at(s, n->inputs[0]);
}

static size_t area_of(struct shape s) {
  return (size_t)s.height * s.width;
}

static bool has_padding(const struct window *w) {
  return w->pad_top || w->pad_left || w->pad_bottom || w->pad_right;
}

static bool has_bias(const struct graph_node *n) {
  for (uint32_t i = 0; n->bias && i < n->shape.channels; i++) {
    if (n->bias[i] > 0 || n->bias[i] < 0) return true;
  }
  return false;
}

/* The node is used no more: what it used is used once less. */
static void release(struct simplifier *s, uint32_t i) {
  while (--s->uses[i] == 0 && node_at(s, i)->input_count) {
    const struct graph_node *n = node_at(s, i);
    for (uint32_t k = 1; k < n->input_count; k++) release(s, n->inputs[k]);
    i = n->inputs[0];
  }
}

static void set_input(struct simplifier *s, struct graph_node *n, uint32_t to) {
  const uint32_t from = n->inputs[0];
  s->uses[to]++;
  n->inputs[0] = to;
  release(s, from);
  s->changed = true;
}

/* Node i is the same as its own (first) input j, or as what became of it. */
static void set_alias(struct simplifier *s, uint32_t i, uint32_t j) {
  const uint32_t uses = s->uses[i];
  s->uses[j] += uses;
  s->alias[i] = j;
  s->uses[i] = 1;
  release(s, i);
  s->changed = true;
}

static bool sole_use(const struct simplifier *s, uint32_t i) {
  return s->uses[i] == 1;
}

static float *zeros(size_t count) {
  return mem_alloc(count, sizeof(float));
}

/* y = scale * (W x + b) + bias. */
static fusion_status fold_behind_linear(struct simplifier *s, uint32_t i) {
  struct graph_node *a = node_at(s, i), *l = input_of(s, a);
  if (!l->bias && a->bias) l->bias = zeros(l->shape.channels);
  if (!l->bias && a->bias) return FUSION_E_MEMORY;
  const size_t fan = (size_t)input_of(s, l)->shape.channels / l->groups * l->window.kernel_h * l->window.kernel_w;
  for (size_t o = 0; o < l->shape.channels; o++) {
    const double scale = (double)a->weights[o];
    for (size_t k = 0; k < fan; k++) l->weights[o * fan + k] = (float)(scale * (double)l->weights[o * fan + k]);
    if (l->bias) l->bias[o] = (float)(scale * (double)l->bias[o] + (a->bias ? (double)a->bias[o] : 0));
  }
  set_alias(s, i, a->inputs[0]);
  return FUSION_OK;
}

/* y = W (scale * x + bias) + b. */
static fusion_status fold_before_linear(struct simplifier *s, struct graph_node *l) {
  const struct graph_node *a = input_of(s, l);
  const size_t taps = (size_t)l->window.kernel_h * l->window.kernel_w;
  const size_t in_group = a->shape.channels / l->groups, out_group = l->shape.channels / l->groups;
  if (!l->bias && a->bias) l->bias = zeros(l->shape.channels);
  if (!l->bias && a->bias) return FUSION_E_MEMORY;
  for (size_t o = 0; o < l->shape.channels; o++) {
    double bias = l->bias ? (double)l->bias[o] : 0;
    for (size_t k = 0; k < in_group; k++) {
      const size_t channel = o / out_group * in_group + k;
      float *w = l->weights + (o * in_group + k) * taps;
      for (size_t t = 0; t < taps; t++) {
        if (a->bias) bias += (double)w[t] * (double)a->bias[channel];
        w[t] = (float)((double)w[t] * (double)a->weights[channel]);
      }
    }
    if (l->bias) l->bias[o] = (float)bias;
  }
  set_input(s, l, a->inputs[0]);
  return FUSION_OK;
}

static fusion_status merge_affine(struct simplifier *s, struct graph_node *outer) {
  const struct graph_node *inner = input_of(s, outer);
  if (!outer->bias && inner->bias) outer->bias = zeros(outer->shape.channels);
  if (!outer->bias && inner->bias) return FUSION_E_MEMORY;
  for (size_t c = 0; c < outer->shape.channels; c++) {
    if (inner->bias)
      outer->bias[c] = (float)((double)outer->weights[c] * (double)inner->bias[c] + (double)outer->bias[c]);
    outer->weights[c] *= inner->weights[c];
  }
  set_input(s, outer, inner->inputs[0]);
  return FUSION_OK;
}

/* Nodes i (below) and j = the one consumer of i change places, names and arrays included; inputs stay. */
static void swap_nodes(struct simplifier *s, uint32_t i, uint32_t j) {
  struct graph_node *lower = node_at(s, i), *upper = node_at(s, j), kept = *lower;
  uint32_t *const lower_inputs = lower->inputs, *const upper_inputs = upper->inputs;
  *lower = *upper;
  *upper = kept;
  lower->inputs = lower_inputs;
  upper->inputs = upper_inputs;
  s->changed = true;
}

/* One value for each source channel, from values for the channels of a GATHER's output; false when they disagree or
 * when an element takes from nowhere. */
static bool values_behind_gather(const struct graph_node *gather, struct shape from, const float *v, float *out) {
  const size_t size = shape_size(gather->shape), area = area_of(gather->shape), from_area = area_of(from);
  bool *seen = mem_alloc(from.channels, sizeof *seen);
  bool ok = seen != NULL;
  for (size_t i = 0; i < size && ok; i++) {
    ok = gather->gather[i].index != GATHER_ZERO;
    const size_t channel = ok ? gather->gather[i].index / from_area : 0;
    const float value = v ? v[i / area] : 0;
    if (ok && seen[channel]) ok = out[channel] >= value && out[channel] <= value;
    if (ok) {
      seen[channel] = true;
      out[channel] = value;
    }
  }
  mem_free(seen);
  return ok;
}

/* LINEAR, GATHER, AFFINE to LINEAR, AFFINE, GATHER when the channels allow. */
static fusion_status affine_below_gather(struct simplifier *s, uint32_t i) {
  struct graph_node *a = node_at(s, i), *g = input_of(s, a);
  const struct shape from = input_of(s, g)->shape;
  float *scale = zeros(from.channels), *bias = zeros(from.channels);
  if (!scale || !bias) {
    mem_free(scale);
    mem_free(bias);
    return FUSION_E_MEMORY;
  }
  if (!values_behind_gather(g, from, a->weights, scale) || !values_behind_gather(g, from, a->bias, bias)) {
    mem_free(scale);
    mem_free(bias);
    return FUSION_OK;
  }
  mem_free(a->weights);
  mem_free(a->bias);
  a->weights = scale;
  a->bias = bias;
  a->shape = from;
  swap_nodes(s, a->inputs[0], i);
  return FUSION_OK;
}

/* One value for each channel of a GATHER's output from those of its source; `zero` where it takes from nowhere. */
static bool values_through_gather(const struct graph_node *gather, struct shape from, const float *v, float *out) {
  const size_t area = area_of(gather->shape), from_area = area_of(from);
  for (size_t i = 0; i < shape_size(gather->shape); i++) {
    const uint32_t index = gather->gather[i].index;
    if (index == GATHER_ZERO) return false;
    const float value = v ? v[index / from_area] : 0;
    if (i % area && (out[i / area] > value || out[i / area] < value)) return false;
    out[i / area] = value;
  }
  return true;
}

/* AFFINE, GATHER to GATHER, AFFINE; j is the GATHER. */
static fusion_status affine_above_gather(struct simplifier *s, uint32_t j) {
  struct graph_node *g = node_at(s, j), *a = input_of(s, g);
  float *scale = zeros(g->shape.channels), *bias = zeros(g->shape.channels);
  const bool memory = scale && bias;
  if (!memory || !values_through_gather(g, a->shape, a->weights, scale) ||
      !values_through_gather(g, a->shape, a->bias, bias)) {
    mem_free(scale);
    mem_free(bias);
    return memory ? FUSION_OK : FUSION_E_MEMORY;
  }
  mem_free(a->weights);
  mem_free(a->bias);
  a->weights = scale;
  a->bias = bias;
  a->shape = g->shape;
  swap_nodes(s, g->inputs[0], j);
  return FUSION_OK;
}

static bool positive_scales(const struct graph_node *a) {
  for (uint32_t c = 0; c < a->shape.channels; c++) {
    if (!(a->weights[c] > 0)) return false;
  }
  return true;
}

/* AFFINE and pooling commute. */
static bool pool_commutes(const struct graph_node *pool, const struct graph_node *affine) {
  if (pool->op == GRAPH_MAXPOOL) return positive_scales(affine);
  if (pool->sum && has_bias(affine)) return false;
  return pool->op == GRAPH_AVGPOOL && (!pool->count_pad || !has_padding(&pool->window) || !has_bias(affine));
}

static bool is_identity_affine(const struct graph_node *a) {
  for (uint32_t c = 0; c < a->shape.channels; c++) {
    if (a->weights[c] < 1 || a->weights[c] > 1) return false;
  }
  return !has_bias(a);
}

/* MATMUL, AFFINE to AFFINE, MATMUL: the left one's rows take the channels' factors. Node i is the AFFINE. */
static void affine_before_matmul(struct simplifier *s, uint32_t i) {
  struct graph_node *const a = node_at(s, i), *const m = input_of(s, a);
  const uint32_t at = a->inputs[0], left = m->inputs[0];
  swap_nodes(s, at, i); /* now m is the AFFINE, a the MATMUL */
  uint32_t *const both = m->inputs, *const one = a->inputs;
  one[0] = left;
  both[0] = at;
  m->inputs = one;
  m->input_count = 1;
  m->shape = node_at(s, left)->shape;
  a->inputs = both;
  a->input_count = 2;
}

/* Which channels of its input a GATHER of one input takes from. */
static bool *channels_taken(const struct graph_node *gather, struct shape from) {
  bool *taken = mem_alloc(from.channels, sizeof *taken);
  for (size_t i = 0; taken && i < shape_size(gather->shape); i++)
    if (gather->gather[i].index != GATHER_ZERO) taken[gather->gather[i].index / area_of(from)] = true;
  return taken;
}

/* Another reader of `linear` than node `self` takes one of these channels. */
static bool others_take(const struct simplifier *s, uint32_t linear, uint32_t self, const bool *mine) {
  const struct shape from = node_at(s, linear)->shape;
  if (s->uses[linear] == 0) return true;
  uint32_t found = 0;
  for (uint32_t i = linear + 1; i < s->g->count; i++) {
    const struct graph_node *n = node_at(s, i);
    if (!s->uses[i] || s->alias[i] != i) continue;
    for (uint32_t k = 0; k < n->input_count; k++) {
      uint32_t to = n->inputs[k];
      while (s->alias[to] != to) to = s->alias[to];
      if (to != linear) continue;
      found++;
      if (i == self) continue;
      if (n->op != GRAPH_GATHER || n->input_count != 1) return true;
      for (size_t e = 0; e < shape_size(n->shape); e++)
        if (n->gather[e].index != GATHER_ZERO && mine[n->gather[e].index / area_of(from)]) return true;
    }
  }
  return found != s->uses[linear]; /* the network's output is a reader, too */
}

/* LINEAR, GATHER, AFFINE where other GATHERs read other channels of the LINEAR: the rows take the factors. */
static fusion_status affine_into_slice(struct simplifier *s, uint32_t i) {
  struct graph_node *a = node_at(s, i), *g = input_of(s, a), *l = input_of(s, g);
  const size_t fan = (size_t)input_of(s, l)->shape.channels / l->groups * l->window.kernel_h * l->window.kernel_w;
  float *scale = zeros(l->shape.channels), *bias = zeros(l->shape.channels);
  bool *mine = channels_taken(g, l->shape);
  fusion_status status = FUSION_OK;
  if (!l->bias && a->bias) l->bias = zeros(l->shape.channels);
  FAIL_IF(!scale || !bias || !mine || (a->bias && !l->bias), FUSION_E_MEMORY);
  if (others_take(s, g->inputs[0], a->inputs[0], mine)) goto cleanup;
  if (!values_behind_gather(g, l->shape, a->weights, scale)) goto cleanup;
  if (!values_behind_gather(g, l->shape, a->bias, bias)) goto cleanup;
  for (size_t o = 0; o < l->shape.channels; o++) {
    if (!mine[o]) continue;
    for (size_t k = 0; k < fan; k++)
      l->weights[o * fan + k] = (float)((double)scale[o] * (double)l->weights[o * fan + k]);
    if (l->bias) l->bias[o] = (float)((double)scale[o] * (double)l->bias[o] + (double)bias[o]);
  }
  set_alias(s, i, a->inputs[0]);
cleanup:
  mem_free(scale);
  mem_free(bias);
  mem_free(mine);
  return status;
}

/* The node is LINEAR and nothing else uses it. */
static bool lone_linear(const struct simplifier *s, uint32_t i) {
  return node_at(s, i)->op == GRAPH_LINEAR && sole_use(s, i);
}

static fusion_status simplify_affine(struct simplifier *s, uint32_t i) {
  struct graph_node *a = node_at(s, i), *in = input_of(s, a);
  if (is_identity_affine(a)) {
    set_alias(s, i, a->inputs[0]);
    return FUSION_OK;
  }
  if (lone_linear(s, a->inputs[0])) return fold_behind_linear(s, i);
  if (in->op == GRAPH_AFFINE) return merge_affine(s, a);
  if (!sole_use(s, a->inputs[0])) return FUSION_OK;
  if (in->op == GRAPH_GATHER && in->input_count == 1 && lone_linear(s, in->inputs[0])) return affine_below_gather(s, i);
  if (in->op == GRAPH_GATHER && in->input_count == 1 && input_of(s, in)->op == GRAPH_LINEAR)
    return affine_into_slice(s, i);
  if (in->op == GRAPH_MATMUL && !has_bias(a)) affine_before_matmul(s, i);
  if (in->op == GRAPH_AVGPOOL && lone_linear(s, in->inputs[0]) && pool_commutes(in, a)) {
    a->shape = input_of(s, in)->shape;
    swap_nodes(s, a->inputs[0], i);
  }
  return FUSION_OK;
}

static fusion_status simplify_linear(struct simplifier *s, struct graph_node *l) {
  const struct graph_node *in = input_of(s, l);
  if (in->op == GRAPH_AFFINE && (!has_padding(&l->window) || !has_bias(in))) return fold_before_linear(s, l);
  return FUSION_OK;
}

/* Padding of a GATHER that does nothing else: the input sits in zeros. */
static bool pad_of(const struct simplifier *s, const struct graph_node *g, struct window *pad) {
  if (g->op != GRAPH_GATHER || g->input_count != 1) return false;
  const struct shape in = input_of(s, g)->shape, out = g->shape;
  if (in.channels != out.channels || out.height < in.height || out.width < in.width) return false;
  const size_t size = shape_size(out), area = area_of(out);
  size_t first = 0;
  while (first < area && g->gather[first].index == GATHER_ZERO) first++;
  const size_t top = first / out.width, left = first % out.width;
  if (first == area || top + in.height > out.height || left + in.width > out.width) return false;
  for (size_t i = 0; i < size; i++) {
    const size_t y = i % area / out.width - top, x = i % out.width - left; /* below 0 wraps around */
    const bool inside = y < in.height && x < in.width;
    if (g->gather[i].index != (inside ? (i / area * in.height + y) * in.width + x : GATHER_ZERO)) return false;
  }
  *pad = (struct window){.pad_top = (uint32_t)top,
                         .pad_left = (uint32_t)left,
                         .pad_bottom = out.height - in.height - (uint32_t)top,
                         .pad_right = out.width - in.width - (uint32_t)left};
  return has_padding(pad);
}

static bool never_negative(const struct simplifier *s, const struct graph_node *n, int depth) {
  if (n->op == GRAPH_RELU || n->op == GRAPH_COMPARE || (n->op == GRAPH_QUANTISE && n->low == 0)) return true;
  if (depth == 0 || (n->op != GRAPH_MAXPOOL && n->op != GRAPH_AVGPOOL && n->op != GRAPH_GATHER && n->op != GRAPH_ADD))
    return false;
  for (uint32_t k = 0; k < n->input_count; k++) {
    if (!never_negative(s, node_at(s, s->alias[n->inputs[k]]), depth - 1)) return false;
  }
  return true;
}

enum { LOOK_BACK = 4 };

/* The values lie on the grid and in the range of QUANTISE node q already. */
static bool on_grid(const struct simplifier *s, const struct graph_node *n, const struct graph_node *q, int depth) {
  if (n->op == GRAPH_QUANTISE)
    return n->step >= q->step && n->step <= q->step && n->low >= q->low && n->high <= q->high;
  if (depth == 0 || (n->op != GRAPH_MAXPOOL && n->op != GRAPH_GATHER && n->op != GRAPH_RELU)) return false;
  for (uint32_t k = 0; k < n->input_count; k++) {
    if (!on_grid(s, node_at(s, s->alias[n->inputs[k]]), q, depth - 1)) return false;
  }
  return true;
}

/* Zero padding goes into the window behind it, where a zero counts as the window's own padding does. */
static void absorb_pad(struct simplifier *s, struct graph_node *n) {
  struct window pad, *w = &n->window;
  const struct graph_node *g = input_of(s, n);
  if (!pad_of(s, g, &pad)) return;
  const bool small = pad.pad_top < w->kernel_h && pad.pad_left < w->kernel_w && pad.pad_bottom < w->kernel_h &&
                     pad.pad_right < w->kernel_w && !has_padding(w);
  if (n->op == GRAPH_MAXPOOL && (!small || !never_negative(s, input_of(s, g), LOOK_BACK))) return;
  if (n->op == GRAPH_AVGPOOL && (!small || n->sum)) return;
  struct window wider = *w;
  wider.pad_top += pad.pad_top;
  wider.pad_left += pad.pad_left;
  wider.pad_bottom += pad.pad_bottom;
  wider.pad_right += pad.pad_right;
  struct shape out;
  if (!window_apply(input_of(s, g)->shape, &wider, &out)) return;
  n->window = wider;
  if (n->op == GRAPH_AVGPOOL) n->count_pad = true;
  set_input(s, n, g->inputs[0]);
}

static fusion_status simplify_pool(struct simplifier *s, uint32_t j) {
  struct graph_node *p = node_at(s, j), *a = input_of(s, p);
  if (a->op == GRAPH_AFFINE && sole_use(s, p->inputs[0]) && pool_commutes(p, a)) {
    a->shape = p->shape;
    swap_nodes(s, p->inputs[0], j);
    /* The pool now sits below and works on the AFFINE's former input. */
  }
  return FUSION_OK;
}

/* The inputs of a GATHER and of the GATHERs it reads, in one list. */
struct flat_inputs {
  uint32_t *node;   /* [count] */
  uint32_t *number; /* [count]: place in the merged list, UINT32_MAX while unused */
  uint32_t *first;  /* [inputs]: where the inputs of each begin */
  uint32_t count;
};

static void flat_free(struct flat_inputs *f) {
  mem_free(f->node);
  mem_free(f->number);
  mem_free(f->first);
}

static bool flat_inputs_of(const struct simplifier *s, const struct graph_node *g, size_t total,
                           struct flat_inputs *f) {
  f->node = mem_alloc(total, sizeof *f->node);
  f->number = mem_alloc(total, sizeof *f->number);
  f->first = mem_alloc(g->input_count, sizeof *f->first);
  if (!f->node || !f->number || !f->first) return false;
  for (uint32_t k = 0; k < g->input_count; k++) {
    const struct graph_node *in = node_at(s, g->inputs[k]);
    f->first[k] = f->count;
    for (uint32_t j = 0; in->op == GRAPH_GATHER && j < in->input_count; j++) f->node[f->count++] = in->inputs[j];
    if (in->op != GRAPH_GATHER) f->node[f->count++] = g->inputs[k];
  }
  memset(f->number, 0xff, f->count * sizeof *f->number);
  return true;
}

/* The place of flat input k in `merged`, which holds each node once. */
static uint32_t flat_number(struct flat_inputs *f, uint32_t k, uint32_t *merged, uint32_t *count) {
  if (f->number[k] != UINT32_MAX) return f->number[k];
  uint32_t at = 0;
  while (at < *count && merged[at] != f->node[k]) at++;
  if (at == *count) merged[(*count)++] = f->node[k];
  return f->number[k] = at;
}

/* GATHER of GATHERs: each element is fetched from where the inner one had it; inputs that give nothing are dropped. */
static fusion_status merge_gather(struct simplifier *s, struct graph_node *g) {
  struct flat_inputs f = {0};
  size_t total = 0;
  bool nested = false;
  for (uint32_t k = 0; k < g->input_count; k++) {
    const struct graph_node *in = node_at(s, g->inputs[k]);
    nested = nested || in->op == GRAPH_GATHER;
    total += in->op == GRAPH_GATHER ? in->input_count : 1;
  }
  if (!nested || total > MODEL_MAX_NODES) return FUSION_OK;
  uint32_t *merged = mem_alloc(total, sizeof *merged), count = 0;
  if (!merged || !flat_inputs_of(s, g, total, &f)) {
    mem_free(merged);
    flat_free(&f);
    return FUSION_E_MEMORY;
  }
  for (size_t i = 0; i < shape_size(g->shape); i++) {
    struct gather_source *at = &g->gather[i], inner = {0, at->index};
    if (at->index == GATHER_ZERO) continue;
    const struct graph_node *in = node_at(s, g->inputs[at->input]);
    if (in->op == GRAPH_GATHER) inner = in->gather[at->index];
    at->index = inner.index;
    at->input = inner.index == GATHER_ZERO ? 0 : flat_number(&f, f.first[at->input] + inner.input, merged, &count);
  }
  if (count == 0) merged[count++] = f.node[0];
  for (uint32_t k = 0; k < count; k++) s->uses[merged[k]]++;
  for (uint32_t k = 0; k < g->input_count; k++) release(s, g->inputs[k]);
  flat_free(&f);
  mem_free(g->inputs);
  g->inputs = merged;
  g->input_count = count;
  s->changed = true;
  return FUSION_OK;
}

static bool is_identity_gather(const struct simplifier *s, const struct graph_node *g) {
  const struct shape in = input_of(s, g)->shape;
  if (g->input_count != 1 || in.channels != g->shape.channels || in.height != g->shape.height ||
      in.width != g->shape.width)
    return false;
  for (size_t i = 0; i < shape_size(g->shape); i++) {
    if (g->gather[i].index != i) return false;
  }
  return true;
}

static fusion_status simplify_gather(struct simplifier *s, uint32_t i) {
  struct graph_node *g = node_at(s, i);
  const fusion_status status = merge_gather(s, g);
  if (status != FUSION_OK) return status;
  if (is_identity_gather(s, g)) {
    set_alias(s, i, g->inputs[0]);
    return FUSION_OK;
  }
  const bool above = g->input_count == 1 && input_of(s, g)->op == GRAPH_AFFINE && sole_use(s, g->inputs[0]);
  return above ? affine_above_gather(s, i) : FUSION_OK;
}

static fusion_status simplify_node(struct simplifier *s, uint32_t i) {
  struct graph_node *n = node_at(s, i);
  if (n->op == GRAPH_LINEAR || n->op == GRAPH_MAXPOOL || n->op == GRAPH_AVGPOOL) absorb_pad(s, n);
  switch (n->op) {
    case GRAPH_AFFINE: return simplify_affine(s, i);
    case GRAPH_LINEAR: return simplify_linear(s, n);
    case GRAPH_MAXPOOL:
    case GRAPH_AVGPOOL: return simplify_pool(s, i);
    case GRAPH_GATHER: return simplify_gather(s, i);
    case GRAPH_RELU:
      if (never_negative(s, input_of(s, n), LOOK_BACK)) set_alias(s, i, n->inputs[0]);
      return FUSION_OK;
    case GRAPH_QUANTISE:
      if (on_grid(s, input_of(s, n), n, LOOK_BACK)) set_alias(s, i, n->inputs[0]);
      return FUSION_OK;
    default: return FUSION_OK;
  }
}

/* Inputs of node i follow aliases. An alias always points to a node that stands for itself when it is made; it may have
 * become an alias since, hence the loop. */
static void follow_aliases(const struct simplifier *s, struct graph_node *n) {
  for (uint32_t k = 0; k < n->input_count; k++) {
    while (s->alias[n->inputs[k]] != n->inputs[k]) n->inputs[k] = s->alias[n->inputs[k]];
  }
}

static void count_uses(struct simplifier *s, uint32_t output) {
  memset(s->uses, 0, s->g->count * sizeof *s->uses);
  s->uses[output] = 1;
  for (uint32_t i = s->g->count; i-- > 0;) {
    struct graph_node *n = node_at(s, i);
    if (!s->uses[i]) continue;
    for (uint32_t k = 0; k < n->input_count; k++) s->uses[n->inputs[k]]++;
  }
}

/* Keeps the used nodes (and the input), in order, under new numbers. */
static void compact(struct simplifier *s) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < s->g->count; i++) {
    struct graph_node *n = node_at(s, i);
    if (!s->uses[i] && i > 0) {
      graph_node_clear(n);
      continue;
    }
    for (uint32_t k = 0; k < n->input_count; k++) n->inputs[k] = s->alias[n->inputs[k]];
    s->alias[i] = kept;
    if (kept != i) s->g->nodes[kept] = *n;
    kept++;
  }
  s->g->count = kept;
}

fusion_status graph_simplify(struct graph *g, uint32_t output) {
  struct simplifier s = {.g = g};
  fusion_status status = FUSION_OK;
  s.uses = mem_alloc(g->count, sizeof *s.uses);
  s.alias = mem_alloc(g->count, sizeof *s.alias);
  FAIL_IF(!s.uses || !s.alias, FUSION_E_MEMORY);
  do {
    s.changed = false;
    for (uint32_t i = 0; i < g->count; i++) s.alias[i] = i;
    count_uses(&s, output);
    for (uint32_t i = 0; i < g->count; i++) {
      struct graph_node *n = node_at(&s, i);
      follow_aliases(&s, n);
      if (s.uses[i] && n->input_count) TRY(simplify_node(&s, i));
    }
    while (s.alias[output] != output) output = s.alias[output];
    for (uint32_t i = 0; i < g->count; i++) follow_aliases(&s, node_at(&s, i));
  } while (s.changed);
  count_uses(&s, output);
  for (uint32_t i = 0; i < g->count; i++) s.alias[i] = i;
  compact(&s);
cleanup:
  mem_free(s.uses);
  mem_free(s.alias);
  return status;
}
