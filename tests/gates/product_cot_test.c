/* Products of weights with a shared tensor against integer arithmetic. */
#include <stdio.h>

#include "base/cpu_tier.h"
#include "gates/gate_pair.h"

struct layer {
  struct layer_shape params;
  struct layer_weights w;
  bool zero; /* the server's share */
};

static fusion_status call(struct party *p, const struct gate_case *g, uint64_t *const *in, uint64_t *const *out) {
  const struct layer *l = g->params;
  if (p->role == ROLE_CLIENT) return product_cot_client(p, &l->params, in[0], out[0], g->count);
  return product_cot_server(p, &l->params, &l->w, l->zero ? NULL : in[0], out[0], g->count);
}

static size_t in_size(const struct layer_shape *q) {
  return (size_t)q->in_channels * q->in_h * q->in_w;
}
static size_t out_size(const struct layer_shape *q) {
  return (size_t)q->out_channels * q->out_h * q->out_w;
}

static uint64_t oracle(const struct layer *l, const uint64_t *x, size_t at) {
  const struct layer_shape *q = &l->params;
  const size_t plane = (size_t)q->out_h * q->out_w, sample = at / out_size(q), out = at % out_size(q) / plane;
  const size_t oy = at % plane / q->out_w, ox = at % plane % q->out_w;
  const size_t channels = q->in_channels / q->groups, first = out / (q->out_channels / q->groups) * channels;
  const int16_t *weight = l->w.weights + out * channels * q->kernel_h * q->kernel_w;
  uint64_t sum = (uint64_t)l->w.bias[out];
  for (size_t c = 0; c < channels; c++)
    for (size_t ky = 0; ky < q->kernel_h; ky++)
      for (size_t kx = 0; kx < q->kernel_w; kx++, weight++) {
        const int64_t iy = (int64_t)(oy * q->stride_h + ky * q->dilation_h) - q->pad_top;
        const int64_t ix = (int64_t)(ox * q->stride_w + kx * q->dilation_w) - q->pad_left;
        if (iy < 0 || ix < 0 || iy >= q->in_h || ix >= q->in_w) continue;
        const size_t place = ((sample * q->in_channels + first + c) * q->in_h + (size_t)iy) * q->in_w + (size_t)ix;
        sum += (uint64_t)(int64_t)*weight * x[place];
      }
  return sum & low_mask(q->ring_bits);
}

static void check(const struct layer_shape *q, size_t samples, bool zero, uint64_t *random) {
  const size_t count = (size_t)layer_weight_count(q), ins = samples * in_size(q), outs = samples * out_size(q);
  int16_t *weights = mem_alloc(count, sizeof *weights);
  int64_t *bias = mem_alloc(q->out_channels, sizeof *bias);
  uint64_t *x = mem_alloc(ins, sizeof *x), *y = mem_alloc(outs, sizeof *y);
  const struct layer layer = {*q, {weights, bias}, zero};
  struct gate_case g = {.call = call,
                        .params = &layer,
                        .count = samples,
                        .in_count = {ins},
                        .out_count = {outs},
                        .in_bits = {q->ring_bits},
                        .out_bits = {q->ring_bits},
                        .in = {x},
                        .out = {y},
                        .shares = zero ? SHARES_ZERO : SHARES_RANDOM};
  struct cost cost = {0};
  for (size_t i = 0; i < count; i++) weights[i] = (int16_t)ring_signed(test_random(random), q->weight_bits);
  weights[0] = (int16_t) - (1 << (q->weight_bits - 1));
  for (size_t i = 0; i < q->out_channels; i++) bias[i] = ring_signed(test_random(random), q->ring_bits);
  for (size_t i = 0; i < ins; i++) x[i] = test_random(random) & low_mask(q->ring_bits);
  product_cot_cost(&cost, q, samples);
  gate_run(&g, &cost, random);
  for (size_t i = 0; i < outs; i++)
    if (y[i] != oracle(&layer, x, i))
      fail_msg("ring %u, weights of %u bits, %zu samples: element %zu is %llx, not %llx", q->ring_bits, q->weight_bits,
               samples, i, (unsigned long long)y[i], (unsigned long long)oracle(&layer, x, i));
  mem_free(weights);
  mem_free(bias);
  mem_free(x);
  mem_free(y);
}

static struct layer_shape dense(uint32_t in, uint32_t out, uint8_t ring_bits, uint8_t weight_bits) {
  return (struct layer_shape){.in_channels = in,
                              .in_h = 1,
                              .in_w = 1,
                              .out_channels = out,
                              .out_h = 1,
                              .out_w = 1,
                              .groups = 1,
                              .kernel_h = 1,
                              .kernel_w = 1,
                              .stride_h = 1,
                              .stride_w = 1,
                              .dilation_h = 1,
                              .dilation_w = 1,
                              .ring_bits = ring_bits,
                              .weight_bits = weight_bits};
}

static void product_cot__every_ring_and_weight_width(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (uint8_t ring = 2; ring <= 62; ring++) {
    /* Every tier that this CPU has serves a part of the cases. */
    assert_ok(cpu_tier_force((enum cpu_tier)(ring % (1u + (unsigned)cpu_tier_best()))));
    const struct layer_shape q = dense(3, 2, ring, (uint8_t)(2 + ring % 15));
    check(&q, 1 + ring % 7, ring % 4 == 0, &random);
  }
  assert_ok(cpu_tier_force(cpu_tier_best()));
}

/* One sample and the last few that are not stretched, a tile's end, more than a tile. */
static void product_cot__numbers_of_columns(void **state) {
  (void)state;
  static const size_t counts[] = {1, 2, 3, 4, 5, 15, 16, 17, 2047, 2048, 2049, 4100};
  uint64_t random = test_seed();
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    const struct layer_shape narrow = dense(2, 3, 20, 4), wide = dense(2, 1, 40, 3);
    check(&narrow, counts[i], false, &random);
    check(&wide, counts[i], false, &random);
  }
}

static void product_cot__random_convolutions(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (unsigned i = 0; i < 40; i++) {
    const uint32_t groups = (uint32_t)(1 + test_random(&random) % 3);
    struct layer_shape q = dense(groups * (uint32_t)(1 + test_random(&random) % 3),
                                 groups * (uint32_t)(1 + test_random(&random) % 3), 22, 6);
    q.groups = groups;
    q.in_h = (uint32_t)(3 + test_random(&random) % 6);
    q.in_w = (uint32_t)(3 + test_random(&random) % 6);
    q.kernel_h = (uint32_t)(1 + test_random(&random) % 3);
    q.kernel_w = (uint32_t)(1 + test_random(&random) % 3);
    q.stride_h = (uint32_t)(1 + test_random(&random) % 2);
    q.stride_w = (uint32_t)(1 + test_random(&random) % 3);
    q.dilation_h = (uint32_t)(1 + test_random(&random) % 2);
    q.pad_top = (uint32_t)(test_random(&random) % 3);
    q.pad_left = (uint32_t)(test_random(&random) % 2 + 1);
    const uint32_t reach_h = (q.kernel_h - 1) * q.dilation_h + 1;
    if (q.in_h + q.pad_top < reach_h) continue;
    q.out_h = (q.in_h + q.pad_top - reach_h) / q.stride_h + 1;
    q.out_w = (q.in_w + q.pad_left - q.kernel_w) / q.stride_w + 1;
    check(&q, 1 + test_random(&random) % 4, i % 5 == 0, &random);
  }
}

/* More weights than a batch of correlations holds, and a message that ends within a row. */
static void product_cot__more_weights_than_a_batch(void **state) {
  (void)state;
  uint64_t random = test_seed();
  const struct layer_shape q = dense(300, 120, 18, 16);
  assert_true(layer_weight_count(&q) * q.weight_bits > PRODUCT_COT_BATCH);
  check(&q, 3, false, &random);
}

static void product_cot__peer_misbehaves(void **state) {
  (void)state;
  uint64_t random = test_seed(), x[6], y[4];
  const int16_t weights[] = {1, -2, 3, -4, 0, 1};
  const int64_t bias[] = {5, -6};
  const struct layer layer = {dense(3, 2, 20, 4), {weights, bias}, false};
  struct gate_case g = {.call = call,
                        .params = &layer,
                        .count = 2,
                        .in_count = {6},
                        .out_count = {4},
                        .in_bits = {20},
                        .out_bits = {20},
                        .in = {x},
                        .out = {y}};
  struct cost cost = {0};
  for (size_t i = 0; i < 6; i++) x[i] = test_random(&random) & low_mask(20);
  product_cot_cost(&cost, &layer.params, 2);
  for (unsigned who = 0; who < 2; who++) {
    const enum role role = who ? ROLE_CLIENT : ROLE_SERVER;
    const uint64_t bytes = who ? cost.bytes_to_server : cost.bytes_to_client;
    assert_int_equal(gate_run_disturbed(&g, role, 0, true, &random), FUSION_E_CLOSED);
    for (uint64_t at = 0; at < bytes; at++) {
      const fusion_status status = gate_run_disturbed(&g, role, at, false, &random);
      assert_true(status == FUSION_OK || status == FUSION_E_PEER || status == FUSION_E_CLOSED);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(product_cot__every_ring_and_weight_width),
      cmocka_unit_test(product_cot__numbers_of_columns),
      cmocka_unit_test(product_cot__random_convolutions),
      cmocka_unit_test(product_cot__more_weights_than_a_batch),
      cmocka_unit_test(product_cot__peer_misbehaves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
