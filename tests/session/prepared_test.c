/* Jobs whose runs were prepared before, with the delphi engine, over real connections. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "session/ahead.h"
#include "session/session_scene.h"
#include "support/certs.h"
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

/* How many states the server keeps; the path of the last, and the bytes of all. */
static size_t look(char last[400], uint64_t *bytes) {
  size_t count = 0;
  struct stat st;
  DIR *dir = opendir(states);
  assert_non_null(dir);
  *bytes = 0;
  for (const struct dirent *e; (e = readdir(dir));) {
    if (e->d_name[0] == '.') continue;
    snprintf(last, 400, "%s/%s", states, e->d_name);
    assert_int_equal(stat(last, &st), 0);
    *bytes += (uint64_t)st.st_size;
    count++;
  }
  closedir(dir);
  return count;
}

static size_t states_kept(void) {
  char last[400];
  uint64_t bytes;
  return look(last, &bytes);
}

/* The client may have its answers a moment before the server has wiped its state. */
static void await_no_states(void) {
  for (int i = 0; i < 500 && states_kept(); i++) usleep(10000);
  assert_int_equal(states_kept(), 0);
}

/* A bit of a byte of a file; from the end where `at` is negative. */
static void flip(const char *file, off_t at) {
  uint8_t byte;
  const int fd = open(file, O_RDWR);
  assert_true(fd >= 0);
  if (at < 0) at += lseek(fd, 0, SEEK_END);
  assert_int_equal(pread(fd, &byte, 1, at), 1);
  byte ^= 4;
  assert_int_equal(pwrite(fd, &byte, 1, at), 1);
  close(fd);
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
  await_no_states();
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
  assert_int_equal(access(path, F_OK), 0); /* the server said so before the client spent its part */
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

static void restart(struct session_scene *s) {
  server_stop(s->server);
  pthread_join(s->thread, NULL);
  server_close(s->server);
  scene_start(s);
}

/* Two models of one manifest, without ids: what was prepared for the first is not for the second, and neither side
 * spends anything. */
static void prepared_job__is_for_the_weights_it_was_prepared_for(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  begin(&s);
  int16_t *weights = s.model->weights[1].weights;
  const int16_t first = weights[0], second = weights[1];
  assert_int_not_equal(first, second);
  scene_start(&s);
  prepare(&s, SAMPLES);
  weights[0] = second;
  weights[1] = first;
  restart(&s);
  take_file(&s);
  expect_failure(&s, FUSION_E_REFUSED,
                 "the peer refused: it was prepared for another model than the server has now; prepare another");
  expect_log(&s, "refused 127.0.0.1");
  expect_log(&s, "it was prepared for another model than the server has now");
  drop_file(&s);
  assert_int_equal(access(path, F_OK), 0);
  assert_int_equal(states_kept(), 4);
  weights[0] = first;
  weights[1] = second;
  restart(&s);
  take_file(&s);
  expect_accept(&s, &v);
  drop_file(&s);
  prepare(&s, SAMPLES);
  s.model->weights[1].bias[OUT - 1] = 1; /* biases count, too */
  restart(&s);
  take_file(&s);
  expect_failure(&s, FUSION_E_REFUSED, "it was prepared for another model");
  drop_file(&s);
  end(&s);
}

/* What the client's disk has damaged is found before the server hears of the job. */
static void client__finds_a_damaged_file(void **state) {
  (void)state;
  static const off_t places[] = {0, 9, 17, 30, 50, 72, 80, 100, 150, -200, -80, -1};
  struct session_scene s;
  fusion_verdict v = {0};
  begin(&s);
  scene_start(&s);
  prepare(&s, SAMPLES);
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    fusion_error err = {.status = FUSION_OK};
    flip(path, places[i]);
    assert_int_equal(ahead_open(&s.ask_handles.ahead, path, &err), FUSION_E_INPUT);
    if (!strstr(err.text, "damaged; prepare another")) fail_msg("byte %lld: '%s'", (long long)places[i], err.text);
    flip(path, places[i]);
  }
  take_file(&s);
  expect_accept(&s, &v);
  drop_file(&s);
  end(&s);
}

/* What the server's disk has damaged ends the job with a line that says so: never with wrong answers, for which a
 * server is blamed. In the head and the binding it is found before anything is spent. */
static void server__finds_a_damaged_state(void **state) {
  (void)state;
  static const struct {
    off_t at;
    bool early;
  } places[] = {{0, true}, {17, true}, {30, false}, {50, false}, {72, false}, {5000, false}, {-130, false}, {-2, true}};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    struct session_scene s;
    char file[400];
    uint64_t bytes;
    begin(&s);
    scene_start(&s);
    prepare(&s, SAMPLES);
    (void)look(file, &bytes);
    flip(file, places[i].at);
    take_file(&s);
    expect_failure(&s, FUSION_E_REFUSED, "the server's part of a prepared run is damaged on its disk");
    drop_file(&s);
    assert_int_equal(access(path, F_OK) == 0, places[i].early);
    end(&s);
    expect_log(&s, "is damaged on its disk");
  }
}

static uint64_t allowed; /* of every client, in place of its share; 0: none */

static fusion_status limit(void *context, const char *client, const char *model, struct client_limits *out,
                           fusion_error *why) {
  (void)context, (void)client, (void)model, (void)why;
  *out = (struct client_limits){.prepared_bytes = allowed};
  return FUSION_OK;
}

/* The next job's file has another name. */
static void prepare_more(struct session_scene *s, fusion_status status, const char *text) {
  fusion_error err = {.status = FUSION_OK};
  const size_t before = states_kept();
  const fusion_status got = ahead_prepare(&s->ask, &s->ask_handles, SAMPLES, path, &err);
  if (got != status || !strstr(err.text, text)) fail_msg("%d '%s' where %d '%s' was due", got, err.text, status, text);
  assert_int_equal(states_kept(), before + (got == FUSION_OK ? 4 : 0));
  if (got == FUSION_OK) assert_int_equal(unlink(path), 0);
}

/* A client may have half of what the others leave: whatever it does, there is room for the next one. The server knows
 * whose the states are after it was started again, too. */
static void clients__have_a_share_each(void **state) {
  (void)state;
  static const char full[] = "do not fit this client's share";
  static const struct server_hooks hooks = {.limits = limit};
  struct session_scene s;
  struct certs certs;
  struct tls_context *first, *second;
  char last[400];
  uint64_t job;
  begin(&s);
  certs_make(&certs);
  assert_ok(tls_server_new(&s.server_tls, certs.server_cert, certs.server_key, certs.ca, NULL));
  assert_ok(tls_client_new(&first, certs.ca, certs.client_cert, certs.client_key, NULL));
  assert_ok(tls_client_new(&second, certs.ca, certs.cert[CERT_CLIENT_NAMELESS], certs.key[CERT_CLIENT_NAMELESS], NULL));
  s.serve_handles.tls = s.server_tls;
  s.serve_handles.hooks = &hooks;
  s.ask_handles.tls = first;
  scene_start(&s);
  prepare_more(&s, FUSION_OK, "");
  (void)look(last, &job);
  s.serve.prepared_bytes = 5 * job + job / 2;
  restart(&s);
  prepare_more(&s, FUSION_OK, ""); /* two jobs of at most 2.75 */
  prepare_more(&s, FUSION_E_BUSY, full);
  s.ask_handles.tls = second;
  prepare_more(&s, FUSION_OK, ""); /* one of at most 1.75 */
  prepare_more(&s, FUSION_E_BUSY, full);
  restart(&s);
  prepare_more(&s, FUSION_E_BUSY, full);
  s.ask_handles.tls = first;
  prepare_more(&s, FUSION_E_BUSY, full);
  expect_log(&s, full);
  allowed = 4 * job; /* of its own, in place of the share */
  prepare_more(&s, FUSION_OK, "");
  allowed = 100 * job; /* the folder's limit holds for all */
  prepare_more(&s, FUSION_OK, "");
  prepare_more(&s, FUSION_E_BUSY, "there is no room for prepared runs");
  allowed = job / 2;
  prepare_more(&s, FUSION_E_REFUSED, "more than a client may have here");
  allowed = 0;
  tls_free(first);
  tls_free(second);
  certs_free(&certs);
  end(&s);
}

/* That the file cannot be made is found before there is a connection. */
static void prepare__tests_its_path_first(void **state) {
  (void)state;
  struct session_scene s;
  fusion_error err = {.status = FUSION_OK};
  begin(&s);
  scene_start(&s);
  s.ask_handles.address.port = 1;
  assert_int_equal(ahead_prepare(&s.ask, &s.ask_handles, SAMPLES, "/nowhere/state", &err), FUSION_E_IO);
  assert_string_equal(err.text, "'/nowhere/state': cannot be made: No such file or directory");
  assert_int_equal(ahead_prepare(&s.ask, &s.ask_handles, SAMPLES, path, &err), FUSION_E_NETWORK);
  assert_int_not_equal(access(path, F_OK), 0);
  end(&s);
}

/* The server has less memory than when it prepared: no shard is tried, and nothing is spent. */
static void prepared_job__needs_its_shards_whole(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  begin(&s);
  scene_start(&s);
  prepare(&s, SAMPLES);
  s.serve.max_shard = 10;
  restart(&s);
  take_file(&s);
  expect_failure(&s, FUSION_E_BUSY, "the server has memory for 10 samples at once, and the prepared job runs 20");
  drop_file(&s);
  assert_int_equal(states_kept(), 4);
  s.serve.max_shard = 4096;
  restart(&s);
  take_file(&s);
  const struct shard other[] = {{.first = 0, .count = 39}, {.first = 39, .count = 39}};
  fusion_error err = {.status = FUSION_OK};
  assert_int_equal(ahead_check_shards(s.ask_handles.ahead, other, 2, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "it has 4 shards of at most 20 samples, and this job is cut otherwise"));
  expect_accept(&s, &v);
  assert_int_not_equal(access(path, F_OK), 0);
  char spent[100];
  snprintf(spent, sizeof spent, "%s.spent", path);
  assert_int_not_equal(access(spent, F_OK), 0); /* wiped already */
  drop_file(&s);
  end(&s);
}

/* All states lie in memory while the job runs. */
static void prepared_job__needs_memory_for_its_states(void **state) {
  (void)state;
  struct session_scene s;
  begin(&s);
  scene_start(&s);
  prepare(&s, SAMPLES);
  s.ask.max_memory = 1000;
  take_file(&s);
  expect_failure(&s, FUSION_E_LIMIT, "the prepared job takes ");
  drop_file(&s);
  assert_int_equal(states_kept(), 4);
  assert_int_equal(access(path, F_OK), 0);
  end(&s);
}

static void prepare__refusals(void **state) {
  (void)state;
  struct session_scene s;
  begin(&s);
  s.serve.prepared_bytes = 1000;
  scene_start(&s);
  expect_refused(&s, SAMPLES, FUSION_E_REFUSED, "more than a client may have here, 0 KiB; prepare a smaller job");
  assert_int_equal(states_kept(), 0);
  expect_refused(&s, 0, FUSION_E_USAGE, "1 to 2^32 samples");
  s.ask.max_traffic = 1000;
  s.serve.prepared_bytes = UINT64_C(1) << 30;
  restart(&s);
  expect_refused(&s, SAMPLES, FUSION_E_LIMIT, "preparing the job would move ");
  assert_int_equal(states_kept(), 0);
  s.ask.max_traffic = 0;
  s.ask_handles.engine = engine_find("sci-ot");
  expect_refused(&s, SAMPLES, FUSION_E_USAGE, "the sci-ot engine cannot prepare runs ahead; use cheetah or delphi");
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
      cmocka_unit_test(prepared_job__is_for_the_weights_it_was_prepared_for),
      cmocka_unit_test(prepared_job__needs_its_shards_whole),
      cmocka_unit_test(client__finds_a_damaged_file),
      cmocka_unit_test(server__finds_a_damaged_state),
      cmocka_unit_test(clients__have_a_share_each),
      cmocka_unit_test(prepare__tests_its_path_first),
      cmocka_unit_test(prepared_job__needs_memory_for_its_states),
      cmocka_unit_test(prepare__refusals),
  };
  if (!mkdtemp(folder)) return 1;
  snprintf(states, sizeof states, "%s/states", folder);
  snprintf(path, sizeof path, "%s/client", folder);
  const int failures = cmocka_run_group_tests(tests, NULL, NULL);
  rmdir(folder);
  return failures;
}
