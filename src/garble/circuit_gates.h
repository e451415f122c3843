/** Circuits on additive shares: the evaluator's share is an input word, the garbler's is known to it. All are built of
 *  the carries of the sum of both shares, one AND a bit:
 *
 *    carry[i + 1] = b ^ ((a ^ b) & (carry[i] ^ b)),  a, b: bit i of the evaluator's and of the garbler's share,
 *
 *  of which the first, carry[0] being 0, costs one block and each other two. That b is known does not make them
 *  cheaper: split as a & (carry ^ b), with a known to the evaluator, and b & carry, with b known to the garbler, an AND
 *  costs one block for each part. But every bit of the sum is then free, and terms share the result again. */
#ifndef FUSION_GARBLE_CIRCUIT_GATES_H
#define FUSION_GARBLE_CIRCUIT_GATES_H

#include "garble/circuit.h"

/** ReLU or truncation of x = a + b modulo 2^in_bits (l), shift f, to shares modulo 2^out_bits (m); k = l - f.
 *
 *  relu: y = max(x, 0) >> f, x read as signed: the sum of the bits f .. l-2 of x, each guarded by "x is not negative".
 *  l - 1 ANDs (2l - 3 blocks), min(k - 1, m) guarded terms. The shares of y are the words' alone.
 *
 *  else y = x >> f, x in [0, 2^l): y = (a >> f) + (b >> f) + carry[f] - 2^k * carry[l]; the word holds what the carries
 *  add, each party adds its share's part. f ANDs, or l where m > k shows the wrap. A word of nothing (f = 0, m <= k)
 *  has no inputs. */
struct circuit_relu {
  uint8_t in_bits, shift, out_bits;
  bool relu;
};
void circuit_make_relu(struct circuit *c, const struct circuit_relu *params);

/** The sum of both shares modulo 2^bits, shared again modulo 2^bits: bits - 1 ANDs, `bits` terms. */
void circuit_make_sum(struct circuit *c, unsigned bits);
/** One where a + b modulo 2^bits, read as signed, is negative; modulo 2^out_bits. bits - 1 ANDs and a term. */
void circuit_make_negative(struct circuit *c, unsigned bits, unsigned out_bits);
/** The products of each input word (`words` of them) with a factor of the garbler's, summed up modulo 2^bits: no ANDs,
 *  words * bits terms. The cross terms of a product of shares. */
void circuit_make_products(struct circuit *c, unsigned words, unsigned bits);
/** A public function by a table, modulo 2^out_bits: low_bits ANDs for the carry into the index, and the table. The
 * known word and the factor are both the garbler's share. */
struct circuit_lookup {
  uint8_t index_bits, low_bits, out_bits;
  const int64_t *base, *slope; /* borrowed for the circuit's life */
};
void circuit_make_lookup(struct circuit *c, const struct circuit_lookup *params);

#endif
