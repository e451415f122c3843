/* AES-128 by the VAES instructions on 256-bit registers. */
#include "rand/aes_vaes.h"

static fusion_status open_vaes(struct aes_key *key, const uint8_t bytes[AES_KEY_LEN]) {
  return aes_kernels_avx2.open(key, bytes);
}

static void close_vaes(struct aes_key *key) {
  aes_kernels_avx2.close(key);
}

static inline void load_tile(__m256i x[AES_TILE_VAES], const block *in, size_t n) {
  if (n < AES_TILE_BLOCKS_VAES) {
    aes_load_some_vaes(x, in, n);
    return;
  }
  for (size_t i = 0; i < AES_TILE_VAES; i++) x[i] = aes_load_vaes(&in[2 * i]);
}

static inline void store_tile(block *out, const __m256i x[AES_TILE_VAES], size_t n) {
  if (n < AES_TILE_BLOCKS_VAES) {
    aes_store_some_vaes(out, x, n);
    return;
  }
  for (size_t i = 0; i < AES_TILE_VAES; i++) aes_store_vaes(&out[2 * i], x[i]);
}

static void encrypt_vaes(const struct aes_key *key, block *out, const block *in, size_t count) {
  const struct aes_rounds_vaes r = aes_rounds_vaes(key->round);
  for (size_t i = 0; i < count; i += AES_TILE_BLOCKS_VAES) {
    const size_t n = size_min(AES_TILE_BLOCKS_VAES, count - i);
    __m256i x[AES_TILE_VAES];
    load_tile(x, &in[i], n);
    aes_tile_vaes(&r, x, AES_TILE_VAES);
    store_tile(&out[i], x, n);
  }
}

static inline __m256i counters_vaes(uint64_t i) {
  return _mm256_set_epi64x((long long)__builtin_bswap64(i + 1), 0, (long long)__builtin_bswap64(i), 0);
}

static void stream_vaes(const struct aes_key *key, block *out, uint64_t first, size_t count) {
  const struct aes_rounds_vaes r = aes_rounds_vaes(key->round);
  for (size_t i = 0; i < count; i += AES_TILE_BLOCKS_VAES) {
    const size_t n = size_min(AES_TILE_BLOCKS_VAES, count - i);
    __m256i x[AES_TILE_VAES];
    for (size_t j = 0; j < AES_TILE_VAES; j++) x[j] = counters_vaes(first + i + 2 * j);
    aes_tile_vaes(&r, x, AES_TILE_VAES);
    store_tile(&out[i], x, n);
  }
}

/* The tweaks' low words are added to modulo 2^64: their upper words are the domain. */
static void tccr_vaes(block *out, const block *in, size_t count, block offset, block first_tweak) {
  const struct aes_rounds_vaes r = aes_rounds_vaes(aes_fixed_rounds);
  const __m256i o = _mm256_broadcastsi128_si256(_mm_set_epi64x((long long)offset.hi, (long long)offset.lo));
  const __m256i two = _mm256_set_epi64x(0, 2, 0, 2);
  __m256i tweak = _mm256_set_epi64x((long long)first_tweak.hi, (long long)(first_tweak.lo + 1),
                                    (long long)first_tweak.hi, (long long)first_tweak.lo);
  for (size_t i = 0; i < count; i += AES_TILE_BLOCKS_VAES) {
    const size_t n = size_min(AES_TILE_BLOCKS_VAES, count - i);
    __m256i x[AES_TILE_VAES], y[AES_TILE_VAES];
    load_tile(x, &in[i], n);
    for (int j = 0; j < AES_TILE_VAES; j++) x[j] = _mm256_xor_si256(x[j], o);
    aes_tile_vaes(&r, x, AES_TILE_VAES);
    for (int j = 0; j < AES_TILE_VAES; j++) {
      y[j] = _mm256_xor_si256(x[j], tweak);
      tweak = _mm256_add_epi64(tweak, two);
    }
    aes_tile_vaes(&r, y, AES_TILE_VAES);
    for (int j = 0; j < AES_TILE_VAES; j++) x[j] = _mm256_xor_si256(x[j], y[j]);
    store_tile(&out[i], x, n);
  }
}

const struct aes_kernels aes_kernels_vaes = {
    .open = open_vaes, .close = close_vaes, .encrypt = encrypt_vaes, .counter = stream_vaes, .tccr = tccr_vaes};
