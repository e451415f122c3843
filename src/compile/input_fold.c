/** Input units: where the features of an input range very differently, one scale for all is too coarse for some. Then
 * each gets a centre and a power of two from what the calibration samples show of it, which the client applies as it
 * quantises and the first layers undo: w * x = (w * unit) * ((x - centre) / unit) + w * centre. A scaler inside the
 * network has gone into the same layers' weights before (graph_simplify), so it needs no recognition of its own.
 *
 *  Only linear layers can undo units. They may read the input through rearrangements. Elements that share a weight (a
 *  channel of a convolution) share a unit, and what zeros pad has its centre at 0. */
#include <math.h>
#include <stdlib.h>

#include "compile/network.h"

enum { NOWHERE = UINT32_MAX };
/* Ratios of ranges below these leave one scale good enough: so much finer is it than the widths that are searched. */
enum { EXPONENT_SPREAD_LEAST = 2, QUARTERS_LEAST = 16 };
/* A unit is at least twice what the samples show of its feature: room for what they do not. */
enum { UNIT_ROOM_BITS = 1 };

struct folder {
  struct network *net;
  uint32_t size;
  uint32_t **from;   /* owned: [node] -> [element]: the input's element or NOWHERE (0); NULL: not of the input alone */
  uint32_t *parent;  /* owned: [element]: union-find over elements that share a unit */
  bool *at_zero;     /* owned: [element], of a root: the centre is 0 */
  float *low, *high; /* owned: [element], of a root: range over the samples */
  double *mean;      /* owned: [element], of a root: sum, then average */
  uint32_t *members; /* owned: [element], of a root */
  int8_t *exponent;  /* owned: [element], of a root */
  int32_t *quarters; /* owned: [element], of a root */
};

static uint32_t root_of(const struct folder *f, uint32_t e) {
  while (f->parent[e] != e) e = f->parent[e] = f->parent[f->parent[e]];
  return e;
}

static void folder_close(struct folder *f) {
  for (uint32_t i = 0; f->from && i < f->net->count; i++) mem_free(f->from[i]);
  mem_free(f->from);
  mem_free(f->parent);
  mem_free(f->at_zero);
  mem_free(f->low);
  mem_free(f->high);
  mem_free(f->mean);
  mem_free(f->members);
  mem_free(f->exponent);
  mem_free(f->quarters);
}

static fusion_status folder_open(struct folder *f, struct network *net) {
  const uint32_t size = (uint32_t)shape_size(net->nodes[0].shape);
  *f = (struct folder){.net = net,
                       .size = size,
                       .from = mem_alloc(net->count, sizeof *f->from),
                       .parent = mem_alloc(size, sizeof *f->parent),
                       .at_zero = mem_alloc(size, sizeof *f->at_zero),
                       .low = mem_alloc(size, sizeof *f->low),
                       .high = mem_alloc(size, sizeof *f->high),
                       .mean = mem_alloc(size, sizeof *f->mean),
                       .members = mem_alloc(size, sizeof *f->members),
                       .exponent = mem_alloc(size, sizeof *f->exponent),
                       .quarters = mem_alloc(size, sizeof *f->quarters)};
  const bool complete =
      f->from && f->parent && f->at_zero && f->low && f->high && f->mean && f->members && f->exponent && f->quarters;
  for (uint32_t e = 0; complete && e < size; e++) f->parent[e] = e;
  return complete ? FUSION_OK : FUSION_E_MEMORY;
}

/** Follows the input's elements through rearrangements of it alone. */
static fusion_status trace(struct folder *f, uint32_t i) {
  const struct network_node *d = &f->net->nodes[i];
  const size_t size = shape_size(d->shape);
  for (uint32_t k = 0; k < d->input_count; k++)
    if (!f->from[d->inputs[k]]) return FUSION_OK;
  if (i > 0 && !(node_operator(d)->fields & FIELD_GATHER)) return FUSION_OK;
  f->from[i] = mem_alloc(size, sizeof **f->from);
  if (!f->from[i]) return FUSION_E_MEMORY;
  for (size_t e = 0; e < size; e++) {
    const bool zero = i > 0 && d->gather[e].input == GATHER_ZERO;
    f->from[i][e] = i == 0 ? (uint32_t)e : zero ? NOWHERE : f->from[d->inputs[d->gather[e].input]][d->gather[e].index];
  }
  return FUSION_OK;
}

/** A linear layer's input: one unit a channel, and none but 0 for a centre where zeros are among the values. */
static void tie_channels(struct folder *f, const struct network_node *linear) {
  const struct network_node *in = &f->net->nodes[linear->inputs[0]];
  const uint32_t *from = f->from[linear->inputs[0]];
  const struct window *w = &linear->window;
  const bool padded = w->pad_top || w->pad_left || w->pad_bottom || w->pad_right;
  const size_t plane = (size_t)in->shape.height * in->shape.width;
  for (uint32_t c = 0; c < in->shape.channels; c++) {
    uint32_t first = NOWHERE;
    bool zero = padded;
    for (size_t k = 0; k < plane; k++) {
      const uint32_t e = from[c * plane + k];
      if (e == NOWHERE) {
        zero = true;
      } else if (first == NOWHERE) {
        first = root_of(f, e);
      } else {
        f->at_zero[first] = f->at_zero[first] || f->at_zero[root_of(f, e)];
        f->parent[root_of(f, e)] = first;
      }
    }
    if (first != NOWHERE) f->at_zero[first] = f->at_zero[first] || zero;
  }
}

/** False when something else than linear layers needs the input as it is. */
static bool can_fold(const struct folder *f) {
  const struct network *net = f->net;
  bool layers = false;
  for (uint32_t i = 1; i < net->count; i++) {
    const struct network_node *d = &net->nodes[i];
    bool reads = false;
    for (uint32_t k = 0; k < d->input_count; k++) reads = reads || f->from[d->inputs[k]];
    if (!reads || f->from[i]) continue;
    if (node_operator(d)->weights != WEIGHTS_MATRIX) return false;
    layers = true;
  }
  return layers && !f->from[net->count - 1];
}

static void survey(struct folder *f, const float *input, size_t samples) {
  for (uint32_t e = 0; e < f->size; e++) {
    f->low[e] = INFINITY;
    f->high[e] = -INFINITY;
    f->members[root_of(f, e)]++;
  }
  for (size_t s = 0; s < samples; s++)
    for (uint32_t e = 0; e < f->size; e++) {
      const uint32_t r = root_of(f, e);
      const float v = input[s * f->size + e];
      f->low[r] = v < f->low[r] ? v : f->low[r];
      f->high[r] = v > f->high[r] ? v : f->high[r];
      f->mean[r] += (double)v / ((double)samples * f->members[r]);
    }
}

static int exponent_of(double range) {
  return (int)fmax(-INPUT_EXPONENT_MAX, fmin(ceil(log2(range)) + UNIT_ROOM_BITS, INPUT_EXPONENT_MAX));
}

static double range_about(const struct folder *f, uint32_t r, double centre) {
  return fmax((double)f->high[r] - centre, centre - (double)f->low[r]);
}

/** A constant feature shows no range: its value's magnitude, or `usual`, whichever is larger. */
static void choose_unit(struct folder *f, uint32_t r, int usual) {
  const bool constant = !(f->low[r] < f->high[r]);
  const double centre = f->at_zero[r] || constant ? 0 : f->mean[r], range = range_about(f, r, centre);
  int exponent = range > 0 ? exponent_of(range) : usual;
  if (constant && exponent < usual) exponent = usual;
  /* No finer than a float's own last bits. */
  while (fabs(ldexp(centre, 2 - exponent)) > INPUT_QUARTERS_MAX && exponent < INPUT_EXPONENT_MAX) exponent++;
  const double quarters = rint(ldexp(centre, 2 - exponent));
  f->exponent[r] = (int8_t)exponent;
  f->quarters[r] = (int32_t)fmax(-INPUT_QUARTERS_MAX, fmin(quarters, INPUT_QUARTERS_MAX));
}

static int compare_integers(const void *a, const void *b) {
  const int x = *(const int *)a, y = *(const int *)b;
  return (x > y) - (x < y);
}

/** The median exponent of the features that vary; *vary is their number. */
static fusion_status usual_exponent(const struct folder *f, int *usual, uint32_t *vary) {
  int *exponents = mem_alloc(f->size, sizeof *exponents);
  if (!exponents) return FUSION_E_MEMORY;
  *vary = 0;
  for (uint32_t e = 0; e < f->size; e++)
    if (f->parent[e] == e && f->low[e] < f->high[e])
      exponents[(*vary)++] = exponent_of(range_about(f, e, f->at_zero[e] ? 0 : f->mean[e]));
  qsort(exponents, *vary, sizeof *exponents, compare_integers);
  *usual = *vary ? exponents[*vary / 2] : 0;
  mem_free(exponents);
  return FUSION_OK;
}

static bool is_worthwhile(const struct folder *f) {
  int least = INPUT_EXPONENT_MAX, most = -INPUT_EXPONENT_MAX, quarters = 0;
  for (uint32_t e = 0; e < f->size; e++) {
    if (f->parent[e] != e || !(f->low[e] < f->high[e])) continue;
    least = f->exponent[e] < least ? f->exponent[e] : least;
    most = f->exponent[e] > most ? f->exponent[e] : most;
    quarters = abs(f->quarters[e]) > quarters ? abs(f->quarters[e]) : quarters;
  }
  return most - least >= EXPONENT_SPREAD_LEAST || quarters >= QUARTERS_LEAST;
}

static double unit_of(const struct folder *f, uint32_t root) {
  return ldexp(1, f->exponent[root]);
}

static double centre_of(const struct folder *f, uint32_t root) {
  return ldexp(f->quarters[root], f->exponent[root] - 2);
}

/** The root of an input channel's elements; NOWHERE where all are zeros. */
static uint32_t channel_root(const struct folder *f, uint32_t node, uint32_t channel) {
  const struct shape s = f->net->nodes[node].shape;
  const size_t plane = (size_t)s.height * s.width;
  for (size_t k = 0; k < plane; k++)
    if (f->from[node][channel * plane + k] != NOWHERE) return root_of(f, f->from[node][channel * plane + k]);
  return NOWHERE;
}

/** Rows of one weight, 1 or -1: only signs count, so they are divided by the unit. */
static void fold_thresholds(const struct folder *f, struct network_node *d) {
  const uint32_t depth = f->net->nodes[d->inputs[0]].shape.channels / d->groups;
  for (uint32_t o = 0; o < d->shape.channels; o++) {
    const float *w = d->weights + (size_t)o * depth;
    uint32_t k = 0;
    while (w[k] == 0) k++;
    const uint32_t r = channel_root(f, d->inputs[0], o / (d->shape.channels / d->groups) * depth + k);
    if (r == NOWHERE) continue;
    const double unit = unit_of(f, r), centre = centre_of(f, r), sign = (double)w[k];
    struct threshold *t = &d->thresholds[o];
    d->bias[o] = (float)(((double)d->bias[o] + sign * centre) / unit);
    t->below = (t->below - centre) / unit;
    t->above = (t->above - centre) / unit;
  }
}

static void fold_weights(const struct folder *f, struct network_node *d) {
  if (d->thresholds) {
    fold_thresholds(f, d);
    return;
  }
  const uint32_t in = f->net->nodes[d->inputs[0]].shape.channels;
  const size_t taps = (size_t)d->window.kernel_h * d->window.kernel_w;
  const uint32_t depth = in / d->groups, per_group = d->shape.channels / d->groups;
  float *w = d->weights;
  for (uint32_t o = 0; o < d->shape.channels; o++) {
    double bias = (double)d->bias[o];
    for (uint32_t k = 0; k < depth; k++) {
      const uint32_t r = channel_root(f, d->inputs[0], o / per_group * depth + k);
      for (size_t t = 0; t < taps; t++, w++) {
        if (r == NOWHERE) continue;
        bias += (double)*w * centre_of(f, r);
        *w = (float)((double)*w * unit_of(f, r));
      }
    }
    d->bias[o] = (float)bias;
  }
}

/** Ranges and averages in the new units, of nodes that hold the input's values: all of a unit is in range. */
static void refresh_ranges(const struct folder *f, uint32_t node) {
  struct network_node *d = &f->net->nodes[node];
  const size_t plane = (size_t)d->shape.height * d->shape.width;
  for (uint32_t c = 0; c < d->shape.channels; c++) {
    double mean = 0;
    for (size_t k = 0; k < plane; k++) {
      const uint32_t e = f->from[node][c * plane + k], r = e == NOWHERE ? 0 : root_of(f, e);
      mean += e == NOWHERE ? 0 : (f->mean[r] - centre_of(f, r)) / unit_of(f, r) / (double)plane;
    }
    d->low[c] = -1;
    d->high[c] = 1;
    d->mean[c] = (float)mean;
  }
  d->twin = -1;
}

/** One entry a channel where all of a channel's elements share it; else one an element. */
static fusion_status write_units(const struct folder *f, struct input_units *out) {
  const uint32_t channels = f->net->nodes[0].shape.channels, plane = f->size / channels;
  bool by_channel = true;
  for (uint32_t e = 0; e < f->size; e++) by_channel = by_channel && root_of(f, e) == root_of(f, e / plane * plane);
  const fusion_status status = input_units_open(out, by_channel ? channels : f->size);
  if (status != FUSION_OK) return status;
  for (uint32_t k = 0; k < out->count; k++) {
    const uint32_t r = root_of(f, by_channel ? k * plane : k);
    out->exponent[k] = f->exponent[r];
    out->quarters[k] = f->quarters[r];
  }
  return FUSION_OK;
}

static fusion_status fold(struct folder *f) {
  const fusion_status status = write_units(f, &f->net->input_units);
  if (status != FUSION_OK) return status;
  for (uint32_t i = 0; i < f->net->count; i++) {
    struct network_node *d = &f->net->nodes[i];
    if (f->from[i])
      refresh_ranges(f, i);
    else if (node_operator(d)->weights == WEIGHTS_MATRIX && f->from[d->inputs[0]])
      fold_weights(f, d);
  }
  return FUSION_OK;
}

fusion_status network_fold_input(struct network *n, const float *input, size_t samples) {
  struct folder f;
  fusion_status status;
  int usual;
  uint32_t vary;
  TRY(folder_open(&f, n));
  for (uint32_t i = 0; i < n->count; i++) TRY(trace(&f, i));
  if (!can_fold(&f)) goto cleanup;
  for (uint32_t i = 1; i < n->count; i++) {
    const struct network_node *d = &n->nodes[i];
    if (node_operator(d)->weights == WEIGHTS_MATRIX && f.from[d->inputs[0]]) tie_channels(&f, d);
  }
  survey(&f, input, samples);
  TRY(usual_exponent(&f, &usual, &vary));
  for (uint32_t e = 0; e < f.size; e++)
    if (f.parent[e] == e) choose_unit(&f, e, usual);
  if (is_worthwhile(&f)) TRY(fold(&f));
cleanup:
  folder_close(&f);
  return status;
}
