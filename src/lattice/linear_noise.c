#include "lattice/linear_noise.h"

#include <math.h>

#include "lattice/interleave.h"

/* sqrt(2 * ln 2 * 81): a sub-Gaussian variable of variance proxy s^2 passes TAIL * s with probability below 2^-80, so
 * that a job of 2^40 values fails anywhere with probability below 2^-40. */
static const double TAIL = 10.597;

static const double variance = RLWE_NOISE_PAIRS / 2.0;

static double modulus(const struct rlwe_params *p) {
  double q = 1;
  for (size_t k = 0; k < p->limbs; k++) q *= rlwe_primes[k];
  return q;
}

/* Of one number of a query: fresh noise, and the dropped bits, uniform as c0 is pseudo-random: less their middle they
 * are a sum of independent signs, each times half a power of two, whose squares are the proxy. */
static double query_variance(unsigned dropped) {
  return variance + (ldexp(1, 2 * (int)dropped) - 1) / 12;
}

/* The encryption of zero: e*u + e' + e''*s. */
static double zero_variance(const struct rlwe_params *p) {
  return variance * (2 * (double)p->n + 1);
}

/* c1's rounding to 2^kappa times s, sub-Gaussian of proxy N/4, and the fractions' truncation, in units of the lowest
 * kept bit. */
static double rounding_bound(const struct rlwe_params *p, unsigned kept_bits) {
  const double n = (double)p->n, kappa = (double)(kept_bits + p->low_bits);
  return (TAIL * sqrt(n) / 2 + n * (double)p->limbs * exp2(kappa - 64) + 1) / exp2(p->low_bits);
}

/* In full beside the sub-Gaussian terms: the plaintext's rounding (|w|_1 / 2), the middle of the dropped bits (|w|_1 /
 * 2). */
double linear_noise_bound(const struct rlwe_params *p, unsigned kept_bits, unsigned dropped, double norm_1,
                          double norm_2) {
  const double fresh = TAIL * sqrt(query_variance(dropped) * norm_2 * norm_2 + zero_variance(p)) + norm_1;
  return fresh / modulus(p) * exp2(kept_bits) + rounding_bound(p, kept_bits);
}

/* What the keys add to a useful coefficient. At a level: digits of at most 2^(bits - 1) times the key's noise, and the
 * skipped bits, at most half of 2^skipped, times t(s). One merge of each level leads to the coefficient, and what it
 * adds is doubled at the levels after it: 1 + 4 + .. 4^(levels - 1) for the keys' noise, which is independent. The
 * skipped bits of all levels meet the same s; they are pseudo-random, of a third of the proxy used here. */
static double keys_variance(const struct rlwe_params *p, unsigned levels, size_t cut) {
  const struct turn_kind *kind = &interleave_keys[cut];
  const double n = (double)p->n, digit = ldexp(1, (int)kind->digit_bits - 1) + 1;
  const double skipped = ldexp(1, (int)kind->skipped_bits - 1);
  const double level = variance * n * (double)kind->digits * digit * digit + skipped * skipped * n;
  return level * (ldexp(1, 2 * (int)levels) - 1) / 3;
}

int linear_interleaved_dropped(const struct rlwe_params *p, unsigned kept_bits, unsigned dropped, size_t rows,
                               unsigned levels, size_t cut) {
  const double room = (0.5 - rounding_bound(p, kept_bits)) * modulus(p) / exp2(kept_bits);
  const double norm_2 = room / (TAIL * sqrt(query_variance(dropped)));
  const double norm_1 = fmin(room, sqrt((double)rows) * norm_2);
  for (int d = (int)dropped; d >= 0; d--) {
    const double sum = query_variance((unsigned)d) * norm_2 * norm_2 + zero_variance(p) + keys_variance(p, levels, cut);
    if (TAIL * sqrt(sum) + norm_1 < room) return d;
  }
  return -1;
}
