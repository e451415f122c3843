#include "base/bits.h"
#include "base/cpu.h"
#include "base/cursor.h"
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

static void cpu__a_tier_above_the_best_is_refused(void **state) {
  (void)state;
  const enum cpu_tier best = cpu_tier_best();
  if (best < CPU_TIER_AVX512) assert_int_equal(cpu_tier_force(CPU_TIER_AVX512), FUSION_E_USAGE);
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
      cmocka_unit_test(memory__overflowing_size_is_refused),
      cmocka_unit_test(ring__signed_reading),
      cmocka_unit_test(bits__round_trip_at_every_width),
      cmocka_unit_test(cpu__a_tier_above_the_best_is_refused),
      cmocka_unit_test(status__every_class_has_a_word),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
