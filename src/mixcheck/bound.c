#include "mixcheck/bound.h"

#include <gmp.h>
#include <math.h>

enum {
  ENDS = 64,             /* i scanned at either end, unless the bound on the rest asks for more */
  SIGNIFICANT_BITS = 64, /* terms smaller than the largest by more than this do not count */
  NEGLIGIBLE_BITS = 300, /* nor do terms below 2^-300: all 2^40 i together are below 2^-260 */
  NEGLIGIBLE_PART = 128, /* nor those below 2^-128 of t(1,0): all i together are below 2^-88 of P */
};
#define NOTHING (-HUGE_VALL)

static long double log2_factorial(uint64_t n) {
  int sign; /* lgammal would write a global */
  return lgammal_r((long double)n + 1, &sign) / logl(2);
}

long double bound_log2_choose(uint64_t n, uint64_t k) {
  if (k > n) return NOTHING;
  if (k > n - k) k = n - k;
  if (k > 32) return log2_factorial(n) - log2_factorial(k) - log2_factorial(n - k);
  long double product = 1; /* exact to the last bits where it matters most: few positions out of many; below 2^2048 */
  for (uint64_t j = 0; j < k; j++) product *= (long double)(n - j) / (long double)(j + 1);
  return log2l(product);
}

static long double log2_sum(long double a, long double b) {
  const long double high = fmaxl(a, b), low = fminl(a, b);
  return low == NOTHING ? high : high + log2l(1 + exp2l(low - high));
}

uint64_t mix_choice_samples(const struct mix_choice *c) {
  return c->queries * c->copies + c->public_samples * c->public_copies;
}

long double bound_margin(const struct mix_choice *c) {
  const long double n = (long double)mix_choice_samples(c);
  return fminl(BOUND_MARGIN, fmaxl(0x1p-36L, n * log2l(n) * 0x1p-56L));
}

long double bound_term(const struct mix_choice *c, uint64_t i, uint64_t k) {
  return bound_log2_choose(c->queries, i) + bound_log2_choose(c->public_samples, k) -
         bound_log2_choose(mix_choice_samples(c), i * c->copies + k * c->public_copies);
}

/** K >= 2: the terms (i, k) and (i, T-k), and those with a k between these, are negligible from the first k on at which
 * C(T,k)^(K-1) exceeds 2^`room`: all of them when it is below zero. */
static long double room_of(const struct mix_choice *c, uint64_t i) {
  const long double least = fminl(-NEGLIGIBLE_BITS, bound_term(c, 1, 0) - NEGLIGIBLE_PART);
  return -least - (long double)(c->copies - 1) * bound_log2_choose(c->queries, i);
}

/** Must (i, k), and (i, T-k) where so many may be wrong, be looked at? k <= T/2, so beyond e there is neither. */
static bool counts(const struct mix_choice *c, uint64_t k, long double room) {
  return k <= c->errors && k <= c->public_samples / 2 &&
         (long double)(c->public_copies - 1) * bound_log2_choose(c->public_samples, k) <= room;
}

static void take_larger(struct bound_peak *best, const struct mix_choice *c, uint64_t i, uint64_t k) {
  const long double term = bound_term(c, i, k);
  if (term > best->log2) *best = (struct bound_peak){i, k, term};
}

/** g(i): the best k for i corrupted queries. */
static struct bound_peak peak_of(const struct mix_choice *c, uint64_t i) {
  if (c->public_copies == 1) {
    const unsigned __int128 best = (unsigned __int128)i * (c->public_samples + 1) / c->queries;
    const uint64_t k = best < c->errors ? (uint64_t)best : c->errors;
    return (struct bound_peak){i, k, bound_term(c, i, k)};
  }
  struct bound_peak peak = {i, 0, bound_term(c, i, 0)};
  const long double room = room_of(c, i);
  for (uint64_t k = 0; counts(c, k, room); k++) {
    take_larger(&peak, c, i, k);
    if (c->public_samples - k <= c->errors) take_larger(&peak, c, i, c->public_samples - k);
  }
  return peak;
}

/** The i that must be looked at one by one: 1..low and high..R. `rest` bounds log2 of the sum of g over the others. */
struct ends {
  uint64_t low, high;
  long double rest;
};

static struct ends find_ends(const struct mix_choice *c) {
  const uint64_t r = c->queries;
  for (uint64_t width = ENDS; width < r / 2; width *= 2) {
    const long double rest = log2l((long double)r) - (long double)(c->copies - 1) * bound_log2_choose(r, width + 1);
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

/** The i that allow s, first to last: k <= e, so i*B >= s - e*K. */
struct range {
  uint64_t first, last;
};

static struct range queries_at(const struct mix_choice *c, uint64_t s) {
  const uint64_t most = c->errors * c->public_copies, last = s / c->copies;
  const uint64_t first = s > most ? div_up(s - most, c->copies) : 1;
  return (struct range){first ? first : 1, last < c->queries ? last : c->queries};
}

/** The k that goes with i at s; false when none does. */
static bool errors_at(const struct mix_choice *c, uint64_t s, uint64_t i, uint64_t *k) {
  const uint64_t positions = s - i * c->copies;
  *k = positions / c->public_copies;
  return positions % c->public_copies == 0;
}

/** log2 of the sum for one s, over all i that allow it. */
static long double sum_at(const struct mix_choice *c, uint64_t s) {
  const struct range range = queries_at(c, s);
  long double sum = NOTHING;
  uint64_t k;
  for (uint64_t i = range.first; i <= range.last; i++)
    if (errors_at(c, s, i, &k)) sum = log2_sum(sum, bound_term(c, i, k));
  return sum;
}

bool bound_holds_at(const struct mix_choice *c, uint64_t s, uint32_t bits) {
  mpz_t sum, term, other;
  mpz_inits(sum, term, other, NULL);
  const struct range range = queries_at(c, s);
  uint64_t k;
  for (uint64_t i = range.first; i <= range.last; i++) {
    if (!errors_at(c, s, i, &k)) continue;
    mpz_bin_uiui(term, c->queries, i);
    mpz_bin_uiui(other, c->public_samples, k);
    mpz_addmul(sum, term, other);
  }
  mpz_mul_2exp(sum, sum, bits);
  mpz_bin_uiui(other, mix_choice_samples(c), s);
  const bool holds = mpz_cmp(sum, other) <= 0;
  mpz_clears(sum, term, other, NULL);
  return holds;
}

/** Visits every s that may reach the maximum, which is at least the largest term. So the largest term of the sum there
 * must be at least the largest of all over the number of significant i, and at least the largest of all less what
 * the other i can add. `visit` returns false to stop. */
struct visitor {
  bool (*visit)(struct visitor *v, const struct mix_choice *c, uint64_t s);
  uint32_t bits;
  long double best;
  uint64_t worst;
  bool holds;
};

static bool visit_term(struct visitor *v, const struct mix_choice *c, uint64_t i, uint64_t k) {
  return v->visit(v, c, i * c->copies + k * c->public_copies);
}

/** K = 1: s around i*B + k for the k near the peak of i, while the terms are at least `least`. */
static bool visit_around(struct visitor *v, const struct mix_choice *c, const struct bound_peak *peak,
                         long double least) {
  for (uint64_t k = peak->k; k <= c->errors && (k == peak->k || bound_term(c, peak->i, k) >= least); k++)
    if (!visit_term(v, c, peak->i, k)) return false;
  for (uint64_t k = peak->k; k-- > 0 && bound_term(c, peak->i, k) >= least;)
    if (!visit_term(v, c, peak->i, k)) return false;
  return true;
}

/** K >= 2: s of the k at both ends whose terms are at least `least`. */
static bool visit_ends(struct visitor *v, const struct mix_choice *c, uint64_t i, long double least) {
  const long double room = room_of(c, i);
  for (uint64_t k = 0; counts(c, k, room); k++) {
    const uint64_t other = c->public_samples - k;
    if (bound_term(c, i, k) >= least && !visit_term(v, c, i, k)) return false;
    if (other <= c->errors && bound_term(c, i, other) >= least && !visit_term(v, c, i, other)) return false;
  }
  return true;
}

static void visit_candidates(struct visitor *v, const struct mix_choice *c) {
  const struct ends ends = find_ends(c);
  const struct bound_peak largest = bound_largest_term(c);
  uint64_t significant = 0;
  long double parts = exp2l(ends.rest - largest.log2); /* of the largest term: all peaks together */
  for (uint64_t i = 1; i <= c->queries; i = next_i(&ends, i)) {
    const long double below = peak_of(c, i).log2 - largest.log2;
    significant += below >= -SIGNIFICANT_BITS;
    parts += exp2l(below);
  }
  for (uint64_t i = 1; i <= c->queries; i = next_i(&ends, i)) {
    const struct bound_peak peak = peak_of(c, i);
    const long double others = parts - exp2l(peak.log2 - largest.log2);
    const long double part = fmaxl(1 / (long double)significant, 1 - others);
    const long double least = largest.log2 + log2l(part) - bound_margin(c);
    if (peak.log2 < least) continue;
    if (!(c->public_copies == 1 ? visit_around(v, c, &peak, least) : visit_ends(v, c, i, least))) return;
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
  const long double limit = -(long double)v->bits, sum = sum_at(c, s), margin = bound_margin(c);
  if (sum > limit - margin) v->holds = sum < limit + margin && bound_holds_at(c, s, v->bits);
  return v->holds;
}

bool bound_holds(const struct mix_choice *c, uint32_t bits) {
  const long double limit = -(long double)bits, margin = bound_margin(c);
  if (fmaxl(peak_of(c, 1).log2, peak_of(c, c->queries).log2) > limit + margin) return false;
  if (bound_largest_term(c).log2 > limit + margin) return false;
  if (upper_bound(c) < limit - margin) return true;
  struct visitor v = {.visit = visit_for_decision, .bits = bits, .holds = true};
  visit_candidates(&v, c);
  return v.holds;
}

long double bound_paper_bits(const struct mix_choice *c) {
  return bound_log2_choose(mix_choice_samples(c), c->copies) - log2l((long double)c->queries);
}
