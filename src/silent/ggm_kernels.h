/** Kernels of ggm.c: whole GGM trees from their first level. See ggm.h for the tree. */
#ifndef FUSION_SILENT_GGM_KERNELS_H
#define FUSION_SILENT_GGM_KERNELS_H

#include "rand/aes_kernels.h"

/** Of trees of depth 2 and more. Keys are opened by the AES kernels of the same tier. */
struct ggm_kernels {
  /** The sender's, from leaves[0] and leaves[1], the first level. Writes all leaves, and left_sums[1 .. depth). */
  void (*expand)(const struct aes_key *key, block *leaves, block *left_sums, unsigned depth);
  /** The same sums. What is in `nodes`, as long as `leaves` above, is of no use afterwards. */
  void (*left_sums)(const struct aes_key *key, block *nodes, block *left_sums, unsigned depth);
  /** The receiver's. turns: below 2^depth, secret; no access depends on them. */
  void (*expand_punctured)(const struct aes_key *key, block *leaves, const block *sums, uint64_t turns, unsigned depth);
};

KERNEL_TABLES_VAES_NEON(ggm);

#endif
