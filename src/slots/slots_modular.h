/** Arithmetic modulo primes of 17 to 50 bits on 64-bit words, branch-free. */
#ifndef FUSION_SLOTS_SLOTS_MODULAR_H
#define FUSION_SLOTS_SLOTS_MODULAR_H

#include "base/base.h"

typedef unsigned __int128 slots_wide;

enum { SLOTS_PRIME_BITS_MAX = 50 /* the vector kernels multiply in doubles and are exact up to here */ };

/** An odd prime p < 2^bits, p > 2^(bits-1), with the constants of its reductions. */
struct slots_modulus {
  uint64_t p;
  unsigned bits;
  uint64_t barrett; /* floor(2^(2 bits) / p) */
  uint64_t single;  /* floor(2^64 / p) */
  double inverse;   /* 1 / p, rounded */
};

/** Divides: for public p. */
struct slots_modulus slots_modulus_make(uint64_t p);

/** x - bound if x >= bound, else x; x < 2^63. */
static inline uint64_t slots_subtract_once(uint64_t x, uint64_t bound) {
  const uint64_t less = x - bound;
  return less + (bound & (0 - (less >> 63)));
}

static inline uint64_t slots_add(uint64_t a, uint64_t b, uint64_t p) {
  return slots_subtract_once(a + b, p);
}
static inline uint64_t slots_subtract(uint64_t a, uint64_t b, uint64_t p) {
  return slots_subtract_once(a + p - b, p);
}

/** a * b mod p; a, b < 2^bits. The quotient is at most 2 too small (Handbook of Applied Cryptography, 14.42). */
static inline uint64_t slots_multiply(uint64_t a, uint64_t b, const struct slots_modulus *m) {
  const slots_wide product = (slots_wide)a * b;
  const uint64_t top = (uint64_t)(product >> (m->bits - 1));
  const uint64_t quotient = (uint64_t)(((slots_wide)top * m->barrett) >> (m->bits + 1));
  const uint64_t rest = (uint64_t)product - quotient * m->p;
  return slots_subtract_once(slots_subtract_once(rest, 2 * m->p), m->p);
}

/** x mod p for any x < 2^63. */
static inline uint64_t slots_reduce(uint64_t x, const struct slots_modulus *m) {
  const uint64_t quotient = (uint64_t)(((slots_wide)x * m->single) >> 64);
  return slots_subtract_once(x - quotient * m->p, m->p);
}

/** A signed v, |v| < p, modulo p. */
static inline uint64_t slots_lift(int64_t v, uint64_t p) {
  return (uint64_t)v + (p & (0 - ((uint64_t)v >> 63)));
}

/** x < p read as signed, in [-p/2, p/2]. */
static inline int64_t slots_centre(uint64_t x, uint64_t p) {
  return (int64_t)(x - (p & (0 - ((p / 2 - x) >> 63))));
}

/** x * w mod p in [0, 2p) for any x; w < p, shoup = floor(w * 2^64 / p). */
static inline uint64_t slots_multiply_shoup(uint64_t x, uint64_t w, uint64_t shoup, uint64_t p) {
  return x * w - (uint64_t)(((slots_wide)x * shoup) >> 64) * p;
}

/* For tables of public numbers. */
uint64_t slots_power(uint64_t base, uint64_t exponent, const struct slots_modulus *m);
uint64_t slots_inverse(uint64_t x, const struct slots_modulus *m);
static inline uint64_t slots_shoup(uint64_t w, uint64_t p) {
  return (uint64_t)(((slots_wide)w << 64) / p);
}

/** 1 / p as 128 bits after the point, times 2^(bits-1): y / p for y < p follows to within 2^-127. */
struct slots_fraction {
  uint64_t high, low;
  unsigned shift;
};
struct slots_fraction slots_fraction_make(uint64_t p);
static inline slots_wide slots_fraction_of(uint64_t y, const struct slots_fraction *f) {
  return ((slots_wide)y * f->high << (64 - f->shift)) + ((slots_wide)y * f->low >> f->shift);
}

#endif
