#include "garble/circuit_gates.h"

/* The sum of two words, bit by bit. */
struct adder {
  struct circuit *c;
  uint32_t a, b;   /* first wires of the words */
  uint32_t carry;  /* into `bit` */
  uint32_t differ; /* a ^ b at `bit`; CIRCUIT_NONE: not made yet */
  unsigned bit;
};

static uint32_t adder_differ(struct adder *s) {
  if (s->differ == CIRCUIT_NONE) s->differ = circuit_xor(s->c, s->a + s->bit, s->b + s->bit);
  return s->differ;
}

/* The sum's bit. */
static uint32_t adder_bit(struct adder *s) {
  const uint32_t differ = adder_differ(s);
  return s->bit ? circuit_xor(s->c, differ, s->carry) : differ;
}

/* Moves on to the next bit. */
static void adder_next(struct adder *s) {
  struct circuit *c = s->c;
  const uint32_t a = s->a + s->bit, b = s->b + s->bit;
  if (s->bit)
    s->carry = circuit_xor(c, circuit_and(c, adder_differ(s), circuit_xor(c, s->carry, b)), b);
  else
    s->carry = circuit_and(c, a, b);
  s->bit++;
  s->differ = CIRCUIT_NONE;
}

static struct adder adder_of(struct circuit *c, unsigned bits) {
  const uint32_t a = circuit_input_word(c, bits);
  return (struct adder){.c = c, .a = a, .b = circuit_known_word(c, bits), .differ = CIRCUIT_NONE};
}

static struct circuit_term plain_term(uint8_t word, uint32_t wire, unsigned shift) {
  return (struct circuit_term){
      .wire = wire, .guard = CIRCUIT_NONE, .factor = CIRCUIT_NONE, .word = word, .shift = (uint8_t)shift};
}

static void make_relu(struct circuit *c, const struct circuit_relu *q) {
  uint32_t sum[CIRCUIT_BITS_MAX];
  const unsigned l = q->in_bits, f = q->shift;
  struct adder s = adder_of(c, l);
  for (unsigned i = 0; i + 1 < l; i++) {
    sum[i] = adder_bit(&s);
    adder_next(&s);
  }
  const uint32_t keep = circuit_not(c, adder_bit(&s));
  for (unsigned i = 0; i < q->out_bits && f + i + 1 < l; i++) {
    struct circuit_term term = plain_term(0, sum[f + i], i);
    term.guard = keep;
    circuit_term(c, term);
  }
}

static void make_truncate(struct circuit *c, const struct circuit_relu *q) {
  const unsigned l = q->in_bits, f = q->shift, k = l - f;
  const bool wraps = q->out_bits > k;
  const unsigned bits = wraps ? l : f;
  if (!bits) return;
  struct adder s = adder_of(c, bits);
  while (s.bit < bits) {
    adder_next(&s);
    if (s.bit == f) circuit_term(c, plain_term(0, s.carry, 0));
  }
  if (!wraps) return;
  struct circuit_term wrap = plain_term(0, s.carry, k);
  wrap.minus = true;
  circuit_term(c, wrap);
}

void circuit_make_relu(struct circuit *c, const struct circuit_relu *params) {
  *c = (struct circuit){0};
  circuit_output_word(c, params->out_bits);
  if (params->relu)
    make_relu(c, params);
  else
    make_truncate(c, params);
}

void circuit_make_sum(struct circuit *c, unsigned bits) {
  *c = (struct circuit){0};
  circuit_output_word(c, bits);
  struct adder s = adder_of(c, bits);
  for (unsigned i = 0; i < bits; i++) {
    circuit_term(c, plain_term(0, adder_bit(&s), i));
    if (i + 1 < bits) adder_next(&s);
  }
}

void circuit_make_negative(struct circuit *c, unsigned bits, unsigned out_bits) {
  *c = (struct circuit){0};
  circuit_output_word(c, out_bits);
  struct adder s = adder_of(c, bits);
  while (s.bit + 1 < bits) adder_next(&s);
  circuit_term(c, plain_term(0, adder_bit(&s), 0));
}

void circuit_make_products(struct circuit *c, unsigned words, unsigned bits) {
  *c = (struct circuit){0};
  circuit_output_word(c, bits);
  for (unsigned w = 0; w < words; w++) {
    const uint32_t first = circuit_input_word(c, bits);
    for (unsigned i = 0; i < bits; i++) {
      struct circuit_term term = plain_term(0, first + i, i);
      term.factor = w;
      circuit_term(c, term);
    }
  }
}

void circuit_make_lookup(struct circuit *c, const struct circuit_lookup *params) {
  const unsigned low = params->low_bits;
  *c = (struct circuit){.factors = 1};
  circuit_output_word(c, params->out_bits);
  c->table = (struct circuit_table){.index_bits = params->index_bits,
                                    .low_bits = params->low_bits,
                                    .carry = CIRCUIT_NONE,
                                    .base = params->base,
                                    .slope = params->slope};
  const uint32_t a = circuit_input_word(c, params->index_bits + low);
  if (!low) return;
  struct adder s = {.c = c, .a = a, .b = circuit_known_word(c, low), .differ = CIRCUIT_NONE};
  while (s.bit < low) adder_next(&s);
  c->table.carry = s.carry;
}
