/* Products by multiplication triples against integer arithmetic; layers against product_cot's meaning, which its own
 * test checks. */
#include "gates/gate_pair.h"

static fusion_status call(struct party *p, const struct gate_case *g, uint64_t *const *in, uint64_t *const *out) {
  const unsigned *bits = g->params;
  return triples_multiply(p, in[0], g->in_count[1] ? in[1] : in[0], out[0], g->count, *bits);
}

static void check(bool square, unsigned bits, size_t count, enum gate_shares shares, uint64_t *random) {
  uint64_t *x = mem_alloc(count, sizeof *x), *y = mem_alloc(count, sizeof *y), *z = mem_alloc(count, sizeof *z);
  struct gate_case g = {.call = call,
                        .params = &bits,
                        .count = count,
                        .in_count = {count, square ? 0 : count},
                        .out_count = {count},
                        .in_bits = {bits, bits},
                        .out_bits = {bits},
                        .in = {x, y},
                        .out = {z},
                        .shares = shares};
  struct cost cost = {0};
  for (size_t i = 0; i < count; i++) {
    x[i] = (i % 5 ? test_random(random) : UINT64_MAX) & low_mask(bits);
    y[i] = square ? x[i] : (i % 7 ? test_random(random) : UINT64_MAX) & low_mask(bits);
  }
  triples_multiply_cost(&cost, square, count, bits);
  gate_run(&g, &cost, random);
  for (size_t i = 0; i < count; i++)
    if (z[i] != ((x[i] * y[i]) & low_mask(bits)))
      fail_msg("%u bits, %zu elements, square %d: element %zu is wrong", bits, count, square, i);
  mem_free(x);
  mem_free(y);
  mem_free(z);
}

static void triples__products_and_squares_of_every_width(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (unsigned bits = 1; bits <= 62; bits++)
    for (unsigned square = 0; square < 2; square++)
      if (bits > 1 || !square)
        check(square, bits, 1 + test_random(&random) % 90, (enum gate_shares)(bits % 3), &random);
}

static void triples__around_a_chunk(void **state) {
  (void)state;
  uint64_t random = test_seed();
  check(false, 4, multiply_chunk(false, 4) + 1, SHARES_RANDOM, &random);
  check(true, 6, multiply_chunk(true, 6) + 65, SHARES_RANDOM, &random);
}

struct layer {
  struct layer_shape shape;
  struct layer_weights w;
  bool zero, matrix;
};

static fusion_status call_layer(struct party *p, const struct gate_case *g, uint64_t *const *in, uint64_t *const *out) {
  const struct layer *l = g->params;
  const bool server = p->role == ROLE_SERVER;
  const struct layer_weights *w = server ? &l->w : NULL;
  const uint64_t *x = server && l->zero ? NULL : in[0];
  return l->matrix ? triples_matrix(p, &l->shape, w, x, out[0], g->count)
                   : triples_layer(p, &l->shape, w, x, out[0], g->count);
}

/* A convolution of one channel with a 2x2 kernel, padded at the top and the left: the sum is written out here. */
static void triples__layers(void **state) {
  (void)state;
  enum { SIDE = 4, OUTS = 3, SAMPLES = 5, IN = SIDE * SIDE, OUT = OUTS * IN };
  uint64_t random = test_seed(), x[SAMPLES * IN], y[SAMPLES * OUT];
  int16_t weights[OUTS * 4];
  int64_t bias[OUTS];
  for (unsigned i = 0; i < OUTS * 4; i++) weights[i] = (int16_t)ring_signed(test_random(&random), 16);
  for (unsigned i = 0; i < OUTS; i++) bias[i] = ring_signed(test_random(&random), 30);
  for (unsigned kind = 0; kind < 4; kind++) {
    const bool zero = kind % 2, matrix = kind / 2;
    const struct layer layer = {{.in_channels = 1,
                                 .in_h = SIDE,
                                 .in_w = SIDE,
                                 .out_channels = OUTS,
                                 .out_h = SIDE,
                                 .out_w = SIDE,
                                 .groups = 1,
                                 .kernel_h = 2,
                                 .kernel_w = 2,
                                 .stride_h = 1,
                                 .stride_w = 1,
                                 .pad_top = 1,
                                 .pad_left = 1,
                                 .dilation_h = 1,
                                 .dilation_w = 1,
                                 .ring_bits = 30,
                                 .weight_bits = 16},
                                {weights, bias},
                                zero,
                                matrix};
    struct gate_case g = {.call = call_layer,
                          .params = &layer,
                          .count = SAMPLES,
                          .in_count = {SAMPLES * IN},
                          .out_count = {SAMPLES * OUT},
                          .in_bits = {30},
                          .out_bits = {30},
                          .in = {x},
                          .out = {y},
                          .shares = zero ? SHARES_ZERO : SHARES_RANDOM};
    struct cost cost = {0};
    for (size_t i = 0; i < SAMPLES * IN; i++) x[i] = test_random(&random) & low_mask(30);
    if (matrix)
      triples_matrix_cost(&cost, &layer.shape, SAMPLES);
    else
      triples_layer_cost(&cost, &layer.shape, SAMPLES);
    gate_run(&g, &cost, &random);
    for (size_t i = 0; i < SAMPLES * OUT; i++) {
      const size_t sample = i / OUT, out = i % OUT / IN, row = i % IN / SIDE, column = i % SIDE;
      uint64_t sum = (uint64_t)bias[out];
      for (size_t tap = 0; tap < 4; tap++)
        if (row + tap / 2 >= 1 && column + tap % 2 >= 1)
          sum += (uint64_t)(int64_t)weights[4 * out + tap] *
                 x[sample * IN + (row + tap / 2 - 1) * SIDE + column + tap % 2 - 1];
      assert_int_equal(y[i], sum & low_mask(30));
    }
  }
}

static void triples__peer_misbehaves(void **state) {
  (void)state;
  uint64_t random = test_seed(), x[8], y[8], z[8];
  const unsigned bits = 20;
  struct gate_case g = {.call = call,
                        .params = &bits,
                        .count = 8,
                        .in_count = {8, 8},
                        .out_count = {8},
                        .in_bits = {20, 20},
                        .out_bits = {20},
                        .in = {x, y},
                        .out = {z}};
  struct cost cost = {0};
  for (size_t i = 0; i < 8; i++) x[i] = y[i] = test_random(&random) & low_mask(20);
  triples_multiply_cost(&cost, false, 8, bits);
  for (unsigned who = 0; who < 2; who++) {
    const enum role role = who ? ROLE_CLIENT : ROLE_SERVER;
    const uint64_t bytes = who ? cost.bytes_to_server : cost.bytes_to_client;
    assert_int_equal(gate_run_disturbed(&g, role, 0, true, &random), FUSION_E_CLOSED);
    for (uint64_t at = 0; at < bytes; at += 3) {
      const fusion_status status = gate_run_disturbed(&g, role, at, false, &random);
      assert_true(status == FUSION_OK || status == FUSION_E_PEER || status == FUSION_E_CLOSED);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(triples__products_and_squares_of_every_width),
      cmocka_unit_test(triples__around_a_chunk),
      cmocka_unit_test(triples__layers),
      cmocka_unit_test(triples__peer_misbehaves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
