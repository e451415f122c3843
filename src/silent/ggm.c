#include "silent/ggm.h"

static const block keep_all = {.lo = UINT64_MAX, .hi = UINT64_MAX};
static const block keep_leaf = {.lo = UINT64_MAX - 1, .hi = UINT64_MAX};

static block and_block(block a, block b) {
  return block_make(a.hi & b.hi, a.lo & b.lo);
}

void ggm_expand(const struct ggm_kernels *kernels, const struct aes_key *key, block *leaves, block *left_sums,
                block root, block delta, unsigned depth) {
  const block keep = depth == 1 ? keep_leaf : keep_all;
  left_sums[0] = root;
  leaves[0] = and_block(root, keep);
  leaves[1] = and_block(block_xor(root, delta), keep);
  for (unsigned level = 1; level < depth; level++) {
    left_sums[level] = kernels->grow(key, leaves, (size_t)1 << level, level + 1 == depth ? keep_leaf : keep_all);
  }
}

void ggm_expand_punctured(const struct ggm_kernels *kernels, const struct aes_key *key, block *leaves,
                          struct ggm_hole *hole, const block *sums, uint64_t turns, unsigned depth) {
  /* The hole is read as 0: both its children come out as H(0), in the left sum and in the right one alike. */
  block of_zero = {0}, scratch[2] = {{0}};
  kernels->grow(key, scratch, 1, keep_all);
  of_zero = scratch[0];

  uint64_t turn = turns & 1;
  struct ggm_patch patch = {.at = turn, .sibling = turn ^ 1, .sibling_node = sums[0]};
  block others = sums[0];
  leaves[0] = leaves[1] = (block){0};
  for (unsigned level = 1; level < depth; level++) {
    const size_t width = (size_t)1 << level;
    block parents;
    const block left =
        kernels->grow_patched(key, leaves, width, level + 1 == depth ? keep_leaf : keep_all, &patch, &parents);
    turn = (turns >> level) & 1;
    /* What is known of the sibling's side: the left children if the path turns right, else the right ones. */
    block known = block_xor(left, block_and_mask(parents, turn - 1));
    known = block_xor(known, of_zero);
    patch.sibling_node = block_xor(sums[level], known);
    patch.at |= turn << level;
    patch.sibling = patch.at ^ width;
    others = block_xor(parents, patch.sibling_node);
  }
  *hole = (struct ggm_hole){.at = patch.at,
                            .sibling = patch.sibling,
                            .at_leaf = block_xor(and_block(others, keep_leaf), block_make(0, 1)),
                            .sibling_leaf = and_block(patch.sibling_node, keep_leaf)};
  mem_wipe(&patch, sizeof patch);
}
