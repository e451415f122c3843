/* relu_truncate against integer arithmetic. */
#include <stdio.h>

#include "base/cpu_tier.h"
#include "garble/circuit_gates.h"
#include "garble/half_gates.h"
#include "gates/carry.h"
#include "gates/gate_pair.h"
#include "ot/softspoken.h"
#include "silent/cot_silent_cost.h"

static fusion_status call(struct party *p, const struct gate_case *g, uint64_t *const *in, uint64_t *const *out) {
  return relu_truncate(p, g->params, in[0], out[0], g->count);
}

static uint64_t oracle(const struct relu_truncate *q, uint64_t x) {
  const int64_t value = ring_signed(x + q->add, q->in_bits);
  const int64_t kept = q->relu && value < 0 ? 0 : value;
  return (uint64_t)(kept >> q->shift) & low_mask(q->out_bits);
}

/* Random values, with the ends of the range and the neighbourhood of 0 mixed in. */
static void draw(uint64_t *x, size_t count, const struct relu_truncate *q, uint64_t *random) {
  const uint64_t special[] = {0,
                              1,
                              UINT64_MAX,
                              low_mask(q->in_bits - 1u),
                              low_mask(q->in_bits - 1u) + 1,
                              low_mask(q->shift),
                              low_mask(q->shift) + 1,
                              (uint64_t)0 - low_mask(q->shift)};
  for (size_t e = 0; e < count; e++) {
    const uint64_t r = test_random(random);
    x[e] = (r % 4 ? r >> 8 : special[r / 4 % 8] - q->add) & low_mask(q->in_bits);
  }
}

static bool right(const struct relu_truncate *q, uint64_t x, uint64_t y) {
  const uint64_t expected = oracle(q, x);
  if (!q->fast || !q->shift) return y == expected;
  const int64_t value = ring_signed(x + q->add, q->in_bits);
  const int64_t edge = (INT64_C(1) << (q->in_bits - 1)) - (INT64_C(1) << q->shift);
  if (value > edge || value < -edge) return true; /* outside of what fast promises */
  /* Near 0 a ReLU may round up to one unit from a slightly negative value. */
  const int64_t difference = ring_signed(y - expected, q->out_bits);
  return q->out_bits < 2 || (difference >= -1 && difference <= 1);
}

static void check(const struct relu_truncate *q, size_t count, enum gate_shares shares, uint64_t *random) {
  uint64_t *x = mem_alloc(count, sizeof *x), *y = mem_alloc(count, sizeof *y);
  struct gate_case g = {.call = call,
                        .params = q,
                        .count = count,
                        .in_count = {count},
                        .out_count = {count},
                        .in_bits = {q->in_bits},
                        .out_bits = {q->out_bits},
                        .in = {x},
                        .out = {y},
                        .shares = shares};
  struct cost cost = {0};
  draw(x, count, q, random);
  relu_truncate_cost(&cost, q, count);
  gate_run(&g, &cost, random);
  for (size_t e = 0; e < count; e++) {
    if (right(q, x[e], y[e])) continue;
    fail_msg("l %u f %u m %u add %llu relu %d fast %d garbled %d count %zu: element %zu, x %llx gives %llx, not %llx",
             q->in_bits, q->shift, q->out_bits, (unsigned long long)q->add, q->relu, q->fast, q->garbled, count, e,
             (unsigned long long)x[e], (unsigned long long)y[e], (unsigned long long)oracle(q, x[e]));
  }
  mem_free(x);
  mem_free(y);
}

static void relu_truncate__random_parameters(void **state) {
  (void)state;
  static const size_t counts[] = {1, 7, 64, 200};
  uint64_t random = test_seed();
  for (unsigned i = 0; i < 400; i++) {
    /* Every tier that this CPU has serves a part of the cases. */
    assert_ok(cpu_tier_force((enum cpu_tier)(i / 8 % (1u + (unsigned)cpu_tier_best()))));
    struct relu_truncate q = {.in_bits = (uint8_t)(3 + test_random(&random) % 60)};
    q.shift = (uint8_t)(test_random(&random) % (q.in_bits - 1u));
    q.out_bits = (uint8_t)(1 + test_random(&random) % 62);
    q.add = test_random(&random) % 3 ? q.shift ? UINT64_C(1) << (q.shift - 1) : 0 : test_random(&random);
    q.relu = test_random(&random) & 1;
    q.fast = test_random(&random) % 4 == 0;
    q.garbled = test_random(&random) % 3 ? GARBLED_NOT : GARBLED_NOW;
    q.planned_count = (size_t)1 << test_random(&random) % 24; /* trees from shallow to deep */
    static const enum carry_shape shapes[] = {CARRY_CHEAPEST, CARRY_CHEAPEST, CARRY_SHORTEST, CARRY_FIXED};
    q.shape = shapes[test_random(&random) % 4];
    check(&q, counts[i % 4], (enum gate_shares)(test_random(&random) % 3), &random);
  }
  assert_ok(cpu_tier_force(cpu_tier_best()));
}

static void relu_truncate__every_narrow_shape(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (uint8_t l = 2; l <= 11; l++) {
    for (uint8_t f = 0; f + 1 < l; f++) {
      for (uint8_t m = 1; m <= 13; m += 2) {
        for (unsigned relu = 0; relu < 2; relu++) {
          struct relu_truncate q = {
              .in_bits = l, .shift = f, .out_bits = m, .relu = relu, .planned_count = m % 4 == 1 ? 1 : 1 << 20};
          check(&q, 100, SHARES_RANDOM, &random);
          q.shape = CARRY_FIXED;
          check(&q, 64, SHARES_RANDOM, &random);
          q.shape = CARRY_CHEAPEST;
          q.garbled = GARBLED_NOW;
          check(&q, 100, SHARES_RANDOM, &random);
        }
      }
    }
  }
}

static void relu_truncate__around_a_chunk(void **state) {
  (void)state;
  uint64_t random = test_seed();
  const struct relu_truncate q = {.in_bits = 12, .shift = 4, .out_bits = 9, .add = 8, .relu = true};
  const struct relu_truncate t = {.in_bits = 12, .shift = 4, .out_bits = 9, .add = 8};
  check(&q, RELU_TRUNCATE_CHUNK - 1, SHARES_RANDOM, &random);
  check(&q, RELU_TRUNCATE_CHUNK, SHARES_RANDOM, &random);
  check(&q, RELU_TRUNCATE_CHUNK + 1, SHARES_RANDOM, &random);
  check(&t, RELU_TRUNCATE_CHUNK + 65, SHARES_RANDOM, &random);
}

/* CrypTFlow2's tree at 32 bits: the server sends every table; ceil(log2) levels; and what it costs beside the figure of
 * the original, 531 bytes a ReLU without truncation. */
static void relu_truncate__fixed_tree_is_cryptflow2s(void **state) {
  (void)state;
  const struct relu_truncate q = {.in_bits = 32, .out_bits = 32, .relu = true, .shape = CARRY_FIXED};
  const struct carry_tree tree = carry_tree_make(CARRY_FIXED, 0, 31, 1, 1);
  assert_int_equal(tree.digits, 8);
  assert_int_equal(tree.merges, 7);
  assert_int_equal(tree.levels, 3);
  for (unsigned d = 0; d < tree.digits; d++) {
    assert_int_equal(tree.digit[d].sender, ROLE_SERVER);
    assert_int_equal(tree.digit[d].width, d < 7 ? 4 : 3);
  }
  struct cost cost = {0};
  enum { COUNT = 4096 };
  relu_truncate_cost(&cost, &q, COUNT);
  const uint64_t correlations = cost.cots_client_sends + cost.cots_server_sends;
  const uint64_t bytes = cost.bytes_to_client + cost.bytes_to_server + correlations * 16 / SOFTSPOKEN_FIELD_BITS;
  assert_true(bytes < 531u * COUNT / 2);
}

/* Bytes of a gate with its correlations, at what silent OT takes for one (0.28 of `lan`, 0.085 of `wan`). */
static double bytes_in_all(const struct cost *cost, double cot) {
  return (double)(cost->bytes_to_server + cost->bytes_to_client) +
         cot * (double)(cost->cots_server_sends + cost->cots_client_sends);
}

/* A chunk in the deep trees: late digits spare 9 of 49 correlations without a byte more, single bits are
 * shorter where correlations are cheap; and both directions' correlations are used alike. */
static void relu_truncate__deep_trees_cost_what_their_page_says(void **state) {
  (void)state;
  struct relu_truncate q = {.in_bits = 26, .shift = 8, .out_bits = 18, .relu = true};
  const double count = RELU_TRUNCATE_CHUNK;
  struct cost late = {0}, single = {0};
  relu_truncate_cost(&late, &q, RELU_TRUNCATE_CHUNK);
  q.shape = CARRY_SHORTEST;
  relu_truncate_cost(&single, &q, RELU_TRUNCATE_CHUNK);
  const uint64_t cots[] = {late.cots_server_sends + late.cots_client_sends,
                           single.cots_server_sends + single.cots_client_sends};
  assert_true((double)cots[0] <= 40 * count && (double)cots[1] >= 49 * count);
  assert_true(bytes_in_all(&late, 0.28) <= 33.1 * count);
  assert_true(bytes_in_all(&late, 0.28) <= bytes_in_all(&single, 0.28));
  assert_true(bytes_in_all(&single, 0.085) <= 24 * count);
  assert_true(bytes_in_all(&single, 0.085) <= bytes_in_all(&late, 0.085));
  const double server = (double)late.cots_server_sends / count, client = (double)late.cots_client_sends / count;
  assert_true(server - client <= 4 && client - server <= 4);
}

static void relu_truncate__fixed_tree_around_its_chunk(void **state) {
  (void)state;
  uint64_t random = test_seed();
  const struct relu_truncate q = {
      .in_bits = 12, .shift = 4, .out_bits = 9, .add = 8, .relu = true, .shape = CARRY_FIXED};
  check(&q, RELU_TRUNCATE_CHUNK / 4 + 65, SHARES_RANDOM, &random);
}

/* A message of tables, and a batch of instances. */
static void relu_truncate__around_a_garbled_chunk(void **state) {
  (void)state;
  uint64_t random = test_seed();
  const struct relu_truncate q = {
      .in_bits = 20, .shift = 6, .out_bits = 14, .add = 32, .relu = true, .garbled = GARBLED_NOW};
  const struct circuit_relu params = {q.in_bits, q.shift, q.out_bits, q.relu};
  struct circuit c;
  circuit_make_relu(&c, &params);
  const size_t chunk = garbled_chunk(&c);
  circuit_free(&c);
  for (size_t count = chunk - 1; count <= chunk + 1; count++) check(&q, count, SHARES_RANDOM, &random);
  check(&q, 2 * chunk + GARBLE_BATCH + 3, SHARES_RANDOM, &random);
}

static void relu_truncate__silent_correlations(void **state) {
  (void)state;
  enum { COUNT = 3000 };
  static uint64_t x[COUNT], y[COUNT];
  uint64_t random = test_seed();
  const struct relu_truncate q = {.in_bits = 26, .shift = 8, .out_bits = 20, .add = 128, .relu = true};
  const struct silent_params silent = {
      .profile = SILENT_LAN, .expected_server_sends = 100000, .expected_client_sends = 100000};
  const struct gate_case g = {.call = call,
                              .params = &q,
                              .count = COUNT,
                              .in_count = {COUNT},
                              .out_count = {COUNT},
                              .in_bits = {q.in_bits},
                              .out_bits = {q.out_bits},
                              .in = {x},
                              .out = {y},
                              .silent = &silent};
  struct cot_cost model;
  struct cost cost = {0};
  draw(x, COUNT, &q, &random);
  cot_open_silent_cost(&cost, &model, &silent);
  relu_truncate_cost(&cost, &q, COUNT);
  gate_run(&g, &cost, &random);
  for (size_t e = 0; e < COUNT; e++) assert_int_equal(y[e], oracle(&q, x[e]));
}

/* The server's first choices leave before it has checked the client's corrections: what it sends until it fails is the
 * same whatever they are, in every tree that sends something there. */
static void relu_truncate__nothing_unchecked_leaves(void **state) {
  (void)state;
  enum { COUNT = 500 };
  uint64_t random = test_seed(), x[COUNT], y[COUNT];
  const struct silent_params silent = {
      .profile = SILENT_LAN, .expected_server_sends = 100000, .expected_client_sends = 100000};
  const struct {
    struct relu_truncate params;
    enum role cheats;
  } cases[] = {
      {{.in_bits = 26, .shift = 8, .out_bits = 20, .add = 128, .relu = true, .planned_count = 1 << 21}, ROLE_CLIENT},
      {{.in_bits = 26, .shift = 8, .out_bits = 26, .add = 128, .relu = true}, ROLE_CLIENT},
      {{.in_bits = 26, .shift = 8, .out_bits = 26, .add = 128, .relu = true}, ROLE_SERVER},
      {{.in_bits = 26, .shift = 8, .out_bits = 18, .add = 128, .relu = true, .planned_count = 14464}, ROLE_SERVER}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct relu_truncate *q = &cases[i].params;
    const enum role who = cases[i].cheats;
    const struct gate_case g = {.call = call,
                                .params = q,
                                .count = COUNT,
                                .in_count = {COUNT},
                                .out_count = {COUNT},
                                .in_bits = {q->in_bits},
                                .out_bits = {q->out_bits},
                                .in = {x},
                                .out = {y},
                                .silent = &silent};
    struct cot_cost model;
    struct cost cost = {0};
    uint8_t first[CHANNEL_HASH_LEN], sent[CHANNEL_HASH_LEN];
    draw(x, COUNT, q, &random);
    cot_open_silent_cost(&cost, &model, &silent);
    cost_postpone_check(&cost);
    cost_take_cots(&cost, ROLE_CLIENT, 1);
    /* In the first trees' corrections, which the gate's first correlations grow from. */
    const struct silent_schedule schedule = silent_schedule_start(&silent);
    const struct silent_set *set = &schedule.supply[who].set;
    const uint64_t frames = div_up(set->trees, SILENT_CHUNK_TREES);
    const uint64_t corrections = set->trees * set->depth * sizeof(block) + frames * CHANNEL_HEADER_LEN;
    const uint64_t bytes = who == ROLE_CLIENT ? cost.bytes_to_server : cost.bytes_to_client;
    const uint64_t behind = 2 * CHANNEL_HEADER_LEN + SILENT_CHALLENGE_LEN + SILENT_DIGEST_LEN;
    const uint64_t begin = bytes - behind - corrections * schedule.supply[who].next + CHANNEL_HEADER_LEN;
    const uint64_t checked = who == ROLE_CLIENT ? cost.bytes_to_client : cost.bytes_to_server;
    const uint64_t len = gate_sent_until_failure(&g, who, begin, random, first);
    assert_true(len > checked + CHANNEL_HEADER_LEN); /* choices as well */
    for (uint64_t at = 7; at < 500; at += 23) {
      assert_int_equal(gate_sent_until_failure(&g, who, begin + at, random, sent), len);
      assert_memory_equal(sent, first, sizeof sent);
    }
    test_random(&random);
  }
}

static void relu_truncate__bad_parameters(void **state) {
  (void)state;
  struct party p = {.role = ROLE_SERVER};
  uint64_t x = 0;
  const struct relu_truncate bad[] = {{.in_bits = 1, .out_bits = 1},
                                      {.in_bits = 63, .out_bits = 1},
                                      {.in_bits = 8, .shift = 7, .out_bits = 1},
                                      {.in_bits = 8, .out_bits = 0},
                                      {.in_bits = 8, .out_bits = 63}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(relu_truncate(&p, &bad[i], &x, &x, 1), FUSION_E_INTERNAL);
  }
}

static void relu_truncate__peer_misbehaves(void **state) {
  (void)state;
  uint64_t random = test_seed(), x[64], y[64];
  struct relu_truncate q = {.in_bits = 20, .shift = 6, .out_bits = 15, .add = 32, .relu = true};
  struct gate_case g = {.call = call,
                        .params = &q,
                        .count = 64,
                        .in_count = {64},
                        .out_count = {64},
                        .in_bits = {20},
                        .out_bits = {15},
                        .in = {x},
                        .out = {y}};
  draw(x, 64, &q, &random);
  for (unsigned i = 0; i < 4; i++) {
    const enum role role = i % 2 ? ROLE_CLIENT : ROLE_SERVER;
    struct cost cost = {0};
    q.garbled = i / 2 ? GARBLED_NOW : GARBLED_NOT;
    relu_truncate_cost(&cost, &q, 64);
    const uint64_t bytes = role == ROLE_CLIENT ? cost.bytes_to_server : cost.bytes_to_client;
    assert_int_equal(gate_run_disturbed(&g, role, 0, true, &random), FUSION_E_CLOSED);
    for (uint64_t at = 0; at < bytes; at += q.garbled ? 97 : 5) {
      const fusion_status status = gate_run_disturbed(&g, role, at, false, &random);
      assert_true(status == FUSION_OK || status == FUSION_E_PEER || status == FUSION_E_CLOSED);
    }
    /* The first header's length is checked at once. */
    assert_int_equal(gate_run_disturbed(&g, role, 0, false, &random), FUSION_E_PEER);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(relu_truncate__random_parameters),
      cmocka_unit_test(relu_truncate__every_narrow_shape),
      cmocka_unit_test(relu_truncate__around_a_chunk),
      cmocka_unit_test(relu_truncate__bad_parameters),
      cmocka_unit_test(relu_truncate__silent_correlations),
      cmocka_unit_test(relu_truncate__nothing_unchecked_leaves),
      cmocka_unit_test(relu_truncate__peer_misbehaves),
      cmocka_unit_test(relu_truncate__fixed_tree_is_cryptflow2s),
      cmocka_unit_test(relu_truncate__deep_trees_cost_what_their_page_says),
      cmocka_unit_test(relu_truncate__fixed_tree_around_its_chunk),
      cmocka_unit_test(relu_truncate__around_a_garbled_chunk),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
