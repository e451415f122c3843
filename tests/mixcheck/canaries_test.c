/* Canaries and audits: what they cost, what they let through, and whether the games agree. */
#include <fusion/plan.h>

#include <inttypes.h>
#include <math.h>

#include "mixcheck/audit.h"
#include "mixcheck/mix.h"
#include "mixcheck/report.h"
#include "mixcheck/sensitive.h"
#include "support/support.h"

enum { ROWS_MAX = 64, SIZE = 2 };

static fusion_status random_bytes(void *context, void *out, size_t len) {
  uint8_t *at = out;
  for (size_t done = 0; done < len; done += 8) {
    const uint64_t word = test_random(context);
    memcpy(at + done, &word, size_min(8, len - done));
  }
  return FUSION_OK;
}

/* ---- plans ---- */

/* The figures that small jobs are for: samples a query at 40 bits. */
static void plan__canaries_make_small_jobs_cheap(void **state) {
  static const struct {
    uint64_t queries;
    double most;
  } rows[] = {{1, 44}, {2, 25}, {4, 17}, {8, 12.5}, {16, 10.25}, {32, 8.63}, {128, 6.16}, {512, 5.04}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    fusion_plan_request q = fusion_plan_request_default();
    fusion_plan_choice c = {.size = sizeof c};
    q.queries = rows[i].queries;
    q.min_public = 0;
    q.min_canaries = 20;
    assert_ok(fusion_plan_copies(&q, &c, NULL));
    if (c.cost_per_query > rows[i].most + 0.005)
      fail_msg("R=%" PRIu64 ": %.4f samples a query, not %.4f", q.queries, c.cost_per_query, rows[i].most);
    assert_true(c.soundness_bits >= 40);
    assert_int_equal(c.allowed_errors, 0);
    assert_true(c.canaries == c.public_samples && c.canaries >= 20);
  }
}

/* With both, the labelled ones are as many as asked for and err as much as they alone may. */
static void plan__labels_beside_canaries_keep_their_number_and_errors(void **state) {
  (void)state;
  fusion_plan_request q = fusion_plan_request_default();
  fusion_plan_choice c = {.size = sizeof c}, labelled = {.size = sizeof labelled};
  for (q.queries = 1; q.queries < 2000; q.queries *= 5) {
    q.min_public = 100;
    q.min_canaries = 30;
    assert_ok(fusion_plan_copies(&q, &c, NULL));
    assert_true(c.canaries >= 30);
    assert_int_equal(c.public_samples, c.canaries + 100);
    assert_int_equal(c.allowed_errors, 5);
    assert_true(c.soundness_bits >= 40);
    q.min_canaries = 0;
    assert_ok(fusion_plan_copies(&q, &labelled, NULL));
    assert_int_equal(labelled.canaries, 0);
    assert_true(labelled.public_samples >= 100);
  }
  q.min_canaries = FUSION_PUBLIC_MAX;
  fusion_error err = {.status = FUSION_OK};
  assert_int_equal(fusion_plan_copies(&q, &c, &err), FUSION_E_USAGE);
  assert_non_null(strstr(err.text, "canaries beside 100 public samples: give"));
}

/* What a model passes with that differs on a part of the samples: all positions alike, (1 - rho)^T. */
static void plan__another_model_passes_as_often_as_no_canary_is_touched(void **state) {
  static const double parts[] = {0.5, 0.2, 0.1, 0.02};
  (void)state;
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    const struct mix_choice c = {8, 10, 20, 0, 1};
    const double all = 20 * log2(1 - parts[i]);
    const double at_all = (double)sensitive_log2_at(&c, parts[i], SENSITIVE_GIVEN, 100);
    assert_true(fabs(at_all - all) < 1e-6);
    assert_true((double)sensitive_log2(&c, parts[i], SENSITIVE_GIVEN, NULL) >= all - 1e-6);
  }
}

/* ---- audits ---- */

static double choose(uint64_t n, uint64_t k) {
  double c = 1;
  for (uint64_t j = 0; j < k; j++) c = c * (double)(n - j) / (double)(j + 1);
  return c;
}

static void audit__bound_is_the_largest_chance_of_any_number_of_samples(void **state) {
  (void)state;
  for (uint64_t t = 2; t <= 30; t++)
    for (uint64_t copies = 2; copies <= 5; copies++) {
      double most = 0;
      for (uint64_t k = 1; k < t; k++) most = fmax(most, choose(t, k) / choose(t * copies, k * copies));
      const double bits = (double)audit_bits(t, copies);
      assert_true(fabs(bits + log2(most)) < 1e-9);
      assert_true(audit_holds(t, copies, (uint32_t)floor(bits - 1e-9)));
      assert_false(audit_holds(t, copies, (uint32_t)floor(bits) + 1));
    }
}

static void audit__takes_the_fewest_copies(void **state) {
  static const struct {
    uint64_t samples, copies;
  } rows[] = {{1, 2}, {20, 9}, {100, 7}, {500, 5}, {1000, 5}, {10000, 4}};
  (void)state;
  fusion_plan_request q = fusion_plan_request_default();
  fusion_plan_choice c = {.size = sizeof c};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    assert_ok(fusion_plan_audit(&q, rows[i].samples, &c, NULL));
    assert_int_equal(c.public_copies, rows[i].copies);
    assert_int_equal(c.samples, rows[i].samples * rows[i].copies);
    assert_int_equal(c.allowed_errors, rows[i].samples / 20);
    assert_true(c.soundness_bits >= 40);
    assert_true(rows[i].copies == 2 || !audit_holds(rows[i].samples, rows[i].copies - 1, 40));
  }
  fusion_error err = {.status = FUSION_OK};
  q.public_copies = 4;
  assert_int_equal(fusion_plan_audit(&q, 1000, &c, &err), FUSION_E_UNREACHABLE);
  assert_non_null(strstr(err.text, "take more samples or copies"));
  q.public_copies = 1;
  assert_int_equal(fusion_plan_audit(&q, 1000, &c, &err), FUSION_E_USAGE);
  q.public_copies = 0;
  assert_int_equal(fusion_plan_audit(&q, 0, &c, &err), FUSION_E_USAGE);
  q.min_accuracy = 0;
  assert_int_equal(fusion_plan_audit(&q, 10, &c, &err), FUSION_E_USAGE);
}

/* ---- checking ---- */

/* A job whose model answers a row with its number and the negative; its first public samples are canaries. */
struct toy {
  struct mix *mix;
  struct mix_check check;
  int64_t queries[ROWS_MAX], samples[ROWS_MAX], labels[ROWS_MAX], known[SIZE * ROWS_MAX];
  int64_t rows[ROWS_MAX], answers[SIZE * ROWS_MAX], out[SIZE * ROWS_MAX];
};

static void toy_answer(struct toy *t) {
  for (size_t i = 0; i < mix_samples(t->mix); i++) {
    t->answers[SIZE * i] = t->rows[i];
    t->answers[SIZE * i + 1] = -t->rows[i];
  }
}

static void toy_open(struct toy *t, const struct mix_choice *choice, size_t canaries, uint64_t *random) {
  *t = (struct toy){.check = {.kind = MIX_ANSWER_LOGITS,
                              .agreement = MIX_AGREE_EXACT,
                              .answer_size = SIZE,
                              .canaries = canaries,
                              .canary_answers = t->known}};
  for (int64_t i = 0; i < ROWS_MAX; i++) {
    t->queries[i] = 1000 + i;
    t->samples[i] = i % 2 ? 10 + i : -10 - i;
    t->known[SIZE * i] = t->samples[i];
    t->known[SIZE * i + 1] = -t->samples[i];
  }
  for (size_t i = canaries; i < ROWS_MAX; i++) t->labels[i - canaries] = t->samples[i] < 0;
  assert_ok(mix_draw(&t->mix, choice, random_bytes, random));
  mix_rows(t->mix, t->rows, t->queries, t->samples, sizeof *t->rows, 0, mix_samples(t->mix));
  toy_answer(t);
}

static struct mix_result toy_verify(struct toy *t) {
  struct mix_result result;
  assert_ok(mix_verify(t->mix, &t->check, t->answers, t->labels, t->out, &result));
  return result;
}

static struct toy toy;

static void canaries__every_bit_of_every_number_counts(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (uint64_t copies = 1; copies <= 2; copies++) {
    const struct mix_choice choice = {2, 4, 10, 1, copies};
    toy_open(&toy, &choice, 6, &random);
    assert_true(toy_verify(&toy).accepted);
    for (size_t i = 0; i < mix_samples(toy.mix); i++) {
      for (int bit = 0; bit < 64; bit += 9) {
        int64_t *number = &toy.answers[SIZE * i + (size_t)bit % SIZE];
        const size_t sample = (size_t)(toy.rows[i] < 0 ? -toy.rows[i] : toy.rows[i]) - 10;
        *number ^= (int64_t)(UINT64_C(1) << bit);
        const struct mix_result r = toy_verify(&toy);
        assert_int_equal(r.changed_canaries, toy.rows[i] < 1000 && sample < 6);
        assert_int_equal(r.disagreeing_queries, toy.rows[i] >= 1000);
        if (r.changed_canaries) assert_true(!r.accepted && !r.wrong_public);
        *number ^= (int64_t)(UINT64_C(1) << bit);
      }
    }
    mix_free(toy.mix);
  }
}

/* A canary may well have a label that the model gets wrong: its answer alone counts. Labels are those of the rest. */
static void canaries__have_no_labels_and_the_others_may_err(void **state) {
  (void)state;
  uint64_t random = test_seed();
  toy_open(&toy, &(struct mix_choice){2, 4, 10, 1, 1}, 7, &random);
  toy.labels[0] ^= 1;
  struct mix_result r = toy_verify(&toy);
  assert_true(r.accepted && r.wrong_public == 1);
  toy.labels[2] ^= 1;
  r = toy_verify(&toy);
  assert_true(!r.accepted && r.wrong_public == 2 && !r.changed_canaries);
  toy.check.agreement = MIX_AGREE_LABEL;
  assert_int_equal(mix_verify(toy.mix, &toy.check, toy.answers, toy.labels, toy.out, &r), FUSION_E_USAGE);
  toy.check.agreement = MIX_AGREE_EXACT;
  toy.check.canaries = 11;
  assert_int_equal(mix_verify(toy.mix, &toy.check, toy.answers, toy.labels, toy.out, &r), FUSION_E_USAGE);
  mix_free(toy.mix);
}

static void audit__is_a_job_without_queries(void **state) {
  (void)state;
  uint64_t random = test_seed();
  int64_t first[SIZE * ROWS_MAX];
  struct mix *none;
  assert_int_equal(mix_draw(&none, &(struct mix_choice){0, 0, 10, 1, 1}, random_bytes, &random), FUSION_E_USAGE);
  toy_open(&toy, &(struct mix_choice){0, 0, 10, 1, 3}, 0, &random);
  assert_int_equal(mix_samples(toy.mix), 30);
  assert_true(toy_verify(&toy).accepted);
  mix_public_answers(toy.mix, toy.answers, SIZE, 0, 10, first);
  assert_memory_equal(first, toy.known, 10 * SIZE * sizeof *first);
  mix_public_answers(toy.mix, toy.answers, SIZE, 4, 2, first);
  assert_memory_equal(first, toy.known + 4 * SIZE, 2 * SIZE * sizeof *first);
  toy.answers[7]++;
  assert_int_equal(toy_verify(&toy).disagreeing_public, 1);
  mix_free(toy.mix);
}

/* ---- verdicts ---- */

static void verdict__names_the_audit_and_always_fits(void **state) {
  (void)state;
  fusion_verdict_class classes[] = {{.label = 0, .samples = 60, .wrong = 0}, {.label = 3, .samples = 40, .wrong = 10}};
  fusion_verdict v = {.queries = 8,
                      .canaries = 20,
                      .public_samples = 20,
                      .accepted = true,
                      .confidence = 0.95,
                      .rounding = "exact",
                      .audited_utc = "2026-02-03T04:05:06Z",
                      .audited_samples = 100,
                      .audited_wrong = 10,
                      .class_count = 2};
  char *text;
  verdict_rate_audit(&v, classes);
  verdict_explain(&v);
  assert_string_equal(v.reason, "all copies agree; 20 canaries are answered as in the audit of 2026-02-03");
  assert_true(v.audited_accuracy == 0.9 && v.audited_lower_bound < 0.9 && v.audited_lower_bound > 0.8);
  assert_true(classes[1].accuracy == 0.75 && classes[1].accuracy_lower_bound < 0.75);
  assert_ok(fusion_verdict_json(&v, &text));
  assert_non_null(strstr(text, "\"accuracy\": null"));
  assert_non_null(strstr(text, "\"audited_utc\": \"2026-02-03T04:05:06Z\""));
  fusion_text_free(text);
  assert_ok(fusion_verdict_html(&v, &text));
  assert_non_null(
      strstr(text, "In the audit of 2026-02-03T04:05:06Z, not in this job: 90.00&nbsp;% of 100 samples right"));
  assert_non_null(strstr(text, "<td>3</td><td>40</td><td>75.00 %</td>"));
  fusion_text_free(text);
  v.accepted = false;
  v.changed_canaries = 3;
  verdict_explain(&v);
  assert_string_equal(v.reason, "the model is not the one audited on 2026-02-03: 3 of 20 canaries differ");
  v.queries = v.canaries = v.changed_canaries = v.disagreeing_queries = v.disagreeing_public = UINT32_MAX;
  v.public_samples = UINT32_MAX;
  verdict_explain(&v);
  assert_true(strlen(v.reason) < sizeof v.reason - 1);
  assert_string_equal(v.reason + strlen(v.reason) - strlen("disagree"), "disagree");
}

/* ---- games ---- */

/* Whether a server that spoils s positions wins; sensitive samples alone change, with `rho` below 1. */
static bool play(const struct mix_choice *c, size_t canaries, double rho, uint64_t s, uint64_t *random) {
  bool sensitive[2][ROWS_MAX];
  toy_open(&toy, c, canaries, random);
  for (size_t i = 0; i < ROWS_MAX; i++)
    for (int k = 0; k < 2; k++) sensitive[k][i] = (double)(test_random(random) >> 11) * 0x1p-53 < rho;
  for (size_t i = 0; i < s; i++) { /* any s positions: the permutation is uniform */
    const int64_t row = toy.rows[i];
    const bool query = row >= 1000;
    if (!sensitive[query][query ? row - 1000 : (row < 0 ? -row : row) - 10]) continue;
    toy.answers[SIZE * i] = -row + 1; /* another label, too */
    toy.answers[SIZE * i + 1] = row - 1;
  }
  const struct mix_result r = toy_verify(&toy);
  bool wrong = false;
  for (size_t q = 0; q < c->queries; q++) wrong |= toy.out[SIZE * q] != toy.queries[q];
  mix_free(toy.mix);
  return r.accepted && wrong;
}

static void expect_rate(uint64_t won, uint64_t games, double p, bool at_most) {
  const double rate = (double)won / (double)games, deviation = sqrt(p * (1 - p) / (double)games);
  const double slack = 6 * deviation + 1 / (double)games;
  if (rate > p + slack || (!at_most && rate < p - slack))
    fail_msg("won %" PRIu64 " of %" PRIu64 " games, %f expected", won, games, p);
}

/* Canaries alone: exactly the bound without tolerated errors. Beside labelled samples that may err: below the bound in
 * which all of them may. */
static void game__canaries_win_as_often_as_the_bound_says(void **state) {
  enum { GAMES = 20000 };
  static const struct {
    struct mix_choice choice;
    size_t canaries;
  } rows[] = {{{3, 2, 4, 0, 1}, 4}, {{2, 3, 4, 0, 1}, 4}, {{2, 2, 6, 1, 1}, 4}, {{2, 2, 4, 1, 2}, 2}};
  uint64_t random = test_seed();
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    const struct mix_choice *c = &rows[i].choice;
    uint64_t worst;
    const double p = (double)exp2l(bound_log2(c, &worst));
    for (uint64_t s = 1; s <= mix_choice_samples(c); s++) {
      uint64_t won = 0;
      for (int g = 0; g < GAMES; g++) won += play(c, rows[i].canaries, 1, s, &random);
      expect_rate(won, GAMES, p, s != worst || rows[i].canaries < c->public_samples);
    }
  }
}

/* Another model at all positions, which differs on a part of the samples: accepted when no canary is one of these. */
static void game__another_model_wins_when_no_canary_shows_it(void **state) {
  enum { GAMES = 20000 };
  static const double parts[] = {1, 0.5, 0.1, 0.02};
  uint64_t random = test_seed();
  (void)state;
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    const struct mix_choice c = {3, 2, 8, 0, 1};
    uint64_t won = 0;
    for (int g = 0; g < GAMES; g++) won += play(&c, 8, parts[i], 14, &random);
    expect_rate(won, GAMES, pow(1 - parts[i], 8) * (1 - pow(1 - parts[i], 3)), false);
  }
}

/* An audit whose copies all agree although its answers come from two models. */
static void game__two_models_pass_an_audit_as_often_as_its_bound_says(void **state) {
  enum { GAMES = 50000 };
  static const struct mix_choice choices[] = {{0, 0, 4, 3, 2}, {0, 0, 5, 2, 2}, {0, 0, 3, 1, 3}};
  uint64_t random = test_seed();
  (void)state;
  for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
    const struct mix_choice *c = &choices[i];
    const double p = exp2(-(double)audit_bits(c->public_samples, c->public_copies));
    for (uint64_t s = 1; s < c->public_samples * c->public_copies; s++) {
      uint64_t won = 0;
      for (int g = 0; g < GAMES; g++) {
        toy_open(&toy, c, 0, &random);
        for (size_t k = 0; k < s; k++) toy.answers[SIZE * k]++, toy.answers[SIZE * k + 1]--;
        won += toy_verify(&toy).accepted;
        mix_free(toy.mix);
      }
      expect_rate(won, GAMES, p, s != c->public_copies);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plan__canaries_make_small_jobs_cheap),
      cmocka_unit_test(plan__labels_beside_canaries_keep_their_number_and_errors),
      cmocka_unit_test(plan__another_model_passes_as_often_as_no_canary_is_touched),
      cmocka_unit_test(audit__bound_is_the_largest_chance_of_any_number_of_samples),
      cmocka_unit_test(audit__takes_the_fewest_copies),
      cmocka_unit_test(canaries__every_bit_of_every_number_counts),
      cmocka_unit_test(canaries__have_no_labels_and_the_others_may_err),
      cmocka_unit_test(audit__is_a_job_without_queries),
      cmocka_unit_test(verdict__names_the_audit_and_always_fits),
      cmocka_unit_test(game__canaries_win_as_often_as_the_bound_says),
      cmocka_unit_test(game__another_model_wins_when_no_canary_shows_it),
      cmocka_unit_test(game__two_models_pass_an_audit_as_often_as_its_bound_says),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
