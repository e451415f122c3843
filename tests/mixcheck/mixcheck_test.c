/* Plan, mix, verify, verdict. Agreement with the slow oracle in Python is tested by oracle_test.py. */
#include <gmp.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <fusion/plan.h>

#include "mixcheck/mix.h"
#include "mixcheck/report.h"
#include "mixcheck/sensitive.h"
#include "support/support.h"

/* Planning */

static void plan__required_values(void **state) {
  (void)state;
  static const struct {
    uint64_t queries;
    double accuracy;
    uint64_t copies, errors;
  } rows[] = {
      {8, 1, 8, 0},      {32, 1, 7, 0},    {128, 1, 6, 0},   {512, 1, 5, 0},    {1845, 1, 5, 0},   {8192, 1, 4, 0},
      {524288, 1, 3, 0}, {8, 0.95, 10, 5}, {32, 0.95, 8, 5}, {128, 0.95, 6, 5}, {512, 0.95, 5, 5}, {1845, 0.95, 5, 5},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    fusion_plan_request q = fusion_plan_request_default();
    q.queries = rows[i].queries;
    q.min_accuracy = rows[i].accuracy;
    fusion_plan_choice c = {.size = sizeof c};
    assert_ok(fusion_plan_copies(&q, &c, NULL));
    assert_int_equal(c.copies, rows[i].copies);
    assert_int_equal(c.public_samples, 100);
    assert_int_equal(c.allowed_errors, rows[i].errors);
    assert_int_equal(c.samples, c.queries * c.copies + 100);
    assert_true(c.soundness_bits >= 40 && c.soundness_bits <= c.paper_bits + 1e-9);
  }
}

/** DESIGN 3: the server may spend the tolerated errors. */
static void plan__slack_costs_soundness(void **state) {
  (void)state;
  static const struct {
    uint64_t queries, copies, errors;
    double bits;
  } rows[] = {{8, 8, 0, 40.3},  {8, 8, 5, 33.2},    {32, 7, 0, 41.0},
              {32, 7, 5, 39.1}, {128, 6, 0, 42.05}, {128, 6, 5, 42.05}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    fusion_plan_choice c = {.size = sizeof c,
                            .queries = rows[i].queries,
                            .copies = rows[i].copies,
                            .public_samples = 100,
                            .allowed_errors = rows[i].errors};
    assert_ok(fusion_plan_rate(&c, NULL));
    assert_int_equal(c.public_copies, 1);
    assert_true(fabs(c.soundness_bits - rows[i].bits) < 0.06);
  }
}

static void plan__a_million_queries_within_a_second(void **state) {
  (void)state;
  static const double accuracies[] = {1, 0.99, 0.95, 0.8, 0.5, 0.05, 0.001};
  static const uint64_t public_copies[] = {0, 2, 3, FUSION_PUBLIC_COPIES_MAX};
  for (size_t i = 0; i < sizeof accuracies / sizeof accuracies[0]; i++) {
    for (size_t j = 0; j < sizeof public_copies / sizeof public_copies[0]; j++) {
      fusion_plan_request q = fusion_plan_request_default();
      q.queries = 1 << 20;
      q.min_accuracy = accuracies[i];
      q.public_copies = public_copies[j];
      fusion_plan_choice c = {.size = sizeof c};
      const double start = clock_seconds();
      assert_ok(fusion_plan_copies(&q, &c, NULL));
      assert_true(clock_seconds() - start < 1);
      assert_true(c.soundness_bits >= 40);
      assert_int_equal(c.samples, c.queries * c.copies + c.public_samples * c.public_copies);
    }
  }
}

static bool holds_with(const fusion_plan_request *q, uint64_t copies, uint64_t public_samples) {
  const struct mix_choice c = {q->queries, copies, public_samples,
                               fusion_plan_allowed_errors(q->min_accuracy, public_samples), q->public_copies};
  return bound_holds(&c, q->security_bits);
}

/** The cheapest plan by trying every T: what is skipped in the search fails. */
static void plan__with_copies_of_public_samples_is_the_cheapest(void **state) {
  (void)state;
  enum { ROUNDS = 12, PUBLIC_MAX = 800 };
  static const double accuracies[] = {1, 0.95, 0.8, 0.5, 0.3};
  uint64_t seed = test_seed();
  for (int round = 0; round < ROUNDS; round++) {
    fusion_plan_request q = fusion_plan_request_default();
    q.queries = 1 + test_random(&seed) % 60;
    q.security_bits = (uint32_t)(5 + test_random(&seed) % 16);
    q.min_public = test_random(&seed) % 60;
    q.min_accuracy = accuracies[test_random(&seed) % 5];
    q.public_copies = 1 + test_random(&seed) % 4;
    uint64_t best = UINT64_MAX, best_copies = 0;
    for (uint64_t copies = 2; copies <= q.security_bits; copies++) {
      uint64_t t = q.min_public > copies ? q.min_public : copies;
      while (q.queries * copies + t * q.public_copies < best && t < PUBLIC_MAX && !holds_with(&q, copies, t)) t++;
      if (t == PUBLIC_MAX || q.queries * copies + t * q.public_copies >= best) continue;
      best = q.queries * copies + t * q.public_copies;
      best_copies = copies;
    }
    fusion_plan_choice c = {.size = sizeof c};
    const fusion_status status = fusion_plan_copies(&q, &c, NULL);
    if (best == UINT64_MAX && (status == FUSION_E_UNREACHABLE || c.public_samples >= PUBLIC_MAX)) continue;
    if (status != FUSION_OK || c.samples != best || c.copies != best_copies)
      fail_msg("R=%" PRIu64 " %u bits, accuracy %g, K=%" PRIu64 ": %" PRIu64 " samples with B=%" PRIu64 ", not %" PRIu64
               " with B=%" PRIu64,
               q.queries, q.security_bits, q.min_accuracy, q.public_copies, c.samples, c.copies, best, best_copies);
  }
}

static void plan__nonsense_gets_a_line(void **state) {
  (void)state;
  enum { SIZE = sizeof(fusion_plan_request) };
  static const fusion_plan_request bad[] = {
      {SIZE, 0, 40, 100, 0.95, 1, 0},
      {SIZE, 5, 0, 100, 0.95, 1, 0},
      {SIZE, 5, 101, 100, 0.95, 1, 0},
      {SIZE, 5, 40, 100, 0, 1, 0},
      {SIZE, 5, 40, 100, 1.2, 1, 0},
      {SIZE, 5, 40, 100, NAN, 1, 0},
      {SIZE, (UINT64_C(1) << 40) + 1, 40, 100, 0.95, 1, 0},
      {SIZE, 5, 40, (UINT64_C(1) << 32) + 1, 1, 1, 0},
      {SIZE, 5, 40, 100, 0.95, FUSION_PUBLIC_COPIES_MAX + 1, 0},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    fusion_plan_choice c = {.size = sizeof c};
    fusion_error err = {.status = FUSION_OK};
    assert_int_equal(fusion_plan_copies(&bad[i], &c, &err), FUSION_E_USAGE);
    assert_non_null(strstr(err.text, "give"));
  }
  fusion_plan_request q = {SIZE, 1, 40, 100, 0.01, 1, 0};
  fusion_plan_choice c = {.size = sizeof c};
  fusion_error err = {.status = FUSION_OK};
  assert_int_equal(fusion_plan_copies(&q, &c, &err), FUSION_E_UNREACHABLE);
  assert_non_null(strstr(err.text, "40 bits of security cannot be reached"));
  c = (fusion_plan_choice){.size = sizeof c, .queries = 5, .copies = 2, .public_samples = 10, .allowed_errors = 10};
  assert_int_equal(fusion_plan_rate(&c, &err), FUSION_E_USAGE);
  c.allowed_errors = 9;
  c.public_copies = FUSION_PUBLIC_COPIES_MAX + 1;
  assert_int_equal(fusion_plan_rate(&c, &err), FUSION_E_USAGE);
  assert_non_null(strstr(err.text, "65 copies of a public sample: give"));
  c.public_copies = FUSION_PUBLIC_COPIES_MAX;
  assert_ok(fusion_plan_rate(&c, NULL));
  assert_int_equal(c.samples, 5 * 2 + 10 * FUSION_PUBLIC_COPIES_MAX);
}

static uint64_t samples_of(const struct mix_choice *c) {
  return c->queries * c->copies + c->public_samples * c->public_copies;
}

/** The sum for one s by the definition, and whether it is at most 2^-bits, both by integers. */
static long double definition(const struct mix_choice *c, uint64_t s, uint32_t bits, bool *holds) {
  mpz_t ways, term, other;
  mpz_inits(ways, term, other, NULL);
  for (uint64_t i = 1; i <= c->queries; i++) {
    for (uint64_t k = 0; k <= c->errors; k++) {
      if (i * c->copies + k * c->public_copies != s) continue;
      mpz_bin_uiui(term, c->queries, i);
      mpz_bin_uiui(other, c->public_samples, k);
      mpz_addmul(ways, term, other);
    }
  }
  mpz_bin_uiui(other, samples_of(c), s);
  long ways_exponent, other_exponent;
  const double ways_part = mpz_get_d_2exp(&ways_exponent, ways), other_part = mpz_get_d_2exp(&other_exponent, other);
  mpz_mul_2exp(ways, ways, bits);
  *holds = mpz_cmp(ways, other) <= 0;
  mpz_clears(ways, term, other, NULL);
  return ways_part > 0 ? log2l(ways_part / other_part) + (long double)(ways_exponent - other_exponent) : -HUGE_VALL;
}

/** The decision and the value against every s, in integers. */
static void bound_against_brute_force(const struct mix_choice *c, uint32_t bits) {
  bool holds = true;
  long double best = -HUGE_VALL;
  for (uint64_t s = 1; s <= samples_of(c); s++) {
    bool holds_here;
    best = fmaxl(best, definition(c, s, bits, &holds_here));
    if (holds_here != bound_holds_at(c, s, bits)) fail_msg("s=%" PRIu64 ": %d", s, holds_here);
    holds = holds && holds_here;
  }
  uint64_t worst;
  const long double value = bound_log2(c, &worst);
  bool unused;
  if (holds == bound_holds(c, bits) && fabsl(value - best) < 1e-9L &&
      fabsl(definition(c, worst, bits, &unused) - best) < 1e-9L)
    return;
  fail_msg("R=%" PRIu64 " B=%" PRIu64 " T=%" PRIu64 " e=%" PRIu64 " K=%" PRIu64 " bits=%u: %d, %Lg at %" PRIu64
           ", brute force %d, %Lg",
           c->queries, c->copies, c->public_samples, c->errors, c->public_copies, bits, bound_holds(c, bits), value,
           worst, holds, best);
}

static void bound__equals_brute_force(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (int round = 0; round < 400; round++) {
    struct mix_choice c = {.queries = 1 + test_random(&seed) % 12,
                           .copies = 2 + test_random(&seed) % 6,
                           .public_samples = 1 + test_random(&seed) % 40,
                           .public_copies = 1 + test_random(&seed) % 4};
    c.errors = test_random(&seed) % c.public_samples;
    bound_against_brute_force(&c, (uint32_t)(1 + test_random(&seed) % 40));
  }
}

/** Where the search over k does not look at all of them, and where the best k is far from both 0 and the middle. */
static void bound__equals_brute_force_with_many_public_samples(void **state) {
  (void)state;
  static const struct mix_choice choices[] = {{3, 2, 700, 0, 2},   {3, 2, 700, 20, 2},  {3, 2, 700, 360, 2},
                                              {3, 2, 700, 699, 2}, {2, 9, 500, 498, 3}, {40, 3, 400, 60, 4},
                                              {1, 2, 400, 399, 4}, {60, 7, 300, 40, 2}, {60, 7, 300, 299, 2}};
  for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++)
    for (uint32_t bits = 4; bits <= 100; bits += 32) bound_against_brute_force(&choices[i], bits);
}

/** At the limit itself integers decide: C(N,2) / R = 2^k exactly. */
static void bound__the_limit_itself_holds(void **state) {
  (void)state;
  const struct mix_choice c = {
      .queries = 1, .copies = 2, .public_samples = 62, .errors = 0, .public_copies = 1}; /* C(64,2) = 2016 < 2^11 */
  assert_true(bound_holds(&c, 10));
  assert_false(bound_holds(&c, 11));
  const struct mix_choice all = {
      .queries = 1, .copies = 3, .public_samples = 1, .errors = 0, .public_copies = 1}; /* 1 / C(4,3) = 2^-2 */
  assert_true(bound_holds(&all, 2));
  assert_false(bound_holds(&all, 3));
}

/** Sensitive samples: every sample is so at rho = 1, for small batches and for those of which not all points of the
 * circle are looked at. */
static void sensitive__equals_the_bound_when_all_samples_are(void **state) {
  (void)state;
  static const struct mix_choice choices[] = {{8, 10, 100, 5, 1},   {8, 9, 100, 5, 2},      {1, 13, 100, 5, 1},
                                              {512, 5, 100, 5, 1},  {1200, 4, 100, 5, 1},   {3, 4, 12, 2, 3},
                                              {8192, 4, 100, 0, 1}, {524288, 3, 100, 5, 1}, {100, 6, 3000, 150, 2}};
  for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
    uint64_t worst, expected_worst;
    const long double expected = bound_log2(&choices[i], &expected_worst);
    const long double value = sensitive_log2(&choices[i], 1, SENSITIVE_ANY, &worst);
    if (fabsl(value - expected) > 1e-8L || worst != expected_worst)
      fail_msg("choice %zu: %.10Lf at %" PRIu64 "; the bound is %.10Lf at %" PRIu64, i, value, worst, expected,
               expected_worst);
  }
}

static struct mix_choice small_choice(uint64_t *seed) {
  struct mix_choice c = {.queries = 1 + test_random(seed) % 8, .copies = 2 + test_random(seed) % 4};
  c.public_samples = 1 + test_random(seed) % 20;
  c.errors = test_random(seed) % c.public_samples;
  c.public_copies = 1 + test_random(seed) % 3;
  return c;
}

/** A larger part never helps the server with a given query; docs/protocols/mix-and-check.md proves it. */
static void sensitive__a_given_query_is_safer_when_more_changes(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (int round = 0; round < 20; round++) {
    const struct mix_choice c = small_choice(&seed);
    long double before = 0.0L;
    for (int part = 1; part <= 5; part++) {
      const long double chance = sensitive_log2(&c, part / 5.0, SENSITIVE_GIVEN, NULL);
      assert_true(chance <= before + 1e-9L);
      before = chance;
    }
  }
}

/** The best s is the best of all. */
static void expect_best_of_all(const struct mix_choice *c, double rho) {
  for (int e = 0; e < 2; e++) {
    const enum sensitive_event event = e ? SENSITIVE_ANY : SENSITIVE_GIVEN;
    long double best = -INFINITY;
    for (uint64_t s = 1; s <= mix_choice_samples(c); s++) best = fmaxl(best, sensitive_log2_at(c, rho, event, s));
    const long double found = sensitive_log2(c, rho, event, NULL);
    if (fabsl(found - fminl(best, 0)) > 1e-9L)
      fail_msg("R = %" PRIu64 ", B = %" PRIu64 ", T = %" PRIu64 ", e = %" PRIu64 ", K = %" PRIu64
               ", rho = %g, event %d: %.10Lf, the best of all is %.10Lf",
               c->queries, c->copies, c->public_samples, c->errors, c->public_copies, rho, e, found, best);
  }
}

static void sensitive__finds_the_best_of_all(void **state) {
  (void)state;
  static const struct mix_choice plans[] = {{1, 13, 100, 5, 1}, {8, 10, 100, 5, 1}, {32, 8, 100, 5, 1},
                                            {8, 9, 100, 0, 2},  {3, 4, 12, 2, 3},   {4, 2, 3, 0, 1}};
  static const double parts[] = {0.01, 0.06, 0.2, 0.5, 0.8, 0.9};
  uint64_t seed = test_seed();
  for (int round = 0; round < 100; round++) {
    const struct mix_choice c = small_choice(&seed);
    expect_best_of_all(&c, (1 + (double)(test_random(&seed) % 100)) / 100);
  }
  for (size_t i = 0; i < sizeof plans / sizeof *plans; i++)
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) expect_best_of_all(&plans[i], parts[k]);
}

static void sensitive__nonsense_gets_a_line(void **state) {
  (void)state;
  fusion_plan_choice c = {.size = sizeof c, .queries = 8, .copies = 10, .public_samples = 100, .allowed_errors = 5};
  static const double bad[] = {0, -1, 1.5, NAN};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    fusion_sensitivity s = {.size = sizeof s, .part = bad[i]};
    fusion_error err = {.status = FUSION_OK};
    assert_int_equal(fusion_plan_sensitivity(&c, &s, &err), FUSION_E_USAGE);
    assert_non_null(strstr(err.text, "give"));
  }
  c.copies = 1;
  fusion_sensitivity s = {.size = sizeof s, .part = 0.5};
  assert_int_equal(fusion_plan_sensitivity(&c, &s, NULL), FUSION_E_USAGE);
}

static void power__exact_tails(void **state) {
  (void)state;
  fusion_power p = {.size = sizeof p, .promise = 0.98, .reject_below = 0.90, .error_rate = 0.01};
  assert_ok(fusion_plan_power(&p, NULL));
  assert_true(p.refuse_good <= 0.01 && p.accept_bad <= 0.01);
  assert_int_equal(fusion_plan_allowed_errors(p.min_accuracy, p.public_samples), p.allowed_errors);
  for (uint64_t t = 1; t < p.public_samples; t++) /* none smaller does */
    for (uint64_t e = 0; e < t; e++)
      assert_false(1 - fusion_accept_probability(0.98, t, e) <= 0.01 && fusion_accept_probability(0.90, t, e) <= 0.01);
  /* DESIGN 3: T = 100 at 0.95 accepts a model of accuracy 0.93 in 29 % of the runs. */
  assert_true(fabs(fusion_accept_probability(0.93, 100, 5) - 0.29) < 0.005);
  fusion_error err;
  fusion_power bad = {.size = sizeof bad, .promise = 0.9, .reject_below = 0.95, .error_rate = 0.01};
  assert_int_equal(fusion_plan_power(&bad, &err), FUSION_E_USAGE);
  bad = (fusion_power){.size = sizeof bad, .promise = 0.9, .reject_below = 0.8, .error_rate = 0};
  assert_int_equal(fusion_plan_power(&bad, &err), FUSION_E_USAGE);
  bad = (fusion_power){.size = sizeof bad, .promise = 0.95, .reject_below = 0.9499, .error_rate = 0.001};
  assert_int_equal(fusion_plan_power(&bad, &err), FUSION_E_UNREACHABLE);
}

static void accuracy__clopper_pearson(void **state) {
  (void)state;
  /* Closed form without errors: (1 - confidence)^(1/n). */
  assert_true(fabs(fusion_accuracy_lower_bound(100, 0, 0.95) - pow(0.05, 0.01)) < 1e-12);
  /* Beta quantiles: qbeta(0.05, 95, 6); qbeta(0.01, 990, 11). */
  assert_true(fabs(fusion_accuracy_lower_bound(100, 5, 0.95) - 0.8977466) < 1e-6);
  assert_true(fabs(fusion_accuracy_lower_bound(1000, 10, 0.99) - 0.979957394) < 1e-6);
  assert_true(fusion_accuracy_lower_bound(10, 10, 0.95) == 0);
}

/* Mixing */

struct counter {
  uint64_t seed;
  size_t calls, fail_at;
};

static fusion_status test_bytes(void *context, void *out, size_t len) {
  struct counter *c = context;
  if (c->fail_at && ++c->calls >= c->fail_at) return FUSION_E_ENTROPY;
  for (size_t i = 0; i < len; i += 8) {
    const uint64_t word = test_random(&c->seed);
    memcpy((uint8_t *)out + i, &word, size_min(8, len - i));
  }
  return FUSION_OK;
}

enum { MAX_ROWS = 4000 };

static void mix__is_a_permutation_of_all_copies(void **state) {
  (void)state;
  struct counter random = {.seed = test_seed()};
  for (int public_copies = 1; public_copies <= 3; public_copies++) {
    const struct mix_choice choice = {60, 5, 70, 3, (uint64_t)public_copies};
    const size_t samples = (size_t)samples_of(&choice);
    struct mix *m;
    assert_ok(mix_draw(&m, &choice, test_bytes, &random));
    assert_int_equal(mix_samples(m), samples);
    int64_t queries[60 * 2], public_samples[70 * 2], out[510 * 2];
    for (int64_t i = 0; i < 60; i++) queries[2 * i] = i, queries[2 * i + 1] = 1000 + i;
    for (int64_t i = 0; i < 70; i++) public_samples[2 * i] = 60 + i, public_samples[2 * i + 1] = 1060 + i;
    mix_rows(m, out, queries, public_samples, 2 * sizeof *out, 0, 100);
    mix_rows(m, out + 200, queries, public_samples, 2 * sizeof *out, 100, samples - 100);
    int seen[130] = {0};
    bool moved = false;
    for (size_t i = 0; i < samples; i++) {
      assert_int_equal(out[2 * i + 1], 1000 + out[2 * i]);
      seen[out[2 * i]]++;
      moved = moved || out[2 * i] != (int64_t)(i / 5);
    }
    for (int i = 0; i < 130; i++) assert_int_equal(seen[i], i < 60 ? 5 : public_copies);
    assert_true(moved);
    mix_free(m);
  }
}

/** Every order of 5 rows equally often: chi-squared over the 120 orders, far above any plausible value when biased. */
static void mix__is_uniform(void **state) {
  (void)state;
  enum { DRAWS = 60000, ORDERS = 120 };
  struct counter random = {.seed = test_seed()};
  const struct mix_choice choice = {.queries = 1, .copies = 2, .public_samples = 3, .errors = 0, .public_copies = 1};
  static unsigned count[3125];
  memset(count, 0, sizeof count);
  const int64_t query[1] = {0}, samples[3] = {2, 3, 4};
  for (int draw = 0; draw < DRAWS; draw++) {
    struct mix *m;
    int64_t out[5];
    assert_ok(mix_draw(&m, &choice, test_bytes, &random));
    mix_rows(m, out, query, samples, sizeof *out, 0, 5);
    unsigned code = 0;
    for (int i = 0; i < 5; i++) code = code * 5 + (unsigned)out[i];
    count[code]++;
    mix_free(m);
  }
  double chi = 0;
  unsigned orders = 0;
  const double expected = (double)DRAWS / 60; /* the two copies look alike: 60 distinct rows */
  for (size_t i = 0; i < 3125; i++) {
    if (!count[i]) continue;
    orders++;
    chi += ((double)count[i] - expected) * ((double)count[i] - expected) / expected;
  }
  assert_int_equal(orders, 60);
  assert_true(chi < 59 + 6 * sqrt(2 * 59)); /* mean 59, deviation sqrt(118); false alarm below 1e-6 */
}

static void mix__refuses_nonsense_and_passes_failures_on(void **state) {
  (void)state;
  struct counter random = {.seed = 1, .fail_at = 1};
  struct mix *m;
  assert_int_equal(mix_draw(&m, &(struct mix_choice){5, 2, 5, 0, 1}, test_bytes, &random), FUSION_E_ENTROPY);
  assert_null(m);
  random = (struct counter){.seed = 1, .fail_at = 3}; /* in the middle */
  assert_int_equal(mix_draw(&m, &(struct mix_choice){500, 4, 5, 0, 1}, test_bytes, &random), FUSION_E_ENTROPY);
  random.fail_at = 0;
  assert_int_equal(mix_draw(&m, &(struct mix_choice){0, 2, 5, 0, 1}, test_bytes, &random), FUSION_E_USAGE);
  assert_int_equal(mix_draw(&m, &(struct mix_choice){5, 1, 5, 0, 1}, test_bytes, &random), FUSION_E_USAGE);
  assert_int_equal(mix_draw(&m, &(struct mix_choice){5, 2, 5, 5, 1}, test_bytes, &random), FUSION_E_USAGE);
  assert_int_equal(mix_draw(&m, &(struct mix_choice){5, 2, 5, 0, 0}, test_bytes, &random), FUSION_E_USAGE);
  assert_int_equal(mix_draw(&m, &(struct mix_choice){UINT64_MAX / 2, 3, 5, 0, 1}, test_bytes, &random), FUSION_E_LIMIT);
  assert_int_equal(mix_draw(&m, &(struct mix_choice){UINT64_C(1) << 32, 2, 5, 0, 1}, test_bytes, &random),
                   FUSION_E_LIMIT);
}

/** Rows are different, in range, and every ordered choice of 2 of 5 rows comes equally often. */
static void rows__are_uniform_without_repetition(void **state) {
  (void)state;
  enum { DRAWS = 40000, ROWS = 5, PAIRS = ROWS * (ROWS - 1) };
  struct counter random = {.seed = test_seed()};
  size_t all[300], two[2];
  bool seen[300] = {false};
  assert_ok(mix_draw_rows(all, 300, 300, test_bytes, &random));
  for (size_t i = 0; i < 300; i++) {
    assert_in_range(all[i], 0, 299);
    assert_false(seen[all[i]]);
    seen[all[i]] = true;
  }
  unsigned count[ROWS * ROWS] = {0};
  for (int draw = 0; draw < DRAWS; draw++) {
    assert_ok(mix_draw_rows(two, 2, ROWS, test_bytes, &random));
    assert_int_not_equal(two[0], two[1]);
    count[two[0] * ROWS + two[1]]++;
  }
  double chi = 0;
  const double expected = (double)DRAWS / PAIRS;
  for (size_t i = 0; i < ROWS * ROWS; i++)
    if (i / ROWS != i % ROWS) chi += ((double)count[i] - expected) * ((double)count[i] - expected) / expected;
  assert_true(chi < PAIRS - 1 + 6 * sqrt(2 * (PAIRS - 1))); /* as in mix__is_uniform */
}

static void rows__refuses_nonsense_and_passes_failures_on(void **state) {
  (void)state;
  size_t rows[1000];
  struct counter random = {.seed = 1};
  assert_int_equal(mix_draw_rows(rows, 6, 5, test_bytes, &random), FUSION_E_USAGE);
  assert_int_equal(mix_draw_rows(rows, 1, SIZE_MAX, test_bytes, &random), FUSION_E_MEMORY);
  random.fail_at = 1;
  assert_int_equal(mix_draw_rows(rows, 2, 5, test_bytes, &random), FUSION_E_ENTROPY);
  random = (struct counter){.seed = 1, .fail_at = 2}; /* in the middle */
  assert_int_equal(mix_draw_rows(rows, 1000, 1000, test_bytes, &random), FUSION_E_ENTROPY);
}

/* Verifying: a toy job whose model answers two logits, row number and its negative */

struct job {
  struct mix_choice choice;
  struct mix *mix;
  int64_t queries[MAX_ROWS], samples[MAX_ROWS], labels[MAX_ROWS], rows[MAX_ROWS], answers[2 * MAX_ROWS],
      out[2 * MAX_ROWS];
};

static void job_open(struct job *j, struct mix_choice choice, struct counter *random) {
  j->choice = choice;
  for (int64_t i = 0; i < (int64_t)choice.queries; i++) j->queries[i] = i - 3;
  for (int64_t i = 0; i < (int64_t)choice.public_samples; i++) {
    j->samples[i] = i % 2 ? i : -i - 1;
    j->labels[i] = i % 2 ? 0 : 1;
  }
  assert_ok(mix_draw(&j->mix, &choice, test_bytes, random));
  mix_rows(j->mix, j->rows, j->queries, j->samples, sizeof *j->rows, 0, mix_samples(j->mix));
  for (size_t i = 0; i < mix_samples(j->mix); i++) {
    j->answers[2 * i] = j->rows[i];
    j->answers[2 * i + 1] = -j->rows[i];
  }
}

static struct mix_result job_verify(struct job *j, enum mix_agreement agreement, uint64_t tolerance) {
  const struct mix_check check = {MIX_ANSWER_LOGITS, agreement, tolerance, 2, 0, NULL};
  struct mix_result result;
  assert_ok(mix_verify(j->mix, &check, j->answers, j->labels, j->out, &result));
  return result;
}

static struct job job;

static void verify__honest_answers_are_accepted(void **state) {
  (void)state;
  struct counter random = {.seed = test_seed()};
  job_open(&job, (struct mix_choice){50, 6, 100, 5, 1}, &random);
  const struct mix_result r = job_verify(&job, MIX_AGREE_EXACT, 0);
  assert_true(r.accepted);
  assert_int_equal(r.wrong_public, 0);
  assert_int_equal(r.disagreeing_queries, 0);
  assert_int_equal(r.disagreeing_public, 0);
  for (int64_t i = 0; i < 50; i++) assert_true(job.out[2 * i] == i - 3 && job.out[2 * i + 1] == 3 - i);
  mix_free(job.mix);
}

static void verify__one_changed_copy_is_seen(void **state) {
  (void)state;
  struct counter random = {.seed = test_seed()};
  job_open(&job, (struct mix_choice){20, 4, 10, 2, 1}, &random);
  for (size_t i = 0; i < 90; i++) {
    for (int bit = 0; bit < 64; bit += 21) {
      job.answers[2 * i + 1] ^= (int64_t)(UINT64_C(1) << bit);
      const struct mix_result r = job_verify(&job, MIX_AGREE_EXACT, 0);
      assert_true(r.disagreeing_queries + r.wrong_public <= 1);
      assert_int_equal(r.accepted, r.disagreeing_queries == 0);
      job.answers[2 * i + 1] ^= (int64_t)(UINT64_C(1) << bit);
    }
  }
  mix_free(job.mix);
}

/** Swaps the logits of the public sample with the given row. */
static void spoil(struct job *j, int64_t row) {
  for (size_t i = 0; i < mix_samples(j->mix); i++) {
    if (j->rows[i] != row) continue;
    j->answers[2 * i] = -row;
    j->answers[2 * i + 1] = row;
  }
}

/** Adds to a number of one of the copies of a row: the first or the last place where it lies. */
static void grow_copy(struct job *j, int64_t row, bool last, int64_t by) {
  size_t at = SIZE_MAX;
  for (size_t i = 0; i < mix_samples(j->mix); i++)
    if (j->rows[i] == row && (last || at == SIZE_MAX)) at = i;
  j->answers[2 * at + (row > 0 ? 0 : 1)] += by;
}

/** With a copy of its own a public sample shows only its label; with two, every number, like a query. */
static void verify__copies_of_public_samples_are_compared(void **state) {
  (void)state;
  struct counter random = {.seed = test_seed()};
  for (uint64_t public_copies = 1; public_copies <= 3; public_copies++) {
    job_open(&job, (struct mix_choice){3, 4, 40, 5, public_copies}, &random);
    struct mix_result r = job_verify(&job, MIX_AGREE_EXACT, 0);
    assert_true(r.accepted);
    for (int64_t t = 10; t < 20; t++) {
      grow_copy(&job, job.samples[t], t & 1, 7); /* its label stays */
      r = job_verify(&job, MIX_AGREE_EXACT, 0);
      assert_int_equal(r.accepted, public_copies == 1);
      assert_int_equal(r.disagreeing_public, public_copies == 1 ? 0 : t - 9);
      assert_int_equal(r.wrong_public + r.disagreeing_queries, 0);
    }
    assert_int_equal(job_verify(&job, MIX_AGREE_WITHIN, 6).accepted, public_copies == 1);
    assert_true(job_verify(&job, MIX_AGREE_WITHIN, 7).accepted);
    assert_true(job_verify(&job, MIX_AGREE_LABEL, 0).accepted);
    mix_free(job.mix);
  }
}

/** A wrong public sample counts once, however many copies of it there are, and nothing else does if all are wrong. */
static void verify__a_wrong_public_sample_counts_once(void **state) {
  (void)state;
  struct counter random = {.seed = test_seed()};
  job_open(&job, (struct mix_choice){3, 4, 40, 2, 3}, &random);
  for (uint64_t wrong = 1; wrong <= 3; wrong++) {
    spoil(&job, (int64_t)(2 * wrong + 11));
    const struct mix_result r = job_verify(&job, MIX_AGREE_EXACT, 0);
    assert_int_equal(r.wrong_public, wrong);
    assert_int_equal(r.disagreeing_public, 0);
    assert_int_equal(r.accepted, wrong <= 2);
  }
  mix_free(job.mix);
  for (int last = 0; last < 2; last++) {
    for (enum mix_agreement agreement = MIX_AGREE_EXACT; agreement <= MIX_AGREE_LABEL; agreement++) {
      job_open(&job, (struct mix_choice){3, 4, 40, 2, 3}, &random);
      grow_copy(&job, job.samples[12], last, -1000); /* another label */
      const struct mix_result r = job_verify(&job, agreement, 6);
      assert_false(r.accepted);
      assert_int_equal(r.disagreeing_public, 1);
      assert_in_range(r.wrong_public, 0, 1); /* as it is its first copy or another */
      mix_free(job.mix);
    }
  }
}

static void verify__allowed_errors_and_one_more(void **state) {
  (void)state;
  struct counter random = {.seed = test_seed()};
  job_open(&job, (struct mix_choice){3, 4, 40, 5, 1}, &random);
  for (uint64_t wrong = 1; wrong <= 6; wrong++) {
    spoil(&job, (int64_t)(2 * wrong + 11)); /* beyond the queries' rows */
    const struct mix_result r = job_verify(&job, MIX_AGREE_EXACT, 0);
    assert_int_equal(r.wrong_public, wrong);
    assert_int_equal(r.accepted, wrong <= 5);
  }
  mix_free(job.mix);
}

static void verify__tolerance_and_label_agreement(void **state) {
  (void)state;
  struct counter random = {.seed = test_seed()};
  job_open(&job, (struct mix_choice){1, 2, 1, 0, 1}, &random);
  size_t copy = 0;
  while (job.rows[copy] != -3) copy++;
  static const struct {
    int64_t first, tolerance;
    bool agrees;
  } rows[] = {{-3, 0, true}, {-4, 0, false}, {-4, 1, true}, {-2, 1, true}, {-5, 1, false}, {INT64_MAX, 100, false}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    job.answers[2 * copy] = rows[i].first;
    assert_int_equal(job_verify(&job, MIX_AGREE_WITHIN, (uint64_t)rows[i].tolerance).disagreeing_queries,
                     !rows[i].agrees);
  }
  job.answers[2 * copy] = INT64_MIN;
  assert_int_equal(job_verify(&job, MIX_AGREE_WITHIN, UINT64_MAX).disagreeing_queries, 0);
  assert_int_equal(job_verify(&job, MIX_AGREE_WITHIN, UINT64_C(1) << 62).disagreeing_queries, 1);
  assert_int_equal(job_verify(&job, MIX_AGREE_LABEL, 0).disagreeing_queries, 0);
  job.answers[2 * copy] = 4; /* now above the other logit, 3 */
  assert_int_equal(job_verify(&job, MIX_AGREE_LABEL, 0).disagreeing_queries, 1);
  mix_free(job.mix);
}

/** Queries whose copies do not agree, of a job of one query. `answers`: of its copies, [copies][2], in any order. */
static uint64_t disagreeing(struct mix_check check, size_t copies, const int64_t *answers, struct counter *random) {
  struct mix_result result;
  job_open(&job, (struct mix_choice){1, copies, 1, 0, 1}, random);
  for (size_t i = 0, copy = 0; i <= copies; i++) {
    if (job.rows[i] != job.queries[0]) continue;
    memcpy(job.answers + 2 * i, answers + 2 * copy++, 2 * sizeof *answers);
  }
  assert_ok(mix_verify(job.mix, &check, job.answers, job.labels, job.out, &result));
  mix_free(job.mix);
  return result.disagreeing_queries;
}

/** Each copy is within the tolerance of its neighbour, the outer ones are not of each other; whichever comes first. */
static void verify__tolerance_holds_between_all_pairs(void **state) {
  (void)state;
  struct counter random = {.seed = test_seed()};
  static const int64_t tolerances[] = {1, 7, INT64_C(1) << 40, INT64_MAX / 2};
  for (size_t i = 0; i < sizeof tolerances / sizeof *tolerances; i++) {
    const int64_t n = tolerances[i];
    struct mix_check check = {MIX_ANSWER_LOGITS, MIX_AGREE_WITHIN, (uint64_t)n, 2, 0, NULL};
    for (int turn = 0; turn < 6; turn++) {
      int64_t copies[6] = {0, 5, n, 5, 2 * n, 5};
      for (int k = 0; k < turn; k++) { /* all six orders */
        const int64_t kept = copies[2 * (k % 2)];
        copies[2 * (k % 2)] = copies[2 * (k % 2) + 2];
        copies[2 * (k % 2) + 2] = kept;
      }
      check.tolerance = (uint64_t)n;
      assert_int_equal(disagreeing(check, 3, copies, &random), 1);
      check.tolerance = 2 * (uint64_t)n - 1;
      assert_int_equal(disagreeing(check, 3, copies, &random), 1);
      check.tolerance = 2 * (uint64_t)n;
      assert_int_equal(disagreeing(check, 3, copies, &random), 0);
    }
  }
}

static void verify__indices_are_exact_whatever_the_tolerance(void **state) {
  (void)state;
  struct counter random = {.seed = test_seed()};
  const struct mix_check top = {MIX_ANSWER_TOP_K, MIX_AGREE_WITHIN, 100, 2, 0, NULL},
                         label = {MIX_ANSWER_INDEX, MIX_AGREE_WITHIN, 100, 2, 0, NULL};
  assert_int_equal(disagreeing(top, 3, (int64_t[]){4, 0, 4, 50, 4, 100}, &random), 0);
  assert_int_equal(disagreeing(top, 3, (int64_t[]){4, 0, 4, 50, 4, 101}, &random), 1);
  assert_int_equal(disagreeing(top, 3, (int64_t[]){4, 0, 5, 0, 4, 0}, &random), 1);
  assert_int_equal(disagreeing(label, 2, (int64_t[]){4, 3, 4, 3}, &random), 0);
  assert_int_equal(disagreeing(label, 2, (int64_t[]){4, 3, 5, 3}, &random), 1);
  assert_int_equal(disagreeing(label, 2, (int64_t[]){4, 3, 4, 2}, &random), 1);
}

static void verify__only_what_was_compared_is_handed_out(void **state) {
  (void)state;
  struct counter random = {.seed = test_seed()};
  job_open(&job, (struct mix_choice){5, 3, 10, 2, 1}, &random);
  memset(job.out, 0x55, sizeof job.out);
  assert_true(job_verify(&job, MIX_AGREE_LABEL, 0).accepted);
  for (int64_t i = 0; i < 5; i++) assert_int_equal(job.out[i], i - 3 < 3 - i); /* logits are i - 3 and 3 - i */
  assert_int_equal(job.out[5], 0x5555555555555555);
  assert_true(job_verify(&job, MIX_AGREE_WITHIN, 1).accepted);
  for (int64_t i = 0; i < 5; i++) assert_true(job.out[2 * i] == i - 3 && job.out[2 * i + 1] == 3 - i);
  const struct mix_check logits = {MIX_ANSWER_LOGITS, MIX_AGREE_EXACT, 0, 7, 0, NULL},
                         labels = {MIX_ANSWER_LOGITS, MIX_AGREE_LABEL, 0, 7, 0, NULL};
  assert_int_equal(mix_compared_size(&logits), 7);
  assert_int_equal(mix_compared_size(&labels), 1);
  mix_free(job.mix);
}

static void label__ties_signs_and_extremes(void **state) {
  (void)state;
  const struct mix_check three = {MIX_ANSWER_LOGITS, MIX_AGREE_EXACT, 0, 3, 0, NULL},
                         one = {MIX_ANSWER_LOGITS, MIX_AGREE_EXACT, 0, 1, 0, NULL};
  const struct mix_check index = {MIX_ANSWER_INDEX, MIX_AGREE_EXACT, 0, 4, 0, NULL};
  assert_int_equal(mix_label(&three, (int64_t[]){5, 5, 5}), 0);
  assert_int_equal(mix_label(&three, (int64_t[]){INT64_MIN, 5, 5}), 1);
  assert_int_equal(mix_label(&three, (int64_t[]){INT64_MIN, INT64_MIN + 1, INT64_MAX}), 2);
  assert_int_equal(mix_label(&three, (int64_t[]){INT64_MAX, INT64_MIN, -1}), 0);
  assert_int_equal(mix_label(&one, (int64_t[]){1}), 1);
  assert_int_equal(mix_label(&one, (int64_t[]){0}), 0);
  assert_int_equal(mix_label(&one, (int64_t[]){INT64_MIN}), 0);
  assert_int_equal(mix_label(&index, (int64_t[]){7, 100, 3, 90}), 7);
}

/** The game itself: a server corrupts s positions, all in the same way; how often is a wrong answer accepted? For the
 * best s the frequency is P, for others not more. */
static void play(const struct mix_choice *choice, struct counter *random) {
  enum { GAMES = 20000 };
  uint64_t worst;
  const double p = (double)exp2l(bound_log2(choice, &worst));
  for (uint64_t s = 1; s <= samples_of(choice); s++) {
    unsigned won = 0;
    for (int game = 0; game < GAMES; game++) {
      job_open(&job, *choice, random);
      for (size_t i = 0; i < s; i++) { /* any s positions: the permutation is uniform */
        job.answers[2 * i] = -job.answers[2 * i] + 1;
        job.answers[2 * i + 1] = -job.answers[2 * i + 1] - 1;
      }
      const struct mix_result r = job_verify(&job, MIX_AGREE_EXACT, 0);
      bool wrong_answer = false;
      for (size_t q = 0; q < choice->queries; q++) wrong_answer = wrong_answer || job.out[2 * q] != job.queries[q];
      won += r.accepted && wrong_answer;
      mix_free(job.mix);
    }
    const double frequency = (double)won / GAMES, deviation = sqrt(p * (1 - p) / GAMES);
    assert_true(frequency < p + 6 * deviation);
    if (s == worst) assert_true(frequency > p - 6 * deviation);
  }
}

static void game__a_cheating_server_wins_as_often_as_the_bound_says(void **state) {
  (void)state;
  struct counter random = {.seed = test_seed()};
  play(&(struct mix_choice){3, 2, 4, 1, 1}, &random);
  play(&(struct mix_choice){2, 2, 3, 1, 2}, &random);
}

/* Verdict */

static void verdict__json_and_page(void **state) {
  (void)state;
  fusion_verdict v = {
      .queries = 128,
      .copies = 6,
      .public_samples = 100,
      .samples = 868,
      .allowed_errors = 5,
      .security_bits = 40,
      .soundness_bits = 42.05,
      .paper_bits = 42.05,
      .min_accuracy = 0.95,
      .wrong_public = 9,
      .disagreeing_queries = 2,
      .compared = "every number of every copy",
      .server = "<b>&\"host",
      .note = "1 of 128 queries <is> clipped",
      .stage_count = 2,
      .stages = {{.name = "linear", .seconds = 1.5, .bytes_sent = 10, .bytes_received = 20}, {.name = "pool"}}};
  verdict_explain(&v);
  assert_string_equal(v.reason,
                      "the copies of 2 of 128 queries disagree; 9 of 100 public answers are wrong, 5 were allowed");
  v.public_copies = 2;
  v.disagreeing_public = 3;
  verdict_explain(&v);
  assert_string_equal(v.reason,
                      "the copies of 2 of 128 queries and of 3 of 100 public samples disagree; 9 of 100 public "
                      "answers are wrong, 5 were allowed");
  assert_true(v.accuracy == 0.91 && v.accuracy_lower_bound < 0.91 && v.accuracy_lower_bound > 0.8);
  char *text;
  assert_ok(fusion_verdict_json(&v, &text));
  json_t *root = json_loads(text, 0, NULL);
  assert_non_null(root);
  assert_string_equal(json_string_value(json_object_get(root, "verdict")), "reject");
  assert_int_equal(json_integer_value(json_object_get(root, "disagreeing_queries")), 2);
  assert_int_equal(json_integer_value(json_object_get(root, "public_copies")), 2);
  assert_int_equal(json_integer_value(json_object_get(root, "disagreeing_public")), 3);
  assert_string_equal(json_string_value(json_object_get(root, "server")), "<b>&\"host");
  assert_string_equal(json_string_value(json_object_get(root, "compared")), "every number of every copy");
  json_decref(root);
  fusion_text_free(text);
  assert_ok(fusion_verdict_html(&v, &text));
  assert_non_null(strstr(text, "&lt;b&gt;&amp;&quot;host"));
  assert_non_null(strstr(text, "Rejected"));
  assert_non_null(strstr(text, "<p>The answers are withheld.</p>"));
  assert_non_null(strstr(text, "<p>1 of 128 queries &lt;is&gt; clipped.</p>"));
  assert_non_null(strstr(text, "<td>linear</td><td>1.500</td><td>0.01 KiB</td><td>0.02 KiB</td>"));
  assert_null(strstr(text, "<td>pool</td>")); /* nothing happened in it */
  assert_non_null(strstr(text, "<td>Compared</td><td>every number of every copy</td>"));
  assert_non_null(strstr(text, "<td>Copies of each of these</td><td>2</td>"));
  assert_non_null(strstr(text, "<td>Public samples whose copies disagree</td><td>3</td>"));
  assert_null(strstr(text, "<script"));
  assert_null(strstr(text, "http"));
  fusion_text_free(text);
  v.wrong_public = v.disagreeing_queries = 0;
  verdict_explain(&v);
  assert_string_equal(v.reason, "the copies of 3 of 100 public samples disagree");
  v.accepted = true;
  v.disagreeing_public = 0;
  verdict_explain(&v);
  assert_string_equal(v.reason, "all copies agree; 100 of 100 public answers are right");
  strcpy(v.rounding, "fast");
  strcpy(v.compared, "labels only");
  verdict_explain(&v);
  assert_string_equal(v.reason, "all copies agree (labels only); 100 of 100 public answers are right");
}

static void verdict__the_longest_reason_fits(void **state) {
  (void)state;
  fusion_verdict v = {.queries = UINT32_MAX,
                      .public_samples = UINT32_MAX,
                      .allowed_errors = UINT32_MAX - 1,
                      .wrong_public = UINT32_MAX,
                      .disagreeing_queries = UINT32_MAX,
                      .disagreeing_public = UINT32_MAX};
  verdict_explain(&v);
  assert_non_null(strstr(v.reason, "public answers are wrong, 4294967294 were allowed"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plan__required_values),
      cmocka_unit_test(plan__slack_costs_soundness),
      cmocka_unit_test(plan__with_copies_of_public_samples_is_the_cheapest),
      cmocka_unit_test(plan__a_million_queries_within_a_second),
      cmocka_unit_test(plan__nonsense_gets_a_line),
      cmocka_unit_test(bound__equals_brute_force),
      cmocka_unit_test(bound__equals_brute_force_with_many_public_samples),
      cmocka_unit_test(bound__the_limit_itself_holds),
      cmocka_unit_test(sensitive__equals_the_bound_when_all_samples_are),
      cmocka_unit_test(sensitive__a_given_query_is_safer_when_more_changes),
      cmocka_unit_test(sensitive__finds_the_best_of_all),
      cmocka_unit_test(sensitive__nonsense_gets_a_line),
      cmocka_unit_test(power__exact_tails),
      cmocka_unit_test(accuracy__clopper_pearson),
      cmocka_unit_test(mix__is_a_permutation_of_all_copies),
      cmocka_unit_test(mix__is_uniform),
      cmocka_unit_test(mix__refuses_nonsense_and_passes_failures_on),
      cmocka_unit_test(rows__are_uniform_without_repetition),
      cmocka_unit_test(rows__refuses_nonsense_and_passes_failures_on),
      cmocka_unit_test(verify__honest_answers_are_accepted),
      cmocka_unit_test(verify__one_changed_copy_is_seen),
      cmocka_unit_test(verify__copies_of_public_samples_are_compared),
      cmocka_unit_test(verify__a_wrong_public_sample_counts_once),
      cmocka_unit_test(verify__allowed_errors_and_one_more),
      cmocka_unit_test(verify__tolerance_and_label_agreement),
      cmocka_unit_test(verify__tolerance_holds_between_all_pairs),
      cmocka_unit_test(verify__indices_are_exact_whatever_the_tolerance),
      cmocka_unit_test(verify__only_what_was_compared_is_handed_out),
      cmocka_unit_test(label__ties_signs_and_extremes),
      cmocka_unit_test(game__a_cheating_server_wins_as_often_as_the_bound_says),
      cmocka_unit_test(verdict__json_and_page),
      cmocka_unit_test(verdict__the_longest_reason_fits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
