/** Channel equalisation. Every channel of every tensor is a variable; steps that need equal factors tie variables
 * together (union-find); a group's factor multiplies the weights that make its channels and divides those that read
 * them. */
#include <math.h>

#include "compile/network.h"

enum { ROUNDS = 4 };
static const double factor_max = 256; /* of one round: weights that far apart are dead channels */

struct group {
  double made, read, value; /* largest shares of the layer's or tensor's maximum: rows, columns, activations */
  bool pinned;
};

struct equaliser {
  struct network *net;
  size_t *first;  /* variable of a node's channel 0 */
  size_t *parent; /* union-find over variables */
  struct group *groups;
  double *factor;
  size_t count;
};

static size_t find(struct equaliser *e, size_t v) {
  while (e->parent[v] != v) v = e->parent[v] = e->parent[e->parent[v]];
  return v;
}

static void tie(struct equaliser *e, size_t a, size_t b) {
  e->parent[find(e, a)] = find(e, b);
}

static void tie_channels(struct equaliser *e, uint32_t a, uint32_t b) {
  for (uint32_t c = 0; c < e->net->nodes[a].shape.channels; c++) tie(e, e->first[a] + c, e->first[b] + c);
}

static void tie_gather(struct equaliser *e, uint32_t i) {
  const struct network_node *d = &e->net->nodes[i];
  const size_t plane = (size_t)d->shape.height * d->shape.width, size = shape_size(d->shape);
  for (size_t k = 0; k < size; k++) {
    if (d->gather[k].input == GATHER_ZERO) continue;
    const uint32_t from = d->inputs[d->gather[k].input];
    const struct shape s = e->net->nodes[from].shape;
    tie(e, e->first[i] + k / plane, e->first[from] + d->gather[k].index / ((size_t)s.height * s.width));
  }
}

static void tie_all(struct equaliser *e) {
  for (uint32_t i = 0; i < e->net->count; i++) {
    const struct network_node *d = &e->net->nodes[i];
    const struct program_operator *op = node_operator(d);
    if (op->fields & FIELD_GATHER)
      tie_gather(e, i);
    else if (op->scale != SCALE_ACCUMULATOR && op->scale != SCALE_PRODUCT && op->scale != SCALE_TABLE &&
             op->scale != SCALE_WHOLE)
      for (uint32_t k = 0; k < d->input_count; k++) tie_channels(e, i, d->inputs[k]);
  }
}

static void pin(struct equaliser *e, uint32_t i) {
  for (uint32_t c = 0; c < e->net->nodes[i].shape.channels; c++) e->groups[find(e, e->first[i] + c)].pinned = true;
}

static void pin_ends(struct equaliser *e) {
  pin(e, 0);
  pin(e, e->net->count - 1);
  for (uint32_t i = 0; i < e->net->count; i++) {
    const struct network_node *d = &e->net->nodes[i];
    if (d->step > 0) pin(e, i); /* the file's own grid */
    const enum operator_scale rule = node_operator(d)->scale;
    if (rule != SCALE_PRODUCT && rule != SCALE_TABLE && rule != SCALE_WHOLE) continue;
    pin(e, i);
    for (uint32_t k = 0; k < d->input_count; k++) pin(e, d->inputs[k]);
  }
}

/** Largest |weight| of each output channel into rows, of each input channel into columns (both zeroed). */
static void weight_maxima(const struct network_node *d, uint32_t in_channels, double *rows, double *columns) {
  const size_t taps = (size_t)d->window.kernel_h * d->window.kernel_w;
  const uint32_t depth = in_channels / d->groups, per_group = d->shape.channels / d->groups;
  const float *w = d->weights;
  for (uint32_t o = 0; o < d->shape.channels; o++) {
    for (uint32_t k = 0; k < depth; k++) {
      const uint32_t c = o / per_group * depth + k;
      for (size_t t = 0; t < taps; t++, w++) {
        const double v = fabs((double)*w);
        if (v > rows[o]) rows[o] = v;
        if (v > columns[c]) columns[c] = v;
      }
    }
  }
}

static void raise_to(double *to, double v) {
  if (v > *to) *to = v;
}

static double largest(const double *v, size_t count) {
  double m = 0;
  for (size_t i = 0; i < count; i++) raise_to(&m, v[i]);
  return m;
}

static fusion_status survey_linear(struct equaliser *e, uint32_t i) {
  const struct network_node *d = &e->net->nodes[i];
  const uint32_t in = e->net->nodes[d->inputs[0]].shape.channels, out = d->shape.channels;
  double *rows = mem_alloc((size_t)in + out, sizeof *rows);
  if (!rows) return FUSION_E_MEMORY;
  weight_maxima(d, in, rows, rows + out);
  const double top = largest(rows, out);
  for (uint32_t c = 0; top > 0 && c < out; c++) raise_to(&e->groups[find(e, e->first[i] + c)].made, rows[c] / top);
  for (uint32_t c = 0; top > 0 && c < in; c++)
    raise_to(&e->groups[find(e, e->first[d->inputs[0]] + c)].read, rows[out + c] / top);
  mem_free(rows);
  return FUSION_OK;
}

static void survey_values(struct equaliser *e, uint32_t i) {
  const struct network_node *d = &e->net->nodes[i];
  double top = 0;
  for (uint32_t c = 0; c < d->shape.channels; c++)
    raise_to(&top, fmax(fabs((double)d->low[c]), fabs((double)d->high[c])));
  for (uint32_t c = 0; top > 0 && c < d->shape.channels; c++)
    raise_to(&e->groups[find(e, e->first[i] + c)].value, fmax(fabs((double)d->low[c]), fabs((double)d->high[c])) / top);
}

static fusion_status survey(struct equaliser *e) {
  for (size_t v = 0; v < e->count; v++) e->groups[v].made = e->groups[v].read = e->groups[v].value = 0;
  for (uint32_t i = 0; i < e->net->count; i++) {
    const struct network_node *d = &e->net->nodes[i];
    if (node_operator(d)->weights == WEIGHTS_MATRIX) {
      const fusion_status status = survey_linear(e, i);
      if (status != FUSION_OK) return status;
    }
    if (!node_is_raw(d)) survey_values(e, i);
  }
  return FUSION_OK;
}

/** Weights of both sides reach equal shares of their maxima, unless the activation would leave its tensor's range. */
static double choose_factor(const struct group *g) {
  if (g->pinned || g->made <= 0 || g->read <= 0 || g->value <= 0) return 1;
  const double factor = fmin(sqrt(g->read / g->made), 1 / g->value);
  return fmin(fmax(factor, 1 / factor_max), factor_max);
}

static void scale_linear(struct equaliser *e, uint32_t i) {
  struct network_node *d = &e->net->nodes[i];
  const size_t taps = (size_t)d->window.kernel_h * d->window.kernel_w;
  const size_t in = e->first[d->inputs[0]];
  const uint32_t depth = e->net->nodes[d->inputs[0]].shape.channels / d->groups;
  const uint32_t per_group = d->shape.channels / d->groups;
  float *w = d->weights;
  for (uint32_t o = 0; o < d->shape.channels; o++) {
    const double up = e->factor[e->first[i] + o];
    d->bias[o] = (float)(d->bias[o] * up);
    for (uint32_t k = 0; k < depth; k++) {
      const double by = up / e->factor[in + o / per_group * depth + k];
      for (size_t t = 0; t < taps; t++, w++) *w = (float)(*w * by);
    }
  }
}

static fusion_status factors_open(struct network *n) {
  for (uint32_t i = 0; i < n->count; i++) {
    struct network_node *d = &n->nodes[i];
    d->factor = mem_alloc(d->shape.channels, sizeof *d->factor);
    if (!d->factor) return FUSION_E_MEMORY;
    for (uint32_t c = 0; c < d->shape.channels; c++) d->factor[c] = 1;
  }
  return FUSION_OK;
}

static void apply(struct equaliser *e) {
  for (size_t v = 0; v < e->count; v++) e->factor[v] = choose_factor(&e->groups[find(e, v)]);
  for (uint32_t i = 0; i < e->net->count; i++) {
    struct network_node *d = &e->net->nodes[i];
    if (node_operator(d)->weights == WEIGHTS_MATRIX) scale_linear(e, i);
    for (uint32_t c = 0; node_operator(d)->weights == WEIGHTS_BIAS && c < d->shape.channels; c++)
      d->bias[c] = (float)(d->bias[c] * e->factor[e->first[i] + c]);
    for (uint32_t c = 0; c < d->shape.channels; c++) {
      d->low[c] = (float)(d->low[c] * e->factor[e->first[i] + c]);
      d->high[c] = (float)(d->high[c] * e->factor[e->first[i] + c]);
      d->mean[c] = (float)(d->mean[c] * e->factor[e->first[i] + c]);
      d->factor[c] *= e->factor[e->first[i] + c];
    }
  }
}

fusion_status network_equalise(struct network *n) {
  struct equaliser e = {.net = n};
  fusion_status status = FUSION_OK;
  e.first = mem_alloc(n->count, sizeof *e.first);
  FAIL_IF(!e.first, FUSION_E_MEMORY);
  for (uint32_t i = 0; i < n->count; i++) {
    e.first[i] = e.count;
    e.count += n->nodes[i].shape.channels;
  }
  e.parent = mem_alloc(e.count, sizeof *e.parent);
  e.groups = mem_alloc(e.count, sizeof *e.groups);
  e.factor = mem_alloc(e.count, sizeof *e.factor);
  FAIL_IF(!e.parent || !e.groups || !e.factor, FUSION_E_MEMORY);
  TRY(factors_open(n));
  for (size_t v = 0; v < e.count; v++) e.parent[v] = v;
  tie_all(&e);
  pin_ends(&e);
  for (int round = 0; round < ROUNDS; round++) {
    TRY(survey(&e));
    apply(&e);
  }
cleanup:
  mem_free(e.first);
  mem_free(e.parent);
  mem_free(e.groups);
  mem_free(e.factor);
  return status;
}
