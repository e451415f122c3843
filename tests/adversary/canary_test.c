/* Another model after the audit, against the real client and the real protocols: one weight changed by one unit,
 * weights pruned, re-quantised, a retrained model; at all positions and at some; one that is fitted to canaries that
 * the server knows; answers replayed; canaries of another model. (canary_file has files that are cut short or altered.)
 * Whether a canary shows it is computed in the clear beforehand, and the job must agree with that each time. Prints how
 * often there was something to see. usage: canary [short|long] */
#include <stdio.h>
#include <stdlib.h>

#include "adversary/scene.h"
#include "execute/execute.h"
#include "support/support.h"

enum { QUERIES = 3, COPIES = 4, CANARIES = 10, BATCH = QUERIES * COPIES + CANARIES, POOL = 1000, PRUNED_BELOW = 8 };
enum { FITS = 1000 }; /* changes of one unit that a server tries which fits a model to known canaries */

static unsigned jobs; /* of each kind */

/* Changes a copy of the audited model; the shapes and the manifest stay. */
typedef void (*change)(struct model *m, uint64_t *random);

static const uint32_t linear[] = {SCENE_HIDDEN, SCENE_MIDDLE, SCENE_LAST};

static void one_weight(struct model *m, uint64_t *random) {
  const uint32_t step = linear[test_random(random) % 3];
  int16_t *w = &m->weights[step].weights[test_random(random) % program_weight_count(&m->program, step)];
  const int most = (1 << (m->program.steps[step].weight_bits - 1)) - 1;
  *w = (int16_t)(*w == most || (*w > -most && test_random(random) % 2) ? *w - 1 : *w + 1);
}

static void prune(struct model *m, uint64_t *random) {
  (void)random;
  for (size_t i = 0; i < 3; i++)
    for (size_t k = 0; k < program_weight_count(&m->program, linear[i]); k++)
      if (abs(m->weights[linear[i]].weights[k]) < PRUNED_BELOW) m->weights[linear[i]].weights[k] = 0;
}

/* One bit less for each weight. */
static void quantise_again(struct model *m, uint64_t *random) {
  (void)random;
  for (size_t i = 0; i < 3; i++)
    for (size_t k = 0; k < program_weight_count(&m->program, linear[i]); k++)
      m->weights[linear[i]].weights[k] = (int16_t)(m->weights[linear[i]].weights[k] / 2 * 2);
}

static void retrain(struct model *m, uint64_t *random) {
  for (size_t i = 0; i < 3; i++)
    for (size_t k = 0; k < program_weight_count(&m->program, linear[i]); k++) {
      const int most = (1 << (m->program.steps[linear[i]].weight_bits - 1)) - 1;
      const int w = m->weights[linear[i]].weights[k] + (int)(test_random(random) % 3) - 1;
      m->weights[linear[i]].weights[k] = (int16_t)(w > most ? most : w < -most ? -most : w);
    }
}

/* In how many of `count` samples from the `first` on the models' answers differ. */
static size_t differing(const struct scene *s, const struct model *other, size_t first, size_t count) {
  int64_t *rows = mem_alloc(count * s->row_size, sizeof *rows);
  int64_t *answers = mem_alloc(count * s->answer_size, sizeof *answers);
  size_t differ = 0;
  assert_true(rows && answers);
  for (size_t i = 0; i < count * s->row_size; i++) rows[i] = (int64_t)s->inputs[first * s->row_size + i];
  assert_ok(program_execute(other, rows, count, answers, &(struct execute_options){.threads = 1}));
  for (size_t i = 0; i < count; i++)
    differ += memcmp(answers + i * s->answer_size, s->expected + (first + i) * s->answer_size,
                     s->answer_size * sizeof *answers) != 0;
  mem_free(rows);
  mem_free(answers);
  return differ;
}

static void open_scene(struct scene *s, uint64_t seed) {
  scene_open(s, seed, POOL);
  s->queries = QUERIES;
  s->copies = COPIES;
  s->public_samples = s->canaries = CANARIES;
  s->errors = 0;
}

static enum outcome run(struct scene *s, const struct cheat *cheat, fusion_error *why) {
  struct cheater *c = mem_alloc(1, sizeof *c);
  assert_non_null(c);
  cheater_open(c, s->model, scene_engine(), test_random(&s->random));
  assert_ok(cheat_add(c, cheat, why));
  const enum outcome outcome = scene_run(s, c, why);
  cheater_close(c);
  mem_free(c);
  return outcome;
}

/* One job with the other model at all positions: rejected when, and only when, a canary's answer changes, and then with
 * as many as do; else the answers are the other model's. How many change. */
static size_t ask_another(struct scene *s, const char *name, const struct model *other) {
  fusion_error why = {.status = FUSION_OK};
  const size_t changed = differing(s, other, QUERIES, CANARIES);
  const bool harm = differing(s, other, 0, QUERIES) > 0;
  const struct cheat whole = {.kind = CHEAT_OTHER_MODEL, .count = CHEAT_ALL, .other = other};
  const enum outcome outcome = run(s, &whole, &why);
  if (s->changed != changed || (outcome == OUTCOME_REJECTED) != (changed > 0))
    fail_msg("%s: %d of %d canaries change, %d were seen: outcome %d, %s", name, (int)changed, CANARIES,
             (int)s->changed, (int)outcome, why.text);
  if (!changed) assert_int_equal(outcome, harm ? OUTCOME_WRONG : OUTCOME_RIGHT);
  return changed;
}

static void serve_another(const char *name, change alter) {
  struct scene s;
  unsigned seen = 0;
  size_t changed_of_all = 0;
  open_scene(&s, test_seed());
  for (unsigned job = 0; job < jobs; job++) {
    struct model *other = scene_copy_model(&s);
    alter(other, &s.random);
    changed_of_all += differing(&s, other, 0, POOL);
    seen += ask_another(&s, name, other) > 0;
    model_free(other);
  }
  printf("| %s | %u | %u | %.1f %% |\n", name, jobs, seen, 100.0 * (double)changed_of_all / (double)jobs / POOL);
  scene_close(&s);
}

static void canaries__catch_another_model_whenever_one_of_them_changes(void **state) {
  (void)state;
  printf("| model after the audit | jobs | a canary changes: rejected | answers that change |\n|---|--:|--:|--:|\n");
  serve_another("one weight changed by one unit", one_weight);
  serve_another("small weights pruned", prune);
  serve_another("weights with one bit less", quantise_again);
  serve_another("every weight moved by -1, 0 or 1", retrain);
}

/* A server that knows the `known` first of the job's canaries changes weights, each by one unit, wherever the answers
 * to these stay what they were. */
static struct model *fit(struct scene *s, size_t known) {
  struct model *fitted = scene_copy_model(s);
  for (unsigned i = 0; i < FITS; i++) {
    const uint32_t step = linear[test_random(&s->random) % 3];
    const int most = (1 << (fitted->program.steps[step].weight_bits - 1)) - 1;
    int16_t *w =
        &fitted->weights[step].weights[test_random(&s->random) % program_weight_count(&s->model->program, step)];
    const int16_t kept = *w;
    *w = (int16_t)(kept == most || (kept > -most && test_random(&s->random) % 2) ? kept - 1 : kept + 1);
    if (known && differing(s, fitted, QUERIES, known)) *w = kept;
  }
  return fitted;
}

/* It cannot tell canaries from other samples, but can have a function that answers those that it knows as in the audit.
 * The others show it; a server that knows all of them is not noticed: the file is secret. */
static void canaries__that_the_server_does_not_know_catch_a_model_fitted_to_the_others(void **state) {
  static const size_t known[] = {1, 2, CANARIES};
  (void)state;
  struct scene s;
  unsigned seen = 0;
  size_t changed = 0;
  open_scene(&s, test_seed());
  for (unsigned job = 0; job < jobs; job++) {
    const size_t knows = known[job % 3];
    struct model *fitted = fit(&s, knows);
    assert_int_equal(differing(&s, fitted, QUERIES, knows), 0);
    const bool shown = ask_another(&s, "fitted to known canaries", fitted) > 0;
    if (knows == CANARIES) assert_false(shown);
    seen += shown;
    if (knows == 1) changed += differing(&s, fitted, 0, POOL);
    model_free(fitted);
  }
  printf("fitted to 1, 2, or all canaries in turn: %u of %u jobs rejected; to 1: %zu answers change\n", seen, jobs,
         changed);
  scene_close(&s);
}

/* One job with the other model at so many positions, each by itself: what comes through are right answers, unless the
 * positions are all copies of some queries and nothing else. */
static enum outcome ask_some(struct scene *s, uint64_t positions) {
  fusion_error why = {.status = FUSION_OK};
  struct model *other = scene_copy_model(s);
  retrain(other, &s->random);
  const struct cheat some = {.kind = CHEAT_OTHER_MODEL, .count = positions, .other = other};
  s->shard_samples = 1;
  const enum outcome outcome = run(s, &some, &why);
  if (outcome != OUTCOME_WRONG) assert_true(s->changed || s->disagreeing || outcome == OUTCOME_RIGHT);
  model_free(other);
  return outcome;
}

static void canaries__and_copies_catch_another_model_at_some_positions(void **state) {
  (void)state;
  struct scene s;
  open_scene(&s, test_seed());
  for (unsigned job = 0; job < jobs; job++) {
    const uint64_t positions = 1 + test_random(&s.random) % (BATCH - 1);
    /* 2^-11 at most, for all copies of one query alone: 4 of 22 positions. */
    if (ask_some(&s, positions) == OUTCOME_WRONG) assert_int_equal(positions % COPIES, 0);
  }
  scene_close(&s);
}

/* The audited model at as many positions as there are canaries, another one at all others: it guesses which samples the
 * canaries are, and is right with probability 2^-19. */
static void canaries__and_copies_catch_a_server_that_guesses_where_they_are(void **state) {
  (void)state;
  struct scene s;
  open_scene(&s, test_seed());
  for (unsigned job = 0; job < jobs; job++) assert_int_not_equal(ask_some(&s, BATCH - CANARIES), OUTCOME_WRONG);
  scene_close(&s);
}

static void canaries__of_another_model_are_refused_before_the_job(void **state) {
  (void)state;
  static const uint8_t other[32] = {1, 2, 3};
  struct scene s;
  fusion_error why = {.status = FUSION_OK};
  const struct cheat honest = {.kind = CHEAT_CONSTANT, .count = 0};
  open_scene(&s, test_seed());
  s.audited = other;
  assert_int_equal(run(&s, &honest, &why), OUTCOME_FAILED);
  assert_int_equal(why.status, FUSION_E_OTHER_MODEL);
  assert_non_null(strstr(why.text, "audited at 2026-02-03T04:05:06Z"));
  scene_close(&s);
}

/* Messages of an earlier shard sent again are other answers, or break the protocol. */
static void canaries__replayed_answers_are_rejected_or_end_the_job(void **state) {
  (void)state;
  struct scene s;
  open_scene(&s, test_seed());
  s.shard_samples = 4;
  s.tries = 1;
  for (unsigned job = 0; job < jobs; job++) {
    fusion_error why = {.status = FUSION_OK};
    const struct cheat replay = {.kind = CHEAT_REPLAY, .nth = CHEAT_RANDOM};
    const enum outcome outcome = run(&s, &replay, &why);
    assert_true(outcome == OUTCOME_REJECTED || outcome == OUTCOME_FAILED || outcome == OUTCOME_RIGHT);
  }
  scene_close(&s);
}

/* The server's share of an earlier shard's answers: what the client opens is neither model's. */
static void canaries__and_copies_reject_the_answers_of_an_earlier_shard(void **state) {
  enum { SHARD = 2, SHARDS = BATCH / SHARD }; /* all of one size, so that any answer fits */
  (void)state;
  struct scene s;
  open_scene(&s, test_seed());
  s.shard_samples = SHARD;
  for (unsigned job = 0; job < jobs; job++) {
    fusion_error why = {.status = FUSION_OK};
    const uint64_t nth = 2 + test_random(&s.random) % (SHARDS - 1);
    const struct cheat replay = {.kind = CHEAT_REPLAY, .type = MSG_OUTPUT, .nth = nth};
    assert_int_equal(run(&s, &replay, &why), OUTCOME_REJECTED);
    assert_true(s.changed || s.disagreeing);
  }
  scene_close(&s);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(canaries__catch_another_model_whenever_one_of_them_changes),
      cmocka_unit_test(canaries__that_the_server_does_not_know_catch_a_model_fitted_to_the_others),
      cmocka_unit_test(canaries__and_copies_catch_another_model_at_some_positions),
      cmocka_unit_test(canaries__and_copies_catch_a_server_that_guesses_where_they_are),
      cmocka_unit_test(canaries__of_another_model_are_refused_before_the_job),
      cmocka_unit_test(canaries__replayed_answers_are_rejected_or_end_the_job),
      cmocka_unit_test(canaries__and_copies_reject_the_answers_of_an_earlier_shard),
  };
  jobs = argc > 1 && strcmp(argv[1], "long") == 0 ? 100 : 8;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
