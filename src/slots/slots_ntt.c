#include "slots/slots_ntt.h"

size_t slots_reverse(size_t x, unsigned bits) {
  size_t out = 0;
  for (unsigned i = 0; i < bits; i++) out |= ((x >> i) & 1) << (bits - 1 - i);
  return out;
}

/* A primitive 2n-th root of unity: of the least base that is not a square, so both parties find the same. */
static uint64_t find_root(const struct slots_modulus *m, size_t n) {
  uint64_t base = 2;
  while (slots_power(base, (m->p - 1) / 2, m) == 1) base++;
  return slots_power(base, (m->p - 1) / (2 * n), m);
}

static void set_twiddle(struct slots_table *t, size_t at, uint64_t w, bool inverse) {
  const uint64_t p = t->m.p;
  uint64_t *out = inverse ? t->inverse : t->forward, *shoup = inverse ? t->inverse_shoup : t->forward_shoup;
  double *real = inverse ? t->inverse_real : t->forward_real, *ratio = inverse ? t->inverse_ratio : t->forward_ratio;
  out[at] = w;
  shoup[at] = slots_shoup(w, p);
  real[at] = (double)w;
  ratio[at] = (double)w / (double)p;
}

fusion_status slots_table_make(struct slots_table *t, unsigned log_n, uint64_t p) {
  assert(log_n >= SLOTS_LOG_MIN && log_n <= SLOTS_LOG_MAX);
  const size_t n = (size_t)1 << log_n;
  *t = (struct slots_table){.m = slots_modulus_make(p), .n = n};
  t->forward = mem_alloc(8 * n, sizeof *t->forward);
  if (!t->forward) return FUSION_E_MEMORY;
  t->forward_shoup = t->forward + n;
  t->inverse = t->forward + 2 * n;
  t->inverse_shoup = t->forward + 3 * n;
  t->forward_real = (double *)(void *)(t->forward + 4 * n);
  t->forward_ratio = t->forward_real + n;
  t->inverse_real = t->forward_real + 2 * n;
  t->inverse_ratio = t->forward_real + 3 * n;
  const uint64_t psi = find_root(&t->m, n), psi_inverse = slots_inverse(psi, &t->m);
  uint64_t power = 1, power_inverse = 1;
  for (size_t i = 0; i < n; i++) {
    const size_t at = slots_reverse(i, log_n);
    set_twiddle(t, at, power, false);
    set_twiddle(t, at, power_inverse, true);
    power = slots_multiply(power, psi, &t->m);
    power_inverse = slots_multiply(power_inverse, psi_inverse, &t->m);
  }
  t->scale = slots_inverse(n, &t->m);
  t->scale_shoup = slots_shoup(t->scale, p);
  return FUSION_OK;
}

void slots_table_free(struct slots_table *t) {
  mem_free(t->forward);
  *t = (struct slots_table){0};
}

void slots_forward_c(uint64_t *a, const struct slots_table *t) {
  const uint64_t p = t->m.p;
  /* Values grow by 2p a level: at most 27p < 2^55 after 13 levels, so no reduction inside. */
  for (size_t blocks = 1, half = t->n / 2; half; blocks *= 2, half /= 2) {
    for (size_t b = 0; b < blocks; b++) {
      const uint64_t w = t->forward[blocks + b], shoup = t->forward_shoup[blocks + b];
      uint64_t *low = a + 2 * b * half, *high = low + half;
      for (size_t i = 0; i < half; i++) {
        const uint64_t x = low[i], y = slots_multiply_shoup(high[i], w, shoup, p);
        low[i] = x + y;
        high[i] = x + 2 * p - y;
      }
    }
  }
  for (size_t i = 0; i < t->n; i++) a[i] = slots_reduce(a[i], &t->m);
}

void slots_inverse_c(uint64_t *a, const struct slots_table *t) {
  const uint64_t p = t->m.p;
  for (size_t blocks = t->n / 2, half = 1; blocks; blocks /= 2, half *= 2) {
    for (size_t b = 0; b < blocks; b++) {
      const uint64_t w = t->inverse[blocks + b], shoup = t->inverse_shoup[blocks + b];
      uint64_t *low = a + 2 * b * half, *high = low + half;
      for (size_t i = 0; i < half; i++) {
        const uint64_t x = low[i], y = high[i]; /* both below 2p */
        low[i] = slots_subtract_once(x + y, 2 * p);
        high[i] = slots_multiply_shoup(x + 2 * p - y, w, shoup, p);
      }
    }
  }
  for (size_t i = 0; i < t->n; i++)
    a[i] = slots_subtract_once(slots_multiply_shoup(a[i], t->scale, t->scale_shoup, p), p);
}
