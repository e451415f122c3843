/** GGM trees a level at a time, for the tiers whose kernels are levels. See ggm.h for the tree. */
#ifndef FUSION_SILENT_GGM_LEVELS_H
#define FUSION_SILENT_GGM_LEVELS_H

#include "silent/ggm_kernels.h"

/** What a punctured tree must be told about two nodes of a level, or two leaves. Secret. */
struct ggm_patch {
  uint64_t at, sibling; /* positions of the hole and of its sibling */
  block at_node, sibling_node;
};

struct ggm_level_kernels {
  /** Grows `width` nodes to 2 * width; every child is ANDed with `keep`. Returns the XOR of the left children before
   *  that. */
  block (*grow)(const struct aes_key *key, block *nodes, size_t width, block keep);
  /** The same, but nodes[at] is read as 0 and nodes[sibling] as sibling_node. No access depends on the patch. */
  block (*grow_patched)(const struct aes_key *key, block *nodes, size_t width, block keep,
                        const struct ggm_patch *patch);
  /** Puts the two into leaves[0 .. count), a multiple of 4. */
  void (*mend)(block *leaves, size_t count, const struct ggm_patch *patch);
};

static inline block ggm_keep(bool leaves) {
  return block_make(UINT64_MAX, leaves ? UINT64_MAX - 1 : UINT64_MAX);
}

static inline void ggm_expand_levels(const struct ggm_level_kernels *kernels, const struct aes_key *key, block *leaves,
                                     block *left_sums, unsigned depth) {
  for (unsigned level = 1; level < depth; level++)
    left_sums[level] = kernels->grow(key, leaves, (size_t)1 << level, ggm_keep(level + 1 == depth));
}

static inline void ggm_expand_punctured_levels(const struct ggm_level_kernels *kernels, const struct aes_key *key,
                                               block *leaves, const block *sums, uint64_t turns, unsigned depth) {
  /* The hole is read as 0: both its children come out as H(0), in the left sum and in the right one alike. */
  block scratch[2] = {{0}}, others = sums[0]; /* others: the XOR of all nodes but the hole */
  kernels->grow(key, scratch, 1, ggm_keep(false));
  const block of_zero = scratch[0];
  uint64_t turn = turns & 1;
  struct ggm_patch patch = {.at = turn, .sibling = turn ^ 1, .sibling_node = sums[0]};
  leaves[0] = leaves[1] = (block){0};
  for (unsigned level = 1; level < depth; level++) {
    const size_t width = (size_t)1 << level;
    const block left = kernels->grow_patched(key, leaves, width, ggm_keep(level + 1 == depth), &patch);
    turn = (turns >> level) & 1;
    /* What is known of the sibling's side: the left children if the path turns right, else the right ones. */
    const block known = block_xor(block_xor(left, of_zero), block_and_mask(others, turn - 1));
    patch.sibling_node = block_xor(sums[level], known);
    patch.at |= turn << level;
    patch.sibling = patch.at ^ width;
    others = block_xor(others, patch.sibling_node);
  }
  patch.at_node = block_make(others.hi, others.lo | 1);
  patch.sibling_node.lo &= ggm_keep(true).lo;
  kernels->mend(leaves, (size_t)1 << depth, &patch);
  mem_wipe(&patch, sizeof patch);
}

#endif
