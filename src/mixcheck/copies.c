/* The search for the cheapest (B, T).
 *
 * Skipping T rests on this: for given i, k and K a term t(i,k) rises with T up to some point, if at all, and falls from
 * there on. Proof: with x = T+1 the logarithm of t at T+1 over t at T is
 *
 *     h(x) = log(x / (x-k)) - sum over j = 1..K of log(N_j / (N_j-s)),   N_j = RB + (x-1)K + j,  s = iB + kK.
 *
 * Each logarithm is an integral of 1/(x-p) over an interval of p: the first over [0, k], the others over
 * [-c_j, s/K - c_j], c_j = (RB-K+j)/K. These K intervals begin 1/K apart and are not shorter, so together they cover a
 * stretch without a gap, from -RB/K < 0 to some r. So p counts at most 0 times up to r, and at least 0 times above it.
 * If r >= k, then h(x) <= 0. Otherwise (x-r) h(x) falls with x, because (x-r)/(x-p) rises with x for p < r and falls
 * for p > r: h changes its sign once at most, from + to -. So if a term exceeds a limit at T, the larger T at which it
 * does too are those below some T'.
 *
 * Where more errors are allowed as T grows, that skips few T at a time. So with K = 1 look at a server that follows T:
 * it corrupts s = floor(gT) + iB positions, g not above the part of answers that may be wrong. Its terms are those with
 * k = floor(gT) - (i' - i)B. With u = (i' - i)B or that plus 1, and gT - u in place of k, the logarithm of such a term
 * has the derivative
 *
 *     sum over j <= i'B of 1 / (T + (j-u)/g)  +  sum over j <= (R-i')B of 1 / (T + (j+u)/(1-g))  -  sum over j <= RB of
 * 1 / (T+j),
 *
 * the integral over p of D(p) / (T+p)^2, D counting the p of the first two sums up to p less those of the third. D >= 0
 * below p = u/(1-g) while p <= i'B, and D <= 0 from there on, because floor(gp+u) + floor((1-g)p-u) <= floor(p). So the
 * term rises with T up to some point, if at all, and falls from there on, and within an interval of T it is least at
 * one of the ends. In k it is log-concave, so that it is least at one of the two u. */
#include <fusion/plan.h>

#include <inttypes.h>
#include <math.h>

#include "base/sized.h"
#include "mixcheck/bound.h"

#define ACCURACY_UNITS UINT64_C(1000000000)
/* Public samples beyond this are not considered unless asked for: the chance hardly falls any further there. */
#define PUBLIC_SEARCH_MAX (UINT64_C(1) << 24)

enum {
  PRODUCT_TERMS = 64,          /* factors between logarithms: none is below 2^-64 */
  FOLLOWER_WORK_MAX = 1 << 18, /* factors of a follower's chance at one T */
  FAST_PART = 4,               /* a search that skips this part of T is fast enough */
  EXACT_SAMPLES_MAX = 1 << 16, /* integers are quick up to here */
};

void fusion_plan_request_init(fusion_plan_request *request, size_t size) {
  const fusion_plan_request defaults = {
      .size = sizeof defaults, .security_bits = 40, .min_public = 100, .min_accuracy = 0.95};
  sized_init(request, size, &defaults);
}

uint64_t fusion_plan_allowed_errors(double min_accuracy, uint64_t public_samples) {
  if (!(min_accuracy > 0)) return public_samples;
  const double units =
      ceil(min_accuracy * (double)ACCURACY_UNITS - 1e-3); /* decimals as they were written; others up */
  const uint64_t slack = units >= (double)ACCURACY_UNITS ? 0 : ACCURACY_UNITS - (uint64_t)units;
  return (uint64_t)((unsigned __int128)slack * public_samples / ACCURACY_UNITS);
}

/** The caller's request, checked, and that there is a struct for the choice. */
static fusion_status take_request(fusion_plan_request *q, const fusion_plan_request *request,
                                  const fusion_plan_choice *out, fusion_error *err) {
  *q = fusion_plan_request_default();
  fusion_status status = sized_take(q, request, "fusion_plan_request", err);
  if (status == FUSION_OK) status = sized_check(out, "fusion_plan_choice", err);
  if (status != FUSION_OK) return status;
  if (q->queries < 1 || q->queries > FUSION_QUERIES_MAX)
    return error_set(err, FUSION_E_USAGE, "%" PRIu64 " queries: give a number from 1 to 2^40", q->queries);
  if (q->security_bits < 1 || q->security_bits > FUSION_SECURITY_MAX)
    return error_set(err, FUSION_E_USAGE, "security of %u bits: give 1 to %d", q->security_bits, FUSION_SECURITY_MAX);
  if (q->min_public > FUSION_PUBLIC_MAX)
    return error_set(err, FUSION_E_USAGE, "%" PRIu64 " public samples: give at most 2^32", q->min_public);
  if (q->min_canaries > FUSION_PUBLIC_MAX - q->min_public)
    return error_set(err, FUSION_E_USAGE, "%" PRIu64 " canaries beside %" PRIu64 " public samples: give at most 2^32",
                     q->min_canaries, q->min_public);
  if (!q->public_copies) q->public_copies = 1;
  if (q->public_copies > FUSION_PUBLIC_COPIES_MAX)
    return error_set(err, FUSION_E_USAGE, "%" PRIu64 " copies of a public sample: give 1 to %d", q->public_copies,
                     FUSION_PUBLIC_COPIES_MAX);
  if (!(q->min_accuracy > 0 && q->min_accuracy <= 1))
    return error_set(err, FUSION_E_USAGE, "an accuracy of %.9g: give a number above 0 and at most 1", q->min_accuracy);
  return FUSION_OK;
}

/** e at T public samples: with canaries the labelled ones alone may err, and their number is fixed. */
static uint64_t errors_at(const fusion_plan_request *q, uint64_t public_samples) {
  return fusion_plan_allowed_errors(q->min_accuracy, q->min_canaries ? q->min_public : public_samples);
}

static struct mix_choice choice_of(const fusion_plan_request *q, uint64_t copies, uint64_t public_samples) {
  return (struct mix_choice){q->queries, copies, public_samples, errors_at(q, public_samples), q->public_copies};
}

/** The least T in [low, high] for which `c`'s paper bound may hold (it is the term s = B of the true one, and falls
 * with T); high + 1 when none. */
static uint64_t least_by_paper(const fusion_plan_request *q, uint64_t copies, uint64_t low, uint64_t high) {
  uint64_t end = high + 1;
  while (low < end) {
    const uint64_t middle = low + (end - low) / 2;
    const struct mix_choice c = choice_of(q, copies, middle);
    if (bound_paper_bits(&c) >= (long double)q->security_bits - BOUND_MARGIN)
      end = middle;
    else
      low = middle + 1;
  }
  return low;
}

/** The least T' in (T, high] at which the term (i, k), too large at T, no longer is; high + 1 when none. The number of
 * errors allowed only grows with T, so every T between fails. */
static uint64_t skip_term(const fusion_plan_request *q, struct mix_choice c, const struct bound_peak *peak,
                          uint64_t high) {
  const long double limit = -(long double)q->security_bits + BOUND_MARGIN;
  uint64_t low = c.public_samples + 1, end = high + 1;
  while (low < end) {
    c.public_samples = low + (end - low) / 2;
    if (bound_term(&c, peak->i, peak->k) <= limit)
      end = c.public_samples;
    else
      low = c.public_samples + 1;
  }
  return low;
}

/** The least T' in (T, high] with more public answers that must be right than at T, or at which a server that corrupts
 * all but these, too good at T, no longer is; high + 1 when none. With m their number its chance is
 * C(T,m) / C(N,mK) = C(T,T-m) / C(N,N-mK). By the proof above with i = R and k = m = s/K (the intervals are [0, m] and
 * [-c_j, m - c_j]) it rises with T up to some point, if at all, and falls from there on, as long as m stays. */
static uint64_t skip_required(const fusion_plan_request *q, struct mix_choice c, uint64_t high) {
  const long double limit = -(long double)q->security_bits + BOUND_MARGIN;
  const uint64_t required = c.public_samples - c.errors;
  uint64_t low = c.public_samples + 1, end = high + 1;
  while (low < end) {
    const uint64_t middle = low + (end - low) / 2;
    c.public_samples = middle;
    if (middle - errors_at(q, middle) > required || bound_term(&c, c.queries, middle - required) <= limit)
      end = middle;
    else
      low = middle + 1;
  }
  return low;
}

/** A server that corrupts floor(part * T) + first * B positions; see above. */
struct follower {
  uint64_t first; /* the fewest queries that it may have corrupted */
  long double part;
};

/** log2 of the term of i queries at T, its k replaced by part * T - u. */
static long double follower_term(const struct follower *f, const struct mix_choice *c, uint64_t i, long double u) {
  const long double t = (long double)c->public_samples, k = f->part * t - u;
  const uint64_t wrong = i * c->copies, all = c->queries * c->copies;
  long double log2 = bound_log2_choose(c->queries, i), product = 1;
  if (!(k > 0)) return -HUGE_VALL;
  for (uint64_t j = 1; j <= all; j++) {
    product *= (j <= wrong ? k + (long double)j : t - k + (long double)(j - wrong)) / (t + (long double)j);
    if (j % PRODUCT_TERMS && j < all) continue;
    log2 += log2l(product);
    product = 1;
  }
  return log2;
}

/** At most the least chance of the follower, as a part of one, at any T of [low, high]. */
static long double follower_least(const struct follower *f, struct mix_choice c, uint64_t low, uint64_t high) {
  long double sum = 0;
  for (uint64_t i = f->first; i <= c.queries; i++) {
    long double least = HUGE_VALL;
    for (unsigned end = 0; end < 4; end++) {
      const long double u = (long double)((i - f->first) * c.copies) + (end & 1);
      c.public_samples = end & 2 ? high : low;
      least = fminl(least, follower_term(f, &c, i, u));
    }
    sum += exp2l(least);
  }
  return sum;
}

/** The least T' in (T, high] at which the follower is not surely too good; T + 1 when it is not at T either. */
static uint64_t skip_follower(const fusion_plan_request *q, const struct follower *f, const struct mix_choice *c,
                              uint64_t high) {
  const long double limit = exp2l(-(long double)q->security_bits) * (1 + 0x1p-40L);
  uint64_t low = c->public_samples + 1, end = high + 1;
  while (low < end) {
    const uint64_t middle = low + (end - low) / 2;
    if (follower_least(f, *c, c->public_samples, middle) > limit)
      low = middle + 1;
    else
      end = middle;
  }
  return low;
}

/** The same of the followers that do at T what is best there. */
static uint64_t skip_followers(const fusion_plan_request *q, const struct mix_choice *c, uint64_t high) {
  const long double allowed = (long double)fusion_plan_allowed_errors(q->min_accuracy, ACCURACY_UNITS) / ACCURACY_UNITS;
  const uint64_t work = c->queries * c->queries * c->copies;
  uint64_t worst, next = c->public_samples + 1;
  if (c->public_copies > 1 || q->min_canaries || c->queries > FOLLOWER_WORK_MAX || work > FOLLOWER_WORK_MAX)
    return next;
  (void)bound_log2(c, &worst);
  const uint64_t over = worst > c->errors ? div_up(worst - c->errors, c->copies) : 1, first = over > 1 ? over : 1;
  const long double here = (long double)(worst - first * c->copies) / (long double)c->public_samples;
  const long double parts[] = {allowed, fminl(here, allowed)};
  for (size_t i = 0; i < 2; i++) {
    const struct follower f = {first, parts[i]};
    const uint64_t other = skip_follower(q, &f, c, high);
    next = other > next ? other : next;
  }
  return next;
}

/** The next T after one that failed: every T before it fails too. */
static uint64_t next_public(const fusion_plan_request *q, const struct mix_choice *c, uint64_t high) {
  const long double limit = -(long double)q->security_bits + BOUND_MARGIN;
  const struct bound_peak peak = bound_largest_term(c);
  uint64_t next = c->public_samples + 1;
  if (peak.log2 > limit) next = skip_term(q, *c, &peak, high);
  uint64_t other = bound_term(c, c->queries, c->errors) > limit ? skip_required(q, *c, high) : next;
  next = other > next ? other : next;
  if (next - c->public_samples > c->public_samples / FAST_PART) return next;
  other = skip_followers(q, c, high);
  return other > next ? other : next;
}

/** The least T <= high that is secure with this many copies; 0 when none. */
static uint64_t least_public(const fusion_plan_request *q, uint64_t copies, uint64_t high) {
  const uint64_t least = q->min_public + q->min_canaries, floor_public = least > copies ? least : copies;
  if (floor_public > high) return 0;
  for (uint64_t t = least_by_paper(q, copies, floor_public, high); t <= high;) {
    const struct mix_choice c = choice_of(q, copies, t);
    if (bound_holds(&c, q->security_bits)) return t;
    t = next_public(q, &c, high);
  }
  return 0;
}

static fusion_plan_choice rate(const struct mix_choice *c, uint64_t canaries) {
  fusion_plan_choice out = {.size = sizeof out,
                            .queries = c->queries,
                            .copies = c->copies,
                            .public_samples = c->public_samples,
                            .samples = mix_choice_samples(c),
                            .allowed_errors = c->errors,
                            .public_copies = c->public_copies,
                            .canaries = canaries};
  out.cost_per_query = (double)out.samples / (double)out.queries;
  const double bits = (double)-bound_log2(c, NULL);
  out.soundness_bits = bits > 0 ? bits : 0;
  out.paper_bits = (double)bound_paper_bits(c);
  return out;
}

static uint64_t canaries_of(const fusion_plan_request *q, uint64_t public_samples) {
  return q->min_canaries ? public_samples - q->min_public : 0;
}

static fusion_status unreachable(const fusion_plan_request *q, fusion_error *err) {
  return error_set(
      err, FUSION_E_UNREACHABLE,
      "%u bits of security cannot be reached with an accuracy of %.9g: so many public answers may be wrong that a "
      "server can hide; ask for more accuracy or less security",
      q->security_bits, q->min_accuracy);
}

fusion_status fusion_plan_copies(const fusion_plan_request *request, fusion_plan_choice *out, fusion_error *err) {
  fusion_plan_request q;
  const fusion_status status = take_request(&q, request, out, err);
  if (status != FUSION_OK) return status;
  const uint64_t most = q.security_bits > 2 ? q.security_bits : 2;
  const uint64_t least = q.min_public + q.min_canaries;
  const uint64_t search_max = least > PUBLIC_SEARCH_MAX ? least : PUBLIC_SEARCH_MAX;
  struct mix_choice best = {0};
  uint64_t best_samples = 0;
  for (uint64_t copies = most; copies >= 2; copies--) {
    /* Once there is a choice, only one as cheap is of interest; equal cost goes to fewer copies. */
    const uint64_t taken = q.queries * copies;
    const uint64_t high = best_samples ? (best_samples - taken) / q.public_copies : search_max;
    const uint64_t found = least_public(&q, copies, high < search_max ? high : search_max);
    if (!found) continue;
    best = choice_of(&q, copies, found);
    best_samples = taken + found * q.public_copies;
  }
  if (!best_samples) return unreachable(&q, err);
  uint64_t worst;
  (void)bound_log2(&best, &worst);
  if (best_samples <= EXACT_SAMPLES_MAX && !bound_holds_at(&best, worst, q.security_bits))
    return error_set(err, FUSION_E_INTERNAL, "the plan found fails its exact check");
  const fusion_plan_choice choice = rate(&best, canaries_of(&q, best.public_samples));
  sized_give(out, &choice);
  return FUSION_OK;
}

fusion_status fusion_plan_with_copies(const fusion_plan_request *request, uint64_t copies, double cost_limit,
                                      fusion_plan_choice *out, fusion_error *err) {
  fusion_plan_request q;
  const fusion_status status = take_request(&q, request, out, err);
  if (status != FUSION_OK) return status;
  if (copies < 2 || copies > 1000) return error_set(err, FUSION_E_USAGE, "%" PRIu64 " copies: give 2 to 1000", copies);
  const double room = (cost_limit - (double)copies) * (double)q.queries / (double)q.public_copies;
  const uint64_t high = !(room > 0) ? 0 : room < (double)FUSION_PUBLIC_MAX ? (uint64_t)room : FUSION_PUBLIC_MAX;
  const uint64_t found = least_public(&q, copies, high);
  if (!found)
    return error_set(err, FUSION_E_UNREACHABLE, "%" PRIu64 " copies cost more than %.3g a query", copies, cost_limit);
  const struct mix_choice c = choice_of(&q, copies, found);
  const fusion_plan_choice choice = rate(&c, canaries_of(&q, found));
  sized_give(out, &choice);
  return FUSION_OK;
}

fusion_status fusion_plan_rate(fusion_plan_choice *choice, fusion_error *err) {
  fusion_plan_choice q = {.size = sizeof q};
  const fusion_status status = sized_take(&q, choice, "fusion_plan_choice", err);
  if (status != FUSION_OK) return status;
  if (!q.public_copies) q.public_copies = 1;
  if (q.queries < 1 || q.queries > FUSION_QUERIES_MAX || q.copies < 2 || q.copies > 1000 || q.public_samples < 1 ||
      q.public_samples > FUSION_PUBLIC_MAX || q.allowed_errors >= q.public_samples ||
      q.public_copies > FUSION_PUBLIC_COPIES_MAX || q.canaries > q.public_samples)
    return error_set(err, FUSION_E_USAGE,
                     "%" PRIu64 " queries, %" PRIu64 " copies, %" PRIu64 " public samples, %" PRIu64 " errors, %" PRIu64
                     " copies of a public sample: give at least 1 query, 2 to 1000 copies, fewer errors than public "
                     "samples, and at most %d copies of these",
                     q.queries, q.copies, q.public_samples, q.allowed_errors, q.public_copies,
                     FUSION_PUBLIC_COPIES_MAX);
  const struct mix_choice c = {q.queries, q.copies, q.public_samples, q.allowed_errors, q.public_copies};
  const fusion_plan_choice rated = rate(&c, q.canaries);
  sized_give(choice, &rated);
  return FUSION_OK;
}
