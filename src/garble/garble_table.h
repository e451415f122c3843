/** The table of a circuit (circuit.h), garbled and evaluated in a batch: y = base[h] + slope[h] * l of a sum of shares,
 *  without a multiplexer of gates.
 *
 *  a and b are the evaluator's and the garbler's share, aH and aL the index and the low bits of a, and c the carry of
 *  aL + bL. Then h = aH + bH + c, and
 *
 *      y = G + s * aL,  G = base[h] + s * (bL - c * 2^low_bits - 2^(low_bits-1)),  s = slope[h].
 *
 *  The garbler knows b, so G and s are functions of (aH, c) alone to it, and the labels of these wires open one entry
 *  of each: a row as that of a term (half_gates.h), of the wires' labels packed as sum alpha^i label_i (ot/one_of_n.h).
 *  The hash of row 0 fixes the masks of both, its lower half that of G, its upper half that of s; of every other row
 *  both values travel. So the parties have shares G' + G'' and s' + s''. The evaluator knows aL and s' and multiplies
 *  them itself; s'' * aL, a product of the garbler's number and the evaluator's bits, is a term of factor s'' for each
 *  bit of aL.
 *
 *  Security: as half_gates.h has it for terms. The inputs of the hash differ by (z(alpha)) * delta, z a non-zero
 *  polynomial of at most six bits: injective maps of the secret. The evaluator opens one row and gets G and s under
 *  masks that are uniform to it, and one row of each product; rows it does not open say nothing. The garbler picks and
 *  orders entries by masks, never by an index.
 *  Bytes an instance, r = 2^index_bits, m bits in the word: low_bits ANDs (32 each, the first 16), (2 r - 1) * 2 m / 8
 *  for the rows, sum of m - j over j < low_bits, / 8, for the products. Without low bits: (r - 1) * m / 8 alone.
 *  Tweaks: one an instance for all rows, then one for each product.
 *  Source: ours; the split of the product over two tables after gates/lookup.h. */
#ifndef FUSION_GARBLE_GARBLE_TABLE_H
#define FUSION_GARBLE_GARBLE_TABLE_H

#include "base/bits.h"
#include "garble/half_gates.h"

/** Words of the workspace, and bytes among the rows, of the circuit's table; 0: it has none. */
size_t garble_table_words(const struct circuit *c);
size_t garble_table_len(const struct circuit *c, size_t count);

void garble_table(const struct garble_batch *b, struct bit_writer *w, uint64_t tweak);
void evaluate_table(const struct garble_batch *b, struct bit_reader *r, uint64_t tweak);

#endif
