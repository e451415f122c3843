/* The search for the cheapest plan skips T that cannot do: it must find what a search finds that tries every T. */
#include <fusion/plan.h>
#include <time.h>

#include "mixcheck/bound.h"
#include "support/support.h"

enum { PUBLIC_MOST = 400 };

/* The least T at which the bound holds, one by one; 0 when there is none up to the limit. */
static uint64_t least_by_steps(const fusion_plan_request *q, uint64_t copies) {
  for (uint64_t t = q->min_public > copies ? q->min_public : copies; t <= PUBLIC_MOST; t++) {
    const struct mix_choice c = {q->queries, copies, t, fusion_plan_allowed_errors(q->min_accuracy, t), 1};
    if (bound_holds(&c, q->security_bits)) return t;
  }
  return 0;
}

static void check_least(const fusion_plan_request *q, uint64_t copies) {
  fusion_plan_choice found = {.size = sizeof found};
  const double cost_limit = (double)copies + (double)PUBLIC_MOST / (double)q->queries;
  const fusion_status status = fusion_plan_with_copies(q, copies, cost_limit + 1e-9, &found, NULL);
  const uint64_t wanted = least_by_steps(q, copies), got = status == FUSION_OK ? found.public_samples : 0;
  if (got != wanted)
    fail_msg("%llu queries, %llu copies, %u bits, accuracy %g: T = %llu, step by step %llu",
             (unsigned long long)q->queries, (unsigned long long)copies, q->security_bits, q->min_accuracy,
             (unsigned long long)got, (unsigned long long)wanted);
}

static void plan_search__finds_what_trying_every_number_finds(void **state) {
  (void)state;
  static const double accuracies[] = {0.3, 0.45, 0.5, 0.501, 0.51, 0.55, 0.7, 0.9, 1};
  static const uint32_t bits[] = {3, 8, 12, 20};
  fusion_plan_request q = fusion_plan_request_default();
  for (q.queries = 1; q.queries <= 16; q.queries = q.queries < 4 ? q.queries + 1 : 2 * q.queries)
    for (size_t a = 0; a < sizeof accuracies / sizeof accuracies[0]; a++)
      for (size_t b = 0; b < sizeof bits / sizeof bits[0]; b++) {
        q.min_accuracy = accuracies[a];
        q.security_bits = bits[b];
        q.min_public = q.queries % 2 ? 1 : 23;
        const uint64_t most = bits[b] / q.queries + 3;
        for (uint64_t copies = most > 4 ? most - 2 : 2; copies <= most; copies++) check_least(&q, copies);
      }
}

/* Each of these took a minute or more. */
static void plan_search__takes_no_minute(void **state) {
  (void)state;
  static const struct {
    uint64_t queries, min_public;
    double min_accuracy;
    fusion_status status;
    uint64_t copies, public_samples;
  } cases[] = {{1, 100, 0.5, FUSION_E_UNREACHABLE, 0, 0},
               {1, 100, 0.51, FUSION_OK, 40, 951},
               {3, 100, 0.45, FUSION_OK, 21, 103},
               {512, 4000000, 0.9, FUSION_OK, 5, 4000000},
               {10, 2000000, 0.95, FUSION_OK, 9, 2000000}};
  const clock_t start = clock();
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    fusion_plan_request q = fusion_plan_request_default();
    fusion_plan_choice found = {.size = sizeof found};
    q.queries = cases[i].queries;
    q.min_public = cases[i].min_public;
    q.min_accuracy = cases[i].min_accuracy;
    assert_int_equal(fusion_plan_copies(&q, &found, NULL), cases[i].status);
    assert_int_equal(found.copies, cases[i].copies);
    assert_int_equal(found.public_samples, cases[i].public_samples);
  }
  assert_true(clock() - start < 10 * CLOCKS_PER_SEC); /* 0.2 s; sanitizers take longer */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plan_search__finds_what_trying_every_number_finds),
      cmocka_unit_test(plan_search__takes_no_minute),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
