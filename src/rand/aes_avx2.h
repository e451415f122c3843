/** AES-NI pieces for the kernels of the AVX2 tier: eight blocks at a time hide the latency of a round. */
#ifndef FUSION_RAND_AES_AVX2_H
#define FUSION_RAND_AES_AVX2_H

#include <immintrin.h>

#include "rand/aes_kernels.h"

enum { AES_TILE_AVX2 = 8 };

struct aes_rounds_avx2 {
  __m128i k[AES_ROUND_KEYS];
};

static inline struct aes_rounds_avx2 aes_rounds_avx2(const block *round) {
  struct aes_rounds_avx2 r;
  for (int i = 0; i < AES_ROUND_KEYS; i++) r.k[i] = _mm_load_si128((const __m128i *)(const void *)&round[i]);
  return r;
}

static inline __m128i aes_load_avx2(const block *b) {
  return _mm_loadu_si128((const __m128i *)(const void *)b);
}
static inline void aes_store_avx2(block *b, __m128i v) {
  _mm_storeu_si128((__m128i *)(void *)b, v);
}

/** x[i] = AES(x[i]) for a tile of eight. */
static inline void aes_tile_avx2(const struct aes_rounds_avx2 *r, __m128i x[AES_TILE_AVX2]) {
  for (int i = 0; i < AES_TILE_AVX2; i++) x[i] = _mm_xor_si128(x[i], r->k[0]);
  for (int round = 1; round < 10; round++) {
    const __m128i k = r->k[round];
    for (int i = 0; i < AES_TILE_AVX2; i++) x[i] = _mm_aesenc_si128(x[i], k);
  }
  for (int i = 0; i < AES_TILE_AVX2; i++) x[i] = _mm_aesenclast_si128(x[i], r->k[10]);
}

static inline __m128i aes_one_avx2(const struct aes_rounds_avx2 *r, __m128i x) {
  x = _mm_xor_si128(x, r->k[0]);
  for (int round = 1; round < 10; round++) x = _mm_aesenc_si128(x, r->k[round]);
  return _mm_aesenclast_si128(x, r->k[10]);
}

#endif
