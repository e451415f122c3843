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
 * does too are those below some T'. */
#include <fusion/plan.h>

#include <inttypes.h>
#include <math.h>

#include "base/sized.h"
#include "mixcheck/bound.h"

#define ACCURACY_UNITS UINT64_C(1000000000)
/* Public samples beyond this are not considered unless asked for: the chance hardly falls any further there. */
#define PUBLIC_SEARCH_MAX (UINT64_C(1) << 24)

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

/** The next T after one that failed: every T before it fails too. */
static uint64_t next_public(const fusion_plan_request *q, const struct mix_choice *c, uint64_t high) {
  const long double limit = -(long double)q->security_bits + BOUND_MARGIN;
  const struct bound_peak peak = bound_largest_term(c);
  uint64_t next = c->public_samples + 1;
  if (peak.log2 > limit) next = skip_term(q, *c, &peak, high);
  if (bound_term(c, c->queries, c->errors) <= limit) return next;
  const uint64_t other = skip_required(q, *c, high);
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
  if (!bound_holds_at(&best, worst, q.security_bits))
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
