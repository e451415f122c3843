#include "faults/fault_scene.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/engine.h"
#include "execute/execute.h"
#include "program/fsn.h"
#include "support/net.h"
#include "support/support.h"

enum { CLASSES = 6 };

static struct net make_net(uint64_t seed) {
  struct net n = net_open((struct shape){2, 4, 4}, 24, 8, seed);
  net_linear(&n, 0, (struct shape){4, 4, 4}, net_dense, 1, 24, 8);
  net_add(&n, OP_RELU, 1, (struct shape){4, 4, 4}, 24, 12)->shift = 8;
  net_add(&n, OP_MAXPOOL, 2, (struct shape){4, 2, 2}, 24, 12)->window = (struct window){2, 2, 2, 2, 0, 0, 0, 0, 1, 1};
  net_add(&n, OP_MUL, 3, (struct shape){4, 2, 2}, 24, 24);
  net_linear(&n, 4, (struct shape){5, 2, 2}, net_dense, 1, 24, 8);
  net_add(&n, OP_TRUNCATE, 5, (struct shape){5, 2, 2}, 24, 16)->shift = 6;
  net_linear(&n, 6, (struct shape){CLASSES, 1, 1}, (struct window){2, 2, 1, 1, 0, 0, 0, 0, 1, 1}, 1, 24, 7);
  net_add(&n, OP_TRUNCATE, 7, (struct shape){CLASSES, 1, 1}, 22, 20)->shift = 3;
  return n;
}

uint64_t scene_random(struct fault_scene *s, uint64_t bound) {
  return test_random(&s->random) % bound;
}

static void save(const char *path, fusion_type type, size_t rows, size_t width, const void *data) {
  fusion_array *a;
  const size_t shape[2] = {rows, width};
  assert_ok(fusion_array_create(&a, type, width > 1 ? 2 : 1, shape, data));
  assert_ok(fusion_array_save_npy(a, path, NULL));
  fusion_array_free(a);
}

static void make_data(struct fault_scene *s, const struct model *m) {
  const size_t rows = QUERIES + PUBLIC_ROWS, in = shape_size(m->program.steps[0].out.shape);
  const size_t out = program_answer_size(&m->program);
  int64_t *inputs = mem_alloc(rows * in, sizeof *inputs), *labels = mem_alloc(PUBLIC_ROWS, sizeof *labels);
  s->expected = mem_alloc(rows * out, sizeof *s->expected);
  /* As calibration scales them: -128 is beyond it, and public samples most of which hold one are refused. */
  for (size_t i = 0; i < rows * in; i++) inputs[i] = (int64_t)(test_random(&s->random) % 255) - 127;
  assert_ok(program_execute(m, inputs, rows, s->expected, &(struct execute_options){.threads = 1}));
  for (size_t i = 0; i < PUBLIC_ROWS; i++) {
    const int64_t *row = s->expected + (QUERIES + i) * out;
    for (int64_t k = 1; k < (int64_t)out; k++)
      if (row[k] > row[labels[i]]) labels[i] = k;
  }
  s->answer_count = QUERIES * out;
  save(s->queries, FUSION_I64, QUERIES, in, inputs);
  save(s->public_samples, FUSION_I64, PUBLIC_ROWS, in, inputs + QUERIES * in);
  save(s->labels, FUSION_I64, PUBLIC_ROWS, 1, labels);
  mem_free(inputs);
  mem_free(labels);
}

void scene_open(struct fault_scene *s, uint64_t seed, const char *command) {
  fusion_error err = {.status = FUSION_OK};
  *s = (struct fault_scene){.command = command, .random = seed, .client_timeout = "60", .server_timeout = "60"};
  snprintf(s->dir, sizeof s->dir, "/tmp/fusion-faults-XXXXXX");
  assert_non_null(mkdtemp(s->dir));
  const struct {
    char *path;
    const char *name;
  } names[] = {{s->model, "model.fsn"},    {s->queries, "queries.npy"}, {s->public_samples, "public.npy"},
               {s->labels, "labels.npy"},  {s->journal, "journal"},     {s->answers, "answers.npy"},
               {s->report, "report.json"}, {s->html, "report.html"}};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    snprintf(names[i].path, PATH_LEN, "%s/%s", s->dir, names[i].name);
  assert_int_equal(pipe2(s->said, O_CLOEXEC), 0);
  assert_int_equal(fcntl(s->said[0], F_SETFL, O_NONBLOCK), 0);
  certs_make(&s->certs);
  struct net n = make_net(seed);
  if (program_validate(&n.model->program, &err) != FUSION_OK) fail_msg("%s", err.text);
  if (engine_prepare(engine_find("cheetah"), n.model, &err) != FUSION_OK) fail_msg("%s", err.text);
  assert_ok(fsn_save(n.model, s->model, NULL));
  make_data(s, n.model);
  model_free(n.model);
}

void scene_sweep(const struct fault_scene *s) {
  unlink(s->answers);
  unlink(s->report);
  unlink(s->html);
  unlink(s->journal);
}

void scene_close(struct fault_scene *s) {
  scene_sweep(s);
  unlink(s->model);
  unlink(s->queries);
  unlink(s->public_samples);
  unlink(s->labels);
  close(s->said[0]);
  close(s->said[1]);
  if (rmdir(s->dir)) fail_msg("something is left in %s", s->dir);
  certs_free(&s->certs);
  mem_free(s->expected);
}

/* ---- in this process ---- */

static void *serve(void *server) {
  return (void *)(intptr_t)fusion_server_run(server, NULL);
}

void server_begin(struct fault_server *f, const struct fault_scene *s, bool tls, uint32_t max_clients) {
  fusion_error err = {.status = FUSION_OK};
  fusion_server_settings set = fusion_server_defaults();
  set.listen = "127.0.0.1:0";
  set.plaintext = !tls;
  set.tls_cert = tls ? s->certs.server_cert : NULL;
  set.tls_key = tls ? s->certs.server_key : NULL;
  set.max_clients = max_clients;
  set.handshake_timeout_ms = set.timeout_ms = 60000;
  set.stop_grace_ms = 0;
  if (fusion_model_load(&f->model, s->model, &err) != FUSION_OK) fail_msg("%s", err.text);
  if (fusion_server_open(&f->server, f->model, &set, &err) != FUSION_OK) fail_msg("%s", err.text);
  f->port = fusion_server_port(f->server);
  assert_int_equal(pthread_create(&f->thread, NULL, serve, f->server), 0);
}

void server_end(struct fault_server *f) {
  fusion_server_stop(f->server);
  pthread_join(f->thread, NULL);
  fusion_server_close(f->server);
  fusion_model_free(f->model);
}

static fusion_status write_results(const struct fault_scene *s, const fusion_result *r, fusion_error *why) {
  const fusion_verdict *v = fusion_result_verdict(r);
  fusion_array *answers = NULL;
  fusion_status status = fusion_result_answers(r, FUSION_ANSWERS_RAW, &answers, why);
  if (status == FUSION_OK) status = fusion_array_save_npy(answers, s->answers, why);
  if (status == FUSION_OK) status = fusion_verdict_save(v, s->report, why);
  if (status == FUSION_OK) status = fusion_verdict_save(v, s->html, why);
  fusion_array_free(answers);
  return status;
}

static fusion_status ask_server(const struct fault_scene *s, const struct ask *ask, bool *rejected, fusion_error *why) {
  char address[32];
  fusion_array *queries = NULL, *public_samples = NULL, *labels = NULL;
  fusion_client *client = NULL;
  fusion_result *result = NULL;
  fusion_client_settings set = fusion_client_defaults();
  snprintf(address, sizeof address, "127.0.0.1:%u", ask->port);
  set.server = address;
  set.plaintext = !ask->tls;
  set.tls_ca = ask->tls ? s->certs.ca : NULL;
  set.workers = ask->workers;
  set.shard_samples = ask->shard_samples;
  set.tries = ask->tries;
  set.timeout_ms = set.connect_timeout_ms = ask->timeout_ms;
  set.security_bits = 24;
  set.min_public = 10;
  set.min_accuracy = 0.85;
  set.journal = ask->journal ? s->journal : NULL;
  fusion_status status = FUSION_OK;
  TRY(fusion_client_open(&client, &set, why));
  TRY(fusion_array_load(&queries, s->queries, why));
  TRY(fusion_array_load(&public_samples, s->public_samples, why));
  TRY(fusion_array_load(&labels, s->labels, why));
  TRY(fusion_client_query(client, queries, public_samples, labels, &result, why));
  *rejected = !fusion_result_verdict(result)->accepted;
  if (!*rejected) TRY(write_results(s, result, why));
  TRY(fusion_client_forget(client, why));
cleanup:
  fusion_result_free(result);
  fusion_array_free(queries);
  fusion_array_free(public_samples);
  fusion_array_free(labels);
  fusion_client_close(client);
  return status;
}

enum found scene_answers(const struct fault_scene *s) {
  fusion_array *a;
  fusion_error err;
  if (access(s->answers, F_OK)) return FOUND_NOTHING;
  if (fusion_array_load(&a, s->answers, &err) != FUSION_OK) return FOUND_WRONG;
  const size_t count = fusion_array_rows(a) * fusion_array_row_size(a);
  const bool right = fusion_array_type(a) == FUSION_I64 && count == s->answer_count &&
                     memcmp(fusion_array_data(a), s->expected, count * sizeof(int64_t)) == 0;
  fusion_array_free(a);
  return right ? FOUND_RIGHT : FOUND_WRONG;
}

enum outcome scene_ask(const struct fault_scene *s, const struct ask *ask, fusion_error *why) {
  bool rejected = false;
  unlink(s->answers);
  *why = (fusion_error){.status = FUSION_OK};
  const fusion_status status = ask_server(s, ask, &rejected, why);
  if (status == FUSION_OK && !rejected) return OUTCOME_RECOVERED;
  if (status == FUSION_OK || why->status != status || !why->text[0]) return OUTCOME_LOST;
  return OUTCOME_FAILED;
}
