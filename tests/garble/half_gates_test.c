/* Garbled circuits against the same circuits in the clear, on every tier; what an evaluator cannot see. */
#include "garble/half_gates.h"
#include "base/bits.h"
#include "base/cpu_tier.h"
#include "garble/circuit_support.h"
#include "net/channel.h"
#include "support/support.h"

/* One batch: garbled, then evaluated with the labels of `inputs`. */
struct bench {
  struct circuit c;
  size_t count;
  uint64_t inputs[CIRCUIT_WORDS_MAX][GARBLE_BATCH], known[CIRCUIT_WORDS_MAX][GARBLE_BATCH];
  uint64_t factors[CIRCUIT_WORDS_MAX][GARBLE_BATCH], client[CIRCUIT_WORDS_MAX][GARBLE_BATCH];
  uint64_t server[CIRCUIT_WORDS_MAX][GARBLE_BATCH];
  block delta, *zeros, *labels; /* [input_bits][count] */
  block *table;
  uint8_t *rows;
};

static block random_block(uint64_t *random) {
  return block_make(test_random(random), test_random(random));
}

static void bench_open(struct bench *b, size_t count, uint64_t *random) {
  b->count = count;
  b->delta = random_block(random);
  b->delta.lo |= 1;
  b->zeros = mem_alloc(b->c.input_bits * count, sizeof *b->zeros);
  b->labels = mem_alloc(b->c.input_bits * count, sizeof *b->labels);
  b->table = mem_alloc(garble_blocks(&b->c, count), sizeof *b->table);
  b->rows = mem_alloc(garble_rows_len(&b->c, count) + BITS_SLACK, 1);
  for (unsigned w = 0; w < CIRCUIT_WORDS_MAX; w++) {
    for (size_t e = 0; e < count; e++) {
      b->inputs[w][e] = test_random(random);
      b->known[w][e] = test_random(random);
      b->factors[w][e] = test_random(random);
    }
  }
  for (size_t i = 0; i < b->c.input_bits * count; i++) b->zeros[i] = random_block(random);
  const block *zero = b->zeros;
  block *label = b->labels;
  for (unsigned w = 0; w < b->c.inputs.count; w++) {
    for (unsigned bit = 0; bit < b->c.inputs.bits[w]; bit++) {
      for (size_t e = 0; e < count; e++)
        *label++ = block_xor(*zero++, block_and_mask(b->delta, (uint64_t)0 - (b->inputs[w][e] >> bit & 1)));
    }
  }
}

static void bench_close(struct bench *b) {
  mem_free(b->zeros);
  mem_free(b->labels);
  mem_free(b->table);
  mem_free(b->rows);
  circuit_free(&b->c);
}

/* `role`: the client garbles into the table, the server evaluates it. */
static void bench_run(struct bench *b, enum role role) {
  struct garble_workspace ws;
  const uint64_t *known[CIRCUIT_WORDS_MAX], *factors[CIRCUIT_WORDS_MAX], *inputs[CIRCUIT_WORDS_MAX];
  uint64_t *out[CIRCUIT_WORDS_MAX];
  const bool garbler = role == ROLE_CLIENT;
  garble_workspace_place(&ws, &b->c, mem_alloc(garble_workspace_len(&b->c), 1));
  for (unsigned w = 0; w < CIRCUIT_WORDS_MAX; w++) {
    known[w] = b->known[w];
    factors[w] = b->factors[w];
    inputs[w] = b->inputs[w];
    out[w] = garbler ? b->client[w] : b->server[w];
    memset(out[w], 0, sizeof b->client[w]);
  }
  const struct garble_batch batch = {.ws = &ws,
                                     .count = b->count,
                                     .labels = garbler ? b->zeros : b->labels,
                                     .table = b->table,
                                     .rows = b->rows,
                                     .delta = garbler ? b->delta : block_make(0, 0),
                                     .domain = 7,
                                     .first = 1000,
                                     .known = known,
                                     .factors = factors,
                                     .inputs = inputs,
                                     .out = out};
  if (garbler)
    garble_batch(&batch);
  else
    evaluate_batch(&batch);
  mem_free(ws.memory);
}

static void check(struct bench *b) {
  bench_run(b, ROLE_CLIENT);
  bench_run(b, ROLE_SERVER);
  for (size_t e = 0; e < b->count; e++) {
    uint64_t in[CIRCUIT_WORDS_MAX], known[CIRCUIT_WORDS_MAX], factors[CIRCUIT_WORDS_MAX], out[CIRCUIT_WORDS_MAX];
    for (unsigned w = 0; w < CIRCUIT_WORDS_MAX; w++) {
      in[w] = b->inputs[w][e];
      known[w] = b->known[w][e];
      factors[w] = b->factors[w][e];
    }
    circuit_clear(&b->c, in, known, factors, out);
    for (unsigned w = 0; w < b->c.outputs.count; w++)
      assert_int_equal((b->client[w][e] + b->server[w][e]) & low_mask(b->c.outputs.bits[w]), out[w]);
  }
}

static void make_lookup(struct circuit *c, unsigned out_bits, uint64_t *random) {
  static int64_t base[1 << CIRCUIT_INDEX_BITS_MAX], slope[1 << CIRCUIT_INDEX_BITS_MAX];
  const struct circuit_lookup q = {.index_bits = (uint8_t)(1 + test_random(random) % CIRCUIT_INDEX_BITS_MAX),
                                   .low_bits = (uint8_t)(test_random(random) % 12),
                                   .out_bits = (uint8_t)out_bits,
                                   .base = base,
                                   .slope = slope};
  for (unsigned j = 0; j < 1u << q.index_bits; j++) {
    base[j] = (int64_t)test_random(random);
    slope[j] = (int64_t)test_random(random);
  }
  circuit_make_lookup(c, &q);
}

static void make_any(struct circuit *c, uint64_t *random) {
  const unsigned bits = (unsigned)(1 + test_random(random) % 62);
  struct circuit_relu q = {.in_bits = (uint8_t)(bits + (bits == 1)), .relu = test_random(random) & 1};
  q.shift = (uint8_t)(test_random(random) % (q.in_bits - 1u));
  q.out_bits = (uint8_t)(1 + test_random(random) % 62);
  switch (test_random(random) % 5) {
    case 0: circuit_make_sum(c, bits); break;
    case 1: circuit_make_negative(c, bits, q.out_bits); break;
    case 2: circuit_make_products(c, (unsigned)(1 + test_random(random) % 2), bits); break;
    case 3: make_lookup(c, bits, random); break;
    default: circuit_make_relu(c, &q);
  }
}

static void batch__equals_the_circuit_in_the_clear(void **state) {
  (void)state;
  uint64_t random = test_seed();
  struct bench *b = mem_alloc(1, sizeof *b);
  for (unsigned i = 0; i < 600; i++) {
    assert_ok(cpu_tier_force((enum cpu_tier)(i % (1u + (unsigned)cpu_tier_best()))));
    make_any(&b->c, &random);
    bench_open(b, 1 + test_random(&random) % GARBLE_BATCH, &random);
    check(b);
    bench_close(b);
  }
  assert_ok(cpu_tier_force(cpu_tier_best()));
  mem_free(b);
}

/* Gates of all kinds on all kinds of wires, which the circuits above do not have. */
static void batch__every_gate_on_every_wire(void **state) {
  (void)state;
  uint64_t random = test_seed();
  struct bench *b = mem_alloc(1, sizeof *b);
  for (unsigned i = 0; i < 300; i++) {
    struct circuit *c = &b->c;
    *c = (struct circuit){0};
    circuit_output_word(c, 5);
    circuit_input_word(c, 3);
    circuit_known_word(c, 3);
    for (unsigned k = 0; k < 30; k++) {
      const uint32_t x = (uint32_t)(test_random(&random) % c->gate_count);
      const uint32_t y = (uint32_t)(test_random(&random) % c->gate_count);
      const uint64_t kind = test_random(&random) % 3;
      if (kind == 0) circuit_not(c, x);
      if (kind == 1) circuit_xor(c, x, y);
      if (kind == 2) circuit_and(c, x, y);
    }
    for (uint32_t w = 0; w < c->gate_count; w++) {
      if (c->gates[w].known) continue;
      const struct circuit_term term = {.wire = w,
                                        .guard = w % 3 ? CIRCUIT_NONE : 0,
                                        .factor = w % 2 ? CIRCUIT_NONE : 0,
                                        .shift = (uint8_t)(w % 5),
                                        .minus = w % 7 == 0};
      circuit_term(c, term);
    }
    bench_open(b, 1 + test_random(&random) % 20, &random);
    check(b);
    bench_close(b);
  }
  mem_free(b);
}

/* Tables look random whatever the client's bits: as many ones as zeros, with a known word of zeros or of ones. */
static void batch__tables_look_random(void **state) {
  (void)state;
  uint64_t random = test_seed();
  const struct circuit_relu q = {.in_bits = 20, .shift = 6, .out_bits = 12, .relu = true};
  struct bench *b = mem_alloc(1, sizeof *b);
  uint64_t ones = 0, bits = 0;
  for (unsigned i = 0; i < 20; i++) {
    circuit_make_relu(&b->c, &q);
    bench_open(b, GARBLE_BATCH, &random);
    memset(b->known, i % 2 ? 0xff : 0, sizeof b->known);
    bench_run(b, ROLE_CLIENT);
    const size_t blocks = garble_blocks(&b->c, GARBLE_BATCH), len = garble_rows_len(&b->c, GARBLE_BATCH);
    for (size_t k = 0; k < blocks; k++)
      ones += (uint64_t)(__builtin_popcountll(b->table[k].lo) + __builtin_popcountll(b->table[k].hi));
    for (size_t k = 0; k < len; k++) ones += (uint64_t)__builtin_popcount(b->rows[k]);
    bits += 128 * blocks + 8 * len;
    bench_close(b);
  }
  const double deviation = ((double)ones - (double)bits / 2) / (0.5 * __builtin_sqrt((double)bits));
  assert_true(deviation > -6 && deviation < 6);
  mem_free(b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(batch__equals_the_circuit_in_the_clear),
      cmocka_unit_test(batch__every_gate_on_every_wire),
      cmocka_unit_test(batch__tables_look_random),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
