#include "mixcheck/sensitive.h"

#include <fusion/plan.h>

#include <complex.h>
#include <inttypes.h>
#include <math.h>

#include "base/sized.h"

enum {
  POINTS_SMALL = 4096, /* up to here every point of the circle is taken */
  POINTS_MAX = 1 << 20,
  GRID_DENSE = 64, /* s looked at one by one at either end */
  GRID_MAX = 1024,
};
#define TILT_MAX 64.0L
#define TILT_ERROR 1e-3L /* of the saddle point: a circle near it does as well */
#define NOTHING (-HUGE_VALL)
typedef long double complex complex_long;
#ifndef CMPLXL /* glibc 2.36 defines it for gcc alone */
#define CMPLXL(re, im) __builtin_complex((long double)(re), (long double)(im))
#endif

/** The generating function on the circle of radius e^tilt, divided by (1 + e^tilt)^N: each position is tampered with
 * with probability p = 1 - q. Values at angle 0 are the largest; others are given as a part of them. */
struct circle {
  const struct mix_choice *c;
  enum sensitive_event event;
  long double rho, tilt, p, q;
  long double query_none, query_all, query_log;    /* a_B, v_B, log of the queries' factor */
  long double public_none, public_all, public_log; /* a_K, v_K, log of P_e */
  uint64_t k_low, k_high;                          /* the terms of P_e that count */
};

static long double log_choose(uint64_t n, uint64_t k) {
  int sign;
  return lgammal_r((long double)n + 1, &sign) - lgammal_r((long double)k + 1, &sign) -
         lgammal_r((long double)(n - k) + 1, &sign);
}

/** log of ((a + v)^R - a^R), all real. */
static long double log_some(long double a, long double v, uint64_t r) {
  const long double growth = (long double)r * log1pl(v / a);
  return (long double)r * logl(a) + (growth > 50 ? growth : logl(expm1l(growth)));
}

static long double term_log(const struct circle *o, uint64_t k) {
  const uint64_t t = o->c->public_samples;
  return log_choose(t, k) + (long double)k * logl(o->public_all) + (long double)(t - k) * logl(o->public_none);
}

/** The largest term of P_e, those around it that count, and their sum. Terms rise up to the mode and fall after it. */
static void sum_public(struct circle *o) {
  const long double part = o->public_all / (o->public_none + o->public_all);
  const long double mode = part * (long double)(o->c->public_samples + 1);
  const uint64_t e = o->c->errors, top = mode < (long double)e ? (uint64_t)mode : e;
  const long double largest = term_log(o, top), least = largest - 50;
  long double sum = 1;
  for (o->k_low = top; o->k_low > 0 && term_log(o, o->k_low - 1) > least; o->k_low--)
    sum += expl(term_log(o, o->k_low - 1) - largest);
  for (o->k_high = top; o->k_high < e && term_log(o, o->k_high + 1) > least; o->k_high++)
    sum += expl(term_log(o, o->k_high + 1) - largest);
  o->public_log = largest + logl(sum);
}

static struct circle circle_at(const struct mix_choice *c, double rho, enum sensitive_event event, long double tilt) {
  struct circle o = {.c = c, .event = event, .rho = rho, .tilt = tilt};
  o.p = 1 / (1 + expl(-tilt));
  o.q = 1 / (1 + expl(tilt));
  const long double b = (long double)c->copies, k = (long double)c->public_copies;
  o.query_none = (1 - o.rho) + o.rho * powl(o.q, b);
  o.query_all = o.rho * powl(o.p, b);
  o.public_none = (1 - o.rho) + o.rho * powl(o.q, k);
  o.public_all = o.rho * powl(o.p, k);
  o.query_log = event == SENSITIVE_ANY
                    ? log_some(o.query_none, o.query_all, c->queries)
                    : b * logl(o.p) + (long double)(c->queries - 1) * logl(o.query_none + o.query_all);
  sum_public(&o);
  return o;
}

/** log of the generating function over x^s C(N,s): never below the log of the chance with s positions. */
static long double circle_log(const struct circle *o, uint64_t s) {
  const long double n = (long double)mix_choice_samples(o->c);
  const long double positions = n * (o->tilt > 0 ? o->tilt + log1pl(expl(-o->tilt)) : log1pl(expl(o->tilt)));
  return o->query_log + o->public_log + positions - (long double)s * o->tilt - log_choose(mix_choice_samples(o->c), s);
}

/** The circle through the saddle point: circle_log is convex in the tilt. */
static struct circle find_saddle(const struct mix_choice *c, double rho, enum sensitive_event event, uint64_t s) {
  const long double golden = 0.6180339887498948482L;
  long double low = -TILT_MAX, high = TILT_MAX;
  long double left = high - golden * (high - low), right = low + golden * (high - low);
  struct circle at_left = circle_at(c, rho, event, left), at_right = circle_at(c, rho, event, right);
  while (high - low > TILT_ERROR) {
    if (circle_log(&at_left, s) < circle_log(&at_right, s)) {
      high = right;
      right = left;
      at_right = at_left;
      left = high - golden * (high - low);
      at_left = circle_at(c, rho, event, left);
    } else {
      low = left;
      left = right;
      at_left = at_right;
      right = low + golden * (high - low);
      at_right = circle_at(c, rho, event, right);
    }
  }
  return circle_at(c, rho, event, (low + high) / 2);
}

static complex_long log1p_complex(complex_long z) {
  const long double x = creall(z), y = cimagl(z);
  return CMPLXL(log1pl(2 * x + x * x + y * y) / 2, atan2l(y, 1 + x));
}

static complex_long expm1_complex(complex_long z) {
  const long double x = creall(z), y = cimagl(z), half = sinl(y / 2);
  return CMPLXL(expm1l(x) * cosl(y) - 2 * half * half, expl(x) * sinl(y));
}

/** z^n over exp(log_scale). */
static complex_long power_scaled(complex_long z, uint64_t n, long double log_scale) {
  if (n == 0) return expl(-log_scale);
  if (cabsl(z) == 0) return 0;
  return cexpl((long double)n * clogl(z) - log_scale);
}

static complex_long turn(long double angle) {
  return CMPLXL(cosl(angle), sinl(angle));
}

/** Of a sample of m copies, at an angle: (1 - rho) (q + p e^(i angle))^m + rho q^m. */
static complex_long none_at(const struct circle *o, uint64_t m, long double angle) {
  return (1 - o->rho) * power_scaled(o->q + o->p * turn(angle), m, 0) + o->rho * powl(o->q, (long double)m);
}

/** The queries' factor at an angle, as a part of that at 0. */
static complex_long queries_at(const struct circle *o, long double angle) {
  const uint64_t b = o->c->copies, r = o->c->queries;
  const complex_long a = none_at(o, b, angle), v = o->query_all * turn((long double)b * angle);
  if (o->event == SENSITIVE_GIVEN)
    return turn((long double)b * angle) * power_scaled((a + v) / (o->query_none + o->query_all), r - 1, 0);
  if (cabsl(v) <= cabsl(a)) {
    const complex_long growth = (long double)r * log1p_complex(v / a);
    if (creall(growth) < 50) return power_scaled(a, r, o->query_log) * expm1_complex(growth);
  }
  return power_scaled(a + v, r, o->query_log) - power_scaled(a, r, o->query_log);
}

/** P_e at an angle, as a part of that at 0: Horner's rule in a_K. */
static complex_long public_at(const struct circle *o, long double angle) {
  const uint64_t k = o->c->public_copies;
  const complex_long z = none_at(o, k, angle) / o->public_none, step = turn((long double)k * angle);
  const long double odds = o->public_all / o->public_none;
  const uint64_t t = o->c->public_samples;
  complex_long sum = 0, term = turn((long double)k * (long double)o->k_low * angle);
  term *= expl(term_log(o, o->k_low) - o->public_log);
  for (uint64_t i = o->k_low; i <= o->k_high; i++) {
    sum = sum * z + term;
    term *= step * (odds * (long double)(t - i) / (long double)(i + 1));
  }
  return sum * power_scaled(z, t - o->k_high, 0);
}

/** Points of the circle that make the error of the sum negligible: coefficients further apart than this from s are. */
static uint64_t points_for(const struct circle *o, uint64_t s) {
  const uint64_t all = mix_choice_samples(o->c) + 1;
  if (all <= POINTS_SMALL) return all;
  const long double h = 1.0L / 64;
  const struct circle below = circle_at(o->c, (double)o->rho, o->event, o->tilt - h),
                      above = circle_at(o->c, (double)o->rho, o->event, o->tilt + h);
  const long double variance = (circle_log(&below, s) - 2 * circle_log(o, s) + circle_log(&above, s)) / (h * h);
  const long double points = POINTS_SMALL + 40 * sqrtl(fmaxl(variance, 0));
  if (points >= (long double)all) return all;
  return points < (long double)POINTS_MAX ? (uint64_t)points : POINTS_MAX;
}

static long double log_at(const struct circle *o, uint64_t s) {
  const long double pi = 3.14159265358979323846L;
  const uint64_t points = points_for(o, s);
  long double sum = 1; /* angle 0; the others come in conjugate pairs */
  for (uint64_t j = 1; j <= points / 2; j++) {
    const long double angle = 2 * pi * (long double)j / (long double)points;
    /* s times the angle, reduced exactly: j * s mod points */
    const uint64_t reduced = (uint64_t)((unsigned __int128)j * s % points);
    const complex_long back = turn(-2 * pi * (long double)reduced / (long double)points);
    const long double value = creall(queries_at(o, angle) * public_at(o, angle) * back);
    sum += 2 * j == points ? value : 2 * value;
  }
  return sum > 0 ? circle_log(o, s) + logl(sum / (long double)points) : NOTHING;
}

/** All positions: every sensitive sample is wrong, and the number of public ones decides. */
static long double log_everywhere(const struct mix_choice *c, double rho, enum sensitive_event event) {
  const double accepted = fusion_accept_probability(1 - rho, c->public_samples, c->errors);
  const long double some =
      event == SENSITIVE_GIVEN ? 0 : logl(-expm1l((long double)c->queries * log1pl(-(long double)rho)));
  return some + logl(accepted);
}

long double sensitive_log2_at(const struct mix_choice *c, double rho, enum sensitive_event event, uint64_t s) {
  if (s < c->copies) return NOTHING;
  if (s == mix_choice_samples(c)) return log_everywhere(c, rho, event) / logl(2);
  const struct circle o = find_saddle(c, rho, event, s);
  return fminl(log_at(&o, s), circle_log(&o, s)) / logl(2);
}

/** The s that are looked at first: all at either end, then ever further apart. */
static size_t make_grid(const struct mix_choice *c, uint64_t *grid) {
  const uint64_t first = c->copies, last = mix_choice_samples(c), half = (last - first) / 2;
  size_t count = 0;
  for (uint64_t d = 0; d <= half && count < GRID_MAX / 2; d += d < GRID_DENSE ? 1 : d / 16) grid[count++] = first + d;
  for (size_t i = count; i-- > 0;)
    if (last - (grid[i] - first) > grid[count - 1]) grid[count++] = last - (grid[i] - first);
  return count;
}

struct search {
  const struct mix_choice *c;
  double rho;
  enum sensitive_event event;
  long double best;
  uint64_t worst;
};

static void look_at(struct search *f, uint64_t s) {
  if (s < f->c->copies || s > mix_choice_samples(f->c)) return;
  const long double chance = sensitive_log2_at(f->c, f->rho, f->event, s);
  if (chance <= f->best) return;
  f->best = chance;
  f->worst = s;
}

/** Uphill from s, in steps of `reach` and less; then every s near by, since the chance may ripple with B and K. */
static void climb(struct search *f, uint64_t s, uint64_t reach) {
  struct search here = *f;
  here.best = NOTHING;
  look_at(&here, s);
  for (uint64_t step = reach; step > 0;) {
    const uint64_t at = here.worst;
    look_at(&here, at + step);
    look_at(&here, at > step ? at - step : 0);
    if (here.worst == at) step /= 2;
  }
  const uint64_t middle = here.worst, near = f->c->copies + f->c->public_copies;
  for (uint64_t d = 1; d <= near; d++) {
    look_at(&here, middle + d);
    look_at(&here, middle > d ? middle - d : 0);
  }
  if (here.best > f->best) *f = here;
}

long double sensitive_log2(const struct mix_choice *c, double rho, enum sensitive_event event, uint64_t *worst) {
  uint64_t grid[GRID_MAX];
  long double above[GRID_MAX]; /* upper bounds */
  const size_t count = make_grid(c, grid);
  struct search f = {.c = c, .rho = rho, .event = event, .best = NOTHING};
  look_at(&f, mix_choice_samples(c));
  for (size_t i = 0; i < count; i++) {
    const struct circle o = find_saddle(c, rho, event, grid[i]);
    above[i] = circle_log(&o, grid[i]) / logl(2);
  }
  for (size_t i = 0; i < count; i++) {
    const bool peak = (i == 0 || above[i] >= above[i - 1]) && (i + 1 == count || above[i] >= above[i + 1]);
    if (peak && above[i] > f.best) climb(&f, grid[i], i + 1 < count ? grid[i + 1] - grid[i] : 1);
  }
  /* The best of few samples need not be at a peak of the bound. All their s are in the grid: those that the bound does
   * not rule out are looked at. */
  for (size_t i = 0; i < count; i++) {
    const long double best = f.best;
    if (above[i] > best) look_at(&f, grid[i]);
    if (f.best > best) climb(&f, grid[i], i + 1 < count ? grid[i + 1] - grid[i] : 1);
  }
  if (worst) *worst = f.worst;
  return fminl(f.best, 0);
}

fusion_status fusion_plan_sensitivity(const fusion_plan_choice *choice, fusion_sensitivity *out, fusion_error *err) {
  fusion_plan_choice p = {.size = sizeof p};
  fusion_sensitivity s = {.size = sizeof s};
  fusion_status status = sized_take(&p, choice, "fusion_plan_choice", err);
  if (status == FUSION_OK) status = sized_take(&s, out, "fusion_sensitivity", err);
  if (status != FUSION_OK) return status;
  if (!(s.part > 0 && s.part <= 1))
    return error_set(err, FUSION_E_USAGE, "a part of %.9g of all samples: give a number above 0 and at most 1", s.part);
  status = fusion_plan_rate(&p, err); /* checks the numbers */
  if (status != FUSION_OK) return status;
  const struct mix_choice c = {p.queries, p.copies, p.public_samples, p.allowed_errors, p.public_copies};
  s.given_bits = (double)-sensitive_log2(&c, s.part, SENSITIVE_GIVEN, &s.given_positions);
  s.any_bits = (double)-sensitive_log2(&c, s.part, SENSITIVE_ANY, &s.any_positions);
  sized_give(out, &s);
  return FUSION_OK;
}
