/** Where the numbers of a product of matrices lie in polynomials: both parties compute the same from public data.
 *
 *  Two terms: in the first the words are the rows of A_S and the data the columns of B_C, in the second the words are
 *  the columns of B_S and the data the rows of A_C; the second gives the transpose. With the stride S = 2^levels a data
 *  polynomial holds N / S columns, element j of column c at coefficient c*S + j; deeper columns are cut into pieces of
 * S. The words of a row are the coefficients w_j of X^-j, so that their product has sum_j w_j x_(j,c) at c*S, and
 * something else between the multiples of S. Such a product is a unit. An answer is S units, interleaved (galois.h):
 * unit u has its columns at c*S + reverse(u). */
#ifndef FUSION_LATTICE_MATRIX_LAYOUT_H
#define FUSION_LATTICE_MATRIX_LAYOUT_H

#include "lattice/matrix.h"
#include "lattice/params.h"

enum { MATRIX_LEVELS_MAX = 8 };

struct matrix_term {
  size_t rows, columns; /* of words; of data */
  size_t tiles;         /* polynomials, side by side, that hold the columns */
};

struct matrix_layout {
  struct matrix_layer layer;
  const struct rlwe_params *wide, *narrow; /* of queries, of answers: one prime less */
  unsigned dropped, query_bits;            /* a query coefficient: q_bits - dropped */
  unsigned kept_bits, kappa;               /* ring + guard; the modulus of an answer's c1 */
  size_t n, stride, width;                 /* N, S, N / S */
  size_t depth, pieces;
  struct matrix_term term[2];
  size_t left, right, size; /* elements of one group's matrices */
  size_t group_units;
  size_t groups, chunk; /* channels of all samples; so many at a time */
};

/** FUSION_E_INTERNAL for what does not fit. */
fusion_status matrix_layout_make(struct matrix_layout *out, const struct matrix_layer *layer,
                                 size_t samples) FUSION_MUST_CHECK;

/** A unit: a row of one group's words times a tile of its data. */
struct matrix_unit {
  size_t group, tile, row;
  unsigned term;
};
/** The unit with this number, counted from group `first` on. */
struct matrix_unit matrix_unit_at(const struct matrix_layout *l, size_t first, size_t number);
/** Columns of a term's tile. */
static inline size_t matrix_columns(const struct matrix_layout *l, unsigned term, size_t tile) {
  return size_min(l->width, l->term[term].columns - tile * l->width);
}
/** Elements of a column in piece p. */
static inline size_t matrix_piece(const struct matrix_layout *l, size_t p) {
  return size_min(l->stride, l->depth - p * l->stride);
}
/** Index into y of column c of a unit's tile. */
size_t matrix_target(const struct matrix_layout *l, const struct matrix_unit *u, size_t c);
/** Coefficient of column c of the unit in place `slot` of an answer. */
static inline size_t matrix_lane(const struct matrix_layout *l, size_t slot, size_t c) {
  size_t reversed = 0;
  for (unsigned k = 0; k < l->layer.levels; k++) reversed |= (slot >> k & 1) << (l->layer.levels - 1u - k);
  return c * l->stride + reversed;
}

/** Element j of a row of words, and of a column of data, of a group; a and b are this party's shares. */
static inline uint64_t matrix_left(const struct matrix_layout *l, const uint64_t *a, size_t group, size_t i, size_t j) {
  return a[group * l->left + i * l->depth + j];
}
static inline uint64_t matrix_right(const struct matrix_layout *l, const uint64_t *b, size_t group, size_t j,
                                    size_t c) {
  return b[group * l->right + matrix_product_place(&l->layer.product, j, c)];
}

/** Payload bytes: one group's query; an answer of `outputs` numbers. */
size_t matrix_query_len(const struct matrix_layout *l);
size_t matrix_answer_len(const struct matrix_layout *l, size_t outputs);
/** Numbers of the units first .. first + count - 1, counted from any group on. */
size_t matrix_outputs(const struct matrix_layout *l, size_t first, size_t count);

/** y = 2^guard times the product of this party's own shares. */
void matrix_own(const struct matrix_layout *l, const uint64_t *a, const uint64_t *b, uint64_t *y);

/** Workspace of a party. */
size_t matrix_server_workspace(const struct matrix_layout *l);
size_t matrix_client_workspace(const struct matrix_layout *l);

#endif
