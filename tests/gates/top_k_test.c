/* top_k against a plain sort. */
#include "gates/gate_pair.h"

static fusion_status call(struct party *p, const struct gate_case *g, uint64_t *const *in, uint64_t *const *out) {
  return top_k(p, g->params, in[0], out[0], g->out_count[1] ? out[1] : NULL, g->count);
}

static void check(const struct top_k *q, size_t rows, bool values, uint64_t *random) {
  const size_t in = rows * q->width, out = rows * q->k;
  uint64_t *x = mem_alloc(in, sizeof *x), *indices = mem_alloc(out, sizeof *x), *best = mem_alloc(out, sizeof *x);
  uint8_t *taken = mem_alloc(q->width, 1);
  for (size_t e = 0; e < in; e++) {
    const int64_t v = ring_signed(test_random(random), q->value_bits), lowest = -(INT64_C(1) << (q->value_bits - 1));
    x[e] = (uint64_t)(test_random(random) % 3 ? v % 4 : v == lowest ? v + 1 : v);
  }
  const struct gate_case g = {.call = call,
                              .params = q,
                              .count = rows,
                              .in_count = {in},
                              .out_count = {out, values ? out : 0},
                              .in_bits = {q->in_bits},
                              .out_bits = {top_k_index_bits(q), q->in_bits},
                              .in = {x},
                              .out = {indices, best}};
  struct cost cost = {0};
  top_k_cost(&cost, q, rows);
  gate_run(&g, &cost, random);
  for (size_t row = 0; row < rows; row++) {
    memset(taken, 0, q->width);
    for (size_t i = 0; i < q->k; i++) {
      size_t expected = q->width;
      for (size_t e = 0; e < q->width; e++) {
        if (taken[e]) continue;
        if (expected == q->width || (int64_t)x[row * q->width + e] > (int64_t)x[row * q->width + expected])
          expected = e;
      }
      taken[expected] = 1;
      assert_int_equal(indices[row * q->k + i], expected);
      if (values) assert_int_equal(best[row * q->k + i], x[row * q->width + expected] & low_mask(q->in_bits));
    }
  }
  mem_free(x);
  mem_free(indices);
  mem_free(best);
  mem_free(taken);
}

static void top_k__random_parameters(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (unsigned i = 0; i < 80; i++) {
    struct top_k q = {.width = (uint32_t)(1 + test_random(&random) % 24), .indices_only = i % 3 == 0};
    q.k = i % 2 ? 1 : (uint32_t)(1 + test_random(&random) % q.width);
    q.value_bits = (uint8_t)(2 + test_random(&random) % 40);
    q.in_bits = (uint8_t)(q.value_bits + test_random(&random) % 10);
    q.shape = i % 4 < 2 ? CARRY_CHEAPEST : CARRY_FIXED;
    q.garbled = i % 4 == 1 ? GARBLED_NOW : GARBLED_NOT;
    check(&q, 1 + test_random(&random) % 5, !q.indices_only && i % 5, &random);
  }
}

static void top_k__wide_rows(void **state) {
  (void)state;
  uint64_t random = test_seed();
  check(&(struct top_k){.width = 1000, .k = 1, .value_bits = 14, .in_bits = 20, .indices_only = true}, 3, false,
        &random);
  check(&(struct top_k){.width = 1000, .k = 5, .value_bits = 14, .in_bits = 20}, 2, true, &random);
}

static void top_k__more_rows_than_a_chunk(void **state) {
  (void)state;
  uint64_t random = test_seed();
  const size_t rows = RELU_TRUNCATE_CHUNK / 1024 + 1;
  check(&(struct top_k){.width = 1024, .k = 1, .value_bits = 4, .in_bits = 6}, rows, true, &random);
}

static void top_k__bad_parameters(void **state) {
  (void)state;
  struct party p = {.role = ROLE_SERVER};
  uint64_t x[4] = {0}, y[4];
  const struct top_k bad[] = {{.width = 4, .k = 0, .value_bits = 4, .in_bits = 6},
                              {.width = 4, .k = 5, .value_bits = 4, .in_bits = 6},
                              {.width = 4, .k = 1, .value_bits = 7, .in_bits = 6},
                              {.width = 4, .k = 1, .value_bits = 60, .in_bits = 60}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(top_k(&p, &bad[i], x, y, NULL, 1), FUSION_E_INTERNAL);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(top_k__random_parameters),
      cmocka_unit_test(top_k__wide_rows),
      cmocka_unit_test(top_k__more_rows_than_a_chunk),
      cmocka_unit_test(top_k__bad_parameters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
