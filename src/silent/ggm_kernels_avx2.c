/* GGM trees by AES-NI, eight nodes at a time. */
#include "rand/aes_avx2.h"

typedef __m128i lanes;
enum { LANES = 1 };

static inline lanes load_lanes(const block *b) {
  return aes_load_avx2(b);
}
static inline void store_lanes(block *b, lanes x) {
  aes_store_avx2(b, x);
}
static inline lanes load_one_lanes(const block *b) {
  return aes_load_avx2(b);
}
static inline lanes block_lanes(uint64_t hi, uint64_t lo) {
  return _mm_set_epi64x((long long)hi, (long long)lo);
}
static inline lanes load_places_lanes(const uint64_t *places) {
  return _mm_load_si128((const __m128i *)(const void *)places);
}
static inline lanes swap_lanes(lanes x) {
  return _mm_shuffle_epi32(x, 0x4e);
}
static inline lanes aes_lanes(lanes x, lanes k) {
  return _mm_aesenc_si128(x, k);
}
static inline lanes aes_last_lanes(lanes x, lanes k) {
  return _mm_aesenclast_si128(x, k);
}
static inline lanes equal_lanes(lanes a, lanes b) {
  return _mm_cmpeq_epi64(a, b);
}
static inline lanes subtract_lanes(lanes a, lanes b) {
  return _mm_sub_epi64(a, b);
}
/* b where the mask is all ones. By words: compilers make one instruction of it. */
static inline lanes blend_lanes(lanes a, lanes b, lanes mask) {
  return _mm_castpd_si128(_mm_blendv_pd(_mm_castsi128_pd(a), _mm_castsi128_pd(b), _mm_castsi128_pd(mask)));
}
static inline lanes fold_lanes(lanes x) {
  return x;
}
static inline void store_sum_lanes(block *b, lanes x) {
  aes_store_avx2(b, x);
}

#include "silent/ggm_tiles_avx2.h"

static void expand_avx2(const struct aes_key *key, block *leaves, block *left_sums, unsigned depth) {
  expand(key, leaves, left_sums, depth, LEAVES);
}
static void left_sums_avx2(const struct aes_key *key, block *nodes, block *left_sums, unsigned depth) {
  expand(key, nodes, left_sums, depth, SUMS_ONLY);
}
static void expand_punctured_avx2(const struct aes_key *key, block *leaves, const block *sums, uint64_t turns,
                                  unsigned depth) {
  expand_punctured(key, leaves, sums, turns, depth);
}

const struct ggm_kernels ggm_kernels_avx2 = {
    .expand = expand_avx2, .left_sums = left_sums_avx2, .expand_punctured = expand_punctured_avx2};
