#include <stdlib.h>

#include "base/bits.h"
#include "base/bits_kernels.h"
#include "base/cpu_tier.h"
#include "base/cursor.h"
#include "base/packed.h"
#include "support/support.h"

static void cursor__round_trip(void **state) {
  (void)state;
  struct writer w = {0};
  write_u8(&w, 7);
  write_u32(&w, 0xdeadbeef);
  write_f64(&w, -0.25);
  write_string(&w, "conv1");
  write_u64(&w, UINT64_MAX - 1);
  assert_false(w.failed);
  struct reader r = reader_of(w.data, w.len);
  char name[8];
  assert_int_equal(read_u8(&r), 7);
  assert_int_equal(read_u32(&r), 0xdeadbeef);
  assert_true(read_f64(&r) == -0.25);
  read_string(&r, name, sizeof name);
  assert_string_equal(name, "conv1");
  assert_true(read_u64(&r) == UINT64_MAX - 1);
  assert_true(reader_done(&r));
  writer_free(&w);
}

static void cursor__short_read_sticks(void **state) {
  (void)state;
  const uint8_t bytes[3] = {1, 2, 3};
  struct reader r = reader_of(bytes, sizeof bytes);
  assert_int_equal(read_u32(&r), 0);
  assert_int_equal(read_u8(&r), 0);
  assert_false(reader_done(&r));
}

static void cursor__string_too_long_or_with_nul_fails(void **state) {
  (void)state;
  const uint8_t with_nul[] = {3, 0, 'a', 0, 'b'};
  char out[4];
  struct reader r = reader_of(with_nul, sizeof with_nul);
  read_string(&r, out, sizeof out);
  assert_true(r.failed);
  const uint8_t full[] = {4, 0, 'a', 'b', 'c', 'd'};
  r = reader_of(full, sizeof full);
  read_string(&r, out, sizeof out);
  assert_true(r.failed);
}

static void packed__round_trip_at_every_width(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (unsigned bits = 1; bits <= 64; bits++) {
    const int64_t low = INT64_MIN >> (64 - bits), high = -(low + 1);
    int64_t values[20] = {low, high, 0, -1}, back[20];
    uint8_t bytes[20 * 8 + 1];
    const size_t len = packed_len(bits);
    for (size_t i = 4; i < 20; i++) values[i] = (int64_t)test_random(&seed) >> (64 - bits);
    memset(bytes, 0xee, sizeof bytes);
    packed_write(bytes, values, 20, len);
    assert_int_equal(bytes[20 * len], 0xee);
    packed_read(back, bytes, 20, len);
    assert_memory_equal(back, values, sizeof values);
  }
}

static void memory__overflowing_size_is_refused(void **state) {
  (void)state;
  assert_null(mem_alloc(SIZE_MAX / 2, 4));
  uint8_t *p = mem_alloc(3, 5);
  assert_non_null(p);
  assert_int_equal((uintptr_t)p % 64, 0);
  for (int i = 0; i < 15; i++) assert_int_equal(p[i], 0);
  mem_free_secret(p, 15);
}

static void ring__signed_reading(void **state) {
  (void)state;
  assert_int_equal(ring_signed(0x7f, 8), 127);
  assert_int_equal(ring_signed(0x80, 8), -128);
  assert_int_equal(ring_signed(UINT64_MAX, 64), -1);
  assert_true(low_mask(64) == UINT64_MAX && low_mask(0) == 0 && low_mask(5) == 31);
  assert_int_equal(log2_up(1), 0);
  assert_int_equal(log2_up(5), 3);
}

static void bits__round_trip_at_every_width(void **state) {
  (void)state;
  uint64_t seed = test_seed(), values[67], back[67];
  for (unsigned bits = 0; bits <= 64; bits++) {
    for (size_t count = 0; count <= 67; count += bits % 3 + 1) {
      uint8_t packed[67 * 8 + 1];
      for (size_t i = 0; i < count; i++) values[i] = test_random(&seed);
      const size_t len = bits_len(count, bits);
      packed[len] = 0xa5;
      bits_pack(packed, values, count, bits);
      assert_int_equal(packed[len], 0xa5);
      bits_unpack(back, packed, count, bits);
      for (size_t i = 0; i < count; i++) assert_true(back[i] == (values[i] & low_mask(bits)));
    }
  }
}

/* Exact buffers, so that a sanitised run sees a byte too many; what stands behind is checked as well. */
static void check_bits_kernels(enum cpu_tier tier, const uint64_t *values, size_t count, unsigned bits, unsigned skip) {
  const struct bits_kernels *kernels = bits_kernels_of(tier);
  const size_t len = bits_len(count, bits), skipped_len = div_up(skip + count * bits, 8);
  uint8_t *expected = mem_alloc(len + BITS_SLACK, 1), *got = mem_alloc(len + BITS_SLACK, 1);
  uint8_t *skipped = malloc(skipped_len + !skipped_len);
  uint64_t *back = mem_alloc(count + 1, sizeof *back);
  assert_true(expected && got && skipped && back);
  struct bit_writer w = {.out = expected};
  for (size_t i = 0; i < count; i++) bits_put(&w, values[i] & low_mask(bits), bits);
  bits_finish(&w);
  memset(expected + len, 0xa5, BITS_SLACK);
  memset(got, 0xa5, len + BITS_SLACK);
  kernels->pack(got, values, count, bits);
  if (memcmp(got, expected, len + BITS_SLACK)) fail_msg("pack: tier %d, %zu values of %u bits", (int)tier, count, bits);
  for (size_t i = 0; i < skipped_len; i++) {
    const unsigned at = i < len ? expected[i] : 0, before = i ? expected[i - 1] : 0xff;
    skipped[i] = (uint8_t)(at << skip | before >> (8 - skip));
  }
  back[count] = 0x1234;
  kernels->unpack(back, skipped, count, bits, skip);
  for (size_t i = 0; i < count; i++)
    if (back[i] != (values[i] & low_mask(bits)))
      fail_msg("unpack: tier %d, value %zu of %zu, %u bits, after %u", (int)tier, i, count, bits, skip);
  assert_int_equal(back[count], 0x1234);
  mem_free(expected);
  mem_free(got);
  mem_free(back);
  free(skipped);
}

static void bits_kernels__every_tier_equals_the_writer(void **state) {
  (void)state;
  static const size_t counts[] = {0, 1, 7, 8, 9, 31, 32, 33, 39, 40, 63, 64, 65, 127, 128, 129, 250};
  uint64_t seed = test_seed(), values[250];
  for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
    for (unsigned bits = 1; bits <= 64; bits++) {
      for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        const unsigned skip = (unsigned)(bits + k) % 8;
        for (size_t i = 0; i < counts[k]; i++) values[i] = test_random(&seed);
        check_bits_kernels((enum cpu_tier)tier, values, counts[k], bits, 0);
        check_bits_kernels((enum cpu_tier)tier, values, counts[k], bits, skip);
        for (size_t i = 0; i < counts[k]; i++) values[i] = i % 3 ? UINT64_MAX : 0;
        check_bits_kernels((enum cpu_tier)tier, values, counts[k], bits, skip);
      }
    }
  }
}

static void bits__runs_equal_single_values(void **state) {
  (void)state;
  enum { RUNS = 20, LONGEST = 150 };
  uint64_t seed = test_seed(), values[LONGEST], back[LONGEST];
  for (unsigned bits = 1; bits <= 64; bits++) {
    static uint8_t one[RUNS * LONGEST * 8 + BITS_SLACK], all[RUNS * LONGEST * 8 + BITS_SLACK];
    memset(all, 0xa5, sizeof all);
    struct bit_writer single = {.out = one}, run = {.out = all};
    struct bit_reader r = {.in = one};
    for (unsigned k = 0; k < RUNS; k++) {
      const size_t count = test_random(&seed) % LONGEST;
      const unsigned width = k % 2 ? bits : 65 - bits;
      for (size_t i = 0; i < count; i++) values[i] = test_random(&seed);
      for (size_t i = 0; i < count; i++) bits_put(&single, values[i] & low_mask(width), width);
      bits_put_all(&run, values, count, width);
      struct bit_writer so_far = single;
      bits_finish(&so_far);
      bits_get_all(&r, back, count, width);
      for (size_t i = 0; i < count; i++) assert_true(back[i] == (values[i] & low_mask(width)));
    }
    bits_finish(&single);
    bits_finish(&run);
    assert_int_equal(single.out - one, run.out - all);
    assert_memory_equal(one, all, (size_t)(run.out - all));
  }
}

static void cpu__a_tier_above_the_best_is_refused(void **state) {
  (void)state;
  const enum cpu_tier best = cpu_tier_best();
  for (int tier = (int)best + 1; tier < CPU_TIER_COUNT; tier++)
    assert_int_equal(cpu_tier_force((enum cpu_tier)tier), FUSION_E_USAGE);
  assert_ok(cpu_tier_force(CPU_TIER_C));
  assert_int_equal(cpu_tier(), CPU_TIER_C);
  assert_ok(cpu_tier_force(best));
}

static void status__every_class_has_a_word(void **state) {
  (void)state;
  assert_string_equal(fusion_status_class(FUSION_E_TIMEOUT), "io");
  assert_string_equal(fusion_status_class(FUSION_E_INTERNAL), "internal");
  fusion_error err;
  assert_int_equal(error_set(&err, FUSION_E_MODEL, "'%s': no", "x"), FUSION_E_MODEL);
  assert_string_equal(err.text, "'x': no");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cursor__round_trip),
      cmocka_unit_test(cursor__short_read_sticks),
      cmocka_unit_test(cursor__string_too_long_or_with_nul_fails),
      cmocka_unit_test(packed__round_trip_at_every_width),
      cmocka_unit_test(memory__overflowing_size_is_refused),
      cmocka_unit_test(ring__signed_reading),
      cmocka_unit_test(bits__round_trip_at_every_width),
      cmocka_unit_test(bits_kernels__every_tier_equals_the_writer),
      cmocka_unit_test(bits__runs_equal_single_values),
      cmocka_unit_test(cpu__a_tier_above_the_best_is_refused),
      cmocka_unit_test(status__every_class_has_a_word),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
