/** Arithmetic modulo the 26-bit NTT primes, branch-free, on 32-bit words. Shared by every tier's kernels. */
#ifndef FUSION_LATTICE_MODULAR_H
#define FUSION_LATTICE_MODULAR_H

#include "base/base.h"

/** A prime p, 2^25 < p < 2^26, with the constants of its reductions. */
struct modulus {
  uint32_t p;
  uint32_t neg_inverse; /* -1/p mod 2^32 */
  uint32_t barrett;     /* floor(2^32 / p) */
  uint32_t r1, r2, r3;  /* 2^32, 2^64, 2^96 mod p */
};

/** x - bound if x >= bound, else x; x - bound > -2^31 and < 2^31. */
static inline uint32_t mod_subtract_once(uint32_t x, uint32_t bound) {
  const uint32_t less = x - bound;
  return less + (bound & (0 - (less >> 31)));
}

/** t / 2^32 modulo p, in [0, t / 2^32 + p]; t < 2^63. */
static inline uint32_t mod_montgomery(uint64_t t, const struct modulus *m) {
  const uint32_t k = (uint32_t)t * m->neg_inverse;
  return (uint32_t)((t + (uint64_t)k * m->p) >> 32);
}

/** a * b / 2^32 modulo p, in [0, p); a * b < 2^32 p. */
static inline uint32_t mod_multiply_montgomery(uint32_t a, uint32_t b, const struct modulus *m) {
  return mod_subtract_once(mod_montgomery((uint64_t)a * b, m), m->p);
}

/** x mod p for any 32-bit x. */
static inline uint32_t mod_reduce_32(uint32_t x, const struct modulus *m) {
  const uint32_t quotient = (uint32_t)(((uint64_t)x * m->barrett) >> 32);
  return mod_subtract_once(x - quotient * m->p, m->p);
}

/** u mod p for u < 2^63. */
static inline uint32_t mod_reduce_63(uint64_t u, const struct modulus *m) {
  const uint64_t t = (u & UINT32_MAX) * m->r1 + (u >> 32) * m->r2; /* < 2^58 + 2^57: the quotient is below 3p */
  return mod_subtract_once(mod_subtract_once(mod_montgomery(t, m), 2 * m->p), m->p);
}

/** v mod p in [0, p) for a signed v, |v| < 2^61. */
static inline uint32_t mod_reduce_signed(int64_t v, const struct modulus *m) {
  return mod_reduce_63((uint64_t)(v + (int64_t)((uint64_t)m->p << 36)), m);
}

/** x * w mod p in [0, 2p) for any 32-bit x; w < p, shoup = floor(w * 2^32 / p). */
static inline uint32_t mod_multiply_shoup(uint32_t x, uint32_t w, uint32_t shoup, uint32_t p) {
  const uint32_t quotient = (uint32_t)(((uint64_t)x * shoup) >> 32);
  return x * w - quotient * p;
}

/** Small public helpers for tables; not for secrets (they divide). */
struct modulus mod_make(uint32_t p);
uint32_t mod_power(uint32_t base, uint32_t exponent, uint32_t p);
static inline uint32_t mod_inverse(uint32_t x, uint32_t p) {
  return mod_power(x % p, p - 2, p);
}
static inline uint32_t mod_shoup(uint32_t w, uint32_t p) {
  return (uint32_t)(((uint64_t)w << 32) / p);
}

#endif
