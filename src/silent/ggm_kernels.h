/** Kernels of ggm.c: levels of a GGM tree, and the hole of a punctured one. See ggm.h for the tree. */
#ifndef FUSION_SILENT_GGM_KERNELS_H
#define FUSION_SILENT_GGM_KERNELS_H

#include "rand/aes_kernels.h"

/** The open place of a punctured tree, and what the two leaves that the expansion cannot compute must be. Secret. */
struct ggm_hole {
  uint64_t at, sibling; /* positions of the hole and of its sibling */
  block at_leaf, sibling_leaf;
};

/** A node that a level must take from here rather than from memory. Secret. */
struct ggm_patch {
  uint64_t at, sibling; /* nodes[at] is read as 0, nodes[sibling] as sibling_node */
  block sibling_node;
};

/** Keys are opened by the AES kernels of the same tier. */
struct ggm_kernels {
  /** Grows `width` nodes to 2 * width; every child is ANDed with `keep`. Returns the XOR of the left children before
   *  that. */
  block (*grow)(const struct aes_key *key, block *nodes, size_t width, block keep);
  /** The same, but for the patched nodes. *parents: the XOR of the nodes read. No access depends on the patch. */
  block (*grow_patched)(const struct aes_key *key, block *nodes, size_t width, block keep,
                        const struct ggm_patch *patch, block *parents);
  /** Puts a hole's two leaves into leaves[0 .. count), which are those from `first` on; count is a multiple of 16. */
  void (*mend)(block *leaves, uint64_t first, size_t count, const struct ggm_hole *hole);
};

KERNEL_TABLES_VAES_NEON(ggm);

#endif
