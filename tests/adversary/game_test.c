/* The mix-and-check game with the real mix and the real check, without cryptography: a server corrupts s positions, all
 * in the same way, and wins when a wrong answer is accepted. Every s, with and without tolerated errors; how often it
 * wins is compared with the exact formula of DESIGN 3. Prints the table of docs/security.md.
 * usage: game [short|long] */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "mixcheck/mix.h"
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
  mix_rows(mix, answers, queries, public_samples, 1, 0, samples);
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

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(game__every_strategy_wins_as_often_as_the_formula_says)};
  const bool more = argc > 1 && strcmp(argv[1], "long") == 0;
  games_best = more ? 4000000 : 100000;
  games_other = more ? 400000 : 5000;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
