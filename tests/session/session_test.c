/* Whole jobs between a server and a client in one process, over real connections, on the fake engine. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/engine_messages.h"
#include "session/messages.h"
#include "session/session_scene.h"
#include "support/certs.h"
#include "support/support.h"
#include "support/test_messages.h"

static struct certs certs;

static void job__tls_and_several_workers(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  scene_prepare(&s);
  assert_ok(tls_server_new(&s.server_tls, certs.server_cert, certs.server_key, certs.ca, NULL));
  assert_ok(tls_client_new(&s.client_tls, certs.ca, certs.client_cert, certs.client_key, NULL));
  s.serve_handles.tls = s.server_tls;
  s.ask_handles.tls = s.client_tls;
  s.ask.workers = 3;
  s.ask.shard_samples = 10;
  fake.delay_ms = 5;
  scene_start(&s);
  expect_accept(&s, &v);
  assert_int_equal(fake.runs, 9); /* ceil(78 / 10) = 8, balanced over 3 workers */
  assert_in_range(v.workers, 2, 3);
  assert_int_equal(strlen(v.certificate_hash), 64);
  assert_int_equal(strlen(v.manifest_hash), 64);
  assert_string_equal(v.engine, "fake");
  assert_string_equal(v.rounding, "exact");
  scene_end(&s);
  expect_log(&s, "done; 78 of 78 samples");
}

static void job__the_real_engine(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  scene_prepare(&s);
  assert_ok(tls_server_new(&s.server_tls, certs.server_cert, certs.server_key, NULL, NULL));
  assert_ok(tls_client_new(&s.client_tls, certs.ca, NULL, NULL, NULL));
  s.serve_handles.tls = s.server_tls;
  s.ask_handles.tls = s.client_tls;
  assert_ok(engine_list_parse(&s.serve_handles.engines, "cheetah", NULL));
  s.ask_handles.engine = engine_find("cheetah");
  assert_ok(engine_prepare(s.ask_handles.engine, s.model, NULL));
  s.serve.timeout_ms = s.ask.timeout_ms = 20000;
  s.ask.workers = 2;
  s.ask.shard_samples = 50;
  scene_start(&s);
  expect_accept(&s, &v);
  assert_string_equal(v.engine, "cheetah");
  s.ask_handles.engine = engine_find("cheetah-wan"); /* the client says how it is tuned */
  s.ask.workers = 1;
  expect_accept(&s, &v);
  assert_string_equal(v.engine, "cheetah-wan");
  scene_end(&s);
  expect_log(&s, "done; 78 of 78 samples");
}

static void job__plaintext_counts_every_byte(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  scene_prepare(&s);
  scene_start(&s);
  expect_accept(&s, &v);
  uint64_t sent = 0, received = 0;
  for (uint32_t i = 0; i < v.stage_count; i++) {
    sent += v.stages[i].bytes_sent;
    received += v.stages[i].bytes_received;
  }
  assert_int_equal(sent, v.bytes_sent);
  assert_int_equal(received, v.bytes_received);
  assert_string_equal(v.certificate_hash, "");
  assert_int_equal(v.workers, 1);
  scene_end(&s);
}

static void job__an_altered_answer_is_rejected_and_looks_the_same_on_the_wire(void **state) {
  (void)state;
  struct session_scene s;
  struct job_output out;
  fusion_verdict accepted = {0}, rejected = {0};
  scene_prepare(&s);
  scene_start(&s);
  expect_accept(&s, &accepted);
  /* The first answer of each of two shards: by chance both may be harmless public samples with an unchanged label. */
  for (int round = 0; round < 20; round++) {
    fake.alter_from = 2;
    assert_ok(scene_ask(&s, &out, &rejected, NULL));
    assert_int_equal(rejected.bytes_sent, accepted.bytes_sent);
    assert_int_equal(rejected.bytes_received, accepted.bytes_received);
    assert_int_equal(rejected.rounds, accepted.rounds);
    if (!rejected.accepted) {
      assert_null(out.answers);
      assert_true(rejected.disagreeing_queries > 0 || rejected.wrong_public > 0);
      break;
    }
    assert_memory_equal(out.answers, s.expected, sizeof s.expected);
    job_output_free(&out);
  }
  assert_false(rejected.accepted);
  job_output_free(&out);
  scene_end(&s);
}

static void job__a_bad_model_is_rejected(void **state) {
  (void)state;
  struct session_scene s;
  struct job_output out;
  fusion_verdict v = {0};
  scene_prepare(&s);
  for (size_t i = 0; i < PUBLIC; i += 4) s.labels[i] = (s.labels[i] + 1) % OUT;
  scene_start(&s);
  assert_ok(scene_ask(&s, &out, &v, NULL));
  assert_false(v.accepted);
  assert_null(out.answers);
  assert_int_equal(v.wrong_public, (PUBLIC + 3) / 4);
  job_output_free(&out);
  scene_end(&s);
}

static void job__lost_connections_run_again(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  scene_prepare(&s);
  s.ask.workers = 2;
  fake.cut_runs = 2;
  fake.delay_ms = 10;
  scene_start(&s);
  expect_accept(&s, &v);
  assert_int_equal(fake.runs, 4 + 2);
  assert_in_range(v.workers, 3, 4);
  scene_end(&s);
}

static void job__a_shard_is_not_tried_for_ever(void **state) {
  (void)state;
  struct session_scene s;
  scene_prepare(&s);
  s.ask.shard_samples = 1000;
  fake.cut_runs = 100;
  scene_start(&s);
  expect_failure(&s, FUSION_E_CLOSED, "3 of 3 tries of a shard failed");
  assert_int_equal(fake.runs, 3);
  scene_end(&s);
  expect_log(&s, "failed (");
}

static void job__an_error_of_the_protocol_is_final(void **state) {
  (void)state;
  struct session_scene s;
  scene_prepare(&s);
  fake.short_answers = 1;
  scene_start(&s);
  expect_failure(&s, FUSION_E_PEER, "bytes in a message");
  assert_int_equal(fake.runs, 1);
  scene_end(&s);
}

static void job__the_server_does_not_say_which_check_failed(void **state) {
  (void)state;
  struct session_scene s;
  scene_prepare(&s);
  fake.refuse_runs = 1;
  scene_start(&s);
  expect_failure(&s, FUSION_E_REFUSED, "the peer refused: the run failed");
  assert_int_equal(fake.runs, 1);
  scene_end(&s);
  expect_log(&s, "a secret reason");
}

static void job__a_hanging_server_times_out(void **state) {
  (void)state;
  struct session_scene s;
  scene_prepare(&s);
  s.ask.timeout_ms = 150;
  s.ask.tries = 2;
  s.ask.shard_samples = 1000;
  fake.hang_runs = 100;
  scene_start(&s);
  expect_failure(&s, FUSION_E_TIMEOUT, "2 of 2 tries of a shard failed");
  scene_end(&s);
}

static void limits__of_the_server_are_told(void **state) {
  (void)state;
  struct session_scene s;
  scene_prepare(&s);
  s.serve.max_samples_job = SAMPLES - 1;
  scene_start(&s);
  expect_failure(&s, FUSION_E_REFUSED, "a job of 78 samples is too large; at most 77 are allowed");
  scene_end(&s);
  expect_log(&s, "refused 127.0.0.1:");

  fusion_verdict v = {0};
  scene_prepare(&s);
  s.serve.max_samples_day = SAMPLES + 10;
  scene_start(&s);
  expect_accept(&s, &v);
  expect_failure(&s, FUSION_E_BUSY, "today's allowance has 10 samples left");
  scene_end(&s);
}

static void limits__server_memory_makes_shards_smaller(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  scene_prepare(&s);
  s.serve.max_memory = 7 * 1000;
  scene_start(&s);
  expect_accept(&s, &v);
  assert_in_range(fake.largest_shard, 1, 7);
  scene_end(&s);

  scene_prepare(&s);
  fake.memory_per_sample = s.serve.max_memory + 1;
  assert_int_equal(server_open(&s.server, &s.serve, &s.serve_handles, NULL), FUSION_E_LIMIT);
  model_free(s.model);
}

static void limits__of_the_client_hold(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  scene_prepare(&s);
  scene_start(&s);
  s.ask.max_manifest = 10;
  expect_failure(&s, FUSION_E_LIMIT, "manifest has");
  s.ask.max_manifest = 1 << 20;
  s.ask.max_memory = 999;
  expect_failure(&s, FUSION_E_LIMIT, "one sample of the server's model takes");
  s.ask.max_memory = 9 * 1000;
  expect_accept(&s, &v);
  assert_in_range(fake.largest_shard, 1, 9);
  s.ask.max_traffic = 1000;
  expect_failure(&s, FUSION_E_LIMIT, "the job would move");
  s.ask.max_traffic = 1 << 30;
  s.input.row_size = IN - 1;
  expect_failure(&s, FUSION_E_INPUT, "input: a row has 5 numbers, the model takes 6");
  assert_int_equal(fake.opened, 1);
  scene_end(&s);
}

static void wait_for_connections(struct server *server, uint32_t count) {
  while (server_get_totals(server).connections != count) usleep(2000);
}

/* A server's connection whose client is played by the test. */
static struct channel *play_client(struct session_scene *s) {
  struct channel *c;
  struct net_peer peer;
  const struct net_limits limits = {.connect_timeout_ms = 3000, .timeout_ms = 3000};
  assert_ok(channel_dial(&c, &s->ask_handles.address, NULL, &limits, &peer, NULL));
  return c;
}

/* Opens a session for `samples` samples of the fake engine. */
static struct channel *open_session_of(struct session_scene *s, uint8_t job, uint32_t samples) {
  const struct client_hello mine = {.engine = "fake", .job = {job}, .samples = samples};
  const uint64_t expected = samples;
  struct server_hello hello;
  uint8_t *manifest;
  size_t len;
  const struct start start = {.shard_samples = samples, .expected_samples = expected};
  struct ready granted;
  struct channel *c = play_client(s);
  assert_ok(client_hello_send(c, &mine));
  assert_ok(server_hello_recv(c, &hello));
  assert_ok(channel_recv_sized(c, MSG_MANIFEST, hello.manifest_len, &manifest, &len));
  mem_free(manifest);
  assert_ok(start_send(c, &start));
  assert_ok(ready_recv(c, &start, &granted));
  assert_int_equal(granted.shard_samples, samples);
  assert_ok(channel_send(c, MSG_TEST, &expected, sizeof expected));
  return c;
}

static struct channel *open_session(struct session_scene *s, uint32_t samples) {
  return open_session_of(s, 0, samples);
}

static void limits__a_full_server_says_so(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  scene_prepare(&s);
  s.serve.max_clients = 1;
  scene_start(&s);
  struct channel *idle = play_client(&s); /* silence takes no place */
  wait_for_connections(s.server, 1);
  expect_accept(&s, &v);
  channel_close(idle);
  wait_for_connections(s.server, 0);
  struct channel *other = open_session(&s, 5);
  expect_failure(&s, FUSION_E_BUSY, "the server is busy");
  channel_close(other);
  wait_for_connections(s.server, 0);
  expect_accept(&s, &v);
  wait_for_connections(s.server, 0);
  /* Workers that find no place leave the work to the others. */
  s.ask.workers = 4;
  fake.delay_ms = 30;
  expect_accept(&s, &v);
  scene_end(&s);
}

static bool stop_at_once(void *context, const fusion_progress *progress) {
  (void)context;
  return progress->samples != SAMPLES;
}

static void job__can_be_cancelled(void **state) {
  (void)state;
  struct session_scene s;
  scene_prepare(&s);
  fake.delay_ms = 300;
  s.ask.progress = stop_at_once;
  scene_start(&s);
  expect_failure(&s, FUSION_E_CLOSED, "cancelled");
  s.ask.progress = NULL;
  s.ask.max_seconds = 0.2;
  expect_failure(&s, FUSION_E_TIMEOUT, "time limit");
  scene_end(&s);
}

struct delayed_stop {
  struct server *server;
  int times;
};

static void *stop_soon(void *arg) {
  const struct delayed_stop *d = arg;
  while (!atomic_load(&fake.runs)) usleep(2000);
  for (int i = 0; i < d->times; i++) {
    usleep(50000);
    server_stop(d->server);
  }
  return NULL;
}

static void stop__lets_running_jobs_finish_but_not_for_ever(void **state) {
  (void)state;
  for (int times = 1; times <= 2; times++) {
    struct session_scene s;
    fusion_verdict v = {0};
    pthread_t thread;
    scene_prepare(&s);
    fake.delay_ms = 200;
    scene_start(&s);
    struct delayed_stop d = {.server = s.server, .times = times};
    pthread_create(&thread, NULL, stop_soon, &d);
    if (times == 1)
      expect_accept(&s, &v);
    else
      expect_failure(&s, FUSION_E_NETWORK, "cannot connect");
    pthread_join(thread, NULL);
    scene_end(&s);
  }
}

static void server__strange_clients_are_refused(void **state) {
  (void)state;
  struct session_scene s;
  struct server_hello hello;
  uint8_t bytes[64] = {'F', 'U', 'S', 'I', 'O', 'N', '\r', '\n', 9, 0, 0, 0, 'C', 9};
  scene_prepare(&s);
  s.serve.handshake_timeout_ms = 200;
  scene_start(&s);
  struct channel *c = play_client(&s); /* another version */
  assert_ok(channel_send(c, MSG_HELLO, bytes, sizeof bytes));
  assert_int_equal(server_hello_recv(c, &hello), FUSION_E_REFUSED);
  channel_close(c);
  c = play_client(&s); /* garbage */
  assert_ok(channel_send(c, MSG_HELLO, bytes + 5, 20));
  assert_int_equal(server_hello_recv(c, &hello), FUSION_E_REFUSED);
  channel_close(c);
  c = play_client(&s); /* another engine */
  struct client_hello wrong = {.engine = "other", .samples = 1};
  assert_ok(client_hello_send(c, &wrong));
  assert_int_equal(server_hello_recv(c, &hello), FUSION_E_REFUSED);
  assert_non_null(strstr(channel_error(c)->text, "it offers fake"));
  channel_close(c);
  c = play_client(&s); /* silent */
  assert_int_equal(server_hello_recv(c, &hello), FUSION_E_CLOSED);
  channel_close(c);
  scene_end(&s);
  expect_log(&s, "version 9");
  expect_log(&s, "silent for 0.2 seconds");
}

static void server__shards_beyond_what_was_granted_are_refused(void **state) {
  (void)state;
  struct session_scene s;
  uint32_t unread;
  scene_prepare(&s);
  scene_start(&s);
  struct channel *c = open_session(&s, 5);
  assert_ok(shard_send(c, 6));
  assert_int_equal(channel_recv(c, MSG_TEST, &unread, 4), FUSION_E_REFUSED);
  channel_close(c);
  scene_end(&s);
  expect_log(&s, "a shard of 6 samples where 5 were granted");
}

/* Connections that leave without a sample: of a job that is done, and of a job that nobody ran, before START and behind
 * it. Only the last is a job, and failed. */
static void server__late_connections_are_no_failed_jobs(void **state) {
  (void)state;
  struct session_scene s;
  struct server_hello hello;
  const uint64_t inputs[5 * IN] = {0};
  uint8_t *answers;
  size_t len;
  scene_prepare(&s);
  scene_start(&s);
  struct channel *c = open_session(&s, 5);
  assert_ok(shard_send(c, 5));
  assert_ok(channel_send(c, MSG_TEST, inputs, sizeof inputs));
  assert_ok(channel_recv_sized(c, MSG_OUTPUT, sizeof inputs, &answers, &len));
  mem_free(answers);
  assert_ok(shard_send(c, 0));
  assert_ok(channel_flush(c));
  channel_close(c);
  wait_for_connections(s.server, 0);
  for (uint8_t job = 0; job < 2; job++) {
    const struct client_hello late = {.engine = "fake", .job = {job}, .samples = 5};
    c = play_client(&s);
    assert_ok(client_hello_send(c, &late));
    assert_ok(server_hello_recv(c, &hello));
    channel_close(c);
  }
  c = open_session_of(&s, 1, 5);
  channel_close(c);
  wait_for_connections(s.server, 0);
  scene_end(&s);
  expect_log(&s, ": done; 5 of 5 samples, 1 connection,");
  expect_log(&s, "failed (");
  assert_null(strstr(strstr(s.log, "failed (") + 1, "failed ("));
}

/* A client whose server is played by the test: what it does with hostile manifests. */
struct played_server {
  struct listener *listener;
  const uint8_t *manifest;
  size_t len;
  uint32_t announced;
  bool wrong_hash;
};

static void *play_server(void *arg) {
  struct played_server *p = arg;
  const struct net_limits limits = {.connect_timeout_ms = 2000, .timeout_ms = 2000};
  struct server_hello hello = {.version = SESSION_VERSION, .engine = "fake", .manifest_len = p->announced};
  struct client_hello asked;
  struct channel *c;
  struct net_peer peer;
  struct start start;
  int fd;
  if (listener_wait(p->listener, &fd, -1, NULL) != FUSION_OK) abort();
  if (listener_handshake(p->listener, &c, fd, &limits, &peer, NULL) != FUSION_OK) abort();
  manifest_hash(hello.manifest_hash, p->manifest, p->len);
  hello.manifest_hash[0] ^= p->wrong_hash;
  if (client_hello_recv(c, &asked) != FUSION_OK) abort();
  if (server_hello_send(c, &hello) == FUSION_OK && channel_send(c, MSG_MANIFEST, p->manifest, p->len) == FUSION_OK &&
      channel_flush(c) == FUSION_OK && start_recv(c, &start) == FUSION_OK)
    p->len = SIZE_MAX; /* the client went on */
  channel_close(c);
  return NULL;
}

static void client__hostile_manifests_are_refused(void **state) {
  (void)state;
  struct session_scene s;
  struct writer good = {0};
  scene_prepare(&s);
  program_encode(&good, &s.model->program);
  const uint32_t len = (uint32_t)good.len;
  struct played_server cases[] = {
      {.manifest = good.data, .len = len, .announced = len, .wrong_hash = true},
      {.manifest = good.data, .len = len - 1, .announced = len},
      {.manifest = good.data, .len = len, .announced = len - 1},
      {.manifest = good.data, .len = len, .announced = UINT32_MAX},
      {.manifest = (const uint8_t *)"garbage", .len = 7, .announced = 7},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pthread_t thread;
    assert_ok(listener_open(&cases[i].listener, &s.ask_handles.address, NULL, NULL));
    struct net_address any = s.ask_handles.address;
    s.ask_handles.address.port = listener_port(cases[i].listener);
    pthread_create(&thread, NULL, play_server, &cases[i]);
    expect_failure(&s, i == 3 ? FUSION_E_LIMIT : FUSION_E_PEER, "");
    pthread_join(thread, NULL);
    assert_true(cases[i].len != SIZE_MAX);
    listener_close(cases[i].listener);
    s.ask_handles.address = any;
  }
  writer_free(&good);
  model_free(s.model);
}

static void server__a_model_that_is_not_prepared_is_refused(void **state) {
  (void)state;
  struct session_scene s;
  fusion_error err = {.status = FUSION_OK};
  scene_prepare(&s);
  assert_ok(engine_list_parse(&s.serve_handles.engines, "cheetah", NULL));
  assert_int_equal(server_open(&s.server, &s.serve, &s.serve_handles, &err), FUSION_E_MODEL);
  assert_string_equal(err.text,
                      "this model was not prepared for the cheetah engine; compile it again (--engine cheetah)");
  model_free(s.model);
}

static int make_certs(void **state) {
  (void)state;
  certs_make(&certs);
  return 0;
}

static int remove_certs(void **state) {
  (void)state;
  certs_free(&certs);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(job__tls_and_several_workers),
      cmocka_unit_test(job__the_real_engine),
      cmocka_unit_test(job__plaintext_counts_every_byte),
      cmocka_unit_test(job__an_altered_answer_is_rejected_and_looks_the_same_on_the_wire),
      cmocka_unit_test(job__a_bad_model_is_rejected),
      cmocka_unit_test(job__lost_connections_run_again),
      cmocka_unit_test(job__a_shard_is_not_tried_for_ever),
      cmocka_unit_test(job__an_error_of_the_protocol_is_final),
      cmocka_unit_test(job__the_server_does_not_say_which_check_failed),
      cmocka_unit_test(job__a_hanging_server_times_out),
      cmocka_unit_test(job__can_be_cancelled),
      cmocka_unit_test(limits__of_the_server_are_told),
      cmocka_unit_test(limits__server_memory_makes_shards_smaller),
      cmocka_unit_test(limits__of_the_client_hold),
      cmocka_unit_test(limits__a_full_server_says_so),
      cmocka_unit_test(stop__lets_running_jobs_finish_but_not_for_ever),
      cmocka_unit_test(server__strange_clients_are_refused),
      cmocka_unit_test(server__shards_beyond_what_was_granted_are_refused),
      cmocka_unit_test(server__late_connections_are_no_failed_jobs),
      cmocka_unit_test(client__hostile_manifests_are_refused),
      cmocka_unit_test(server__a_model_that_is_not_prepared_is_refused),
  };
  return cmocka_run_group_tests(tests, make_certs, remove_certs);
}
