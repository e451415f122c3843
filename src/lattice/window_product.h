/** Products of a layer's weights with uniform halves c1 whose streams lie side by side (layout.h: levels > 0).
 *
 *  An output needs sum_r w_r * c1[i + at_r] at every coefficient i. The places at_r of S neighbouring streams are S
 *  neighbours, so the sum is a product of short polynomials of weights with windows of c1. A window has 2 * step
 *  coefficients, and one begins at each multiple of step. Rows whose places lie between the same multiples of step are
 * a "term": their weights, turned round, times a window are right in the window's first half. Weights and windows are
 *  transformed (ntt.h, of 2 * step points). The products of all terms are then one small matrix product for each of
 *  these points: 2 * terms products a coefficient in place of S * terms. The results are those of the integer product.
 */
#ifndef FUSION_LATTICE_WINDOW_PRODUCT_H
#define FUSION_LATTICE_WINDOW_PRODUCT_H

#include "lattice/rlwe.h"
#include "lattice/workspace.h"

struct window_product {
  const struct rlwe *r;
  const struct linear_layout *l;
  size_t step, windows; /* windows that begin in [0, n) */
  size_t c1_windows;    /* and those beyond, which places reach */
  size_t outs;          /* output channels computed together */
  size_t c1_stride, weight_stride, sum_stride;
  size_t terms;                           /* of the group at hand */
  struct ntt_table table[RLWE_LIMBS_MAX]; /* owned */
  /* In the session's workspace: */
  uint32_t *weights; /* [2 * step][outs][terms], secret */
  uint32_t *sums;    /* [2 * step][outs][windows], secret */
  uint32_t *c1;      /* [limbs][2 * step][polys][c1_windows], transformed */
  uint32_t *base;    /* [terms]: where a term's windows begin in a row of c1 */
  uint32_t *place;   /* [rows]: of the group at hand: where their weights lie in an output's part of `weights` */
  uint32_t *number;  /* [polys][c1_windows]: terms by their base, 0: none yet */
};

/** Output channels that are multiplied together, at most. */
size_t window_product_outs(const struct linear_layout *l);
/** Secrets first, then the rest. */
void window_product_place_secrets(struct window_product *wp, struct workspace *w);
void window_product_place(struct window_product *wp, struct workspace *w);
/** Tables. To be closed, after a failure too. */
fusion_status window_product_open(struct window_product *wp) FUSION_MUST_CHECK;
void window_product_close(struct window_product *wp);

/** Takes the coefficients of limb `limb` of polynomial `poly` of c1. */
void window_product_take(struct window_product *wp, const uint32_t *a, size_t poly, size_t limb);
/** Finds where the rows of a group's matrix lie in terms. */
void window_product_group(struct window_product *wp, size_t group);
/** sums [outs][limbs][n]: the weights [outs][rows] of outs <= window_product_outs() output channels of that group times
 *  c1. */
void window_product_run(struct window_product *wp, uint32_t *sums, const int16_t *weights, size_t outs);

#endif
