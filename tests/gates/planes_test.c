/* Bit planes: every tier equals the definition. */
#include "gates/planes.h"
#include "gates/planes_kernels.h"
#include "support/support.h"

enum { LONGEST = 1400, GAP = 3 };

static void check(const uint64_t *values, size_t count, unsigned bits) {
  const size_t stride = plane_words(count) + GAP;
  uint64_t planes[65 * (LONGEST / 64 + 1 + GAP)];
  memset(planes, 0xa5, sizeof planes);
  planes_from_values(planes, stride, values, count, bits);
  for (unsigned i = 0; i < 65; i++) {
    for (size_t w = 0; w < stride; w++) {
      uint64_t expected = 0;
      for (size_t e = 64 * w; e < count && e < 64 * w + 64; e++) expected |= (values[e] >> i % 64 & 1) << (e % 64);
      if (i >= bits || w >= plane_words(count)) expected = UINT64_C(0xa5a5a5a5a5a5a5a5); /* untouched */
      if (planes[i * stride + w] != expected) fail_msg("plane %u of %u, word %zu, %zu values", i, bits, w, count);
    }
  }
}

static void planes__every_tier_equals_the_definition(void **state) {
  (void)state;
  static const size_t counts[] = {0, 1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 511, 512, 513, LONGEST};
  uint64_t seed = test_seed(), values[LONGEST];
  const enum cpu_tier best = cpu_tier_best();
  for (int tier = 0; tier <= (int)best; tier++) {
    assert_ok(cpu_tier_force((enum cpu_tier)tier));
    for (unsigned bits = 0; bits <= 64; bits++) {
      for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        for (size_t i = 0; i < LONGEST; i++) values[i] = test_random(&seed);
        check(values, counts[k], bits);
        for (size_t i = 0; i < LONGEST; i++) values[i] = i % 3 ? UINT64_MAX : 0;
        check(values, counts[k], bits);
      }
    }
  }
  assert_ok(cpu_tier_force(best));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(planes__every_tier_equals_the_definition)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
