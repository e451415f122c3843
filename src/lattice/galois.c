#include "lattice/galois.h"

enum { RING = 1, DIGITS = GALOIS_LIMBS };

static size_t degree(void) {
  return (size_t)1 << rlwe_ring_log_n[RING];
}

/* P * g_digit: P modulo the digit's own prime, 0 modulo the others, P itself among them. */
static uint64_t weight(const struct turn_kind *kind, size_t digit, size_t limb) {
  (void)kind;
  return limb == digit ? rlwe_primes[GALOIS_KEY_LIMBS - 1] : 0;
}

const struct turn_kind galois_keys = {.label = "galois",
                                      .message = MSG_RLWE_GALOIS,
                                      .set = RLWE_SETS, /* three primes */
                                      .ring = RING,
                                      .digits = DIGITS,
                                      .limbs = GALOIS_KEY_LIMBS,
                                      .weight = weight};

/* ---- merging ---- */

void galois_room_set(const struct rlwe *r, const struct galois_room *room) {
  const size_t n = degree();
  for (size_t k = 0; k < GALOIS_LIMBS; k++) {
    const uint32_t p = r->moduli[k].p, inverse = mod_inverse(rlwe_primes[GALOIS_KEY_LIMBS - 1] % p, p);
    const uint32_t factor = (uint32_t)(((uint64_t)inverse << 32) % p); /* in Montgomery form */
    for (size_t i = 0; i < n; i++) room->over_last[k * n + i] = factor;
  }
}

void galois_over_last(const struct rlwe *r, uint32_t *poly, const struct galois_room *room) {
  const size_t n = degree();
  r->kernels->centre_extend(room->digit, poly + GALOIS_LIMBS * n, n, 0, &r->moduli[GALOIS_LIMBS]);
  for (size_t i = 0; i < n; i++) room->digit[i] = -room->digit[i];
  for (size_t k = 0; k < GALOIS_LIMBS; k++) {
    r->kernels->add_small(poly + k * n, poly + k * n, room->digit, n, &r->moduli[k]);
    r->kernels->multiply(poly + k * n, poly + k * n, room->over_last + k * n, n, &r->moduli[k]);
  }
}

void galois_shift_up(uint32_t *out, const uint32_t *in, size_t shift, size_t n, uint32_t p) {
  for (size_t i = 0; i < shift; i++) out[i] = mod_subtract_once(p - in[n - shift + i], p);
  memcpy(out + shift, in, (n - shift) * sizeof *out);
}

void galois_turn(uint32_t *out, const uint32_t *in, size_t g, size_t n, uint32_t p) {
  for (size_t i = 0; i < n; i++) {
    const size_t at = i * g & (2 * n - 1);
    out[at & (n - 1)] = at < n ? in[i] : mod_subtract_once(p - in[i], p);
  }
}

/* sums[half] = the key's half times the digits of `in`, modulo all primes. */
static void switch_key(const struct rlwe *r, unsigned level, const uint32_t *in, const struct galois_room *room) {
  const size_t n = degree();
  memset(room->sums, 0, 2 * GALOIS_KEY_LIMBS * n * sizeof *room->sums);
  for (size_t digit = 0; digit < DIGITS; digit++) {
    r->kernels->centre_extend(room->digit, in + digit * n, n, 0, &r->moduli[digit]);
    for (size_t k = 0; k < GALOIS_KEY_LIMBS; k++) {
      uint32_t *x = room->work, *product = room->work + n;
      rlwe_lift(r, x, room->digit, RING, k);
      for (size_t half = 0; half < 2; half++) {
        uint32_t *sum = room->sums + (half * GALOIS_KEY_LIMBS + k) * n;
        r->kernels->multiply(product, x, turn_key_at(&galois_keys, r->galois, 1, level, digit, half) + k * n, n,
                             &r->moduli[k]);
        r->kernels->add(sum, sum, product, n, &r->moduli[k]);
      }
    }
  }
  for (size_t half = 0; half < 2; half++) {
    uint32_t *sum = room->sums + half * GALOIS_KEY_LIMBS * n;
    for (size_t k = 0; k < GALOIS_KEY_LIMBS; k++) r->kernels->ntt_inverse(sum + k * n, &r->ntt[RING][k]);
    galois_over_last(r, sum, room);
  }
}

void galois_merge(const struct rlwe *r, unsigned level, const struct galois_cipher *even,
                  const struct galois_cipher *odd, const struct galois_room *room) {
  const size_t n = degree(), shift = (size_t)1 << (level - 1);
  for (size_t half = 0; half < 2; half++) {
    for (size_t k = 0; k < GALOIS_LIMBS; k++) {
      const struct modulus *m = &r->moduli[k];
      uint32_t *e = even->c[half] + k * n;
      if (!odd) {
        r->kernels->add(e, e, e, n, m);
        continue;
      }
      uint32_t *shifted = room->work, *difference = odd->c[half] + k * n;
      galois_shift_up(shifted, difference, shift, n, m->p);
      r->kernels->subtract(difference, e, shifted, n, m);
      r->kernels->add(e, e, shifted, n, m);
      galois_turn(room->turned + (half * GALOIS_LIMBS + k) * n, difference, turn_exponent(n, level), n, m->p);
    }
  }
  if (!odd) return;
  switch_key(r, level, room->turned + GALOIS_LIMBS * n, room);
  for (size_t k = 0; k < GALOIS_LIMBS; k++) {
    const struct modulus *m = &r->moduli[k];
    for (size_t half = 0; half < 2; half++)
      r->kernels->add(even->c[half] + k * n, even->c[half] + k * n, room->sums + (half * GALOIS_KEY_LIMBS + k) * n, n,
                      m);
    r->kernels->add(even->c[0] + k * n, even->c[0] + k * n, room->turned + k * n, n, m);
  }
}
