#include "ot/softspoken.h"

#include <sodium.h>

#include "ot/cot_softspoken.h"
#include "ot/ot_messages.h"
#include "ot/pprf.h"
#include "ot/softspoken_internal.h"
#include "ot/tamper.h"
#include "rand/aes_kernels.h"
#include "support/support.h"

/* One session of both directions: every count is taken once with the server as sender, once with the client. */
struct party {
  struct channel *channel;
  enum role role;
  unsigned field_bits;
  const size_t *counts;
  size_t count_count;
  block *keys, *macs; /* all of them, one take after the other */
  block delta;
  uint64_t session;
  const struct softspoken_kept *use;
  struct softspoken_kept *keep;
  struct channel_stats opened, ended;
  fusion_status status;
};

static fusion_status take_all(struct party *p, struct softspoken_sender *s, struct softspoken_receiver *r) {
  fusion_status status = FUSION_OK;
  size_t at = 0;
  for (size_t i = 0; i < p->count_count; i++) {
    const size_t n = p->counts[i];
    if (p->role == ROLE_SERVER) TRY(softspoken_send(s, p->keys + at, n));
    TRY(softspoken_receive(r, p->macs + at, n));
    if (p->role == ROLE_CLIENT) TRY(softspoken_send(s, p->keys + at, n));
    at += n;
  }
  TRY(channel_flush(p->channel));
cleanup:
  return status;
}

static void *run_party(void *arg) {
  struct party *p = arg;
  fusion_status status = FUSION_OK;
  struct prg *prg = NULL;
  struct softspoken_sender *s = NULL;
  struct softspoken_receiver *r = NULL;
  TRY(prg_new_random(&prg));
  const struct softspoken_setup setup = {.channel = p->channel,
                                         .prg = prg,
                                         .role = p->role,
                                         .session = p->session,
                                         .field_bits = p->field_bits,
                                         .use = p->use,
                                         .keep = p->keep};
  TRY(softspoken_open(&s, &r, &setup));
  p->opened = channel_get_stats(p->channel);
  p->delta = softspoken_delta(s);
  TRY(take_all(p, s, r));
cleanup:
  p->ended = channel_get_stats(p->channel);
  p->status = status;
  softspoken_sender_free(s);
  softspoken_receiver_free(r);
  prg_free(prg);
  channel_close(p->channel);
  return NULL;
}

static size_t sum(const size_t *counts, size_t n) {
  size_t total = 0;
  for (size_t i = 0; i < n; i++) total += counts[i];
  return total;
}

/* `session`: what each brings along, by role. */
static void run_session(struct party parties[2], unsigned k, const size_t *counts, size_t n, struct tamper tamper,
                        const struct party *session) {
  for (enum role role = ROLE_SERVER; role <= ROLE_CLIENT; role++) {
    parties[role] = session[role];
    parties[role].role = role;
    parties[role].field_bits = k;
    parties[role].counts = counts;
    parties[role].count_count = n;
    parties[role].keys = mem_alloc(sum(counts, n) + 1, sizeof(block));
    parties[role].macs = mem_alloc(sum(counts, n) + 1, sizeof(block));
    assert_non_null(parties[role].keys);
    assert_non_null(parties[role].macs);
  }
  assert_ok(tamper_pair(&parties[ROLE_SERVER].channel, &parties[ROLE_CLIENT].channel, tamper));
  test_run_both(run_party, &parties[ROLE_SERVER], run_party, &parties[ROLE_CLIENT]);
}

static void run(struct party parties[2], unsigned k, const size_t *counts, size_t n, struct tamper tamper) {
  const struct party session[2] = {{.session = 5}, {.session = 5}};
  run_session(parties, k, counts, n, tamper, session);
}

static void release(struct party parties[2]) {
  for (int i = 0; i < 2; i++) {
    mem_free(parties[i].keys);
    mem_free(parties[i].macs);
  }
}

/* How many of the correlations do not hold; *ones: how many choice bits are 1. */
static size_t broken(const block *keys, const block *macs, block delta, size_t count, size_t *ones) {
  size_t bad = 0;
  *ones = 0;
  for (size_t i = 0; i < count; i++) {
    const block expected = block_xor(keys[i], block_and_mask(delta, block_lsb_mask(macs[i])));
    *ones += macs[i].lo & 1;
    bad += expected.lo != macs[i].lo || expected.hi != macs[i].hi || (keys[i].lo & 1) != 0;
  }
  return bad;
}

static void assert_correlated(const struct party *sender, const struct party *receiver) {
  const size_t count = sum(sender->counts, sender->count_count);
  size_t ones;
  assert_true(sender->delta.lo & 1);
  assert_int_equal(broken(sender->keys, receiver->macs, sender->delta, count, &ones), 0);
  if (count > 4096) assert_in_range(ones, count / 2 - 8 * count / 100, count / 2 + 8 * count / 100);
}

static void softspoken__correlations_hold_both_ways(void **state) {
  (void)state;
  static const size_t counts[] = {1, 127, 128, 129, 1000, SOFTSPOKEN_CHUNK, SOFTSPOKEN_CHUNK + 77, 0, 3};
  static const unsigned ks[] = {1, 2, 4, 8};
  for (size_t i = 0; i < 4; i++) {
    struct party p[2];
    run(p, ks[i], counts, sizeof counts / sizeof *counts, (struct tamper){.position = UINT64_MAX});
    assert_ok(p[ROLE_SERVER].status);
    assert_ok(p[ROLE_CLIENT].status);
    assert_correlated(&p[ROLE_SERVER], &p[ROLE_CLIENT]);
    assert_correlated(&p[ROLE_CLIENT], &p[ROLE_SERVER]);
    assert_true(p[ROLE_SERVER].delta.hi != p[ROLE_CLIENT].delta.hi);
    release(p);
  }
}

static void softspoken__tiers_agree_with_each_other(void **state) {
  (void)state;
  static const size_t counts[] = {1000, SOFTSPOKEN_CHUNK};
  const enum cpu_tier best = cpu_tier_best();
  for (enum cpu_tier tier = CPU_TIER_C; tier <= best; tier++) {
    struct party p[2];
    assert_ok(cpu_tier_force(tier));
    run(p, 4, counts, 2, (struct tamper){.position = UINT64_MAX});
    assert_ok(cpu_tier_force(best));
    assert_ok(p[ROLE_SERVER].status);
    assert_correlated(&p[ROLE_SERVER], &p[ROLE_CLIENT]);
    assert_correlated(&p[ROLE_CLIENT], &p[ROLE_SERVER]);
    release(p);
  }
}

static void softspoken__cost_is_as_declared(void **state) {
  (void)state;
  static const size_t counts[] = {300, 2 * SOFTSPOKEN_CHUNK + 1};
  static const unsigned ks[] = {2, 4};
  for (size_t i = 0; i < 2; i++) {
    struct party p[2];
    struct cost cost = {0};
    run(p, ks[i], counts, 2, (struct tamper){.position = UINT64_MAX});
    const struct party *server = &p[ROLE_SERVER], *client = &p[ROLE_CLIENT];
    softspoken_open_cost(&cost, ks[i]);
    assert_int_equal(server->opened.bytes_sent, cost.bytes_to_client);
    assert_int_equal(client->opened.bytes_sent, cost.bytes_to_server);
    assert_int_equal(server->opened.messages_sent, cost.messages_to_client);
    assert_int_equal(server->opened.depth, cost.depth_server);
    assert_int_equal(client->opened.depth, cost.depth_client);
    assert_int_equal(cost.depth_server, 2);
    assert_int_equal(cost.depth_client, 1);
    for (size_t j = 0; j < 2; j++) {
      softspoken_extend_cost(&cost, ks[i], ROLE_SERVER, counts[j]);
      if (!j) softspoken_begin_cost(&cost, ks[i], ROLE_CLIENT);
      softspoken_extend_cost(&cost, ks[i], ROLE_CLIENT, counts[j]);
    }
    assert_int_equal(server->ended.bytes_sent, cost.bytes_to_client);
    assert_int_equal(server->ended.bytes_received, cost.bytes_to_server);
    assert_int_equal(client->ended.messages_sent, cost.messages_to_server);
    assert_int_equal(server->ended.messages_sent, cost.messages_to_client);
    assert_int_equal(server->ended.depth, cost.depth_server);
    assert_int_equal(client->ended.depth, cost.depth_client);
    release(p);
  }
}

/* Every message, either party's, at its header, beginning, middle and end: somebody notices, always. */
static void softspoken__an_altered_byte_never_passes(void **state) {
  (void)state;
  enum { POINTS = 4, TREES = 31 * (4 * 32 + 32) + 3 * 32 + 32 + 32 }; /* pieces of points; bytes of all trees, k = 4 */
  static const size_t counts[] = {200};
  struct party p[2];
  const size_t extension = softspoken_message_len(4, softspoken_blocks(counts[0]));
  const size_t chain = softspoken_message_len(4, softspoken_blocks(2 * SOFTSPOKEN_OTS));
  const size_t lens[2][6] = {[ROLE_SERVER] = {32 * 64, 32 * 64, 32 * 64, 31 * 64, TREES, extension},
                             [ROLE_CLIENT] = {127 * 32, TREES, chain, extension}};
  for (enum role who = ROLE_SERVER; who <= ROLE_CLIENT; who++) {
    uint64_t start = 0;
    for (size_t m = 0; m < 6 && lens[who][m]; m++) {
      const size_t len = lens[who][m];
      const uint64_t body = start + CHANNEL_HEADER_LEN;
      const uint64_t at[] = {start + 4, body + 3, body + 40, body + len / 2, body + len - 40, body + len - 1};
      for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        run(p, 4, counts, 1, (struct tamper){.who = who, .position = at[i], .flip = 0x04});
        const fusion_status server = p[ROLE_SERVER].status, client = p[ROLE_CLIENT].status;
        const fusion_status victim = who == ROLE_SERVER ? client : server;
        if (victim != FUSION_E_PEER && victim != FUSION_E_CRYPTO) {
          /* An altered receiver's point that is another element shows at the party that sent it. */
          assert_true(who == ROLE_SERVER && m < POINTS);
          assert_int_equal(server, FUSION_E_CRYPTO);
        }
        release(p);
      }
      start = body + len;
    }
    run(p, 4, counts, 1, (struct tamper){.position = UINT64_MAX});
    assert_ok(p[who].status);
    assert_int_equal(p[who].ended.bytes_sent, start);
    release(p);
  }
}

static void softspoken__a_peer_that_closes_is_reported(void **state) {
  (void)state;
  static const size_t counts[] = {200};
  static const uint64_t cuts[] = {0, 7, 3000, 8500, 12000};
  for (enum role who = ROLE_SERVER; who <= ROLE_CLIENT; who++)
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
      struct party p[2];
      run(p, 4, counts, 1, (struct tamper){.who = who, .position = cuts[i], .flip = 0});
      assert_int_equal(p[ROLE_SERVER].status, FUSION_E_CLOSED);
      assert_int_equal(p[ROLE_CLIENT].status, FUSION_E_CLOSED);
      const size_t left = who == ROLE_SERVER ? ROLE_CLIENT : ROLE_SERVER;
      for (size_t j = 0; j < counts[0]; j++) assert_true(p[left].keys[j].lo == 0 && p[left].keys[j].hi == 0);
      release(p);
    }
}

/* ---- kept OTs ---- */

static bool same(block a, block b) {
  return a.lo == b.lo && a.hi == b.hi;
}

/* Whether the halves are what they should be; the other's key of each OT is another one. */
static void assert_kept(const struct softspoken_kept kept[2], enum role chooser) {
  const struct softspoken_kept *chosen = &kept[chooser], *offered = &kept[role_peer(chooser)];
  size_t ones = 0;
  assert_int_equal(chosen->chooser, chooser);
  assert_int_equal(offered->chooser, chooser);
  for (size_t i = 0; i < SOFTSPOKEN_OTS; i++) {
    assert_in_range(chosen->choices[i], 0, 1);
    assert_true(same(chosen->keys[i], offered->keys[2 * i + chosen->choices[i]]));
    assert_false(same(chosen->keys[i], offered->keys[2 * i + 1 - chosen->choices[i]]));
    ones += chosen->choices[i];
  }
  assert_in_range(ones, 20, 107); /* 127 fair bits: outside with probability below 2^-45 */
}

/* Each session keeps for the next one; the roles change. Bytes, messages and delays are the declared ones. */
static void kept__every_session_opens_the_next_without_base_ots(void **state) {
  (void)state;
  static const size_t counts[] = {300};
  static struct softspoken_kept kept[4][2];
  block deltas[4][2];
  for (size_t i = 0; i < 4; i++) {
    struct party p[2], session[2];
    struct cost cost = {0};
    const enum role first = i % 2 ? ROLE_CLIENT : ROLE_SERVER; /* whose direction is set up first */
    for (int role = 0; role < 2; role++)
      session[role] = (struct party){.session = 5 + i, .use = i ? &kept[i - 1][role] : NULL, .keep = &kept[i][role]};
    run_session(p, 4, counts, 1, (struct tamper){.position = UINT64_MAX}, session);
    assert_ok(p[ROLE_SERVER].status);
    assert_ok(p[ROLE_CLIENT].status);
    assert_correlated(&p[ROLE_SERVER], &p[ROLE_CLIENT]);
    assert_correlated(&p[ROLE_CLIENT], &p[ROLE_SERVER]);
    assert_kept(kept[i], role_peer(first));
    if (i)
      softspoken_resume_cost(&cost, 4, first);
    else
      softspoken_open_cost(&cost, 4);
    assert_int_equal(p[ROLE_SERVER].opened.bytes_sent, cost.bytes_to_client);
    assert_int_equal(p[ROLE_CLIENT].opened.bytes_sent, cost.bytes_to_server);
    assert_int_equal(p[ROLE_SERVER].opened.messages_sent, cost.messages_to_client);
    assert_int_equal(p[ROLE_SERVER].opened.depth, cost.depth_server);
    assert_int_equal(p[ROLE_CLIENT].opened.depth, cost.depth_client);
    for (int role = 0; role < 2; role++) {
      deltas[i][role] = p[role].delta;
      for (size_t j = 0; j < i; j++) assert_false(same(deltas[i][role], deltas[j][role]));
    }
    release(p);
  }
}

/* A backup that was put back, with a peer that plays along: Delta is the old one, nothing else is. */
static void kept__used_twice_gives_other_correlations(void **state) {
  (void)state;
  static const size_t counts[] = {300};
  static struct softspoken_kept kept[2];
  struct party p[2], again[2];
  const struct party keeping[2] = {{.session = 1, .keep = &kept[0]}, {.session = 1, .keep = &kept[1]}};
  const struct party using[2] = {{.session = 2, .use = &kept[0]}, {.session = 2, .use = &kept[1]}};
  const struct party replaying[2] = {{.session = 3, .use = &kept[0]}, {.session = 3, .use = &kept[1]}};
  run_session(p, 4, counts, 1, (struct tamper){.position = UINT64_MAX}, keeping);
  release(p);
  run_session(p, 4, counts, 1, (struct tamper){.position = UINT64_MAX}, using);
  run_session(again, 4, counts, 1, (struct tamper){.position = UINT64_MAX}, replaying);
  for (int role = 0; role < 2; role++) {
    assert_ok(p[role].status);
    assert_ok(again[role].status);
    for (size_t i = 0; i < counts[0]; i++) {
      assert_false(same(p[role].keys[i], again[role].keys[i]));
      assert_false(same(p[role].macs[i], again[role].macs[i]));
    }
  }
  assert_true(same(p[ROLE_CLIENT].delta, again[ROLE_CLIENT].delta)); /* the client chose */
  assert_false(same(p[ROLE_SERVER].delta, again[ROLE_SERVER].delta));
  release(p);
  release(again);
}

/* Parties whose halves are of different set-ups: the chooser refuses the trees. */
static void kept__halves_that_do_not_fit_are_refused(void **state) {
  (void)state;
  static const size_t counts[] = {300};
  static struct softspoken_kept kept[2][2];
  struct party p[2];
  for (size_t i = 0; i < 2; i++) {
    const struct party keeping[2] = {{.session = i, .keep = &kept[i][0]}, {.session = i, .keep = &kept[i][1]}};
    run_session(p, 4, counts, 1, (struct tamper){.position = UINT64_MAX}, keeping);
    release(p);
  }
  const struct party mixed[2] = {{.session = 7, .use = &kept[0][0]}, {.session = 7, .use = &kept[1][1]}};
  run_session(p, 4, counts, 1, (struct tamper){.position = UINT64_MAX}, mixed);
  assert_int_equal(p[ROLE_CLIENT].status, FUSION_E_CRYPTO);
  for (size_t i = 0; i < counts[0]; i++) assert_true(p[ROLE_CLIENT].keys[i].lo == 0 && p[ROLE_CLIENT].keys[i].hi == 0);
  release(p);
}

/* ---- a cheating receiver ---- */

/* The server sends correlations, the client receives them; both ends in one thread once they are open. */
struct one_way {
  struct channel *server, *client;
  struct softspoken_sender *sender;
  struct softspoken_receiver *receiver;
  fusion_status server_status, client_status;
};

static fusion_status open_end(struct channel *channel, enum role role, struct softspoken_sender **s,
                              struct softspoken_receiver **r) {
  struct prg *prg = NULL;
  fusion_status status = prg_new_random(&prg);
  if (status != FUSION_OK) return status;
  const struct softspoken_setup setup = {
      .channel = channel, .prg = prg, .role = role, .session = 9, .field_bits = SOFTSPOKEN_FIELD_BITS};
  status = softspoken_open(s, r, &setup);
  prg_free(prg);
  return status;
}

static void *open_server(void *arg) {
  struct one_way *w = arg;
  w->server_status = open_end(w->server, ROLE_SERVER, &w->sender, NULL);
  return NULL;
}

static void *open_client(void *arg) {
  struct one_way *w = arg;
  w->client_status = open_end(w->client, ROLE_CLIENT, NULL, &w->receiver);
  return NULL;
}

static void one_way_open(struct one_way *w) {
  *w = (struct one_way){0};
  assert_ok(channel_pipe(&w->server, &w->client));
  test_run_both(open_server, w, open_client, w);
  assert_ok(w->server_status);
  assert_ok(w->client_status);
}

static void one_way_close(struct one_way *w) {
  softspoken_sender_free(w->sender);
  softspoken_receiver_free(w->receiver);
  channel_close(w->server);
  channel_close(w->client);
}

enum { FORGED_TREE = 3 };

/* Another choice bit in one tree than in the others, with the challenge recomputed and the answer that is right if the
 * guess of Delta at that tree is: the best that a cheating receiver can do. */
static fusion_status forge(struct softspoken_receiver *r, uint32_t guess) {
  struct softspoken_core *c = &r->core;
  const size_t blocks = softspoken_blocks(128);
  block hashes[128];
  softspoken_receiver_expand(r, blocks);
  c->message[(FORGED_TREE - 1) * blocks * sizeof(block)] ^= 1;
  softspoken_challenge(c, blocks);
  softspoken_hash_planes(c, hashes, blocks);
  for (unsigned b = 0; b < c->field_bits; b++) {
    block *hash = &hashes[FORGED_TREE * c->field_bits + b];
    *hash = block_xor(*hash, block_and_mask(c->chi[0], (uint64_t)0 - (guess >> b & 1)));
  }
  softspoken_answer(c, hashes, blocks);
  const fusion_status status =
      channel_send(c->channel, MSG_SOFTSPOKEN, c->message, softspoken_message_len(c->field_bits, blocks));
  return status == FUSION_OK ? channel_flush(c->channel) : status;
}

static void cheat__an_inconsistent_choice_passes_only_with_delta_guessed(void **state) {
  (void)state;
  for (uint32_t error = 0; error < 1u << SOFTSPOKEN_FIELD_BITS; error += 3) {
    struct one_way w;
    block keys[128];
    one_way_open(&w);
    const uint32_t right = softspoken_point(softspoken_delta(w.sender), SOFTSPOKEN_FIELD_BITS, FORGED_TREE);
    assert_ok(forge(w.receiver, right ^ error));
    const fusion_status status = softspoken_send(w.sender, keys, 128);
    assert_int_equal(status, error ? FUSION_E_CRYPTO : FUSION_OK);
    if (error) {
      for (size_t i = 0; i < 128; i++) assert_true(keys[i].lo == 0 && keys[i].hi == 0);
      assert_int_equal(softspoken_send(w.sender, keys, 128), FUSION_E_CRYPTO); /* the channel is poisoned */
    }
    one_way_close(&w);
  }
}

/* The same correction bits without the matching answer, even in the part that only masks the check. */
static void cheat__an_altered_mask_or_answer_is_seen(void **state) {
  (void)state;
  const size_t blocks = softspoken_blocks(128), corrections = softspoken_corrections_len(SOFTSPOKEN_FIELD_BITS, blocks);
  const size_t places[] = {blocks * sizeof(block) - 1, corrections, corrections + sizeof(block)};
  for (size_t i = 0; i < 3; i++) {
    struct one_way w;
    block keys[128], hashes[128];
    one_way_open(&w);
    struct softspoken_core *c = &w.receiver->core;
    softspoken_receiver_expand(w.receiver, blocks);
    if (places[i] < corrections) c->message[places[i]] ^= 0x80;
    softspoken_challenge(c, blocks);
    softspoken_hash_planes(c, hashes, blocks);
    softspoken_answer(c, hashes, blocks);
    if (places[i] >= corrections) c->message[places[i]] ^= 0x80;
    assert_ok(channel_send(w.client, MSG_SOFTSPOKEN, c->message, softspoken_message_len(c->field_bits, blocks)));
    assert_ok(channel_flush(w.client));
    /* A correction in tree 1 passes unseen where Delta is zero there: then it has changed nothing. */
    const uint32_t point = softspoken_point(softspoken_delta(w.sender), SOFTSPOKEN_FIELD_BITS, 1);
    const bool harmless = i == 0 && point == 0;
    assert_int_equal(softspoken_send(w.sender, keys, 128), harmless ? FUSION_OK : FUSION_E_CRYPTO);
    one_way_close(&w);
  }
}

/* ---- trees ---- */

/* For every point: all leaves but that one, and a wrong level sum is seen exactly by the points that use it. */
static void pprf__a_wrong_sum_is_seen_by_all_who_use_it(void **state) {
  (void)state;
  enum { LEVELS = 3 };
  const struct pprf_id id = {.session = 3, .maker = ROLE_SERVER, .tree = 2};
  uint64_t seed = test_seed();
  block pads[2 * LEVELS], leaves[PPRF_LEAVES_MAX], seen[PPRF_LEAVES_MAX];
  const block root = block_make(test_random(&seed), test_random(&seed));
  uint8_t message[2 * sizeof(block) * LEVELS + PPRF_PIN_LEN], made[PPRF_PIN_LEN], found[PPRF_PIN_LEN];
  crypto_generichash_state pins;
  for (size_t i = 0; i < 2 * LEVELS; i++) pads[i] = block_make(test_random(&seed), test_random(&seed));
  assert_int_equal(pprf_message_len(LEVELS), sizeof message);
  pprf_pins_start(&pins, 3, ROLE_SERVER);
  pprf_make(id, LEVELS, root, pads, message, leaves, &pins);
  pprf_pins_finish(&pins, made);
  /* wrong < 2 * LEVELS: that sum is altered; then the sum of pins; then nothing. */
  for (size_t wrong = 0; wrong <= 2 * LEVELS + 1; wrong++)
    for (uint32_t point = 0; point < 1u << LEVELS; point++) {
      block chosen[LEVELS];
      bool used = wrong == 2 * LEVELS;
      for (unsigned i = 0; i < LEVELS; i++) {
        const size_t side = 1 ^ ((point >> (LEVELS - 1 - i)) & 1);
        chosen[i] = pads[2 * i + side];
        used = used || wrong == 2 * i + side;
      }
      if (wrong <= 2 * LEVELS) message[wrong * sizeof(block)] ^= 1;
      pprf_pins_start(&pins, 3, ROLE_SERVER);
      pprf_puncture(id, LEVELS, point, chosen, message, seen, &pins);
      pprf_pins_finish(&pins, found);
      if (wrong <= 2 * LEVELS) message[wrong * sizeof(block)] ^= 1;
      assert_int_equal(memcmp(found, made, sizeof made) != 0, used);
      assert_true(seen[0].lo == 0 && seen[0].hi == 0);
      for (uint32_t y = 1; y < 1u << LEVELS && !used; y++) assert_memory_equal(&seen[y], &leaves[y ^ point], 16);
    }
}

/* ---- kernels ---- */

/* Against definitions: bit by bit, and by the slowest multiplication there is. */
static void kernels__c_is_what_the_header_says(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  static block planes[128 * 4], rows[4 * 128], hashes[128], chi[3];
  for (size_t i = 0; i < 128 * 4; i++) planes[i] = block_make(test_random(&seed), test_random(&seed));
  for (size_t i = 0; i < 3; i++) chi[i] = block_make(test_random(&seed), test_random(&seed));
  const struct softspoken_kernels *k = softspoken_kernels_of(CPU_TIER_C);
  k->transpose(rows, planes, 4, 4);
  k->hash(hashes, planes, 4, chi, 3);
  for (size_t p = 0; p < 128; p++) {
    block sum_of_products = block_make(0, 0);
    for (size_t j = 0; j < 4; j++)
      for (size_t i = 0; i < 128; i++) {
        const block from = planes[4 * p + j], to = rows[128 * j + i];
        const uint64_t bit = i < 64 ? from.lo >> i : from.hi >> (i - 64);
        assert_int_equal(bit & 1, (p < 64 ? to.lo >> p : to.hi >> (p - 64)) & 1);
        if (j == 3) continue;
        block shifted = chi[j]; /* chi * X^i */
        for (size_t t = 0; t < i; t++)
          shifted = block_make(shifted.hi << 1 | shifted.lo >> 63, shifted.lo << 1 ^ (shifted.hi >> 63 ? 0x87u : 0u));
        sum_of_products = block_xor(sum_of_products, block_and_mask(shifted, (uint64_t)0 - (bit & 1)));
      }
    assert_true(sum_of_products.lo == hashes[p].lo && sum_of_products.hi == hashes[p].hi);
  }
}

/* Streams are AES blocks of a counter; a tree sums those of its leaves. That the tiers agree is tested with all kernels
 * (tests/kernels). */
static void kernels__c_streams_and_trees_are_sums_of_aes_blocks(void **state) {
  (void)state;
  enum { DEPTH = 3, LEAVES = 1 << DEPTH, BLOCKS = 36 };
  uint64_t seed = test_seed(), nonce = test_random(&seed), counter = UINT32_MAX - 5;
  static block stream[LEAVES][BLOCKS], total[BLOCKS], planes[DEPTH * BLOCKS], scratch[LEAVES * SOFTSPOKEN_TILE];
  static struct leaf_key leaves[LEAVES];
  const struct softspoken_kernels *k = &softspoken_kernels_c;
  bool ok;
  void *cipher = k->cipher_new(&ok);
  assert_true(ok);
  for (size_t x = 0; x < LEAVES; x++) {
    const block leaf = block_make(test_random(&seed), test_random(&seed));
    struct aes_key key;
    uint8_t bytes[AES_KEY_LEN];
    block expected[BLOCKS];
    k->schedule(&leaves[x], leaf);
    k->stream(stream[x], &leaves[x], nonce, counter, BLOCKS, cipher);
    memcpy(bytes, &leaf, sizeof bytes);
    assert_ok(aes_kernels_c.open(&key, bytes));
    for (size_t j = 0; j < BLOCKS; j++) expected[j] = block_make(nonce, counter + j);
    aes_kernels_c.encrypt(&key, expected, expected, BLOCKS);
    aes_kernels_c.close(&key);
    assert_memory_equal(stream[x], expected, sizeof expected);
  }
  for (size_t punctured = 0; punctured < 2; punctured++) {
    const struct tree_job job = {leaves, DEPTH,  punctured, counter, nonce, total,
                                 planes, BLOCKS, BLOCKS,    scratch, cipher};
    k->tree(&job);
    for (size_t row = 0; row <= DEPTH; row++)
      for (size_t j = 0; j < BLOCKS; j++) {
        block sum = block_make(0, 0);
        for (size_t x = punctured; x < LEAVES; x++)
          if (row == DEPTH || (x >> row & 1)) sum = block_xor(sum, stream[x][j]);
        assert_memory_equal(row == DEPTH ? &total[j] : &planes[row * BLOCKS + j], &sum, sizeof sum);
      }
  }
  k->cipher_free(cipher);
}

/* Trees of every depth, with and without their first leaf, over whole tiles and what is left of one. */
static void kernels__trees_are_those_of_the_portable_tier(void **state) {
  (void)state;
  enum { DEPTH_MOST = 8, LEAVES = 1 << DEPTH_MOST, BLOCKS_MOST = 132, GUARD = 4 };
  static const size_t lengths[] = {4, 8, 28, 32, 36, 60, 64, 100, 132};
  static block total[2][BLOCKS_MOST + GUARD], planes[2][DEPTH_MOST * BLOCKS_MOST + GUARD];
  static block scratch[LEAVES * SOFTSPOKEN_TILE];
  static struct leaf_key leaves[2][LEAVES];
  const enum cpu_tier best = cpu_tier_best();
  uint64_t seed = test_seed();
  for (size_t x = 0; x < LEAVES; x++) leaves[0][x].round[0] = block_make(test_random(&seed), test_random(&seed));
  for (int tier = 1; tier <= (int)best; tier++) {
    assert_ok(cpu_tier_force((enum cpu_tier)tier));
    const struct softspoken_kernels *own = softspoken_kernels(), *const both[2] = {&softspoken_kernels_c, own};
    for (size_t x = 0; x < LEAVES; x++) own->schedule(&leaves[1][x], leaves[0][x].round[0]);
    for (unsigned depth = 0; depth <= DEPTH_MOST; depth++)
      for (size_t i = 0; i < 2 * sizeof lengths / sizeof *lengths; i++) {
        const size_t blocks = lengths[i / 2];
        for (int k = 0; k < 2; k++) {
          bool ok;
          void *cipher = both[k]->cipher_new(&ok);
          assert_true(ok);
          memset(total[k], 0x55, sizeof total[k]);
          memset(planes[k], 0x55, sizeof planes[k]);
          both[k]->tree(&(struct tree_job){leaves[k], depth, i % 2, UINT32_MAX - 5, 77, total[k], planes[k],
                                           BLOCKS_MOST, blocks, scratch, cipher});
          both[k]->cipher_free(cipher);
        }
        assert_memory_equal(total[0], total[1], sizeof total[0]);
        assert_memory_equal(planes[0], planes[1], sizeof planes[0]);
      }
  }
  assert_ok(cpu_tier_force(best));
}

/* ---- as a stream of correlations ---- */

enum { TAKES = 5, STREAM_MAX = 60000 };

/* Within a chunk, up to its end, over it, whole chunks, and nothing. The other direction takes half as many. */
static const size_t takes[TAKES] = {100, SOFTSPOKEN_CHUNK - 100, 0, 3, 2 * SOFTSPOKEN_CHUNK + 777};

struct source {
  const struct cot_softspoken_params *params;
  struct channel *channel;
  enum role role;
  bool deferred;
  block sent[STREAM_MAX], received[STREAM_MAX], delta;
  uint64_t first_sent[TAKES], first_received[TAKES], domains[2];
  fusion_status status;
};

static size_t take_of(enum role sender, size_t i) {
  return sender == ROLE_SERVER ? takes[i] : takes[i] / 2;
}

static fusion_status take_one(struct source *x, struct cot *c, enum role sender, size_t i, size_t *at) {
  const size_t count = take_of(sender, i), first = *at;
  *at += count;
  if (sender == x->role) return cot_take_sender(c, x->sent + first, count, &x->first_sent[i]);
  return cot_take_receiver(c, x->received + first, count, &x->first_received[i]);
}

static void *run_source(void *arg) {
  struct source *x = arg;
  fusion_status status = FUSION_OK;
  struct prg *prg = NULL;
  struct cot *c = NULL;
  size_t at[2] = {0, 0};
  TRY(prg_new_random(&prg));
  const struct cot_opening opening = {.role = x->role, .channel = x->channel, .prg = prg, .deferred = x->deferred};
  TRY(cot_open_softspoken(&c, &opening, x->params));
  TRY(cot_complete(c));
  TRY(cot_begin(c));
  x->delta = c->delta;
  x->domains[0] = cot_domain(c, ROLE_SERVER);
  x->domains[1] = cot_domain(c, ROLE_CLIENT);
  for (size_t i = 0; i < TAKES; i++)
    for (enum role sender = ROLE_SERVER; sender <= ROLE_CLIENT; sender++) TRY(take_one(x, c, sender, i, &at[sender]));
  TRY(channel_flush(x->channel));
cleanup:
  x->status = status;
  cot_close(c);
  prg_free(prg);
  return NULL;
}

static void check_stream(const struct cot_softspoken_params *params, bool deferred) {
  static struct source x[2];
  struct cot_softspoken_cost model;
  struct cost cost = {0};
  size_t ones, counts[2] = {0, 0};
  x[0] = (struct source){.role = ROLE_SERVER, .params = params, .deferred = deferred};
  x[1] = (struct source){.role = ROLE_CLIENT, .params = params, .deferred = deferred};
  assert_ok(channel_pipe(&x[0].channel, &x[1].channel));
  test_run_both(run_source, &x[0], run_source, &x[1]);
  assert_ok(x[0].status);
  assert_ok(x[1].status);
  cot_open_softspoken_cost(&cost, &model, params);
  for (size_t i = 0; i < TAKES; i++)
    for (enum role sender = ROLE_SERVER; sender <= ROLE_CLIENT; sender++) {
      const size_t count = take_of(sender, i);
      assert_int_equal(x[sender].first_sent[i], counts[sender]);
      assert_int_equal(x[role_peer(sender)].first_received[i], counts[sender]);
      cost_take_cots(&cost, sender, count);
      counts[sender] += count;
    }
  assert_int_equal(broken(x[0].sent, x[1].received, x[0].delta, counts[0], &ones), 0);
  assert_int_equal(broken(x[1].sent, x[0].received, x[1].delta, counts[1], &ones), 0);
  assert_memory_equal(x[0].domains, x[1].domains, sizeof x[0].domains);
  assert_true(x[0].domains[0] != x[0].domains[1]);
  const struct channel_stats server = channel_get_stats(x[0].channel), client = channel_get_stats(x[1].channel);
  assert_int_equal(server.bytes_sent, cost.bytes_to_client);
  assert_int_equal(client.bytes_sent, cost.bytes_to_server);
  assert_int_equal(server.messages_sent, cost.messages_to_client);
  assert_int_equal(client.messages_sent, cost.messages_to_server);
  assert_int_equal(server.depth, cost.depth_server);
  assert_int_equal(client.depth, cost.depth_client);
  channel_close(x[0].channel);
  channel_close(x[1].channel);
}

/* Without an expectation, with one that is too small in one direction and too large in the other, with the right one.
 */
static void stream__correlations_indices_and_costs_are_as_declared(void **state) {
  (void)state;
  struct cot_softspoken_params params = {0};
  check_stream(&params, false);
  params = (struct cot_softspoken_params){.field_bits = 8, .expected = {1000, 1 << 20}};
  check_stream(&params, false);
  params = (struct cot_softspoken_params){0};
  for (size_t i = 0; i < TAKES; i++)
    for (enum role sender = ROLE_SERVER; sender <= ROLE_CLIENT; sender++) params.expected[sender] += take_of(sender, i);
  check_stream(&params, false);
  check_stream(&params, true);
  params.begun_early = true;
  check_stream(&params, true);
  params.expected[ROLE_CLIENT] = 0;
  check_stream(&params, false);
}

static void softspoken__a_field_of_another_size_is_a_usage_error(void **state) {
  (void)state;
  struct softspoken_sender *s;
  const struct softspoken_setup setup = {.field_bits = 3};
  struct softspoken_kept kept;
  const struct softspoken_setup one_way_kept = {.field_bits = 4, .keep = &kept};
  assert_int_equal(softspoken_open(&s, NULL, &setup), FUSION_E_USAGE);
  assert_null(s);
  assert_int_equal(softspoken_open(&s, NULL, &one_way_kept), FUSION_E_USAGE);
  assert_null(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(kernels__c_is_what_the_header_says),
      cmocka_unit_test(kernels__c_streams_and_trees_are_sums_of_aes_blocks),
      cmocka_unit_test(kernels__trees_are_those_of_the_portable_tier),
      cmocka_unit_test(pprf__a_wrong_sum_is_seen_by_all_who_use_it),
      cmocka_unit_test(softspoken__correlations_hold_both_ways),
      cmocka_unit_test(softspoken__tiers_agree_with_each_other),
      cmocka_unit_test(softspoken__cost_is_as_declared),
      cmocka_unit_test(softspoken__an_altered_byte_never_passes),
      cmocka_unit_test(softspoken__a_peer_that_closes_is_reported),
      cmocka_unit_test(kept__every_session_opens_the_next_without_base_ots),
      cmocka_unit_test(kept__used_twice_gives_other_correlations),
      cmocka_unit_test(kept__halves_that_do_not_fit_are_refused),
      cmocka_unit_test(softspoken__a_field_of_another_size_is_a_usage_error),
      cmocka_unit_test(cheat__an_inconsistent_choice_passes_only_with_delta_guessed),
      cmocka_unit_test(cheat__an_altered_mask_or_answer_is_seen),
      cmocka_unit_test(stream__correlations_indices_and_costs_are_as_declared),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
