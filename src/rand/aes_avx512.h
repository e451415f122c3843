/** VAES pieces for the kernels of the AVX-512 tier: four blocks in a register, tiles of four registers. */
#ifndef FUSION_RAND_AES_AVX512_H
#define FUSION_RAND_AES_AVX512_H

#include <immintrin.h>

#include "rand/aes_kernels.h"

enum { AES_TILE_AVX512 = 4, AES_TILE_BLOCKS_AVX512 = 4 * AES_TILE_AVX512 };

struct aes_rounds_avx512 {
  __m512i k[AES_ROUND_KEYS];
};

static inline struct aes_rounds_avx512 aes_rounds_avx512(const block *round) {
  struct aes_rounds_avx512 r;
  for (int i = 0; i < AES_ROUND_KEYS; i++) {
    r.k[i] = _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)(const void *)&round[i]));
  }
  return r;
}

/** x[i] = AES(x[i]) for a tile. */
static inline void aes_tile_avx512(const struct aes_rounds_avx512 *r, __m512i x[AES_TILE_AVX512]) {
  for (int i = 0; i < AES_TILE_AVX512; i++) x[i] = _mm512_xor_si512(x[i], r->k[0]);
  for (int round = 1; round < 10; round++) {
    for (int i = 0; i < AES_TILE_AVX512; i++) x[i] = _mm512_aesenc_epi128(x[i], r->k[round]);
  }
  for (int i = 0; i < AES_TILE_AVX512; i++) x[i] = _mm512_aesenclast_epi128(x[i], r->k[10]);
}

static inline __m512i aes_four_avx512(const struct aes_rounds_avx512 *r, __m512i x) {
  x = _mm512_xor_si512(x, r->k[0]);
  for (int round = 1; round < 10; round++) x = _mm512_aesenc_epi128(x, r->k[round]);
  return _mm512_aesenclast_epi128(x, r->k[10]);
}

/** Mask of the 64-bit lanes of the first `count` blocks of a register, count <= 4. */
static inline __mmask8 aes_lanes_avx512(size_t count) {
  return (__mmask8)((1u << (2 * count)) - 1u);
}

#endif
