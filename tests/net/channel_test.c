#include "net/channel.h"
#include "net/cost.h"
#include "support/support.h"
#include "support/test_messages.h"

static void pipe__messages_arrive_and_are_counted(void **state) {
  (void)state;
  struct channel *server, *client;
  uint8_t got[5];
  assert_ok(channel_pipe(&server, &client));
  assert_ok(channel_send(client, MSG_TEST, "hello", 5));
  assert_ok(channel_flush(client));
  assert_ok(channel_recv(server, MSG_TEST, got, 5));
  assert_memory_equal(got, "hello", 5);
  assert_ok(channel_send(server, MSG_TEST, NULL, 0));
  assert_ok(channel_flush(server));
  assert_ok(channel_recv(client, MSG_TEST, NULL, 0));
  struct cost cost = {0};
  cost_to_server(&cost, 5);
  cost_to_client(&cost, 0);
  assert_int_equal(channel_get_stats(client).bytes_sent, cost.bytes_to_server);
  assert_int_equal(channel_get_stats(client).bytes_received, cost.bytes_to_client);
  assert_int_equal(channel_get_stats(server).depth, cost.depth_server);
  assert_int_equal(channel_get_stats(client).depth, cost.depth_client);
  channel_close(server);
  channel_close(client);
}

static void pipe__an_unexpected_length_or_type_poisons(void **state) {
  (void)state;
  struct channel *server, *client;
  uint8_t got[8];
  assert_ok(channel_pipe(&server, &client));
  assert_ok(channel_send(client, MSG_TEST, "hello", 5));
  assert_ok(channel_flush(client));
  assert_int_equal(channel_recv(server, MSG_TEST, got, 8), FUSION_E_PEER);
  assert_int_equal(channel_send(server, MSG_TEST, got, 1), FUSION_E_PEER);
  channel_close(server);
  assert_int_equal(channel_recv(client, MSG_TEST, got, 1), FUSION_E_CLOSED);
  channel_close(client);
}

static void pipe__sized_message_above_the_limit_is_refused(void **state) {
  (void)state;
  struct channel *server, *client;
  uint8_t *data;
  size_t len;
  assert_ok(channel_pipe(&server, &client));
  assert_ok(channel_send(client, MSG_TEST, "abcdef", 6));
  assert_ok(channel_send(client, MSG_TEST, "abcdefg", 7));
  assert_ok(channel_flush(client));
  assert_ok(channel_recv_sized(server, MSG_TEST, 6, &data, &len));
  assert_int_equal(len, 6);
  mem_free(data);
  assert_int_equal(channel_recv_sized(server, MSG_TEST, 6, &data, &len), FUSION_E_PEER);
  assert_null(data);
  channel_close(server);
  channel_close(client);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pipe__messages_arrive_and_are_counted),
      cmocka_unit_test(pipe__an_unexpected_length_or_type_poisons),
      cmocka_unit_test(pipe__sized_message_above_the_limit_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
