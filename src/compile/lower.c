/** Lowering: decides which tensors are raw (straight from a linear layer) and puts the truncations. */
#include <math.h>
#include <stdio.h>

#include "compile/lower_internal.h"

enum { FIRST_CAPACITY = 64, TERMS_MAX = 4, NOT_MADE = -1 };

static bool grow(struct network *n) {
  if (n->count < n->capacity) return true;
  const uint32_t capacity = n->capacity ? 2 * n->capacity : FIRST_CAPACITY;
  struct network_node *nodes = mem_alloc(capacity, sizeof *nodes);
  if (!nodes) return false;
  if (n->count) memcpy(nodes, n->nodes, n->count * sizeof *nodes);
  mem_free(n->nodes);
  n->nodes = nodes;
  n->capacity = capacity;
  return true;
}

struct network_node *lower_append(struct lowering *l, enum program_op op, uint32_t origin, const uint32_t *inputs,
                                  uint32_t input_count) {
  if (!grow(l->net)) return NULL;
  struct network_node *d = &l->net->nodes[l->net->count];
  const struct graph_node *from = &l->graph->nodes[origin];
  *d = (struct network_node){.op = op, .shape = from->shape, .origin = origin, .groups = 1};
  snprintf(d->name, sizeof d->name, "%s", from->name);
  for (char *p = d->name; *p; p++)
    if ((unsigned char)*p < 0x20 || (unsigned char)*p == 0x7f) *p = '?';
  if (input_count) {
    d->inputs = mem_alloc(input_count, sizeof *d->inputs);
    if (!d->inputs) return NULL;
    memcpy(d->inputs, inputs, input_count * sizeof *inputs);
    d->input_count = input_count;
  }
  l->net->count++;
  return d;
}

static bool is_raw(const struct lowering *l, int64_t node) {
  return l->net->nodes[node].raw_terms > 0;
}

fusion_status lower_clean(struct lowering *l, uint32_t g, uint32_t *out) {
  if (l->cleaned[g] == NOT_MADE) {
    if (is_raw(l, l->made[g])) {
      const uint32_t from = (uint32_t)l->made[g];
      struct network_node *d = lower_append(l, OP_TRUNCATE, g, &from, 1);
      if (!d) return FUSION_E_MEMORY;
      d->octaves = l->graph->nodes[g].more_bits;
      l->cleaned[g] = l->net->count - 1;
    } else {
      l->cleaned[g] = l->made[g];
    }
  }
  *out = (uint32_t)l->cleaned[g];
  return FUSION_OK;
}

/** The raw version where there is one and nobody else needs the tensor; else the clean one. */
static fusion_status make_raw(struct lowering *l, uint32_t g, uint32_t *out) {
  if (l->consumers[g] > 1) return lower_clean(l, g, out);
  *out = (uint32_t)l->made[g];
  return FUSION_OK;
}

fusion_status lower_done(struct lowering *l, uint32_t g) {
  l->made[g] = l->net->count - 1;
  return FUSION_OK;
}

/* A clean node of whole numbers: its class has their unit, 1. */
static void set_whole(struct lowering *l, uint32_t node) {
  l->net->nodes[node].whole = true;
  l->net->nodes[node].step = 1;
}

static bool is_whole(const struct lowering *l, int64_t node) {
  return l->net->nodes[node].whole;
}

/** The last node's values are whole where those of all its inputs are. */
static void pass_whole(struct lowering *l) {
  const uint32_t last = l->net->count - 1;
  const struct network_node *d = &l->net->nodes[last];
  for (uint32_t k = 0; k < d->input_count; k++)
    if (!is_whole(l, d->inputs[k])) return;
  set_whole(l, last);
}

static float *copy_floats(const float *from, size_t count) {
  float *to = mem_alloc(count, sizeof *to);
  if (to && from) memcpy(to, from, count * sizeof *to);
  return to;
}

static fusion_status lower_linear(struct lowering *l, uint32_t g) {
  const struct graph_node *n = &l->graph->nodes[g];
  const bool affine = n->op == GRAPH_AFFINE;
  const uint32_t in_channels = l->graph->nodes[n->inputs[0]].shape.channels;
  const uint32_t groups = affine ? n->shape.channels : n->groups;
  uint32_t from;
  fusion_status status = lower_clean(l, n->inputs[0], &from);
  if (status != FUSION_OK) return status;
  struct network_node *d = lower_append(l, OP_LINEAR, g, &from, 1);
  if (!d) return FUSION_E_MEMORY;
  d->window = affine ? window_make(1, 1, 1) : n->window;
  d->groups = groups;
  d->raw_terms = 1;
  d->weights = copy_floats(
      n->weights, (size_t)n->shape.channels * (in_channels / groups) * d->window.kernel_h * d->window.kernel_w);
  d->bias = copy_floats(n->bias, n->shape.channels);
  return d->weights && d->bias ? lower_done(l, g) : FUSION_E_MEMORY;
}

int lower_sign(const struct graph_node *n) {
  const float sign = n->weights ? n->weights[0] : 1;
  for (uint32_t c = 1; n->weights && c < n->shape.channels; c++)
    if (n->weights[c] != sign) return 0;
  return sign == 1 ? 1 : sign == -1 ? -1 : 0;
}

static bool all_whole(const float *v, size_t count) {
  for (size_t i = 0; v && i < count; i++)
    if (rintf(v[i]) != v[i]) return false;
  return true;
}

static fusion_status lower_affine(struct lowering *l, uint32_t g) {
  const struct graph_node *n = &l->graph->nodes[g];
  const int sign = lower_sign(n);
  if (!sign) return lower_linear(l, g);
  uint32_t from;
  const fusion_status status = lower_clean(l, n->inputs[0], &from);
  if (status != FUSION_OK) return status;
  const bool whole = is_whole(l, from);
  if (whole && !all_whole(n->bias, n->shape.channels)) return lower_linear(l, g); /* not in units of 1 */
  struct network_node *d = lower_append(l, OP_OFFSET, g, &from, 1);
  if (!d) return FUSION_E_MEMORY;
  d->negate = sign < 0;
  d->bias = copy_floats(n->bias, n->shape.channels);
  if (whole) set_whole(l, l->net->count - 1);
  return d->bias ? lower_done(l, g) : FUSION_E_MEMORY;
}

fusion_status lower_factors(struct lowering *l, uint32_t g, uint32_t from, struct shape shape, const float *factors) {
  struct network_node *d = lower_append(l, OP_LINEAR, g, &from, 1);
  if (!d) return FUSION_E_MEMORY;
  d->shape = shape;
  d->window = window_make(1, 1, 1);
  d->groups = shape.channels;
  d->raw_terms = 1;
  d->weights = copy_floats(factors, shape.channels);
  d->bias = copy_floats(NULL, shape.channels);
  for (uint32_t c = 0; d->weights && !factors && c < shape.channels; c++) d->weights[c] = 1;
  return d->weights && d->bias ? FUSION_OK : FUSION_E_MEMORY;
}

/** Of two clean terms that of a much smaller range becomes a layer of ones, where they must not share a scale. */
static fusion_status part_terms(struct lowering *l, uint32_t g, uint32_t from[2]) {
  const struct graph_node *n = &l->graph->nodes[g];
  if (is_raw(l, from[0]) || is_raw(l, from[1]) || is_whole(l, from[0]) || is_whole(l, from[1])) return FUSION_OK;
  for (unsigned k = 0; k < 2; k++) {
    const struct lower_term small = {n->inputs[k], from[k]}, large = {n->inputs[k ^ 1u], from[k ^ 1u]};
    bool apart;
    fusion_status status = lower_stays_apart(l, small, large, &apart);
    if (status == FUSION_OK && !apart) continue;
    if (status == FUSION_OK) status = lower_factors(l, g, from[k], n->shape, NULL);
    from[k] = l->net->count - 1;
    l->net->parted++;
    return status;
  }
  return FUSION_OK;
}

static fusion_status lower_add(struct lowering *l, uint32_t g) {
  const struct graph_node *n = &l->graph->nodes[g];
  uint32_t from[2];
  for (unsigned k = 0; k < 2; k++) {
    const fusion_status status = make_raw(l, n->inputs[k], &from[k]);
    if (status != FUSION_OK) return status;
  }
  const fusion_status parted = part_terms(l, g, from);
  if (parted != FUSION_OK) return parted;
  for (unsigned k = 0; k < 2; k++) {
    /* Beside real values whole numbers need another unit: a layer of ones gives it. */
    if (!is_whole(l, from[k]) || is_whole(l, from[k ^ 1u])) continue;
    const fusion_status status = lower_factors(l, g, from[k], n->shape, NULL);
    if (status != FUSION_OK) return status;
    from[k] = l->net->count - 1;
  }
  unsigned terms = l->net->nodes[from[0]].raw_terms + l->net->nodes[from[1]].raw_terms;
  if (terms > TERMS_MAX) {
    const fusion_status status = lower_clean(l, n->inputs[0], &from[0]);
    if (status != FUSION_OK) return status;
    terms = l->net->nodes[from[1]].raw_terms;
  }
  struct network_node *d = lower_append(l, OP_ADD, g, from, 2);
  if (!d) return FUSION_E_MEMORY;
  d->raw_terms = (uint8_t)terms;
  d->octaves = terms ? 0 : n->more_bits;
  pass_whole(l);
  return lower_done(l, g);
}

/** One sum without a divisor reads g and nothing else. */
static bool feeds_sum(const struct lowering *l, uint32_t g) {
  const struct graph_node *reader = &l->graph->nodes[l->reader[g]];
  return l->consumers[g] == 1 && reader->op == GRAPH_AVGPOOL && reader->sum;
}

/** Products have twice the bits: they are truncated at once, or what they are summed to is. */
static fusion_status lower_mul(struct lowering *l, uint32_t g) {
  const struct graph_node *n = &l->graph->nodes[g];
  uint32_t from[2];
  for (unsigned k = 0; k < 2; k++) {
    const fusion_status status = lower_clean(l, n->inputs[k], &from[k]);
    if (status != FUSION_OK) return status;
  }
  if (!lower_append(l, OP_MUL, g, from, 2)) return FUSION_E_MEMORY;
  const uint32_t product = l->net->count - 1;
  if (feeds_sum(l, g)) return lower_done(l, g);
  pass_whole(l);
  if (is_whole(l, product)) return lower_done(l, g); /* has no more bits than they */
  return lower_append(l, OP_TRUNCATE, g, &product, 1) ? lower_done(l, g) : FUSION_E_MEMORY;
}

/** The same: a product's scale is given by those of what it multiplies, so nothing else joins its accumulator. */
static fusion_status lower_matmul(struct lowering *l, uint32_t g) {
  const struct graph_node *n = &l->graph->nodes[g];
  uint32_t from[2];
  for (unsigned k = 0; k < 2; k++) {
    const fusion_status status = lower_clean(l, n->inputs[k], &from[k]);
    if (status != FUSION_OK) return status;
  }
  struct network_node *d = lower_append(l, OP_MATMUL, g, from, 2);
  if (!d) return FUSION_E_MEMORY;
  d->transpose = n->transpose;
  d->raw_terms = 1;
  const uint32_t product = l->net->count - 1;
  return lower_append(l, OP_TRUNCATE, g, &product, 1) ? lower_done(l, g) : FUSION_E_MEMORY;
}

/** A MaxPool alone reads g, directly or through a rearrangement, and makes few values of many. */
static bool feeds_shrinking_pool(const struct lowering *l, uint32_t g, bool through) {
  if (l->consumers[g] != 1) return false;
  const uint32_t r = l->reader[g];
  const struct graph_node *reader = &l->graph->nodes[r];
  if (reader->op == GRAPH_GATHER && through) return feeds_shrinking_pool(l, r, false);
  return reader->op == GRAPH_MAXPOOL && 2 * shape_size(reader->shape) <= shape_size(l->graph->nodes[g].shape);
}

/** maxpool(relu(x)) = relu(maxpool(x)): fewer Relus, each narrower, and a truncation alone is much cheaper than a Relu.
 *  Through a Concat only if all that it reads are such Relus. */
static bool goes_behind_pool(const struct lowering *l, uint32_t g) {
  if (!feeds_shrinking_pool(l, g, true)) return false;
  const struct graph_node *reader = &l->graph->nodes[l->reader[g]];
  for (uint32_t k = 0; reader->op == GRAPH_GATHER && k < reader->input_count; k++) {
    const uint32_t from = reader->inputs[k];
    if (l->graph->nodes[from].op != GRAPH_RELU || l->consumers[from] != 1) return false;
  }
  return true;
}

static fusion_status lower_relu(struct lowering *l, uint32_t g) {
  uint32_t from;
  const fusion_status status = make_raw(l, l->graph->nodes[g].inputs[0], &from);
  if (status != FUSION_OK) return status;
  l->owes_relu[g] = goes_behind_pool(l, g);
  l->made[g] = from;
  if (l->owes_relu[g]) return FUSION_OK;
  if (!lower_append(l, OP_RELU, g, &from, 1)) return FUSION_E_MEMORY;
  pass_whole(l);
  return lower_done(l, g);
}

/** A Relu behind makes small negative values no reason for a coarser scale. */
static bool is_rectified(const struct lowering *l, uint32_t g) {
  return l->consumers[g] == 1 && l->graph->nodes[l->reader[g]].op == GRAPH_RELU;
}

static fusion_status lower_maxpool(struct lowering *l, uint32_t g) {
  const struct graph_node *n = &l->graph->nodes[g];
  const uint32_t x = n->inputs[0];
  const bool rectified = is_rectified(l, g), owes_relu = l->owes_relu[x];
  uint32_t from;
  const fusion_status status = lower_clean(l, x, &from);
  if (status != FUSION_OK) return status;
  if (rectified && l->consumers[x] == 1 && l->net->nodes[from].op == OP_TRUNCATE) l->net->nodes[from].rectified = true;
  struct network_node *d = lower_append(l, OP_MAXPOOL, g, &from, 1);
  if (!d) return FUSION_E_MEMORY;
  d->window = n->window;
  d->rectified = rectified;
  from = l->net->count - 1;
  pass_whole(l);
  if (owes_relu && !lower_append(l, OP_RELU, g, &from, 1)) return FUSION_E_MEMORY;
  return lower_done(l, g);
}

/** A layer of ones behind network node *at, graph node g's values, and its truncation. */
static fusion_status renew_unit(struct lowering *l, uint32_t g, uint32_t *at) {
  const fusion_status status = lower_factors(l, g, *at, l->graph->nodes[g].shape, NULL);
  if (status != FUSION_OK) return status;
  const uint32_t raw = l->net->count - 1;
  if (!lower_append(l, OP_TRUNCATE, g, &raw, 1)) return FUSION_E_MEMORY;
  *at = l->net->count - 1;
  return FUSION_OK;
}

fusion_status lower_free(struct lowering *l, uint32_t g, uint32_t *out) {
  const fusion_status status = lower_clean(l, g, out);
  return status != FUSION_OK || !is_whole(l, *out) ? status : renew_unit(l, g, out);
}

/** Those that must not share a scale with the first go through a layer of ones, or the first does. */
static fusion_status part_inputs(struct lowering *l, const struct graph_node *n, uint32_t *from) {
  fusion_status status = FUSION_OK;
  for (uint32_t k = 1; k < n->input_count && status == FUSION_OK; k++) {
    const struct lower_term terms[2] = {{n->inputs[0], from[0]}, {n->inputs[k], from[k]}};
    for (unsigned small = 0; small < 2; small++) {
      bool apart;
      TRY(lower_stays_apart(l, terms[small], terms[small ^ 1u], &apart));
      if (!apart) continue;
      TRY(renew_unit(l, terms[small].graph, &from[small ? k : 0]));
      l->net->parted++;
      break;
    }
  }
cleanup:
  return status;
}

/** What a rearrangement reads has one unit: whole numbers keep theirs only among themselves. */
static fusion_status gather_inputs(struct lowering *l, const struct graph_node *n, uint32_t *from) {
  bool whole = true;
  for (uint32_t k = 0; k < n->input_count; k++) {
    const fusion_status status = lower_clean(l, n->inputs[k], &from[k]);
    if (status != FUSION_OK) return status;
    whole = whole && is_whole(l, from[k]);
  }
  for (uint32_t k = 0; !whole && k < n->input_count; k++) {
    const fusion_status status = lower_free(l, n->inputs[k], &from[k]);
    if (status != FUSION_OK) return status;
  }
  return whole ? FUSION_OK : part_inputs(l, n, from);
}

static fusion_status lower_gather(struct lowering *l, uint32_t g) {
  const struct graph_node *n = &l->graph->nodes[g];
  uint32_t *from = mem_alloc(n->input_count, sizeof *from);
  if (!from) return FUSION_E_MEMORY;
  const fusion_status status = gather_inputs(l, n, from);
  struct network_node *d = status == FUSION_OK ? lower_append(l, OP_GATHER, g, from, n->input_count) : NULL;
  l->owes_relu[g] = l->owes_relu[n->inputs[0]];
  mem_free(from);
  if (!d) return status == FUSION_OK ? FUSION_E_MEMORY : status;
  const size_t size = shape_size(n->shape);
  d->gather = mem_alloc(size, sizeof *d->gather);
  if (!d->gather) return FUSION_E_MEMORY;
  for (size_t i = 0; i < size; i++) {
    const struct gather_source s = n->gather[i];
    d->gather[i] = s.input == GATHER_ZERO || s.index == GATHER_ZERO ? (struct gather_source){GATHER_ZERO, 0} : s;
  }
  pass_whole(l);
  return lower_done(l, g);
}

static bool keeps_positive(const struct graph_node *affine) {
  for (uint32_t c = 0; c < affine->shape.channels; c++)
    if (affine->weights[c] < 0 || (affine->bias && affine->bias[c] < 0)) return false;
  return true;
}

bool lower_never_negative(const struct graph *graph, uint32_t g) {
  const struct graph_node *n = &graph->nodes[g];
  switch (n->op) {
    case GRAPH_RELU:
    case GRAPH_COMPARE: return true;
    case GRAPH_QUANTISE: return n->low == 0;
    case GRAPH_ACTIVATION: return n->use.gain > 0 && n->use.kind == ACTIVATION_EXP_BELOW;
    case GRAPH_MUL:
      if (n->inputs[0] == n->inputs[1]) return true;
      break;
    case GRAPH_AFFINE:
      if (!keeps_positive(n)) return false;
      break;
    case GRAPH_MAXPOOL:
    case GRAPH_AVGPOOL:
    case GRAPH_GATHER:
    case GRAPH_ADD: break;
    default: return false;
  }
  for (uint32_t k = 0; k < n->input_count; k++)
    if (!lower_never_negative(graph, n->inputs[k])) return false;
  return true;
}

fusion_status lower_shift(struct lowering *l, uint32_t g, uint32_t *at, bool negate, double bias) {
  struct network_node *d = lower_append(l, OP_OFFSET, g, at, 1);
  if (!d) return FUSION_E_MEMORY;
  *at = l->net->count - 1;
  d->negate = negate;
  d->step = l->graph->nodes[g].step;
  d->bias = copy_floats(NULL, d->shape.channels);
  for (uint32_t c = 0; d->bias && c < d->shape.channels; c++) d->bias[c] = (float)bias;
  return d->bias ? FUSION_OK : FUSION_E_MEMORY;
}

fusion_status lower_bend(struct lowering *l, uint32_t g, uint32_t *at) {
  struct network_node *d = lower_append(l, OP_RELU, g, at, 1);
  if (!d) return FUSION_E_MEMORY;
  *at = l->net->count - 1;
  d->step = l->graph->nodes[g].step;
  return FUSION_OK;
}

/** The file's own grid: rounding happens where the tensor becomes clean. A range that begins at 0 is a Relu; other
 * limits that matter are cut as clips are: high - relu(high - low - relu(x - low)). */
static fusion_status lower_quantise(struct lowering *l, uint32_t g) {
  const struct graph_node *n = &l->graph->nodes[g];
  const double low = (double)n->low * (double)n->step, high = (double)n->high * (double)n->step;
  const bool from_zero = n->low == 0;
  const bool cut = from_zero ? !lower_never_negative(l->graph, n->inputs[0]) : n->keep_low;
  uint32_t at;
  fusion_status status = cut && from_zero ? make_raw(l, n->inputs[0], &at) : lower_free(l, n->inputs[0], &at);
  if (status == FUSION_OK && cut && !from_zero) status = lower_shift(l, g, &at, false, -low);
  if (status == FUSION_OK && cut) status = lower_bend(l, g, &at);
  if (status == FUSION_OK && n->keep_high) {
    status = lower_shift(l, g, &at, true, cut ? high - low : high);
    if (status == FUSION_OK) status = lower_bend(l, g, &at);
    if (status == FUSION_OK) status = lower_shift(l, g, &at, true, high);
  } else if (status == FUSION_OK && cut && !from_zero) {
    status = lower_shift(l, g, &at, false, low);
  }
  if (status != FUSION_OK) return status;
  l->made[g] = at;
  l->net->nodes[at].step = n->step;
  return FUSION_OK;
}

static fusion_status lower_compare(struct lowering *l, uint32_t g) {
  uint32_t from;
  fusion_status status;
  TRY(make_raw(l, l->graph->nodes[g].inputs[0], &from));
  TRY(network_find_thresholds(l->net, from));
  FAIL_IF(!lower_append(l, OP_COMPARE, g, &from, 1), FUSION_E_MEMORY);
  set_whole(l, l->net->count - 1);
  return lower_done(l, g);
cleanup:
  return status;
}

static fusion_status lower_input(struct lowering *l, uint32_t g) {
  if (!lower_append(l, OP_INPUT, g, NULL, 0)) return FUSION_E_MEMORY;
  if (l->graph->nodes[g].step > 0) set_whole(l, 0);
  return lower_done(l, g);
}

static fusion_status lower_node(struct lowering *l, uint32_t g) {
  const struct graph_node *n = &l->graph->nodes[g];
  switch (n->op) {
    case GRAPH_INPUT: return lower_input(l, g);
    case GRAPH_LINEAR: return lower_linear(l, g);
    case GRAPH_AFFINE: return lower_affine(l, g);
    case GRAPH_ADD: return lower_add(l, g);
    case GRAPH_MUL: return lower_mul(l, g);
    case GRAPH_MATMUL: return lower_matmul(l, g);
    case GRAPH_RELU: return lower_relu(l, g);
    case GRAPH_COMPARE: return lower_compare(l, g);
    case GRAPH_MAXPOOL: return lower_maxpool(l, g);
    case GRAPH_AVGPOOL: return lower_average(l, g);
    case GRAPH_GATHER: return lower_gather(l, g);
    case GRAPH_QUANTISE: return lower_quantise(l, g);
    case GRAPH_ACTIVATION: return lower_function(l, g);
    case GRAPH_SOFTMAX:
    case GRAPH_SIGMOID:
    case GRAPH_ARGMAX:
      l->net->softmax = n->op == GRAPH_SOFTMAX;
      l->net->log_softmax = l->net->softmax && n->log;
      l->net->sigmoid = n->op == GRAPH_SIGMOID;
      l->net->argmax = n->op == GRAPH_ARGMAX;
      l->net->logits = n->inputs[0];
      return FUSION_OK;
  }
  return FUSION_E_INTERNAL;
}

/** What was made of a Relu that is still owed lacks it. */
static void find_twins(struct lowering *l) {
  for (uint32_t i = 0; i < l->net->count; i++) l->net->nodes[i].twin = NOT_MADE;
  for (uint32_t g = 0; g < l->graph->count; g++) {
    if (l->owes_relu[g]) continue;
    if (l->made[g] != NOT_MADE) l->net->nodes[l->made[g]].twin = g;
    if (l->cleaned[g] != NOT_MADE) l->net->nodes[l->cleaned[g]].twin = g;
  }
  /* A table has the values that the next node rounds. */
  for (uint32_t i = 1; i < l->net->count; i++)
    if (l->net->nodes[i - 1].op == OP_LOOKUP && l->net->nodes[i].inputs[0] == i - 1 &&
        l->net->nodes[i].op == OP_TRUNCATE)
      l->net->nodes[i - 1].twin = l->net->nodes[i].twin;
}

static void count_consumers(struct lowering *l) {
  for (uint32_t i = 0; i < l->graph->count; i++) {
    l->made[i] = l->cleaned[i] = NOT_MADE;
    for (uint32_t k = 0; k < l->graph->nodes[i].input_count; k++) {
      l->consumers[l->graph->nodes[i].inputs[k]]++;
      l->reader[l->graph->nodes[i].inputs[k]] = i;
    }
  }
}

fusion_status network_lower(struct network *out, const struct graph *graph, const struct network_ranges *ranges,
                            enum network_parting apart, fusion_error *err) {
  *out = (struct network){.logits = graph->count - 1};
  struct lowering l = {.graph = graph, .ranges = ranges, .net = out, .apart = ranges ? apart : PART_NONE, .err = err};
  fusion_status status = FUSION_OK;
  l.made = mem_alloc(graph->count, sizeof *l.made);
  l.cleaned = mem_alloc(graph->count, sizeof *l.cleaned);
  l.consumers = mem_alloc(graph->count, sizeof *l.consumers);
  l.reader = mem_alloc(graph->count, sizeof *l.reader);
  l.owes_relu = mem_alloc(graph->count, sizeof *l.owes_relu);
  FAIL_IF(!l.made || !l.cleaned || !l.consumers || !l.reader || !l.owes_relu, FUSION_E_MEMORY);
  count_consumers(&l);
  for (uint32_t g = 0; g < graph->count; g++) TRY(lower_node(&l, g));
  uint32_t last;
  TRY(lower_clean(&l, out->logits, &last));
  find_twins(&l);
  if (last != out->count - 1 || out->count > PROGRAM_STEPS_MAX)
    status = error_set(err, FUSION_E_UNSUPPORTED,
                       "the network has unused layers after its output, or more than %d steps", (int)PROGRAM_STEPS_MAX);
cleanup:
  if (status == FUSION_E_MEMORY) error_set(err, status, "out of memory while lowering the network");
  if (status != FUSION_OK) network_free(out);
  mem_free(l.made);
  mem_free(l.cleaned);
  mem_free(l.consumers);
  mem_free(l.reader);
  mem_free(l.owes_relu);
  return status;
}
