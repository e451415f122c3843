/* GGM trees by VAES on 256-bit registers, sixteen nodes at a time. */
#include "rand/aes_vaes.h"

typedef __m256i lanes;
enum { LANES = 2 };

static inline lanes load_lanes(const block *b) {
  return aes_load_vaes(b);
}
static inline void store_lanes(block *b, lanes x) {
  aes_store_vaes(b, x);
}
/* One block in all of them. */
static inline lanes load_one_lanes(const block *b) {
  return aes_round_vaes(b);
}
static inline lanes block_lanes(uint64_t hi, uint64_t lo) {
  return _mm256_set_epi64x((long long)hi, (long long)lo, (long long)hi, (long long)lo);
}
static inline lanes load_places_lanes(const uint64_t *places) {
  return _mm256_load_si256((const __m256i *)(const void *)places);
}
static inline lanes swap_lanes(lanes x) {
  return _mm256_shuffle_epi32(x, 0x4e);
}
static inline lanes aes_lanes(lanes x, lanes k) {
  return _mm256_aesenc_epi128(x, k);
}
static inline lanes aes_last_lanes(lanes x, lanes k) {
  return _mm256_aesenclast_epi128(x, k);
}
static inline lanes equal_lanes(lanes a, lanes b) {
  return _mm256_cmpeq_epi64(a, b);
}
static inline lanes subtract_lanes(lanes a, lanes b) {
  return _mm256_sub_epi64(a, b);
}
/* b where the mask is all ones. By words: compilers make one instruction of it. */
static inline lanes blend_lanes(lanes a, lanes b, lanes mask) {
  return _mm256_castpd_si256(
      _mm256_blendv_pd(_mm256_castsi256_pd(a), _mm256_castsi256_pd(b), _mm256_castsi256_pd(mask)));
}
/* The XOR of the blocks, in all of them. */
static inline lanes fold_lanes(lanes x) {
  return _mm256_xor_si256(x, _mm256_permute2x128_si256(x, x, 1));
}
static inline void store_sum_lanes(block *b, lanes x) {
  _mm_store_si128((__m128i *)(void *)b, _mm256_castsi256_si128(fold_lanes(x)));
}

#include "silent/ggm_tiles_avx2.h"

static void expand_vaes(const struct aes_key *key, block *leaves, block *left_sums, unsigned depth) {
  expand(key, leaves, left_sums, depth, LEAVES);
}
static void left_sums_vaes(const struct aes_key *key, block *nodes, block *left_sums, unsigned depth) {
  expand(key, nodes, left_sums, depth, SUMS_ONLY);
}
static void expand_punctured_vaes(const struct aes_key *key, block *leaves, const block *sums, uint64_t turns,
                                  unsigned depth) {
  expand_punctured(key, leaves, sums, turns, depth);
}

const struct ggm_kernels ggm_kernels_vaes = {
    .expand = expand_vaes, .left_sums = left_sums_vaes, .expand_punctured = expand_punctured_vaes};
