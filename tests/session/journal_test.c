/* Journals: what is kept, what a damaged or foreign file does, and jobs that are killed and go on. */
#include "session/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "session/prepare.h"
#include "session/session_scene.h"
#include "support/support.h"

enum { FILE_MAX = 1 << 16, ROWS = 7, ROW = 3 };

static char folder[] = "/tmp/fusion-journal-XXXXXX";
static char path[64];

static size_t load(uint8_t *bytes) {
  FILE *f = fopen(path, "rb");
  if (!f) return 0;
  const size_t len = fread(bytes, 1, FILE_MAX, f);
  fclose(f);
  return len;
}

static void store(const uint8_t *bytes, size_t len) {
  unlink(path);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, len, f), len);
  assert_int_equal(fclose(f), 0);
}

static void expect_no_journal(fusion_status status, const char *text) {
  struct journal *j;
  fusion_error err = {.status = FUSION_OK};
  const fusion_status got = journal_open(&j, path, false, &err);
  if (got != status || !strstr(err.text, text) || !strstr(err.text, path))
    fail_msg("got %d '%s' where %d '%s' was due", got, err.text, status, text);
}

static int64_t answer(size_t row, size_t k) {
  return (int64_t)(row * 1000 + k) - 3000;
}

/* A journal of ROWS rows, of which 1, 2 and 5 are kept, in two records. */
static size_t make_journal(uint8_t *bytes, uint8_t seed[PRG_SEED_LEN]) {
  struct journal *j;
  int64_t rows[ROWS * ROW];
  for (size_t i = 0; i < ROWS * ROW; i++) rows[i] = answer(i / ROW, i % ROW);
  const struct journal_job job = {.engine = "fake",
                                  .input_hash = {1, 2, 3},
                                  .samples = ROWS,
                                  .answer_size = ROW,
                                  .manifest = (const uint8_t *)"a manifest",
                                  .manifest_len = 10};
  unlink(path);
  assert_ok(journal_open(&j, path, false, NULL));
  assert_null(journal_resumed(j));
  memcpy(seed, journal_seed(j), PRG_SEED_LEN);
  assert_ok(journal_begin(j, &job, NULL));
  assert_ok(journal_keep(j, 1, 2, rows + ROW, NULL));
  assert_ok(journal_keep(j, 5, 1, rows + 5 * ROW, NULL));
  journal_close(j);
  return load(bytes);
}

/* Opens what lies there: whatever it holds must be what was kept. Returns how many rows are done, or the failure. */
static int replay(const uint8_t seed[PRG_SEED_LEN]) {
  struct journal *j;
  int64_t rows[ROWS * ROW] = {0};
  bool done[ROWS] = {false};
  int count = 0;
  fusion_error err = {.status = FUSION_OK};
  fusion_status status = journal_open(&j, path, false, &err);
  if (status == FUSION_OK && journal_resumed(j)) {
    const struct journal_job *job = journal_resumed(j);
    assert_memory_equal(journal_seed(j), seed, PRG_SEED_LEN);
    assert_int_equal(job->samples, ROWS);
    assert_int_equal(job->manifest_len, 10);
    assert_memory_equal(job->manifest, "a manifest", 10);
    status = journal_replay(j, rows, done, &err);
  }
  if (status == FUSION_OK) journal_close(j);
  if (status != FUSION_OK && !strstr(err.text, path)) fail_msg("%d '%s'", status, err.text);
  if (status != FUSION_OK && j) journal_close(j);
  for (size_t i = 0; i < ROWS; i++) {
    for (size_t k = 0; k < ROW; k++)
      if (status == FUSION_OK) assert_int_equal(rows[i * ROW + k], done[i] ? answer(i, k) : 0);
    count += done[i];
  }
  return status == FUSION_OK ? count : (int)status;
}

static void journal__keeps_what_ran_for_its_owner_alone(void **state) {
  (void)state;
  uint8_t bytes[FILE_MAX], seed[PRG_SEED_LEN];
  struct stat info;
  make_journal(bytes, seed);
  assert_int_equal(stat(path, &info), 0);
  assert_int_equal(info.st_mode & 0777, 0600);
  assert_int_equal(replay(seed), 3);
  struct journal *j;
  assert_ok(journal_open(&j, path, false, NULL));
  expect_no_journal(FUSION_E_IO, "another job uses this journal");
  assert_int_equal(journal_remove(path, NULL), FUSION_E_IO);
  journal_close(j);
  assert_ok(journal_remove(path, NULL));
  assert_int_equal(access(path, F_OK), -1);
  assert_ok(journal_remove(path, NULL));
}

/* Killed while it removes the journal: what is left is no job, and no secret. */
static void journal__half_removed_is_a_new_one(void **state) {
  (void)state;
  uint8_t bytes[FILE_MAX], seed[PRG_SEED_LEN];
  const size_t len = make_journal(bytes, seed);
  bytes[16] = 1;
  memset(bytes + 40, 0, len - 50);
  for (size_t left = len; left >= 24; left -= left > 24 ? (left - 24 + 9) / 10 : 1) {
    store(bytes, left);
    struct journal *j;
    assert_ok(journal_open(&j, path, false, NULL));
    assert_null(journal_resumed(j));
    assert_memory_not_equal(journal_seed(j), seed, sizeof seed);
    journal_close(j);
    assert_int_equal(access(path, F_OK), -1);
  }
}

static const char when[] = "2026-02-03T04:05:06Z", why[] = "3 of 7 queries have copies that disagree";

static bool holds(const uint8_t *bytes, size_t len, const void *what, size_t what_len) {
  for (size_t at = 0; at + what_len <= len; at++)
    if (memcmp(bytes + at, what, what_len) == 0) return true;
  return false;
}

static void journal__of_a_rejected_job_is_a_tombstone_without_secrets(void **state) {
  (void)state;
  uint8_t bytes[FILE_MAX], before[FILE_MAX], seed[PRG_SEED_LEN];
  struct stat info;
  const int64_t kept = answer(5, 1);
  size_t len = make_journal(bytes, seed);
  assert_true(holds(bytes, len, seed, sizeof seed) && holds(bytes, len, &kept, sizeof kept));
  assert_ok(journal_reject(path, when, why, NULL));
  len = load(before);
  assert_in_range(len, 24, 200);
  assert_false(holds(before, len, seed, 4) || holds(before, len, &kept, sizeof kept));
  assert_int_equal(stat(path, &info), 0);
  assert_int_equal(info.st_mode & 0777, 0600);
  expect_no_journal(FUSION_E_REJECTED, when);
  expect_no_journal(FUSION_E_REJECTED, why);
  expect_no_journal(FUSION_E_REJECTED, "--again");
  assert_int_equal(load(bytes), len);
  assert_memory_equal(bytes, before, len);
  assert_ok(journal_remove(path, NULL)); /* a tombstone stays */
  expect_no_journal(FUSION_E_REJECTED, why);
  assert_int_equal(unlink(path), 0);
  assert_ok(journal_reject(path, when, why, NULL)); /* one that is not there stays away */
  assert_int_equal(access(path, F_OK), -1);
}

static void journal__a_tombstone_goes_when_a_new_job_begins_and_not_before(void **state) {
  (void)state;
  uint8_t bytes[FILE_MAX], seed[PRG_SEED_LEN];
  struct journal *j;
  const struct journal_job job = {
      .engine = "fake", .samples = ROWS, .answer_size = ROW, .manifest = (const uint8_t *)"another", .manifest_len = 7};
  make_journal(bytes, seed);
  assert_ok(journal_reject(path, when, why, NULL));
  assert_ok(journal_open(&j, path, true, NULL));
  assert_null(journal_resumed(j));
  journal_close(j); /* as when the server cannot be reached */
  expect_no_journal(FUSION_E_REJECTED, why);
  assert_ok(journal_open(&j, path, true, NULL));
  assert_memory_not_equal(journal_seed(j), seed, sizeof seed);
  assert_ok(journal_begin(j, &job, NULL));
  journal_close(j);
  assert_ok(journal_open(&j, path, false, NULL));
  assert_non_null(journal_resumed(j));
  assert_memory_equal(journal_resumed(j)->manifest, "another", 7);
  journal_close(j);
}

/* Whatever a crash or damage left of its words, and of the job below it. */
static void journal__a_damaged_tombstone_still_rejects(void **state) {
  (void)state;
  uint8_t bytes[FILE_MAX], whole[FILE_MAX], stone[FILE_MAX], seed[PRG_SEED_LEN];
  const size_t whole_len = make_journal(whole, seed);
  assert_ok(journal_reject(path, when, why, NULL));
  const size_t len = load(stone);
  for (size_t cut = 24; cut < len; cut++) {
    store(stone, cut);
    expect_no_journal(FUSION_E_REJECTED, "this job was rejected;");
    memcpy(bytes, whole, whole_len); /* written as far as `cut`, nothing wiped yet */
    memcpy(bytes, stone, cut);
    store(bytes, whole_len);
    expect_no_journal(FUSION_E_REJECTED, "this job was rejected;");
  }
  memcpy(bytes, whole, whole_len);
  memcpy(bytes, stone, len);
  store(bytes, whole_len);
  expect_no_journal(FUSION_E_REJECTED, why);
  for (size_t at = 24; at < len; at++) {
    stone[at] ^= 0x40;
    store(stone, len);
    expect_no_journal(FUSION_E_REJECTED, "this job was rejected;");
    stone[at] ^= 0x40;
  }
  unlink(path);
}

static void journal__one_without_a_job_is_not_left_behind(void **state) {
  (void)state;
  struct journal *j;
  assert_ok(journal_open(&j, path, false, NULL));
  assert_int_equal(access(path, F_OK), 0);
  journal_close(j);
  assert_int_equal(access(path, F_OK), -1);
}

static void journal__cut_anywhere_loses_the_last_record_at_most(void **state) {
  (void)state;
  uint8_t bytes[FILE_MAX], seed[PRG_SEED_LEN];
  const size_t len = make_journal(bytes, seed);
  int last = 0;
  bool begun = false;
  for (size_t cut = 0; cut <= len; cut++) {
    store(bytes, cut);
    const int done = replay(seed);
    if (done < last) fail_msg("%zu of %zu bytes: %d rows where fewer bytes gave %d", cut, len, done, last);
    begun = begun || done > 0;
    last = done;
  }
  assert_int_equal(last, 3);
  /* A torn tail is cut off: what is kept next follows the good records. */
  store(bytes, len - 1);
  assert_int_equal(replay(seed), 2);
  assert_int_equal(replay(seed), 2);
}

static void journal__a_changed_byte_never_gives_other_answers(void **state) {
  (void)state;
  uint8_t bytes[FILE_MAX], seed[PRG_SEED_LEN];
  const size_t len = make_journal(bytes, seed);
  unsigned refused = 0;
  for (size_t at = 0; at < len; at++) {
    bytes[at] ^= 0x40;
    store(bytes, len);
    const int done = replay(seed);
    if (done > 2) fail_msg("byte %zu of %zu: unnoticed", at, len);
    refused += done < 0;
    bytes[at] ^= 0x40;
  }
  assert_in_range(refused, len / 3, len); /* the job's record and all but the last shard's */
}

static void journal__foreign_files_are_left_alone(void **state) {
  (void)state;
  uint8_t bytes[FILE_MAX];
  store((const uint8_t *)"dear diary", 10);
  expect_no_journal(FUSION_E_INPUT, "not a journal of fusion");
  assert_int_equal(journal_remove(path, NULL), FUSION_E_INPUT);
  assert_int_equal(load(bytes), 10);
  assert_memory_equal(bytes, "dear diary", 10);
  unlink(path);
  assert_int_equal(symlink("/etc/hostname", path), 0);
  expect_no_journal(FUSION_E_IO, "cannot be opened");
  unlink(path);
  assert_int_equal(mkfifo(path, 0600), 0);
  expect_no_journal(FUSION_E_IO, "is not a regular file");
  unlink(path);
}

/* ---- jobs ---- */

static struct journal *open_journal(struct session_scene *s) {
  assert_ok(journal_open(&s->ask_handles.journal, path, false, NULL));
  return s->ask_handles.journal;
}

static void close_journal(struct session_scene *s) {
  journal_close(s->ask_handles.journal);
  s->ask_handles.journal = NULL;
}

static bool stop_after_some(void *context, const fusion_progress *progress) {
  (void)context, (void)progress;
  return atomic_load(&fake.runs) < 3;
}

/* A job that ends after two or three of its four shards, as a killed one does: nothing is written at the end. */
static void run_half(struct session_scene *s) {
  unlink(path);
  open_journal(s);
  s->ask.progress = stop_after_some;
  fake.delay_ms = 60;
  expect_failure(s, FUSION_E_CLOSED, "cancelled");
  s->ask.progress = NULL;
  fake.delay_ms = 0;
  close_journal(s);
}

static void job__goes_on_and_runs_the_rest_alone(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  scene_prepare(&s);
  scene_start(&s);
  run_half(&s);
  fake.runs = 0;
  open_journal(&s);
  s.ask.shard_samples = 7; /* what is left may be cut in another way */
  expect_accept(&s, &v);
  assert_in_range(fake.runs, 3, (SAMPLES - 20 + 6) / 7 + 2);
  close_journal(&s);
  /* Complete: the same verdict again, without the server. */
  fake.runs = 0;
  open_journal(&s);
  s.ask_handles.address.port = 1;
  expect_accept(&s, &v);
  assert_int_equal(fake.runs, 0);
  close_journal(&s);
  assert_ok(journal_remove(path, NULL));
  scene_end(&s);
}

static void job__with_copies_of_public_samples_goes_on_with_as_many(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  scene_prepare(&s);
  s.input.choice.public_copies = 2;
  scene_start(&s);
  run_half(&s);
  open_journal(&s);
  for (uint64_t copies = 1; copies <= 3; copies += 2) {
    s.input.choice.public_copies = copies;
    expect_failure(&s, FUSION_E_INPUT, "other settings of the check");
  }
  s.input.choice.public_copies = 2;
  fake.runs = 0;
  expect_accept(&s, &v);
  assert_in_range(fake.runs, 1, (SAMPLES + PUBLIC) / 20);
  close_journal(&s);
  assert_ok(journal_remove(path, NULL));
  scene_end(&s);
}

/* A journal keeps its seed, not the rows: whatever version drew them first, they are those of the stream named
 * "public samples", each the low bits of the next word that is small enough. */
static void rows__of_a_journal_never_change(void **state) {
  (void)state;
  enum { FILE_ROWS = 1000, DRAWN = 100 };
  struct session_scene s;
  size_t rows[DRAWN], again[DRAWN], order[FILE_ROWS];
  scene_prepare(&s);
  unlink(path);
  struct journal *journal = open_journal(&s);
  assert_ok(prepare_public_rows(rows, DRAWN, FILE_ROWS, journal, NULL));
  assert_ok(prepare_public_rows(again, DRAWN, FILE_ROWS, journal, NULL));
  assert_memory_equal(rows, again, sizeof rows);
  struct prg *root = prg_new(journal_seed(journal)), *stream = prg_fork(root, "public samples", 0);
  for (size_t i = 0; i < FILE_ROWS; i++) order[i] = i;
  for (size_t i = 0; i < DRAWN; i++) {
    const size_t k = i + (size_t)prg_below(stream, FILE_ROWS - i);
    assert_int_equal(rows[i], order[k]);
    order[k] = order[i];
  }
  prg_free(stream);
  prg_free(root);
  assert_ok(prepare_public_rows(again, DRAWN, FILE_ROWS, NULL, NULL));
  assert_memory_not_equal(rows, again, sizeof rows);
  close_journal(&s);
  model_free(s.model);
}

static void job__a_rejected_one_stays_rejected(void **state) {
  (void)state;
  struct session_scene s;
  struct job_output out;
  fusion_verdict v = {0};
  scene_prepare(&s);
  scene_start(&s);
  for (int round = 0;; round++) {
    assert_in_range(round, 0, 20);
    (void)!journal_remove(path, NULL);
    open_journal(&s);
    fake.alter_from = 4; /* may all fall on public samples */
    assert_ok(scene_ask(&s, &out, &v, NULL));
    close_journal(&s);
    job_output_free(&out);
    if (!v.accepted) break;
  }
  const uint64_t disagreeing = v.disagreeing_queries;
  fake.alter_from = 0;
  fake.runs = 0;
  for (int again = 0; again < 2; again++) {
    v = (fusion_verdict){0};
    open_journal(&s);
    assert_ok(scene_ask(&s, &out, &v, NULL));
    close_journal(&s);
    assert_false(v.accepted);
    assert_null(out.answers);
    assert_int_equal(v.disagreeing_queries, disagreeing);
    job_output_free(&out);
  }
  assert_int_equal(fake.runs, 0);
  /* Nor is it judged by laxer settings. */
  s.input.choice.errors = PUBLIC - 1;
  open_journal(&s);
  expect_failure(&s, FUSION_E_INPUT, "other settings of the check");
  close_journal(&s);
  assert_ok(journal_remove(path, NULL));
  scene_end(&s);
}

static void job__another_one_does_not_fit(void **state) {
  (void)state;
  struct session_scene s;
  scene_prepare(&s);
  scene_start(&s);
  run_half(&s);
  open_journal(&s);
  s.queries[3] += 1;
  expect_failure(&s, FUSION_E_INPUT, "other data");
  s.queries[3] -= 1;
  s.labels[2] ^= 1;
  expect_failure(&s, FUSION_E_INPUT, "other data");
  s.labels[2] ^= 1;
  s.ask.tolerance = 5;
  expect_failure(&s, FUSION_E_INPUT, "other settings of the check");
  s.ask.tolerance = 0;
  s.ask.accept_fast = true;
  expect_failure(&s, FUSION_E_INPUT, "other settings of the check");
  s.ask.accept_fast = false;
  static const uint8_t other[SESSION_HASH_LEN] = {1};
  s.ask_handles.manifest = other;
  expect_failure(&s, FUSION_E_OTHER_MODEL, "is not the one that --manifest names");
  s.ask_handles.manifest = NULL;
  close_journal(&s);
  scene_end(&s);
  /* A server with another model. */
  scene_prepare(&s);
  model_free(s.model);
  s.serve_handles.model = s.model = fake_model(IN, OUT + 1, 6);
  scene_start(&s);
  open_journal(&s);
  expect_failure(&s, FUSION_E_PEER, "another model than at the start of the job");
  close_journal(&s);
  scene_end(&s);
  /* The journal is still good. */
  fusion_verdict v = {0};
  scene_prepare(&s);
  scene_start(&s);
  open_journal(&s);
  expect_accept(&s, &v);
  close_journal(&s);
  assert_ok(journal_remove(path, NULL));
  scene_end(&s);
}

static void job__what_a_cheater_spoiled_is_wiped_and_final(void **state) {
  (void)state;
  struct session_scene s;
  uint8_t bytes[FILE_MAX];
  scene_prepare(&s);
  scene_start(&s);
  run_half(&s);
  open_journal(&s);
  fake.short_answers = 100; /* a run of the cancelled job may still be on its way to one */
  expect_failure(&s, FUSION_E_PEER, "bytes in a message");
  close_journal(&s);
  assert_in_range(load(bytes), 1, 32); /* no seed, no answers */
  expect_no_journal(FUSION_E_INPUT, "the job of this journal ended");
  /* A new one is begun when it is asked for. */
  fusion_verdict v = {0};
  fake.short_answers = 0;
  assert_ok(journal_open(&s.ask_handles.journal, path, true, NULL));
  expect_accept(&s, &v);
  close_journal(&s);
  assert_ok(journal_remove(path, NULL));
  scene_end(&s);
}

static void job__a_full_disk_ends_it_and_it_goes_on_when_there_is_room(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  uint8_t bytes[FILE_MAX];
  struct rlimit before, limit;
  scene_prepare(&s);
  scene_start(&s);
  run_half(&s);
  const size_t len = load(bytes);
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  limit = before;
  limit.rlim_cur = len + 100;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
  open_journal(&s);
  expect_failure(&s, FUSION_E_IO, "the journal cannot be written");
  close_journal(&s);
  assert_int_equal(load(bytes), len);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  open_journal(&s);
  expect_accept(&s, &v);
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
      cmocka_unit_test(journal__keeps_what_ran_for_its_owner_alone),
      cmocka_unit_test(journal__half_removed_is_a_new_one),
      cmocka_unit_test(journal__of_a_rejected_job_is_a_tombstone_without_secrets),
      cmocka_unit_test(journal__a_tombstone_goes_when_a_new_job_begins_and_not_before),
      cmocka_unit_test(journal__a_damaged_tombstone_still_rejects),
      cmocka_unit_test(journal__one_without_a_job_is_not_left_behind),
      cmocka_unit_test(journal__cut_anywhere_loses_the_last_record_at_most),
      cmocka_unit_test(journal__a_changed_byte_never_gives_other_answers),
      cmocka_unit_test(journal__foreign_files_are_left_alone),
      cmocka_unit_test(job__goes_on_and_runs_the_rest_alone),
      cmocka_unit_test(job__with_copies_of_public_samples_goes_on_with_as_many),
      cmocka_unit_test(rows__of_a_journal_never_change),
      cmocka_unit_test(job__a_rejected_one_stays_rejected),
      cmocka_unit_test(job__another_one_does_not_fit),
      cmocka_unit_test(job__what_a_cheater_spoiled_is_wiped_and_final),
      cmocka_unit_test(job__a_full_disk_ends_it_and_it_goes_on_when_there_is_room),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
