/* Products by windows against the sum that they stand for, on layers of every kind whose streams lie side by side. */
#include "lattice/window_product.h"

#include "support/support.h"

enum { OUTS = 37 };

static struct linear_layer layer_of(uint32_t channels, uint32_t groups, uint32_t size, uint32_t kernel,
                                    uint32_t stride) {
  const uint32_t out = (size - kernel) / stride + 1;
  return (struct linear_layer){.shape = {.in_channels = channels * groups,
                                         .in_h = size,
                                         .in_w = size,
                                         .out_channels = OUTS * groups,
                                         .out_h = out,
                                         .out_w = out,
                                         .kernel_h = kernel,
                                         .kernel_w = kernel,
                                         .stride_h = stride,
                                         .stride_w = stride,
                                         .dilation_h = 1,
                                         .dilation_w = 1,
                                         .groups = groups,
                                         .ring_bits = 24,
                                         .weight_bits = 16},
                               .guard_bits = 1,
                               .rlwe_set = rlwe_set_make(1, 10)};
}

/* sum_r w_r * c1[i + at_r], with X^n = -1. */
static uint32_t wanted_at(const struct linear_layout *l, const uint32_t *c1, const int16_t *weights, size_t group,
                          size_t limb, size_t i) {
  const size_t n = l->params->n;
  const int64_t p = rlwe_primes[limb];
  int64_t sum = 0;
  for (size_t r = 0; r < l->rows; r++) {
    const size_t stream = layout_row_stream(l, group, r);
    const size_t at = i + layout_coefficient(l, stream % l->packed, l->tap[r % l->taps].offset);
    const int64_t v = c1[(stream / l->packed * l->params->limbs + limb) * n + at % n];
    sum = (sum + weights[r] * (at / n % 2 ? -v : v)) % p;
  }
  return (uint32_t)((sum + p) % p);
}

static void check(struct window_product *wp, const struct workspace *w, uint64_t *seed) {
  const struct linear_layout *l = wp->l;
  const size_t n = l->params->n, limbs = l->params->limbs;
  uint32_t *c1 = mem_alloc(l->polys * limbs * n, sizeof *c1), *sums = mem_alloc(OUTS * limbs * n, sizeof *sums);
  int16_t *weights = mem_alloc(OUTS * l->rows, sizeof *weights);
  assert_true(c1 && sums && weights && w->base);
  assert_ok(window_product_open(wp));
  for (size_t i = 0; i < l->polys * limbs * n; i++) {
    const uint32_t p = rlwe_primes[i / n % limbs];
    c1[i] = i % 5 ? (uint32_t)(test_random(seed) % p) : p - 1;
  }
  for (size_t j = 0; j < l->polys * limbs; j++) window_product_take(wp, c1 + j * n, j / limbs, j % limbs);
  for (size_t i = 0; i < OUTS * l->rows; i++) weights[i] = i % 7 ? (int16_t)test_random(seed) : INT16_MIN;
  for (size_t group = 0; group < l->layer.shape.groups; group++) {
    window_product_group(wp, group);
    for (size_t o = 0, count; o < OUTS; o += count) {
      count = size_min(window_product_outs(l), OUTS - o);
      window_product_run(wp, sums + o * limbs * n, weights + o * l->rows, count);
    }
    assert_true(wp->terms <= layout_window_terms(l));
    for (size_t k = 0; k < 300; k++) {
      const size_t o = test_random(seed) % OUTS, limb = k % limbs, i = k < 20 ? n - 1 - k : test_random(seed) % n;
      assert_int_equal(sums[(o * limbs + limb) * n + i], wanted_at(l, c1, weights + o * l->rows, group, limb, i));
    }
  }
  window_product_close(wp);
  mem_free(c1);
  mem_free(sums);
  mem_free(weights);
}

static void window_product__is_the_product_of_the_layer(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  const struct linear_layer layers[] = {layer_of(784, 1, 1, 1, 1), layer_of(150, 2, 1, 1, 1), layer_of(40, 1, 6, 3, 1),
                                        layer_of(9, 3, 7, 3, 2),   layer_of(24, 1, 3, 3, 1),  layer_of(5, 1, 9, 2, 1)};
  struct rlwe r = {.kernels = lattice_kernels()};
  for (size_t k = 0; k < RLWE_LIMBS_MAX; k++) r.moduli[k] = mod_make(rlwe_primes[k]);
  unsigned seen = 0; /* strides */
  for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
    for (unsigned turns = 1; turns <= INTERLEAVE_LEVELS_MAX; turns++) {
      const struct rlwe_keys keys = {.of_ring = {1, 1}, .turns = turns, .turned = 1};
      struct linear_layout l;
      assert_ok(layout_make(&l, &layers[i], &keys, 1 + i));
      if (l.levels == turns) {
        struct window_product wp = {.r = &r, .l = &l};
        struct workspace w = {0};
        for (size_t pass = 0; pass < 2; pass++) {
          if (pass) assert_ok(rlwe_workspace(&r, w.used, &w));
          window_product_place_secrets(&wp, &w);
          window_product_place(&wp, &w);
        }
        check(&wp, &w, &seed);
        seen |= 1u << turns;
      }
      layout_free(&l);
    }
  }
  mem_free(r.workspace);
  assert_true((seen & 0x3e) == 0x3e); /* strides of 2 to 32, at least */
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(window_product__is_the_product_of_the_layer)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
