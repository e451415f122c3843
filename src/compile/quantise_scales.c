/** Scales. Clean tensors that must agree (Concat, MaxPool, clean additions) form classes with one scale each, chosen
 * from the calibrated range. An accumulator's scale S is its consumer's scale divided by a power of two, so that RELU
 * and TRUNCATE are shifts; the weights' scale follows as S / input scale, a free real number. Only where a clean tensor
 * enters a raw addition (or a product) must scales be powers of two of each other: such classes lie on the grid 2^k. A
 * divisor of an average lives in the scale of its SUMPOOL ("derived"). */
#include <math.h>

#include "compile/quantise_internal.h"
#include "compile/spline.h"

enum {
  SOLVE_ROUNDS = 500,
  SHIFT_MAX = 40,
  DEAD_SHIFT = 8,
  DEAD_BITS = 10,
  DEPTH_ONE_BITS = 12,
  CLEAN_RING = 58,
  ROOM_BITS = 2,
  WEIGHT_BITS_MOST = 16
};

/* Units of a table, and what spline_make() said of them. */
struct known_table {
  double in_unit, out_unit, unit;
  bool fits;
};

struct solver {
  const struct network *net;
  const struct precision *wanted;
  uint32_t *parent;           /* union-find over nodes */
  bool *grid;                 /* of a root */
  unsigned *bits;             /* of a root: signed width */
  double *range;              /* of a root: largest magnitude */
  double *given;              /* of a root: the finest grid that the file quantises a member to; 0 when none */
  int *raised;                /* of a root: doublings that the solution needed */
  uint32_t *first;            /* of a root: lowest node of its class */
  double *scale;              /* of a node */
  uint8_t *shift;             /* of a node: RELU, TRUNCATE */
  uint32_t *root;             /* of a raw node: the RELU or TRUNCATE above it */
  float *weight_max;          /* of a LINEAR node */
  struct known_table *tables; /* of a LOOKUP node */
};

static uint32_t class_of(const struct solver *q, uint32_t i) {
  while (q->parent[i] != i) i = q->parent[i] = q->parent[q->parent[i]];
  return i;
}

static void join(struct solver *q, uint32_t a, uint32_t b) {
  q->parent[class_of(q, a)] = class_of(q, b);
}

static bool is_raw(const struct solver *q, uint32_t i) {
  return node_is_raw(&q->net->nodes[i]);
}

static void find_classes(struct solver *q) {
  for (uint32_t i = 0; i < q->net->count; i++) q->parent[i] = i;
  for (uint32_t i = 0; i < q->net->count; i++) {
    const struct network_node *d = &q->net->nodes[i];
    const enum operator_scale rule = node_operator(d)->scale;
    const bool joins = rule == SCALE_KEEPS || (rule == SCALE_SUM && !is_raw(q, i)) ||
                       (rule == SCALE_SHIFTS_RAW && !is_raw(q, d->inputs[0]));
    for (uint32_t k = 0; joins && k < d->input_count; k++) join(q, i, d->inputs[k]);
  }
}

static void find_grid(struct solver *q) {
  for (uint32_t i = 0; i < q->net->count; i++) {
    const struct network_node *d = &q->net->nodes[i];
    const enum operator_scale rule = node_operator(d)->scale;
    const bool product = rule == SCALE_PRODUCT || rule == SCALE_TABLE, raw_add = rule == SCALE_SUM && is_raw(q, i);
    for (uint32_t k = 0; (product || raw_add) && k < d->input_count; k++) {
      if (is_raw(q, d->inputs[k])) continue;
      q->grid[class_of(q, d->inputs[k])] = true;
      if (raw_add) q->grid[class_of(q, q->root[i])] = true;
    }
    const struct network_node *from = i ? &q->net->nodes[d->inputs[0]] : d;
    const enum operator_scale read = node_operator(from)->scale;
    if (rule != SCALE_SHIFTS) continue;
    if (read == SCALE_PRODUCT || read == SCALE_TABLE || read == SCALE_MEAN) q->grid[class_of(q, i)] = true;
    if (read == SCALE_MEAN) q->grid[class_of(q, from->inputs[0])] = true;
  }
}

/** Marks the nodes between the parts of a clip (6 - relu(6 - relu(x)) for Relu6): only offsets read them, or they are
 *  offsets that only a Relu reads. Their range is no reason for a coarser scale: what leaves the clip is narrower. */
static void find_inner(const struct solver *q, bool *inner) {
  for (uint32_t i = 0; i < q->net->count; i++) inner[i] = i > 0 && i + 1 < q->net->count && !is_raw(q, i);
  for (uint32_t i = 0; i < q->net->count; i++) {
    const struct network_node *d = &q->net->nodes[i];
    for (uint32_t k = 0; k < d->input_count; k++) {
      const uint32_t from = d->inputs[k];
      const bool offset = node_operator(&q->net->nodes[from])->weights == WEIGHTS_BIAS;
      const bool bend = node_operator(d)->scale == SCALE_SHIFTS_RAW;
      if (node_operator(d)->weights != WEIGHTS_BIAS && !(bend && offset)) inner[from] = false;
    }
  }
}

static void find_ranges(struct solver *q, const bool *inner) {
  for (uint32_t i = 0; i < q->net->count; i++) {
    const struct network_node *d = &q->net->nodes[i];
    if (is_raw(q, i)) continue;
    const uint32_t r = class_of(q, i);
    unsigned bits = i == 0 ? q->wanted->input : q->wanted->activation;
    if (i == q->net->count - 1) bits = q->wanted->output;
    bits += d->octaves;
    if (bits > q->bits[r]) q->bits[r] = bits;
    const double step = (double)d->step;
    if (step > 0 && !(q->given[r] > 0 && q->given[r] < step)) q->given[r] = step;
    q->range[r] = fmax(q->range[r], d->span);
    if (inner[i] || d->span > 0) continue;
    q->range[r] = fmax(q->range[r], network_node_magnitude(d));
  }
}

static void find_roots(struct solver *q) {
  for (uint32_t i = q->net->count; i-- > 0;) {
    const struct network_node *d = &q->net->nodes[i];
    for (uint32_t k = 0; k < d->input_count; k++)
      if (is_raw(q, d->inputs[k])) q->root[d->inputs[k]] = is_raw(q, i) ? q->root[i] : i;
  }
}

static void find_weight_maxima(struct solver *q) {
  for (uint32_t i = 0; i < q->net->count; i++) {
    const struct network_node *d = &q->net->nodes[i];
    if (node_operator(d)->weights != WEIGHTS_MATRIX) continue;
    const size_t count = (size_t)d->shape.channels * (q->net->nodes[d->inputs[0]].shape.channels / d->groups) *
                         d->window.kernel_h * d->window.kernel_w;
    float most = q->weight_max[i];
    for (size_t k = 0; k < count; k++) {
      const float v = fabsf(d->weights[k]);
      if (v > most) most = v; /* not fmaxf: network.c */
    }
    q->weight_max[i] = most;
  }
}

/** Width of a layer's weights; layers of one weight a row (affine maps) are cheap and would suffer most. */
static unsigned weight_width(const struct solver *q, uint32_t i) {
  const struct network_node *d = &q->net->nodes[i];
  const size_t depth =
      (size_t)(q->net->nodes[d->inputs[0]].shape.channels / d->groups) * d->window.kernel_h * d->window.kernel_w;
  return depth == 1 && q->wanted->weight < DEPTH_ONE_BITS ? DEPTH_ONE_BITS : q->wanted->weight;
}

static double class_scale(const struct solver *q, uint32_t r) {
  if (q->given[r] > 0) {
    const double given = ldexp(q->given[r], q->raised[r]);
    return q->grid[r] ? exp2(floor(log2(given) + 1e-9)) : given;
  }
  const double *wanted = q->wanted->scale;
  double least = wanted ? wanted[q->first[r]] : 0;
  if (!(least > 0)) least = q->range[r] / (ldexp(1, (int)q->bits[r] - 1) - 1);
  if (!(least > 0)) return 1;
  least = ldexp(least, q->raised[r]);
  return q->grid[r] ? exp2(ceil(log2(least) - 1e-9)) : least;
}

/** The table of a LOOKUP node for the present scales, and the unit of what it gives; false when it would be too wide.
 */
static bool table_of(const struct solver *q, uint32_t i, struct program_table *table, double *unit) {
  const struct network_node *d = &q->net->nodes[i];
  const struct spline s = {.use = d->use,
                           .low = d->table_low,
                           .high = d->table_high,
                           .least = d->table_least,
                           .in_unit = q->scale[d->inputs[0]],
                           .out_unit = d->step > 0 ? (double)d->step : class_scale(q, class_of(q, i + 1))};
  return spline_make(table, unit, &s);
}

/** The unit of what a LOOKUP gives, 0 when its table would be too wide: the same again while the scales stay. */
static double table_unit(const struct solver *q, uint32_t i) {
  const struct network_node *d = &q->net->nodes[i];
  const double in_unit = q->scale[d->inputs[0]], out_unit = class_scale(q, class_of(q, i + 1));
  struct known_table *known = &q->tables[i];
  const bool same = known->in_unit >= in_unit && known->in_unit <= in_unit && known->out_unit >= out_unit &&
                    known->out_unit <= out_unit;
  struct program_table table;
  if (!same) *known = (struct known_table){.in_unit = in_unit, .out_unit = out_unit};
  if (!same) known->fits = table_of(q, i, &table, &known->unit);
  return known->fits ? known->unit : 0;
}

/** Scales of all clean nodes and of products. A class that holds a SUMPOOL takes its scale from the first: its divisor
 * is given. */
static void set_clean_scales(struct solver *q, double *derived) {
  for (uint32_t i = 0; i < q->net->count; i++) derived[i] = 0;
  for (uint32_t i = 0; i < q->net->count; i++) {
    const struct network_node *d = &q->net->nodes[i];
    const enum operator_scale rule = node_operator(d)->scale;
    if (is_raw(q, i) && rule != SCALE_PRODUCT) continue;
    const uint32_t r = class_of(q, i);
    if (rule == SCALE_PRODUCT) derived[r] = q->scale[d->inputs[0]] * q->scale[d->inputs[1]];
    const double divisor = d->sum ? 1 : (double)d->window.kernel_h * d->window.kernel_w;
    if (rule == SCALE_MEAN) derived[r] = q->scale[d->inputs[0]] / divisor;
    if (rule == SCALE_TABLE) derived[r] = table_unit(q, i); /* solve_once() raises it where that is 0 */
    q->scale[i] = derived[r] > 0 ? derived[r] : class_scale(q, r);
  }
}

static bool raise_class(struct solver *q, uint32_t i) {
  q->raised[class_of(q, i)]++;
  return false;
}

static double wanted_unit(const struct solver *q, uint32_t root) {
  return q->wanted->unit ? q->wanted->unit[root] : 0;
}

static double largest_weight(const struct solver *q, uint32_t i) {
  const bool given = wanted_unit(q, q->root[i]) > 0;
  return ldexp(1, (given ? WEIGHT_BITS_MOST : (int)weight_width(q, i)) - 1) - 1;
}

/** Finest scale that a layer's accumulator may have with its weight width. */
static double finest(const struct solver *q, uint32_t i) {
  const double top = largest_weight(q, i);
  return q->scale[q->net->nodes[i].inputs[0]] * (double)q->weight_max[i] / top;
}

/** Weights that are zero, or cannot move the answer by 2^-DEAD_BITS of its unit: what the layer gives is its bias. */
static bool is_dead(const struct solver *q, uint32_t i, double target) {
  const struct network_node *d = &q->net->nodes[i];
  const uint32_t from = d->inputs[0];
  const uint32_t group = q->net->nodes[from].shape.channels / d->groups;
  const double terms = (double)group * d->window.kernel_h * d->window.kernel_w;
  const double most = ldexp(q->scale[from], (int)q->bits[class_of(q, from)] - 1);
  return terms * most * (double)q->weight_max[i] <= ldexp(target, -DEAD_BITS);
}

/** Shift and accumulator scale below one RELU or TRUNCATE; false when a class had to be raised. */
static bool solve_root(struct solver *q, uint32_t root) {
  const double target = q->scale[root];
  double least = fmax(ldexp(target, -SHIFT_MAX), wanted_unit(q, root));
  bool alive = false;
  for (uint32_t i = 0; i < root; i++) {
    if (q->root[i] != root || node_operator(&q->net->nodes[i])->weights != WEIGHTS_MATRIX) continue;
    if (is_dead(q, i, target)) continue;
    alive = true;
    least = fmax(least, finest(q, i));
  }
  /* Without weights any scale will do, and a fine one would only make the ring wide. */
  if (!alive) least = fmax(least, ldexp(target, -DEAD_SHIFT));
  const int shift = (int)floor(log2(target / least) + 1e-9);
  if (shift < 0) return raise_class(q, root);
  const double scale = ldexp(target, -shift);
  q->shift[root] = (uint8_t)shift;
  for (uint32_t i = 0; i < root; i++) {
    if (q->root[i] != root) continue;
    q->scale[i] = scale;
    const struct network_node *d = &q->net->nodes[i];
    for (uint32_t k = 0; node_operator(d)->scale == SCALE_SUM && k < d->input_count; k++)
      if (!is_raw(q, d->inputs[k]) && q->scale[d->inputs[k]] < scale * (1 - 1e-9)) return raise_class(q, d->inputs[k]);
  }
  return true;
}

static bool all_whole(const float *v, size_t count) {
  enum { MOST = 1 << 14 };
  for (size_t i = 0; i < count; i++)
    if (rint((double)v[i]) != (double)v[i] || fabsf(v[i]) > MOST) return false;
  return true;
}

/** A layer that its input's scale suits: thresholds, and whole weights on whole numbers. */
static bool keeps_scale(const struct solver *q, uint32_t i) {
  const struct network_node *d = &q->net->nodes[i], *in = &q->net->nodes[d->inputs[0]];
  if (d->thresholds) return true;
  const size_t depth = (size_t)(in->shape.channels / d->groups) * d->window.kernel_h * d->window.kernel_w;
  return in->whole && all_whole(d->weights, depth * d->shape.channels) && all_whole(d->bias, d->shape.channels);
}

/** Accumulator scale below a COMPARE, which is free; false when a class had to be raised. */
static bool solve_compare(struct solver *q, uint32_t root) {
  const uint32_t top = q->net->nodes[root].inputs[0];
  double scale = wanted_unit(q, root), bias = 0;
  bool sum = false;
  for (uint32_t i = 0; i < root; i++) {
    const struct network_node *d = &q->net->nodes[i];
    if (q->root[i] != root) continue;
    sum = sum || node_operator(d)->scale == SCALE_SUM;
    if (node_operator(d)->weights != WEIGHTS_MATRIX) continue;
    scale = fmax(scale, finest(q, i));
    for (uint32_t c = 0; c < d->shape.channels; c++)
      if (fabs((double)d->bias[c]) > bias) bias = fabs((double)d->bias[c]); /* not fmax: network.c */
  }
  if (!(scale > 0)) scale = bias > 0 ? ldexp(bias, -DEAD_BITS) : 1; /* weights of zeros */
  if (sum) scale = exp2(ceil(log2(scale) - 1e-9));
  if (!sum && keeps_scale(q, top)) scale = q->scale[q->net->nodes[top].inputs[0]];
  for (uint32_t i = 0; i < root; i++) {
    if (q->root[i] != root) continue;
    q->scale[i] = scale;
    const struct network_node *d = &q->net->nodes[i];
    for (uint32_t k = 0; node_operator(d)->scale == SCALE_SUM && k < d->input_count; k++)
      if (!is_raw(q, d->inputs[k]) && q->scale[d->inputs[k]] < scale * (1 - 1e-9)) return raise_class(q, d->inputs[k]);
  }
  return true;
}

/** Shift of a TRUNCATE behind a product. */
static bool solve_product(struct solver *q, uint32_t i) {
  const double shift = log2(q->scale[i] / q->scale[q->net->nodes[i].inputs[0]]);
  if (shift < -1e-9) return raise_class(q, i);
  q->shift[i] = (uint8_t)lrint(shift);
  return true;
}

static bool solve_once(struct solver *q) {
  for (uint32_t i = 0; i < q->net->count; i++) {
    const struct network_node *d = &q->net->nodes[i];
    if (node_operator(d)->scale == SCALE_TABLE && !(table_unit(q, i) > 0)) return raise_class(q, d->inputs[0]);
    if (node_operator(d)->raw != RAW_CLEANS) continue;
    const bool raw = is_raw(q, d->inputs[0]) && node_operator(&q->net->nodes[d->inputs[0]])->scale != SCALE_PRODUCT;
    const bool compares = node_operator(d)->scale == SCALE_WHOLE;
    if (raw && !(compares ? solve_compare(q, i) : solve_root(q, i))) return false;
    if (!raw && node_operator(d)->scale == SCALE_SHIFTS && !solve_product(q, i)) return false;
  }
  return true;
}

static fusion_status solve(struct solver *q, fusion_error *err) {
  double *derived = mem_alloc(q->net->count, sizeof *derived);
  if (!derived) return FUSION_E_MEMORY;
  bool solved = false;
  for (int round = 0; round < SOLVE_ROUNDS && !solved; round++) {
    set_clean_scales(q, derived);
    solved = solve_once(q);
  }
  mem_free(derived);
  if (solved) return FUSION_OK;
  return error_set(err, FUSION_E_UNREACHABLE, "no common scale for the network's additions; give more weight bits");
}

/** Signed width of the float range at a scale. */
static unsigned range_bits(const struct network_node *d, double scale) {
  double top = 1;
  for (uint32_t c = 0; c < d->shape.channels; c++) {
    const float low = fabsf(d->low[c]), high = fabsf(d->high[c]);
    const double value = (double)(low > high ? low : high) / scale;
    if (value > top) top = value; /* not fmax: see softmax in float_layer.c */
  }
  return (unsigned)ceil(log2(top + 1)) + 1;
}

/** Ring for the calibrating run: 32 bits where they surely hold the range, as that runs fast. */
static uint8_t wide_ring(const struct solver *q, uint32_t i) {
  unsigned bits = 0;
  for (uint32_t k = 0; k < q->net->count; k++) {
    if (q->root[k] != q->root[i]) continue;
    const unsigned own = range_bits(&q->net->nodes[k], q->scale[k]);
    bits = own > bits ? own : bits;
  }
  return bits + ROOM_BITS <= 32 && q->shift[q->root[i]] <= 30 ? 32 : CLEAN_RING;
}

/** `shift` [channels] (may be NULL): real values to take off. */
static fusion_status emit_bias(struct program_weights *out, const struct solver *q, uint32_t i, const double *shift) {
  const struct network_node *d = &q->net->nodes[i];
  out->bias = mem_alloc(d->shape.channels, sizeof *out->bias);
  if (!out->bias) return FUSION_E_MEMORY;
  for (uint32_t c = 0; c < d->shape.channels; c++) {
    const double bias = (d->bias[c] - (shift ? shift[c] : 0)) / q->scale[i];
    if (!(fabs(bias) < ldexp(1, CLEAN_RING - 2))) return FUSION_E_UNREACHABLE;
    out->bias[c] = (int64_t)rint(bias);
  }
  return FUSION_OK;
}

/** Thresholds as integers: what the samples have on either side stays there, where the input's unit tells it apart. */
static void emit_thresholds(struct program_weights *out, const struct solver *q, uint32_t i) {
  const struct network_node *d = &q->net->nodes[i];
  const size_t depth = q->net->nodes[d->inputs[0]].shape.channels / d->groups;
  const double unit = q->scale[i];
  for (uint32_t c = 0; c < d->shape.channels; c++) {
    const struct threshold *t = &d->thresholds[c];
    const double bias = (double)d->bias[c] / unit, below = rint(t->below / unit), above = rint(t->above / unit);
    bool at_least = false;
    for (size_t k = 0; k < depth; k++) at_least = at_least || d->weights[c * depth + k] > 0;
    /* x is not below where x >= least. Biases are single precision. */
    const double slack = 1e-6 * (1 + fabs(bias));
    double least = at_least ? ceil(-bias - slack) : floor(bias + slack) + 1;
    if (below < above) least = fmin(fmax(least, below + 1), above);
    if (fabs(least) < ldexp(1, CLEAN_RING - 2)) out->bias[c] = (int64_t)(at_least ? -least : least - 1);
  }
}

/** Rounds one output channel's weights; returns by how much its average moves. */
static double round_row(int16_t *to, const struct solver *q, uint32_t i, uint32_t channel, unsigned *width) {
  const struct network_node *d = &q->net->nodes[i], *in = &q->net->nodes[d->inputs[0]];
  const size_t taps = (size_t)d->window.kernel_h * d->window.kernel_w;
  const uint32_t depth = in->shape.channels / d->groups, group = channel / (d->shape.channels / d->groups);
  const double unit = q->scale[i] / q->scale[d->inputs[0]], top = largest_weight(q, i);
  const float *from = d->weights + (size_t)channel * depth * taps;
  double moved = 0;
  for (uint32_t k = 0; k < depth; k++) {
    double error = 0;
    for (size_t t = 0; t < taps; t++, from++, to++) {
      const double v = fmin(fmax(rint(*from / unit), -top), top);
      *to = (int16_t)v;
      error += v * unit - (double)*from;
      while (fabs(v) > ldexp(1, (int)*width - 1) - 1) ++*width;
    }
    moved += error * in->mean[group * depth + k];
  }
  return moved;
}

static fusion_status emit_weights(struct program_weights *out, struct program_step *s, const struct solver *q,
                                  uint32_t i) {
  const struct network_node *d = &q->net->nodes[i];
  const size_t depth =
      (size_t)(q->net->nodes[d->inputs[0]].shape.channels / d->groups) * d->window.kernel_h * d->window.kernel_w;
  unsigned width = 2;
  double *shift = mem_alloc(d->shape.channels, sizeof *shift);
  fusion_status status;
  out->weights = mem_alloc(depth * d->shape.channels, sizeof *out->weights);
  FAIL_IF(!out->weights || !shift, FUSION_E_MEMORY);
  for (uint32_t c = 0; c < d->shape.channels; c++) shift[c] = round_row(out->weights + c * depth, q, i, c, &width);
  s->weight_bits = (uint8_t)width;
  TRY(emit_bias(out, q, i, shift));
  if (d->thresholds) emit_thresholds(out, q, i);
cleanup:
  mem_free(shift);
  return status;
}

static void emit_tensor(struct program_step *s, const struct solver *q, uint32_t i) {
  const struct network_node *d = &q->net->nodes[i];
  s->out.raw = node_is_raw(d);
  s->out.shape = d->shape;
  s->out.scale = q->scale[i];
  s->out.ring_bits = s->out.raw ? wide_ring(q, i) : CLEAN_RING;
  s->out.value_bits = s->out.raw ? s->out.ring_bits : CLEAN_RING - 1;
  if (i == 0) s->out.value_bits = (uint8_t)q->bits[class_of(q, 0)];
}

static fusion_status emit_step(struct model *m, const struct solver *q, uint32_t i) {
  const struct network_node *d = &q->net->nodes[i];
  struct program_step *s = &m->program.steps[i];
  s->op = d->op;
  memcpy(s->name, d->name, sizeof s->name);
  emit_tensor(s, q, i);
  if (d->input_count) {
    s->inputs = mem_alloc(d->input_count, sizeof *s->inputs);
    if (!s->inputs) return FUSION_E_MEMORY;
    memcpy(s->inputs, d->inputs, d->input_count * sizeof *s->inputs);
  }
  s->input_count = d->input_count;
  s->window = d->window;
  s->shift = q->shift[i];
  for (uint32_t k = 0; step_has(s, FIELD_SHIFT_LEFT) && k < 2; k++)
    if (!is_raw(q, d->inputs[k])) s->shift_left[k] = (uint8_t)lrint(log2(q->scale[d->inputs[k]] / q->scale[i]));
  if (step_has(s, FIELD_GATHER)) {
    s->gather = mem_alloc(shape_size(d->shape), sizeof *s->gather);
    if (!s->gather) return FUSION_E_MEMORY;
    memcpy(s->gather, d->gather, shape_size(d->shape) * sizeof *s->gather);
  }
  if (step_has(s, FIELD_TABLE)) {
    double unit;
    s->table = mem_alloc(1, sizeof *s->table);
    if (!s->table) return FUSION_E_MEMORY;
    if (!table_of(q, i, s->table, &unit)) return FUSION_E_INTERNAL;
  }
  s->negate = d->negate;
  s->transpose = d->transpose;
  if (step_operator(s)->weights == WEIGHTS_BIAS) return emit_bias(&m->weights[i], q, i, NULL);
  if (!step_has_matrix(s)) return FUSION_OK;
  s->groups = d->groups;
  return emit_weights(&m->weights[i], s, q, i);
}

static fusion_status emit_units(struct input_units *out, const struct input_units *from) {
  if (!from->count) return FUSION_OK;
  const fusion_status status = input_units_open(out, from->count);
  if (status != FUSION_OK) return status;
  memcpy(out->exponent, from->exponent, from->count * sizeof *from->exponent);
  memcpy(out->quarters, from->quarters, from->count * sizeof *from->quarters);
  return FUSION_OK;
}

static fusion_status emit(struct model **out, const struct solver *q, fusion_error *err) {
  struct model *m = mem_alloc(1, sizeof *m);
  if (!m) return FUSION_E_MEMORY;
  fusion_status status = FUSION_OK;
  m->program.preprocess.scale = 1;
  m->program.steps = mem_alloc(q->net->count, sizeof *m->program.steps);
  m->weights = mem_alloc(q->net->count, sizeof *m->weights);
  FAIL_IF(!m->program.steps || !m->weights, FUSION_E_MEMORY);
  TRY(emit_units(&m->program.input_units, &q->net->input_units));
  m->program.count = q->net->count;
  for (uint32_t i = 0; i < q->net->count; i++) {
    status = emit_step(m, q, i);
    if (status == FUSION_E_UNREACHABLE)
      error_set(err, status, "layer '%s': its bias is too large for its scale", q->net->nodes[i].name);
    if (status != FUSION_OK) goto cleanup;
  }
  TRY(program_validate(&m->program, err));
  *out = m;
  return FUSION_OK;
cleanup:
  model_free(m);
  return status;
}

static fusion_status solver_open(struct solver *q, const struct network *net) {
  q->parent = mem_alloc(net->count, sizeof *q->parent);
  q->grid = mem_alloc(net->count, sizeof *q->grid);
  q->bits = mem_alloc(net->count, sizeof *q->bits);
  q->range = mem_alloc(net->count, sizeof *q->range);
  q->given = mem_alloc(net->count, sizeof *q->given);
  q->raised = mem_alloc(net->count, sizeof *q->raised);
  q->first = mem_alloc(net->count, sizeof *q->first);
  q->scale = mem_alloc(net->count, sizeof *q->scale);
  q->shift = mem_alloc(net->count, sizeof *q->shift);
  q->root = mem_alloc(net->count, sizeof *q->root);
  q->weight_max = mem_alloc(net->count, sizeof *q->weight_max);
  q->tables = mem_alloc(net->count, sizeof *q->tables);
  const bool complete = q->parent && q->grid && q->bits && q->range && q->given && q->raised && q->first && q->scale &&
                        q->shift && q->root && q->weight_max && q->tables;
  return complete ? FUSION_OK : FUSION_E_MEMORY;
}

static void solver_close(struct solver *q) {
  mem_free(q->parent);
  mem_free(q->grid);
  mem_free(q->bits);
  mem_free(q->range);
  mem_free(q->given);
  mem_free(q->raised);
  mem_free(q->first);
  mem_free(q->scale);
  mem_free(q->shift);
  mem_free(q->root);
  mem_free(q->weight_max);
  mem_free(q->tables);
}

static void find_firsts(struct solver *q) {
  for (uint32_t i = q->net->count; i-- > 0;) q->first[class_of(q, i)] = i;
}

fusion_status quantise_classes(const struct network *net, uint32_t *first, uint32_t *roots) {
  struct solver q = {.net = net};
  const fusion_status status = solver_open(&q, net);
  if (status == FUSION_OK) {
    find_classes(&q);
    find_roots(&q);
    find_firsts(&q);
    for (uint32_t i = 0; i < net->count; i++) first[i] = q.first[class_of(&q, i)];
    memcpy(roots, q.root, net->count * sizeof *roots);
  }
  solver_close(&q);
  return status;
}

fusion_status quantise_scales(struct model **out, const struct network *net, const struct precision *precision,
                              fusion_error *err) {
  struct solver q = {.net = net, .wanted = precision};
  bool *inner = mem_alloc(net->count, sizeof *inner);
  fusion_status status;
  TRY(solver_open(&q, net));
  FAIL_IF(!inner, FUSION_E_MEMORY);
  find_classes(&q);
  find_firsts(&q);
  find_roots(&q);
  find_grid(&q);
  find_inner(&q, inner);
  find_ranges(&q, inner);
  find_weight_maxima(&q);
  TRY(solve(&q, err));
  TRY(emit(out, &q, err));
cleanup:
  mem_free(inner);
  solver_close(&q);
  if (status == FUSION_E_MEMORY) error_set(err, status, "out of memory while choosing scales");
  return status;
}
