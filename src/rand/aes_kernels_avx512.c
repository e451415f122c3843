/* AES-128 by the VAES instructions on 512-bit registers. */
#include "rand/aes_avx512.h"

static fusion_status open_avx512(struct aes_key *key, const uint8_t bytes[AES_KEY_LEN]) {
  return aes_kernels_avx2.open(key, bytes);
}

static void close_avx512(struct aes_key *key) {
  aes_kernels_avx2.close(key);
}

static void encrypt_avx512(const struct aes_key *key, block *out, const block *in, size_t count) {
  const struct aes_rounds_avx512 r = aes_rounds_avx512(key->round);
  size_t i = 0;
  for (; i + AES_TILE_BLOCKS_AVX512 <= count; i += AES_TILE_BLOCKS_AVX512) {
    __m512i x[AES_TILE_AVX512];
    for (size_t j = 0; j < AES_TILE_AVX512; j++) x[j] = _mm512_loadu_si512(&in[i + 4 * j]);
    aes_tile_avx512(&r, x);
    for (size_t j = 0; j < AES_TILE_AVX512; j++) _mm512_storeu_si512(&out[i + 4 * j], x[j]);
  }
  for (; i < count; i += 4) {
    const __mmask8 lanes = aes_lanes_avx512(size_min(4, count - i));
    _mm512_mask_storeu_epi64(&out[i], lanes, aes_four_avx512(&r, _mm512_maskz_loadu_epi64(lanes, &in[i])));
  }
}

/* Four consecutive counters from little-endian lanes: the count sits in bytes 8 to 15, most significant first. */
static inline __m512i big_endian_avx512(__m512i counters) {
  const __m512i swap = _mm512_broadcast_i32x4(_mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 7, 6, 5, 4, 3, 2, 1, 0));
  return _mm512_shuffle_epi8(counters, swap);
}

static void stream_avx512(const struct aes_key *key, block *out, uint64_t first, size_t count) {
  const struct aes_rounds_avx512 r = aes_rounds_avx512(key->round);
  const __m512i four = _mm512_set_epi64(4, 0, 4, 0, 4, 0, 4, 0);
  const long long at = (long long)first;
  __m512i next =
      _mm512_add_epi64(_mm512_set_epi64(at, 0, at, 0, at, 0, at, 0), _mm512_set_epi64(3, 0, 2, 0, 1, 0, 0, 0));
  size_t i = 0;
  for (; i + AES_TILE_BLOCKS_AVX512 <= count; i += AES_TILE_BLOCKS_AVX512) {
    __m512i x[AES_TILE_AVX512];
    for (size_t j = 0; j < AES_TILE_AVX512; j++) {
      x[j] = big_endian_avx512(next);
      next = _mm512_add_epi64(next, four);
    }
    aes_tile_avx512(&r, x);
    for (size_t j = 0; j < AES_TILE_AVX512; j++) _mm512_storeu_si512(&out[i + 4 * j], x[j]);
  }
  for (; i < count; i += 4) {
    const __mmask8 lanes = aes_lanes_avx512(size_min(4, count - i));
    _mm512_mask_storeu_epi64(&out[i], lanes, aes_four_avx512(&r, big_endian_avx512(next)));
    next = _mm512_add_epi64(next, four);
  }
}

static void tccr_avx512(block *out, const block *in, size_t count, block offset, block first_tweak) {
  const struct aes_rounds_avx512 r = aes_rounds_avx512(aes_fixed_rounds);
  const __m512i four = _mm512_set_epi64(0, 4, 0, 4, 0, 4, 0, 4);
  const __m512i o = _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)(const void *)&offset));
  __m512i tweak = _mm512_add_epi64(_mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)(const void *)&first_tweak)),
                                   _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0));
  size_t i = 0;
  for (; i + AES_TILE_BLOCKS_AVX512 <= count; i += AES_TILE_BLOCKS_AVX512) {
    __m512i x[AES_TILE_AVX512], y[AES_TILE_AVX512];
    for (size_t j = 0; j < AES_TILE_AVX512; j++) x[j] = _mm512_xor_si512(_mm512_loadu_si512(&in[i + 4 * j]), o);
    aes_tile_avx512(&r, x);
    for (size_t j = 0; j < AES_TILE_AVX512; j++) {
      y[j] = _mm512_xor_si512(x[j], tweak);
      tweak = _mm512_add_epi64(tweak, four);
    }
    aes_tile_avx512(&r, y);
    for (size_t j = 0; j < AES_TILE_AVX512; j++) _mm512_storeu_si512(&out[i + 4 * j], _mm512_xor_si512(x[j], y[j]));
  }
  for (; i < count; i += 4) {
    const __mmask8 lanes = aes_lanes_avx512(size_min(4, count - i));
    const __m512i x = aes_four_avx512(&r, _mm512_xor_si512(_mm512_maskz_loadu_epi64(lanes, &in[i]), o));
    const __m512i y = aes_four_avx512(&r, _mm512_xor_si512(x, tweak));
    _mm512_mask_storeu_epi64(&out[i], lanes, _mm512_xor_si512(x, y));
    tweak = _mm512_add_epi64(tweak, four);
  }
}

const struct aes_kernels aes_kernels_avx512 = {.open = open_avx512,
                                               .close = close_avx512,
                                               .encrypt = encrypt_avx512,
                                               .counter = stream_avx512,
                                               .tccr = tccr_avx512};
