/* Canary files: what is written is read again, and nothing else is; rows that join. */
#include "session/canaries.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/data.h"
#include "support/support.h"

enum { ROWS = 12, AUDITED = 9, IN = 5, OUT = 3, HASH_LEN = 32, WRITERS = 4, TURNS = 8 };

static char folder[] = "/tmp/fusion-canaries-XXXXXX";
static char path[64];

/* Inputs of one byte, answers of the width that `reach` asks for. */
static void make(struct canaries *c, int64_t reach) {
  int64_t answered[AUDITED];
  *c = (struct canaries){.manifest_hash = {1, 2, 3},
                         .certificate = {4},
                         .audited_utc = "2026-02-03T04:05:06Z",
                         .min_accuracy = 0.75,
                         .audited = AUDITED,
                         .rows = ROWS,
                         .input_size = IN,
                         .answer_size = OUT};
  c->labels = mem_alloc(AUDITED, sizeof *c->labels);
  c->inputs = mem_alloc(ROWS * IN, sizeof *c->inputs);
  c->answers = mem_alloc(ROWS * OUT, sizeof *c->answers);
  for (uint32_t i = 0; i < AUDITED; i++) {
    c->labels[i] = 7 - i % 4 * 2;
    answered[i] = c->labels[i] + (i == 2 || i == 6);
  }
  for (int64_t i = 0; i < ROWS * IN; i++) c->inputs[i] = i * 7 % 256 - 128;
  for (int64_t i = 0; i < ROWS * OUT; i++) c->answers[i] = i % 2 ? reach - i : -reach + i;
  assert_ok(canaries_count(c, answered));
}

static void expect_equal(const struct canaries *a, const struct canaries *b) {
  assert_memory_equal(a->manifest_hash, b->manifest_hash, sizeof a->manifest_hash);
  assert_memory_equal(a->certificate, b->certificate, sizeof a->certificate);
  assert_string_equal(a->audited_utc, b->audited_utc);
  assert_true(a->min_accuracy == b->min_accuracy);
  assert_int_equal(a->audited, b->audited);
  assert_int_equal(a->wrong, b->wrong);
  assert_int_equal(a->class_count, b->class_count);
  for (size_t i = 0; i < a->class_count; i++) {
    assert_int_equal(a->classes[i].label, b->classes[i].label);
    assert_int_equal(a->classes[i].samples, b->classes[i].samples);
    assert_int_equal(a->classes[i].wrong, b->classes[i].wrong);
  }
  assert_memory_equal(a->labels, b->labels, (size_t)a->audited * sizeof *a->labels);
  assert_int_equal(a->rows, b->rows);
  assert_memory_equal(a->inputs, b->inputs, a->rows * IN * sizeof *a->inputs);
  assert_memory_equal(a->answers, b->answers, a->rows * OUT * sizeof *a->answers);
}

static void file__is_read_as_it_was_written(void **state) {
  static const int64_t reaches[] = {100, 127, 129, 30000, 40000, INT32_MAX, INT64_MAX};
  static const size_t widths[] = {1, 1, 2, 2, 4, 4, 8};
  (void)state;
  size_t shortest = 0;
  for (size_t i = 0; i < sizeof reaches / sizeof reaches[0]; i++) {
    struct canaries c, again;
    uint8_t *bytes;
    size_t len;
    make(&c, reaches[i]);
    assert_ok(canaries_encode(&c, &bytes, &len));
    if (!i) shortest = len;
    assert_int_equal(len - shortest, (widths[i] - 1) * ROWS * OUT);
    assert_ok(canaries_decode(&again, "it", bytes, len, NULL));
    expect_equal(&c, &again);
    canaries_free(&c);
    canaries_free(&again);
    mem_free(bytes);
  }
}

static void classes__are_counted_by_label(void **state) {
  (void)state;
  struct canaries c;
  make(&c, 10);
  assert_int_equal(c.class_count, 4);
  assert_int_equal(c.wrong, 2);
  assert_int_equal(c.classes[0].label, 1);
  assert_int_equal(c.classes[1].label, 3);
  assert_int_equal(c.classes[1].samples, 2);
  assert_int_equal(c.classes[1].wrong, 2); /* numbers 2 and 6 */
  assert_int_equal(c.classes[3].samples, 3);
  assert_int_equal(c.classes[3].wrong, 0);
  canaries_free(&c);
}

static void expect_refused(const uint8_t *bytes, size_t len, const char *text) {
  struct canaries c;
  fusion_error err = {.status = FUSION_OK};
  if (canaries_decode(&c, "it", bytes, len, &err) != FUSION_E_INPUT || !strstr(err.text, text))
    fail_msg("%zu bytes: '%s' where '%s' was due", len, err.text, text);
  assert_null(c.inputs);
}

static void file__cut_short_or_altered_anywhere_is_refused(void **state) {
  (void)state;
  struct canaries c;
  uint8_t *bytes;
  size_t len;
  make(&c, 1000);
  assert_ok(canaries_encode(&c, &bytes, &len));
  for (size_t cut = 0; cut < len; cut++)
    expect_refused(bytes, cut, cut < 8 ? "not a canary file" : "cut short or altered; audit again");
  for (size_t at = 0; at < len; at++) {
    bytes[at] ^= 0x20;
    expect_refused(bytes, len, at < 8 ? "not a canary file" : at < 12 ? "another version" : "cut short or altered");
    bytes[at] ^= 0x20;
  }
  mem_free(bytes);
  canaries_free(&c);
}

/* A hash is no proof of sense: with a right one, every altered byte gives a sound file or a refusal. */
static void file__that_lies_under_a_right_hash_is_refused_or_sound(void **state) {
  (void)state;
  static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff};
  struct canaries c, lie;
  uint8_t *bytes;
  size_t len, refused = 0;
  make(&c, 1000);
  assert_ok(canaries_encode(&c, &bytes, &len));
  for (size_t at = 12; at < len - HASH_LEN; at++) {
    const uint8_t kept = bytes[at];
    for (size_t i = 0; i < sizeof telling; i++) {
      bytes[at] = telling[i];
      crypto_generichash(bytes + len - HASH_LEN, HASH_LEN, bytes, len - HASH_LEN, NULL, 0);
      fusion_error err = {.status = FUSION_OK};
      if (canaries_decode(&lie, "it", bytes, len, &err) != FUSION_OK) {
        refused++;
        assert_non_null(strstr(err.text, "audit again"));
        continue;
      }
      assert_true(lie.audited && lie.audited <= lie.rows && lie.wrong <= lie.audited);
      assert_true(lie.min_accuracy > 0 && lie.min_accuracy <= 1);
      canaries_free(&lie);
    }
    bytes[at] = kept;
  }
  assert_in_range(refused, 300, len * sizeof telling);
  mem_free(bytes);
  canaries_free(&c);
}

/* ---- joining ---- */

static void store(const struct canaries *c) {
  uint8_t *bytes;
  size_t len;
  assert_ok(canaries_encode(c, &bytes, &len));
  const struct file_part part = {bytes, len};
  assert_ok(file_write_atomic(path, &part, 1, NULL));
  mem_free(bytes);
}

static fusion_status join(const struct canaries *c, int64_t first, size_t count, fusion_error *err) {
  int64_t inputs[ROWS * IN], answers[ROWS * OUT];
  for (size_t i = 0; i < count * IN; i++) inputs[i] = 1000 + first + (int64_t)(i / IN);
  for (size_t i = 0; i < count * OUT; i++) answers[i] = 100000 + first + (int64_t)(i / OUT);
  const struct canary_rows rows = {.count = count,
                                   .input_size = IN,
                                   .answer_size = OUT,
                                   .inputs = inputs,
                                   .answers = answers,
                                   .manifest_hash = c->manifest_hash};
  return canaries_add(path, &rows, err);
}

static void joining__appends_each_row_once_and_keeps_the_others(void **state) {
  (void)state;
  struct canaries c, now;
  struct stat info;
  make(&c, 50);
  store(&c);
  for (int turn = 0; turn < 2; turn++) { /* the second time nothing is new */
    assert_ok(join(&c, 0, 3, NULL));
    assert_ok(canaries_load(&now, path, NULL));
    assert_int_equal(now.rows, ROWS + 3);
    assert_int_equal(now.audited, AUDITED);
    assert_memory_equal(now.inputs, c.inputs, ROWS * IN * sizeof *c.inputs);
    assert_memory_equal(now.answers, c.answers, ROWS * OUT * sizeof *c.answers);
    assert_int_equal(now.inputs[(ROWS + 2) * IN], 1002);
    assert_int_equal(now.answers[(ROWS + 2) * OUT], 100002);
    canaries_free(&now);
  }
  assert_int_equal(stat(path, &info), 0);
  assert_int_equal(info.st_mode & 0777, 0600);
  fusion_error err = {.status = FUSION_OK};
  c.manifest_hash[0] ^= 1;
  assert_int_equal(join(&c, 5, 1, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "of another model by now"));
  canaries_free(&c);
  unlink(path);
  assert_int_equal(join(&now, 5, 1, &err), FUSION_E_IO);
}

static void joining__at_the_same_time_loses_nothing(void **state) {
  (void)state;
  struct canaries c, now;
  pid_t writers[WRITERS];
  make(&c, 50);
  store(&c);
  for (int w = 0; w < WRITERS; w++) {
    writers[w] = fork();
    assert_true(writers[w] >= 0);
    if (writers[w]) continue;
    for (int turn = 0; turn < TURNS; turn++)
      if (join(&c, w * 100 + turn, 1, NULL) != FUSION_OK) _exit(1);
    _exit(0);
  }
  for (int w = 0; w < WRITERS; w++) {
    int status;
    assert_int_equal(waitpid(writers[w], &status, 0), writers[w]);
    assert_int_equal(status, 0);
  }
  assert_ok(canaries_load(&now, path, NULL));
  assert_int_equal(now.rows, ROWS + WRITERS * TURNS);
  canaries_free(&now);
  canaries_free(&c);
  unlink(path);
}

static int make_folder(void **state) {
  (void)state;
  if (!mkdtemp(folder)) return -1;
  snprintf(path, sizeof path, "%s/canaries", folder);
  return sodium_init() < 0 ? -1 : 0;
}

static int remove_folder(void **state) {
  (void)state;
  unlink(path);
  return rmdir(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(file__is_read_as_it_was_written),
      cmocka_unit_test(classes__are_counted_by_label),
      cmocka_unit_test(file__cut_short_or_altered_anywhere_is_refused),
      cmocka_unit_test(file__that_lies_under_a_right_hash_is_refused_or_sound),
      cmocka_unit_test(joining__appends_each_row_once_and_keeps_the_others),
      cmocka_unit_test(joining__at_the_same_time_loses_nothing),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
