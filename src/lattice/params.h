/** Parameter sets of the RLWE encryption, and what the byte `rlwe_set` of a linear layer means.
 *
 *  Security: ternary uniform secret, noise of deviation 3.24, RLWE_KEYS_MAX keys on one uniform half. Bits: the
 * cheapest of the known attacks by the model of MATZOV (2022), recomputed by scripts/rlwe_security.py. */
#ifndef FUSION_LATTICE_PARAMS_H
#define FUSION_LATTICE_PARAMS_H

#include "base/base.h"

enum {
  RLWE_LIMBS_MAX = 3,
  RLWE_RINGS = 2,    /* distinct N: 2048, 4096 */
  RLWE_SETS = 3,     /* ids 1..RLWE_SETS */
  RLWE_KEYS_MAX = 8, /* secret keys of a session for one N: tiles of a layer that share their uniform halves */
  RLWE_LIMB_BITS = 26,
  INTERLEAVE_LEVELS_MAX = 8, /* 2^levels output channels in an answer: interleave.h */
  INTERLEAVE_CUTS = 3,       /* ways to cut ciphertexts into digits: interleave.h */
  RLWE_KAPPA_MAX = 58,       /* widest modulus of an answer: 2^kappa */
  RLWE_DROPPED_MAX = 63,     /* low bits that a query may drop */
  RLWE_QUERY_BITS_MIN = 8,
  RLWE_NOISE_PAIRS = 21, /* centred binomial: eta; variance eta / 2 = 10.5, deviation 3.24 */
};

struct rlwe_params {
  unsigned log_n;
  size_t n;
  size_t limbs;
  unsigned q_bits;        /* bits of a value modulo q */
  unsigned low_bits;      /* bits of an answer below the kept ones: kappa = ring + guard + low_bits */
  size_t ring;            /* which of the RLWE_RINGS: which key */
  unsigned security_bits; /* floor of the estimate, less log2(RLWE_KEYS_MAX) */
};

/** The primes p = 1 mod 8192 below 2^26, largest first, each with a primitive 8192-th root of unity. */
extern const uint32_t rlwe_primes[RLWE_LIMBS_MAX];
extern const uint32_t rlwe_roots[RLWE_LIMBS_MAX];
/** log2 N and limbs of each ring's key. */
extern const unsigned rlwe_ring_log_n[RLWE_RINGS];
extern const size_t rlwe_ring_limbs[RLWE_RINGS];

/** Parameters of set `id`; NULL when there is none. */
const struct rlwe_params *rlwe_params_find(unsigned id);

/* The byte rlwe_set: set id in the low two bits; above them the number of low bits of q that a query drops. */
static inline unsigned rlwe_set_id(uint8_t set) {
  return set & 3u;
}
static inline unsigned rlwe_set_dropped(uint8_t set) {
  return set >> 2;
}
static inline uint8_t rlwe_set_make(unsigned id, unsigned dropped) {
  return (uint8_t)(id | dropped << 2);
}

#endif
