#include "ot/base_ot.h"

#include "ot/ot_messages.h"
#include "ot/tamper.h"
#include "support/support.h"

enum { COUNT = BASE_OT_PIECE + 9 /* two messages of the receiver */, SESSION = 77 };

struct party {
  struct channel *channel;
  enum role role; /* the server sends */
  struct base_ot_id id;
  uint8_t choices[COUNT];
  block pairs[2 * COUNT], chosen[COUNT];
  struct channel_stats stats;
  fusion_status status;
};

static void *run_sender(void *arg) {
  struct party *p = arg;
  struct prg *prg = NULL;
  struct base_ot_sender *s = NULL;
  p->status = prg_new_random(&prg);
  if (p->status == FUSION_OK) p->status = base_ot_sender_post(&s, p->id, p->channel, prg, COUNT);
  if (p->status == FUSION_OK) p->status = base_ot_sender_finish(s, SESSION, p->pairs);
  p->stats = channel_get_stats(p->channel);
  base_ot_sender_free(s);
  prg_free(prg);
  channel_close(p->channel);
  return NULL;
}

static void *run_receiver(void *arg) {
  struct party *p = arg;
  struct prg *prg = NULL;
  struct base_ot_receiver *r = NULL;
  p->status = prg_new_random(&prg);
  if (p->status == FUSION_OK) p->status = base_ot_receiver_post(&r, p->id, p->channel, prg, p->choices, COUNT);
  if (p->status == FUSION_OK) p->status = base_ot_receiver_finish(r, SESSION, p->chosen);
  p->stats = channel_get_stats(p->channel);
  base_ot_receiver_free(r);
  prg_free(prg);
  channel_close(p->channel);
  return NULL;
}

static void run(struct party *sender, struct party *receiver, struct tamper tamper) {
  const struct base_ot_id id = {.points = 76, .sender = ROLE_SERVER};
  *sender = (struct party){.id = id, .role = ROLE_SERVER};
  *receiver = (struct party){.id = id, .role = ROLE_CLIENT};
  uint64_t state = test_seed();
  for (size_t i = 0; i < COUNT; i++) receiver->choices[i] = test_random(&state) & 1;
  assert_ok(tamper_pair(&sender->channel, &receiver->channel, tamper));
  test_run_both(run_sender, sender, run_receiver, receiver);
}

static bool equal(block a, block b) {
  return a.lo == b.lo && a.hi == b.hi;
}

static void base_ot__the_receiver_gets_its_key_alone(void **state) {
  (void)state;
  struct party sender, receiver;
  run(&sender, &receiver, (struct tamper){.position = UINT64_MAX});
  assert_ok(sender.status);
  assert_ok(receiver.status);
  for (size_t i = 0; i < COUNT; i++) {
    const size_t c = receiver.choices[i];
    assert_true(equal(receiver.chosen[i], sender.pairs[2 * i + c]));
    assert_false(equal(receiver.chosen[i], sender.pairs[2 * i + 1 - c]));
    for (size_t j = 0; j < i; j++) assert_false(equal(receiver.chosen[i], receiver.chosen[j]));
  }
}

static void base_ot__cost_is_as_declared(void **state) {
  (void)state;
  struct party sender, receiver;
  run(&sender, &receiver, (struct tamper){.position = UINT64_MAX});
  struct cost cost = {0};
  const struct cost begun = cost;
  base_ot_receiver_cost(&cost, &begun, ROLE_CLIENT, COUNT);
  cost_in_flight(&cost, &begun, ROLE_SERVER, base_ot_sender_len(COUNT));
  assert_int_equal(sender.stats.bytes_sent, cost.bytes_to_client);
  assert_int_equal(receiver.stats.bytes_sent, cost.bytes_to_server);
  assert_int_equal(receiver.stats.messages_sent, cost.messages_to_server);
  assert_int_equal(sender.stats.depth, cost.depth_server);
  assert_int_equal(receiver.stats.depth, cost.depth_client);
}

/* A flipped byte makes a string that is no element (refused) or another element (then the keys of that OT part). */
static void base_ot__an_altered_point_is_refused_or_parts_the_keys(void **state) {
  (void)state;
  struct party sender, receiver;
  size_t refused = 0, parted = 0;
  for (size_t i = 0; i < 12; i++) {
    const enum role who = i % 2 ? ROLE_SERVER : ROLE_CLIENT;
    const size_t point_len = who == ROLE_SERVER ? 32 : 64, ot = i % BASE_OT_PIECE;
    const uint64_t position = CHANNEL_HEADER_LEN + ot * point_len + 5 * i % 32;
    run(&sender, &receiver, (struct tamper){.who = who, .position = position, .flip = 0x10});
    const struct party *victim = who == ROLE_SERVER ? &receiver : &sender;
    if (victim->status != FUSION_OK) {
      assert_int_equal(victim->status, FUSION_E_PEER);
      refused++;
      continue;
    }
    for (size_t j = 0; j < COUNT; j++)
      assert_int_equal(equal(receiver.chosen[j], sender.pairs[2 * j + receiver.choices[j]]), j != ot);
    parted++;
  }
  assert_int_equal(refused + parted, 12);
}

/* The identity has a known logarithm: as a sender's point it would make the key public. */
static void base_ot__the_identity_as_sender_point_is_refused(void **state) {
  (void)state;
  struct channel *server, *client;
  struct prg *prg;
  struct base_ot_receiver *r;
  const uint8_t zero[32] = {0}, choice = 1;
  block key;
  assert_ok(channel_pipe(&server, &client));
  assert_ok(prg_new_random(&prg));
  const struct base_ot_id id = {.points = 1, .sender = ROLE_SERVER};
  assert_ok(base_ot_receiver_post(&r, id, client, prg, &choice, 1));
  assert_ok(channel_send(server, MSG_BASE_OT, zero, sizeof zero));
  assert_ok(channel_flush(server));
  assert_int_equal(base_ot_receiver_finish(r, SESSION, &key), FUSION_E_PEER);
  assert_int_equal(channel_error(client)->status, FUSION_E_PEER);
  base_ot_receiver_free(r);
  prg_free(prg);
  channel_close(server);
  channel_close(client);
}

static void base_ot__another_session_number_or_direction_gives_other_keys(void **state) {
  (void)state;
  for (int what = 0; what < 3; what++) {
    struct channel *server, *client;
    struct prg *prg;
    struct base_ot_receiver *r;
    struct base_ot_sender *s;
    const uint8_t choice = 0;
    block key, pair[2];
    const struct base_ot_id id = {.points = 1, .sender = ROLE_SERVER};
    const struct base_ot_id wrong = {.points = what == 0 ? 2 : 1, .sender = what == 1 ? ROLE_CLIENT : ROLE_SERVER};
    assert_ok(channel_pipe(&server, &client));
    assert_ok(prg_new_random(&prg));
    assert_ok(base_ot_receiver_post(&r, id, client, prg, &choice, 1));
    assert_ok(base_ot_sender_post(&s, wrong, server, prg, 1));
    assert_ok(channel_flush(client));
    assert_ok(channel_flush(server));
    assert_ok(base_ot_receiver_finish(r, SESSION, &key));
    assert_ok(base_ot_sender_finish(s, what == 2 ? SESSION + 1 : SESSION, pair));
    assert_false(equal(key, pair[0]));
    assert_false(equal(key, pair[1]));
    base_ot_receiver_free(r);
    base_ot_sender_free(s);
    prg_free(prg);
    channel_close(server);
    channel_close(client);
  }
}

static void base_ot__a_count_out_of_range_is_a_usage_error(void **state) {
  (void)state;
  struct base_ot_sender *s;
  struct base_ot_receiver *r;
  const struct base_ot_id id = {0};
  assert_int_equal(base_ot_sender_post(&s, id, NULL, NULL, 0), FUSION_E_USAGE);
  assert_int_equal(base_ot_receiver_post(&r, id, NULL, NULL, NULL, BASE_OT_COUNT_MAX + 1), FUSION_E_USAGE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(base_ot__the_receiver_gets_its_key_alone),
      cmocka_unit_test(base_ot__cost_is_as_declared),
      cmocka_unit_test(base_ot__an_altered_point_is_refused_or_parts_the_keys),
      cmocka_unit_test(base_ot__the_identity_as_sender_point_is_refused),
      cmocka_unit_test(base_ot__another_session_number_or_direction_gives_other_keys),
      cmocka_unit_test(base_ot__a_count_out_of_range_is_a_usage_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
