/* AES-128 by the AES-NI instructions. */
#include "rand/aes_avx2.h"

/* The schedule is one chain of aeskeygenassist; the round constant must be an immediate. */
#define EXPAND(i, constant)                                                      \
  do {                                                                           \
    __m128i t = _mm_shuffle_epi32(_mm_aeskeygenassist_si128(k, constant), 0xff); \
    k = _mm_xor_si128(k, _mm_slli_si128(k, 4));                                  \
    k = _mm_xor_si128(k, _mm_slli_si128(k, 8));                                  \
    k = _mm_xor_si128(k, t);                                                     \
    aes_store_avx2(&key->round[i], k);                                           \
  } while (0)

static fusion_status open_avx2(struct aes_key *key, const uint8_t bytes[AES_KEY_LEN]) {
  __m128i k = _mm_loadu_si128((const __m128i *)(const void *)bytes);
  key->cipher = NULL;
  aes_store_avx2(&key->round[0], k);
  EXPAND(1, 0x01);
  EXPAND(2, 0x02);
  EXPAND(3, 0x04);
  EXPAND(4, 0x08);
  EXPAND(5, 0x10);
  EXPAND(6, 0x20);
  EXPAND(7, 0x40);
  EXPAND(8, 0x80);
  EXPAND(9, 0x1b);
  EXPAND(10, 0x36);
  return FUSION_OK;
}

static void close_avx2(struct aes_key *key) {
  mem_wipe(key, sizeof *key);
}

static void encrypt_avx2(const struct aes_key *key, block *out, const block *in, size_t count) {
  const struct aes_rounds_avx2 r = aes_rounds_avx2(key->round);
  size_t i = 0;
  for (; i + AES_TILE_AVX2 <= count; i += AES_TILE_AVX2) {
    __m128i x[AES_TILE_AVX2];
    for (int j = 0; j < AES_TILE_AVX2; j++) x[j] = aes_load_avx2(&in[i + (size_t)j]);
    aes_tile_avx2(&r, x);
    for (int j = 0; j < AES_TILE_AVX2; j++) aes_store_avx2(&out[i + (size_t)j], x[j]);
  }
  for (; i < count; i++) aes_store_avx2(&out[i], aes_one_avx2(&r, aes_load_avx2(&in[i])));
}

static inline __m128i counter_avx2(uint64_t i) {
  return _mm_set_epi64x((long long)__builtin_bswap64(i), 0);
}

static void stream_avx2(const struct aes_key *key, block *out, uint64_t first, size_t count) {
  const struct aes_rounds_avx2 r = aes_rounds_avx2(key->round);
  size_t i = 0;
  for (; i + AES_TILE_AVX2 <= count; i += AES_TILE_AVX2) {
    __m128i x[AES_TILE_AVX2];
    for (int j = 0; j < AES_TILE_AVX2; j++) x[j] = counter_avx2(first + i + (size_t)j);
    aes_tile_avx2(&r, x);
    for (int j = 0; j < AES_TILE_AVX2; j++) aes_store_avx2(&out[i + (size_t)j], x[j]);
  }
  for (; i < count; i++) aes_store_avx2(&out[i], aes_one_avx2(&r, counter_avx2(first + i)));
}

static void tccr_avx2(block *out, const block *in, size_t count, block offset, block first_tweak) {
  const struct aes_rounds_avx2 r = aes_rounds_avx2(aes_fixed_rounds);
  const __m128i o = aes_load_avx2(&offset), one = _mm_set_epi64x(0, 1);
  __m128i tweak = aes_load_avx2(&first_tweak);
  size_t i = 0;
  for (; i + AES_TILE_AVX2 <= count; i += AES_TILE_AVX2) {
    __m128i x[AES_TILE_AVX2], y[AES_TILE_AVX2];
    for (int j = 0; j < AES_TILE_AVX2; j++) x[j] = _mm_xor_si128(aes_load_avx2(&in[i + (size_t)j]), o);
    aes_tile_avx2(&r, x);
    for (int j = 0; j < AES_TILE_AVX2; j++) {
      y[j] = _mm_xor_si128(x[j], tweak);
      tweak = _mm_add_epi64(tweak, one);
    }
    aes_tile_avx2(&r, y);
    for (int j = 0; j < AES_TILE_AVX2; j++) aes_store_avx2(&out[i + (size_t)j], _mm_xor_si128(x[j], y[j]));
  }
  for (; i < count; i++) {
    const __m128i x = aes_one_avx2(&r, _mm_xor_si128(aes_load_avx2(&in[i]), o));
    aes_store_avx2(&out[i], _mm_xor_si128(x, aes_one_avx2(&r, _mm_xor_si128(x, tweak))));
    tweak = _mm_add_epi64(tweak, one);
  }
}

const struct aes_kernels aes_kernels_avx2 = {
    .open = open_avx2, .close = close_avx2, .encrypt = encrypt_avx2, .counter = stream_avx2, .tccr = tccr_avx2};
