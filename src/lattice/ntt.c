#include "lattice/ntt.h"

#include "lattice/bound_assert.h"

fusion_status ntt_table_make(struct ntt_table *t, unsigned log_n, uint32_t p, uint32_t root) {
  assert(log_n >= NTT_MIN_LOG && log_n <= NTT_MAX_LOG);
  const size_t n = (size_t)1 << log_n;
  *t = (struct ntt_table){.m = mod_make(p), .n = n};
  t->forward = mem_alloc(4 * n + 16, sizeof *t->forward); /* kernels load whole registers past a table's end */
  if (!t->forward) return FUSION_E_MEMORY;
  t->forward_shoup = t->forward + n;
  t->inverse = t->forward + 2 * n;
  t->inverse_shoup = t->forward + 3 * n;
  const uint32_t psi = mod_power(root, (uint32_t)(NTT_MAX / n), p);
  const uint32_t psi_inverse = mod_inverse(psi, p);
  uint64_t power = 1, power_inverse = 1;
  for (size_t i = 0; i < n; i++) {
    const size_t at = reverse_bits(i, log_n);
    t->forward[at] = (uint32_t)power;
    t->forward_shoup[at] = mod_shoup((uint32_t)power, p);
    t->inverse[at] = (uint32_t)power_inverse;
    t->inverse_shoup[at] = mod_shoup((uint32_t)power_inverse, p);
    power = power * psi % p;
    power_inverse = power_inverse * psi_inverse % p;
  }
  t->scale = mod_inverse((uint32_t)n, p);
  t->scale_shoup = mod_shoup(t->scale, p);
  t->last_scale = (uint32_t)((uint64_t)t->inverse[1] * t->scale % p);
  t->last_scale_shoup = mod_shoup(t->last_scale, p);
  return FUSION_OK;
}

void ntt_table_free(struct ntt_table *t) {
  mem_free(t->forward);
  *t = (struct ntt_table){0};
}

void ntt_forward_c(uint32_t *a, const struct ntt_table *t) {
  const uint32_t p = t->m.p;
  bound_assert(a, t->n, 0, 2 * p - 1);
  /* Values grow by 2p a level from below 2p: at most 26p < 2^32 after 12 levels, so no reduction inside. */
  uint32_t most = 2 * p;
  for (size_t blocks = 1, half = t->n / 2; half; blocks *= 2, half /= 2) {
    for (size_t b = 0; b < blocks; b++) {
      const uint32_t w = t->forward[blocks + b], shoup = t->forward_shoup[blocks + b];
      uint32_t *low = a + 2 * b * half, *high = low + half;
      for (size_t i = 0; i < half; i++) {
        const uint32_t x = low[i], y = mod_multiply_shoup(high[i], w, shoup, p);
        low[i] = x + y;
        high[i] = x + 2 * p - y;
      }
    }
    most += 2 * p;
    bound_assert(a, t->n, 0, most - 1);
  }
  for (size_t i = 0; i < t->n; i++) a[i] = mod_reduce_32(a[i], &t->m);
  bound_assert(a, t->n, 0, p - 1);
}

void ntt_inverse_c(uint32_t *a, const struct ntt_table *t) {
  const uint32_t p = t->m.p;
  bound_assert(a, t->n, 0, 2 * p - 1);
  for (size_t blocks = t->n / 2, half = 1; blocks > 1; blocks /= 2, half *= 2) {
    for (size_t b = 0; b < blocks; b++) {
      const uint32_t w = t->inverse[blocks + b], shoup = t->inverse_shoup[blocks + b];
      uint32_t *low = a + 2 * b * half, *high = low + half;
      for (size_t i = 0; i < half; i++) {
        const uint32_t x = low[i], y = high[i]; /* both below 2p */
        low[i] = mod_subtract_once(x + y, 2 * p);
        high[i] = mod_multiply_shoup(x + 2 * p - y, w, shoup, p);
      }
    }
    bound_assert(a, t->n, 0, 2 * p - 1);
  }
  const size_t half = t->n / 2;
  for (size_t i = 0; i < half; i++) {
    const uint32_t x = a[i], y = a[i + half];
    a[i] = mod_subtract_once(mod_multiply_shoup(x + y, t->scale, t->scale_shoup, p), p);
    a[i + half] = mod_subtract_once(mod_multiply_shoup(x + 2 * p - y, t->last_scale, t->last_scale_shoup, p), p);
  }
  bound_assert(a, t->n, 0, p - 1);
}
