/** The inner loops of SoftSpoken, one table a CPU tier: leaf streams summed into bit planes, the universal hash, and
 * the transposition from planes to correlations. A plane is a row of blocks, 128 correlations a block; planes of one
 * matrix lie `stride` blocks apart, a multiple of SOFTSPOKEN_GRANULE. No kernel branches on or indexes by data. */
#ifndef FUSION_OT_SOFTSPOKEN_KERNELS_H
#define FUSION_OT_SOFTSPOKEN_KERNELS_H

#include "base/base.h"
#include "base/block.h"
#include "base/kernel_tables.h"

enum {
  SOFTSPOKEN_GRANULE = 4, /* blocks: one AVX-512 vector */
  SOFTSPOKEN_TILE =
      32, /* blocks of a leaf's stream that are summed at a time: 512 bytes, 256 leaves fit the L2 cache */
};

/** AES-128 round keys of a leaf; the first is the leaf's seed. The portable tier uses that one alone. */
struct leaf_key {
  block round[11];
};

/** One tree's streams summed over `blocks` blocks (a multiple of SOFTSPOKEN_GRANULE):
 *  total = sum of all leaves, planes[b] = sum of the leaves x with bit b set, b < depth. */
struct tree_job {
  const struct leaf_key *leaves; /* 2^depth */
  unsigned depth;                /* at most 8 */
  bool punctured;                /* leaf 0 is unknown and counts as zero */
  uint64_t counter, nonce;       /* stream block j of a leaf: AES(seed, nonce || counter + j) */
  block *total;
  block *planes; /* bit b at planes + b * stride */
  size_t stride, blocks;
  block *scratch; /* 2^depth * SOFTSPOKEN_TILE blocks */
  void *cipher;   /* of softspoken_kernels.cipher_new */
};

struct softspoken_kernels {
  /** What `tree` and `stream` need beside their arguments; NULL with *ok true where that is nothing. */
  void *(*cipher_new)(bool *ok);
  void (*cipher_free)(void *cipher);
  void (*schedule)(struct leaf_key *out, block seed);
  void (*tree)(const struct tree_job *job);
  /** out[j] = AES(seed, nonce || counter + j), j < blocks (a multiple of SOFTSPOKEN_GRANULE). */
  void (*stream)(block *out, const struct leaf_key *key, uint64_t nonce, uint64_t counter, size_t blocks, void *cipher);
  /** out[p] = sum over j < blocks of chi[j] * plane p [j] in GF(2^128) = GF(2)[X] / (X^128 + X^7 + X^2 + X + 1), bit i
   *  of a block being the coefficient of X^i; p < 128. `chi` is public, the planes are secret. */
  void (*hash)(block out[128], const block *planes, size_t stride, const block *chi, size_t blocks);
  /** Bit p of out[128 * j + i] = bit i of block j of plane p; j < blocks. Up to a granule of each plane is read. */
  void (*transpose)(block *out, const block *planes, size_t stride, size_t blocks);
};

KERNEL_TABLES_VAES_NEON(softspoken);

#ifdef FUSION_X86_TIERS
/** schedule() of all x86 tiers, transpose() of two. */
void softspoken_schedule_avx2(struct leaf_key *out, block seed);
void softspoken_transpose_avx2(block *out, const block *planes, size_t stride, size_t blocks);
#endif

#endif
