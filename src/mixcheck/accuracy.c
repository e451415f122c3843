/* What a number of right answers says about a model's accuracy: exact binomial tails, no normal approximation. */
#include <fusion/plan.h>

#include <inttypes.h>
#include <math.h>

#include "base/sized.h"

#define POWER_PUBLIC_MAX UINT64_C(1000000)

/** Probability of exactly k errors in n samples of error probability q, 0 < q < 1. */
static long double point(uint64_t n, uint64_t k, long double q) {
  int sign;
  const long double choose = lgammal_r((long double)n + 1, &sign) - lgammal_r((long double)k + 1, &sign) -
                             lgammal_r((long double)(n - k) + 1, &sign);
  return expl(choose + (long double)k * logl(q) + (long double)(n - k) * log1pl(-q));
}

/** Sum over k = from, from -+ 1, ... away from the mean, where terms fall; stops when they no longer count. */
static long double tail(uint64_t n, uint64_t from, bool down, long double q) {
  long double term = point(n, from, q), sum = 0;
  for (uint64_t k = from; term > sum * 0x1p-70L;) {
    sum += term;
    if (k == (down ? 0 : n)) break;
    term *= down ? (long double)k / (long double)(n - k + 1) * (1 - q) / q
                 : (long double)(n - k) / (long double)(k + 1) * q / (1 - q);
    k = down ? k - 1 : k + 1;
  }
  return sum;
}

/** Pr[errors > k]: small tails keep their relative precision. */
static long double more_than(uint64_t n, uint64_t k, long double q) {
  if (k >= n || q <= 0) return 0;
  if (q >= 1) return 1;
  return (long double)k < q * (long double)n ? 1 - tail(n, k, true, q) : tail(n, k + 1, false, q);
}

static long double at_most(uint64_t n, uint64_t k, long double q) {
  if (k >= n || q <= 0) return 1;
  if (q >= 1) return 0;
  return (long double)k < q * (long double)n ? tail(n, k, true, q) : 1 - tail(n, k + 1, false, q);
}

double fusion_accept_probability(double accuracy, uint64_t samples, uint64_t errors) {
  return (double)at_most(samples, errors, 1 - (long double)accuracy);
}

double fusion_accuracy_lower_bound(uint64_t samples, uint64_t errors, double confidence) {
  if (errors >= samples) return 0;
  /* The accuracy at which so few errors have probability 1 - confidence; that probability rises with the accuracy. */
  long double low = 0, high = 1;
  for (int step = 0; step < 100; step++) {
    const long double middle = (low + high) / 2;
    if (at_most(samples, errors, 1 - middle) < 1 - (long double)confidence)
      low = middle;
    else
      high = middle;
  }
  return (double)low;
}

/** The least T > `from` at which a bad model passes with e errors rarely enough; the chance falls with T. */
static uint64_t least_samples(uint64_t from, uint64_t e, long double bad, long double rate) {
  uint64_t low = from, step = 1; /* low fails, or is the start */
  while (low + step <= POWER_PUBLIC_MAX && at_most(low + step, e, bad) > rate) {
    low += step;
    step *= 2;
  }
  uint64_t end = low + step;
  while (low + 1 < end) {
    const uint64_t middle = low + (end - low) / 2;
    if (at_most(middle, e, bad) > rate)
      low = middle;
    else
      end = middle;
  }
  return end;
}

/** The shortest decimal m with floor((1 - m) * samples) == errors, at most 9 places. */
static double short_accuracy(uint64_t samples, uint64_t errors) {
  const double high = 1 - (double)errors / (double)samples;
  double unit = 1;
  for (int places = 1; places <= 9; places++) {
    unit *= 10;
    const double m = floor(high * unit + 1e-9) / unit;
    if (m > 0 && fusion_plan_allowed_errors(m, samples) == errors) return m;
  }
  return high;
}

static fusion_status find_power(fusion_power *p, fusion_error *err) {
  if (!(p->reject_below >= 0 && p->reject_below < p->promise && p->promise <= 1))
    return error_set(err, FUSION_E_USAGE, "promise %.9g and reject-below %.9g: give 0 <= reject-below < promise <= 1",
                     p->promise, p->reject_below);
  if (!(p->error_rate > 0 && p->error_rate < 0.5))
    return error_set(err, FUSION_E_USAGE, "an error rate of %.9g: give a number above 0 and below 0.5", p->error_rate);
  const long double good = 1 - (long double)p->promise, bad = 1 - (long double)p->reject_below, rate = p->error_rate;
  uint64_t samples = 0;
  for (uint64_t e = 0; samples <= POWER_PUBLIC_MAX; e++) {
    samples = least_samples(samples > e ? samples : e, e, bad, rate);
    if (samples > POWER_PUBLIC_MAX || more_than(samples, e, good) > rate) continue;
    p->public_samples = samples;
    p->allowed_errors = e;
    p->min_accuracy = short_accuracy(samples, e);
    p->refuse_good = (double)more_than(samples, e, good);
    p->accept_bad = (double)at_most(samples, e, bad);
    return FUSION_OK;
  }
  return error_set(err, FUSION_E_UNREACHABLE,
                   "more than %" PRIu64 " public samples would be needed to tell %.9g from %.9g; move them apart",
                   POWER_PUBLIC_MAX, p->promise, p->reject_below);
}

fusion_status fusion_plan_power(fusion_power *power, fusion_error *err) {
  fusion_power p = {.size = sizeof p};
  fusion_status status = sized_take(&p, power, "fusion_power", err);
  if (status == FUSION_OK) status = find_power(&p, err);
  if (status == FUSION_OK) sized_give(power, &p);
  return status;
}
