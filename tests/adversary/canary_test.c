/* Another model after the audit, against the real client and the real protocols: one weight changed by one unit,
 * weights pruned, re-quantised, a retrained model; at all positions and at some; answers replayed; canaries of another
 * model. Whether a canary shows it is computed in the clear beforehand, and the job must agree with that each time.
 * Prints how often there was something to see. usage: canary [short|long] */
#include <stdio.h>
#include <stdlib.h>

#include "adversary/scene.h"
#include "execute/execute.h"
#include "support/support.h"

enum { QUERIES = 3, COPIES = 4, CANARIES = 10, SAMPLES = QUERIES + CANARIES, POOL = 1000, PRUNED_BELOW = 8 };

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

/* Every job with the other model at all positions: rejected when, and only when, a canary's answer changes, and then
 * with as many as do. */
static void serve_another(const char *name, change alter) {
  struct scene s;
  unsigned seen = 0;
  size_t changed_of_all = 0;
  open_scene(&s, test_seed());
  for (unsigned job = 0; job < jobs; job++) {
    fusion_error why = {.status = FUSION_OK};
    struct model *other = scene_copy_model(&s);
    alter(other, &s.random);
    const size_t changed = differing(&s, other, QUERIES, CANARIES);
    const bool harm = differing(&s, other, 0, QUERIES) > 0;
    changed_of_all += differing(&s, other, 0, POOL);
    const struct cheat whole = {.kind = CHEAT_OTHER_MODEL, .count = CHEAT_ALL, .other = other};
    const enum outcome outcome = run(&s, &whole, &why);
    seen += changed > 0;
    if (s.changed != changed || (outcome == OUTCOME_REJECTED) != (changed > 0))
      fail_msg("%s: %d of %d canaries change, %d were seen: outcome %d, %s", name, (int)changed, CANARIES,
               (int)s.changed, (int)outcome, why.text);
    if (!changed) assert_int_equal(outcome, harm ? OUTCOME_WRONG : OUTCOME_RIGHT);
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

/* At some positions only, as many as the server likes: what comes through are right answers. */
static void canaries__and_copies_catch_another_model_at_some_positions(void **state) {
  (void)state;
  struct scene s;
  open_scene(&s, test_seed());
  for (unsigned job = 0; job < jobs; job++) {
    fusion_error why = {.status = FUSION_OK};
    struct model *other = scene_copy_model(&s);
    retrain(other, &s.random);
    const uint64_t positions = 1 + test_random(&s.random) % (QUERIES * COPIES + CANARIES - 1);
    const struct cheat some = {.kind = CHEAT_OTHER_MODEL, .count = positions, .other = other};
    const enum outcome outcome = run(&s, &some, &why);
    /* 2^-11 at most for all copies of one query alone: 4 of 22 positions; and then nothing is wrong with the test. */
    if (outcome == OUTCOME_WRONG) assert_int_equal(positions % COPIES, 0);
    if (outcome != OUTCOME_WRONG) assert_true(s.changed || s.disagreeing || outcome == OUTCOME_RIGHT);
    model_free(other);
  }
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

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(canaries__catch_another_model_whenever_one_of_them_changes),
      cmocka_unit_test(canaries__and_copies_catch_another_model_at_some_positions),
      cmocka_unit_test(canaries__of_another_model_are_refused_before_the_job),
      cmocka_unit_test(canaries__replayed_answers_are_rejected_or_end_the_job),
  };
  jobs = argc > 1 && strcmp(argv[1], "long") == 0 ? 100 : 8;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
