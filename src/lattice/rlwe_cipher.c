#include "lattice/rlwe_cipher.h"

void rlwe_to_digits(const struct rlwe *r, uint32_t *residues, size_t n, size_t limbs, size_t count) {
  uint32_t *digits = residues + RLWE_LIMBS_MAX * n;
  const uint32_t *lower[RLWE_LIMBS_MAX] = {digits, digits + n, digits + 2 * n};
  memcpy(digits, residues, count * sizeof *digits);
  for (size_t k = 1; k < limbs; k++)
    r->kernels->mixed_digit(digits + k * n, residues + k * n, lower, k, count, r->moduli);
}

void rlwe_encrypt(struct rlwe *r, const struct rlwe_params *params, const uint32_t *key, unsigned ring_bits,
                  struct prg *stream, const struct rlwe_room *room, size_t used) {
  const struct lattice_kernels *kernels = r->kernels;
  const size_t n = params->n;
  rlwe_expand_uniform(r, params, stream, room->uniform);
  rlwe_draw_noise(r, room->noise, used);
  for (size_t k = 0; k < params->limbs; k++) {
    const struct modulus *m = &r->moduli[k];
    uint32_t *c0 = room->residues + k * n, *product = room->uniform + k * n;
    kernels->multiply(product, product, key + k * n, n, m);
    kernels->ntt_inverse(product, &r->ntt[params->ring][k]);
    kernels->encode(c0, room->values, used, ring_bits, rlwe_q_low(params), m);
    kernels->add_small(c0, c0, room->noise, used, m);
    kernels->subtract(c0, c0, product, used, m);
  }
  rlwe_to_digits(r, room->residues, n, params->limbs, used);
}

void rlwe_take_common(struct rlwe *r, const struct rlwe_params *params, uint64_t *values, unsigned kappa, uint32_t *out,
                      size_t limbs) {
  int64_t *wide = (int64_t *)(void *)values;
  for (size_t i = 0; i < params->n; i++) wide[i] = ring_signed(values[i], kappa);
  for (size_t k = 0; k < limbs; k++) {
    r->kernels->reduce_signed(out + k * params->n, wide, params->n, &r->moduli[k]);
    r->kernels->ntt_forward(out + k * params->n, &r->ntt[params->ring][k]);
  }
}

void rlwe_times_secret(struct rlwe *r, const struct rlwe_params *params, const uint32_t *key, const uint32_t *c1,
                       size_t limbs, const struct rlwe_room *room, size_t lanes) {
  const struct lattice_kernels *kernels = r->kernels;
  const size_t n = params->n;
  unsigned __int128 product = 1;
  for (size_t k = 0; k < limbs; k++) {
    const struct modulus *m = &r->moduli[k];
    uint32_t *a = room->residues + k * n;
    product *= m->p;
    kernels->multiply(a, c1 + k * n, key + k * n, n, m);
    kernels->ntt_inverse(a, &r->ntt[params->ring][k]);
    /* Half of the product added modulo each prime, (p-1)/2, makes the value non-negative. */
    for (size_t i = 0; i < lanes; i++) a[i] = mod_subtract_once(a[i] + m->p / 2, m->p);
  }
  rlwe_to_digits(r, room->residues, n, limbs, lanes);
  uint32_t *digits = room->residues + RLWE_LIMBS_MAX * n;
  const uint64_t p0 = rlwe_primes[0], p01 = p0 * rlwe_primes[1], half = (uint64_t)(product >> 1);
  const uint64_t third = limbs == 3 ? p01 : 0;
  if (limbs == 2) memset(digits + 2 * n, 0, lanes * sizeof *digits);
  for (size_t i = 0; i < lanes; i++)
    room->values[i] = digits[i] + p0 * digits[n + i] + third * digits[2 * n + i] - half;
}

void rlwe_add_zero(struct rlwe *r, const struct rlwe_params *params, const struct rlwe_zero *zero, uint32_t *sum,
                   const uint32_t *key, size_t count) {
  const struct lattice_kernels *kernels = r->kernels;
  const size_t n = params->n;
  uint32_t *u = zero->work, *product = zero->work + n;
  rlwe_draw_noise(r, zero->small + n, count);
  for (size_t k = 0; k < params->limbs; k++) {
    const struct modulus *m = &r->moduli[k];
    rlwe_lift(r, u, zero->small, params->ring, k);
    kernels->multiply(product, u, key + k * n, n, m);
    kernels->ntt_inverse(product, &r->ntt[params->ring][k]);
    kernels->add_small(product, product, zero->small + n, count, m);
    kernels->add(sum + k * n, sum + k * n, product, count, m);
  }
}

void rlwe_find_fraction(const struct rlwe *r, const struct rlwe_params *params, uint64_t *fraction, const uint32_t *sum,
                        size_t count) {
  memset(fraction, 0, count * sizeof *fraction);
  for (size_t k = 0; k < params->limbs; k++)
    r->kernels->add_fraction(fraction, sum + k * params->n, count, rlwe_switch_factor(params, k), &r->moduli[k]);
}

void rlwe_rerandomise(struct rlwe *r, const struct rlwe_params *params, const struct rlwe_zero *zero, uint32_t *sum,
                      const uint32_t *key, size_t count) {
  rlwe_add_zero(r, params, zero, sum, key, count);
  rlwe_find_fraction(r, params, zero->fraction, sum, count);
}
