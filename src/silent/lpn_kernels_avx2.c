/* LPN encoding: positions by AES-NI, sums by 128-bit loads, or by lines of four blocks. The positions of the next batch
 * are made between the loads of this one's, so that the rounds fill the waits for the second-level cache. */
#include "silent/lpn_rows_avx2.h"

/* Positions as byte offsets into the vector; one group of the batch. */
static inline void group_offsets_avx2(const struct aes_rounds_avx2 *r, uint64_t batch, size_t group,
                                      const struct places *p, uint32_t *out) {
  const uint64_t first = batch * LPN_BATCH_BLOCKS + AES_TILE_AVX2 * group;
  __m128i x[AES_TILE_AVX2];
  __m256i w[4];
  for (size_t i = 0; i < AES_TILE_AVX2; i++) x[i] = _mm_set_epi64x((long long)__builtin_bswap64(first + i), 0);
  aes_tile_avx2(r, x);
  for (size_t i = 0; i < 4; i++) w[i] = _mm256_set_m128i(x[2 * i + 1], x[2 * i]);
  group_positions_avx2(w, p, out + LPN_GROUP_POSITIONS * group);
}

static void encode_avx2(const struct aes_key *key, block *rows, size_t stride, uint64_t first_row, size_t count,
                        const struct lpn_vectors *vectors) {
  const struct aes_rounds_avx2 r = aes_rounds_avx2(key->round);
  const struct places p = places_avx2(vectors);
  _Alignas(64) uint32_t buffers[2][LPN_BATCH_POSITIONS];
  const uint64_t first = first_row / LPN_BATCH_ROWS;
  const size_t batches = count / LPN_BATCH_ROWS;
  for (size_t group = 0; group < LPN_BATCH_GROUPS; group++) group_offsets_avx2(&r, first, group, &p, buffers[0]);
  for (size_t batch = 0; batch < batches; batch++) {
    uint32_t *const ahead = buffers[(batch + 1) % 2];
    for (size_t pair = 0; pair < LPN_BATCH_PAIRS; pair++) {
      const size_t begin = LPN_BATCH_ROWS * pair / LPN_BATCH_PAIRS, end = LPN_BATCH_ROWS * (pair + 1) / LPN_BATCH_PAIRS;
      group_offsets_avx2(&r, first + batch + 1, 2 * pair, &p, ahead);
      group_offsets_avx2(&r, first + batch + 1, 2 * pair + 1, &p, ahead);
      /* The first rows of the next batch are there before this one's last ask for them. */
      rows_avx2(rows + LPN_BATCH_ROWS * batch, stride, begin, end, buffers[batch % 2], ahead, vectors);
    }
  }
}

const struct lpn_kernels lpn_kernels_avx2 = {.encode = encode_avx2};
