/* Audits and jobs with canaries, on the fake engine: what is accepted, what is refused before anything is sent, and
 * journals. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/packed.h"
#include "session/prepare.h"
#include "session/session_scene.h"
#include "support/support.h"

enum { CANARIES = 14, RUNS_OF_HALF = 3 };

static char folder[] = "/tmp/fusion-audit-XXXXXX";
static char path[64];

/* The scene's first public samples as canaries; `labelled` says whether the others stay. */
struct canary_scene {
  struct session_scene s;
  struct job_canaries canaries;
  int64_t inputs[PUBLIC * IN], answers[PUBLIC * OUT];
  uint8_t hash[SESSION_HASH_LEN];
};

static void prepare_canaries(struct canary_scene *c, bool labelled) {
  struct session_scene *s = &c->s;
  struct writer manifest = {0};
  scene_prepare(s);
  program_encode(&manifest, &s->model->program);
  manifest_hash(c->hash, manifest.data, manifest.len);
  writer_free(&manifest);
  for (size_t i = 0; i < PUBLIC * IN; i++) c->inputs[i] = (int64_t)s->public_samples[i];
  memcpy(c->answers, s->public_answers, sizeof c->answers);
  c->canaries = (struct job_canaries){.count = labelled ? CANARIES : PUBLIC,
                                      .input_size = IN,
                                      .answer_size = OUT,
                                      .inputs = c->inputs,
                                      .answers = c->answers,
                                      .rows = 100,
                                      .manifest_hash = c->hash,
                                      .audited_utc = "2026-02-03T04:05:06Z"};
  s->input.canaries = &c->canaries;
  s->input.public_samples = labelled ? s->public_samples + CANARIES * IN : NULL;
  s->input.labels = labelled ? s->labels + CANARIES : NULL;
  s->input.choice.errors = labelled ? 3 : 0;
}

static void canaries__as_in_the_audit_are_accepted(void **state) {
  (void)state;
  struct canary_scene c;
  fusion_verdict v = {0};
  for (int labelled = 0; labelled < 2; labelled++) {
    prepare_canaries(&c, labelled);
    scene_start(&c.s);
    expect_accept(&c.s, &v);
    assert_int_equal(v.changed_canaries, 0);
    scene_end(&c.s);
  }
}

/* By one unit in one number of one answer, every label kept: with labels alone nobody would know. */
static void canaries__one_unit_rejects(void **state) {
  (void)state;
  struct canary_scene c;
  struct job_output out;
  for (int labelled = 0; labelled < 2; labelled++) {
    prepare_canaries(&c, labelled);
    scene_start(&c.s);
    for (size_t t = 0; t < PUBLIC; t += 3) {
      fusion_verdict v = {0};
      const bool canary = t < c.canaries.count;
      fake.grow_answer = c.s.public_answers + t * OUT;
      assert_ok(scene_ask(&c.s, &out, &v, NULL));
      assert_null(fake.grow_answer);
      assert_int_equal(v.accepted, !canary);
      assert_int_equal(v.changed_canaries, canary);
      assert_int_equal(v.disagreeing_queries + v.disagreeing_public + v.wrong_public, 0);
      assert_true((out.answers != NULL) == v.accepted && (out.inputs != NULL) == v.accepted);
      job_output_free(&out);
    }
    scene_end(&c.s);
  }
}

static void canaries__that_do_not_fit_are_refused_before_the_job(void **state) {
  (void)state;
  struct canary_scene c;
  prepare_canaries(&c, true);
  scene_start(&c.s);
  c.hash[5] ^= 1;
  expect_failure(&c.s, FUSION_E_OTHER_MODEL, "the canaries are of another model, audited at 2026-02-03T04:05:06Z");
  c.hash[5] ^= 1;
  c.canaries.answer_size = OUT + 1;
  expect_failure(&c.s, FUSION_E_INPUT, "another size than the model's; audit again");
  c.canaries.answer_size = OUT;
  static const int64_t far[] = {INT64_MAX, INT64_MIN, INT64_C(1) << 40, -(INT64_C(1) << 40)};
  for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
    const int64_t kept = c.inputs[7];
    c.inputs[7] = far[i];
    expect_failure(&c.s, FUSION_E_INPUT, "numbers that the model does not take; audit again");
    c.inputs[7] = kept;
  }
  assert_int_equal(fake.opened, 0);
  scene_end(&c.s);
}

static void fast__has_neither_audit_nor_canaries(void **state) {
  (void)state;
  struct canary_scene c;
  prepare_canaries(&c, true);
  c.s.model->program.rounding = ROUNDING_FAST;
  struct writer manifest = {0};
  program_encode(&manifest, &c.s.model->program);
  manifest_hash(c.hash, manifest.data, manifest.len);
  writer_free(&manifest);
  scene_start(&c.s);
  for (int accept = 0; accept < 2; accept++) {
    c.s.ask.accept_fast = accept;
    expect_failure(&c.s, FUSION_E_ROUNDING, "no audit and no canaries");
  }
  assert_int_equal(fake.opened, 0);
  scene_end(&c.s);
}

/* ---- audits ---- */

static void prepare_audit(struct session_scene *s) {
  scene_prepare(s);
  s->input.queries = NULL;
  s->input.choice = (struct mix_choice){0, 0, PUBLIC, 3, 3};
}

static void audit__hands_out_samples_and_answers(void **state) {
  (void)state;
  struct session_scene s;
  struct job_output out;
  fusion_verdict v = {0};
  prepare_audit(&s);
  scene_start(&s);
  s.labels[4] ^= 1;
  assert_ok(scene_ask(&s, &out, &v, NULL));
  assert_true(v.accepted);
  assert_int_equal(v.wrong_public, 1);
  assert_int_equal(out.queries, PUBLIC);
  assert_int_equal(out.answer_size, OUT);
  assert_memory_equal(out.answers, s.public_answers, sizeof s.public_answers);
  int64_t inputs[PUBLIC * IN];
  packed_read(inputs, out.inputs, PUBLIC * IN, out.input_len);
  for (size_t i = 0; i < PUBLIC * IN; i++) assert_int_equal(inputs[i], (int64_t)s.public_samples[i]);
  job_output_free(&out);
  scene_end(&s);
}

static void audit__answers_of_two_models_or_too_many_wrong_reject(void **state) {
  (void)state;
  struct session_scene s;
  struct job_output out;
  fusion_verdict v = {0};
  prepare_audit(&s);
  scene_start(&s);
  fake.grow_answer = s.public_answers + 5 * OUT;
  assert_ok(scene_ask(&s, &out, &v, NULL));
  assert_false(v.accepted);
  assert_int_equal(v.disagreeing_public, 1);
  assert_null(out.answers);
  assert_null(out.inputs);
  job_output_free(&out);
  for (size_t i = 0; i < 4; i++) s.labels[i] ^= 1;
  assert_ok(scene_ask(&s, &out, &v, NULL));
  assert_false(v.accepted);
  assert_int_equal(v.wrong_public, 4);
  job_output_free(&out);
  scene_end(&s);
}

/* ---- journals ---- */

static void open_journal(struct session_scene *s) {
  assert_ok(journal_open(&s->ask_handles.journal, path, false, NULL));
}

static void close_journal(struct session_scene *s) {
  journal_close(s->ask_handles.journal);
  s->ask_handles.journal = NULL;
}

static bool stop_after_some(void *context, const fusion_progress *progress) {
  (void)context, (void)progress;
  return atomic_load(&fake.runs) < RUNS_OF_HALF;
}

static void run_half(struct session_scene *s) {
  open_journal(s);
  s->ask.progress = stop_after_some;
  fake.delay_ms = 60;
  expect_failure(s, FUSION_E_CLOSED, "cancelled");
  s->ask.progress = NULL;
  fake.delay_ms = 0;
  close_journal(s);
}

static void journal__of_a_job_with_canaries_goes_on_with_these_alone(void **state) {
  (void)state;
  struct canary_scene c;
  fusion_verdict v = {0};
  prepare_canaries(&c, true);
  scene_start(&c.s);
  run_half(&c.s);
  open_journal(&c.s);
  c.answers[3]++;
  expect_failure(&c.s, FUSION_E_INPUT, "other data");
  c.answers[3]--;
  c.inputs[3]++;
  expect_failure(&c.s, FUSION_E_INPUT, "other data");
  c.inputs[3]--;
  expect_accept(&c.s, &v);
  close_journal(&c.s);
  assert_ok(journal_remove(path, NULL));
  scene_end(&c.s);
}

/* A file that has grown since the job began gives the resumed job the same canaries. */
static void journal__draws_from_the_rows_that_there_were(void **state) {
  (void)state;
  enum { DRAWN = 20 };
  struct canary_scene c;
  size_t first[DRAWN], again[DRAWN];
  uint64_t rows = 60;
  fusion_error err = {.status = FUSION_OK};
  prepare_canaries(&c, true);
  scene_start(&c.s);
  open_journal(&c.s);
  assert_ok(prepare_canary_rows(first, DRAWN, &rows, c.s.ask_handles.journal, NULL));
  assert_int_equal(rows, 60);
  c.canaries.rows = rows;
  close_journal(&c.s);
  run_half(&c.s); /* with a seed of its own */
  open_journal(&c.s);
  rows = 60;
  assert_ok(prepare_canary_rows(first, DRAWN, &rows, c.s.ask_handles.journal, NULL));
  rows = 500;
  assert_ok(prepare_canary_rows(again, DRAWN, &rows, c.s.ask_handles.journal, NULL));
  assert_int_equal(rows, 60);
  assert_memory_equal(first, again, sizeof first);
  rows = DRAWN - 1;
  assert_int_equal(prepare_canary_rows(again, DRAWN, &rows, NULL, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "needs 20 canaries; there are 19"));
  close_journal(&c.s);
  assert_ok(journal_remove(path, NULL));
  scene_end(&c.s);
}

static void journal__of_an_audit_goes_on(void **state) {
  (void)state;
  struct session_scene s;
  struct job_output out;
  fusion_verdict v = {0};
  prepare_audit(&s);
  scene_start(&s);
  run_half(&s);
  open_journal(&s);
  fake.runs = 0;
  assert_ok(scene_ask(&s, &out, &v, NULL));
  assert_true(v.accepted);
  assert_in_range(fake.runs, 1, (PUBLIC * 3 + 19) / 20 - 1);
  assert_memory_equal(out.answers, s.public_answers, sizeof s.public_answers);
  job_output_free(&out);
  close_journal(&s);
  assert_ok(journal_remove(path, NULL));
  scene_end(&s);
}

static int make_folder(void **state) {
  (void)state;
  if (!mkdtemp(folder)) return -1;
  snprintf(path, sizeof path, "%s/job.journal", folder);
  return 0;
}

static int remove_folder(void **state) {
  (void)state;
  unlink(path);
  return rmdir(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(canaries__as_in_the_audit_are_accepted),
      cmocka_unit_test(canaries__one_unit_rejects),
      cmocka_unit_test(canaries__that_do_not_fit_are_refused_before_the_job),
      cmocka_unit_test(fast__has_neither_audit_nor_canaries),
      cmocka_unit_test(audit__hands_out_samples_and_answers),
      cmocka_unit_test(audit__answers_of_two_models_or_too_many_wrong_reject),
      cmocka_unit_test(journal__of_a_job_with_canaries_goes_on_with_these_alone),
      cmocka_unit_test(journal__draws_from_the_rows_that_there_were),
      cmocka_unit_test(journal__of_an_audit_goes_on),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
