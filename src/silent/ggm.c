#include "silent/ggm.h"

static const uint64_t keep = UINT64_MAX - 1; /* of a leaf's lower word */

static void first_level(block *nodes, block *left_sums, block root, block delta) {
  left_sums[0] = nodes[0] = root;
  nodes[1] = block_xor(root, delta);
}

void ggm_expand(const struct ggm_kernels *kernels, const struct aes_key *key, block *leaves, block *left_sums,
                block root, block delta, unsigned depth) {
  first_level(leaves, left_sums, root, delta);
  if (depth > 1) {
    kernels->expand(key, leaves, left_sums, depth);
    return;
  }
  for (size_t i = 0; i < 2; i++) leaves[i].lo &= keep;
}

void ggm_left_sums(const struct ggm_kernels *kernels, const struct aes_key *key, block *room, block *left_sums,
                   block root, block delta, unsigned depth) {
  first_level(room, left_sums, root, delta);
  if (depth > 1) kernels->left_sums(key, room, left_sums, depth);
}

void ggm_expand_punctured(const struct ggm_kernels *kernels, const struct aes_key *key, block *leaves,
                          const block *sums, uint64_t turns, unsigned depth) {
  if (depth > 1) {
    kernels->expand_punctured(key, leaves, sums, turns, depth);
    return;
  }
  for (size_t i = 0; i < 2; i++) leaves[i] = block_make(sums[0].hi, (sums[0].lo & keep) | ((turns ^ i ^ 1) & 1));
}
