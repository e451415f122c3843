#include "garble/circuit_support.h"

#include "garble/garble_table.h"

#include <stdio.h>

/* The bit at position `at` of the words laid end to end. */
static uint64_t bit_at(const struct circuit_words *words, const uint64_t *values, uint32_t at) {
  unsigned word = 0;
  for (; at >= words->bits[word]; word++) at -= words->bits[word];
  return values[word] >> at & 1;
}

/* What the circuit's table adds; the carry is the wire's. */
static uint64_t table_clear(const struct circuit *c, const uint64_t *wire, uint64_t a, uint64_t b) {
  const struct circuit_table *t = &c->table;
  const unsigned low = t->low_bits;
  const uint64_t carry = low ? wire[t->carry] : 0;
  const uint64_t h = ((a >> low) + (b >> low) + carry) & low_mask(t->index_bits);
  if (!low) return (uint64_t)t->base[h];
  const uint64_t l = (a & low_mask(low)) + (b & low_mask(low)) - (carry << low) - (UINT64_C(1) << (low - 1));
  return (uint64_t)t->base[h] + (uint64_t)t->slope[h] * l;
}

void circuit_clear(const struct circuit *c, const uint64_t *inputs, const uint64_t *known, const uint64_t *factors,
                   uint64_t *outputs) {
  uint64_t *wire = mem_alloc(c->gate_count, sizeof *wire);
  for (uint32_t i = 0; i < c->gate_count; i++) {
    const struct circuit_gate *g = &c->gates[i];
    if (g->kind == CIRCUIT_INPUT) wire[i] = bit_at(&c->inputs, inputs, g->a);
    if (g->kind == CIRCUIT_KNOWN) wire[i] = bit_at(&c->known, known, g->a);
    if (g->kind == CIRCUIT_NOT) wire[i] = wire[g->a] ^ 1;
    if (g->kind == CIRCUIT_XOR) wire[i] = wire[g->a] ^ wire[g->b];
    if (g->kind == CIRCUIT_AND) wire[i] = wire[g->a] & wire[g->b];
  }
  memset(outputs, 0, c->outputs.count * sizeof *outputs);
  for (size_t i = 0; i < c->term_count; i++) {
    const struct circuit_term *t = &c->terms[i];
    const uint64_t bit = wire[t->wire] & (t->guard == CIRCUIT_NONE ? 1 : wire[t->guard]);
    const uint64_t value = (bit * (t->factor == CIRCUIT_NONE ? 1 : factors[t->factor])) << t->shift;
    outputs[t->word] += t->minus ? 0 - value : value;
  }
  if (c->table.index_bits) outputs[0] += table_clear(c, wire, inputs[0], factors[0]);
  for (unsigned i = 0; i < c->outputs.count; i++) outputs[i] &= low_mask(c->outputs.bits[i]);
  mem_free(wire);
}

void circuit_print(const struct circuit *c, char *text, size_t capacity) {
  size_t kinds[CIRCUIT_AND + 1] = {0}, term_bits = 0;
  for (uint32_t i = 0; i < c->gate_count; i++) kinds[c->gates[i].kind]++;
  for (size_t i = 0; i < c->term_count; i++)
    term_bits += circuit_term_rows(&c->terms[i]) * circuit_term_bits(c, &c->terms[i]);
  term_bits += garble_table_len(c, 8); /* bytes of eight instances */
  snprintf(text, capacity, "%zu inputs, %zu known, %zu xor, %zu not, %zu and (%u of two blocks, %u of one), %zu bits",
           kinds[CIRCUIT_INPUT], kinds[CIRCUIT_KNOWN], kinds[CIRCUIT_XOR], kinds[CIRCUIT_NOT], kinds[CIRCUIT_AND],
           c->full_ands, c->half_ands, term_bits);
}
