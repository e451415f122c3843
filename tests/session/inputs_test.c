/* The client's data against the manifest: what does not fit is refused before START, by row, and is never called the
 * server's fault. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "session/check_inputs.h"
#include "session/session_scene.h"
#include "support/support.h"

/* The first number beyond what the scene's model takes. */
static double beyond(const struct session_scene *s, double times) {
  return times * program_input_end(&s->model->program);
}

static fusion_array *array_of(fusion_type type, size_t rank, const size_t *shape, const void *data) {
  fusion_array *a;
  assert_ok(fusion_array_create(&a, type, rank, shape, data));
  return a;
}

static void job__labels_beyond_the_classes_are_refused_by_row(void **state) {
  (void)state;
  struct session_scene s;
  scene_prepare(&s);
  scene_start(&s);
  const int64_t right = s.labels[7];
  s.labels[7] = OUT;
  expect_failure(&s, FUSION_E_INPUT,
                 "labels: row 7 holds 4, which is no class of the model: labels are 0 to 3; if labels count from 1, "
                 "subtract 1 from each");
  s.labels[7] = -1;
  expect_failure(&s, FUSION_E_INPUT, "labels: row 7 holds -1");
  s.labels[7] = right;
  assert_int_equal(fake.runs, 0); /* no sample was sent */
  fusion_verdict v = {0};
  expect_accept(&s, &v);
  scene_end(&s);
}

/* The model's file calls its classes 30, 20, 10 and 40: so do the client's labels. */
static void job__labels_are_those_of_the_models_file(void **state) {
  (void)state;
  static const int64_t numbers[OUT] = {30, 20, 10, 40};
  struct session_scene s;
  scene_prepare(&s);
  struct class_labels *labels = &s.model->program.labels;
  assert_ok(class_labels_open(labels, OUT, false));
  memcpy(labels->numbers, numbers, sizeof numbers);
  for (size_t i = 0; i < PUBLIC; i++) s.labels[i] = numbers[s.labels[i]];
  scene_start(&s);
  fusion_verdict v = {0};
  expect_accept(&s, &v);
  assert_int_equal(v.wrong_public, 0);
  s.labels[7] = 3;
  expect_failure(&s, FUSION_E_INPUT,
                 "labels: row 7 holds 3, which is no class of the model: labels are 30, 20, 10, 40");
  scene_end(&s);
}

/* Names, from a file of text: a header that is none is told, and so is a name that the model does not know. */
static void job__labels_may_be_names(void **state) {
  (void)state;
  static const char *const names[OUT] = {"setosa", "versicolor", "virginica", "none, \"or\" other"};
  char path[] = "/tmp/fusion-labels-XXXXXX.csv";
  struct session_scene s;
  const fusion_table_settings tables = fusion_table_defaults();
  fusion_error err = {.status = FUSION_OK};
  fusion_array *labels;
  scene_prepare(&s);
  assert_ok(class_labels_open(&s.model->program.labels, OUT, true));
  for (uint32_t i = 0; i < OUT; i++)
    assert_ok(class_labels_set_text(&s.model->program.labels, i, names[i], strlen(names[i])));
  const int fd = mkstemps(path, 4);
  assert_true(fd >= 0);
  FILE *f = fdopen(fd, "w");
  for (size_t i = 0; i < PUBLIC; i++)
    fprintf(f, "%s\n", s.labels[i] == 3 ? "\"none, \"\"or\"\" other\"" : names[s.labels[i]]);
  fclose(f);
  assert_ok(fusion_labels_load(&labels, path, &tables, &err));
  assert_int_equal(fusion_array_rows(labels), PUBLIC);
  assert_string_equal(fusion_array_row_name(labels, 0), names[s.labels[0]]);
  scene_start(&s);
  expect_accept(&s, &(fusion_verdict){0}); /* places are labels, too */
  s.input.label_source = labels;
  memset(s.labels, 0xff, sizeof s.labels);
  fusion_verdict v = {0};
  expect_accept(&s, &v);
  assert_int_equal(v.wrong_public, 0);
  fusion_array_free(labels);
  f = fopen(path, "w");
  for (size_t i = 0; i < PUBLIC; i++) fprintf(f, "%s\n", i ? "setosa" : "species");
  fclose(f);
  assert_ok(fusion_labels_load(&labels, path, &tables, &err));
  s.input.label_source = labels;
  expect_failure(
      &s, FUSION_E_INPUT,
      "labels: line 1 holds 'species', which is no class of the model: labels are setosa, versicolor, virginica");
  expect_failure(&s, FUSION_E_INPUT, "give --header yes");
  scene_end(&s);
  fusion_array_free(labels);
  remove(path);
}

static void job__labels_that_are_not_drawn_are_checked_too(void **state) {
  (void)state;
  struct session_scene s;
  int64_t all[PUBLIC + 1];
  scene_prepare(&s);
  memcpy(all, s.labels, sizeof s.labels);
  all[PUBLIC] = OUT;
  fusion_array *labels = array_of(FUSION_I64, 1, (size_t[]){PUBLIC + 1}, all);
  s.input.label_source = labels;
  scene_start(&s);
  expect_failure(&s, FUSION_E_INPUT, "labels: row 30 holds 4");
  scene_end(&s);
  fusion_array_free(labels);
}

static void job__queries_beyond_the_range_are_refused_or_clipped(void **state) {
  (void)state;
  struct session_scene s;
  scene_prepare(&s);
  s.queries[3 * IN + 2] = beyond(&s, -6);
  s.queries[5 * IN] = s.queries[5 * IN + 1] = beyond(&s, 2);
  scene_start(&s);
  expect_failure(&s, FUSION_E_INPUT, "2 of 12 queries go beyond the model's input range");
  expect_failure(&s, FUSION_E_INPUT, "by up to 6 times it; the first is row 3: feature 2 is -");
  assert_int_equal(fake.runs, 0);
  s.ask.clip = 1;
  struct job_output out;
  fusion_verdict v = {0};
  assert_ok(scene_ask(&s, &out, &v, NULL));
  assert_true(v.accepted);
  assert_int_equal(v.clipped_queries, 2);
  assert_int_equal(v.clipped_public, 0);
  assert_non_null(strstr(v.note, "2 of 12 queries go beyond"));
  assert_non_null(strstr(v.note, "row 3: feature 2 is -"));
  assert_non_null(strstr(v.note, ": clipped"));
  job_output_free(&out);
  scene_end(&s);
}

static void job__public_samples_beyond_the_range_are_named_by_their_row(void **state) {
  (void)state;
  struct session_scene s;
  size_t rows[PUBLIC];
  scene_prepare(&s);
  for (size_t i = 0; i < PUBLIC; i++) rows[i] = 100 + i;
  s.input.public_rows = rows;
  s.public_samples[4 * IN] = beyond(&s, 3);
  scene_start(&s);
  expect_failure(&s, FUSION_E_INPUT, "1 of 30 public samples go beyond");
  expect_failure(&s, FUSION_E_INPUT, "the first is row 104");
  scene_end(&s);
}

static void job__samples_of_another_scale_are_told_as_such(void **state) {
  (void)state;
  struct session_scene s;
  scene_prepare(&s);
  for (size_t i = 0; i < PUBLIC * IN; i++) s.public_samples[i] *= 65025;
  scene_start(&s);
  expect_failure(&s, FUSION_E_INPUT, "scaled differently from the calibration samples");
  scene_end(&s);
}

static void job__images_with_their_channels_elsewhere_are_refused(void **state) {
  (void)state;
  struct session_scene s;
  scene_prepare(&s);
  const struct shape shape = s.model->program.steps[0].out.shape;
  const size_t last[4] = {QUERIES, 1, 1, IN}; /* the model takes its channels first */
  fusion_array *queries = array_of(FUSION_F64, 4, last, s.queries);
  assert_int_equal(shape.channels, IN);
  s.input.query_source = queries;
  scene_start(&s);
  expect_failure(&s, FUSION_E_INPUT, "a row is 1x1x6, the model takes 6 channels first");
  scene_end(&s);
  fusion_array_free(queries);
}

/* What the API does: the rows stay in the caller's array, of its own type, and are read in parts. */
static void job__queries_of_an_array_answer_as_raw_ones(void **state) {
  (void)state;
  struct session_scene s;
  float values[QUERIES * IN];
  scene_prepare(&s);
  for (size_t i = 0; i < QUERIES * IN; i++) values[i] = (float)s.queries[i];
  fusion_array *queries = array_of(FUSION_F32, 2, (size_t[]){QUERIES, IN}, values);
  s.input.queries = NULL;
  s.input.query_source = queries;
  scene_start(&s);
  expect_accept(&s, &(fusion_verdict){0});
  ((float *)fusion_array_data_mutable(queries))[7 * IN + 1] = (float)beyond(&s, 3);
  expect_failure(&s, FUSION_E_INPUT,
                 "1 of 12 queries go beyond the model's input range, by up to 3 times it; the first "
                 "is row 7: feature 1 is ");
  scene_end(&s);
  fusion_array_free(queries);
}

static void range__only_what_is_clipped_counts(void **state) {
  (void)state;
  struct session_scene s;
  struct input_range r;
  scene_prepare(&s);
  const struct program *p = &s.model->program;
  const double unit = p->steps[0].out.scale;
  const float end = (float)program_input_end(p);
  float real[2 * IN] = {0};
  real[0] = end + (float)(0.4 * unit); /* rounded back */
  real[1] = -end - (float)(1.4 * unit);
  program_input_range(p, real, 2, &r);
  assert_int_equal(r.samples, 0);
  real[IN + 1] = end + (float)(0.6 * unit);
  real[IN + 2] = -end - (float)(1.6 * unit);
  program_input_range(p, real, 2, &r);
  assert_int_equal(r.values, 2);
  assert_int_equal(r.samples, 1);
  assert_int_equal(r.first, 1);
  model_free(s.model);
}

static void range__is_that_of_each_feature_with_units(void **state) {
  (void)state;
  struct session_scene s;
  struct input_range r;
  scene_prepare(&s);
  struct program *p = &s.model->program;
  const float end = (float)program_input_end(p);
  float real[IN] = {0};
  assert_ok(input_units_open(&p->input_units, IN));
  p->input_units.exponent[0] = 3; /* eight times the unit, around 4 quarters of it */
  p->input_units.quarters[0] = 4;
  real[0] = 8 + 7.9f * end;
  program_input_range(p, real, 1, &r);
  assert_int_equal(r.values, 0);
  real[1] = 1.5f * end;
  program_input_range(p, real, 1, &r);
  assert_int_equal(r.values, 1);
  assert_true(fabs(r.reach - 1.5) < 0.01);
  real[0] = 8 - 9 * end;
  program_input_range(p, real, 1, &r);
  assert_int_equal(r.values, 2);
  model_free(s.model);
}

/* Values within the range that no calibration sample reached: few are nothing, most of a file are another scale. */
static void range__refuses_when_most_samples_are_unusual(void **state) {
  (void)state;
  enum { ROWS = 11 };
  struct session_scene s;
  struct input_range r;
  char text[INPUT_RANGE_TEXT];
  scene_prepare(&s);
  struct program *p = &s.model->program;
  p->reach_bits = (uint8_t)(p->steps[0].out.value_bits - 1);
  const float usual = (float)program_input_end(p) / 2;
  float real[ROWS * IN] = {0};
  for (size_t i = 0; i < ROWS; i++) real[i * IN + 3] = i % 2 ? 0.9f * usual : -1.5f * usual;
  program_input_range(p, real, ROWS, &r);
  assert_int_equal(r.samples, 0);
  assert_int_equal(r.unusual, 6);
  assert_int_equal(r.first, 0);
  assert_int_equal(r.element, 3);
  assert_true(r.value == (double)real[3]);
  assert_true(input_range_refuses(&r, ROWS));
  input_range_text(text, p, &r, ROWS, "queries", "row 0");
  assert_non_null(strstr(text, "6 of 11 queries go beyond what calibrated the model, by up to 1.5 times it"));
  assert_false(input_range_refuses(&r, 2 * r.unusual));
  program_input_range(p, real, 9, &r); /* most of them, but few */
  assert_int_equal(r.unusual, 5);
  assert_false(input_range_refuses(&r, 9));
  input_range_text(text, p, &r, 9, "queries", "row 0");
  assert_non_null(strstr(text, "5 of 9 queries go beyond what calibrated"));
  program_input_range(p, real, ROWS - 1, &r);
  input_range_text(text, p, &r, ROWS - 1, "queries", "row 0");
  assert_string_equal(text, "");
  model_free(s.model);
}

/* Files are looked at in parts: the first sample beyond the range is named before one that is only unusual. */
static void range__of_parts_is_that_of_the_whole(void **state) {
  (void)state;
  enum { ROWS = 12 };
  struct session_scene s;
  struct input_range whole, part, all = {0};
  scene_prepare(&s);
  struct program *p = &s.model->program;
  p->reach_bits = (uint8_t)(p->steps[0].out.value_bits - 1);
  const float end = (float)program_input_end(p);
  float real[ROWS * IN] = {0};
  real[2 * IN + 1] = 0.7f * end;
  real[5 * IN + 4] = -0.8f * end;
  real[7 * IN + 5] = -3 * end;
  real[9 * IN] = 2 * end;
  program_input_range(p, real, ROWS, &whole);
  for (size_t i = 0; i < ROWS; i += 3) {
    program_input_range(p, real + i * IN, 3, &part);
    input_range_add(&all, &part, i);
  }
  assert_int_equal(whole.first, 7);
  assert_int_equal(whole.element, 5);
  assert_int_equal(whole.unusual, 4);
  assert_int_equal(all.values, whole.values);
  assert_int_equal(all.samples, whole.samples);
  assert_int_equal(all.unusual, whole.unusual);
  assert_int_equal(all.first, whole.first);
  assert_int_equal(all.element, whole.element);
  assert_true(all.value == whole.value && all.reach == whole.reach);
  model_free(s.model);
}

static void note__compares_queries_with_public_samples(void **state) {
  (void)state;
  struct session_scene s;
  char note[640];
  scene_prepare(&s);
  const struct input_range near = {.reach = 0.3}, far = {.reach = 0.9}, tiny = {.reach = 0.3 / 255};
  inputs_note(note, sizeof note, &s.model->program, &s.input, &far, &near);
  assert_non_null(strstr(note, "largest value of the queries is 3 times that of the public samples"));
  inputs_note(note, sizeof note, &s.model->program, &s.input, &near, &near);
  assert_string_equal(note, "");
  inputs_note(note, sizeof note, &s.model->program, &s.input, &tiny, &near);
  assert_non_null(strstr(note, "all 12 queries lie within 1/850 of the model's input range"));
  model_free(s.model);
}

static void note__tells_of_equal_public_samples(void **state) {
  (void)state;
  struct session_scene s;
  char note[640];
  double rows[20 * IN];
  scene_prepare(&s);
  const struct input_range near = {.reach = 0.3};
  for (size_t i = 0; i < 20 * IN; i++) rows[i] = (double)(i / IN) / 100;
  s.input.public_samples = rows;
  s.input.choice.public_samples = 20;
  assert_int_equal(inputs_equal_public(&s.input), 0);
  inputs_note(note, sizeof note, &s.model->program, &s.input, &near, &near);
  assert_string_equal(note, "");
  for (size_t i = 15 * IN; i < 20 * IN; i++) rows[i] = rows[i % IN + IN];
  assert_int_equal(inputs_equal_public(&s.input), 5);
  inputs_note(note, sizeof note, &s.model->program, &s.input, &near, &near);
  assert_non_null(strstr(note, "5 of 20 public samples equal another one"));
  model_free(s.model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(job__labels_beyond_the_classes_are_refused_by_row),
      cmocka_unit_test(job__labels_are_those_of_the_models_file),
      cmocka_unit_test(job__labels_may_be_names),
      cmocka_unit_test(job__labels_that_are_not_drawn_are_checked_too),
      cmocka_unit_test(job__queries_beyond_the_range_are_refused_or_clipped),
      cmocka_unit_test(job__public_samples_beyond_the_range_are_named_by_their_row),
      cmocka_unit_test(job__samples_of_another_scale_are_told_as_such),
      cmocka_unit_test(job__images_with_their_channels_elsewhere_are_refused),
      cmocka_unit_test(job__queries_of_an_array_answer_as_raw_ones),
      cmocka_unit_test(range__only_what_is_clipped_counts),
      cmocka_unit_test(range__is_that_of_each_feature_with_units),
      cmocka_unit_test(range__refuses_when_most_samples_are_unusual),
      cmocka_unit_test(range__of_parts_is_that_of_the_whole),
      cmocka_unit_test(note__compares_queries_with_public_samples),
      cmocka_unit_test(note__tells_of_equal_public_samples),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
