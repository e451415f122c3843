/* The executor's kernels against the definition, on random and extreme numbers. That the tiers agree is tested with all
 * kernels (tests/kernels). */
#include "execute/gemm_kernels.h"
#include "support/support.h"

enum { ROWS = 5, PAIRS = 37, WIDTH_MOST = 150, TAPS_MOST = 12, LINE = 512 };

/** Every fourth is an extreme. */
static void fill(int16_t *out, size_t count, uint64_t *seed) {
  for (size_t i = 0; i < count; i++) {
    const uint64_t r = test_random(seed);
    out[i] = r % 4 ? (int16_t)(r >> 8) : (r >> 8) % 2 ? INT16_MIN : INT16_MAX;
  }
}

static void narrow__is_the_sum_of_products(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  static int16_t w[2 * ROWS * PAIRS];
  static _Alignas(64) int16_t x[2 * PAIRS * GEMM_COLUMNS];
  static _Alignas(64) uint32_t out[ROWS * GEMM_COLUMNS];
  fill(w, sizeof w / sizeof *w, &seed);
  fill(x, sizeof x / sizeof *x, &seed);
  gemm_kernels_c.narrow(out, w, x, ROWS, PAIRS, GEMM_COLUMNS);
  for (size_t r = 0; r < ROWS; r++)
    for (size_t c = 0; c < GEMM_COLUMNS; c++) {
      int64_t sum = 0;
      for (size_t p = 0; p < PAIRS; p++)
        for (size_t i = 0; i < 2; i++) sum += (int64_t)w[2 * (r * PAIRS + p) + i] * x[2 * (p * GEMM_COLUMNS + c) + i];
      assert_int_equal(out[r * GEMM_COLUMNS + c], (uint32_t)sum);
    }
}

static void wide__is_the_sum_of_products(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  static int16_t w[ROWS * (PAIRS + 1)];
  static _Alignas(64) int64_t x[PAIRS * GEMM_COLUMNS];
  static _Alignas(64) uint64_t out[ROWS * GEMM_COLUMNS];
  fill(w, sizeof w / sizeof *w, &seed);
  for (size_t i = 0; i < PAIRS * GEMM_COLUMNS; i++) x[i] = (int64_t)test_random(&seed);
  gemm_kernels_c.wide(out, w, PAIRS + 1, x, ROWS, PAIRS);
  for (size_t r = 0; r < ROWS; r++)
    for (size_t c = 0; c < GEMM_COLUMNS; c++) {
      uint64_t sum = 0;
      for (size_t k = 0; k < PAIRS; k++)
        sum += (uint64_t)(int64_t)w[r * (PAIRS + 1) + k] * (uint64_t)x[k * GEMM_COLUMNS + c];
      assert_true(out[r * GEMM_COLUMNS + c] == sum);
    }
}

static void taps__is_the_sum_of_products(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  int16_t weights[TAPS_MOST], x[3 * WIDTH_MOST + LINE];
  size_t at[TAPS_MOST];
  uint32_t out[WIDTH_MOST];
  fill(weights, TAPS_MOST, &seed);
  fill(x, sizeof x / sizeof *x, &seed);
  for (size_t i = 0; i < TAPS_MOST; i++) at[i] = test_random(&seed) % LINE;
  for (enum cpu_tier tier = CPU_TIER_C; tier <= cpu_tier_best(); tier++)
    for (size_t stride = 1; stride <= 3; stride++)
      for (size_t width = 1; width <= WIDTH_MOST; width++) {
        const struct gemm_taps taps = {weights, x, at, 1 + width % TAPS_MOST};
        gemm_kernels_of(tier)->taps(out, &taps, width, stride);
        for (size_t i = 0; i < width; i++) {
          int64_t sum = 0;
          for (size_t t = 0; t < taps.count; t++) sum += (int64_t)weights[t] * x[at[t] + i * stride];
          assert_int_equal(out[i], (uint32_t)sum);
        }
      }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(narrow__is_the_sum_of_products),
      cmocka_unit_test(taps__is_the_sum_of_products),
      cmocka_unit_test(wide__is_the_sum_of_products),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
