/* compare against its definition on integers. */
#include "gates/gate_pair.h"

static fusion_status call(struct party *p, const struct gate_case *g, uint64_t *const *in, uint64_t *const *out) {
  return compare(p, g->params, in[0], out[0], g->count);
}

static uint64_t defined(const struct compare *q, uint64_t x) {
  return ring_signed(x + q->add, q->in_bits) >= 0;
}

/* Zero, one to each side, the ends of the ring, then random values. */
static void fill(const struct compare *q, uint64_t *x, size_t count, uint64_t *random) {
  const uint64_t top = UINT64_C(1) << (q->in_bits - 1), special[] = {0, 1, UINT64_MAX, top, top - 1, top + 1};
  for (size_t e = 0; e < count; e++) x[e] = e < 6 ? special[e] - q->add : test_random(random);
}

static void check(const struct compare *q, size_t count, enum gate_shares shares, uint64_t *random) {
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
  fill(q, x, count, random);
  compare_cost(&cost, q, count);
  gate_run(&g, &cost, random);
  for (size_t e = 0; e < count; e++) {
    if (y[e] == defined(q, x[e])) continue;
    fail_msg("%u to %u bits, garbled %d, fixed %d, count %zu: element %zu is wrong", q->in_bits, q->out_bits,
             q->garbled, q->shape, count, e);
  }
  mem_free(x);
  mem_free(y);
}

static void compare__every_ring(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (uint8_t bits = 2; bits <= 62; bits++)
    for (unsigned way = 0; way < 3; way++) {
      const struct compare q = {.in_bits = bits,
                                .out_bits = (uint8_t)(1 + test_random(&random) % 62),
                                .add = bits > 4 ? bits % 3 : 0,
                                .garbled = way == 2 ? GARBLED_NOW : GARBLED_NOT,
                                .shape = way == 1 ? CARRY_FIXED : CARRY_CHEAPEST};
      check(&q, 64 + bits, (enum gate_shares)(bits % 3), &random);
    }
}

static void compare__every_output_ring(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (uint8_t bits = 1; bits <= 62; bits++)
    for (unsigned way = 0; way < 2; way++) {
      const struct compare q = {.in_bits = 9, .out_bits = bits, .garbled = way ? GARBLED_NOW : GARBLED_NOT};
      check(&q, 1 + test_random(&random) % 130, SHARES_RANDOM, &random);
    }
}

/* All values of narrow rings under all shares of the server that the harness has. */
static void compare__every_value_of_narrow_rings(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (uint8_t bits = 2; bits <= 7; bits++) {
    const struct compare q = {.in_bits = bits, .out_bits = 5};
    for (unsigned shares = 0; shares < 3; shares++) check(&q, 1024, (enum gate_shares)shares, &random);
  }
}

static void compare__around_a_chunk(void **state) {
  (void)state;
  uint64_t random = test_seed();
  const struct compare q = {.in_bits = 2, .out_bits = 2, .shape = CARRY_FIXED};
  const size_t chunk = COMPARE_CHUNK / 4;
  for (size_t count = chunk - 1; count <= chunk + 1; count++) check(&q, count, SHARES_RANDOM, &random);
}

static void compare__nothing_to_do(void **state) {
  (void)state;
  const struct compare q = {.in_bits = 8, .out_bits = 4};
  struct party p = {.role = ROLE_SERVER};
  struct cost cost = {0};
  assert_ok(compare(&p, &q, NULL, NULL, 0));
  compare_cost(&cost, &q, 0);
  assert_int_equal(cost.bytes_to_client + cost.bytes_to_server, 0);
}

static void compare__parameters_out_of_range(void **state) {
  (void)state;
  const struct compare bad[] = {{.in_bits = 1, .out_bits = 4},
                                {.in_bits = 63, .out_bits = 4},
                                {.in_bits = 8, .out_bits = 0},
                                {.in_bits = 8, .out_bits = 63}};
  struct party p = {.role = ROLE_SERVER};
  uint64_t x = 0;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(compare(&p, &bad[i], &x, &x, 1), FUSION_E_INTERNAL);
}

/* A threshold of 16 bits to a ring of 5: what docs/protocols/compare.md says. */
static void compare__traffic(void **state) {
  (void)state;
  struct compare q = {.in_bits = 16, .out_bits = 5, .shape = CARRY_SHORTEST};
  struct cost cost = {0}, cheapest = {0};
  compare_cost(&cost, &q, COMPARE_CHUNK);
  assert_true(cost.bytes_to_server + cost.bytes_to_client <= 9 * COMPARE_CHUNK);
  q.shape = CARRY_CHEAPEST;
  compare_cost(&cheapest, &q, COMPARE_CHUNK);
  assert_true(cheapest.bytes_to_server + cheapest.bytes_to_client <= 11 * COMPARE_CHUNK);
  assert_true(6 * (cheapest.cots_server_sends + cheapest.cots_client_sends) <=
              5 * (cost.cots_server_sends + cost.cots_client_sends));
  assert_true(compare_memory(&q, ROLE_SERVER, COMPARE_CHUNK) <= 64 * COMPARE_CHUNK);
}

static void compare__peer_misbehaves(void **state) {
  (void)state;
  uint64_t random = test_seed(), x[9] = {0}, y[9];
  const struct compare q = {.in_bits = 12, .out_bits = 8};
  struct gate_case g = {.call = call,
                        .params = &q,
                        .count = 9,
                        .in_count = {9},
                        .out_count = {9},
                        .in_bits = {12},
                        .out_bits = {8},
                        .in = {x},
                        .out = {y}};
  struct cost cost = {0};
  compare_cost(&cost, &q, 9);
  for (unsigned who = 0; who < 2; who++) {
    const enum role role = who ? ROLE_CLIENT : ROLE_SERVER;
    assert_int_equal(gate_run_disturbed(&g, role, 0, true, &random), FUSION_E_CLOSED);
    for (uint64_t at = 0; at < cost.bytes_to_server; at += 3) {
      const fusion_status status = gate_run_disturbed(&g, role, at, false, &random);
      assert_true(status == FUSION_OK || status == FUSION_E_PEER || status == FUSION_E_CLOSED);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(compare__every_ring),
      cmocka_unit_test(compare__every_output_ring),
      cmocka_unit_test(compare__every_value_of_narrow_rings),
      cmocka_unit_test(compare__around_a_chunk),
      cmocka_unit_test(compare__nothing_to_do),
      cmocka_unit_test(compare__parameters_out_of_range),
      cmocka_unit_test(compare__traffic),
      cmocka_unit_test(compare__peer_misbehaves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
