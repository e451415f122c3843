/* LPN encoding as on AVX2 (lpn_kernels_avx2.c), positions by VAES: two groups a tile. */
#include "rand/aes_vaes.h"
#include "silent/lpn_rows_avx2.h"

static inline void pair_offsets_vaes(const struct aes_rounds_vaes *r, uint64_t batch, size_t pair,
                                     const struct places *p, uint32_t *out) {
  const long long first = (long long)(batch * LPN_BATCH_BLOCKS + AES_TILE_BLOCKS_VAES * pair);
  const __m256i turn = _mm256_broadcastsi128_si256(_mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 7, 6, 5, 4, 3, 2, 1, 0));
  __m256i counters = _mm256_set_epi64x(first + 1, 0, first, 0), x[AES_TILE_VAES];
  for (size_t i = 0; i < AES_TILE_VAES; i++) {
    x[i] = _mm256_shuffle_epi8(counters, turn);
    counters = _mm256_add_epi64(counters, _mm256_set_epi64x(2, 0, 2, 0));
  }
  aes_tile_vaes(r, x, AES_TILE_VAES);
  group_positions_avx2(x, p, out + 2 * LPN_GROUP_POSITIONS * pair);
  group_positions_avx2(x + 4, p, out + 2 * LPN_GROUP_POSITIONS * pair + LPN_GROUP_POSITIONS);
}

static void encode_vaes(const struct aes_key *key, block *rows, size_t stride, uint64_t first_row, size_t count,
                        const struct lpn_vectors *vectors) {
  const struct aes_rounds_vaes r = aes_rounds_vaes(key->round);
  const struct places p = places_avx2(vectors);
  _Alignas(64) uint32_t buffers[2][LPN_BATCH_POSITIONS];
  const uint64_t first = first_row / LPN_BATCH_ROWS;
  const size_t batches = count / LPN_BATCH_ROWS;
  for (size_t pair = 0; pair < LPN_BATCH_PAIRS; pair++) pair_offsets_vaes(&r, first, pair, &p, buffers[0]);
  for (size_t batch = 0; batch < batches; batch++) {
    uint32_t *const ahead = buffers[(batch + 1) % 2];
    for (size_t pair = 0; pair < LPN_BATCH_PAIRS; pair++) {
      const size_t begin = LPN_BATCH_ROWS * pair / LPN_BATCH_PAIRS, end = LPN_BATCH_ROWS * (pair + 1) / LPN_BATCH_PAIRS;
      pair_offsets_vaes(&r, first + batch + 1, pair, &p, ahead);
      /* The first rows of the next batch are there before this one's last ask for them. */
      rows_avx2(rows + LPN_BATCH_ROWS * batch, stride, begin, end, buffers[batch % 2], ahead, vectors);
    }
  }
}

const struct lpn_kernels lpn_kernels_vaes = {.encode = encode_vaes};
