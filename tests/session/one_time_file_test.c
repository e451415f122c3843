/* Files that may be used once: by one of many, for one thing, and never again after a kill at any point. */
#include "session/one_time_file.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utime.h>

#include "support/support.h"

enum { STATE_LEN = 200000 };

static char folder[] = "/tmp/fusion-one-time-XXXXXX";
static char path[80], part[96], spent[96];
static const struct one_time_binding binding = {"a model, a client", 17};
static const uint8_t owner[ONE_TIME_OWNER_LEN] = {'s', 'o', 'm', 'e', 'b', 'o', 'd', 'y'};

static void make(const char *at) {
  struct one_time_file *f;
  uint8_t *data = mem_alloc(STATE_LEN, 1);
  for (size_t i = 0; i < STATE_LEN; i++) data[i] = (uint8_t)(i * 7 + i / 256);
  assert_ok(one_time_create(&f, at, owner, NULL));
  assert_ok(stream_write(one_time_stream(f), data, 3));
  assert_ok(stream_write(one_time_stream(f), data + 3, STATE_LEN - 3));
  assert_ok(one_time_commit(f, binding, NULL));
  one_time_close(f);
  mem_free(data);
}

static bool is_there(const char *at) {
  struct stat st;
  return lstat(at, &st) == 0;
}

/* As its users do: open, look whom it is for, verify, spend. NULL in *out: not spent. */
static fusion_status take(struct one_time_file **out, fusion_error *err) {
  fusion_status status = one_time_open(out, path, err);
  if (status != FUSION_OK) return status;
  const struct one_time_binding bound = one_time_bound(*out);
  assert_int_equal(bound.len, binding.len);
  status = one_time_verify(*out, err);
  if (status == FUSION_OK) {
    assert_memory_equal(bound.data, binding.data, binding.len);
    assert_memory_equal(one_time_owner(*out), owner, sizeof owner);
    status = one_time_spend(*out, err);
  }
  if (status == FUSION_OK) return status;
  one_time_close(*out);
  *out = NULL;
  return status;
}

static fusion_status spend(void) {
  struct one_time_file *f;
  fusion_error err = {.status = FUSION_OK};
  const fusion_status status = take(&f, &err);
  if (status == FUSION_OK) one_time_close(f);
  if (status != FUSION_OK) assert_true(strstr(err.text, path) && strstr(err.text, "prepare"));
  return status;
}

struct kept {
  uint64_t bytes;
  unsigned files;
};

static void count(void *context, const uint8_t whose[ONE_TIME_OWNER_LEN], uint64_t bytes) {
  struct kept *kept = context;
  assert_memory_equal(whose, owner, sizeof owner);
  kept->bytes += bytes;
  kept->files++;
}

static struct kept sweep(uint64_t max_age_s, bool leftovers) {
  struct kept kept = {0};
  assert_ok(one_time_sweep(
      folder,
      &(struct one_time_sweeping){.max_age_s = max_age_s, .leftovers = leftovers, .kept = count, .context = &kept},
      NULL));
  return kept;
}

static void file__gives_back_its_bytes_once(void **state) {
  (void)state;
  struct one_time_file *f;
  struct stat st;
  uint8_t *data = mem_alloc(STATE_LEN, 1);
  make(path);
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0600);
  assert_ok(take(&f, NULL));
  assert_true(!is_there(path) && is_there(spent));
  assert_ok(stream_read(one_time_stream(f), data, STATE_LEN));
  for (size_t i = 0; i < STATE_LEN; i++) assert_int_equal(data[i], (uint8_t)(i * 7 + i / 256));
  assert_int_equal(stream_read(one_time_stream(f), data, 1), FUSION_E_IO);
  assert_int_equal(spend(), FUSION_E_INPUT);
  one_time_close(f);
  assert_true(!is_there(path) && !is_there(spent) && !is_there(part));
  assert_int_equal(spend(), FUSION_E_INPUT);
  mem_free(data);
}

/* What is shorter, or has another byte anywhere, is refused and stays. */
static void damage__is_found_before_anything_is_spent(void **state) {
  (void)state;
  struct stat st;
  static const size_t lengths[] = {0, 5, 23, 30, 100, STATE_LEN};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    make(path);
    assert_int_equal(truncate(path, (off_t)lengths[i]), 0);
    assert_int_equal(spend(), FUSION_E_INPUT);
    assert_true(is_there(path));
    unlink(path);
  }
  make(path);
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_size, one_time_file_len(STATE_LEN, binding.len));
  for (off_t at = 0; at < st.st_size; at += at < 100 || at > st.st_size - 40 ? 1 : 9973) {
    const int fd = open(path, O_RDWR);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    struct one_time_file *f = NULL;
    fusion_error err = {.status = FUSION_OK};
    if (one_time_open(&f, path, &err) == FUSION_OK) assert_int_equal(one_time_verify(f, &err), FUSION_E_INPUT);
    one_time_close(f);
    if (!strstr(err.text, "damaged")) fail_msg("byte %lld: '%s'", (long long)at, err.text);
    assert_true(is_there(path));
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
  }
  assert_ok(spend());
}

/* One that was opened and is another's by now, or gone, is not spent; nor is the next file of its name. */
static void spend__takes_only_the_file_that_was_opened(void **state) {
  (void)state;
  struct one_time_file *f, *g;
  make(path);
  assert_ok(one_time_open(&f, path, NULL));
  assert_ok(one_time_open(&g, path, NULL));
  assert_ok(one_time_spend(g, NULL));
  assert_int_equal(one_time_spend(f, NULL), FUSION_E_INPUT);
  one_time_close(g);
  assert_int_equal(one_time_spend(f, NULL), FUSION_E_INPUT);
  make(path);
  assert_int_equal(one_time_spend(f, NULL), FUSION_E_INPUT);
  one_time_close(f);
  assert_ok(spend());
}

static void create__takes_no_other_files_place(void **state) {
  (void)state;
  struct one_time_file *f;
  fusion_error err = {.status = FUSION_OK};
  make(path);
  assert_ok(one_time_create(&f, path, owner, NULL));
  struct one_time_file *second;
  assert_int_equal(one_time_create(&second, path, owner, &err), FUSION_E_BUSY); /* while it is being written */
  if (!strstr(err.text, "another process may be making it")) fail_msg("%s", err.text);
  assert_int_equal(one_time_commit(f, binding, &err), FUSION_E_BUSY);
  one_time_close(f);
  assert_true(is_there(path) && !is_there(part));
  assert_ok(spend());
  assert_ok(one_time_create(&f, path, owner, NULL));
  one_time_close(f); /* not complete */
  assert_true(!is_there(path) && !is_there(part));
  make(part); /* as a process that was killed left it */
  assert_ok(one_time_create(&f, path, owner, NULL));
  one_time_close(f);
  assert_false(is_there(part));
  FILE *film = fopen(part, "w");
  fputs("not ours", film);
  fclose(film);
  assert_int_equal(one_time_create(&f, path, owner, &err), FUSION_E_IO);
  assert_true(is_there(part));
  unlink(part);
}

/* A child spends the file, says so, and is killed somewhere on the way. If it said so, nobody can spend the file again;
 * whatever happened, it can be spent once more at most. */
static void spend__once_however_its_process_is_killed(void **state) {
  (void)state;
  uint64_t random = test_seed();
  unsigned said = 0;
  for (unsigned i = 0; i < 60; i++) {
    int ends[2];
    char byte;
    make(path);
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
      struct one_time_file *f;
      if (take(&f, NULL) == FUSION_OK) (void)!write(ends[1], "x", 1);
      one_time_close(f);
      _exit(0);
    }
    close(ends[1]);
    usleep((useconds_t)(test_random(&random) % (200 + 1000 * i))); /* later and later */
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    const bool used = read(ends[0], &byte, 1) == 1;
    close(ends[0]);
    said += used;
    const fusion_status again = spend();
    assert_true(again == FUSION_OK || again == FUSION_E_INPUT);
    if (used) assert_int_equal(again, FUSION_E_INPUT);
    assert_int_equal(spend(), FUSION_E_INPUT);
    assert_int_equal(sweep(UINT64_MAX, true).files, 0);
    assert_true(!is_there(path) && !is_there(spent));
  }
  assert_true(said > 0);
}

/* Eight at once: one gets it. */
static void spend__by_one_of_many(void **state) {
  (void)state;
  for (unsigned i = 0; i < 10; i++) {
    int ends[2];
    char byte;
    unsigned winners = 0;
    make(path);
    assert_int_equal(pipe(ends), 0);
    for (unsigned k = 0; k < 8; k++) {
      const pid_t child = fork();
      assert_true(child >= 0);
      if (child) continue;
      struct one_time_file *f;
      if (take(&f, NULL) == FUSION_OK) (void)!write(ends[1], "x", 1);
      one_time_close(f);
      _exit(0);
    }
    close(ends[1]);
    while (read(ends[0], &byte, 1) == 1) winners++;
    close(ends[0]);
    for (unsigned k = 0; k < 8; k++) wait(NULL);
    assert_int_equal(winners, 1);
  }
}

static void sweep__removes_leftovers_and_what_is_old(void **state) {
  (void)state;
  char other[96], others_part[96];
  snprintf(other, sizeof other, "%s/notes", folder);
  FILE *notes = fopen(other, "w");
  fputs("not ours, whatever its age, and long enough", notes);
  fclose(notes);
  snprintf(others_part, sizeof others_part, "%s/film.part", folder);
  assert_int_equal(link(other, others_part), 0);
  make(path);
  const struct kept kept = sweep(3600, true);
  assert_int_equal(kept.files, 1);
  assert_int_equal(kept.bytes, one_time_file_len(STATE_LEN, binding.len));
  assert_true(is_there(path) && is_there(others_part));
  unlink(others_part);
  const struct utimbuf old = {.actime = 1, .modtime = 1};
  assert_int_equal(utime(path, &old), 0);
  assert_int_equal(utime(other, &old), 0);
  assert_int_equal(sweep(3600, true).files, 0);
  assert_true(!is_there(path) && is_there(other));
  unlink(other);
  assert_int_equal(one_time_sweep("/nowhere", &(struct one_time_sweeping){.max_age_s = 1}, NULL), FUSION_E_IO);
}

/* Another server's sweep, or one at the hour at which a state grows old: what somebody holds stays whole. */
static void sweep__passes_by_what_is_in_use(void **state) {
  (void)state;
  const struct utimbuf old = {.actime = 1, .modtime = 1};
  struct one_time_file *f, *second;
  uint8_t *data = mem_alloc(STATE_LEN, 1);
  assert_ok(one_time_create(&f, path, owner, NULL));
  (void)sweep(0, true);
  assert_true(is_there(part));
  assert_ok(stream_write(one_time_stream(f), "abc", 3));
  assert_ok(one_time_commit(f, binding, NULL));
  one_time_close(f);
  assert_ok(take(&f, NULL));
  assert_int_equal(utime(spent, &old), 0);
  (void)sweep(0, true);
  assert_true(is_there(spent));
  assert_ok(stream_read(one_time_stream(f), data, 3));
  assert_memory_equal(data, "abc", 3);
  /* The next of that name is another file, which the first one's end leaves alone. */
  make(path);
  assert_ok(take(&second, NULL));
  one_time_close(f);
  assert_ok(stream_read(one_time_stream(second), data, STATE_LEN));
  assert_int_equal(data[300], (uint8_t)(300 * 7 + 1));
  one_time_close(second);
  mem_free(data);
}

/* A killed process leaves a file that is wiped in part: never used, and removed. */
static void sweep__ends_what_was_begun(void **state) {
  (void)state;
  make(path);
  const int fd = open(path, O_RDWR);
  assert_int_equal(pwrite(fd, "FUSION1W", 8, 0), 8);
  close(fd);
  assert_int_equal(spend(), FUSION_E_INPUT);
  (void)sweep(3600, false);
  assert_false(is_there(path));
  make(spent);
  (void)sweep(3600, true);
  assert_false(is_there(spent));
  make(path);
  assert_int_equal(rename(path, part), 0);
  (void)sweep(3600, false);
  assert_true(is_there(part));
  (void)sweep(3600, true);
  assert_false(is_there(part));
  static const off_t begun[] = {0, 3, 8, 40}; /* killed before its head was written */
  for (size_t i = 0; i < sizeof begun / sizeof *begun; i++) {
    struct one_time_file *f;
    assert_ok(one_time_create(&f, path, owner, NULL));
    assert_int_equal(truncate(part, begun[i]), 0);
    (void)sweep(3600, true);
    assert_true(is_there(part)); /* somebody writes it */
    assert_int_equal(rename(part, spent), 0);
    one_time_close(f);
    assert_int_equal(rename(spent, part), 0);
    (void)sweep(3600, true);
    assert_false(is_there(part));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(file__gives_back_its_bytes_once),
      cmocka_unit_test(damage__is_found_before_anything_is_spent),
      cmocka_unit_test(spend__takes_only_the_file_that_was_opened),
      cmocka_unit_test(create__takes_no_other_files_place),
      cmocka_unit_test(spend__once_however_its_process_is_killed),
      cmocka_unit_test(spend__by_one_of_many),
      cmocka_unit_test(sweep__removes_leftovers_and_what_is_old),
      cmocka_unit_test(sweep__passes_by_what_is_in_use),
      cmocka_unit_test(sweep__ends_what_was_begun),
  };
  if (!mkdtemp(folder)) return 1;
  snprintf(path, sizeof path, "%s/state", folder);
  snprintf(part, sizeof part, "%s.part", path);
  snprintf(spent, sizeof spent, "%s.spent", path);
  const int failures = cmocka_run_group_tests(tests, NULL, NULL);
  rmdir(folder);
  return failures;
}
