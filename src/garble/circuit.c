#include "garble/circuit.h"

void circuit_free(struct circuit *c) {
  mem_free(c->gates);
  mem_free(c->terms);
  *c = (struct circuit){0};
}

/* Room for one more element of *array. */
static bool grow(struct circuit *c, void **array, size_t count, size_t *capacity, size_t element_len) {
  if (count < *capacity) return true;
  const size_t larger = size_max(64, 2 * *capacity);
  void *grown = mem_alloc(larger, element_len);
  if (!grown) {
    c->out_of_memory = true;
    return false;
  }
  if (count) memcpy(grown, *array, count * element_len);
  mem_free(*array);
  *array = grown;
  *capacity = larger;
  return true;
}

static uint32_t add_gate(struct circuit *c, struct circuit_gate gate) {
  void *gates = c->gates;
  const bool room = grow(c, &gates, c->gate_count, &c->gate_capacity, sizeof gate);
  c->gates = gates;
  if (!room) return 0;
  c->gates[c->gate_count] = gate;
  return (uint32_t)c->gate_count++;
}

static void add_word(struct circuit_words *words, unsigned bits) {
  assert(words->count < CIRCUIT_WORDS_MAX && bits >= 1 && bits <= CIRCUIT_BITS_MAX);
  words->bits[words->count++] = (uint8_t)bits;
}

uint32_t circuit_input_word(struct circuit *c, unsigned bits) {
  const uint32_t first = (uint32_t)c->gate_count;
  add_word(&c->inputs, bits);
  for (unsigned i = 0; i < bits; i++) add_gate(c, (struct circuit_gate){.kind = CIRCUIT_INPUT, .a = c->input_bits++});
  return first;
}

uint32_t circuit_known_word(struct circuit *c, unsigned bits) {
  const uint32_t first = (uint32_t)c->gate_count;
  add_word(&c->known, bits);
  for (unsigned i = 0; i < bits; i++)
    add_gate(c, (struct circuit_gate){.kind = CIRCUIT_KNOWN, .known = true, .a = c->known_bits++});
  return first;
}

uint8_t circuit_output_word(struct circuit *c, unsigned bits) {
  add_word(&c->outputs, bits);
  return (uint8_t)(c->outputs.count - 1);
}

/* After a failure to grow there may be no gate. */
static bool known_to_garbler(const struct circuit *c, uint32_t wire) {
  return !c->out_of_memory && c->gates[wire].known;
}

uint32_t circuit_not(struct circuit *c, uint32_t a) {
  return add_gate(c, (struct circuit_gate){.kind = CIRCUIT_NOT, .known = known_to_garbler(c, a), .a = a});
}

uint32_t circuit_xor(struct circuit *c, uint32_t a, uint32_t b) {
  const bool known = known_to_garbler(c, a) && known_to_garbler(c, b);
  return add_gate(c, (struct circuit_gate){.kind = CIRCUIT_XOR, .known = known, .a = a, .b = b});
}

/* Of a wire that the garbler knows and one that it does not, the known one is b. */
uint32_t circuit_and(struct circuit *c, uint32_t a, uint32_t b) {
  const bool known_a = known_to_garbler(c, a), known_b = known_to_garbler(c, b);
  if (known_a && !known_b) return circuit_and(c, b, a);
  c->full_ands += !known_a && !known_b;
  c->half_ands += !known_a && known_b;
  return add_gate(c, (struct circuit_gate){.kind = CIRCUIT_AND, .known = known_a && known_b, .a = a, .b = b});
}

void circuit_term(struct circuit *c, struct circuit_term term) {
  void *terms = c->terms;
  const bool room = grow(c, &terms, c->term_count, &c->term_capacity, sizeof term);
  c->terms = terms;
  if (!room) return;
  assert(term.word < c->outputs.count && term.shift < c->outputs.bits[term.word]);
  assert(!known_to_garbler(c, term.wire) && (term.guard == CIRCUIT_NONE || !known_to_garbler(c, term.guard)));
  if (term.factor != CIRCUIT_NONE) c->factors = (unsigned)size_max(c->factors, term.factor + 1);
  c->terms[c->term_count++] = term;
}

size_t circuit_tweaks(const struct circuit *c) {
  const size_t of_table = c->table.index_bits ? 1 + (size_t)circuit_table_products(c) : 0;
  return 2 * (size_t)c->full_ands + c->half_ands + c->term_count + of_table;
}
