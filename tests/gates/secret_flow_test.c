/* Do the gates branch or index on secrets? Shares, correlations and Delta are marked undefined; run under valgrind's
 * memcheck, any jump or address that depends on them is an error (meson runs it so where valgrind is installed). Alone
 * it is a plain run. */
#include "gates/gates.h"
#include "lattice/matrix.h"
#include "support/dealer.h"
#include "support/support.h"

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define MARK_SECRET(p, len) VALGRIND_MAKE_MEM_UNDEFINED(p, len)
#else
#define MARK_SECRET(p, len) ((void)(p), (void)(len))
#endif

enum { COUNT = 100, ROOM = 4 * COUNT };

/* A source of correlations whose every block is marked; the dealer stands behind it. */
struct marked {
  struct cot cot;
  struct cot *dealer;
};

static fusion_status take_sender(struct cot *c, block *keys, size_t count) {
  const fusion_status status = cot_take_sender(((struct marked *)c)->dealer, keys, count, NULL);
  MARK_SECRET(keys, count * sizeof *keys);
  return status;
}

static fusion_status take_receiver(struct cot *c, block *macs, size_t count) {
  const fusion_status status = cot_take_receiver(((struct marked *)c)->dealer, macs, count, NULL);
  MARK_SECRET(macs, count * sizeof *macs);
  return status;
}

static void close_marked(struct cot *c) {
  cot_close(((struct marked *)c)->dealer);
}

static const struct cot_ops marked_ops = {
    .take_sender = take_sender, .take_receiver = take_receiver, .close = close_marked};

struct side {
  struct party party;
  struct garble garble;
  struct marked marked;
  fusion_status status;
};

/* Ten inputs, three outputs, so many samples that vectors are stretched; the server's weights are marked. */
static fusion_status run_layers(struct party *p, const uint64_t *x, uint64_t *y) {
  enum { IN = 10, OUT = 3, SAMPLES = 7 };
  fusion_status status = FUSION_OK;
  int16_t weights[IN * OUT];
  int64_t bias[OUT];
  const struct layer_weights server = {weights, bias};
  const bool serves = p->role == ROLE_SERVER;
  const struct layer_shape shape = {.in_channels = IN,
                                    .in_h = 1,
                                    .in_w = 1,
                                    .out_channels = OUT,
                                    .out_h = 1,
                                    .out_w = 1,
                                    .groups = 1,
                                    .kernel_h = 1,
                                    .kernel_w = 1,
                                    .stride_h = 1,
                                    .stride_w = 1,
                                    .dilation_h = 1,
                                    .dilation_w = 1,
                                    .ring_bits = 20,
                                    .weight_bits = 5};
  for (int16_t i = 0; i < IN * OUT; i++) weights[i] = (int16_t)(i % 31 - 16);
  for (int64_t i = 0; i < OUT; i++) bias[i] = i - 1;
  MARK_SECRET(weights, sizeof weights);
  MARK_SECRET(bias, sizeof bias);
  TRY(serves ? product_cot_server(p, &shape, &server, x, y, SAMPLES) : product_cot_client(p, &shape, x, y, SAMPLES));
  TRY(triples_layer(p, &shape, serves ? &server : NULL, x, y, SAMPLES));
  TRY(triples_matrix(p, &shape, serves ? &server : NULL, x, y, SAMPLES));
cleanup:
  return status;
}

static fusion_status run_garbled(struct party *p, const uint64_t *x, uint64_t *y) {
  fusion_status status = FUSION_OK;
  static const int64_t base[LOOKUP_PIECES_MAX] = {5, 9}, slope[LOOKUP_PIECES_MAX] = {3, -4};
  const struct relu_truncate relu = {.in_bits = 26, .shift = 8, .out_bits = 18, .relu = true, .garbled = GARBLED_NOW};
  const struct multiply_garbled square = {.bits = 20, .square = true, .phase = GARBLED_NOW};
  struct lookup spline = {
      .index_bits = 5, .low_bits = 6, .out_bits = 18, .base = base, .slope = slope, .garbled = GARBLED_NOW};
  TRY(relu_truncate(p, &relu, x, y, COUNT));
  TRY(multiply_garbled(p, &square, x, x, y, COUNT));
  TRY(lookup(p, &spline, x, y, COUNT));
  spline.low_bits = 0;
  TRY(lookup(p, &spline, x, y, COUNT));
cleanup:
  return status;
}

/* By encryption; x and z serve as both matrices' shares. */
static fusion_status run_matrices(struct party *p, const uint64_t *x, const uint64_t *z, uint64_t *y) {
  const struct matrix_layer layer = {{1, 3, 5, 4, true}, 20, 2, 2};
  const bool serves = p->role == ROLE_SERVER;
  struct rlwe_keys keys = {0};
  struct rlwe *r = NULL;
  fusion_status status;
  rlwe_keys_add_matrix(&keys, &layer);
  TRY(serves ? rlwe_open_server(&r, p->channel, p->prg, &keys) : rlwe_open_client(&r, p->channel, p->prg, &keys));
  TRY(serves ? matrix_server(r, &layer, x, z, y, 1) : matrix_client(r, &layer, x, z, y, 1));
cleanup:
  rlwe_close(r);
  return status;
}

static fusion_status run_gates(struct party *p, uint64_t *x, uint64_t *y, uint64_t *z) {
  fusion_status status = FUSION_OK;
  const struct relu_truncate relu = {.in_bits = 26, .shift = 8, .out_bits = 26, .add = 128, .relu = true};
  const struct relu_truncate deep = {
      .in_bits = 26, .shift = 8, .out_bits = 26, .add = 128, .relu = true, .planned_count = 1 << 20};
  const struct relu_truncate truncate = {.in_bits = 26, .shift = 8, .out_bits = 26, .add = 128};
  const struct relu_truncate fast = {.in_bits = 26, .shift = 8, .out_bits = 18, .relu = true, .fast = true};
  const struct relu_truncate fixed = {.in_bits = 26, .shift = 8, .out_bits = 18, .relu = true, .shape = CARRY_FIXED};
  const struct top_k best = {.width = 10, .k = 3, .value_bits = 12, .in_bits = 20};
  const struct maxpool pool = {.in_h = 6,
                               .in_w = 6,
                               .out_h = 3,
                               .out_w = 3,
                               .kernel_h = 2,
                               .kernel_w = 2,
                               .stride_h = 2,
                               .stride_w = 2,
                               .dilation_h = 1,
                               .dilation_w = 1,
                               .value_bits = 12,
                               .in_bits = 16,
                               .out_bits = 16};
  const struct field_ring conversion = {.modulus = 114689, .offset = 5, .ring_bits = 26, .shape = CARRY_FIXED};
  static const int64_t base[LOOKUP_PIECES_MAX] = {5, 9}, slope[LOOKUP_PIECES_MAX] = {3, -4};
  const struct lookup spline = {.index_bits = 5, .low_bits = 6, .out_bits = 18, .base = base, .slope = slope};
  const struct lookup table = {.index_bits = 4, .out_bits = 9, .base = base};
  const struct compare sign = {.in_bits = 20, .out_bits = 12, .add = 2};
  const struct compare fixed_sign = {.in_bits = 20, .out_bits = 12, .shape = CARRY_FIXED};
  TRY(compare(p, &sign, x, y, COUNT));
  TRY(compare(p, &fixed_sign, x, y, COUNT));
  const struct matmul matrices = {{.channels = 2, .rows = 3, .depth = 4, .columns = 2, .transposed = true}, 20};
  TRY(lookup(p, &spline, x, y, COUNT));
  TRY(lookup(p, &table, x, y, COUNT));
  TRY(relu_truncate(p, &relu, x, y, COUNT));
  TRY(relu_truncate(p, &deep, x, y, COUNT));
  TRY(relu_truncate(p, &truncate, x, y, COUNT));
  TRY(relu_truncate(p, &fast, x, y, COUNT));
  TRY(relu_truncate(p, &fixed, x, y, COUNT));
  TRY(multiply(p, x, x, y, COUNT, 20));
  TRY(multiply(p, x, z, y, COUNT, 20));
  TRY(matmul(p, &matrices, x, z, y, 2));
  TRY(top_k(p, &best, x, y, z, COUNT / 10));
  TRY(maxpool(p, &pool, x, y, 2));
  TRY(triples_multiply(p, x, x, y, COUNT, 20));
  TRY(triples_multiply(p, x, z, y, COUNT, 20));
  TRY(run_layers(p, x, y));
  TRY(run_garbled(p, x, y));
  TRY(run_matrices(p, x, z, y));
  TRY(field_ring(p, &conversion, x, y, COUNT));
  TRY(channel_flush(p->channel));
cleanup:
  return status;
}

static void *side_run(void *arg) {
  struct side *s = arg;
  uint64_t x[ROOM], y[ROOM], z[ROOM], state = (uint64_t)s->party.role + 1;
  for (size_t i = 0; i < ROOM; i++) x[i] = z[i] = test_random(&state);
  MARK_SECRET(x, sizeof x);
  MARK_SECRET(z, sizeof z);
  s->status = run_gates(&s->party, x, y, z);
  return NULL;
}

static void gates__secrets_steer_nothing(void **state) {
  (void)state;
  struct channel *ends[2];
  struct side sides[2];
  assert_ok(channel_pipe(&ends[0], &ends[1]));
  for (unsigned i = 0; i < 2; i++) {
    struct side *s = &sides[i];
    *s = (struct side){.party = {.role = i ? ROLE_CLIENT : ROLE_SERVER, .channel = ends[i], .cot = &s->marked.cot}};
    assert_ok(prg_new_random(&s->party.prg));
    assert_ok(dealer_open(&s->marked.dealer, s->party.role, ends[i], 1));
    s->marked.cot = *s->marked.dealer;
    s->marked.cot.ops = &marked_ops;
    s->garble = (struct garble){.role = s->party.role, .channel = ends[i], .cot = &s->marked.cot};
    s->party.garble = &s->garble;
    MARK_SECRET(&s->marked.cot.delta, sizeof s->marked.cot.delta);
  }
  test_run_both(side_run, &sides[0], side_run, &sides[1]);
  for (unsigned i = 0; i < 2; i++) {
    assert_ok(sides[i].status);
    cot_close(&sides[i].marked.cot);
    prg_free(sides[i].party.prg);
    channel_close(ends[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(gates__secrets_steer_nothing)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
