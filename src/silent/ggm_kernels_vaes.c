/* GGM levels by VAES on 256-bit registers, sixteen nodes at a time. */
#include "rand/aes_vaes.h"
#include "silent/ggm_kernels.h"

static inline __m256i spread_vaes(__m256i x) {
  const __m256i high = _mm256_set_epi64x(-1, 0, -1, 0);
  return _mm256_xor_si256(_mm256_shuffle_epi32(x, 0x4e), _mm256_and_si256(x, high));
}

/* Positions of the two blocks of a register, each in both of its words. */
static inline __m256i positions_vaes(uint64_t first) {
  const long long at = (long long)first;
  return _mm256_set_epi64x(at + 1, at + 1, at, at);
}

struct patch_vaes {
  __m256i at, sibling, node;
};

static inline __m256i twice_vaes(block b) {
  return _mm256_broadcastsi128_si256(_mm_set_epi64x((long long)b.hi, (long long)b.lo));
}

static inline __m256i patched_vaes(__m256i x, __m256i position, const struct patch_vaes *p) {
  x = _mm256_andnot_si256(_mm256_cmpeq_epi64(position, p->at), x);
  return _mm256_blendv_epi8(x, p->node, _mm256_cmpeq_epi64(position, p->sibling));
}

/* Children of n parents x, from position `at` on; those beyond n, which stand for none, are not in the sum. */
static inline __m256i children_vaes(const struct aes_rounds_vaes *r, block *nodes, size_t width, size_t at,
                                    const __m256i x[AES_TILE_VAES], size_t n, __m256i keep) {
  __m256i y[AES_TILE_VAES], left[AES_TILE_VAES], right[AES_TILE_VAES], sum = _mm256_setzero_si256();
  for (size_t i = 0; i < AES_TILE_VAES; i++) y[i] = spread_vaes(x[i]);
  aes_tile_vaes(r, y, AES_TILE_VAES);
  for (size_t i = 0; i < AES_TILE_VAES; i++) {
    const __m256i h = _mm256_xor_si256(y[i], spread_vaes(x[i]));
    const __m256i counted =
        n == AES_TILE_BLOCKS_VAES
            ? h
            : _mm256_and_si256(h, _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)n), positions_vaes(2 * i)));
    sum = _mm256_xor_si256(sum, counted);
    left[i] = _mm256_and_si256(h, keep);
    right[i] = _mm256_and_si256(_mm256_xor_si256(x[i], h), keep);
  }
  if (n < AES_TILE_BLOCKS_VAES) {
    aes_store_some_vaes(&nodes[at], left, n);
    aes_store_some_vaes(&nodes[width + at], right, n);
    return sum;
  }
  for (size_t i = 0; i < AES_TILE_VAES; i++) {
    aes_store_vaes(&nodes[at + 2 * i], left[i]);
    aes_store_vaes(&nodes[width + at + 2 * i], right[i]);
  }
  return sum;
}

static inline void parents_vaes(__m256i x[AES_TILE_VAES], const block *nodes, size_t n) {
  if (n < AES_TILE_BLOCKS_VAES) {
    aes_load_some_vaes(x, nodes, n);
    return;
  }
  for (size_t i = 0; i < AES_TILE_VAES; i++) x[i] = aes_load_vaes(&nodes[2 * i]);
}

static inline block lanes_vaes(__m256i x) {
  block out;
  _mm_store_si128((__m128i *)(void *)&out, _mm_xor_si128(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)));
  return out;
}

static block grow_vaes(const struct aes_key *key, block *nodes, size_t width, block keep) {
  const struct aes_rounds_vaes r = aes_rounds_vaes(key->round);
  const __m256i k = twice_vaes(keep);
  __m256i sum = _mm256_setzero_si256();
  for (size_t at = 0; at < width; at += AES_TILE_BLOCKS_VAES) {
    const size_t n = size_min(AES_TILE_BLOCKS_VAES, width - at);
    __m256i x[AES_TILE_VAES];
    parents_vaes(x, &nodes[at], n);
    sum = _mm256_xor_si256(sum, children_vaes(&r, nodes, width, at, x, n, k));
  }
  return lanes_vaes(sum);
}

/* Parents beyond n are zeros, and the patch lies before: neither adds to `read`. */
static block grow_patched_vaes(const struct aes_key *key, block *nodes, size_t width, block keep,
                               const struct ggm_patch *patch, block *parents) {
  const struct aes_rounds_vaes r = aes_rounds_vaes(key->round);
  const struct patch_vaes p = {.at = _mm256_set1_epi64x((long long)patch->at),
                               .sibling = _mm256_set1_epi64x((long long)patch->sibling),
                               .node = twice_vaes(patch->sibling_node)};
  const __m256i k = twice_vaes(keep);
  __m256i sum = _mm256_setzero_si256(), read = sum;
  for (size_t at = 0; at < width; at += AES_TILE_BLOCKS_VAES) {
    const size_t n = size_min(AES_TILE_BLOCKS_VAES, width - at);
    __m256i x[AES_TILE_VAES];
    parents_vaes(x, &nodes[at], n);
    for (size_t i = 0; i < AES_TILE_VAES; i++) {
      x[i] = patched_vaes(x[i], positions_vaes(at + 2 * i), &p);
      read = _mm256_xor_si256(read, x[i]);
    }
    sum = _mm256_xor_si256(sum, children_vaes(&r, nodes, width, at, x, n, k));
  }
  *parents = lanes_vaes(read);
  return lanes_vaes(sum);
}

static void mend_vaes(block *leaves, uint64_t first, size_t count, const struct ggm_hole *hole) {
  const __m256i at = _mm256_set1_epi64x((long long)hole->at), sibling = _mm256_set1_epi64x((long long)hole->sibling);
  const __m256i at_leaf = twice_vaes(hole->at_leaf), sibling_leaf = twice_vaes(hole->sibling_leaf);
  for (size_t i = 0; i < count; i += 2) {
    const __m256i position = positions_vaes(first + i);
    __m256i x = aes_load_vaes(&leaves[i]);
    x = _mm256_blendv_epi8(x, at_leaf, _mm256_cmpeq_epi64(position, at));
    x = _mm256_blendv_epi8(x, sibling_leaf, _mm256_cmpeq_epi64(position, sibling));
    aes_store_vaes(&leaves[i], x);
  }
}

const struct ggm_kernels ggm_kernels_vaes = {.grow = grow_vaes, .grow_patched = grow_patched_vaes, .mend = mend_vaes};
