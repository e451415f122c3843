/** A circuit garbled and evaluated in many instances at once, without any message: labels in, table and shares out.
 *
 *  Security (for the two-party protocol of garbled.h): half gates hide everything but the labels that the evaluator has
 *  for its inputs, if H is a tweakable circular correlation robust hash and no tweak is used twice under a delta (Guo,
 *  Katz, Wang, Yu 2020, sec. 7). Each AND takes two tweaks an instance, a half AND and a term one each.
 *
 *  A term hashes the label of its wire, x, or of wire and guard, x ^ alpha * g: as ot/one_of_n.h packs correlations, so
 *  that the four inputs of a term differ by delta, alpha * delta and (1 + alpha) * delta, injective maps of the secret,
 *  and share a tweak. Rows go by the labels' lowest bits. The hash of row 0 fixes the mask, so that row takes no
 *  traffic: mask = H(row 0) - value(row 0); row z travels as value(z) + mask - H(row z). The evaluator opens one row,
 *  H or H + what travelled, and gets value + mask; the hashes of the others look random to it, so the mask is uniform
 *  and its rows say nothing. */
#ifndef FUSION_GARBLE_HALF_GATES_H
#define FUSION_GARBLE_HALF_GATES_H

#include "base/block.h"
#include "garble/circuit.h"

enum { GARBLE_BATCH = 64 /* instances at most that run side by side: labels of all wires stay in the L2 cache */ };

/** Scratch of one party, for any number of batches of one circuit. */
struct garble_workspace {
  void *memory; /* owned by the caller: garble_workspace_len() bytes, zeroed, secret */
  const struct circuit *circuit;
  block *labels;    /* [wires][GARBLE_BATCH] */
  uint64_t *known;  /* [wires][GARBLE_BATCH]: all ones or 0; the garbler's */
  block *term;      /* [5][GARBLE_BATCH] */
  uint64_t *values; /* [4][GARBLE_BATCH] */
  uint64_t *table;  /* of a circuit with a table (garble_table.h) */
};
size_t garble_workspace_len(const struct circuit *c);
/** Lays out ws->memory. */
void garble_workspace_place(struct garble_workspace *ws, const struct circuit *c, void *memory);

/** A batch's table: blocks of the ANDs, and bytes of the terms' rows. */
size_t garble_blocks(const struct circuit *c, size_t count);
size_t garble_rows_len(const struct circuit *c, size_t count);

/** One batch. Word arrays point to the batch's first instance. */
struct garble_batch {
  struct garble_workspace *ws;
  size_t count;                   /* 1 .. GARBLE_BATCH */
  const block *labels;            /* [input_bits][count]: garbler: for 0; evaluator: its own */
  block *table;                   /* of the ANDs; garbler: out, evaluator: in */
  uint8_t *rows;                  /* of the terms, the same; the garbler needs BITS_SLACK more bytes (base/bits.h) */
  block delta;                    /* the garbler's */
  uint64_t domain, first;         /* of tweaks: circuit_tweaks() * count of them from `first` */
  const uint64_t *const *known;   /* the garbler's words; bits above a word's are ignored */
  const uint64_t *const *factors; /* the garbler's */
  const uint64_t *const *inputs;  /* the evaluator's, of a circuit with a table */
  uint64_t *const *out; /* words of shares, [count] each, not reduced: this party's sum over the terms is added */
};
void garble_batch(const struct garble_batch *b);
void evaluate_batch(const struct garble_batch *b);

#endif
