/* lookup against its definition on integers. */
#include "gates/gate_pair.h"

static fusion_status call(struct party *p, const struct gate_case *g, uint64_t *const *in, uint64_t *const *out) {
  return lookup(p, g->params, in[0], out[0], g->count);
}

struct pieces {
  int64_t base[LOOKUP_PIECES_MAX], slope[LOOKUP_PIECES_MAX];
};

static struct pieces any_pieces(uint64_t *random) {
  struct pieces t;
  for (unsigned j = 0; j < LOOKUP_PIECES_MAX; j++) {
    t.base[j] = (int64_t)test_random(random) >> 2;
    t.slope[j] = (int64_t)test_random(random) >> 40;
  }
  return t;
}

static uint64_t defined(const struct lookup *q, uint64_t x) {
  const uint64_t h = x >> q->low_bits & low_mask(q->index_bits), l = x & low_mask(q->low_bits);
  if (!q->low_bits) return (uint64_t)q->base[h] & low_mask(q->out_bits);
  const uint64_t centred = l - (UINT64_C(1) << (q->low_bits - 1));
  return ((uint64_t)q->base[h] + (uint64_t)q->slope[h] * centred) & low_mask(q->out_bits);
}

enum style { STYLE_CHEAPEST, STYLE_FIXED, STYLE_GARBLED, STYLES };

static struct lookup lookup_of(enum style style, unsigned index_bits, unsigned low_bits, unsigned out_bits,
                               const struct pieces *pieces) {
  return (struct lookup){.index_bits = (uint8_t)index_bits,
                         .low_bits = (uint8_t)low_bits,
                         .out_bits = (uint8_t)out_bits,
                         .base = pieces->base,
                         .slope = pieces->slope,
                         .shape = style == STYLE_FIXED ? CARRY_FIXED : CARRY_CHEAPEST,
                         .garbled = style == STYLE_GARBLED ? GARBLED_NOW : GARBLED_NOT};
}

static void check(const struct lookup *q, size_t count, enum gate_shares shares, uint64_t *random) {
  const unsigned width = q->index_bits + q->low_bits;
  uint64_t *x = mem_alloc(count, sizeof *x), *y = mem_alloc(count, sizeof *y);
  struct gate_case g = {.call = call,
                        .params = q,
                        .count = count,
                        .in_count = {count},
                        .out_count = {count},
                        .in_bits = {width + 3}, /* bits above are ignored */
                        .out_bits = {q->out_bits},
                        .in = {x},
                        .out = {y},
                        .shares = shares};
  struct cost cost = {0};
  for (size_t e = 0; e < count; e++) x[e] = e < UINT64_C(1) << width ? e : test_random(random);
  lookup_cost(&cost, q, count);
  gate_run(&g, &cost, random);
  for (size_t e = 0; e < count; e++) {
    if (y[e] == defined(q, x[e])) continue;
    fail_msg("bits %u + %u to %u, count %zu: element %zu is wrong", q->index_bits, q->low_bits, q->out_bits, count, e);
  }
  mem_free(x);
  mem_free(y);
}

static void lookup__every_width(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (uint8_t index = 1; index <= LOOKUP_INDEX_BITS_MAX; index++) {
    for (uint8_t low = 0; index + low <= LOOKUP_BITS_MAX; low++) {
      if (low == 1) continue;
      const struct pieces t = any_pieces(&random);
      for (int style = 0; style < STYLES; style++) {
        const unsigned out = (unsigned)(1 + test_random(&random) % 62);
        const struct lookup q = lookup_of((enum style)style, index, low, out, &t);
        check(&q, (size_t)1 << (index + low), (enum gate_shares)(low % 3), &random);
        check(&q, 1 + test_random(&random) % 130, SHARES_RANDOM, &random);
      }
    }
  }
}

static void lookup__every_ring(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (uint8_t bits = 1; bits <= 62; bits++) {
    const struct pieces t = any_pieces(&random);
    for (int style = 0; style < STYLES; style++) {
      const struct lookup q = lookup_of((enum style)style, 4, bits % 2 ? 6 : 0, bits, &t);
      check(&q, 64 + bits, (enum gate_shares)(bits % 3), &random);
    }
  }
}

/* Pieces without slopes: the client sends no table. */
static void lookup__steps(void **state) {
  (void)state;
  uint64_t random = test_seed();
  struct pieces t = any_pieces(&random);
  struct cost sloped = {0}, level = {0};
  struct lookup q = lookup_of(STYLE_CHEAPEST, 5, 9, 12, &t);
  lookup_cost(&sloped, &q, 1000);
  memset(t.slope, 0, sizeof t.slope);
  lookup_cost(&level, &q, 1000);
  assert_true(level.bytes_to_server * 3 < sloped.bytes_to_server);
  for (int style = 0; style < STYLES; style++) {
    q = lookup_of((enum style)style, 5, 9, 12, &t);
    check(&q, 1 << 14, SHARES_RANDOM, &random);
    q = lookup_of((enum style)style, 3, 2, 30, &t);
    check(&q, 99, SHARES_RANDOM, &random);
  }
}

/* Of both ways: a garbled chunk of these widths is as long. */
static void lookup__around_a_chunk(void **state) {
  (void)state;
  uint64_t random = test_seed();
  const struct pieces t = any_pieces(&random);
  for (int style = 0; style < STYLES; style += STYLE_GARBLED) {
    const struct lookup q = lookup_of((enum style)style, 2, 3, 10, &t);
    for (size_t count = LOOKUP_CHUNK - 1; count <= LOOKUP_CHUNK + 1; count++) check(&q, count, SHARES_RANDOM, &random);
  }
}

static void lookup__parameters_out_of_range(void **state) {
  (void)state;
  const struct pieces t = {.base = {0}};
  static const uint8_t bad[][3] = {{0, 4, 10}, {6, 4, 10}, {5, 12, 10}, {4, 1, 10}, {4, 4, 0}, {4, 4, 63}};
  struct party p = {.role = ROLE_SERVER};
  uint64_t x = 0;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    for (int style = 0; style < STYLES; style++) {
      const struct lookup q = lookup_of((enum style)style, bad[i][0], bad[i][1], bad[i][2], &t);
      assert_int_equal(lookup(&p, &q, &x, &x, 1), FUSION_E_INTERNAL);
    }
  }
}

/* A function of 12 bits: 250 bytes in all is the target; garbled it takes some 507. */
static void lookup__traffic(void **state) {
  (void)state;
  static const size_t most[STYLES] = {170, 170, 508};
  const struct pieces t = {.slope = {1}};
  for (int style = 0; style < STYLES; style++) {
    const struct lookup q = lookup_of((enum style)style, 5, 7, 18, &t);
    struct cost cost = {0};
    lookup_cost(&cost, &q, LOOKUP_CHUNK);
    assert_true(cost.bytes_to_server + cost.bytes_to_client <= most[style] * LOOKUP_CHUNK);
  }
}

static void lookup__peer_misbehaves(void **state) {
  (void)state;
  uint64_t random = test_seed(), x[9] = {0}, y[9];
  const struct pieces t = any_pieces(&random);
  for (int style = 0; style < STYLES; style++) {
    const struct lookup q = lookup_of((enum style)style, 4, 4, 16, &t);
    struct gate_case g = {.call = call,
                          .params = &q,
                          .count = 9,
                          .in_count = {9},
                          .out_count = {9},
                          .in_bits = {8},
                          .out_bits = {16},
                          .in = {x},
                          .out = {y}};
    struct cost cost = {0};
    lookup_cost(&cost, &q, 9);
    const uint64_t step = style == STYLE_GARBLED ? 41 : 3;
    for (unsigned who = 0; who < 2; who++) {
      const enum role role = who ? ROLE_CLIENT : ROLE_SERVER;
      assert_int_equal(gate_run_disturbed(&g, role, 0, true, &random), FUSION_E_CLOSED);
      for (uint64_t at = 0; at < cost.bytes_to_server; at += step) {
        const fusion_status status = gate_run_disturbed(&g, role, at, false, &random);
        assert_true(status == FUSION_OK || status == FUSION_E_PEER || status == FUSION_E_CLOSED);
      }
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lookup__every_width),
      cmocka_unit_test(lookup__every_ring),
      cmocka_unit_test(lookup__steps),
      cmocka_unit_test(lookup__around_a_chunk),
      cmocka_unit_test(lookup__parameters_out_of_range),
      cmocka_unit_test(lookup__traffic),
      cmocka_unit_test(lookup__peer_misbehaves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
