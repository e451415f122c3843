/* Portable kernels of ggm.c. */
#include "silent/ggm_levels.h"

enum { BATCH = 64 };

/* All ones if a == b, else 0; a, b < 2^63. */
static uint64_t equal_mask(uint64_t a, uint64_t b) {
  return (uint64_t)0 - (((a ^ b) - 1) >> 63);
}

static block select_block(block a, block b, uint64_t mask) {
  return block_xor(a, block_and_mask(block_xor(a, b), mask));
}

static block and_block(block a, block b) {
  return block_make(a.hi & b.hi, a.lo & b.lo);
}

static block spread(block x) {
  return block_make(x.hi ^ x.lo, x.hi);
}

/* x: up to BATCH parents. Children to left[], right[]; left may be where the parents came from. */
static block grow_batch(const struct aes_key *key, const block *x, block *left, block *right, size_t count,
                        block keep) {
  block y[BATCH], sum = {0};
  for (size_t i = 0; i < count; i++) y[i] = spread(x[i]);
  aes_kernels_of(CPU_TIER_C)->encrypt(key, y, y, count);
  for (size_t i = 0; i < count; i++) {
    const block parent = x[i], h = block_xor(y[i], spread(parent));
    sum = block_xor(sum, h);
    left[i] = and_block(h, keep);
    right[i] = and_block(block_xor(parent, h), keep);
  }
  return sum;
}

static block grow_c(const struct aes_key *key, block *nodes, size_t width, block keep) {
  block sum = {0};
  for (size_t at = 0; at < width; at += BATCH) {
    const size_t n = size_min(BATCH, width - at);
    sum = block_xor(sum, grow_batch(key, nodes + at, nodes + at, nodes + width + at, n, keep));
  }
  return sum;
}

static block grow_patched_c(const struct aes_key *key, block *nodes, size_t width, block keep,
                            const struct ggm_patch *patch) {
  block sum = {0}, x[BATCH];
  for (size_t at = 0; at < width; at += BATCH) {
    const size_t n = size_min(BATCH, width - at);
    for (size_t i = 0; i < n; i++) {
      x[i] = block_and_mask(nodes[at + i], ~equal_mask(at + i, patch->at));
      x[i] = select_block(x[i], patch->sibling_node, equal_mask(at + i, patch->sibling));
    }
    sum = block_xor(sum, grow_batch(key, x, nodes + at, nodes + width + at, n, keep));
  }
  mem_wipe(x, sizeof x);
  return sum;
}

static void mend_c(block *leaves, size_t count, const struct ggm_patch *patch) {
  for (size_t i = 0; i < count; i++) {
    leaves[i] = select_block(leaves[i], patch->at_node, equal_mask(i, patch->at));
    leaves[i] = select_block(leaves[i], patch->sibling_node, equal_mask(i, patch->sibling));
  }
}

static const struct ggm_level_kernels levels_c = {.grow = grow_c, .grow_patched = grow_patched_c, .mend = mend_c};

static void expand_c(const struct aes_key *key, block *leaves, block *left_sums, unsigned depth) {
  ggm_expand_levels(&levels_c, key, leaves, left_sums, depth);
}
static void expand_punctured_c(const struct aes_key *key, block *leaves, const block *sums, uint64_t turns,
                               unsigned depth) {
  ggm_expand_punctured_levels(&levels_c, key, leaves, sums, turns, depth);
}

const struct ggm_kernels ggm_kernels_c = {
    .expand = expand_c, .left_sums = expand_c, .expand_punctured = expand_punctured_c};
