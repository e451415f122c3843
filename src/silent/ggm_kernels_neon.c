/* GGM levels by the ARMv8 AES instructions, eight nodes at a time. */
#include "rand/aes_neon.h"
#include "silent/ggm_levels.h"

/* (hi ^ lo, hi) */
static inline uint8x16_t spread_neon(uint8x16_t x) {
  return veorq_u8(aes_swap_neon(x), vandq_u8(x, aes_make_neon(UINT64_MAX, 0)));
}

/* All ones if the position is that of the lanes. */
static inline uint8x16_t at_neon(uint64_t position, uint64x2_t wanted) {
  return vreinterpretq_u8_u64(vceqq_u64(vdupq_n_u64(position), wanted));
}

struct patch_neon {
  uint64x2_t at, sibling;
  uint8x16_t node;
};

static inline struct patch_neon patch_neon(uint64_t at, uint64_t sibling, const block *node) {
  return (struct patch_neon){.at = vdupq_n_u64(at), .sibling = vdupq_n_u64(sibling), .node = aes_load_neon(node)};
}

static inline uint8x16_t patched_neon(uint8x16_t x, uint64_t position, const struct patch_neon *p) {
  x = vbicq_u8(x, at_neon(position, p->at));
  return vbslq_u8(at_neon(position, p->sibling), p->node, x);
}

/* Children of n <= AES_TILE_NEON parents x, from position `at` on. */
static inline uint8x16_t children_neon(const struct aes_rounds_neon *r, block *nodes, size_t width, size_t at,
                                       const uint8x16_t x[AES_TILE_NEON], size_t n, uint8x16_t keep) {
  uint8x16_t y[AES_TILE_NEON], sum = vdupq_n_u8(0);
  for (size_t i = 0; i < AES_TILE_NEON; i++) y[i] = spread_neon(x[i]);
  aes_tile_neon(r, y);
  for (size_t i = 0; i < n; i++) {
    const uint8x16_t h = veorq_u8(y[i], spread_neon(x[i]));
    sum = veorq_u8(sum, h);
    aes_store_neon(&nodes[at + i], vandq_u8(h, keep));
    aes_store_neon(&nodes[width + at + i], vandq_u8(veorq_u8(x[i], h), keep));
  }
  return sum;
}

/* The parents of a tile; zeros beyond n. */
static inline void parents_neon(uint8x16_t x[AES_TILE_NEON], const block *nodes, size_t n) {
  for (size_t i = 0; i < AES_TILE_NEON; i++) x[i] = i < n ? aes_load_neon(&nodes[i]) : vdupq_n_u8(0);
}

/* A level whose width is at least a tile has whole tiles: their size is a constant, which keeps them in registers. */
static inline block grow_tiles_neon(const struct aes_key *key, block *nodes, size_t width, block keep, size_t tile) {
  const struct aes_rounds_neon r = aes_rounds_neon(key->round);
  const uint8x16_t k = aes_load_neon(&keep);
  uint8x16_t sum = vdupq_n_u8(0);
  block out;
  for (size_t at = 0; at < width; at += tile) {
    uint8x16_t x[AES_TILE_NEON];
    parents_neon(x, &nodes[at], tile);
    sum = veorq_u8(sum, children_neon(&r, nodes, width, at, x, tile, k));
  }
  aes_store_neon(&out, sum);
  return out;
}

static block grow_neon(const struct aes_key *key, block *nodes, size_t width, block keep) {
  return width < AES_TILE_NEON ? grow_tiles_neon(key, nodes, width, keep, width)
                               : grow_tiles_neon(key, nodes, width, keep, AES_TILE_NEON);
}

static inline block grow_patched_tiles_neon(const struct aes_key *key, block *nodes, size_t width, block keep,
                                            const struct ggm_patch *patch, size_t tile) {
  const struct aes_rounds_neon r = aes_rounds_neon(key->round);
  const struct patch_neon p = patch_neon(patch->at, patch->sibling, &patch->sibling_node);
  const uint8x16_t k = aes_load_neon(&keep);
  uint8x16_t sum = vdupq_n_u8(0);
  block out;
  for (size_t at = 0; at < width; at += tile) {
    uint8x16_t x[AES_TILE_NEON];
    parents_neon(x, &nodes[at], tile);
    for (size_t i = 0; i < tile; i++) {
      x[i] = patched_neon(x[i], at + i, &p);
    }
    sum = veorq_u8(sum, children_neon(&r, nodes, width, at, x, tile, k));
  }
  aes_store_neon(&out, sum);
  return out;
}

static block grow_patched_neon(const struct aes_key *key, block *nodes, size_t width, block keep,
                               const struct ggm_patch *patch) {
  return width < AES_TILE_NEON ? grow_patched_tiles_neon(key, nodes, width, keep, patch, width)
                               : grow_patched_tiles_neon(key, nodes, width, keep, patch, AES_TILE_NEON);
}

static void mend_neon(block *leaves, size_t count, const struct ggm_patch *patch) {
  const uint64x2_t at = vdupq_n_u64(patch->at), sibling = vdupq_n_u64(patch->sibling);
  const uint8x16_t at_leaf = aes_load_neon(&patch->at_node), sibling_leaf = aes_load_neon(&patch->sibling_node);
  for (size_t i = 0; i < count; i++) {
    uint8x16_t x = aes_load_neon(&leaves[i]);
    x = vbslq_u8(at_neon(i, at), at_leaf, x);
    x = vbslq_u8(at_neon(i, sibling), sibling_leaf, x);
    aes_store_neon(&leaves[i], x);
  }
}

static const struct ggm_level_kernels levels_neon = {
    .grow = grow_neon, .grow_patched = grow_patched_neon, .mend = mend_neon};

static void expand_neon(const struct aes_key *key, block *leaves, block *left_sums, unsigned depth) {
  ggm_expand_levels(&levels_neon, key, leaves, left_sums, depth);
}
static void expand_punctured_neon(const struct aes_key *key, block *leaves, const block *sums, uint64_t turns,
                                  unsigned depth) {
  ggm_expand_punctured_levels(&levels_neon, key, leaves, sums, turns, depth);
}

const struct ggm_kernels ggm_kernels_neon = {
    .expand = expand_neon, .left_sums = expand_neon, .expand_punctured = expand_punctured_neon};
