/* What the server tells of its speeds, and the seconds that the client predicts from them and its own. */
#include <math.h>

#include "base/cpu_tier.h"
#include "base/cursor.h"
#include "session/messages.h"
#include "session/session_scene.h"
#include "support/support.h"

static struct engine_speeds times_usual(double times) {
  struct engine_speeds speeds = engine_speeds_usual;
  for (size_t i = 0; i < SPEED_COUNT; i++) speeds.seconds[i] *= times;
  return speeds;
}

/* A job with these speeds; NULL: unknown. */
static fusion_verdict predict(const struct engine_speeds *server, const struct engine_speeds *client) {
  struct session_scene s;
  fusion_verdict v = {0};
  scene_prepare(&s);
  s.serve_handles.speeds = server;
  s.ask_handles.speeds = client;
  scene_start(&s);
  expect_accept(&s, &v);
  scene_end(&s);
  return v;
}

static void expect_near(double value, double expected) {
  if (fabs(value - expected) > 1e-9 * expected) fail_msg("%g where %g was due", value, expected);
}

static void job__speeds_of_both_parties_enter_the_prediction(void **state) {
  (void)state;
  const struct engine_speeds usual = engine_speeds_usual, slow = times_usual(100), fast = times_usual(0.01);
  const fusion_verdict none = predict(&slow, NULL), alone = predict(NULL, &usual), both = predict(&slow, &fast);
  assert_true(none.predicted_seconds == 0 && none.predicted_server == 0 && none.predicted_client == 0);
  assert_true(alone.predicted_server > 0 && alone.predicted_client > 0);
  assert_true(alone.predicted_seconds >= fmax(alone.predicted_server, alone.predicted_client));
  /* The server is on this machine, and has its cores. */
  assert_true(alone.predicted_seconds * cpu_cores_of_all() >= alone.predicted_server + alone.predicted_client);
  expect_near(both.predicted_server, 100 * alone.predicted_server);
  expect_near(both.predicted_client, 0.01 * alone.predicted_client);
  assert_true(both.predicted_seconds >= both.predicted_server);
}

/* What a played server says of its speeds, behind the fields before them. */
struct told {
  struct listener *listener;
  const uint8_t *manifest;
  size_t manifest_len;
  size_t count, sent; /* named; sent */
  const double *seconds;
  bool went_on; /* the client sent START */
};

static void *play_server(void *arg) {
  struct told *t = arg;
  const struct net_limits limits = {.connect_timeout_ms = 2000, .timeout_ms = 2000};
  uint8_t hash[SESSION_HASH_LEN], no_key[RECEIPT_KEY_LEN] = {0};
  struct client_hello asked;
  struct writer w = {0};
  struct channel *c;
  struct net_peer peer;
  struct start start;
  int fd;
  if (listener_wait(t->listener, &fd, -1, NULL) != FUSION_OK) abort();
  if (listener_handshake(t->listener, &c, fd, &limits, &peer, NULL) != FUSION_OK) abort();
  if (client_hello_recv(c, &asked) != FUSION_OK) abort();
  manifest_hash(hash, t->manifest, t->manifest_len);
  write_bytes(&w, "FUSION\r\n", 8);
  write_u32(&w, SESSION_VERSION);
  write_u8(&w, 'S');
  write_string(&w, "fake");
  write_bytes(&w, hash, sizeof hash);
  write_u32(&w, (uint32_t)t->manifest_len);
  write_u8(&w, 0);
  write_bytes(&w, no_key, sizeof no_key);
  write_u8(&w, (uint8_t)t->count);
  for (size_t i = 0; i < t->sent; i++) write_f64(&w, t->seconds[i]);
  t->went_on = !w.failed && channel_send(c, MSG_HELLO, w.data, w.len) == FUSION_OK &&
               channel_send(c, MSG_MANIFEST, t->manifest, t->manifest_len) == FUSION_OK &&
               channel_flush(c) == FUSION_OK && start_recv(c, &start) == FUSION_OK;
  channel_close(c);
  writer_free(&w);
  return NULL;
}

/* Whether the client goes on with that server. */
static bool client_takes(size_t count, size_t sent, const double *seconds) {
  struct session_scene s;
  struct writer manifest = {0};
  struct told t = {.count = count, .sent = sent, .seconds = seconds};
  pthread_t thread;
  scene_prepare(&s);
  program_encode(&manifest, &s.model->program);
  t.manifest = manifest.data;
  t.manifest_len = manifest.len;
  assert_ok(listener_open(&t.listener, &s.ask_handles.address, NULL, NULL));
  s.ask_handles.address.port = listener_port(t.listener);
  assert_int_equal(pthread_create(&thread, NULL, play_server, &t), 0);
  struct job_output out;
  fusion_verdict v = {0};
  fusion_error err = {.status = FUSION_OK};
  s.ask.tries = 1;
  const fusion_status status = scene_ask(&s, &out, &v, &err);
  assert_int_not_equal(status, FUSION_OK);
  pthread_join(thread, NULL);
  if (!t.went_on) assert_string_equal(err.text, "the peer sent a greeting that cannot be read");
  listener_close(t.listener);
  writer_free(&manifest);
  model_free(s.model);
  return t.went_on;
}

static void client__refuses_speeds_of_no_machine(void **state) {
  (void)state;
  static const double bad[] = {0, -1, NAN, INFINITY, -INFINITY, 1e9, 1e-300};
  double seconds[SESSION_SPEEDS_MAX + 1] = {0};
  memcpy(seconds, engine_speeds_usual.seconds, sizeof engine_speeds_usual.seconds);
  assert_true(client_takes(SPEED_COUNT, SPEED_COUNT, seconds));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    seconds[i % SPEED_COUNT] = bad[i];
    assert_false(client_takes(SPEED_COUNT, SPEED_COUNT, seconds));
    seconds[i % SPEED_COUNT] = engine_speeds_usual.seconds[i % SPEED_COUNT];
  }
  assert_false(client_takes(0, 0, seconds));
  assert_false(client_takes(SPEED_COUNT, SPEED_COUNT - 1, seconds));
  assert_false(client_takes(SPEED_COUNT, SPEED_COUNT + 1, seconds));
  assert_false(client_takes(SESSION_SPEEDS_MAX + 1, SESSION_SPEEDS_MAX + 1, seconds));
}

static void client__takes_more_and_fewer_speeds_than_it_knows(void **state) {
  (void)state;
  double seconds[SESSION_SPEEDS_MAX] = {0};
  memcpy(seconds, engine_speeds_usual.seconds, sizeof engine_speeds_usual.seconds);
  assert_true(client_takes(1, 1, seconds));
  assert_true(client_takes(SESSION_SPEEDS_MAX, SESSION_SPEEDS_MAX, seconds));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(job__speeds_of_both_parties_enter_the_prediction),
      cmocka_unit_test(client__refuses_speeds_of_no_machine),
      cmocka_unit_test(client__takes_more_and_fewer_speeds_than_it_knows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
