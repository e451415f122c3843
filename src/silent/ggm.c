#include "silent/ggm.h"

enum { BATCH = 64 };

static const block keep_all = {.lo = UINT64_MAX, .hi = UINT64_MAX};
static const block keep_leaf = {.lo = UINT64_MAX - 1, .hi = UINT64_MAX};

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
  aes_ops_of(CPU_TIER_C)->encrypt(key, y, y, count);
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
                            const struct ggm_patch *patch, block *parents) {
  block sum = {0}, read = {0}, x[BATCH];
  for (size_t at = 0; at < width; at += BATCH) {
    const size_t n = size_min(BATCH, width - at);
    for (size_t i = 0; i < n; i++) {
      x[i] = block_and_mask(nodes[at + i], ~equal_mask(at + i, patch->at));
      x[i] = select_block(x[i], patch->sibling_node, equal_mask(at + i, patch->sibling));
      read = block_xor(read, x[i]);
    }
    sum = block_xor(sum, grow_batch(key, x, nodes + at, nodes + width + at, n, keep));
  }
  *parents = read;
  mem_wipe(x, sizeof x);
  return sum;
}

static void mend_c(block *leaves, uint64_t first, size_t count, const struct ggm_hole *hole) {
  for (size_t i = 0; i < count; i++) {
    leaves[i] = select_block(leaves[i], hole->at_leaf, equal_mask(first + i, hole->at));
    leaves[i] = select_block(leaves[i], hole->sibling_leaf, equal_mask(first + i, hole->sibling));
  }
}

void ggm_expand(const struct ggm_ops *ops, const struct aes_key *key, block *leaves, block *left_sums, block root,
                block delta, unsigned depth) {
  const block keep = depth == 1 ? keep_leaf : keep_all;
  left_sums[0] = root;
  leaves[0] = and_block(root, keep);
  leaves[1] = and_block(block_xor(root, delta), keep);
  for (unsigned level = 1; level < depth; level++) {
    left_sums[level] = ops->grow(key, leaves, (size_t)1 << level, level + 1 == depth ? keep_leaf : keep_all);
  }
}

void ggm_expand_punctured(const struct ggm_ops *ops, const struct aes_key *key, block *leaves, struct ggm_hole *hole,
                          const block *sums, uint64_t turns, unsigned depth) {
  /* The hole is read as 0: both its children come out as H(0), in the left sum and in the right one alike. */
  block of_zero = {0}, scratch[2] = {{0}};
  ops->grow(key, scratch, 1, keep_all);
  of_zero = scratch[0];

  uint64_t turn = turns & 1;
  struct ggm_patch patch = {.at = turn, .sibling = turn ^ 1, .sibling_node = sums[0]};
  block others = sums[0];
  leaves[0] = leaves[1] = (block){0};
  for (unsigned level = 1; level < depth; level++) {
    const size_t width = (size_t)1 << level;
    block parents;
    const block left =
        ops->grow_patched(key, leaves, width, level + 1 == depth ? keep_leaf : keep_all, &patch, &parents);
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

const struct ggm_ops *ggm_ops_of(enum cpu_tier tier) {
  static const struct ggm_ops portable = {.grow = grow_c, .grow_patched = grow_patched_c, .mend = mend_c};
#ifdef FUSION_X86_TIERS
  if (tier == CPU_TIER_AVX512) return &ggm_ops_avx512;
  if (tier == CPU_TIER_AVX2) return &ggm_ops_avx2;
#endif
  (void)tier;
  return &portable;
}
