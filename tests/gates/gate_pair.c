#include "gates/gate_pair.h"

#include "ot/tamper.h"
#include "support/dealer.h"

struct side {
  const struct gate_case *g;
  struct party party;
  struct garble garble;
  uint64_t *in[2], *out[2];
  bool leaves;
  fusion_status status;
  struct channel_stats stats;
  uint8_t sent[CHANNEL_HASH_LEN]; /* if its channel is recorded */
};

static void *side_run(void *arg) {
  struct side *s = arg;
  s->status = s->leaves ? FUSION_E_CLOSED : FUSION_OK;
  const struct cot_opening opening = {
      .role = s->party.role, .channel = s->party.channel, .heap = s->party.heap, .prg = s->party.prg};
  if (s->status == FUSION_OK && s->g->silent) s->status = cot_open_silent(&s->party.cot, &opening, s->g->silent);
  s->garble =
      (struct garble){.role = s->party.role, .channel = s->party.channel, .cot = s->party.cot, .heap = s->party.heap};
  s->party.garble = &s->garble;
  if (s->status == FUSION_OK) s->status = s->g->call(&s->party, s->g, s->in, s->out);
  if (s->status == FUSION_OK) s->status = channel_flush(s->party.channel);
  s->stats = channel_get_stats(s->party.channel);
  uint8_t received[CHANNEL_HASH_LEN];
  channel_recorded(s->party.channel, s->sent, received);
  channel_close(s->party.channel); /* a party that fails must not leave the other waiting */
  return NULL;
}

static void side_open(struct side *s, const struct gate_case *g, enum role role, struct channel *channel,
                      uint64_t seed) {
  *s = (struct side){.g = g, .party = {.role = role, .channel = channel, .heap = heap_new()}};
  assert_non_null(s->party.heap);
  if (!g->silent) assert_ok(dealer_open(&s->party.cot, role, channel, seed));
  assert_ok(prg_new_random(&s->party.prg));
  for (unsigned i = 0; i < 2; i++) {
    s->in[i] = mem_alloc(g->in_count[i], sizeof(uint64_t));
    s->out[i] = mem_alloc(g->out_count[i], sizeof(uint64_t));
    assert_non_null(s->in[i]);
    assert_non_null(s->out[i]);
  }
}

static void side_close(struct side *s) {
  for (unsigned i = 0; i < 2; i++) {
    mem_free(s->in[i]);
    mem_free(s->out[i]);
  }
  cot_close(s->party.cot);
  prg_free(s->party.prg);
  heap_free(s->party.heap);
}

/* Bits above the ring are random: gates must ignore them. */
static void split(const struct gate_case *g, struct side *server, struct side *client, uint64_t *random) {
  for (unsigned i = 0; i < 2; i++) {
    for (size_t e = 0; e < g->in_count[i]; e++) {
      const uint64_t a = g->shares == SHARES_RANDOM ? test_random(random) : g->shares == SHARES_ZERO ? 0 : UINT64_MAX;
      server->in[i][e] = a;
      client->in[i][e] = (g->in[i][e] - a) ^ (test_random(random) & ~low_mask(g->in_bits[i]));
    }
  }
}

static void check_cost(const struct side *server, const struct side *client, const struct cost *declared) {
  const struct channel_stats *s = &server->stats, *c = &client->stats;
  assert_int_equal(c->bytes_sent, declared->bytes_to_server);
  assert_int_equal(s->bytes_sent, declared->bytes_to_client);
  assert_int_equal(c->messages_sent, declared->messages_to_server);
  assert_int_equal(s->messages_sent, declared->messages_to_client);
  assert_int_equal(s->bytes_received, declared->bytes_to_server);
  assert_int_equal(c->bytes_received, declared->bytes_to_client);
  assert_int_equal(s->depth, declared->depth_server);
  assert_int_equal(c->depth, declared->depth_client);
  assert_int_equal(server->party.cot->sent, declared->cots_server_sends);
  assert_int_equal(client->party.cot->received, declared->cots_server_sends);
  assert_int_equal(client->party.cot->sent, declared->cots_client_sends);
  assert_int_equal(server->party.cot->received, declared->cots_client_sends);
}

void gate_run(const struct gate_case *g, const struct cost *declared, uint64_t *random) {
  struct channel *ends[2];
  struct side server, client;
  const uint64_t seed = test_random(random);
  assert_ok(channel_pipe(&ends[0], &ends[1]));
  side_open(&server, g, ROLE_SERVER, ends[0], seed);
  side_open(&client, g, ROLE_CLIENT, ends[1], seed);
  split(g, &server, &client, random);
  test_run_both(side_run, &server, side_run, &client);
  assert_ok(server.status);
  assert_ok(client.status);
  for (unsigned i = 0; i < 2; i++) {
    const uint64_t mask = low_mask(g->out_bits[i]);
    for (size_t e = 0; e < g->out_count[i]; e++) {
      assert_true(server.out[i][e] <= mask && client.out[i][e] <= mask);
      g->out[i][e] = (server.out[i][e] + client.out[i][e]) & mask;
    }
  }
  check_cost(&server, &client, declared);
  side_close(&server);
  side_close(&client);
}

fusion_status gate_run_disturbed(const struct gate_case *g, enum role who, uint64_t position, bool leaves,
                                 uint64_t *random) {
  struct channel *ends[2];
  struct side server, client;
  const uint64_t seed = test_random(random);
  const struct tamper tamper = {.who = who, .position = leaves ? UINT64_MAX : position, .flip = 1};
  assert_ok(tamper_pair(&ends[0], &ends[1], tamper));
  side_open(&server, g, ROLE_SERVER, ends[0], seed);
  side_open(&client, g, ROLE_CLIENT, ends[1], seed);
  server.leaves = leaves && who == ROLE_SERVER;
  client.leaves = leaves && who == ROLE_CLIENT;
  split(g, &server, &client, random);
  test_run_both(side_run, &server, side_run, &client);
  const fusion_status status = who == ROLE_SERVER ? client.status : server.status;
  side_close(&server);
  side_close(&client);
  return status;
}

static void draw_from(struct side *s, uint64_t number) {
  uint8_t seed[PRG_SEED_LEN] = {(uint8_t)s->party.role};
  memcpy(seed + 8, &number, sizeof number);
  prg_free(s->party.prg);
  s->party.prg = prg_new(seed);
  assert_non_null(s->party.prg);
}

uint64_t gate_sent_until_failure(const struct gate_case *g, enum role who, uint64_t position, uint64_t seed,
                                 uint8_t sent[CHANNEL_HASH_LEN]) {
  struct channel *ends[2];
  struct side sides[2];
  uint64_t random = seed;
  assert_ok(tamper_pair(&ends[0], &ends[1], (struct tamper){.who = who, .position = position, .flip = 0x10}));
  for (int i = 0; i < 2; i++) {
    side_open(&sides[i], g, (enum role)i, ends[i], seed);
    draw_from(&sides[i], seed);
    channel_record(ends[i], true);
  }
  split(g, &sides[0], &sides[1], &random);
  test_run_both(side_run, &sides[0], side_run, &sides[1]);
  const struct side *other = &sides[1 - who];
  assert_int_equal(other->status, FUSION_E_CRYPTO);
  memcpy(sent, other->sent, CHANNEL_HASH_LEN);
  const uint64_t len = other->stats.bytes_sent;
  for (int i = 0; i < 2; i++) side_close(&sides[i]);
  return len;
}
