/** Levels of the transforms of ntt.h for the tiers AVX2 and AVX-512, two at a time: four rows are read and written once
 *  for both. A row is values that have their twiddles in common: a part of one transform's values, or a row of many
 *  transforms side by side.
 *
 *  The includer defines `residues`, a register; LANES, the number of values in it; struct twiddle, a twiddle with its
 *  Shoup companion; the functions spread() and twiddle_of(), the same in every lane; load_lanes() and store_lanes(), of
 *  the first so many lanes; and lane by lane add_lanes(), subtract_lanes(), and as in modular.h multiply_shoup(),
 *  subtract_once() and reduce_32(). */
#ifndef FUSION_LATTICE_NTT_LEVELS_H
#define FUSION_LATTICE_NTT_LEVELS_H

#include "lattice/lattice_kernels_common.h"

/* The number of lanes is mostly LANES, and known where the function is called. */
#define LEVELS_INLINE __attribute__((always_inline)) static inline

static inline struct twiddle twiddle_at(const uint32_t *w, const uint32_t *shoup, size_t at) {
  return twiddle_of(w[at], shoup[at]);
}

/* (x, y) to (x + w*y, x - w*y), lazily. */
static inline void butterfly_forward(residues *x, residues *y, struct twiddle t, residues p, residues p2) {
  const residues product = multiply_shoup(*y, t, p);
  *y = subtract_lanes(add_lanes(*x, p2), product);
  *x = add_lanes(*x, product);
}

/* (x, y) to (x + y, w*(x - y)), both kept below 2p. */
static inline void butterfly_inverse(residues *x, residues *y, struct twiddle t, residues p, residues p2) {
  const residues difference = subtract_lanes(add_lanes(*x, p2), *y);
  *x = subtract_once(add_lanes(*x, *y), p2);
  *y = multiply_shoup(difference, t, p);
}

/* Two levels on four rows of `len` values, `step` apart, `lanes` of them at a time: node `at` of the upper level, and
 * its two below. */
LEVELS_INLINE void forward_pair(uint32_t *a, size_t step, size_t len, size_t lanes, const struct ntt_table *t,
                                size_t at) {
  const residues p = spread(t->m.p), p2 = spread(2 * t->m.p);
  const struct twiddle upper = twiddle_at(t->forward, t->forward_shoup, at);
  const struct twiddle low = twiddle_at(t->forward, t->forward_shoup, 2 * at);
  const struct twiddle high = twiddle_at(t->forward, t->forward_shoup, 2 * at + 1);
  for (size_t i = 0; i < len; i += lanes) {
    residues x0 = load_lanes(a + i, lanes), x1 = load_lanes(a + step + i, lanes),
             x2 = load_lanes(a + 2 * step + i, lanes), x3 = load_lanes(a + 3 * step + i, lanes);
    butterfly_forward(&x0, &x2, upper, p, p2);
    butterfly_forward(&x1, &x3, upper, p, p2);
    butterfly_forward(&x0, &x1, low, p, p2);
    butterfly_forward(&x2, &x3, high, p, p2);
    store_lanes(a + i, lanes, x0);
    store_lanes(a + step + i, lanes, x1);
    store_lanes(a + 2 * step + i, lanes, x2);
    store_lanes(a + 3 * step + i, lanes, x3);
  }
}

LEVELS_INLINE void inverse_pair(uint32_t *a, size_t step, size_t len, size_t lanes, const struct ntt_table *t,
                                size_t at) {
  const residues p = spread(t->m.p), p2 = spread(2 * t->m.p);
  const struct twiddle upper = twiddle_at(t->inverse, t->inverse_shoup, at);
  const struct twiddle low = twiddle_at(t->inverse, t->inverse_shoup, 2 * at);
  const struct twiddle high = twiddle_at(t->inverse, t->inverse_shoup, 2 * at + 1);
  for (size_t i = 0; i < len; i += lanes) {
    residues x0 = load_lanes(a + i, lanes), x1 = load_lanes(a + step + i, lanes),
             x2 = load_lanes(a + 2 * step + i, lanes), x3 = load_lanes(a + 3 * step + i, lanes);
    butterfly_inverse(&x0, &x1, low, p, p2);
    butterfly_inverse(&x2, &x3, high, p, p2);
    butterfly_inverse(&x0, &x2, upper, p, p2);
    butterfly_inverse(&x1, &x3, upper, p, p2);
    store_lanes(a + i, lanes, x0);
    store_lanes(a + step + i, lanes, x1);
    store_lanes(a + 2 * step + i, lanes, x2);
    store_lanes(a + 3 * step + i, lanes, x3);
  }
}

/* One level on two rows. */
LEVELS_INLINE void forward_single(uint32_t *a, size_t step, size_t len, size_t lanes, const struct ntt_table *t,
                                  size_t at) {
  const residues p = spread(t->m.p), p2 = spread(2 * t->m.p);
  const struct twiddle node = twiddle_at(t->forward, t->forward_shoup, at);
  for (size_t i = 0; i < len; i += lanes) {
    residues x = load_lanes(a + i, lanes), y = load_lanes(a + step + i, lanes);
    butterfly_forward(&x, &y, node, p, p2);
    store_lanes(a + i, lanes, x);
    store_lanes(a + step + i, lanes, y);
  }
}

LEVELS_INLINE void inverse_single(uint32_t *a, size_t step, size_t len, size_t lanes, const struct ntt_table *t,
                                  size_t at) {
  const residues p = spread(t->m.p), p2 = spread(2 * t->m.p);
  const struct twiddle node = twiddle_at(t->inverse, t->inverse_shoup, at);
  for (size_t i = 0; i < len; i += lanes) {
    residues x = load_lanes(a + i, lanes), y = load_lanes(a + step + i, lanes);
    butterfly_inverse(&x, &y, node, p, p2);
    store_lanes(a + i, lanes, x);
    store_lanes(a + step + i, lanes, y);
  }
}

/* The last level, with the factor 1/N. */
LEVELS_INLINE void inverse_last(uint32_t *a, size_t step, size_t len, size_t lanes, const struct ntt_table *t) {
  const residues p = spread(t->m.p), p2 = spread(2 * t->m.p);
  const struct twiddle scale = twiddle_of(t->scale, t->scale_shoup);
  const struct twiddle last = twiddle_of(t->last_scale, t->last_scale_shoup);
  for (size_t i = 0; i < len; i += lanes) {
    const residues x = load_lanes(a + i, lanes), y = load_lanes(a + step + i, lanes);
    const residues sum = add_lanes(x, y), difference = subtract_lanes(add_lanes(x, p2), y);
    store_lanes(a + i, lanes, subtract_once(multiply_shoup(sum, scale, p), p));
    store_lanes(a + step + i, lanes, subtract_once(multiply_shoup(difference, last, p), p));
  }
}

/* A transform's levels down to those within LANES values: two at a time, one by itself before where their number is
 * odd. */
static inline void forward_levels(uint32_t *a, const struct ntt_table *t) {
  size_t blocks = 1, len = t->n;
  if (log2_up(t->n / LANES) % 2) {
    forward_single(a, len / 2, len / 2, LANES, t, 1);
    blocks *= 2;
    len /= 2;
  }
  for (; len > LANES; blocks *= 4, len /= 4)
    for (size_t b = 0; b < blocks; b++) forward_pair(a + b * len, len / 4, len / 4, LANES, t, blocks + b);
}

/* The levels after those within LANES values. */
static inline void inverse_levels(uint32_t *a, const struct ntt_table *t) {
  size_t blocks = t->n / LANES / 2, len = 2 * LANES; /* of a level that is due */
  for (; blocks > 2; blocks /= 4, len *= 4)
    for (size_t b = 0; b < blocks / 2; b++) inverse_pair(a + 2 * b * len, len / 2, len / 2, LANES, t, blocks / 2 + b);
  for (size_t b = 0; blocks == 2 && b < 2; b++) inverse_single(a + b * len, len / 2, len / 2, LANES, t, 2 + b);
  inverse_last(a, t->n / 2, t->n / 2, LANES, t);
}

/* Columns as forward_levels and inverse_levels have values, down to the last level; `columns` is a multiple of `lanes`.
 */
LEVELS_INLINE void columns_forward_lanes(uint32_t *a, size_t stride, size_t columns, size_t lanes,
                                         const struct ntt_table *t) {
  const residues p = spread(t->m.p), barrett = spread(t->m.barrett);
  for (size_t first = 0; first < columns; first += COLUMNS) {
    const size_t len = size_min(COLUMNS, columns - first);
    uint32_t *at = a + first;
    size_t blocks = 1, rows = t->n;
    if (log2_up(t->n) % 2) {
      for (size_t r = 0; r < rows / 2; r++) forward_single(at + r * stride, rows / 2 * stride, len, lanes, t, 1);
      blocks *= 2;
      rows /= 2;
    }
    for (; rows > 1; blocks *= 4, rows /= 4)
      for (size_t b = 0; b < blocks; b++)
        for (size_t r = 0; r < rows / 4; r++)
          forward_pair(at + (b * rows + r) * stride, rows / 4 * stride, len, lanes, t, blocks + b);
    for (size_t r = 0; r < t->n; r++)
      for (size_t i = 0; i < len; i += lanes) {
        uint32_t *v = at + r * stride + i;
        store_lanes(v, lanes, reduce_32(load_lanes(v, lanes), barrett, p));
      }
  }
}

LEVELS_INLINE void columns_inverse_lanes(uint32_t *a, size_t stride, size_t columns, size_t lanes,
                                         const struct ntt_table *t) {
  for (size_t first = 0; first < columns; first += COLUMNS) {
    const size_t len = size_min(COLUMNS, columns - first);
    uint32_t *at = a + first;
    size_t blocks = t->n / 2, rows = 2; /* of a level that is due */
    for (; blocks > 2; blocks /= 4, rows *= 4)
      for (size_t b = 0; b < blocks / 2; b++)
        for (size_t r = 0; r < rows / 2; r++)
          inverse_pair(at + (2 * b * rows + r) * stride, rows / 2 * stride, len, lanes, t, blocks / 2 + b);
    for (size_t b = 0; blocks == 2 && b < 2; b++)
      for (size_t r = 0; r < rows / 2; r++)
        inverse_single(at + (b * rows + r) * stride, rows / 2 * stride, len, lanes, t, 2 + b);
    for (size_t r = 0; r < t->n / 2; r++) inverse_last(at + r * stride, t->n / 2 * stride, len, lanes, t);
  }
}

/* Whole registers, then the columns that do not fill one. */
static inline void columns_forward_levels(uint32_t *a, size_t stride, size_t columns, const struct ntt_table *t) {
  const size_t rest = columns % LANES, whole = columns - rest;
  columns_assert(a, stride, columns, t->n, 2 * t->m.p);
  columns_forward_lanes(a, stride, whole, LANES, t);
  if (rest) columns_forward_lanes(a + whole, stride, rest, rest, t);
  columns_assert(a, stride, columns, t->n, t->m.p);
}

static inline void columns_inverse_levels(uint32_t *a, size_t stride, size_t columns, const struct ntt_table *t) {
  const size_t rest = columns % LANES, whole = columns - rest;
  columns_assert(a, stride, columns, t->n, 2 * t->m.p);
  columns_inverse_lanes(a, stride, whole, LANES, t);
  if (rest) columns_inverse_lanes(a + whole, stride, rest, rest, t);
  columns_assert(a, stride, columns, t->n, t->m.p);
}

#endif
