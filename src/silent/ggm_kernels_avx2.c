/* GGM levels by AES-NI, eight nodes at a time. */
#include "rand/aes_avx2.h"
#include "silent/ggm_kernels.h"

static inline __m128i spread_avx2(__m128i x) {
  const __m128i high = _mm_set_epi64x(-1, 0);
  return _mm_xor_si128(_mm_shuffle_epi32(x, 0x4e), _mm_and_si128(x, high));
}

/* All ones in both lanes if the position is that of the lanes. */
static inline __m128i at_avx2(uint64_t position, __m128i wanted) {
  return _mm_cmpeq_epi64(_mm_set1_epi64x((long long)position), wanted);
}

struct patch_avx2 {
  __m128i at, sibling, node;
};

static inline struct patch_avx2 patch_avx2(uint64_t at, uint64_t sibling, const block *node) {
  return (struct patch_avx2){.at = _mm_set1_epi64x((long long)at),
                             .sibling = _mm_set1_epi64x((long long)sibling),
                             .node = aes_load_avx2(node)};
}

static inline __m128i patched_avx2(__m128i x, uint64_t position, const struct patch_avx2 *p) {
  x = _mm_andnot_si128(at_avx2(position, p->at), x);
  return _mm_blendv_epi8(x, p->node, at_avx2(position, p->sibling));
}

/* Children of n <= AES_TILE_AVX2 parents x, from position `at` on. */
static inline __m128i children_avx2(const struct aes_rounds_avx2 *r, block *nodes, size_t width, size_t at,
                                    const __m128i x[AES_TILE_AVX2], size_t n, __m128i keep) {
  __m128i y[AES_TILE_AVX2], sum = _mm_setzero_si128();
  for (size_t i = 0; i < AES_TILE_AVX2; i++) y[i] = spread_avx2(x[i]);
  aes_tile_avx2(r, y);
  for (size_t i = 0; i < n; i++) {
    const __m128i h = _mm_xor_si128(y[i], spread_avx2(x[i]));
    sum = _mm_xor_si128(sum, h);
    aes_store_avx2(&nodes[at + i], _mm_and_si128(h, keep));
    aes_store_avx2(&nodes[width + at + i], _mm_and_si128(_mm_xor_si128(x[i], h), keep));
  }
  return sum;
}

/* The parents of a tile; zeros beyond n. */
static inline void parents_avx2(__m128i x[AES_TILE_AVX2], const block *nodes, size_t n) {
  for (size_t i = 0; i < AES_TILE_AVX2; i++) x[i] = i < n ? aes_load_avx2(&nodes[i]) : _mm_setzero_si128();
}

/* A level whose width is at least a tile has whole tiles: their size is a constant, which keeps them in registers. */
static inline block grow_tiles_avx2(const struct aes_key *key, block *nodes, size_t width, block keep, size_t tile) {
  const struct aes_rounds_avx2 r = aes_rounds_avx2(key->round);
  const __m128i k = aes_load_avx2(&keep);
  __m128i sum = _mm_setzero_si128();
  block out;
  for (size_t at = 0; at < width; at += tile) {
    __m128i x[AES_TILE_AVX2];
    parents_avx2(x, &nodes[at], tile);
    sum = _mm_xor_si128(sum, children_avx2(&r, nodes, width, at, x, tile, k));
  }
  aes_store_avx2(&out, sum);
  return out;
}

static block grow_avx2(const struct aes_key *key, block *nodes, size_t width, block keep) {
  return width < AES_TILE_AVX2 ? grow_tiles_avx2(key, nodes, width, keep, width)
                               : grow_tiles_avx2(key, nodes, width, keep, AES_TILE_AVX2);
}

static inline block grow_patched_tiles_avx2(const struct aes_key *key, block *nodes, size_t width, block keep,
                                            const struct ggm_patch *patch, block *parents, size_t tile) {
  const struct aes_rounds_avx2 r = aes_rounds_avx2(key->round);
  const struct patch_avx2 p = patch_avx2(patch->at, patch->sibling, &patch->sibling_node);
  const __m128i k = aes_load_avx2(&keep);
  __m128i sum = _mm_setzero_si128(), read = _mm_setzero_si128();
  block out;
  for (size_t at = 0; at < width; at += tile) {
    __m128i x[AES_TILE_AVX2];
    parents_avx2(x, &nodes[at], tile);
    for (size_t i = 0; i < tile; i++) {
      x[i] = patched_avx2(x[i], at + i, &p);
      read = _mm_xor_si128(read, x[i]);
    }
    sum = _mm_xor_si128(sum, children_avx2(&r, nodes, width, at, x, tile, k));
  }
  aes_store_avx2(parents, read);
  aes_store_avx2(&out, sum);
  return out;
}

static block grow_patched_avx2(const struct aes_key *key, block *nodes, size_t width, block keep,
                               const struct ggm_patch *patch, block *parents) {
  return width < AES_TILE_AVX2 ? grow_patched_tiles_avx2(key, nodes, width, keep, patch, parents, width)
                               : grow_patched_tiles_avx2(key, nodes, width, keep, patch, parents, AES_TILE_AVX2);
}

static void mend_avx2(block *leaves, uint64_t first, size_t count, const struct ggm_hole *hole) {
  const __m128i at = _mm_set1_epi64x((long long)hole->at), sibling = _mm_set1_epi64x((long long)hole->sibling);
  const __m128i at_leaf = aes_load_avx2(&hole->at_leaf), sibling_leaf = aes_load_avx2(&hole->sibling_leaf);
  for (size_t i = 0; i < count; i++) {
    __m128i x = aes_load_avx2(&leaves[i]);
    x = _mm_blendv_epi8(x, at_leaf, at_avx2(first + i, at));
    x = _mm_blendv_epi8(x, sibling_leaf, at_avx2(first + i, sibling));
    aes_store_avx2(&leaves[i], x);
  }
}

const struct ggm_kernels ggm_kernels_avx2 = {.grow = grow_avx2, .grow_patched = grow_patched_avx2, .mend = mend_avx2};
