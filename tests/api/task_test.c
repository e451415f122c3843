/* Jobs whose shards run elsewhere: tasks go through run_task to another client, as a binding's executor carries them.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <fusion/fusion.h>

#include "support/support.h"

enum { QUERIES = 40, PUBLIC = 60, WIDTH = 3, TASKS_MAX = 64 };

static struct {
  fusion_model *model;
  fusion_server *server;
  pthread_t thread;
  char address[32];
  fusion_array *queries, *public_samples, *labels, *expected;
} scene;

/* What the executor does to tasks. */
struct carrier {
  pthread_mutex_t lock;
  size_t tasks;        /* given */
  size_t lose, refuse; /* the first so many are lost; the others end so when refuse is not 0 */
  bool no_report;      /* writes nothing */
  uint8_t *kept;       /* a copy of the first task; owned */
  size_t kept_len;
  fusion_client *worker; /* borrowed */
};

static fusion_status carry(void *context, const void *task, size_t len, void *report, size_t report_len,
                           fusion_error *err) {
  struct carrier *c = context;
  pthread_mutex_lock(&c->lock);
  const size_t number = c->tasks++;
  if (!c->kept && (c->kept = malloc(len))) {
    memcpy(c->kept, task, len);
    c->kept_len = len;
  }
  pthread_mutex_unlock(&c->lock);
  if (number < c->lose) return FUSION_E_CLOSED;
  if (c->refuse) return FUSION_E_LIMIT;
  if (c->no_report) return FUSION_OK;
  assert_int_equal(fusion_task_report_len(task, len), report_len);
  return fusion_client_run_task(c->worker, task, len, report, err);
}

static fusion_client *open_client(struct carrier *carrier) {
  fusion_client_settings s = fusion_client_defaults();
  fusion_client *client;
  fusion_error err = {.status = FUSION_OK};
  s.server = scene.address;
  s.plaintext = true;
  s.min_public = PUBLIC;
  s.security_bits = 10;
  s.workers = 2;
  s.shard_samples = 50;
  if (carrier) s.run_task = carry;
  s.run_task_context = carrier;
  if (fusion_client_open(&client, &s, &err) != FUSION_OK) fail_msg("%s", err.text);
  return client;
}

static fusion_status ask(struct carrier *c, fusion_result **result, fusion_error *err) {
  pthread_mutex_init(&c->lock, NULL);
  c->worker = open_client(NULL);
  fusion_client *client = open_client(c);
  const fusion_status status =
      fusion_client_query(client, scene.queries, scene.public_samples, scene.labels, result, err);
  fusion_client_close(client);
  fusion_client_close(c->worker);
  pthread_mutex_destroy(&c->lock);
  return status;
}

static void assert_right(const fusion_result *r) {
  fusion_array *raw;
  assert_true(fusion_result_verdict(r)->accepted);
  assert_ok(fusion_result_answers(r, FUSION_ANSWERS_RAW, &raw, NULL));
  assert_int_equal(fusion_array_rows(raw), QUERIES);
  assert_memory_equal(fusion_array_data(raw), fusion_array_data(scene.expected),
                      QUERIES * fusion_array_row_size(raw) * sizeof(int64_t));
  fusion_array_free(raw);
}

static void tasks__answers_equal_the_model(void **state) {
  (void)state;
  struct carrier c = {.lose = 0};
  fusion_result *r;
  fusion_error err;
  assert_ok(ask(&c, &r, &err));
  assert_right(r);
  const fusion_verdict *v = fusion_result_verdict(r);
  assert_true(c.tasks >= v->samples / 50);
  assert_true(v->workers > 1 && v->bytes_sent > 10000 && v->bytes_received > 10000 && v->rounds > 0);
  fusion_result_free(r);
  free(c.kept);
}

static void tasks__lost_ones_run_again(void **state) {
  (void)state;
  struct carrier c = {.lose = 2};
  fusion_result *r;
  fusion_error err;
  assert_ok(ask(&c, &r, &err));
  assert_right(r);
  fusion_result_free(r);
  free(c.kept);
}

static void tasks__lost_too_often_end_the_job(void **state) {
  (void)state;
  struct carrier c = {.lose = TASKS_MAX};
  fusion_result *r;
  fusion_error err;
  assert_int_equal(ask(&c, &r, &err), FUSION_E_CLOSED);
  assert_null(r);
  assert_non_null(strstr(err.text, "3 of 3 tries of a shard failed"));
  free(c.kept);
}

static void tasks__other_failures_end_the_job_at_once(void **state) {
  (void)state;
  struct carrier refusing = {.refuse = 1}, silent = {.no_report = true};
  fusion_result *r;
  fusion_error err;
  assert_int_equal(ask(&refusing, &r, &err), FUSION_E_LIMIT);
  assert_true(refusing.tasks <= 2 && err.text[0]);
  assert_int_equal(ask(&silent, &r, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "no report on its task"));
  free(refusing.kept);
  free(silent.kept);
}

static void tasks__damaged_ones_are_refused(void **state) {
  (void)state;
  struct carrier c = {.lose = TASKS_MAX};
  fusion_result *r;
  fusion_error err;
  assert_int_equal(ask(&c, &r, &err), FUSION_E_CLOSED);
  const size_t report_len = fusion_task_report_len(c.kept, c.kept_len);
  assert_true(report_len > 0);
  uint8_t *report = malloc(report_len);
  assert_non_null(report);
  fusion_client *client = open_client(NULL);
  for (size_t keep = 0; keep < c.kept_len; keep += 7)
    assert_int_not_equal(fusion_client_run_task(client, c.kept, keep, report, &err), FUSION_OK);
  for (size_t at = 0; at < 60; at++) { /* engine, sizes, the manifest's beginning */
    if (at >= 38 && at < 46) continue; /* the size of the whole job, which may be larger */
    c.kept[at] ^= 0xff;
    const bool job_id = at >= 13 && at < 29; /* any number is one */
    if (!job_id) assert_int_not_equal(fusion_client_run_task(client, c.kept, c.kept_len, report, &err), FUSION_OK);
    c.kept[at] ^= 0xff;
  }
  fusion_client_close(client);
  free(report);
  free(c.kept);
}

static void tasks__exclude_receipts(void **state) {
  (void)state;
  fusion_client_settings s = fusion_client_defaults();
  fusion_client *client;
  fusion_error err;
  s.server = scene.address;
  s.plaintext = true;
  s.receipts = 1;
  s.run_task = carry;
  assert_int_equal(fusion_client_open(&client, &s, &err), FUSION_E_USAGE);
  assert_null(client);
}

static void *serve(void *server) {
  fusion_error err;
  return fusion_server_run(server, &err) == FUSION_OK ? NULL : server;
}

static fusion_array *random_rows(size_t rows) {
  const size_t shape[2] = {rows, WIDTH};
  fusion_array *a;
  assert_ok(fusion_array_create(&a, FUSION_F64, 2, shape, NULL));
  double *values = fusion_array_data_mutable(a);
  for (size_t i = 0; i < rows * WIDTH; i++) values[i] = (double)((i * 7919) % 1000) / 1000 - 0.5;
  return a;
}

static int begin(void **state) {
  (void)state;
  char path[512];
  const size_t rows = PUBLIC;
  fusion_array *answers;
  snprintf(path, sizeof path, "%s/tests/model/data/tiny_mlp.fsn", getenv("FUSION_SOURCE"));
  assert_ok(fusion_model_load(&scene.model, path, NULL));
  scene.queries = random_rows(QUERIES);
  scene.public_samples = random_rows(PUBLIC);
  assert_ok(fusion_model_run(scene.model, scene.queries, 1, &scene.expected, NULL));
  assert_ok(fusion_model_run(scene.model, scene.public_samples, 1, &answers, NULL));
  assert_ok(fusion_array_create(&scene.labels, FUSION_I64, 1, &rows, NULL));
  assert_ok(fusion_model_labels(scene.model, answers, fusion_array_data_mutable(scene.labels), NULL));
  fusion_array_free(answers);
  fusion_server_settings s = fusion_server_defaults();
  s.listen = "127.0.0.1:0";
  s.plaintext = true;
  assert_ok(fusion_server_open(&scene.server, scene.model, &s, NULL));
  snprintf(scene.address, sizeof scene.address, "127.0.0.1:%u", fusion_server_port(scene.server));
  return pthread_create(&scene.thread, NULL, serve, scene.server);
}

static int end(void **state) {
  (void)state;
  void *failed;
  fusion_server_stop(scene.server);
  pthread_join(scene.thread, &failed);
  fusion_server_close(scene.server);
  fusion_model_free(scene.model);
  fusion_array_free(scene.queries);
  fusion_array_free(scene.public_samples);
  fusion_array_free(scene.labels);
  fusion_array_free(scene.expected);
  return failed != NULL;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tasks__answers_equal_the_model),    cmocka_unit_test(tasks__lost_ones_run_again),
      cmocka_unit_test(tasks__lost_too_often_end_the_job), cmocka_unit_test(tasks__other_failures_end_the_job_at_once),
      cmocka_unit_test(tasks__damaged_ones_are_refused),   cmocka_unit_test(tasks__exclude_receipts),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
