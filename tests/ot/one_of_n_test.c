/* Random 1-of-n OT: strings agree, choices match. */
#include "ot/one_of_n.h"

#include "silent/cot_silent_cost.h"
#include "support/dealer.h"
#include "support/support.h"

static unsigned bit_of(const uint64_t *plane, size_t e) {
  return (unsigned)(plane[e / 64] >> (e % 64) & 1);
}

static void check_bits(unsigned width, unsigned strings, size_t count, uint64_t seed) {
  const size_t words = plane_words(count), entries = (size_t)1 << width;
  struct cot *sender, *receiver;
  uint64_t *pads = mem_alloc(entries * strings * words, 8), *choices = mem_alloc(width * words, 8);
  uint64_t *got = mem_alloc(strings * words, 8);
  assert_ok(dealer_open(&sender, ROLE_CLIENT, NULL, seed));
  assert_ok(dealer_open(&receiver, ROLE_SERVER, NULL, seed));
  assert_ok(ot_bits_send(sender, width, strings, count, pads));
  assert_ok(ot_bits_receive(receiver, width, strings, count, choices, got));
  size_t seen[1 << OT_WIDTH_MAX] = {0}, equal = 0;
  for (size_t e = 0; e < count; e++) {
    size_t x = 0;
    for (unsigned i = 0; i < width; i++) x |= (size_t)bit_of(choices + i * words, e) << i;
    seen[x]++;
    for (unsigned s = 0; s < strings; s++) {
      assert_int_equal(bit_of(got + s * words, e), bit_of(pads + (x * strings + s) * words, e));
      for (size_t z = 0; z < entries; z++) {
        equal += z != x && bit_of(got + s * words, e) == bit_of(pads + (z * strings + s) * words, e);
      }
    }
  }
  /* Bits past the count are zero. */
  if (count % 64) assert_int_equal(pads[words - 1] >> (count % 64), 0);
  if (count >= 3000) {
    const double n = (double)(count * strings * (entries - 1));
    assert_true((double)equal > 0.42 * n && (double)equal < 0.58 * n);
    for (size_t z = 0; z < entries; z++) assert_true(seen[z] * entries * 2 > count);
  }
  struct cost cost = {0};
  ot_random_cost(&cost, ROLE_CLIENT, width, count);
  assert_int_equal(cost.cots_client_sends, sender->sent);
  assert_int_equal(cost.cots_client_sends, receiver->received);
  cot_close(sender);
  cot_close(receiver);
  mem_free(pads);
  mem_free(choices);
  mem_free(got);
}

static void ot_bits__every_shape(void **state) {
  (void)state;
  static const size_t counts[] = {1, 7, 64, 4095, 4096, 4097, 9000};
  const uint64_t seed = test_seed();
  for (unsigned width = 1; width <= OT_WIDTH_MAX; width++) {
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
      check_bits(width, 1, counts[i], seed);
      check_bits(width, 2, counts[i], seed + 1);
    }
  }
}

static void ot_words__agree(void **state) {
  (void)state;
  enum { COUNT = 5001 };
  static uint64_t pad0[COUNT], pad1[COUNT], got[COUNT], choices[COUNT / 64 + 1];
  const uint64_t seed = test_seed();
  struct cot *sender, *receiver;
  assert_ok(dealer_open(&sender, ROLE_SERVER, NULL, seed));
  assert_ok(dealer_open(&receiver, ROLE_CLIENT, NULL, seed));
  assert_ok(ot_words_send(sender, COUNT, pad0, pad1));
  assert_ok(ot_words_receive(receiver, COUNT, choices, got));
  for (size_t e = 0; e < COUNT; e++) {
    assert_true(pad0[e] != pad1[e]);
    assert_true(got[e] == (bit_of(choices, e) ? pad1[e] : pad0[e]));
  }
  cot_close(sender);
  cot_close(receiver);
}

static void check_entries(unsigned width, size_t count, uint64_t seed) {
  const size_t words = plane_words(count), entries = (size_t)1 << width, stride = count + 3;
  struct cot *sender, *receiver;
  uint64_t *pads = mem_alloc(entries * stride, 8), *choices = mem_alloc(width * words, 8), *got = mem_alloc(count, 8);
  assert_ok(dealer_open(&sender, ROLE_CLIENT, NULL, seed));
  assert_ok(dealer_open(&receiver, ROLE_SERVER, NULL, seed));
  assert_ok(ot_entries_send(sender, width, count, pads, stride));
  assert_ok(ot_entries_receive(receiver, width, count, choices, got));
  for (size_t e = 0; e < count; e++) {
    size_t x = 0;
    for (unsigned i = 0; i < width; i++) x |= (size_t)bit_of(choices + i * words, e) << i;
    for (size_t z = 0; z < entries; z++) assert_int_equal(got[e] == pads[z * stride + e], z == x);
  }
  cot_close(sender);
  cot_close(receiver);
  mem_free(pads);
  mem_free(choices);
  mem_free(got);
}

static void ot_entries__every_shape(void **state) {
  (void)state;
  static const size_t counts[] = {1, 7, 64, 4095, 4097};
  const uint64_t seed = test_seed();
  for (unsigned width = 1; width <= OT_WIDTH_MAX; width++)
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) check_entries(width, counts[i], seed);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ot_bits__every_shape),
      cmocka_unit_test(ot_words__agree),
      cmocka_unit_test(ot_entries__every_shape),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
