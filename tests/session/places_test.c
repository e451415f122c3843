/* Who gets a place and an allowance, and what is told of it. */
#include <dirent.h>
#include <jansson.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine_messages.h"
#include "session/messages.h"
#include "session/session_scene.h"
#include "support/certs.h"
#include "support/support.h"
#include "support/test_messages.h"

static struct certs certs;

static void wait_for_connections(struct server *server, uint32_t count) {
  while (server_get_totals(server).connections != count) usleep(2000);
}

/* A client played by the test: START has been granted. */
static struct channel *open_session(const struct session_scene *s, uint8_t job, uint32_t samples) {
  const struct client_hello mine = {.engine = "fake", .job = {job}, .samples = samples};
  const struct net_limits limits = {.connect_timeout_ms = 3000, .timeout_ms = 3000};
  const uint64_t expected = samples;
  struct server_hello hello;
  struct net_peer peer;
  struct channel *c;
  uint8_t *manifest;
  size_t len;
  const struct start start = {.shard_samples = samples, .expected_samples = expected};
  struct ready granted;
  assert_ok(channel_dial(&c, &s->ask_handles.address, s->client_tls, &limits, &peer, NULL));
  assert_ok(client_hello_send(c, &mine));
  assert_ok(server_hello_recv(c, &hello));
  assert_ok(channel_recv_sized(c, MSG_MANIFEST, hello.manifest_len, &manifest, &len));
  mem_free(manifest);
  assert_ok(start_send(c, &start));
  assert_ok(ready_recv(c, &start, &granted));
  assert_ok(channel_send(c, MSG_TEST, &expected, sizeof expected));
  return c;
}

static void run_shard(struct channel *c, uint32_t samples) {
  uint64_t inputs[20 * IN] = {0};
  uint8_t *answers;
  size_t len;
  assert_in_range(samples, 1, 20);
  assert_ok(shard_send(c, samples));
  assert_ok(channel_send(c, MSG_TEST, inputs, samples * IN * sizeof *inputs));
  assert_ok(channel_recv_sized(c, MSG_OUTPUT, sizeof inputs, &answers, &len));
  mem_free(answers);
}

static void end_session(struct channel *c) {
  assert_ok(shard_send(c, 0));
  assert_ok(channel_flush(c));
  channel_close(c);
}

static int silent_socket(uint16_t port) {
  const struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
  return fd;
}

static void places__silent_connections_keep_nobody_out(void **state) {
  (void)state;
  enum { SILENT = 150 };
  struct session_scene s;
  fusion_verdict v = {0};
  int fds[SILENT];
  scene_prepare(&s);
  assert_ok(tls_server_new(&s.server_tls, certs.server_cert, certs.server_key, NULL, NULL));
  assert_ok(tls_client_new(&s.client_tls, certs.ca, NULL, NULL, NULL));
  s.serve_handles.tls = s.server_tls;
  s.ask_handles.tls = s.client_tls;
  s.serve.max_clients = 2;
  s.serve.handshake_timeout_ms = 60000;
  scene_start(&s);
  for (int i = 0; i < SILENT; i++) {
    fds[i] = silent_socket(s.ask_handles.address.port);
    if (i == SILENT / 2) usleep(400000); /* the first ones are old enough to make room */
  }
  const double start = clock_seconds();
  expect_accept(&s, &v);
  assert_true(clock_seconds() - start < 20);
  assert_true(server_get_totals(s.server).connections < SILENT);
  for (int i = 0; i < SILENT; i++) close(fds[i]);
  scene_end(&s);
  expect_log(&s, "done; 78 of 78 samples");
}

static void places__a_look_at_the_port_is_no_line(void **state) {
  (void)state;
  struct session_scene s;
  scene_prepare(&s);
  scene_start(&s);
  for (int i = 0; i < 3; i++) close(silent_socket(s.ask_handles.address.port));
  wait_for_connections(s.server, 0);
  assert_int_equal(server_get_totals(s.server).refused, 0);
  scene_end(&s);
  assert_null(strstr(s.log, "refused"));
}

static void places__no_client_has_them_all(void **state) {
  (void)state;
  struct session_scene s;
  struct channel *c[3];
  scene_prepare(&s);
  s.serve.max_clients = 4;
  scene_start(&s);
  for (uint8_t i = 0; i < 3; i++) c[i] = open_session(&s, i, 5);
  expect_failure(&s, FUSION_E_BUSY, "the server is busy with 3 connections of this client");
  for (int i = 0; i < 3; i++) end_session(c[i]);
  wait_for_connections(s.server, 0);
  fusion_verdict v = {0};
  expect_accept(&s, &v);
  scene_end(&s);
}

static void limits__of_a_day_outlive_the_server(void **state) {
  (void)state;
  char path[64] = "/tmp/fusion-state-XXXXXX", text[128] = "";
  const int fd = mkstemp(path);
  assert_true(fd >= 0);
  close(fd);
  unlink(path);
  struct session_scene s;
  fusion_verdict v = {0};
  for (int restart = 0; restart < 3; restart++) {
    scene_prepare(&s);
    s.serve.state = path;
    s.serve.max_samples_day = 2 * SAMPLES + 10;
    scene_start(&s);
    if (restart < 2)
      expect_accept(&s, &v);
    else
      expect_failure(&s, FUSION_E_BUSY, "today's allowance has 10 samples left");
    scene_end(&s);
  }
  FILE *f = fopen(path, "r+");
  assert_non_null(f);
  assert_in_range(fread(text, 1, sizeof text - 1, f), 10, 100);
  assert_non_null(strstr(text, "samples 156\n"));
  rewind(f); /* two days ago: a new day */
  fprintf(f, "fusion-serve 1\nbegan %lld\nsamples 156\n", (long long)time(NULL) - 2 * 86400);
  fclose(f);
  scene_prepare(&s);
  s.serve.state = path;
  s.serve.max_samples_day = SAMPLES;
  scene_start(&s);
  expect_accept(&s, &v);
  scene_end(&s);
  f = fopen(path, "w"); /* something else is no licence */
  fputs("samples 0", f);
  fclose(f);
  fusion_error err = {.status = FUSION_OK};
  scene_prepare(&s);
  s.serve.state = path;
  assert_int_equal(server_open(&s.server, &s.serve, &s.serve_handles, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "not a state file"));
  /* Nor is one that cannot be written: found at the start, not at the first job. */
  s.serve.state = "/nonexistent/state";
  assert_int_equal(server_open(&s.server, &s.serve, &s.serve_handles, &err), FUSION_E_IO);
  assert_non_null(strstr(err.text, "'/nonexistent/state': cannot be written"));
  model_free(s.model);
  unlink(path);
  strcat(path, ".lock");
  unlink(path);
}

static unsigned threads_of_niceness(long niceness) {
  unsigned count = 0;
  DIR *d = opendir("/proc/self/task");
  assert_non_null(d);
  for (const struct dirent *e; (e = readdir(d));) {
    const long thread = strtol(e->d_name, NULL, 10);
    if (thread > 0 && getpriority(PRIO_PROCESS, (id_t)thread) == niceness) count++;
  }
  closedir(d);
  return count;
}

/* Four connections of one client and one of another: the four no heavier than the one. */
static void places__clients_share_the_processor(void **state) {
  (void)state;
  struct session_scene s;
  struct channel *c[5];
  scene_prepare(&s);
  assert_ok(tls_server_new(&s.server_tls, certs.server_cert, certs.server_key, certs.ca, NULL));
  assert_ok(tls_client_new(&s.client_tls, certs.ca, certs.client_cert, certs.client_key, NULL));
  struct tls_context *other;
  const int base = getpriority(PRIO_PROCESS, 0), nicer = base < 12 ? base + 7 : 19; /* 1.25^7 = 4.8 */
  assert_ok(tls_client_new(&other, certs.ca, certs.cert[CERT_CLIENT_NAMELESS], certs.key[CERT_CLIENT_NAMELESS], NULL));
  s.serve_handles.tls = s.server_tls;
  scene_start(&s);
  for (uint8_t i = 0; i < 4; i++) c[i] = open_session(&s, i, 5);
  assert_int_equal(threads_of_niceness(nicer), 0); /* it is alone */
  struct tls_context *kept = s.client_tls;
  s.client_tls = other;
  c[4] = open_session(&s, 4, 5);
  s.client_tls = kept;
  assert_int_equal(threads_of_niceness(nicer), 4);
  for (int i = 0; i < 5; i++) end_session(c[i]);
  tls_free(other);
  scene_end(&s);
}

static void ready__is_false_while_full_and_draining(void **state) {
  (void)state;
  struct session_scene s;
  const char *reason;
  scene_prepare(&s);
  s.serve.max_clients = 1;
  scene_start(&s);
  assert_true(server_is_ready(s.server, &reason));
  struct channel *c = open_session(&s, 1, 5);
  assert_false(server_is_ready(s.server, &reason));
  assert_string_equal(reason, "full");
  server_stop(s.server);
  assert_false(server_is_ready(s.server, &reason));
  assert_string_equal(reason, "draining");
  usleep(1500000); /* until it has noticed */
  end_session(c);
  scene_end(&s);
  expect_log(&s, "draining: 1 connection left\n");
  expect_log(&s, "\ndrained\n");
}

static void allowance__is_claimed_at_start_and_given_back(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  scene_prepare(&s);
  s.serve.max_samples_day = SAMPLES + 10;
  scene_start(&s);
  struct channel *c = open_session(&s, 1, 20); /* two jobs that do not both fit */
  run_shard(c, 5);
  expect_failure(&s, FUSION_E_BUSY, "today's allowance has 68 samples left; the job needs 78");
  end_session(c); /* 15 samples were not used; 5 were */
  wait_for_connections(s.server, 0);
  usleep(3500000); /* the job may come back for a while */
  expect_accept(&s, &v);
  expect_failure(&s, FUSION_E_BUSY, "today's allowance has 5 samples left");
  scene_end(&s);
  expect_log(&s, ": done; 5 of 20 samples");
}

static void allowance__one_state_file_has_one_server(void **state) {
  (void)state;
  char path[96];
  struct session_scene s;
  struct server *second;
  fusion_error err = {.status = FUSION_OK};
  snprintf(path, sizeof path, "%s/state", certs.dir);
  scene_prepare(&s);
  s.serve.state = path;
  scene_start(&s);
  assert_int_equal(server_open(&second, &s.serve, &s.serve_handles, &err), FUSION_E_IO);
  assert_non_null(strstr(err.text, "another server counts in this file"));
  scene_end(&s);
  unlink(path);
  strcat(path, ".lock");
  unlink(path);
}

static void job__over_two_servers_is_done_at_both(void **state) {
  (void)state;
  struct session_scene s[2];
  for (int i = 0; i < 2; i++) {
    scene_prepare(&s[i]);
    scene_start(&s[i]);
  }
  struct channel *c[2];
  for (int i = 0; i < 2; i++) {
    c[i] = open_session(&s[i], 7, 10);
    run_shard(c[i], 5);
  }
  for (int i = 0; i < 2; i++) end_session(c[i]);
  for (int i = 0; i < 2; i++) {
    wait_for_connections(s[i].server, 0);
    scene_end(&s[i]);
    expect_log(&s[i], ": done; 5 of 10 samples, 1 connection,");
    assert_null(strstr(s[i].log, "failed"));
  }
}

/* ---- what is told ---- */

static void event__json_is_one_line_whatever_a_peer_sends(void **state) {
  (void)state;
  char line[EVENT_LINE_LEN];
  struct event e = event_of(EVENT_JOB_ENDED);
  e.reason = "a \"quoted\" \\ line\nand\x01 \xff more";
  e.client = "hospital-a";
  e.address = "192.0.2.1:5";
  e.status = FUSION_E_PEER;
  e.job = 3;
  e.declared = 78;
  e.samples = 5;
  e.connections = 2;
  event_json(line, &e);
  assert_null(strchr(line, '\n'));
  json_t *json = json_loads(line, 0, NULL);
  assert_non_null(json);
  assert_string_equal(json_string_value(json_object_get(json, "event")), "job_ended");
  assert_string_equal(json_string_value(json_object_get(json, "client")), "hospital-a");
  assert_string_equal(json_string_value(json_object_get(json, "reason")), "a \"quoted\" \\ line?and? ? more");
  assert_string_equal(json_string_value(json_object_get(json, "status")), "protocol");
  assert_int_equal(json_integer_value(json_object_get(json, "samples")), 5);
  json_decref(json);
}

static void event__a_named_client_is_told(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  scene_prepare(&s);
  assert_ok(tls_server_new(&s.server_tls, certs.server_cert, certs.server_key, certs.ca, NULL));
  assert_ok(tls_client_new(&s.client_tls, certs.ca, certs.client_cert, certs.client_key, NULL));
  s.serve_handles.tls = s.server_tls;
  s.ask_handles.tls = s.client_tls;
  scene_start(&s);
  expect_accept(&s, &v);
  scene_end(&s);
  expect_log(&s, " (a client): begun; 78 samples, id ");
  expect_log(&s, " (a client): done; 78 of 78 samples");
}

/* ---- what stands above ---- */

static fusion_status limit_jobs(void *context, const char *client, const char *model, struct client_limits *out,
                                fusion_error *why) {
  (void)client, (void)model;
  const struct client_limits *limits = context;
  if (!limits) return error_set(why, FUSION_E_REFUSED, "the client is not served");
  *out = *limits;
  return FUSION_OK;
}

static void limits__of_a_client_hold(void **state) {
  (void)state;
  struct session_scene s;
  struct client_limits limits = {.samples_day = SAMPLES + 20, .jobs = 1};
  const struct server_hooks hooks = {.context = &limits, .limits = limit_jobs};
  fusion_verdict v = {0};
  scene_prepare(&s);
  s.serve_handles.hooks = &hooks;
  scene_start(&s);
  struct channel *c = open_session(&s, 1, 5);
  expect_failure(&s, FUSION_E_BUSY, "this client has 1 jobs running");
  run_shard(c, 5);
  end_session(c);
  wait_for_connections(s.server, 0);
  expect_accept(&s, &v);
  wait_for_connections(s.server, 0);
  expect_failure(&s, FUSION_E_BUSY, "this client's allowance of today has 15 samples left");
  scene_end(&s);

  const struct server_hooks nobody = {.limits = limit_jobs};
  scene_prepare(&s);
  s.serve_handles.hooks = &nobody;
  scene_start(&s);
  expect_failure(&s, FUSION_E_REFUSED, "the client is not served");
  scene_end(&s);
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
      cmocka_unit_test(places__silent_connections_keep_nobody_out),
      cmocka_unit_test(places__a_look_at_the_port_is_no_line),
      cmocka_unit_test(places__no_client_has_them_all),
      cmocka_unit_test(limits__of_a_day_outlive_the_server),
      cmocka_unit_test(places__clients_share_the_processor),
      cmocka_unit_test(ready__is_false_while_full_and_draining),
      cmocka_unit_test(allowance__is_claimed_at_start_and_given_back),
      cmocka_unit_test(allowance__one_state_file_has_one_server),
      cmocka_unit_test(job__over_two_servers_is_done_at_both),
      cmocka_unit_test(event__json_is_one_line_whatever_a_peer_sends),
      cmocka_unit_test(event__a_named_client_is_told),
      cmocka_unit_test(limits__of_a_client_hold),
  };
  return cmocka_run_group_tests(tests, make_certs, remove_certs);
}
