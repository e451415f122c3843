/** Interleaving ciphertexts: automorphisms X -> X^g with switches of the key.
 *
 *  A ciphertext whose useful coefficients are the multiples of S, with anything between them, and another like it
 * become one whose useful coefficients are the multiples of S/2, twice their values: with t(X) = X^(1 + 2N/S), which
 * fixes X^S and turns the sign of X^(S/2), E + X^(S/2) O + t(E - X^(S/2) O) has 2 E at the even multiples of S/2 and 2
 * O at the odd ones, and what lay there before cancels.
 *
 *  t gives a ciphertext under t(s): a key brings it back to s. The client encrypts P * g_k * t(s) under s for the
 * digits k, g_k being 1 modulo p_k and 0 modulo the other prime of an answer, and P the third prime. The digits of c1,
 * its residues modulo p_k taken as small numbers, times the key, over P.
 *
 *  Security: the keys are encryptions of functions of s under s itself; that they look uniform is the assumption of
 *  circular security that all schemes with automorphisms make, beside RLWE with all three primes.
 *  Source: Chen, Dai, Kim, Song, "Efficient Homomorphic Conversion Between (Ring) LWE Ciphertexts", ACNS 2021,
 * algorithm 2, for ciphertexts with more than one useful coefficient; Gentry, Halevi, Smart, CRYPTO 2012, for the third
 * prime. */
#ifndef FUSION_LATTICE_GALOIS_H
#define FUSION_LATTICE_GALOIS_H

#include "lattice/turn_key.h"

enum { GALOIS_LIMBS = 2 /* of what is interleaved */, GALOIS_KEY_LIMBS = 3 };

/** For strides 2, 4, .. 2^rlwe_keys.levels. */
extern const struct turn_kind galois_keys;

/** Coefficients of c0, then of c1, each [GALOIS_LIMBS][N], values in [0, p_k). */
struct galois_cipher {
  uint32_t *c[2];
};

/** Room for a merge, borrowed; secret. */
struct galois_room {
  uint32_t *turned;    /* [2][GALOIS_LIMBS][N] */
  uint32_t *sums;      /* [2][GALOIS_KEY_LIMBS][N] */
  uint32_t *work;      /* [2][N] */
  int32_t *digit;      /* [N] */
  uint32_t *over_last; /* [GALOIS_LIMBS][N]: constants, from galois_room_set() */
};
void galois_room_set(const struct rlwe *r, const struct galois_room *room);

/** even = the two interleaved, stride 2^level to 2^(level - 1). odd NULL: nothing lies there; the useful coefficients
 * of even are doubled, and others are left between them. Spoils odd. */
void galois_merge(const struct rlwe *r, unsigned level, const struct galois_cipher *even,
                  const struct galois_cipher *odd, const struct galois_room *room);

/** out = in(X^g) modulo p; out = X^shift * in modulo p. */
void galois_turn(uint32_t *out, const uint32_t *in, size_t g, size_t n, uint32_t p);
void galois_shift_up(uint32_t *out, const uint32_t *in, size_t shift, size_t n, uint32_t p);

/** poly [GALOIS_KEY_LIMBS][N] over the last prime, rounded: its first GALOIS_LIMBS limbs. */
void galois_over_last(const struct rlwe *r, uint32_t *poly, const struct galois_room *room);

#endif
