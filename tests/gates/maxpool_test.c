/* maximum and maxpool against integer arithmetic. */
#include "gates/gate_pair.h"

static fusion_status call_maximum(struct party *p, const struct gate_case *g, uint64_t *const *in,
                                  uint64_t *const *out) {
  return maximum(p, g->params, in[0], in[1], out[0], g->count);
}

static fusion_status call_maxpool(struct party *p, const struct gate_case *g, uint64_t *const *in,
                                  uint64_t *const *out) {
  return maxpool(p, g->params, in[0], out[0], g->count);
}

/* |x| < 2^(bits-1), ends of the range included often, few distinct values otherwise so that ties occur. */
static uint64_t draw(unsigned bits, uint64_t *random) {
  const uint64_t r = test_random(random);
  if (r % 8 == 0) return low_mask(bits - 1);
  if (r % 8 == 1) return (uint64_t)0 - low_mask(bits - 1);
  return (uint64_t)(ring_signed(r >> 8, bits) + (ring_signed(r >> 8, bits) == -(INT64_C(1) << (bits - 1))));
}

static void maximum__random_parameters(void **state) {
  (void)state;
  static const size_t counts[] = {1, 7, 64, 200};
  uint64_t random = test_seed(), x[200], y[200], z[200];
  for (unsigned i = 0; i < 60; i++) {
    struct maximum q = {.value_bits = (uint8_t)(2 + test_random(&random) % 59)};
    q.in_bits = (uint8_t)(q.value_bits + 1 + test_random(&random) % (62u - q.value_bits));
    q.out_bits = (uint8_t)(1 + test_random(&random) % q.in_bits);
    q.garbled = i % 3 ? GARBLED_NOT : GARBLED_NOW;
    const size_t count = counts[i % 4];
    for (size_t e = 0; e < count; e++) {
      x[e] = draw(q.value_bits, &random);
      y[e] = e % 5 ? draw(q.value_bits, &random) : x[e];
    }
    const struct gate_case g = {.call = call_maximum,
                                .params = &q,
                                .count = count,
                                .in_count = {count, count},
                                .out_count = {count},
                                .in_bits = {q.in_bits, q.in_bits},
                                .out_bits = {q.out_bits},
                                .in = {x, y},
                                .out = {z}};
    struct cost cost = {0};
    maximum_cost(&cost, &q, count);
    gate_run(&g, &cost, &random);
    for (size_t e = 0; e < count; e++) {
      const uint64_t expected = (int64_t)x[e] > (int64_t)y[e] ? x[e] : y[e];
      assert_int_equal(z[e], expected & low_mask(q.out_bits));
    }
  }
}

static uint64_t oracle(const struct maxpool *q, const uint64_t *x, size_t oy, size_t ox) {
  int64_t best = INT64_MIN;
  for (uint32_t ky = 0; ky < q->kernel_h; ky++) {
    for (uint32_t kx = 0; kx < q->kernel_w; kx++) {
      const int64_t row = (int64_t)(oy * q->stride_h + ky * q->dilation_h) - q->pad_top;
      const int64_t column = (int64_t)(ox * q->stride_w + kx * q->dilation_w) - q->pad_left;
      if (row < 0 || row >= q->in_h || column < 0 || column >= q->in_w) continue;
      const int64_t value = (int64_t)x[row * q->in_w + column];
      best = value > best ? value : best;
    }
  }
  return (uint64_t)best;
}

static void check(const struct maxpool *q, size_t planes, uint64_t *random) {
  const size_t in = planes * q->in_h * q->in_w, out = planes * q->out_h * q->out_w;
  uint64_t *x = mem_alloc(in, sizeof *x), *y = mem_alloc(out, sizeof *y);
  for (size_t e = 0; e < in; e++) x[e] = draw(q->value_bits, random);
  const struct gate_case g = {.call = call_maxpool,
                              .params = q,
                              .count = planes,
                              .in_count = {in},
                              .out_count = {out},
                              .in_bits = {q->in_bits},
                              .out_bits = {q->out_bits},
                              .in = {x},
                              .out = {y}};
  struct cost cost = {0};
  maxpool_cost(&cost, q, planes);
  gate_run(&g, &cost, random);
  for (size_t i = 0; i < out; i++) {
    const size_t plane = i / (q->out_h * q->out_w), at = i % (q->out_h * q->out_w);
    const uint64_t expected = oracle(q, x + plane * q->in_h * q->in_w, at / q->out_w, at % q->out_w);
    if (y[i] == (expected & low_mask(q->out_bits))) continue;
    fail_msg("in %ux%u out %ux%u kernel %ux%u stride %ux%u pad %u,%u dilation %ux%u bits %u %u %u planes %zu: at %zu",
             q->in_h, q->in_w, q->out_h, q->out_w, q->kernel_h, q->kernel_w, q->stride_h, q->stride_w, q->pad_top,
             q->pad_left, q->dilation_h, q->dilation_w, q->value_bits, q->in_bits, q->out_bits, planes, i);
  }
  mem_free(x);
  mem_free(y);
}

/* An axis with a padding of less than its kernel and as many windows as fit. */
static void draw_axis(uint32_t *len, uint32_t *out, uint32_t *kernel, uint32_t *stride, uint32_t *pad,
                      uint32_t *dilation, uint64_t *random) {
  for (;;) {
    *len = (uint32_t)(1 + test_random(random) % 9);
    *kernel = (uint32_t)(1 + test_random(random) % 5);
    *stride = (uint32_t)(1 + test_random(random) % 3);
    *dilation = (uint32_t)(1 + test_random(random) % 2);
    *pad = (uint32_t)(test_random(random) % *kernel);
    const uint32_t extent = (*kernel - 1) * *dilation + 1, padded = *len + 2 * *pad;
    if (padded < extent || *pad * 2 > extent || (*dilation == 2 && *len < 2)) continue;
    *out = (padded - extent) / *stride + 1;
    return;
  }
}

static void maxpool__random_windows(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (unsigned i = 0; i < 60; i++) {
    struct maxpool q = {.value_bits = (uint8_t)(3 + test_random(&random) % 12),
                        .garbled = i % 3 == 1 ? GARBLED_NOW : GARBLED_NOT,
                        .shape = i % 3 ? CARRY_CHEAPEST : CARRY_FIXED};
    q.in_bits = (uint8_t)(q.value_bits + test_random(&random) % 4);
    q.out_bits = (uint8_t)(1 + test_random(&random) % q.in_bits);
    draw_axis(&q.in_h, &q.out_h, &q.kernel_h, &q.stride_h, &q.pad_top, &q.dilation_h, &random);
    draw_axis(&q.in_w, &q.out_w, &q.kernel_w, &q.stride_w, &q.pad_left, &q.dilation_w, &random);
    check(&q, 1 + i % 4, &random);
  }
}

static void maxpool__more_planes_than_a_chunk(void **state) {
  (void)state;
  uint64_t random = test_seed();
  const struct maxpool q = {.in_h = 64,
                            .in_w = 64,
                            .out_h = 2,
                            .out_w = 2,
                            .kernel_h = 2,
                            .kernel_w = 2,
                            .stride_h = 32,
                            .stride_w = 32,
                            .dilation_h = 1,
                            .dilation_w = 1,
                            .value_bits = 6,
                            .in_bits = 8,
                            .out_bits = 7};
  check(&q, RELU_TRUNCATE_CHUNK / (64 * 64) + 1, &random);
}

static void maxpool__window_in_the_padding(void **state) {
  (void)state;
  struct party p = {.role = ROLE_SERVER};
  uint64_t x[4] = {0}, y[4];
  struct maxpool q = {.in_h = 1,
                      .in_w = 2,
                      .out_h = 1,
                      .out_w = 2,
                      .kernel_h = 1,
                      .kernel_w = 2,
                      .stride_h = 1,
                      .stride_w = 2,
                      .pad_left = 2,
                      .dilation_h = 1,
                      .dilation_w = 1,
                      .value_bits = 6,
                      .in_bits = 8,
                      .out_bits = 8};
  assert_int_equal(maxpool(&p, &q, x, y, 1), FUSION_E_INTERNAL);
  q.pad_left = 0;
  q.stride_h = 0;
  assert_int_equal(maxpool(&p, &q, x, y, 1), FUSION_E_INTERNAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(maximum__random_parameters),
      cmocka_unit_test(maxpool__random_windows),
      cmocka_unit_test(maxpool__more_planes_than_a_chunk),
      cmocka_unit_test(maxpool__window_in_the_padding),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
