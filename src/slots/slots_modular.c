#include "slots/slots_modular.h"

struct slots_modulus slots_modulus_make(uint64_t p) {
  const unsigned bits = log2_up(p);
  return (struct slots_modulus){.p = p,
                                .bits = bits,
                                .barrett = (uint64_t)(((slots_wide)1 << (2 * bits)) / p),
                                .single = UINT64_MAX / p, /* p is odd: the same as of 2^64 */
                                .inverse = 1.0 / (double)p};
}

uint64_t slots_power(uint64_t base, uint64_t exponent, const struct slots_modulus *m) {
  uint64_t result = 1, square = base % m->p;
  for (; exponent; exponent >>= 1) {
    if (exponent & 1) result = slots_multiply(result, square, m);
    square = slots_multiply(square, square, m);
  }
  return result;
}

uint64_t slots_inverse(uint64_t x, const struct slots_modulus *m) {
  return slots_power(x % m->p, m->p - 2, m);
}

struct slots_fraction slots_fraction_make(uint64_t p) {
  const unsigned shift = log2_up(p) - 1;
  /* floor(2^(128 + shift) / p), 2^shift < p: long division by words. */
  const slots_wide first = ((slots_wide)1 << (64 + shift)) / p, rest = ((slots_wide)1 << (64 + shift)) % p;
  return (struct slots_fraction){.high = (uint64_t)first, .low = (uint64_t)((rest << 64) / p), .shift = shift};
}
