/* Products of shared matrices against integer arithmetic. */
#include "gates/gate_pair.h"

static fusion_status call(struct party *p, const struct gate_case *g, uint64_t *const *in, uint64_t *const *out) {
  const struct matmul *q = g->params;
  return matmul(p, q, in[0], in[1] ? in[1] : in[0], out[0], g->count);
}

static uint64_t oracle(const struct matmul *q, const uint64_t *a, const uint64_t *b, size_t at) {
  const struct matrix_product *m = &q->product;
  const size_t c = at % m->columns, row = at / m->columns, channel = row / m->rows;
  uint64_t sum = 0;
  for (size_t j = 0; j < m->depth; j++)
    sum += a[row * m->depth + j] *
           b[channel * m->depth * m->columns + (m->transposed ? c * m->depth + j : j * m->columns + c)];
  return sum & low_mask(q->ring_bits);
}

static void check(const struct matmul *q, size_t samples, enum gate_shares shares, uint64_t *random) {
  const size_t lefts = samples * matrix_product_left(&q->product), rights = samples * matrix_product_right(&q->product);
  const size_t outs = samples * matrix_product_size(&q->product);
  uint64_t *a = mem_alloc(lefts, sizeof *a), *b = mem_alloc(rights, sizeof *b), *y = mem_alloc(outs, sizeof *y);
  struct gate_case g = {.call = call,
                        .params = q,
                        .count = samples,
                        .in_count = {lefts, rights},
                        .out_count = {outs},
                        .in_bits = {q->ring_bits, q->ring_bits},
                        .out_bits = {q->ring_bits},
                        .in = {a, b},
                        .out = {y},
                        .shares = shares};
  struct cost cost = {0};
  for (size_t i = 0; i < lefts; i++) a[i] = test_random(random) % 5 ? test_random(random) : UINT64_MAX;
  for (size_t i = 0; i < rights; i++) b[i] = test_random(random) % 5 ? test_random(random) : 0;
  matmul_cost(&cost, q, samples);
  gate_run(&g, &cost, random);
  for (size_t i = 0; i < outs; i++)
    if (y[i] != oracle(q, a, b, i))
      fail_msg("ring %u, %u x %u x %u, %zu samples: element %zu is wrong", q->ring_bits, q->product.rows,
               q->product.depth, q->product.columns, samples, i);
  mem_free(a);
  mem_free(b);
  mem_free(y);
}

static void matmul__every_ring(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (uint8_t ring = 2; ring <= 62; ring++) {
    const struct matmul q = {{2, 3, 4, 1 + ring % 3u, ring % 2}, ring};
    check(&q, 1 + ring % 3, (enum gate_shares)(ring % 3), &random);
  }
}

static void matmul__shapes(void **state) {
  (void)state;
  static const struct matrix_product shapes[] = {{1, 1, 1, 1, false},  {1, 1, 9, 1, true},   {5, 1, 1, 1, false},
                                                 {1, 17, 2, 3, false}, {1, 2, 3, 17, true},  {3, 8, 8, 8, false},
                                                 {4, 6, 33, 5, true},  {1, 40, 1, 40, false}};
  uint64_t random = test_seed();
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    const struct matmul narrow = {shapes[i], 21}, wide = {shapes[i], 44};
    check(&narrow, 1, SHARES_RANDOM, &random);
    check(&narrow, 3, SHARES_ONES, &random);
    check(&wide, 2, SHARES_RANDOM, &random);
  }
}

/* Samples of which the last chunk holds but one. */
static void matmul__around_a_chunk(void **state) {
  (void)state;
  uint64_t random = test_seed();
  const struct matmul q = {{1, 1, 1, 1 << 12, false}, 3};
  for (size_t samples = 255; samples <= 257; samples++) check(&q, samples, SHARES_RANDOM, &random);
}

static void matmul__no_samples_or_a_bad_ring(void **state) {
  (void)state;
  struct party p = {.role = ROLE_SERVER};
  struct cost cost = {0};
  const struct matmul good = {{1, 2, 2, 2, false}, 20}, narrow = {{1, 2, 2, 2, false}, 1};
  uint64_t x[4] = {0};
  assert_ok(matmul(&p, &good, x, x, x, 0));
  matmul_cost(&cost, &good, 0);
  assert_int_equal(cost.bytes_to_server + cost.bytes_to_client, 0);
  assert_int_equal(matmul(&p, &narrow, x, x, x, 1), FUSION_E_INTERNAL);
}

static void matmul__peer_misbehaves(void **state) {
  (void)state;
  uint64_t random = test_seed(), a[6] = {1, 2, 3}, b[6] = {4, 5}, y[4];
  const struct matmul q = {{1, 2, 3, 2, false}, 17};
  struct gate_case g = {.call = call,
                        .params = &q,
                        .count = 1,
                        .in_count = {6, 6},
                        .out_count = {4},
                        .in_bits = {17, 17},
                        .out_bits = {17},
                        .in = {a, b},
                        .out = {y}};
  struct cost cost = {0};
  matmul_cost(&cost, &q, 1);
  for (unsigned who = 0; who < 2; who++) {
    const enum role role = who ? ROLE_CLIENT : ROLE_SERVER;
    const uint64_t len = who ? cost.bytes_to_server : cost.bytes_to_client;
    assert_int_equal(gate_run_disturbed(&g, role, 0, true, &random), FUSION_E_CLOSED);
    for (uint64_t at = 0; at < len; at += 5) {
      const fusion_status status = gate_run_disturbed(&g, role, at, false, &random);
      assert_true(status == FUSION_OK || status == FUSION_E_PEER || status == FUSION_E_CLOSED);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(matmul__every_ring),      cmocka_unit_test(matmul__shapes),
      cmocka_unit_test(matmul__around_a_chunk),  cmocka_unit_test(matmul__no_samples_or_a_bad_ring),
      cmocka_unit_test(matmul__peer_misbehaves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
