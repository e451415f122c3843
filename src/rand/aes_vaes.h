/** VAES pieces for the kernels of the VAES tier: two blocks in a 256-bit register, tiles of eight registers, which hide
 *  the latency of a round. */
#ifndef FUSION_RAND_AES_VAES_H
#define FUSION_RAND_AES_VAES_H

#include <immintrin.h>

#include "rand/aes_kernels.h"

enum { AES_TILE_VAES = 8, AES_TILE_BLOCKS_VAES = 2 * AES_TILE_VAES };

struct aes_rounds_vaes {
  __m256i k[AES_ROUND_KEYS];
};

static inline __m256i aes_round_vaes(const block *round) {
  return _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)(const void *)round));
}

static inline struct aes_rounds_vaes aes_rounds_vaes(const block *round) {
  struct aes_rounds_vaes r;
  for (int i = 0; i < AES_ROUND_KEYS; i++) r.k[i] = aes_round_vaes(&round[i]);
  return r;
}

static inline __m256i aes_load_vaes(const block *b) {
  return _mm256_loadu_si256((const __m256i *)(const void *)b);
}
static inline void aes_store_vaes(block *b, __m256i v) {
  _mm256_storeu_si256((__m256i *)(void *)b, v);
}

/** x[i] = AES(x[i]) for `count` registers, a constant. */
static inline void aes_tile_vaes(const struct aes_rounds_vaes *r, __m256i *x, int count) {
  for (int i = 0; i < count; i++) x[i] = _mm256_xor_si256(x[i], r->k[0]);
  for (int round = 1; round < 10; round++) {
    const __m256i k = r->k[round];
    for (int i = 0; i < count; i++) x[i] = _mm256_aesenc_epi128(x[i], k);
  }
  for (int i = 0; i < count; i++) x[i] = _mm256_aesenclast_epi128(x[i], r->k[10]);
}

/** The first n <= AES_TILE_BLOCKS_VAES blocks, zeros behind them. */
static inline void aes_load_some_vaes(__m256i x[AES_TILE_VAES], const block *in, size_t n) {
  for (size_t i = 0; i < AES_TILE_VAES; i++) {
    const __m128i low = 2 * i < n ? _mm_loadu_si128((const __m128i *)(const void *)&in[2 * i]) : _mm_setzero_si128();
    const __m128i high =
        2 * i + 1 < n ? _mm_loadu_si128((const __m128i *)(const void *)&in[2 * i + 1]) : _mm_setzero_si128();
    x[i] = _mm256_set_m128i(high, low);
  }
}
static inline void aes_store_some_vaes(block *out, const __m256i x[AES_TILE_VAES], size_t n) {
  for (size_t i = 0; i < n; i++) {
    const __m256i pair = x[i / 2];
    _mm_storeu_si128((__m128i *)(void *)&out[i],
                     i % 2 ? _mm256_extracti128_si256(pair, 1) : _mm256_castsi256_si128(pair));
  }
}

#endif
