/* The mix-and-check game with the real mix and the real check, without cryptography: a server corrupts s positions, all
 * in the same way, and wins when a wrong answer is accepted. Every s, with and without tolerated errors; how often it
 * wins is compared with the exact formula of DESIGN 3. Prints the table of docs/security.md.
 * usage: game [short|long] */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "mixcheck/mix.h"
#include "mixcheck/sensitive.h"
#include "support/support.h"

enum { N_MAX = 32, SIGMAS = 6 };

static uint64_t games_best, games_other;

static fusion_status random_bytes(void *context, void *out, size_t len) {
  uint8_t *at = out;
  for (size_t done = 0; done < len; done += 8) {
    const uint64_t word = test_random(context);
    memcpy(at + done, &word, size_min(8, len - done));
  }
  return FUSION_OK;
}

static double uniform(uint64_t *random) {
  return (double)(test_random(random) >> 11) * 0x1p-53;
}

static double choose(uint64_t n, uint64_t k) {
  double c = 1;
  if (k > n) return 0;
  for (uint64_t j = 0; j < k; j++) c = c * (double)(n - j) / (double)(j + 1);
  return c;
}

static uint64_t samples_of(const struct mix_choice *c) {
  return c->queries * c->copies + c->public_samples * c->public_copies;
}

/* sum over i >= 1, 0 <= k <= e, i*B + k*K = s of C(R,i) C(T,k) / C(N,s) */
static double formula(const struct mix_choice *c, uint64_t s) {
  double ways = 0;
  for (uint64_t i = 1; i <= c->queries; i++)
    for (uint64_t k = 0; k <= c->errors; k++)
      if (i * c->copies + k * c->public_copies == s) ways += choose(c->queries, i) * choose(c->public_samples, k);
  return ways / choose(samples_of(c), s);
}

/* One game: true when the server wins. The answer to a row is the row's number modulo 2; its label too. */
static bool play(const struct mix_choice *c, uint64_t s, uint64_t *random) {
  const struct mix_check check = {.kind = MIX_ANSWER_INDEX, .agreement = MIX_AGREE_EXACT, .answer_size = 1};
  int64_t queries[N_MAX], public_samples[N_MAX], answers[N_MAX], out[N_MAX];
  struct mix *mix;
  struct mix_result result;
  const size_t samples = (size_t)samples_of(c);
  for (size_t i = 0; i < N_MAX; i++) queries[i] = public_samples[i] = (int64_t)(i % 2);
  assert_ok(mix_draw(&mix, c, random_bytes, random));
  mix_rows(mix, answers, queries, public_samples, sizeof *answers, 0, samples);
  /* The server's s positions are drawn too, although the first s would do as well: the mix is uniform. */
  uint64_t left = s;
  for (size_t i = 0; i < samples; i++) {
    if (test_random(random) % (samples - i) >= left) continue;
    answers[i] += 100;
    left--;
  }
  assert_ok(mix_verify(mix, &check, answers, public_samples, out, &result));
  mix_free(mix);
  bool wrong = false;
  for (size_t q = 0; q < c->queries; q++) wrong |= out[q] != queries[q];
  return result.accepted && wrong;
}

static void play_all(const struct mix_choice *c, uint64_t *random) {
  const uint64_t samples = samples_of(c);
  uint64_t best = 1;
  for (uint64_t s = 2; s <= samples; s++)
    if (formula(c, s) > formula(c, best)) best = s;
  uint64_t worst;
  assert_true(fabs((double)bound_log2(c, &worst) - log2(formula(c, best))) < 1e-9);
  for (uint64_t s = 1; s <= samples; s++) {
    const uint64_t games = s == best ? games_best : games_other;
    const double p = formula(c, s), deviation = sqrt(p * (1 - p) / (double)games);
    uint64_t won = 0;
    for (uint64_t g = 0; g < games; g++) won += play(c, s, random);
    const double rate = (double)won / (double)games;
    if (s == best || s == c->copies)
      printf("| %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64 "%s | %" PRIu64
             " | %" PRIu64 " | %.6f | %.6f | %+.1f |\n",
             c->queries, c->copies, c->public_samples, c->errors, c->public_copies, s, s == best ? " (best)" : "",
             games, won, rate, p, deviation > 0 ? (rate - p) / deviation : 0);
    if (fabs(rate - p) > SIGMAS * deviation + 1 / (double)games)
      fail_msg("R %d B %d T %d e %d K %d s %d: won %d of %d games; %f expected", (int)c->queries, (int)c->copies,
               (int)c->public_samples, (int)c->errors, (int)c->public_copies, (int)s, (int)won, (int)games, p);
  }
}

static void game__every_strategy_wins_as_often_as_the_formula_says(void **state) {
  static const struct mix_choice choices[] = {{3, 2, 4, 0, 1}, {3, 2, 4, 1, 1}, {2, 3, 4, 0, 1}, {2, 3, 4, 2, 1},
                                              {4, 2, 6, 2, 1}, {2, 4, 8, 3, 1}, {1, 2, 9, 4, 1}, {3, 2, 4, 1, 2},
                                              {2, 3, 4, 2, 2}, {1, 2, 3, 2, 3}};
  uint64_t random = test_seed();
  (void)state;
  printf(
      "| R | B | T | e | K | s | games | won | rate | formula | deviations |\n"
      "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
  for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) play_all(&choices[i], &random);
}

/* Tampering that makes a part rho of all labels wrong */

/** What tampering does to samples. */
struct tampering {
  double rho;   /* each is sensitive with this probability */
  double mends; /* the honest model has this part of the public labels wrong, and tampering puts them right */
  bool given;   /* query 0 is sensitive, and the one to spoil; else any */
};

/** One game with `s` positions tampered with. True when a wrong answer (to query 0, to any) is accepted. */
static bool play_sensitive(const struct mix_choice *c, const struct tampering *t, uint64_t s, uint64_t *random) {
  enum { SENSITIVE = 1000, MENDS = 2000 }; /* what a row is travels with it, as an input would */
  const struct mix_check check = {.kind = MIX_ANSWER_INDEX, .agreement = MIX_AGREE_EXACT, .answer_size = 1};
  int64_t queries[N_MAX], public_samples[N_MAX], labels[N_MAX], answers[N_MAX], out[N_MAX];
  struct mix *mix;
  struct mix_result result;
  for (size_t i = 0; i < N_MAX; i++) {
    const double kind = uniform(random);
    const int64_t answer = (int64_t)(i % 2);
    queries[i] = answer + (uniform(random) < t->rho || (t->given && i == 0) ? SENSITIVE : 0);
    public_samples[i] = answer + (kind < t->rho ? SENSITIVE : kind < t->rho + t->mends ? MENDS : 0);
    labels[i] = public_samples[i] >= MENDS ? 1 - answer : answer;
  }
  assert_ok(mix_draw(&mix, c, random_bytes, random));
  const size_t samples = mix_samples(mix);
  mix_rows(mix, answers, queries, public_samples, sizeof *answers, 0, samples);
  uint64_t left = s;
  for (size_t i = 0; i < samples; i++) {
    const int64_t answer = answers[i] % SENSITIVE, kind = answers[i] - answer;
    const bool touched = test_random(random) % (samples - i) < left;
    answers[i] = touched && kind == SENSITIVE ? answer + 100 : touched && kind == MENDS ? 1 - answer : answer;
    left -= touched;
  }
  assert_ok(mix_verify(mix, &check, answers, labels, out, &result));
  mix_free(mix);
  bool wrong = false;
  for (size_t q = 0; q < (t->given ? 1 : c->queries); q++) wrong |= out[q] != (int64_t)(q % 2);
  return result.accepted && wrong;
}

static void play_sensitive_all(const struct mix_choice *c, double rho, double mends, uint64_t *random) {
  for (int event = SENSITIVE_GIVEN; event <= SENSITIVE_ANY; event++) {
    const bool given = event == SENSITIVE_GIVEN;
    const struct tampering tampering = {rho, mends, given};
    const uint64_t samples = samples_of(c);
    uint64_t best;
    (void)sensitive_log2(c, rho, (enum sensitive_event)event, &best);
    for (uint64_t s = 1; s <= samples; s++) {
      const uint64_t games = s == best ? games_best / 4 : games_other / 5;
      const double p = (double)exp2l(sensitive_log2_at(c, rho, (enum sensitive_event)event, s));
      const double deviation = sqrt(p * (1 - p) / (double)games);
      uint64_t won = 0;
      for (uint64_t g = 0; g < games; g++) won += play_sensitive(c, &tampering, s, random);
      const double rate = (double)won / (double)games;
      if (s == best)
        printf("| %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %g | %s | %" PRIu64
               " | %" PRIu64 " | %" PRIu64 " | %.6f | %.6f | %+.1f |\n",
               c->queries, c->copies, c->public_samples, c->public_copies, c->errors, rho, given ? "given" : "any", s,
               games, won, rate, p, deviation > 0 ? (rate - p) / deviation : 0);
      const double off = mends > 0 ? rate - p : fabs(rate - p); /* with mended answers the formula is a bound */
      if (off > SIGMAS * deviation + 1 / (double)games)
        fail_msg("R %d B %d T %d K %d e %d rho %g s %d: won %d of %d games; %f expected", (int)c->queries,
                 (int)c->copies, (int)c->public_samples, (int)c->public_copies, (int)c->errors, rho, (int)s, (int)won,
                 (int)games, p);
    }
  }
}

static void game__tampering_that_makes_few_answers_wrong_wins_as_often_as_the_formula_says(void **state) {
  static const struct mix_choice choices[] = {
      {3, 2, 6, 1, 1}, {2, 3, 8, 0, 1}, {1, 4, 12, 2, 1}, {2, 3, 5, 1, 2}, {3, 2, 4, 1, 3}};
  static const double parts[] = {1, 0.5, 0.1, 0.02};
  uint64_t random = test_seed();
  (void)state;
  printf(
      "| R | B | T | K | e | rho | query | best s | games | won | rate | formula | deviations |\n"
      "|--:|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|\n");
  for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++)
    for (size_t j = 0; j < sizeof parts / sizeof parts[0]; j++) play_sensitive_all(&choices[i], parts[j], 0, &random);
}

static void game__putting_wrong_answers_right_does_not_beat_the_formula(void **state) {
  static const struct mix_choice choices[] = {{3, 2, 6, 1, 1}, {1, 4, 12, 3, 1}, {2, 3, 5, 1, 2}};
  uint64_t random = test_seed();
  (void)state;
  for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
    play_sensitive_all(&choices[i], 0.5, 0.2, &random);
    play_sensitive_all(&choices[i], 0.1, 0.1, &random);
  }
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(game__every_strategy_wins_as_often_as_the_formula_says),
      cmocka_unit_test(game__tampering_that_makes_few_answers_wrong_wins_as_often_as_the_formula_says),
      cmocka_unit_test(game__putting_wrong_answers_right_does_not_beat_the_formula)};
  const bool more = argc > 1 && strcmp(argv[1], "long") == 0;
  games_best = more ? 4000000 : 100000;
  games_other = more ? 400000 : 5000;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
