/** Lowering of ACTIVATION: tables of functions.
 *
 *  A function that levels out, or whose range calibration shows, is one table of its argument, cut to the range. A
 * power or a logarithm over many octaves is not: of x in (0, top), p = the power of two that brings x to [top/2, top)
 * is a table in steps of x's leading five bits, exact on integers, m = x * p needs no rounding, and x^a = p^-a * m^a,
 * log x = log(1/p) + log m with a table of m that spans one octave. One p brings values up by 32; a second one goes on
 * from there. */
#include <math.h>

#include "compile/lower_internal.h"

enum {
  STEP_BITS = 5,      /* octaves of one table in steps */
  OCTAVES_MOST = 11,  /* two of them, and the top one */
  DIRECT_OCTAVES = 3, /* so few need one table of x alone */
  RESULT_OCTAVES = 4, /* additional bits of a power */
  POWER_BITS = 11,    /* of p^-a where that is no whole number */
  SUM_BITS = 2,       /* additional ones of two tables that are summed */
  SHORT_RANGE = 4,    /* of exp(): a 32nd of it is off by a thousandth of the top value */
};
/* What values may go beyond those of calibration; where octaves have room; below, where one more octave is nearly as
 * good. */
static const double margin = 1.25, margin_above = 1.5, margin_below = 2;
/* Largest argument of 32 pieces, of the power of two above it. */
static const double whole = 31.0 / 32;

struct range {
  double low, high;
};

static struct range input_range(const struct lowering *l, uint32_t g) {
  const uint32_t from = l->graph->nodes[g].inputs[0];
  struct range r = {INFINITY, -INFINITY};
  for (uint32_t c = 0; l->ranges && c < l->graph->nodes[from].shape.channels; c++) {
    const double low = (double)l->ranges->low[from][c], high = (double)l->ranges->high[from][c];
    if (low < r.low) r.low = low; /* not fmin: see softmax in float_layer.c */
    if (high > r.high) r.high = high;
  }
  return r;
}

static double power_above(double v) {
  return exp2(ceil(log2(v) - 1e-9));
}

/** min(x, span). */
static fusion_status cut_above(struct lowering *l, uint32_t g, uint32_t *at, double span) {
  fusion_status status;
  TRY(lower_shift(l, g, at, true, span));
  TRY(lower_bend(l, g, at));
  TRY(lower_shift(l, g, at, true, span));
cleanup:
  return status;
}

/** Cuts network node *at to low .. low + span and takes `low` off, as a clip does: span - relu(span - relu(x - low)).
 *  Values beyond it would wrap around in a table. */
static fusion_status cut(struct lowering *l, uint32_t g, uint32_t *at, double low, double span) {
  const bool positive = !(low < 0 || low > 0) && lower_never_negative(l->graph, l->graph->nodes[g].inputs[0]);
  fusion_status status = FUSION_OK;
  if (low < 0 || low > 0) TRY(lower_shift(l, g, at, false, -low));
  if (!positive) TRY(lower_bend(l, g, at));
  if (l->graph->nodes[g].use.kind != ACTIVATION_EXP_BELOW) TRY(cut_above(l, g, at, span));
  l->net->nodes[*at].span = span;
cleanup:
  return status;
}

struct table {
  struct activation_use use;
  double low, high, least;
  float step;
};

/** The table after network node *at, which becomes the new one. */
static fusion_status append_table(struct lowering *l, uint32_t g, uint32_t *at, const struct table *t) {
  struct network_node *d = lower_append(l, OP_LOOKUP, g, at, 1);
  if (!d) return FUSION_E_MEMORY;
  *at = l->net->count - 1;
  d->use = t->use;
  d->table_low = t->low;
  d->table_high = t->high;
  d->table_least = t->least;
  d->step = t->step;
  return FUSION_OK;
}

/** `span`: of its values, 0 where they are graph node g's. */
static fusion_status append_truncation(struct lowering *l, uint32_t g, uint32_t *at, double span) {
  struct network_node *d = lower_append(l, OP_TRUNCATE, g, at, 1);
  if (!d) return FUSION_E_MEMORY;
  *at = l->net->count - 1;
  d->span = span;
  return FUSION_OK;
}

static fusion_status append_pair(struct lowering *l, enum program_op op, uint32_t g, uint32_t *at, uint32_t other,
                                 double span) {
  struct network_node *d = lower_append(l, op, g, (const uint32_t[]){*at, other}, 2);
  if (!d) return FUSION_E_MEMORY;
  *at = l->net->count - 1;
  d->span = span;
  return FUSION_OK;
}

/** Values that are summed up where graph node g is read, directly or behind a rearrangement; 1 when none are. */
static unsigned summed(const struct lowering *l, uint32_t g) {
  for (uint32_t r = g + 1; r < l->graph->count; r++) {
    const struct graph_node *n = &l->graph->nodes[r];
    if (n->input_count != 1 || n->inputs[0] != g) continue;
    if (n->op == GRAPH_AVGPOOL && n->sum) return n->window.kernel_h * n->window.kernel_w;
    if (n->op == GRAPH_GATHER && summed(l, r) > 1) return summed(l, r);
  }
  return 1;
}

/** Additional bits for exponentials of a long row: most of the sum may be values of less than a unit. */
static uint8_t bits_for_row(const struct lowering *l, uint32_t g) {
  enum { SHORT_BITS = 8 };
  const unsigned bits = log2_up(summed(l, g));
  return (uint8_t)(l->graph->nodes[g].use.kind == ACTIVATION_EXP_BELOW && bits > SHORT_BITS ? bits - SHORT_BITS : 0);
}

/** One table of the whole range. */
static fusion_status lower_direct(struct lowering *l, uint32_t g, const struct table *t) {
  uint32_t at;
  fusion_status status;
  TRY(lower_free(l, l->graph->nodes[g].inputs[0], &at));
  TRY(cut(l, g, &at, t->low, t->high - t->low));
  TRY(append_table(l, g, &at, t));
  TRY(append_truncation(l, g, &at, 0));
  l->net->nodes[at].octaves = bits_for_row(l, g);
  TRY(lower_done(l, g));
cleanup:
  return status;
}

/** The part of a function's own range that the argument needs, twice what calibration shows: a shorter range makes
 * finer pieces. A power of two, 1 at most. */
static double range_part(const struct lowering *l, uint32_t g, const struct activation_use *use) {
  enum { HALVINGS = 3 };
  const struct range seen = input_range(l, g);
  const double room = use->kind == ACTIVATION_EXP_BELOW ? margin : 2;
  const double reach = room * fmax(fabs(seen.low), fabs(seen.high));
  if (use->kind == ACTIVATION_LOG_REST) return 1; /* probabilities: all may come */
  const double whole_range = fmax(fabs(activation_low(use)), fabs(activation_high(use)));
  double part = 1;
  for (int i = 0; l->ranges && i < HALVINGS && reach <= whole_range * part / 2; i++) part /= 2;
  return part;
}

/** relu(x) of network node x, which the graph has already where a Relu stands beside the function. */
static fusion_status bend_of(struct lowering *l, uint32_t g, uint32_t x, uint32_t *out) {
  const uint32_t from = l->graph->nodes[g].inputs[0];
  for (uint32_t r = from + 1; r < g; r++) {
    const struct graph_node *n = &l->graph->nodes[r];
    if (n->op != GRAPH_RELU || n->inputs[0] != from || l->owes_relu[r] || l->made[r] < 0) continue;
    const struct network_node *made = &l->net->nodes[l->made[r]];
    *out = (uint32_t)l->made[r];
    if (made->op == OP_RELU && made->inputs[0] == x) return FUSION_OK;
  }
  *out = x;
  return lower_bend(l, g, out);
}

/** An even function: a table of |x| = relu(x) + (relu(x) - x), half as long and without a cut below. */
static fusion_status lower_even(struct lowering *l, uint32_t g) {
  const struct activation_use use = l->graph->nodes[g].use;
  const struct table t = {.use = use, .high = activation_high(&use) * range_part(l, g, &use)};
  uint32_t x, bend, at;
  fusion_status status;
  TRY(lower_free(l, l->graph->nodes[g].inputs[0], &x));
  TRY(bend_of(l, g, x, &bend));
  at = x;
  TRY(lower_shift(l, g, &at, true, 0));
  TRY(append_pair(l, OP_ADD, g, &at, bend, 0));
  TRY(append_pair(l, OP_ADD, g, &at, bend, 0));
  TRY(cut_above(l, g, &at, t.high));
  l->net->nodes[at].span = t.high;
  TRY(append_table(l, g, &at, &t));
  TRY(append_truncation(l, g, &at, 0));
  TRY(lower_done(l, g));
cleanup:
  return status;
}

/** The range in calibration with its margin: 31/32 of a power of two from a multiple of a 32nd of it on. */
static struct range table_range(const struct range *seen) {
  const double middle = (seen->low + seen->high) / 2, half = fmax((seen->high - seen->low) / 2, 0x1p-20) * margin;
  double span = power_above(2 * half / whole);
  double low = floor((middle - half) / span * 32) * span / 32;
  if (low + span * whole < middle + half) {
    span *= 2;
    low = floor((middle - half) / span * 32) * span / 32;
  }
  return (struct range){low, low + span * whole};
}

/** exp(): what it gives 15 below the top counts for nothing beside the rest, so a longer range is cut, and the top is
 * as near to the values seen as its margin allows. */
static struct range exponential_range(const struct range *seen, struct range r, double unit) {
  const double span = fmin((r.high - r.low) / whole, 16 * unit), part = span / 32;
  const double top = seen->high + (seen->high - seen->low) * (margin - 1) / 2;
  r.high = ceil(top / part) * part;
  r.low = r.high - span * whole;
  return r;
}

/** exp() of a long range: a chord of a 32nd of it would be off by too much at the top. Two tables, the second of the
 * top quarter: each has what x is in its part, and exp() of where they meet is taken off the sum. */
static fusion_status lower_exponential(struct lowering *l, uint32_t g, const struct range *r) {
  const struct activation_use *use = &l->graph->nodes[g].use;
  const double meet = r->high - 7 * (r->high - r->low) / 31;
  const struct table parts[2] = {{.use = *use, .low = r->low, .high = meet, .least = r->low},
                                 {.use = *use, .low = meet, .high = r->high, .least = meet}};
  uint32_t at[2];
  fusion_status status;
  for (int k = 0; k < 2; k++) {
    TRY(lower_free(l, l->graph->nodes[g].inputs[0], &at[k]));
    TRY(cut(l, g, &at[k], parts[k].low, parts[k].high - parts[k].low));
    TRY(append_table(l, g, &at[k], &parts[k]));
    TRY(append_truncation(l, g, &at[k], 0));
    l->net->nodes[at[k]].octaves = SUM_BITS;
  }
  TRY(append_pair(l, OP_ADD, g, &at[0], at[1], 0));
  TRY(lower_shift(l, g, &at[0], false, -activation_value(use, meet)));
  TRY(lower_done(l, g));
cleanup:
  return status;
}

static fusion_status lower_calibrated(struct lowering *l, uint32_t g) {
  const struct graph_node *n = &l->graph->nodes[g];
  const struct range seen = input_range(l, g);
  if (!l->ranges)
    return error_set(l->err, FUSION_E_INTERNAL, "layer '%s': its range is not known before calibration", n->name);
  struct range r = table_range(&seen);
  const double unit = (double)n->use.stretch;
  if (n->use.kind == ACTIVATION_EXP && r.high - r.low > SHORT_RANGE * unit) {
    r = exponential_range(&seen, r, unit);
    return lower_exponential(l, g, &r);
  }
  return lower_direct(l, g, &(struct table){.use = n->use, .low = r.low, .high = r.high, .least = r.low});
}

static fusion_status lower_fixed(struct lowering *l, uint32_t g) {
  const struct activation_use use = l->graph->nodes[g].use;
  if (activation_is_even(use.kind)) return lower_even(l, g);
  const double part = range_part(l, g, &use);
  const struct table t = {.use = use,
                          .low = activation_low(&use) * part,
                          .high = activation_high(&use) * part,
                          .least = activation_low(&use) * part};
  return lower_direct(l, g, &t);
}

/** A power or a logarithm of x in (0, top): what has been made of it so far. */
struct octaves {
  const struct graph_node *n;
  double top, bottom;
  uint32_t x;      /* network node of x * p */
  uint32_t factor; /* of p^-a or log(1/p), for all p so far */
  bool any;        /* there is a factor */
};

static bool is_log(const struct octaves *o) {
  return o->n->use.kind == ACTIVATION_LOG;
}

/** The unit of p^-a, p up to 32: whole numbers are exact. */
static float factor_unit(double power) {
  if (power < 0 && floor(power) >= power) return 1;
  return (float)exp2(-POWER_BITS - ceil(fmax(power, 0) * STEP_BITS));
}

static fusion_status append_octave(struct lowering *l, uint32_t g, uint32_t *at, const struct octaves *o,
                                   struct activation_use use) {
  use.stretch = (float)o->top;
  const float step = use.kind == ACTIVATION_OCTAVE_LOG ? 0 : factor_unit((double)use.power);
  const struct table t = {.use = use, .high = o->top * whole, .step = step};
  fusion_status status;
  TRY(append_table(l, g, at, &t));
  if (step <= 0) TRY(append_truncation(l, g, at, fabs(activation_value(&use, 0))));
cleanup:
  return status;
}

/** x times p, and the factor for it beside those of before. */
static fusion_status raise_octaves(struct lowering *l, uint32_t g, struct octaves *o) {
  const struct activation_use *use = &o->n->use;
  uint32_t p = o->x, factor = o->x;
  fusion_status status;
  TRY(append_octave(l, g, &p, o, (struct activation_use){.kind = ACTIVATION_OCTAVE, .gain = 1, .power = -1}));
  if (is_log(o))
    TRY(append_octave(l, g, &factor, o, (struct activation_use){.kind = ACTIVATION_OCTAVE_LOG, .gain = use->gain}));
  else if (use->power < -1 || use->power > -1)
    TRY(append_octave(l, g, &factor, o,
                      (struct activation_use){.kind = ACTIVATION_OCTAVE, .gain = 1, .power = use->power}));
  else
    factor = p;
  TRY(append_pair(l, OP_MUL, g, &o->x, p, o->top * whole));
  const double most = exp2(STEP_BITS * fmax(-(double)use->power, 0));
  if (o->any && is_log(o)) TRY(append_pair(l, OP_ADD, g, &factor, o->factor, 2 * fabs(log(32) * (double)use->gain)));
  if (o->any && !is_log(o)) TRY(append_pair(l, OP_MUL, g, &factor, o->factor, most * most));
  if (o->any && !is_log(o)) {
    TRY(append_truncation(l, g, &factor, most * most));
    l->net->nodes[factor].octaves = (uint8_t)fmin(ceil(fabs((double)use->power) * STEP_BITS), STEP_BITS);
  }
  o->factor = factor;
  o->any = true;
cleanup:
  return status;
}

static fusion_status lower_octaves(struct lowering *l, uint32_t g) {
  const struct graph_node *n = &l->graph->nodes[g];
  const struct range seen = input_range(l, g);
  const bool rises = n->use.kind == ACTIVATION_POWER && n->use.power > 0;
  if (!(seen.high > 0))
    return error_set(l->err, FUSION_E_UNSUPPORTED, "layer '%s': powers and logarithms need values above 0", n->name);
  if (seen.low < 0)
    return error_set(l->err, FUSION_E_UNSUPPORTED,
                     "layer '%s': powers of values on both sides of 0 (%g to %g) are not supported", n->name, seen.low,
                     seen.high);
  struct octaves o = {.n = n, .top = power_above(seen.high * margin_above / whole)};
  o.bottom = fmax(seen.low / margin_below, ldexp(o.top, -OCTAVES_MOST));
  const int count = (int)ceil(log2(o.top / o.bottom));
  if (count <= DIRECT_OCTAVES) {
    const struct table t = {
        .use = n->use, .high = o.top * whole, .least = rises ? 0 : ldexp(o.top, -DIRECT_OCTAVES - 1)};
    return lower_direct(l, g, &t);
  }
  fusion_status status;
  TRY(lower_free(l, n->inputs[0], &o.x));
  TRY(cut(l, g, &o.x, 0, o.top * whole));
  l->net->nodes[o.x].octaves = (uint8_t)(count < STEP_BITS ? count : STEP_BITS);
  for (int left = count; left > 1; left -= STEP_BITS) TRY(raise_octaves(l, g, &o));
  const struct table t = {.use = n->use, .high = o.top * whole, .least = rises ? 0 : o.top / 4};
  const double span =
      fmax(fabs(activation_value(&n->use, rises ? t.high : t.least)), fabs(activation_value(&n->use, t.high)));
  TRY(append_table(l, g, &o.x, &t));
  TRY(append_truncation(l, g, &o.x, span));
  TRY(append_pair(l, is_log(&o) ? OP_ADD : OP_MUL, g, &o.x, o.factor, 0));
  if (!is_log(&o)) TRY(append_truncation(l, g, &o.x, 0));
  /* Small results count alike, too: as factors of rows. Half of their octaves, as what they multiply has its own unit.
   */
  const double octaves = is_log(&o) ? 0 : count * fabs((double)n->use.power) / 2;
  l->net->nodes[o.x].octaves = (uint8_t)fmin(octaves, RESULT_OCTAVES);
  TRY(lower_done(l, g));
cleanup:
  return status;
}

fusion_status lower_function(struct lowering *l, uint32_t g) {
  switch (activation_range(l->graph->nodes[g].use.kind)) {
    case RANGE_FIXED: return lower_fixed(l, g);
    case RANGE_CALIBRATED: return lower_calibrated(l, g);
    case RANGE_OCTAVES: return lower_octaves(l, g);
  }
  return FUSION_E_INTERNAL;
}
