/* The session's heap: zeroed blocks, used again, bounded by what was in use. */
#include "base/heap.h"

#include "support/support.h"

enum { BIG = 1 << 20 };

static bool is_zero(const uint8_t *p, size_t len) {
  uint8_t any = 0;
  for (size_t i = 0; i < len; i++) any |= p[i];
  return !any;
}

static void heap__gives_zeroed_aligned_blocks(void **state) {
  (void)state;
  uint64_t random = test_seed();
  struct heap *h = heap_new();
  assert_non_null(h);
  for (unsigned i = 0; i < 300; i++) {
    uint8_t *block[5];
    size_t len[5];
    for (unsigned k = 0; k < 5; k++) {
      /* Some of each round large, a few so large that they are whole pages. */
      len[k] = 1 + test_random(&random) % (k % 2 ? 300000 : i % 30 == 0 && k == 2 ? 20u << 20 : 3000);
      block[k] = heap_take(h, len[k], 1);
      assert_non_null(block[k]);
      assert_int_equal((uintptr_t)block[k] % 64, 0);
      if (!is_zero(block[k], len[k])) fail_msg("round %u: a block of %zu bytes is not zero", i, len[k]);
      memset(block[k], (int)(k + 1), len[k]);
    }
    for (unsigned k = 0; k < 5; k++) {
      for (size_t at = 0; at < len[k]; at += 97) assert_int_equal(block[k][at], k + 1); /* no two share a byte */
      heap_give(h, block[k], len[k]);
    }
  }
  heap_free(h);
}

static void heap__uses_a_block_again(void **state) {
  (void)state;
#ifndef HEAP_KEEPS_NOTHING
  struct heap *h = heap_new();
  assert_non_null(h);
  void *first = heap_take(h, BIG, 1);
  heap_give(h, first, BIG);
  void *again = heap_take(h, BIG - 1000, 1); /* of about the size */
  assert_ptr_equal(first, again);
  void *small = heap_take(h, BIG / 4, 1); /* the free block would be wasted on it, were there one */
  assert_ptr_not_equal(small, again);
  heap_give(h, again, BIG - 1000);
  heap_give(h, small, BIG / 4);
  heap_free(h);
#endif
}

static void heap__without_one_is_plain_memory(void **state) {
  (void)state;
  uint8_t *p = heap_take(NULL, BIG, 2);
  assert_non_null(p);
  assert_true(is_zero(p, 2 * BIG));
  heap_give(NULL, p, 2 * BIG);
  heap_give(NULL, NULL, 5);
  heap_free(NULL);
}

static void heap__refuses_impossible_sizes(void **state) {
  (void)state;
  struct heap *h = heap_new();
  assert_non_null(h);
  assert_null(heap_take(h, SIZE_MAX / 4, 8));
  assert_null(heap_take(h, SIZE_MAX / 2 + 1, 1));
  assert_null(heap_take(NULL, SIZE_MAX / 4, 8));
  heap_free(h);
}

/* More blocks at once than the heap keeps books of. */
static void heap__many_blocks(void **state) {
  (void)state;
  enum { MANY = 600, LEN = 1 << 16 };
  static uint8_t *block[MANY];
  struct heap *h = heap_new();
  assert_non_null(h);
  for (unsigned round = 0; round < 2; round++) {
    for (size_t i = 0; i < MANY; i++) {
      block[i] = heap_take(h, LEN, 1);
      assert_non_null(block[i]);
      assert_true(is_zero(block[i], LEN));
      memset(block[i], 0xff, LEN);
    }
    for (size_t i = 0; i < MANY; i++) heap_give(h, block[i], LEN);
  }
  heap_free(h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(heap__gives_zeroed_aligned_blocks),
      cmocka_unit_test(heap__uses_a_block_again),
      cmocka_unit_test(heap__without_one_is_plain_memory),
      cmocka_unit_test(heap__refuses_impossible_sizes),
      cmocka_unit_test(heap__many_blocks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
