/** The RLWE state of a session, as the files of this folder see it (linear.h shows it to others as opaque).
 *
 *  Encryption under the client's ternary secret s: c0 + c1*s = round(q*x / 2^l) + e modulo q, c1 from a public seed.
 *  Polynomials in RNS form: limb k at `limb * n`, values in [0, p_k). */
#ifndef FUSION_LATTICE_RLWE_H
#define FUSION_LATTICE_RLWE_H

#include "lattice/lattice_kernels.h"
#include "lattice/linear.h"
#include "lattice/params.h"

struct rlwe {
  enum role role;
  struct channel *channel; /* borrowed */
  const struct lattice_kernels *kernels;
  struct prg *secret; /* owned: noise, masks */
  struct prg *shared; /* owned: from the public seed */
  uint64_t bundles;   /* of tiles, so far: numbers the forks of `shared` */
  uint64_t products;  /* of matrices, so far: the same */
  struct rlwe_meanwhile meanwhile;
  struct linear_run *ahead; /* owned, the server's: linear_begin_ahead(); NULL: none. In the workspace */
  struct rlwe_keys keys;
  struct modulus moduli[RLWE_LIMBS_MAX];
  struct ntt_table ntt[RLWE_RINGS][RLWE_LIMBS_MAX];
  /* Transformed, in Montgomery form. Client: the secrets for every prime, [keys][RLWE_LIMBS_MAX][n] (guarded memory).
   * Server: of the public keys the c0, [keys][limbs of the ring][n], and the c1 that all have in common. */
  uint32_t *key[RLWE_RINGS];
  uint32_t *public_key[RLWE_RINGS][2];
  uint32_t *galois; /* owned, the server's: galois.c; NULL: none */
  /* Owned, the server's: interleave.c; NULL: none. */
  uint32_t *turn_key, *turn_shift;
  uint16_t *turn_order;
  uint8_t *workspace; /* owned: see workspace.h */
  size_t workspace_len;
};

/** What linear_begin_ahead() has begun, if anything: before others use the workspace. */
void linear_drop_ahead(struct rlwe *r);

/** What was set by rlwe_set_meanwhile(), if it has not been done. */
fusion_status rlwe_do_meanwhile(struct rlwe *r) FUSION_MUST_CHECK;

/** q mod 2^64 of a set. */
uint64_t rlwe_q_low(const struct rlwe_params *params);
/** (q / p_limb)^-1 modulo p_limb, in Montgomery form: the factor of the modulus switch. */
uint32_t rlwe_switch_factor(const struct rlwe_params *params, size_t limb);

/** Small signed coefficients to residues of a prime, transformed. */
void rlwe_lift(const struct rlwe *r, uint32_t *out, const int32_t *small, size_t ring, size_t limb);
void rlwe_to_montgomery(const struct rlwe *r, uint32_t *a, size_t n, size_t limb);

/** The uniform half of one ciphertext in the transformed domain, [limbs][n], from a public stream. */
void rlwe_expand_uniform(const struct rlwe *r, const struct rlwe_params *params, struct prg *stream, uint32_t *out);
/** `count` (at most NTT_MAX) noise / ternary coefficients from the party's secret generator. */
void rlwe_draw_noise(struct rlwe *r, int32_t *out, size_t count);
void rlwe_draw_ternary(struct rlwe *r, int32_t *out, size_t count);

#endif
