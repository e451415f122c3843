/** Ranges that no input can leave, of what is made of comparisons: their results are 0 or 1 whatever they read. Tighter
 * than widths in bits, which lose up to a bit at every step. */
#include "compile/quantise_internal.h"

/* Larger numbers are left to the widths. */
#define MAGNITUDE_MOST (INT64_C(1) << 31)

static int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}
static int64_t most(int64_t a, int64_t b) {
  return a > b ? a : b;
}

static struct step_reach span_of(int64_t low, int64_t high) {
  const bool known = low > -MAGNITUDE_MOST && high < MAGNITUDE_MOST;
  return (struct step_reach){known, known ? low : 0, known ? high : 0};
}

/* What lies in either. */
static struct step_reach hull_of(struct step_reach a, struct step_reach b) {
  return span_of(least(a.low, b.low), most(a.high, b.high));
}

static struct step_reach of_offset(const struct program_step *s, const struct program_weights *w,
                                   struct step_reach in) {
  const int64_t low = s->negate ? -in.high : in.low, high = s->negate ? -in.low : in.high;
  int64_t bias_low = w->bias[0], bias_high = w->bias[0];
  for (uint32_t c = 1; c < s->out.shape.channels; c++) {
    bias_low = least(bias_low, w->bias[c]);
    bias_high = most(bias_high, w->bias[c]);
  }
  if (bias_low < -MAGNITUDE_MOST || bias_high > MAGNITUDE_MOST) return (struct step_reach){0};
  /* With the biases themselves, which must fit the ring, too. */
  return span_of(bias_low + least(low, 0), bias_high + most(high, 0));
}

static struct step_reach of_linear(const struct program_step *s, const struct program_weights *w, size_t depth,
                                   struct step_reach in) {
  struct step_reach all = {0};
  for (uint32_t c = 0; c < s->out.shape.channels; c++) {
    const int16_t *row = w->weights + c * depth;
    if (w->bias[c] < -MAGNITUDE_MOST || w->bias[c] > MAGNITUDE_MOST) return all;
    int64_t low = w->bias[c], high = low;
    for (size_t k = 0; k < depth; k++) {
      /* Padding puts 0 in an input's place. */
      const int64_t a = row[k] * least(in.low, 0), b = row[k] * most(in.high, 0);
      low += least(a, b);
      high += most(a, b);
    }
    const struct step_reach one = span_of(low, high);
    if (!one.known) return one;
    all = c ? hull_of(all, one) : one;
  }
  return all;
}

static struct step_reach of_gather(const struct program_step *s, const struct step_reach *reach) {
  struct step_reach all = reach[s->inputs[0]];
  for (uint32_t k = 1; k < s->input_count; k++) all = hull_of(all, reach[s->inputs[k]]);
  return hull_of(all, (struct step_reach){true, 0, 0});
}

static struct step_reach of_pool(const struct program_step *s, struct step_reach in) {
  const int64_t taps = (int64_t)s->window.kernel_h * s->window.kernel_w;
  if (taps > MAGNITUDE_MOST) return (struct step_reach){0};
  return span_of(least(taps * in.low, 0), most(taps * in.high, 0));
}

static struct step_reach of_product(struct step_reach a, struct step_reach b, bool square) {
  const int64_t ll = a.low * b.low, lh = a.low * b.high, hl = a.high * b.low, hh = a.high * b.high;
  const int64_t low = least(least(ll, lh), least(hl, hh)), high = most(most(ll, lh), most(hl, hh));
  return span_of(square ? most(low, 0) : low, high);
}

static struct step_reach of_sum(const struct program_step *s, struct step_reach a, struct step_reach b) {
  enum { SHIFT_MOST = 24 };
  if (s->shift_left[0] > SHIFT_MOST || s->shift_left[1] > SHIFT_MOST) return (struct step_reach){0};
  const int64_t x = INT64_C(1) << s->shift_left[0], y = INT64_C(1) << s->shift_left[1];
  return span_of(a.low * x + b.low * y, a.high * x + b.high * y);
}

static struct step_reach of_step(const struct model *m, uint32_t i, const struct step_reach *reach) {
  const struct program_step *s = &m->program.steps[i];
  const struct step_reach unknown = {0};
  if (s->op == OP_COMPARE) return (struct step_reach){true, 0, 1};
  for (uint32_t k = 0; k < s->input_count; k++) {
    /* A raw tensor's ring may be narrower than what it can hold. */
    if (!reach[s->inputs[k]].known || step_input(&m->program, s, k)->raw) return unknown;
  }
  const struct step_reach in = s->input_count ? reach[s->inputs[0]] : unknown;
  switch (s->op) {
    case OP_OFFSET: return of_offset(s, &m->weights[i], in);
    case OP_LINEAR:
      return of_linear(s, &m->weights[i], program_weight_count(&m->program, i) / s->out.shape.channels, in);
    case OP_ADD: return of_sum(s, in, reach[s->inputs[1]]);
    case OP_MUL: return of_product(in, reach[s->inputs[1]], s->inputs[0] == s->inputs[1]);
    case OP_GATHER: return of_gather(s, reach);
    case OP_SUMPOOL: return of_pool(s, in);
    case OP_MAXPOOL: return in;
    case OP_RELU: return s->shift ? unknown : span_of(most(in.low, 0), most(in.high, 0));
    case OP_TRUNCATE: return s->shift ? unknown : in;
    default: return unknown;
  }
}

void quantise_reach(struct step_reach *reach, const struct model *m) {
  for (uint32_t i = 0; i < m->program.count; i++) reach[i] = of_step(m, i, reach);
}

unsigned reach_bits(struct step_reach r) {
  const uint64_t below = r.low < 0 ? (uint64_t)-r.low : 0, above = r.high >= 0 ? (uint64_t)r.high + 1 : 0;
  return log2_up(below > above ? below : above) + 1;
}
