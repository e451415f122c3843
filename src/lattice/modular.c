#include "lattice/modular.h"

struct modulus mod_make(uint32_t p) {
  uint32_t inverse = 1; /* Newton: each step doubles the number of right low bits */
  for (int i = 0; i < 5; i++) inverse *= 2 - p * inverse;
  struct modulus m = {.p = p, .neg_inverse = 0 - inverse, .barrett = (uint32_t)((UINT64_C(1) << 32) / p)};
  m.r1 = (uint32_t)((UINT64_C(1) << 32) % p);
  m.r2 = (uint32_t)((uint64_t)m.r1 * m.r1 % p);
  m.r3 = (uint32_t)((uint64_t)m.r2 * m.r1 % p);
  return m;
}

uint32_t mod_power(uint32_t base, uint32_t exponent, uint32_t p) {
  uint64_t result = 1, square = base % p;
  for (; exponent; exponent >>= 1) {
    if (exponent & 1) result = result * square % p;
    square = square * square % p;
  }
  return (uint32_t)result;
}
