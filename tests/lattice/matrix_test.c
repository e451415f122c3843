/* Products of shared matrices by encryption against integer arithmetic. */
#include <math.h>
#include <stdio.h>

#include "base/cpu_tier.h"
#include "lattice/galois.h"
#include "lattice/matrix.h"
#include "lattice/matrix_layout.h"
#include "support/support.h"

struct end {
  const struct matrix_layer *layer;
  struct channel *channel;
  size_t samples;
  uint64_t *a, *b, *y;
  fusion_status status;
};

static struct rlwe_keys keys_of(const struct matrix_layer *layer) {
  struct rlwe_keys keys = {0};
  rlwe_keys_add_matrix(&keys, layer);
  return keys;
}

static void *run_end(const struct end *e, bool server, fusion_status *status) {
  struct prg *seed = NULL;
  struct rlwe *r = NULL;
  const struct rlwe_keys keys = keys_of(e->layer);
  *status = prg_new_random(&seed);
  if (*status == FUSION_OK)
    *status = server ? rlwe_open_server(&r, e->channel, seed, &keys) : rlwe_open_client(&r, e->channel, seed, &keys);
  for (unsigned run = 0; run < 2 && *status == FUSION_OK; run++) /* a session's second product has other masks */
    *status = server ? matrix_server(r, e->layer, e->a, e->b, e->y, e->samples)
                     : matrix_client(r, e->layer, e->a, e->b, e->y, e->samples);
  rlwe_close(r);
  prg_free(seed);
  return NULL;
}

static void *run_server(void *arg) {
  struct end *e = arg;
  return run_end(e, true, &e->status);
}

static void *run_client(void *arg) {
  struct end *e = arg;
  return run_end(e, false, &e->status);
}

static void assert_declared(const struct end *server, const struct end *client) {
  struct cost cost = {0};
  const struct rlwe_keys keys = keys_of(server->layer);
  rlwe_open_cost(&cost, &keys);
  for (unsigned run = 0; run < 2; run++) matrix_cost(&cost, server->layer, server->samples);
  const struct channel_stats ss = channel_get_stats(server->channel), cs = channel_get_stats(client->channel);
  assert_int_equal(cs.bytes_sent, cost.bytes_to_server);
  assert_int_equal(ss.bytes_sent, cost.bytes_to_client);
  assert_int_equal(cs.messages_sent, cost.messages_to_server);
  assert_int_equal(ss.messages_sent, cost.messages_to_client);
  assert_int_equal(cs.depth, cost.depth_client);
  assert_int_equal(ss.depth, cost.depth_server);
}

static uint64_t *numbers(size_t count) {
  uint64_t *v = mem_alloc(count, sizeof *v);
  assert_non_null(v);
  return v;
}

/* The server's share is uniform, or the value of the largest magnitude everywhere, whose noise is the largest. */
static void fill(const struct end *server, const struct end *client, bool extreme, uint64_t *random) {
  const struct matrix_product *m = &server->layer->product;
  const uint64_t most = UINT64_C(1) << (server->layer->ring_bits - 1);
  for (size_t i = 0; i < server->samples * matrix_product_left(m); i++) {
    server->a[i] = extreme ? most : test_random(random);
    client->a[i] = test_random(random);
  }
  for (size_t i = 0; i < server->samples * matrix_product_right(m); i++) {
    server->b[i] = extreme ? most : test_random(random);
    client->b[i] = test_random(random);
  }
}

/* The shares sum to 2^guard * value + eps with eps in {-2, -1, 0}. */
static void assert_product(const struct end *server, const struct end *client) {
  const struct matrix_layer *q = server->layer;
  const struct matrix_product *m = &q->product;
  const size_t left = matrix_product_left(m), right = matrix_product_right(m), size = matrix_product_size(m);
  uint64_t *a = numbers(left), *b = numbers(right), *want = numbers(size);
  const unsigned kept = (unsigned)q->ring_bits + q->guard_bits;
  for (size_t s = 0; s < server->samples; s++) {
    for (size_t i = 0; i < left; i++) a[i] = server->a[s * left + i] + client->a[s * left + i];
    for (size_t i = 0; i < right; i++) b[i] = server->b[s * right + i] + client->b[s * right + i];
    matrix_product_run(m, a, b, want);
    for (size_t i = 0; i < size; i++) {
      const uint64_t sum = server->y[s * size + i] + client->y[s * size + i];
      const uint64_t below = ((want[i] << q->guard_bits) - sum) & low_mask(kept);
      if (below > 2)
        fail_msg("ring %u, %u x %u x %u, levels %u: sample %zu, number %zu is off by %lld", q->ring_bits, m->rows,
                 m->depth, m->columns, q->levels, s, i, (long long)ring_signed(0 - below, kept));
    }
  }
  mem_free(a);
  mem_free(b);
  mem_free(want);
}

static void end_open(struct end *e, const struct matrix_layer *layer, size_t samples) {
  const struct matrix_product *m = &layer->product;
  *e = (struct end){.layer = layer, .samples = samples};
  e->a = numbers(samples * matrix_product_left(m));
  e->b = numbers(samples * matrix_product_right(m));
  e->y = numbers(samples * matrix_product_size(m));
}

static void end_close(struct end *e) {
  channel_close(e->channel);
  mem_free(e->a);
  mem_free(e->b);
  mem_free(e->y);
}

static void check(struct matrix_layer layer, size_t samples, bool extreme, uint64_t *random) {
  struct end server, client;
  if (!layer.levels) layer.levels = matrix_choose_levels(&layer, samples);
  if (!layer.levels) fail_msg("a ring of %u bits does not fit", layer.ring_bits);
  end_open(&server, &layer, samples);
  end_open(&client, &layer, samples);
  fill(&server, &client, extreme, random);
  assert_ok(channel_pipe(&server.channel, &client.channel));
  test_run_both(run_server, &server, run_client, &client);
  assert_ok(server.status);
  assert_ok(client.status);
  assert_product(&server, &client);
  assert_declared(&server, &client);
  end_close(&server);
  end_close(&client);
}

static void matrix__every_ring(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (uint8_t ring = 2; ring <= 30; ring += 4) {
    assert_ok(cpu_tier_force((enum cpu_tier)(ring / 4 % (1u + (unsigned)cpu_tier_best()))));
    check((struct matrix_layer){{2, 5, 7, 6, ring % 8 == 2}, ring, 2, 0}, 2, ring % 3 == 0, &random);
  }
  assert_ok(cpu_tier_force(cpu_tier_best()));
}

/* All numbers of levels; blocks and pieces that are not full; units that do not fill an answer. */
static void matrix__every_level(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (uint8_t levels = 1; levels <= MATRIX_LEVELS_MAX; levels++)
    check((struct matrix_layer){{1, 3, 5, 4, true}, 20, 2, levels}, levels % 2 + 1, levels == 8, &random);
  check((struct matrix_layer){{1, 2, 70, 33, false}, 18, 2, 8}, 1, true, &random);
  check((struct matrix_layer){{3, 1, 9, 1, false}, 18, 2, 2}, 3, true, &random);
  check((struct matrix_layer){{1, 40, 2, 20, true}, 18, 2, 7}, 1, true, &random);
}

static void matrix__attention(void **state) {
  (void)state;
  uint64_t random = test_seed();
  check((struct matrix_layer){{2, 16, 16, 16, true}, 24, 2, 0}, 2, true, &random);
}

/* More queries than go ahead of their answers; as many pieces as there may be. */
static void matrix__more_than_a_chunk(void **state) {
  (void)state;
  uint64_t random = test_seed();
  const struct matrix_layer layer = {{1, 2, 8192, 2, false}, 14, 2, 8};
  struct matrix_layout l;
  assert_ok(matrix_layout_make(&l, &layer, 45));
  assert_true(l.groups > l.chunk && l.groups % l.chunk);
  check(layer, 45, false, &random);
}

/* What a manifest may ask for: a walk over its units would take days. */
static void matrix_cost__of_a_huge_program(void **state) {
  (void)state;
  const struct matrix_layer layer = {{1 << 26, 1, 1, 1, false}, 20, 2, 3};
  struct cost cost = {0};
  matrix_cost(&cost, &layer, 1 << 11);
  assert_true(cost.messages_to_server == (uint64_t)1 << 37);
}

/* Too wide a ring, too many pieces, no levels. */
static void matrix_choose_levels__refuses_what_does_not_fit(void **state) {
  (void)state;
  struct matrix_layer layer = {{1, 4, 4, 4, false}, 40, 2, 0};
  struct cost cost = {0};
  assert_int_equal(matrix_choose_levels(&layer, 1), 0);
  layer.ring_bits = 20;
  assert_int_not_equal(matrix_choose_levels(&layer, 1), 0);
  layer.product.depth = 1 << 21;
  assert_int_equal(matrix_choose_levels(&layer, 1), 0);
  matrix_cost(&cost, &layer, 1);
  assert_int_equal(cost.bytes_to_server, 0);
  assert_int_equal(matrix_memory(&layer, ROLE_SERVER), SIZE_MAX);
}

/* The bound of docs/protocols/matmul.md, computed once more: the layout drops as many bits as it allows. */
static double bound(const struct matrix_layer *layer, unsigned dropped) {
  const double n = 4096, tail = 10.597, s = exp2(layer->levels), k = layer->product.depth;
  const double p0 = rlwe_primes[0], p1 = rlwe_primes[1], p2 = rlwe_primes[2], word = exp2(layer->ring_bits - 1);
  const double round = tail * sqrt(n) / 2 + 1;
  const double fresh = tail * sqrt((10.5 + (dropped ? exp2(2.0 * dropped - 2) : 0)) * k) * word + k * word;
  const double keys = tail * sqrt(10.5 * 2 * n) * p0 / 2 / p2 + round;
  const double sum = s * (fresh / p2 + round) + (s - 1) * keys + tail * sqrt(10.5 * (2 * n + 1));
  const double kept = layer->ring_bits + layer->guard_bits, fractions = 2 * n * exp2(kept + 11 - 64) + 1;
  return sum / (p0 * p1) * exp2(kept) + (tail * sqrt(n) / 2 + fractions) / 2048;
}

static void matrix_layout__drops_what_the_noise_bound_allows(void **state) {
  (void)state;
  for (uint8_t ring = 2; ring <= 36; ring++)
    for (uint8_t levels = 1; levels <= MATRIX_LEVELS_MAX; levels++) {
      const struct matrix_layer layer = {{1, 4, 8u << ring % 4, 4, false}, ring, (uint8_t)(2 + ring % 2), levels};
      struct matrix_layout l;
      const bool fits = matrix_layout_make(&l, &layer, 1) == FUSION_OK;
      assert_int_equal(fits, bound(&layer, 0) < 0.5 && div_up(8u << ring % 4, (size_t)1 << levels) <= 32);
      if (!fits) continue;
      assert_true(bound(&layer, l.dropped) < 0.5);
      assert_true(l.query_bits == RLWE_QUERY_BITS_MIN || bound(&layer, l.dropped + 1) >= 0.5);
    }
}

/* The widest ring that fits each number of levels, with the largest words. */
static void matrix__widest_rings(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (uint8_t levels = 2; levels <= MATRIX_LEVELS_MAX; levels += 3) {
    struct matrix_layer layer = {{1, 4, 6, 5, false}, 20, 2, levels};
    while (layer.ring_bits < 40 &&
           bound(&(struct matrix_layer){layer.product, (uint8_t)(layer.ring_bits + 1), 2, levels}, 0) < 0.5)
      layer.ring_bits++;
    check(layer, 1, true, &random);
  }
}

/* The wire of a product of 64 x 64 and 64 x 32, keys left out: docs/protocols/matmul.md. */
static void matrix__traffic(void **state) {
  (void)state;
  struct matrix_layer layer = {{1, 64, 64, 32, false}, 24, 2, 7};
  struct cost cost = {0};
  matrix_cost(&cost, &layer, 1);
  assert_true(cost.bytes_to_server + cost.bytes_to_client < 110000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(matrix__every_ring),
      cmocka_unit_test(matrix__every_level),
      cmocka_unit_test(matrix__attention),
      cmocka_unit_test(matrix_choose_levels__refuses_what_does_not_fit),
      cmocka_unit_test(matrix_layout__drops_what_the_noise_bound_allows),
      cmocka_unit_test(matrix__widest_rings),
      cmocka_unit_test(matrix__more_than_a_chunk),
      cmocka_unit_test(matrix_cost__of_a_huge_program),
      cmocka_unit_test(matrix__traffic),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
