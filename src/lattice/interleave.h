/** Interleaving the answers of linear layers of few lanes: several output channels in one ciphertext.
 *
 *  Lane i of such a layer lies at coefficient i * S, S = 2^levels, and the product for an output channel (a "unit") is
 * of use at the multiples of S only. S units become one ciphertext in `levels` levels, as galois.h has it: E + X^(S/2)
 * O + t(E - X^(S/2) O). Unit u of a ciphertext then has lane i at coefficient i * S + reverse(u), S times its value, so
 * the uniform halves are divided by S modulo q beforehand.
 *
 *  Here N = 2048 and q has two primes, so there is none to spare for a change of modulus: t(c1) is cut into digits of
 * `bits` bits, the lowest `skipped` bits rounded away, and the client's keys encrypt 2^skipped * 2^(bits * j) * t(s)
 * under s. c1 does not depend on the client's query, and neither does what the keys add to c0: both are made before it
 * comes. What a query adds to c0 is put at its place at the end.
 *
 *  Tiles of a bundle share c1, so all of this but the keys' part of c0 is done once for them: the keys of all secrets
 *  are on the same uniform halves (turn_key.h), and c1 stays one.
 *
 *  Security: the keys are encryptions of functions of s under s itself (circular security), as those of galois.h, at
 * the bits of the set with N = 2048. Source: as galois.h; digits after Brakerski, Vaikuntanathan, FOCS 2011. */
#ifndef FUSION_LATTICE_INTERLEAVE_H
#define FUSION_LATTICE_INTERLEAVE_H

#include "lattice/rlwe_cipher.h"
#include "lattice/turn_key.h"
#include "lattice/workspace.h"

enum { INTERLEAVE_LIMBS = 2, INTERLEAVE_DIGITS_MAX = 6 };

/** Keys for strides 2, 4, .. 2^rlwe_keys.turns, by rlwe_keys.cut. Fewer, wider digits make keys shorter and merges
 *  quicker, and bring more noise. */
extern const struct turn_kind interleave_keys[INTERLEAVE_CUTS];
/** The server's part of turn_key.h for these keys, and what it computes from public numbers to use them. */
fusion_status interleave_take(struct rlwe *r, const uint8_t *payload) FUSION_MUST_CHECK;
/** Bytes of what that keeps. */
size_t interleave_memory(const struct rlwe_keys *keys);

/** A ciphertext on its way, or one for each of several secrets, which have c1 in common: c1 [INTERLEAVE_LIMBS][N] in
 *  coefficients, c0 [secrets][INTERLEAVE_LIMBS][N] transformed and only what keys added. Values in [0, p_k). */
struct interleave_cipher {
  uint32_t *c0, *c1;
  bool keyed; /* c0 holds something */
};

/** Units join those that wait, as a carry ripples through a counter. Arrays are in the session's workspace; secret. */
struct interleaver {
  const struct rlwe *r;
  unsigned levels;
  size_t secrets; /* the first ones of the session */
  bool waits[INTERLEAVE_LEVELS_MAX + 1];
  struct interleave_cipher pending[INTERLEAVE_LEVELS_MAX + 1]; /* of 2^k units */
  struct interleave_cipher fresh;                              /* the caller lays a unit's c1 here */
  int64_t *difference, *turned;                                /* [N] */
  uint32_t *sums;                                              /* [secrets + 1][INTERLEAVE_LIMBS][N] */
  uint32_t *work;                                              /* [2][N] */
  int32_t *digit;                                              /* [INTERLEAVE_DIGITS_MAX][N] */
  uint32_t *lifted;                                            /* the same, modulo a prime, transformed */
};

void interleaver_place(struct interleaver *it, struct workspace *w, unsigned levels, size_t secrets);
/** Takes the unit whose c1 lies in it->fresh. */
void interleaver_push(struct interleaver *it);
/** All units that wait as one ciphertext; its c0 in coefficients. Borrowed until the next push. */
const struct interleave_cipher *interleaver_finish(struct interleaver *it);

#endif
