/* AES-128 by the ARMv8 instructions. */
#include "rand/aes_neon.h"

static fusion_status open_neon(struct aes_key *key, const uint8_t bytes[AES_KEY_LEN]) {
  key->cipher = NULL;
  memcpy(&key->round[0], bytes, AES_KEY_LEN);
  aes_expand_neon(key->round);
  return FUSION_OK;
}

static void close_neon(struct aes_key *key) {
  mem_wipe(key, sizeof *key);
}

static void encrypt_neon(const struct aes_key *key, block *out, const block *in, size_t count) {
  const struct aes_rounds_neon r = aes_rounds_neon(key->round);
  size_t i = 0;
  for (; i + AES_TILE_NEON <= count; i += AES_TILE_NEON) {
    uint8x16_t x[AES_TILE_NEON];
    for (size_t j = 0; j < AES_TILE_NEON; j++) x[j] = aes_load_neon(&in[i + j]);
    aes_tile_neon(&r, x);
    for (size_t j = 0; j < AES_TILE_NEON; j++) aes_store_neon(&out[i + j], x[j]);
  }
  for (; i < count; i++) aes_store_neon(&out[i], aes_one_neon(&r, aes_load_neon(&in[i])));
}

static void stream_neon(const struct aes_key *key, block *out, uint64_t first, size_t count) {
  const struct aes_rounds_neon r = aes_rounds_neon(key->round);
  size_t i = 0;
  for (; i + AES_TILE_NEON <= count; i += AES_TILE_NEON) {
    uint8x16_t x[AES_TILE_NEON];
    for (size_t j = 0; j < AES_TILE_NEON; j++) x[j] = aes_counter_neon(first + i + j);
    aes_tile_neon(&r, x);
    for (size_t j = 0; j < AES_TILE_NEON; j++) aes_store_neon(&out[i + j], x[j]);
  }
  for (; i < count; i++) aes_store_neon(&out[i], aes_one_neon(&r, aes_counter_neon(first + i)));
}

static inline uint8x16_t add_words(uint8x16_t a, uint64x2_t b) {
  return vreinterpretq_u8_u64(vaddq_u64(vreinterpretq_u64_u8(a), b));
}

static void tccr_neon(block *out, const block *in, size_t count, block offset, block first_tweak) {
  const struct aes_rounds_neon r = aes_rounds_neon(aes_fixed_rounds);
  const uint8x16_t o = aes_load_neon(&offset);
  const uint64x2_t one = vreinterpretq_u64_u8(aes_make_neon(0, 1));
  uint8x16_t tweak = aes_load_neon(&first_tweak);
  size_t i = 0;
  for (; i + AES_TILE_NEON <= count; i += AES_TILE_NEON) {
    uint8x16_t x[AES_TILE_NEON], y[AES_TILE_NEON];
    for (size_t j = 0; j < AES_TILE_NEON; j++) x[j] = veorq_u8(aes_load_neon(&in[i + j]), o);
    aes_tile_neon(&r, x);
    for (size_t j = 0; j < AES_TILE_NEON; j++) {
      y[j] = veorq_u8(x[j], tweak);
      tweak = add_words(tweak, one);
    }
    aes_tile_neon(&r, y);
    for (size_t j = 0; j < AES_TILE_NEON; j++) aes_store_neon(&out[i + j], veorq_u8(x[j], y[j]));
  }
  for (; i < count; i++) {
    const uint8x16_t x = aes_one_neon(&r, veorq_u8(aes_load_neon(&in[i]), o));
    aes_store_neon(&out[i], veorq_u8(x, aes_one_neon(&r, veorq_u8(x, tweak))));
    tweak = add_words(tweak, one);
  }
}

const struct aes_kernels aes_kernels_neon = {
    .open = open_neon, .close = close_neon, .encrypt = encrypt_neon, .counter = stream_neon, .tccr = tccr_neon};
