/** Parameters of the slot encryption: BFV over Z[X]/(X^N + 1) with N = 8192, whose plaintexts are two rows of 4096
 * slots modulo a prime t = 1 mod 2N. One set of keys, many t: each layer takes the smallest that holds its sums.
 *
 *  q is a product of three primes below 2^50, rotations use a fourth (the special one): 200 bits, below the 218 of the
 *  homomorphic encryption standard's table for N = 8192 and 128 bits; uniform ternary secret, noise of deviation 3.24.
 *  scripts/rlwe_security.py recomputes the bits. Below 2^50, because the vector kernels multiply in doubles. */
#ifndef FUSION_SLOTS_SLOTS_PARAMS_H
#define FUSION_SLOTS_SLOTS_PARAMS_H

#include "base/base.h"

enum {
  SLOTS_LOG_N = 13,
  SLOTS_N = 1 << SLOTS_LOG_N,
  SLOTS_ROW = SLOTS_N / 2, /* slots of a row */
  SLOTS_LIMBS = 3,         /* primes of q */
  SLOTS_SPECIAL = 3,       /* index of the special prime */
  SLOTS_PRIMES = 4,
  SLOTS_PRIME_BITS = 50,
  SLOTS_Q_BITS = 150, /* floor of log2 q is one less, by 2^-30 */
  SLOTS_PLAIN_BITS_MIN = 17,
  SLOTS_PLAIN_BITS_MAX = 46,
  SLOTS_FLOOD_BITS = 40, /* flooding over the noise */
  SLOTS_SECURITY_BITS = 137,
};

/** The largest primes = 1 mod 2N below 2^50; the last is the special one. */
extern const uint64_t slots_primes[SLOTS_PRIMES];

/** The largest prime = 1 mod 2N of at most `bits` bits, for SLOTS_PLAIN_BITS_MIN <= bits <= SLOTS_PLAIN_BITS_MAX. */
uint64_t slots_plain_prime(unsigned bits);

/* An answer is rounded from q to powers of two, so many bits over t for its two polynomials. Errors in units of 1/t:
 * the flooding, uniform in [-1/8, 1/8); the rounding of c0, 1/16; of c1 times s, 2^-10 * sqrt(N * 2/3 / 12) = 1/48 in
 * deviation, 0.23 at 10.6 deviations, which one coefficient in 2^80 passes. Their sum stays below 1/2. */
enum { SLOTS_C0_BITS = 3, SLOTS_C1_BITS = 10, SLOTS_FLOOD_SHIFT = 2 };

#endif
