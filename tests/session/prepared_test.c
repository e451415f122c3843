/* Jobs whose runs were prepared before, with the delphi engine, over real connections. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "session/ahead.h"
#include "session/session_scene.h"
#include "support/support.h"

static char folder[] = "/tmp/fusion-prepared-XXXXXX";
static char states[80], path[80];

static void begin(struct session_scene *s) {
  const struct engine *delphi = engine_find("delphi");
  scene_prepare(s);
  assert_ok(engine_prepare(delphi, s->model, NULL));
  s->serve_handles.engines = (struct engine_list){{delphi}, 1};
  s->ask_handles.engine = delphi;
  s->serve.prepared_folder = states;
  s->ask.tries = 2;
  assert_int_equal(mkdir(states, 0700), 0);
}

static size_t states_kept(void) {
  size_t count = 0;
  DIR *dir = opendir(states);
  assert_non_null(dir);
  for (const struct dirent *e; (e = readdir(dir));) count += e->d_name[0] != '.';
  closedir(dir);
  return count;
}

static void end(struct session_scene *s) {
  scene_end(s);
  char name[400];
  DIR *dir = opendir(states);
  for (const struct dirent *e; (e = readdir(dir));) {
    snprintf(name, sizeof name, "%s/%s", states, e->d_name);
    unlink(name);
  }
  closedir(dir);
  rmdir(states);
  unlink(path);
}

static void prepare(struct session_scene *s, uint64_t samples) {
  fusion_error err = {.status = FUSION_OK};
  if (ahead_prepare(&s->ask, &s->ask_handles, samples, path, &err) != FUSION_OK) fail_msg("%s", err.text);
}

static void expect_refused(struct session_scene *s, uint64_t samples, fusion_status status, const char *text) {
  fusion_error err = {.status = FUSION_OK};
  assert_int_equal(ahead_prepare(&s->ask, &s->ask_handles, samples, path, &err), status);
  if (!strstr(err.text, text)) fail_msg("'%s' lacks '%s'", err.text, text);
  assert_int_not_equal(access(path, F_OK), 0);
}

static void take_file(struct session_scene *s) {
  fusion_error err = {.status = FUSION_OK};
  if (ahead_open(&s->ask_handles.ahead, path, &err) != FUSION_OK) fail_msg("%s", err.text);
}

static void drop_file(struct session_scene *s) {
  ahead_close(s->ask_handles.ahead);
  s->ask_handles.ahead = NULL;
}

/* The server may have been started again in between. */
static void prepared_job__is_answered_and_leaves_nothing(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  begin(&s);
  scene_start(&s);
  prepare(&s, SAMPLES);
  assert_int_equal(states_kept(), 4); /* shards of 20 at most */
  server_stop(s.server);
  pthread_join(s.thread, NULL);
  server_close(s.server);
  scene_start(&s);
  assert_int_equal(states_kept(), 4);
  take_file(&s);
  expect_accept(&s, &v);
  drop_file(&s);
  assert_int_equal(states_kept(), 0);
  assert_int_not_equal(access(path, F_OK), 0);
  end(&s);
}

/* A copy of the client's file: the server has spent its part. */
static void prepared_job__runs_once(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  fusion_error err = {.status = FUSION_OK};
  char copy[100], command[300];
  begin(&s);
  scene_start(&s);
  prepare(&s, SAMPLES);
  snprintf(copy, sizeof copy, "%s.copy", path);
  snprintf(command, sizeof command, "cp %s %s", path, copy);
  assert_int_equal(system(command), 0);
  take_file(&s);
  expect_accept(&s, &v);
  /* The same open file, for another job. */
  expect_failure(&s, FUSION_E_INPUT, "cannot run again");
  drop_file(&s);
  assert_int_equal(ahead_open(&s.ask_handles.ahead, path, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "was used already"));
  assert_int_equal(rename(copy, path), 0);
  take_file(&s);
  expect_failure(&s, FUSION_E_REFUSED, "the prepared run is not here");
  drop_file(&s);
  assert_int_not_equal(access(path, F_OK), 0);
  end(&s);
}

static void prepared_job__is_for_one_size_engine_and_model(void **state) {
  (void)state;
  struct session_scene s;
  begin(&s);
  s.serve_handles.engines = (struct engine_list){{engine_find("delphi"), engine_find("cheetah")}, 2};
  scene_start(&s);
  prepare(&s, SAMPLES - 1);
  take_file(&s);
  expect_failure(&s, FUSION_E_INPUT, "it was prepared for 77 samples; this job has 78");
  s.ask_handles.engine = engine_find("cheetah");
  expect_failure(&s, FUSION_E_INPUT, "it was prepared for the delphi engine; give --engine delphi");
  drop_file(&s);
  assert_int_equal(access(path, F_OK), 0); /* nothing was spent */
  assert_int_equal(states_kept(), 4);
  end(&s);
}

static void prepare__refusals(void **state) {
  (void)state;
  struct session_scene s;
  begin(&s);
  s.serve.prepared_bytes = 1000;
  scene_start(&s);
  expect_refused(&s, SAMPLES, FUSION_E_BUSY, "there is no room for another prepared run");
  assert_int_equal(states_kept(), 0);
  expect_refused(&s, 0, FUSION_E_USAGE, "1 to 2^32 samples");
  s.ask_handles.engine = engine_find("cheetah");
  expect_refused(&s, SAMPLES, FUSION_E_USAGE, "the cheetah engine cannot prepare runs ahead; use delphi");
  end(&s);
  begin(&s);
  s.serve.prepared_folder = NULL;
  scene_start(&s);
  expect_refused(&s, SAMPLES, FUSION_E_REFUSED, "this server keeps no prepared runs");
  end(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(prepared_job__is_answered_and_leaves_nothing),
      cmocka_unit_test(prepared_job__runs_once),
      cmocka_unit_test(prepared_job__is_for_one_size_engine_and_model),
      cmocka_unit_test(prepare__refusals),
  };
  if (!mkdtemp(folder)) return 1;
  snprintf(states, sizeof states, "%s/states", folder);
  snprintf(path, sizeof path, "%s/client", folder);
  const int failures = cmocka_run_group_tests(tests, NULL, NULL);
  rmdir(folder);
  return failures;
}
