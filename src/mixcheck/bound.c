#include "mixcheck/bound.h"

#include <gmp.h>
#include <math.h>

enum {
  ENDS = 64,             /* i scanned at either end, unless the bound on the rest asks for more */
  SIGNIFICANT_BITS = 64, /* terms smaller than the largest by more than this do not count */
};
#define NOTHING (-HUGE_VALL)

static long double log2_factorial(uint64_t n) {
  int sign; /* lgammal would write a global */
  return lgammal_r((long double)n + 1, &sign) / logl(2);
}

static long double log2_choose(uint64_t n, uint64_t k) {
  if (k > n) return NOTHING;
  if (k > n - k) k = n - k;
  if (k > 32) return log2_factorial(n) - log2_factorial(k) - log2_factorial(n - k);
  long double sum = 0; /* exact to the last bits where it matters most: few positions out of many */
  for (uint64_t j = 0; j < k; j++) sum += log2l((long double)(n - j) / (long double)(j + 1));
  return sum;
}

static long double log2_sum(long double a, long double b) {
  const long double high = fmaxl(a, b), low = fminl(a, b);
  return low == NOTHING ? high : high + log2l(1 + exp2l(low - high));
}

static uint64_t total(const struct mix_choice *c) {
  return c->queries * c->copies + c->public_samples;
}

long double bound_term(const struct mix_choice *c, uint64_t i, uint64_t k) {
  return log2_choose(c->queries, i) + log2_choose(c->public_samples, k) - log2_choose(total(c), i * c->copies + k);
}

/** g(i): the best k for i corrupted queries. */
static struct bound_peak peak_of(const struct mix_choice *c, uint64_t i) {
  const unsigned __int128 best = (unsigned __int128)i * (c->public_samples + 1) / c->queries;
  const uint64_t k = best < c->errors ? (uint64_t)best : c->errors;
  return (struct bound_peak){i, k, bound_term(c, i, k)};
}

/** The i that must be looked at one by one: 1..low and high..R. `rest` bounds log2 of the sum of g over the others. */
struct ends {
  uint64_t low, high;
  long double rest;
};

static struct ends find_ends(const struct mix_choice *c) {
  const uint64_t r = c->queries;
  for (uint64_t width = ENDS; width < r / 2; width *= 2) {
    const long double rest = log2l((long double)r) - (long double)(c->copies - 1) * log2_choose(r, width + 1);
    if (rest < -2 * 128) return (struct ends){width, r - width, rest};
  }
  return (struct ends){r, r + 1, NOTHING};
}

static uint64_t next_i(const struct ends *ends, uint64_t i) {
  return i == ends->low ? ends->high : i + 1;
}

struct bound_peak bound_largest_term(const struct mix_choice *c) {
  const struct ends ends = find_ends(c);
  struct bound_peak best = {0, 0, NOTHING};
  for (uint64_t i = 1; i <= c->queries; i = next_i(&ends, i)) {
    const struct bound_peak peak = peak_of(c, i);
    if (peak.log2 > best.log2) best = peak;
  }
  return best;
}

/** sum of g over all i: never below P. */
static long double upper_bound(const struct mix_choice *c) {
  const struct ends ends = find_ends(c);
  long double sum = ends.rest;
  for (uint64_t i = 1; i <= c->queries; i = next_i(&ends, i)) sum = log2_sum(sum, peak_of(c, i).log2);
  return sum;
}

/** log2 of the sum for one s, over all i that allow it. */
static long double sum_at(const struct mix_choice *c, uint64_t s) {
  const uint64_t first = s > c->errors ? div_up(s - c->errors, c->copies) : 1, last = s / c->copies;
  long double sum = NOTHING;
  for (uint64_t i = first ? first : 1; i <= last && i <= c->queries; i++)
    sum = log2_sum(sum, bound_term(c, i, s - i * c->copies));
  return sum;
}

bool bound_holds_at(const struct mix_choice *c, uint64_t s, uint32_t bits) {
  mpz_t sum, term, other;
  mpz_inits(sum, term, other, NULL);
  const uint64_t first = s > c->errors ? div_up(s - c->errors, c->copies) : 1, last = s / c->copies;
  for (uint64_t i = first ? first : 1; i <= last && i <= c->queries; i++) {
    mpz_bin_uiui(term, c->queries, i);
    mpz_bin_uiui(other, c->public_samples, s - i * c->copies);
    mpz_addmul(sum, term, other);
  }
  mpz_mul_2exp(sum, sum, bits);
  mpz_bin_uiui(other, total(c), s);
  const bool holds = mpz_cmp(sum, other) <= 0;
  mpz_clears(sum, term, other, NULL);
  return holds;
}

/** Visits every s that may reach the maximum: a term of the sum there must be at least the largest term over the number
 * of significant i. `visit` returns false to stop. */
struct visitor {
  bool (*visit)(struct visitor *v, const struct mix_choice *c, uint64_t s);
  uint32_t bits;
  long double best;
  uint64_t worst;
  bool holds;
};

/** s around i*B + k for the k near the peak of i, while the terms are at least `least`. */
static bool visit_around(struct visitor *v, const struct mix_choice *c, const struct bound_peak *peak,
                         long double least) {
  for (uint64_t k = peak->k; k <= c->errors && (k == peak->k || bound_term(c, peak->i, k) >= least); k++)
    if (!v->visit(v, c, peak->i * c->copies + k)) return false;
  for (uint64_t k = peak->k; k-- > 0 && bound_term(c, peak->i, k) >= least;)
    if (!v->visit(v, c, peak->i * c->copies + k)) return false;
  return true;
}

static void visit_candidates(struct visitor *v, const struct mix_choice *c) {
  const struct ends ends = find_ends(c);
  const struct bound_peak largest = bound_largest_term(c);
  uint64_t significant = 0;
  for (uint64_t i = 1; i <= c->queries; i = next_i(&ends, i))
    significant += peak_of(c, i).log2 >= largest.log2 - SIGNIFICANT_BITS;
  const long double least = largest.log2 - log2l((long double)significant) - BOUND_MARGIN;
  for (uint64_t i = 1; i <= c->queries; i = next_i(&ends, i)) {
    const struct bound_peak peak = peak_of(c, i);
    if (peak.log2 >= least && !visit_around(v, c, &peak, least)) return;
  }
}

static bool visit_for_worst(struct visitor *v, const struct mix_choice *c, uint64_t s) {
  const long double sum = sum_at(c, s);
  if (sum > v->best) {
    v->best = sum;
    v->worst = s;
  }
  return true;
}

long double bound_log2(const struct mix_choice *c, uint64_t *worst) {
  struct visitor v = {.visit = visit_for_worst, .best = NOTHING};
  visit_candidates(&v, c);
  if (worst) *worst = v.worst;
  return fminl(v.best, 0);
}

static bool visit_for_decision(struct visitor *v, const struct mix_choice *c, uint64_t s) {
  const long double limit = -(long double)v->bits, sum = sum_at(c, s);
  if (sum > limit - BOUND_MARGIN) v->holds = sum < limit + BOUND_MARGIN && bound_holds_at(c, s, v->bits);
  return v->holds;
}

bool bound_holds(const struct mix_choice *c, uint32_t bits) {
  const long double limit = -(long double)bits;
  if (fmaxl(peak_of(c, 1).log2, peak_of(c, c->queries).log2) > limit + BOUND_MARGIN) return false;
  if (bound_largest_term(c).log2 > limit + BOUND_MARGIN) return false;
  if (upper_bound(c) < limit - BOUND_MARGIN) return true;
  struct visitor v = {.visit = visit_for_decision, .bits = bits, .holds = true};
  visit_candidates(&v, c);
  return v.holds;
}

long double bound_paper_bits(const struct mix_choice *c) {
  return log2_choose(total(c), c->copies) - log2l((long double)c->queries);
}
