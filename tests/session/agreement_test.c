/* What the client compares, and which models it takes: its own choice, whatever the server's manifest says. */
#include "session/messages.h"
#include "session/session_scene.h"
#include "support/support.h"

static int64_t label_of(const int64_t *answer) {
  int64_t label = 0;
  for (int64_t k = 1; k < OUT; k++)
    if (answer[k] > answer[label]) label = k;
  return label;
}

/* A server that serves fast rounding and alters every second answer, all labels kept. */
static void scene_fast_cheater(struct session_scene *s) {
  scene_prepare(s);
  s->model->program.rounding = ROUNDING_FAST;
  fake.grow_by = 1000;
  scene_start(s);
}

static void fast__is_refused_at_the_manifest(void **state) {
  (void)state;
  struct session_scene s;
  scene_fast_cheater(&s);
  expect_failure(&s, FUSION_E_ROUNDING, "the server's model uses fast rounding");
  s.ask.tolerance = 1000; /* alone it accepts nothing */
  expect_failure(&s, FUSION_E_ROUNDING, "--accept-fast");
  assert_int_equal(fake.opened, 0); /* nothing of the samples was sent */
  scene_end(&s);
  expect_log(&s, "the client does not take this manifest");
}

static void fast__accepted_hands_out_labels_alone(void **state) {
  (void)state;
  struct session_scene s;
  struct job_output out;
  fusion_verdict v = {0};
  scene_fast_cheater(&s);
  s.ask.accept_fast = true;
  assert_ok(scene_ask(&s, &out, &v, NULL));
  assert_true(v.accepted);
  assert_string_equal(v.rounding, "fast");
  assert_string_equal(v.compared, "labels only");
  assert_true(out.labels_only);
  assert_int_equal(out.answer_size, 1);
  for (size_t i = 0; i < QUERIES; i++) assert_int_equal(out.answers[i], label_of(s.expected + i * OUT));
  job_output_free(&out);
  scene_end(&s);
}

static void fast__numbers_are_compared_within_the_tolerance(void **state) {
  (void)state;
  struct session_scene s;
  struct job_output out;
  fusion_verdict v = {0};
  scene_fast_cheater(&s);
  s.ask.accept_fast = true;
  s.ask.tolerance = 999;
  assert_ok(scene_ask(&s, &out, &v, NULL));
  assert_false(v.accepted); /* the copies of a query lie at places of both kinds */
  assert_true(v.disagreeing_queries > 0);
  assert_string_equal(v.compared, "numbers within 999");
  assert_null(out.answers);
  job_output_free(&out);
  s.ask.tolerance = 1000;
  assert_ok(scene_ask(&s, &out, &v, NULL));
  assert_true(v.accepted);
  assert_string_equal(v.compared, "numbers within 1000");
  assert_false(out.labels_only);
  assert_int_equal(out.answer_size, OUT);
  for (size_t i = 0; i < QUERIES * OUT; i++) assert_in_range(out.answers[i] - s.expected[i], 0, 1000);
  job_output_free(&out);
  scene_end(&s);
}

/* The choices of how to compare are for fast rounding: they weaken nothing on an exact model. */
static void exact__is_compared_exactly_whatever_is_accepted(void **state) {
  (void)state;
  struct session_scene s;
  struct job_output out;
  fusion_verdict v = {0};
  scene_prepare(&s);
  scene_start(&s);
  s.ask.tolerance = 5;
  expect_failure(&s, FUSION_E_USAGE, "the server's model is exact");
  assert_int_equal(fake.opened, 0);
  s.ask.accept_fast = true;
  expect_accept(&s, &v);
  assert_string_equal(v.compared, "every number of every copy");
  fake.grow_by = 1;
  for (s.ask.tolerance = 0; s.ask.tolerance <= 5; s.ask.tolerance += 5) {
    assert_ok(scene_ask(&s, &out, &v, NULL));
    assert_false(v.accepted);
    assert_string_equal(v.compared, "every number of every copy");
    job_output_free(&out);
  }
  scene_end(&s);
}

/* An altered number that leaves a public sample's label right shows when the sample has a second copy. */
static void public_copies__are_compared(void **state) {
  (void)state;
  struct session_scene s;
  struct job_output out;
  for (uint64_t copies = 1; copies <= 3; copies++) {
    fusion_verdict v = {0};
    scene_prepare(&s);
    s.input.choice.public_copies = copies;
    scene_start(&s);
    expect_accept(&s, &v);
    assert_int_equal(fake.runs, (QUERIES * COPIES + PUBLIC * copies + 19) / 20);
    for (size_t t = 0; t < PUBLIC; t += 7) {
      fake.grow_answer = s.public_answers + t * OUT;
      assert_ok(scene_ask(&s, &out, &v, NULL));
      assert_null(fake.grow_answer); /* it has altered one */
      assert_int_equal(v.accepted, copies == 1);
      assert_int_equal(v.disagreeing_public, copies > 1);
      assert_int_equal(v.disagreeing_queries + v.wrong_public, 0);
      assert_true((out.answers != NULL) == v.accepted);
      job_output_free(&out);
    }
    scene_end(&s);
  }
}

static void label__takes_no_tolerance(void **state) {
  (void)state;
  struct session_scene s;
  for (int fast = 0; fast < 2; fast++) {
    scene_prepare(&s);
    assert_ok(engine_list_parse(&s.serve_handles.engines, "cheetah", NULL));
    s.ask_handles.engine = engine_find("cheetah");
    s.model->program.output = OUTPUT_LABEL;
    s.model->program.rounding = fast ? ROUNDING_FAST : ROUNDING_EXACT;
    assert_ok(engine_prepare(s.ask_handles.engine, s.model, NULL));
    scene_start(&s);
    s.ask.accept_fast = true;
    s.ask.tolerance = 5;
    expect_failure(&s, FUSION_E_USAGE, "the server's model answers labels");
    scene_end(&s);
  }
}

static void manifest__another_one_than_named_is_refused(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  struct writer manifest = {0};
  uint8_t hash[SESSION_HASH_LEN];
  scene_prepare(&s);
  program_encode(&manifest, &s.model->program);
  manifest_hash(hash, manifest.data, manifest.len);
  writer_free(&manifest);
  scene_start(&s);
  s.ask_handles.manifest = hash;
  expect_accept(&s, &v);
  fake.opened = 0;
  hash[SESSION_HASH_LEN - 1] ^= 1;
  expect_failure(&s, FUSION_E_OTHER_MODEL, v.manifest_hash); /* the line says which model there is */
  assert_int_equal(fake.opened, 0);
  scene_end(&s);
}

/* The owner's new model is announced by its id, and refused before START. */
static void model_id__an_announced_change_ends_before_the_job(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  uint8_t id[MODEL_ID_LEN];
  char text[2 * MODEL_ID_LEN + 32] = "was ";
  scene_prepare(&s);
  for (size_t i = 0; i < sizeof id; i++) s.model->program.model_id[i] = id[i] = (uint8_t)(i + 1);
  scene_start(&s);
  s.ask_handles.model_id = id;
  expect_accept(&s, &v);
  assert_memory_equal(v.model_id, "0102030405", 10);
  assert_int_equal(strlen(v.model_id), 2 * MODEL_ID_LEN);
  fake.opened = 0;
  id[MODEL_ID_LEN - 1] ^= 1;
  expect_failure(&s, FUSION_E_MODEL_CHANGED, "model changed (id 0102030405");
  strcat(text, "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f21): audit again");
  expect_failure(&s, FUSION_E_MODEL_CHANGED, text);
  assert_int_equal(fake.opened, 0);
  scene_end(&s);
  expect_log(&s, "the client does not take this manifest");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fast__is_refused_at_the_manifest),
      cmocka_unit_test(fast__accepted_hands_out_labels_alone),
      cmocka_unit_test(fast__numbers_are_compared_within_the_tolerance),
      cmocka_unit_test(exact__is_compared_exactly_whatever_is_accepted),
      cmocka_unit_test(public_copies__are_compared),
      cmocka_unit_test(label__takes_no_tolerance),
      cmocka_unit_test(model_id__an_announced_change_ends_before_the_job),
      cmocka_unit_test(manifest__another_one_than_named_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
