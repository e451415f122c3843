/* field_ring against integer arithmetic. */
#include "gates/field_ring.h"

#include "base/cpu_tier.h"
#include "gates/gate_pair.h"

/* Both parties' shares, which are numbers below t. */
struct shares {
  struct field_ring params;
  uint64_t *server, *client;
};

static fusion_status call(struct party *p, const struct gate_case *g, uint64_t *const *in, uint64_t *const *out) {
  const struct shares *s = g->params;
  (void)in;
  return field_ring(p, &s->params, p->role == ROLE_SERVER ? s->server : s->client, out[0], g->count);
}

/* Random shares; ends of the range; sums that just wrap and just do not. */
static void draw(struct shares *s, size_t count, uint64_t *random) {
  const uint64_t t = s->params.modulus, ends[] = {0, 1, t - 1, t / 2, t / 2 + 1};
  for (size_t e = 0; e < count; e++) {
    const uint64_t r = test_random(random), kind = r % 8;
    s->server[e] = kind < 6 ? (r >> 8) % t : ends[(r >> 8) % 5];
    s->client[e] = kind % 2 ? test_random(random) % t : ends[(r >> 20) % 5];
    if (kind == 2) s->client[e] = (t - s->server[e]) % t;
    if (kind == 4) s->client[e] = t - 1 - s->server[e];
  }
}

static void check(const struct field_ring *q, size_t count, uint64_t *random) {
  struct shares s = {*q, mem_alloc(count, sizeof(uint64_t)), mem_alloc(count, sizeof(uint64_t))};
  uint64_t *y = mem_alloc(count, sizeof *y);
  const struct gate_case g = {
      .call = call, .params = &s, .count = count, .out_count = {count}, .out_bits = {q->ring_bits}, .out = {y}};
  struct cost cost = {0};
  draw(&s, count, random);
  field_ring_cost(&cost, q, count);
  gate_run(&g, &cost, random);
  for (size_t e = 0; e < count; e++) {
    const uint64_t expected = ((s.server[e] + s.client[e]) % q->modulus - q->offset) & low_mask(q->ring_bits);
    if (y[e] != expected)
      fail_msg("t %llu ring %u count %zu: element %zu, %llu + %llu gives %llu, not %llu",
               (unsigned long long)q->modulus, q->ring_bits, count, e, (unsigned long long)s.server[e],
               (unsigned long long)s.client[e], (unsigned long long)y[e], (unsigned long long)expected);
  }
  mem_free(s.server);
  mem_free(s.client);
  mem_free(y);
}

static void field_ring__random_parameters(void **state) {
  (void)state;
  static const size_t counts[] = {1, 7, 64, 200};
  uint64_t random = test_seed();
  for (unsigned i = 0; i < 200; i++) {
    assert_ok(cpu_tier_force((enum cpu_tier)(i / 8 % (1u + (unsigned)cpu_tier_best()))));
    const unsigned bits = 5 + (unsigned)(test_random(&random) % 56);
    struct field_ring q = {.modulus = (UINT64_C(1) << (bits - 1)) | (test_random(&random) & low_mask(bits - 1)) | 1};
    q.ring_bits = (uint8_t)(2 + test_random(&random) % 61);
    q.offset = test_random(&random) % q.modulus;
    q.shape = i % 2 ? CARRY_FIXED : CARRY_CHEAPEST;
    check(&q, counts[i % 4], &random);
  }
  assert_ok(cpu_tier_force(cpu_tier_best()));
}

static void field_ring__around_a_chunk(void **state) {
  (void)state;
  uint64_t random = test_seed();
  const struct field_ring q = {.modulus = 114689, .offset = 50000, .ring_bits = 12};
  check(&q, FIELD_RING_CHUNK - 1, &random);
  check(&q, FIELD_RING_CHUNK + 65, &random);
  const struct field_ring fixed = {
      .modulus = (UINT64_C(1) << 61) - 1, .offset = 50000, .ring_bits = 60, .shape = CARRY_FIXED};
  check(&fixed, FIELD_RING_CHUNK + 1, &random);
}

static void field_ring__refuses_parameters_out_of_range(void **state) {
  (void)state;
  struct party p = {.role = ROLE_SERVER};
  uint64_t x = 0;
  const struct field_ring wrong[] = {{.modulus = 65536, .ring_bits = 12},
                                     {.modulus = 7, .ring_bits = 12},
                                     {.modulus = UINT64_MAX, .ring_bits = 12},
                                     {.modulus = 114689, .ring_bits = 1},
                                     {.modulus = 114689, .ring_bits = 63}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    assert_int_equal(field_ring(&p, &wrong[i], &x, &x, 1), FUSION_E_INTERNAL);
}

static void field_ring__peer_that_leaves_or_alters_a_byte(void **state) {
  (void)state;
  enum { COUNT = 70 };
  uint64_t random = test_seed(), y[COUNT], a[COUNT], b[COUNT];
  struct shares s = {{.modulus = 114689, .offset = 5, .ring_bits = 12}, a, b};
  const struct gate_case g = {
      .call = call, .params = &s, .count = COUNT, .out_count = {COUNT}, .out_bits = {12}, .out = {y}};
  struct cost cost = {0};
  draw(&s, COUNT, &random);
  field_ring_cost(&cost, &s.params, COUNT);
  for (enum role who = ROLE_SERVER; who <= ROLE_CLIENT; who++) {
    assert_int_equal(gate_run_disturbed(&g, who, 0, true, &random), FUSION_E_CLOSED);
    const uint64_t len = who == ROLE_SERVER ? cost.bytes_to_client : cost.bytes_to_server;
    for (uint64_t at = 0; at < len; at += 1 + test_random(&random) % 97) {
      const fusion_status status = gate_run_disturbed(&g, who, at, false, &random);
      assert_true(status == FUSION_OK || status == FUSION_E_PEER || status == FUSION_E_CLOSED);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(field_ring__random_parameters),
      cmocka_unit_test(field_ring__around_a_chunk),
      cmocka_unit_test(field_ring__refuses_parameters_out_of_range),
      cmocka_unit_test(field_ring__peer_that_leaves_or_alters_a_byte),
  };
  return cmocka_run_group_tests_name("field_ring", tests, NULL, NULL);
}
