/** What linear layers and products of matrices do alike: encrypting, the client's half of a decryption, and the
 * server's encryptions of zero. */
#ifndef FUSION_LATTICE_RLWE_CIPHER_H
#define FUSION_LATTICE_RLWE_CIPHER_H

#include "lattice/rlwe.h"

/** Room for one polynomial at work, borrowed; secret. */
struct rlwe_room {
  uint64_t *values;   /* [n]: the plaintext, or what the client adds to an answer */
  int32_t *noise;     /* [n] */
  uint32_t *residues; /* [2 * RLWE_LIMBS_MAX][n]: residues, then their mixed-radix digits */
  uint32_t *uniform;  /* [RLWE_LIMBS_MAX][n]: the uniform half, then its product with the secret */
};

/** Mixed-radix digits of `count` values behind their residues. */
void rlwe_to_digits(const struct rlwe *r, uint32_t *residues, size_t n, size_t limbs, size_t count);

/** Client: c0 of an encryption of room->values modulo 2^ring_bits under `key` [RLWE_LIMBS_MAX][n], its first `used`
 *  coefficients, as digits; c1 is drawn from the public stream. */
void rlwe_encrypt(struct rlwe *r, const struct rlwe_params *params, const uint32_t *key, unsigned ring_bits,
                  struct prg *stream, const struct rlwe_room *room, size_t used);

/** Client: `values` [n] modulo 2^kappa, which it spoils, as residues of so many primes, transformed. */
void rlwe_take_common(struct rlwe *r, const struct rlwe_params *params, uint64_t *values, unsigned kappa, uint32_t *out,
                      size_t limbs);

/** Client: room->values[i] = (c1 * s)_i modulo 2^64 for i < lanes, the product over the integers; c1 as
 * rlwe_take_common gives it. */
void rlwe_times_secret(struct rlwe *r, const struct rlwe_params *params, const uint32_t *key, const uint32_t *c1,
                       size_t limbs, const struct rlwe_room *room, size_t lanes);
/** Primes that hold it: |c1 * s| <= 2^(kappa-1) * n is to be below half of their product. */
static inline size_t rlwe_answer_limbs(const struct rlwe_params *params, unsigned kappa) {
  return kappa + params->log_n < 2 * RLWE_LIMB_BITS ? 2 : 3;
}

/** Server: where an encryption of zero is made. */
struct rlwe_zero {
  int32_t *small;     /* [2][n]: u, then a noise; secret */
  uint32_t *work;     /* [2][n] secret */
  uint64_t *fraction; /* [n] secret */
};

/** sum[0..count) += u * key + noise; u lies in zero->small, sum [limbs][n], key [limbs][n] is a half of a public key.
 */
void rlwe_add_zero(struct rlwe *r, const struct rlwe_params *params, const struct rlwe_zero *zero, uint32_t *sum,
                   const uint32_t *key, size_t count);
/** fraction[0..count) = 2^64 * sum / q. */
void rlwe_find_fraction(const struct rlwe *r, const struct rlwe_params *params, uint64_t *fraction, const uint32_t *sum,
                        size_t count);
/** Both: zero->fraction. */
void rlwe_rerandomise(struct rlwe *r, const struct rlwe_params *params, const struct rlwe_zero *zero, uint32_t *sum,
                      const uint32_t *key, size_t count);

#endif
