/* The executor's kernels: every tier equals the portable one, on random and extreme numbers, for every remainder. */
#include "base/cpu_tier.h"
#include "execute/gemm_kernels.h"
#include "support/support.h"

enum { ROWS_MOST = 19, PAIRS = 37, WIDTH_MOST = 150, TAPS_MOST = 12, LINE = 512 };

static size_t tiers(const struct gemm_kernels *out[2]) {
  size_t count = 0;
#ifdef FUSION_X86_TIERS
  if (cpu_tier() >= CPU_TIER_AVX2) out[count++] = &gemm_kernels_avx2;
  if (cpu_tier() >= CPU_TIER_AVX512) out[count++] = &gemm_kernels_avx512;
#else
  (void)out;
#endif
  return count;
}

/** Every fourth is an extreme. */
static void fill(int16_t *out, size_t count, uint64_t *seed) {
  for (size_t i = 0; i < count; i++) {
    const uint64_t r = test_random(seed);
    out[i] = r % 4 ? (int16_t)(r >> 8) : (r >> 8) % 2 ? INT16_MIN : INT16_MAX;
  }
}

static void narrow__every_tier_equals_portable(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  const struct gemm_kernels *tier[2];
  const size_t count = tiers(tier);
  int16_t *w = mem_alloc(ROWS_MOST * PAIRS, 2 * sizeof *w), *x = mem_alloc(PAIRS * GEMM_COLUMNS, 2 * sizeof *x);
  uint32_t *expected = mem_alloc(ROWS_MOST * GEMM_COLUMNS, sizeof *expected);
  uint32_t *out = mem_alloc(ROWS_MOST * GEMM_COLUMNS, sizeof *out);
  assert_true(w && x && expected && out);
  fill(w, 2 * ROWS_MOST * PAIRS, &seed);
  fill(x, 2 * PAIRS * GEMM_COLUMNS, &seed);
  for (size_t k = 0; k < count; k++)
    for (size_t rows = 1; rows <= ROWS_MOST; rows++)
      for (size_t columns = 1; columns <= GEMM_COLUMNS; columns++) {
        gemm_kernels_c.narrow(expected, w, x, rows, PAIRS, columns);
        tier[k]->narrow(out, w, x, rows, PAIRS, columns);
        for (size_t r = 0; r < rows; r++)
          assert_memory_equal(out + r * GEMM_COLUMNS, expected + r * GEMM_COLUMNS, columns * sizeof *out);
      }
  mem_free(w);
  mem_free(x);
  mem_free(expected);
  mem_free(out);
}

static void taps__every_tier_equals_the_sum(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  const struct gemm_kernels *tier[3] = {&gemm_kernels_c};
  const size_t count = 1 + tiers(tier + 1);
  int16_t weights[TAPS_MOST], x[3 * WIDTH_MOST + LINE];
  size_t at[TAPS_MOST];
  uint32_t out[WIDTH_MOST];
  fill(weights, TAPS_MOST, &seed);
  fill(x, sizeof x / sizeof *x, &seed);
  for (size_t i = 0; i < TAPS_MOST; i++) at[i] = test_random(&seed) % LINE;
  for (size_t k = 0; k < count; k++)
    for (size_t stride = 1; stride <= 3; stride++)
      for (size_t width = 1; width <= WIDTH_MOST; width++) {
        const struct gemm_taps taps = {weights, x, at, 1 + width % TAPS_MOST};
        tier[k]->taps(out, &taps, width, stride);
        for (size_t i = 0; i < width; i++) {
          int64_t sum = 0;
          for (size_t t = 0; t < taps.count; t++) sum += (int64_t)weights[t] * x[at[t] + i * stride];
          assert_int_equal(out[i], (uint32_t)sum);
        }
      }
}

static void wide__every_tier_equals_portable(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  const struct gemm_kernels *tier[2];
  const size_t count = tiers(tier);
  int16_t w[3 * PAIRS];
  int64_t *x = mem_alloc(PAIRS * GEMM_COLUMNS, sizeof *x);
  uint64_t *expected = mem_alloc(3 * GEMM_COLUMNS, sizeof *expected), *out = mem_alloc(3 * GEMM_COLUMNS, sizeof *out);
  assert_true(x && expected && out);
  fill(w, 3 * PAIRS, &seed);
  for (size_t i = 0; i < PAIRS * GEMM_COLUMNS; i++) x[i] = (int64_t)test_random(&seed);
  for (size_t k = 0; k < count; k++) {
    gemm_kernels_c.wide(expected, w, PAIRS, x, 3, PAIRS);
    tier[k]->wide(out, w, PAIRS, x, 3, PAIRS);
    assert_memory_equal(out, expected, 3 * GEMM_COLUMNS * sizeof *out);
  }
  mem_free(x);
  mem_free(expected);
  mem_free(out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(narrow__every_tier_equals_portable),
      cmocka_unit_test(taps__every_tier_equals_the_sum),
      cmocka_unit_test(wide__every_tier_equals_portable),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
