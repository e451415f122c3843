/** The inner loops of garbling, one table a CPU tier: one gate in many instances of a circuit.
 *
 *  Half gates (Zahur, Rosulek, Evans, EUROCRYPT 2015, fig. 2) with free XOR: a wire's label for 1 is that for 0 xor
 *  delta, whose lowest bit is 1, and a label's lowest bit says which row of a table it opens. H is TCCR (rand/tccr.h).
 *  The first half of instance e hashes under (domain, first + e), the second under (domain, first + count + e). */
#ifndef FUSION_GARBLE_GARBLE_KERNELS_H
#define FUSION_GARBLE_GARBLE_KERNELS_H

#include "base/base.h"
#include "base/block.h"
#include "base/kernel_tables.h"

/** An AND in `count` instances. `out` is none of the inputs. Labels are secret; so are `known` and delta. */
struct garble_and {
  block *out;            /* [count] */
  const block *a, *b;    /* [count] garbler: labels for 0; evaluator: the labels that it has. Half ANDs have no b */
  const uint64_t *known; /* [count] half ANDs, garbler: the other input, all ones or 0 */
  block *table;          /* [2][count], of half ANDs [count]: the garbler writes it, the evaluator reads it */
  block delta;           /* the garbler's */
  block tweak;           /* (domain, first) */
  size_t count;
};

struct garble_kernels {
  /** table[e] = H(a) ^ H(a ^ delta) ^ lsb(b) * delta, table[count + e] = H(b) ^ H(b ^ delta) ^ a,
   *  out = (H(a) ^ lsb(a) * table[e]) ^ (H(b) ^ lsb(b) * (table[count + e] ^ a)). */
  void (*and_garble)(const struct garble_and *g);
  /** out = (H(a) ^ lsb(a) * table[e]) ^ (H(b) ^ lsb(b) * (table[count + e] ^ a)). */
  void (*and_evaluate)(const struct garble_and *g);
  /** table[e] = H(a) ^ H(a ^ delta) ^ known * delta, out = H(a) ^ lsb(a) * table[e]. */
  void (*half_garble)(const struct garble_and *g);
  /** out = H(a) ^ lsb(a) * table[e]. */
  void (*half_evaluate)(const struct garble_and *g);
};

KERNEL_TABLES_NEON(garble);

#ifdef FUSION_X86_TIERS
/* Of both x86 tiers. */
void and_garble_avx2(const struct garble_and *g);
void and_evaluate_avx2(const struct garble_and *g);
void half_garble_avx2(const struct garble_and *g);
void half_evaluate_avx2(const struct garble_and *g);
#endif

#endif
