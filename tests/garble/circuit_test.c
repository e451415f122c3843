/* Circuits in the clear against integer arithmetic, and their sizes. */
#include <stdio.h>

#include "garble/circuit_support.h"
#include "support/support.h"

/* y of gates/relu_truncate.h without a constant; the word of a truncation is completed as relu_garbled.c does. */
static uint64_t relu_clear(const struct circuit *c, const struct circuit_relu *q, uint64_t a, uint64_t b) {
  uint64_t y;
  const unsigned k = (unsigned)q->in_bits - q->shift;
  const bool wraps = !q->relu && q->out_bits > k;
  const uint64_t moved = wraps ? UINT64_C(1) << (q->in_bits - 1) : 0, mask = low_mask(q->in_bits);
  const uint64_t known = (b + moved) & mask;
  circuit_clear(c, &a, &known, NULL, &y);
  if (!q->relu) y += (a >> q->shift) + (known >> q->shift) - (moved >> q->shift);
  return y & low_mask(q->out_bits);
}

static uint64_t relu_meaning(const struct circuit_relu *q, uint64_t a, uint64_t b) {
  const int64_t x = ring_signed(a + b, q->in_bits);
  return (uint64_t)((q->relu && x < 0 ? 0 : x) >> q->shift) & low_mask(q->out_bits);
}

static void relu__every_narrow_shape_and_all_shares(void **state) {
  (void)state;
  struct circuit_relu q;
  for (q.in_bits = 2; q.in_bits <= 6; q.in_bits++) {
    for (q.shift = 0; q.shift + 1 < q.in_bits; q.shift++) {
      for (q.out_bits = 1; q.out_bits <= 8; q.out_bits++) {
        for (unsigned relu = 0; relu < 2; relu++) {
          struct circuit c;
          q.relu = relu;
          circuit_make_relu(&c, &q);
          for (uint64_t a = 0; a >> q.in_bits == 0; a++) {
            for (uint64_t b = 0; b >> q.in_bits == 0; b++)
              assert_int_equal(relu_clear(&c, &q, a, b), relu_meaning(&q, a, b));
          }
          circuit_free(&c);
        }
      }
    }
  }
}

static void relu__wide_shapes(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (unsigned i = 0; i < 2000; i++) {
    struct circuit_relu q = {.in_bits = (uint8_t)(2 + test_random(&random) % 61)};
    struct circuit c;
    q.shift = (uint8_t)(test_random(&random) % (q.in_bits - 1u));
    q.out_bits = (uint8_t)(1 + test_random(&random) % 62);
    q.relu = test_random(&random) & 1;
    const uint64_t mask = low_mask(q.in_bits), a = test_random(&random) & mask, b = test_random(&random) & mask;
    circuit_make_relu(&c, &q);
    assert_int_equal(relu_clear(&c, &q, a, b), relu_meaning(&q, a, b));
    circuit_free(&c);
  }
}

/* The paper's circuit adds the client's mask with 14 + 14 more ANDs, 53 in all, of 1,696 bytes. */
static void relu__size(void **state) {
  (void)state;
  const struct circuit_relu q = {.in_bits = 26, .shift = 12, .out_bits = 15, .relu = true};
  const struct circuit_relu t = {.in_bits = 26, .shift = 12, .out_bits = 14};
  struct circuit c;
  char text[160];
  circuit_make_relu(&c, &q);
  circuit_print(&c, text, sizeof text);
  assert_string_equal(text, "26 inputs, 26 known, 99 xor, 1 not, 25 and (24 of two blocks, 1 of one), 351 bits");
  assert_int_equal(circuit_tweaks(&c), 2 * 24 + 1 + 13);
  circuit_free(&c);
  circuit_make_relu(&c, &t);
  circuit_print(&c, text, sizeof text);
  assert_string_equal(text, "12 inputs, 12 known, 33 xor, 0 not, 12 and (11 of two blocks, 1 of one), 14 bits");
  circuit_free(&c);
}

static void sum_negative_products__all_small_shares(void **state) {
  (void)state;
  for (unsigned bits = 1; bits <= 5; bits++) {
    struct circuit sum, negative, products;
    circuit_make_sum(&sum, bits);
    circuit_make_negative(&negative, bits, 7);
    circuit_make_products(&products, 1, bits);
    assert_int_equal(sum.full_ands + sum.half_ands, bits - 1);
    assert_int_equal(products.full_ands + products.half_ands, 0);
    for (uint64_t a = 0; a >> bits == 0; a++) {
      for (uint64_t b = 0; b >> bits == 0; b++) {
        uint64_t out;
        circuit_clear(&sum, &a, &b, NULL, &out);
        assert_int_equal(out, (a + b) & low_mask(bits));
        circuit_clear(&negative, &a, &b, NULL, &out);
        assert_int_equal(out, (a + b) >> (bits - 1) & 1);
        circuit_clear(&products, &a, NULL, &b, &out);
        assert_int_equal(out, a * b & low_mask(bits));
      }
    }
    circuit_free(&sum);
    circuit_free(&negative);
    circuit_free(&products);
  }
}

static uint64_t lookup_meaning(const struct circuit_lookup *q, uint64_t x) {
  const uint64_t h = x >> q->low_bits & low_mask(q->index_bits), l = x & low_mask(q->low_bits);
  const uint64_t centred = q->low_bits ? l - (UINT64_C(1) << (q->low_bits - 1)) : 0;
  return ((uint64_t)q->base[h] + (uint64_t)q->slope[h] * centred) & low_mask(q->out_bits);
}

static void lookup__every_small_shape_and_all_shares(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (uint8_t index = 1; index <= 3; index++) {
    for (uint8_t low = 0; low <= 4; low++) {
      int64_t base[8], slope[8];
      struct circuit c;
      const struct circuit_lookup q = {index, low, (uint8_t)(1 + test_random(&random) % 62), base, slope};
      for (unsigned j = 0; j < 8; j++) {
        base[j] = (int64_t)test_random(&random) >> 2;
        slope[j] = (int64_t)test_random(&random) >> 40;
      }
      circuit_make_lookup(&c, &q);
      for (uint64_t a = 0; a >> (index + low) == 0; a++) {
        for (uint64_t b = 0; b >> (index + low) == 0; b++) {
          uint64_t y;
          circuit_clear(&c, &a, &b, &b, &y);
          assert_int_equal(y, lookup_meaning(&q, a + b));
        }
      }
      circuit_free(&c);
    }
  }
}

/* Twelve bits to a ring of 18: 13 blocks and 297 bytes. A multiplexer of 32 entries by gates takes 26 ANDs, 832 bytes,
 * behind an adder of 11, and a product by gates as much again. */
static void lookup__size(void **state) {
  (void)state;
  static const int64_t table[32];
  const struct circuit_lookup spline = {5, 7, 18, table, table}, plain = {5, 0, 12, table, table};
  struct circuit c;
  char text[160];
  circuit_make_lookup(&c, &spline);
  circuit_print(&c, text, sizeof text);
  assert_string_equal(text, "12 inputs, 7 known, 18 xor, 0 not, 7 and (6 of two blocks, 1 of one), 2373 bits");
  assert_int_equal(circuit_tweaks(&c), 2 * 6 + 1 + 1 + 7);
  circuit_free(&c);
  circuit_make_lookup(&c, &plain);
  circuit_print(&c, text, sizeof text);
  assert_string_equal(text, "5 inputs, 0 known, 0 xor, 0 not, 0 and (0 of two blocks, 0 of one), 372 bits");
  assert_int_equal(circuit_tweaks(&c), 1);
  circuit_free(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(relu__every_narrow_shape_and_all_shares),
      cmocka_unit_test(relu__wide_shapes),
      cmocka_unit_test(relu__size),
      cmocka_unit_test(sum_negative_products__all_small_shares),
      cmocka_unit_test(lookup__every_small_shape_and_all_shares),
      cmocka_unit_test(lookup__size),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
