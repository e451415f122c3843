#include "lattice/window_product.h"

size_t window_product_outs(const struct linear_layout *l) {
  enum { OUTS = 16 }; /* their sums stay in the second-level cache */
  return size_min(OUTS, l->group_outs);
}

/* Elements from one row to the next: an odd number of cache lines, so that rows lie in different sets. */
static size_t row_stride(size_t count) {
  enum { LINE = 16 };
  return (div_up(count, LINE) | 1) * LINE;
}

static void set_sizes(struct window_product *wp) {
  const struct linear_layout *l = wp->l;
  wp->step = layout_window_step(l);
  wp->windows = l->params->n / wp->step;
  wp->c1_windows = wp->windows + layout_coefficient(l, l->packed - 1, l->reach) / wp->step;
  wp->outs = window_product_outs(l);
  wp->c1_stride = row_stride(l->polys * wp->c1_windows);
  wp->weight_stride = row_stride(wp->outs * layout_window_terms(l));
  wp->sum_stride = row_stride(wp->outs * wp->windows);
}

void window_product_place_secrets(struct window_product *wp, struct workspace *w) {
  set_sizes(wp);
  wp->weights = workspace_take(w, 2 * wp->step * wp->weight_stride, sizeof *wp->weights);
  wp->sums = workspace_take(w, 2 * wp->step * wp->sum_stride, sizeof *wp->sums);
}

void window_product_place(struct window_product *wp, struct workspace *w) {
  const struct linear_layout *l = wp->l;
  wp->c1 = workspace_take(w, l->params->limbs * 2 * wp->step * wp->c1_stride, sizeof *wp->c1);
  wp->base = workspace_take(w, layout_window_terms(l), sizeof *wp->base);
  wp->place = workspace_take(w, l->rows, sizeof *wp->place);
  wp->number = workspace_take(w, l->polys * wp->c1_windows, sizeof *wp->number);
}

fusion_status window_product_open(struct window_product *wp) {
  fusion_status status = FUSION_OK;
  for (size_t k = 0; k < wp->l->params->limbs; k++)
    TRY(ntt_table_make(&wp->table[k], log2_up(2 * wp->step), rlwe_primes[k], rlwe_roots[k]));
cleanup:
  return status;
}

void window_product_close(struct window_product *wp) {
  for (size_t k = 0; k < RLWE_LIMBS_MAX; k++) ntt_table_free(&wp->table[k]);
}

void window_product_take(struct window_product *wp, const uint32_t *a, size_t poly, size_t limb) {
  const size_t step = wp->step, windows = wp->windows, beyond = wp->c1_windows - windows;
  const uint32_t p = wp->r->moduli[limb].p;
  uint32_t *to = wp->c1 + limb * 2 * step * wp->c1_stride + poly * wp->c1_windows;
  wp->r->kernels->transpose(to, wp->c1_stride, a, step, windows, step);
  for (size_t i = 0; i < step; i++) {
    uint32_t *first = to + i * wp->c1_stride, *second = first + step * wp->c1_stride;
    memcpy(second, first + 1, (windows - 1) * sizeof *second);
    second[windows - 1] = mod_subtract_once(p - first[0], p);
  }
  wp->r->kernels->columns_forward(to, wp->c1_stride, windows, &wp->table[limb]);
  for (size_t i = 0; i < 2 * step; i++) { /* X^n = -1 */
    uint32_t *row = to + i * wp->c1_stride;
    for (size_t k = 0; k < beyond; k++) row[windows + k] = mod_subtract_once(p - row[k], p);
  }
}

void window_product_group(struct window_product *wp, size_t group) {
  const struct linear_layout *l = wp->l;
  memset(wp->number, 0, l->polys * wp->c1_windows * sizeof *wp->number);
  wp->terms = 0;
  for (size_t r = 0; r < l->rows; r++) {
    const size_t stream = layout_row_stream(l, group, r);
    const size_t at = layout_coefficient(l, stream % l->packed, l->tap[r % l->taps].offset), rest = at % wp->step;
    const size_t base = stream / l->packed * wp->c1_windows + at / wp->step;
    if (!wp->number[base]) {
      wp->base[wp->terms++] = (uint32_t)base;
      wp->number[base] = (uint32_t)wp->terms;
    }
    wp->place[r] = (uint32_t)((rest ? 2 * wp->step - rest : 0) * wp->weight_stride + wp->number[base] - 1);
  }
}

/* Polynomials of weights, transformed: a weight `rest` places into its window stands at X^-rest. */
static void transform_weights(struct window_product *wp, const int16_t *weights, size_t outs, size_t limb) {
  const struct linear_layout *l = wp->l;
  const size_t count = outs * wp->terms, size = 2 * wp->step;
  const uint32_t p = wp->r->moduli[limb].p;
  for (size_t i = 0; i < size; i++) { /* p for 0 where weights of either sign are added: at most 2^25 in all */
    uint32_t *row = wp->weights + i * wp->weight_stride;
    const uint32_t zero = i == 0 || i > wp->step ? p : 0;
    for (size_t k = 0; k < count; k++) row[k] = zero;
  }
  const uint32_t *const place = wp->place;
  const size_t first_row = wp->weight_stride, rows = l->rows;
  for (size_t o = 0; o < outs; o++) {
    uint32_t *const column = wp->weights + o * wp->terms;
    for (size_t r = 0; r < rows; r++) {
      const uint32_t weight = (uint32_t)weights[o * rows + r];
      column[place[r]] += place[r] < first_row ? weight : 0 - weight;
    }
  }
  wp->r->kernels->columns_forward(wp->weights, wp->weight_stride, count, &wp->table[limb]);
}

static void run_limb(struct window_product *wp, uint32_t *sums, const int16_t *weights, size_t outs, size_t limb) {
  const struct lattice_kernels *kernels = wp->r->kernels;
  const size_t step = wp->step, windows = wp->windows, n = wp->l->params->n, limbs = wp->l->params->limbs;
  const struct residue_product shape = {outs, wp->terms, windows, wp->base};
  const uint32_t *c1 = wp->c1 + limb * 2 * step * wp->c1_stride;
  transform_weights(wp, weights, outs, limb);
  for (size_t i = 0; i < 2 * step; i++)
    kernels->product(wp->sums + i * wp->sum_stride, wp->weights + i * wp->weight_stride, c1 + i * wp->c1_stride, &shape,
                     &wp->r->moduli[limb]);
  kernels->columns_inverse(wp->sums, wp->sum_stride, outs * windows, &wp->table[limb]);
  for (size_t o = 0; o < outs; o++)
    kernels->transpose(sums + (o * limbs + limb) * n, step, wp->sums + o * windows, wp->sum_stride, step, windows);
}

void window_product_run(struct window_product *wp, uint32_t *sums, const int16_t *weights, size_t outs) {
  for (size_t k = 0; k < wp->l->params->limbs; k++) run_limb(wp, sums, weights, outs, k);
}
