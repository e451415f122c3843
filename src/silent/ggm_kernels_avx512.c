/* GGM levels by VAES, sixteen nodes at a time. */
#include "rand/aes_avx512.h"
#include "silent/ggm_levels.h"

enum { A_XOR_B_AND_C = 0x78, XOR_3 = 0x96 };

static inline __m512i four_of_avx512(const block *b) {
  return _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)(const void *)b));
}

static inline __m512i spread_avx512(__m512i x) {
  const __m512i high = _mm512_set_epi64(-1, 0, -1, 0, -1, 0, -1, 0);
  return _mm512_ternarylogic_epi64(_mm512_shuffle_epi32(x, (_MM_PERM_ENUM)0x4e), x, high, A_XOR_B_AND_C);
}

static inline block xor_lanes_avx512(__m512i x) {
  const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
  const __m128i one = _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  block out;
  _mm_store_si128((__m128i *)(void *)&out, one);
  return out;
}

/* Positions of the four nodes from `at` on, in both lanes of each. */
static inline __m512i positions_avx512(uint64_t at) {
  return _mm512_add_epi64(_mm512_set1_epi64((long long)at), _mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0));
}

struct patch_avx512 {
  __m512i at, sibling, node;
};

static inline __m512i patched_avx512(__m512i x, __m512i position, const struct patch_avx512 *p) {
  x = _mm512_maskz_mov_epi64(_mm512_cmpneq_epi64_mask(position, p->at), x);
  return _mm512_mask_mov_epi64(x, _mm512_cmpeq_epi64_mask(position, p->sibling), p->node);
}

static inline __m512i children_tile_avx512(const struct aes_rounds_avx512 *r, block *left, block *right,
                                           const __m512i x[AES_TILE_AVX512], __m512i keep) {
  __m512i y[AES_TILE_AVX512], sum = _mm512_setzero_si512();
  for (size_t i = 0; i < AES_TILE_AVX512; i++) y[i] = spread_avx512(x[i]);
  aes_tile_avx512(r, y);
  for (size_t i = 0; i < AES_TILE_AVX512; i++) {
    const __m512i h = _mm512_xor_si512(y[i], spread_avx512(x[i]));
    sum = _mm512_xor_si512(sum, h);
    _mm512_storeu_si512(left + 4 * i, _mm512_and_si512(h, keep));
    _mm512_storeu_si512(right + 4 * i, _mm512_and_si512(_mm512_xor_si512(x[i], h), keep));
  }
  return sum;
}

/* Up to four nodes; lanes past them are left alone, and out of the sum. */
static inline __m512i children_four_avx512(const struct aes_rounds_avx512 *r, block *left, block *right, __m512i x,
                                           __mmask8 lanes, __m512i keep) {
  const __m512i s = spread_avx512(x);
  const __m512i h = _mm512_maskz_xor_epi64(lanes, aes_four_avx512(r, s), s);
  _mm512_mask_storeu_epi64(left, lanes, _mm512_and_si512(h, keep));
  _mm512_mask_storeu_epi64(right, lanes, _mm512_and_si512(_mm512_xor_si512(x, h), keep));
  return h;
}

static block grow_avx512(const struct aes_key *key, block *nodes, size_t width, block keep) {
  const struct aes_rounds_avx512 r = aes_rounds_avx512(key->round);
  const __m512i k = four_of_avx512(&keep);
  __m512i sum = _mm512_setzero_si512();
  size_t at = 0;
  for (; at + AES_TILE_BLOCKS_AVX512 <= width; at += AES_TILE_BLOCKS_AVX512) {
    __m512i x[AES_TILE_AVX512];
    for (size_t i = 0; i < AES_TILE_AVX512; i++) x[i] = _mm512_loadu_si512(&nodes[at + 4 * i]);
    sum = _mm512_xor_si512(sum, children_tile_avx512(&r, nodes + at, nodes + width + at, x, k));
  }
  for (; at < width; at += 4) {
    const __mmask8 lanes = aes_lanes_avx512(size_min(4, width - at));
    const __m512i x = _mm512_maskz_loadu_epi64(lanes, &nodes[at]);
    sum = _mm512_xor_si512(sum, children_four_avx512(&r, nodes + at, nodes + width + at, x, lanes, k));
  }
  return xor_lanes_avx512(sum);
}

static block grow_patched_avx512(const struct aes_key *key, block *nodes, size_t width, block keep,
                                 const struct ggm_patch *patch) {
  const struct aes_rounds_avx512 r = aes_rounds_avx512(key->round);
  const struct patch_avx512 p = {.at = _mm512_set1_epi64((long long)patch->at),
                                 .sibling = _mm512_set1_epi64((long long)patch->sibling),
                                 .node = four_of_avx512(&patch->sibling_node)};
  const __m512i k = four_of_avx512(&keep);
  __m512i sum = _mm512_setzero_si512();
  size_t at = 0;
  for (; at + AES_TILE_BLOCKS_AVX512 <= width; at += AES_TILE_BLOCKS_AVX512) {
    __m512i x[AES_TILE_AVX512];
    for (size_t i = 0; i < AES_TILE_AVX512; i++)
      x[i] = patched_avx512(_mm512_loadu_si512(&nodes[at + 4 * i]), positions_avx512(at + 4 * i), &p);
    sum = _mm512_xor_si512(sum, children_tile_avx512(&r, nodes + at, nodes + width + at, x, k));
  }
  for (; at < width; at += 4) {
    const __mmask8 lanes = aes_lanes_avx512(size_min(4, width - at));
    const __m512i x = patched_avx512(_mm512_maskz_loadu_epi64(lanes, &nodes[at]), positions_avx512(at), &p);
    sum = _mm512_xor_si512(sum, children_four_avx512(&r, nodes + at, nodes + width + at, x, lanes, k));
  }
  return xor_lanes_avx512(sum);
}

static void mend_avx512(block *leaves, size_t count, const struct ggm_patch *patch) {
  const __m512i at = _mm512_set1_epi64((long long)patch->at), sibling = _mm512_set1_epi64((long long)patch->sibling);
  const __m512i at_leaf = four_of_avx512(&patch->at_node), sibling_leaf = four_of_avx512(&patch->sibling_node);
  for (size_t i = 0; i < count; i += 4) {
    const __m512i position = positions_avx512(i);
    __m512i x = _mm512_loadu_si512(&leaves[i]);
    x = _mm512_mask_mov_epi64(x, _mm512_cmpeq_epi64_mask(position, at), at_leaf);
    x = _mm512_mask_mov_epi64(x, _mm512_cmpeq_epi64_mask(position, sibling), sibling_leaf);
    _mm512_storeu_si512(&leaves[i], x);
  }
}

static const struct ggm_level_kernels levels_avx512 = {
    .grow = grow_avx512, .grow_patched = grow_patched_avx512, .mend = mend_avx512};

static void expand_avx512(const struct aes_key *key, block *leaves, block *left_sums, unsigned depth) {
  ggm_expand_levels(&levels_avx512, key, leaves, left_sums, depth);
}
static void expand_punctured_avx512(const struct aes_key *key, block *leaves, const block *sums, uint64_t turns,
                                    unsigned depth) {
  ggm_expand_punctured_levels(&levels_avx512, key, leaves, sums, turns, depth);
}

const struct ggm_kernels ggm_kernels_avx512 = {
    .expand = expand_avx512, .left_sums = expand_avx512, .expand_punctured = expand_punctured_avx512};
