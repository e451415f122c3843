/* multiply against integer arithmetic. */
#include "gates/gate_pair.h"

struct product {
  unsigned bits;
  bool square, in_place, garbled;
};

static struct multiply_garbled garbled_of(const struct product *q) {
  return (struct multiply_garbled){.bits = (uint8_t)q->bits, .square = q->square, .phase = GARBLED_NOW};
}

static fusion_status call(struct party *p, const struct gate_case *g, uint64_t *const *in, uint64_t *const *out) {
  const struct product *q = g->params;
  uint64_t *z = q->in_place ? in[0] : out[0];
  const uint64_t *y = q->square ? in[0] : in[1];
  const struct multiply_garbled garbled = garbled_of(q);
  const fusion_status status =
      q->garbled ? multiply_garbled(p, &garbled, in[0], y, z, g->count) : multiply(p, in[0], y, z, g->count, q->bits);
  if (z != out[0]) memcpy(out[0], z, g->count * sizeof *z);
  return status;
}

static void check(const struct product *q, size_t count, enum gate_shares shares, uint64_t *random) {
  uint64_t *x = mem_alloc(count, sizeof *x), *y = mem_alloc(count, sizeof *y), *z = mem_alloc(count, sizeof *z);
  struct gate_case g = {.call = call,
                        .params = q,
                        .count = count,
                        .in_count = {count, count},
                        .out_count = {count},
                        .in_bits = {q->bits, q->bits},
                        .out_bits = {q->bits},
                        .in = {x, y},
                        .out = {z},
                        .shares = shares};
  struct cost cost = {0};
  for (size_t e = 0; e < count; e++) {
    x[e] = test_random(random) % 5 ? test_random(random) : UINT64_MAX;
    y[e] = test_random(random) % 5 ? test_random(random) : 0;
  }
  const struct multiply_garbled garbled = garbled_of(q);
  if (q->garbled)
    multiply_garbled_cost(&cost, &garbled, count);
  else
    multiply_cost(&cost, q->square, count, q->bits);
  gate_run(&g, &cost, random);
  for (size_t e = 0; e < count; e++) {
    if (z[e] == (x[e] * (q->square ? x[e] : y[e]) & low_mask(q->bits))) continue;
    fail_msg("bits %u square %d count %zu: element %zu is wrong", q->bits, q->square, count, e);
  }
  mem_free(x);
  mem_free(y);
  mem_free(z);
}

static void multiply__every_ring(void **state) {
  (void)state;
  static const size_t counts[] = {1, 7, 64, 130};
  uint64_t random = test_seed();
  for (unsigned bits = 1; bits <= 62; bits++) {
    for (unsigned garbled = 0; garbled < 2; garbled++) {
      const struct product q = {.bits = bits, .in_place = bits & 1, .garbled = garbled},
                           s = {.bits = bits, .square = true, .in_place = bits & 1, .garbled = garbled};
      check(&q, counts[bits % 4], (enum gate_shares)(bits % 3), &random);
      check(&s, counts[(bits + 1) % 4], (enum gate_shares)(bits % 3), &random);
    }
  }
}

static void multiply__around_a_chunk(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (unsigned square = 0; square < 2; square++) {
    const struct product q = {.bits = 40, .square = square};
    const size_t chunk = multiply_chunk(square, q.bits);
    for (size_t count = chunk - 1; count <= chunk + 1; count++) check(&q, count, SHARES_RANDOM, &random);
  }
}

static void multiply__peer_misbehaves(void **state) {
  (void)state;
  uint64_t random = test_seed(), x[9] = {0}, y[9] = {0}, z[9];
  const struct product q = {.bits = 16};
  struct gate_case g = {.call = call,
                        .params = &q,
                        .count = 9,
                        .in_count = {9, 9},
                        .out_count = {9},
                        .in_bits = {16, 16},
                        .out_bits = {16},
                        .in = {x, y},
                        .out = {z}};
  struct cost cost = {0};
  multiply_cost(&cost, false, 9, 16);
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
      cmocka_unit_test(multiply__every_ring),
      cmocka_unit_test(multiply__around_a_chunk),
      cmocka_unit_test(multiply__peer_misbehaves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
