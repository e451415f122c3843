#include "session/session_scene.h"

#include <stdio.h>

#include "execute/execute.h"
#include "support/support.h"

static void keep_line(void *context, const char *line) {
  struct session_scene *s = context;
  snprintf(s->log + strlen(s->log), sizeof s->log - strlen(s->log), "%s\n", line);
}

static void *serve(void *arg) {
  struct session_scene *s = arg;
  s->server_status = server_run(s->server, NULL);
  return NULL;
}

static void make_inputs(struct session_scene *s) {
  uint64_t seed = 1;
  int64_t rows[(QUERIES + PUBLIC) * IN], answers[(QUERIES + PUBLIC) * OUT];
  for (size_t i = 0; i < (QUERIES + PUBLIC) * IN; i++) rows[i] = (int64_t)(test_random(&seed) % 200) - 100;
  for (size_t i = 0; i < QUERIES * IN; i++) s->queries[i] = (double)rows[i];
  for (size_t i = 0; i < PUBLIC * IN; i++) s->public_samples[i] = (double)rows[QUERIES * IN + i];
  assert_ok(program_execute(s->model, rows, QUERIES + PUBLIC, answers, &(struct execute_options){.threads = 1}));
  memcpy(s->expected, answers, sizeof s->expected);
  memcpy(s->public_answers, answers + QUERIES * OUT, sizeof s->public_answers);
  for (size_t i = 0; i < PUBLIC; i++) {
    const int64_t *row = answers + (QUERIES + i) * OUT;
    for (int64_t k = 1; k < OUT; k++)
      if (row[k] > row[s->labels[i]]) s->labels[i] = k;
  }
}

void scene_prepare(struct session_scene *s) {
  memset(s, 0, sizeof *s);
  fake_reset();
  s->model = fake_model(IN, OUT, 5);
  make_inputs(s);
  s->serve = fusion_server_defaults();
  s->serve.max_clients = 8;
  s->serve.max_samples_job = 1000;
  s->serve.max_samples_day = 100000;
  s->serve.max_memory = 1 << 30;
  s->serve.max_shard = 4096;
  s->serve.handshake_timeout_ms = s->serve.timeout_ms = s->serve.stop_grace_ms = 3000;
  s->serve.log = keep_line;
  s->serve.log_context = s;
  s->serve_handles =
      (struct server_handles){.listen = {.host = "127.0.0.1"}, .model = s->model, .engines = {{&fake_engine}, 1}};
  s->ask = fusion_client_defaults();
  s->ask.workers = 1;
  s->ask.shard_samples = 20;
  s->ask.max_memory = 1 << 30;
  s->ask.max_manifest = 1 << 20;
  s->ask.connect_timeout_ms = s->ask.timeout_ms = 3000;
  s->ask_handles = (struct job_handles){.address = {.host = "127.0.0.1"}, .engine = &fake_engine};
  s->input = (struct job_input){.queries = s->queries,
                                .public_samples = s->public_samples,
                                .labels = s->labels,
                                .row_size = IN,
                                .choice = {QUERIES, COPIES, PUBLIC, 3, 1}};
}

void scene_start(struct session_scene *s) {
  assert_ok(server_open(&s->server, &s->serve, &s->serve_handles, NULL));
  s->ask_handles.address.port = server_port(s->server);
  assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

void scene_end(struct session_scene *s) {
  server_stop(s->server);
  pthread_join(s->thread, NULL);
  assert_ok(s->server_status);
  assert_int_equal(server_get_totals(s->server).connections, 0);
  server_close(s->server);
  tls_free(s->server_tls);
  tls_free(s->client_tls);
  model_free(s->model);
}

fusion_status scene_ask(struct session_scene *s, struct job_output *out, fusion_verdict *v, fusion_error *err) {
  const struct job_terms terms = {&s->ask, &s->ask_handles, &s->input};
  return job_run(&terms, out, v, err);
}

void expect_accept(struct session_scene *s, fusion_verdict *v) {
  struct job_output out;
  fusion_error err = {.status = FUSION_OK};
  const fusion_status status = scene_ask(s, &out, v, &err);
  if (status != FUSION_OK) fail_msg("job failed: %s", err.text);
  assert_true(v->accepted);
  assert_int_equal(out.answer_size, OUT);
  assert_memory_equal(out.answers, s->expected, sizeof s->expected);
  assert_int_equal(v->wrong_public, 0);
  assert_int_equal(v->disagreeing_queries, 0);
  assert_int_equal(v->disagreeing_public, 0);
  job_output_free(&out);
}

void expect_failure(struct session_scene *s, fusion_status status, const char *text) {
  struct job_output out;
  fusion_verdict v = {0};
  fusion_error err = {.status = FUSION_OK};
  const fusion_status got = scene_ask(s, &out, &v, &err);
  if (got != status || !strstr(err.text, text))
    fail_msg("got %d '%s' where %d '%s' was due", got, err.text, status, text);
  assert_null(out.answers);
  assert_false(v.accepted);
}

void expect_log(const struct session_scene *s, const char *text) {
  if (!strstr(s->log, text)) fail_msg("the log lacks '%s':\n%s", text, s->log);
}
