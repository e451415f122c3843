/** garble: garbled circuits, for steps that cost one round trip whatever their depth. The client garbles, the server
 *  evaluates: a garbled circuit is secure against a malicious evaluator, so a cheating server can change its own input
 *  bits and nothing else.
 *
 *  This file: circuits as data, built from public widths. A wire's number is its gate's. The evaluator's input words
 *  and the garbler's come as bits, lowest first. Wires that follow from the garbler's bits alone are known to it while
 *  it garbles and have no labels: an XOR with one is free, an AND with one costs one block an instance, an AND of two
 *  wires with labels two.
 *
 *  Outputs are words of additive shares, not bits: a term opens one bit (or the AND of two) to the evaluator as
 *  bit * factor plus a mask that the garbler knows, for a few bits of traffic. So a word is shared again without an
 *  adder for the mask. */
#ifndef FUSION_GARBLE_CIRCUIT_H
#define FUSION_GARBLE_CIRCUIT_H

#include "base/base.h"

enum {
  CIRCUIT_WORDS_MAX = 4,      /* of each kind */
  CIRCUIT_BITS_MAX = 62,      /* of a word */
  CIRCUIT_INDEX_BITS_MAX = 5, /* of a table */
};
#define CIRCUIT_NONE UINT32_MAX

enum circuit_kind {
  CIRCUIT_INPUT, /* the evaluator's a-th bit */
  CIRCUIT_KNOWN, /* the garbler's a-th bit */
  CIRCUIT_NOT,
  CIRCUIT_XOR,
  CIRCUIT_AND,
};

struct circuit_gate {
  enum circuit_kind kind;
  bool known; /* the garbler knows the wire's value */
  uint32_t a, b;
};

/** Adds (minus: subtracts) 2^shift * [wire, or wire & guard] * factor to an output word. */
struct circuit_term {
  uint32_t wire, guard; /* with labels; guard CIRCUIT_NONE: none */
  uint32_t factor;      /* one of the garbler's factor words; CIRCUIT_NONE: 1 */
  uint8_t word, shift;
  bool minus;
};

/** Adds base[h] + slope[h] * l to output word 0, where x = a + b modulo 2^(index_bits + low_bits), a the evaluator's
 *  input word 0, b the garbler's factor word 0, and
 *      h = x >> low_bits,  l = x mod 2^low_bits - 2^(low_bits-1);  without low bits: base[x].
 *  The function is public (gates/lookup.h); garble_table.h says how and what it costs. */
struct circuit_table {
  uint8_t index_bits; /* 1..CIRCUIT_INDEX_BITS_MAX; 0: there is none */
  uint8_t low_bits;
  uint32_t carry;              /* with labels: out of the sum of the low bits; without low bits not read */
  const int64_t *base, *slope; /* borrowed: [2^index_bits] */
};

struct circuit_words {
  unsigned count;
  uint8_t bits[CIRCUIT_WORDS_MAX];
};

struct circuit {
  struct circuit_gate *gates; /* owned */
  struct circuit_term *terms; /* owned */
  size_t gate_count, gate_capacity, term_count, term_capacity;
  struct circuit_table table;
  struct circuit_words inputs, known, outputs;
  unsigned factors;              /* words of the garbler that terms multiply with, or a table reads */
  uint32_t input_bits;           /* the evaluator's, all words together */
  uint32_t known_bits;           /* the garbler's */
  uint32_t full_ands, half_ands; /* of two blocks, of one block an instance */
  bool out_of_memory;            /* while it was built: it must not be used */
};

void circuit_free(struct circuit *c);

/* Building: a failure to grow sticks in out_of_memory. Words before the gates that read them. */

/** The first wire of a word of the evaluator, of the garbler; the others follow. */
uint32_t circuit_input_word(struct circuit *c, unsigned bits);
uint32_t circuit_known_word(struct circuit *c, unsigned bits);
/** The number of an output word modulo 2^bits. */
uint8_t circuit_output_word(struct circuit *c, unsigned bits);
uint32_t circuit_not(struct circuit *c, uint32_t a);
uint32_t circuit_xor(struct circuit *c, uint32_t a, uint32_t b);
uint32_t circuit_and(struct circuit *c, uint32_t a, uint32_t b);
void circuit_term(struct circuit *c, struct circuit_term term);

/** Bits that a term's value has: those of its word above `shift`. */
static inline unsigned circuit_term_bits(const struct circuit *c, const struct circuit_term *t) {
  return c->outputs.bits[t->word] - (unsigned)t->shift;
}
/** Values of a term that travel: one for every combination of its label bits but the first. */
static inline unsigned circuit_term_rows(const struct circuit_term *t) {
  return t->guard == CIRCUIT_NONE ? 1 : 3;
}
/** Wires that a table is read at, the carry the last of them; the bits of l at the evaluator that show in the word. */
static inline unsigned circuit_table_wires(const struct circuit *c) {
  return (unsigned)c->table.index_bits + (c->table.low_bits > 0);
}
static inline unsigned circuit_table_products(const struct circuit *c) {
  const unsigned low = c->table.low_bits, bits = c->outputs.bits[0];
  return low < bits ? low : bits;
}
/** Hash tweaks of one instance. */
size_t circuit_tweaks(const struct circuit *c);

#endif
