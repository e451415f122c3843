/** How large values get: extremes of each calibration sample, and what they let expect of others. */
#include <math.h>

#include "compile/quantise_internal.h"

/* The input's range, in units of the largest magnitude that was seen. */
#define INPUT_ROOM 2

enum { UNITS_SAMPLES_LEAST = 2 /* a feature */ };

fusion_status extremes_open(struct step_extremes *x, uint32_t steps, size_t samples) {
  *x = (struct step_extremes){.samples = samples, .steps = steps};
  size_t count;
  if (!size_mul(steps, samples, &count)) return FUSION_E_MEMORY;
  x->low = mem_alloc(count, sizeof *x->low);
  x->high = mem_alloc(count, sizeof *x->high);
  x->degree = mem_alloc(steps, sizeof *x->degree);
  for (uint32_t i = 0; x->degree && i < steps; i++) x->degree[i] = 1;
  return x->low && x->high && x->degree ? FUSION_OK : FUSION_E_MEMORY;
}

void extremes_close(struct step_extremes *x) {
  mem_free(x->low);
  mem_free(x->high);
  mem_free(x->degree);
  *x = (struct step_extremes){0};
}

void extremes_take(struct step_extremes *x, uint32_t step, size_t sample, const int64_t *values, size_t count,
                   double scale) {
  int64_t low = values[0], high = values[0];
  for (size_t i = 0; i < count; i++) {
    low = values[i] < low ? values[i] : low;
    high = values[i] > high ? values[i] : high;
  }
  x->low[(size_t)step * x->samples + sample] = (double)low * scale;
  x->high[(size_t)step * x->samples + sample] = (double)high * scale;
}

struct moments {
  double mean, deviation, top;
};

/** Of the roots of each sample's largest |value|; `top` is no root. */
static struct moments moments_of(const struct step_extremes *x, uint32_t step) {
  const double *low = x->low + (size_t)step * x->samples, *high = x->high + (size_t)step * x->samples;
  struct moments m = {0};
  double squares = 0;
  for (size_t s = 0; s < x->samples; s++) {
    const double v = fmax(fabs(low[s]), fabs(high[s]));
    const double root = x->degree[step] > 1 ? pow(v, 1 / x->degree[step]) : v;
    m.mean += root;
    squares += root * root;
    m.top = fmax(m.top, v);
  }
  const double n = (double)x->samples;
  m.mean /= n;
  m.deviation = sqrt(fmax(squares / n - m.mean * m.mean, 0)) * (1 + 2 / sqrt(n));
  return m;
}

/* A Gumbel law of this mean and deviation: scale and mode. */
static const double euler = 0.57721566490153286;
static double gumbel_scale(double deviation) {
  return deviation * 0.77969680123368 /* sqrt(6) / pi */;
}

static double quantile(double mean, double deviation, double above) {
  const double scale = gumbel_scale(deviation);
  return mean - euler * scale - scale * log(-log1p(-above));
}

void extremes_bound(struct step_bound *out, const struct step_extremes *x, double overflow, unsigned margin_bits) {
  const bool estimate = overflow > 0 && x->samples >= BOUND_SAMPLES_LEAST;
  for (uint32_t i = 0; i < x->steps; i++) {
    const struct moments m = moments_of(x, i);
    const double factor = ldexp(1, (int)margin_bits);
    out[i] = (struct step_bound){.magnitude = m.top * factor,
                                 .root = x->degree[i],
                                 .mean = m.mean,
                                 .deviation = x->samples >= BOUND_SAMPLES_LEAST ? m.deviation : INFINITY};
    if (!estimate) continue;
    out[i].magnitude = fmax(m.top, pow(quantile(m.mean, m.deviation, overflow), x->degree[i]));
  }
}

void extremes_bound_input(struct step_bound *input, const struct step_extremes *x) {
  if (x->samples < BOUND_SAMPLES_LEAST) return;
  input->magnitude = fmin(input->magnitude, INPUT_ROOM * moments_of(x, 0).top);
}

uint8_t bound_reach_bits(const struct network *net, double scale, size_t samples) {
  const struct network_node *input = &net->nodes[0];
  const double integer = ceil(network_node_magnitude(input) / scale * (1 - 1e-9));
  if (samples < BOUND_SAMPLES_LEAST || !(integer >= 1 && integer < 0x1p32)) return 0;
  const unsigned bits = log2_up((uint64_t)integer + 1) + 1, units = net->input_units.count;
  /* Values reach half a unit at most. Of n samples one in n, by chance, goes beyond all others in a given feature, so
   * with many features most new samples go beyond in one of them. */
  const bool halved = units && bits > 2 && units * UNITS_SAMPLES_LEAST <= samples;
  return (uint8_t)(halved ? bits - 1 : bits);
}

double bound_overflow(const struct step_bound *b, double limit) {
  const double mean = b->mean, scale = gumbel_scale(b->deviation);
  if (!isfinite(b->deviation)) return 1;
  const double root = pow(limit, 1 / b->root);
  if (!(scale > 0)) return root > mean ? 0 : 1;
  return -expm1(-exp(-(root - mean) / scale - euler));
}
