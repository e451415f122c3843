/** Pieces of AES by the ARMv8 instructions, for the kernels of the NEON tier: eight blocks at a time hide the latency
 * of a round, and leave room for the round keys in 32 registers. */
#ifndef FUSION_RAND_AES_NEON_H
#define FUSION_RAND_AES_NEON_H

#include <arm_neon.h>

#include "rand/aes_kernels.h"

enum { AES_TILE_NEON = 8 };

struct aes_rounds_neon {
  uint8x16_t k[AES_ROUND_KEYS];
};

static inline uint8x16_t aes_load_neon(const block *b) {
  return vreinterpretq_u8_u64(vld1q_u64(&b->lo));
}
static inline void aes_store_neon(block *b, uint8x16_t v) {
  vst1q_u64(&b->lo, vreinterpretq_u64_u8(v));
}
static inline uint8x16_t aes_make_neon(uint64_t hi, uint64_t lo) {
  return vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(lo), vcreate_u64(hi)));
}
/** The block that counter mode encrypts at i. */
static inline uint8x16_t aes_counter_neon(uint64_t i) {
  return aes_make_neon(__builtin_bswap64(i), 0);
}
/** Upper and lower half exchanged. */
static inline uint8x16_t aes_swap_neon(uint8x16_t x) {
  return vextq_u8(x, x, 8);
}

static inline struct aes_rounds_neon aes_rounds_neon(const block *round) {
  struct aes_rounds_neon r;
  for (int i = 0; i < AES_ROUND_KEYS; i++) r.k[i] = aes_load_neon(&round[i]);
  return r;
}

/** x[i] = AES(x[i]) for a tile of `count`, a constant. AESE adds the round key before it substitutes, so the last key
 *  remains; AESE and AESMC stand together because processors run such pairs as one. */
static inline void aes_some_neon(const struct aes_rounds_neon *r, uint8x16_t *x, size_t count) {
  for (int round = 0; round < 9; round++)
    for (size_t i = 0; i < count; i++) x[i] = vaesmcq_u8(vaeseq_u8(x[i], r->k[round]));
  for (size_t i = 0; i < count; i++) x[i] = veorq_u8(vaeseq_u8(x[i], r->k[9]), r->k[10]);
}

static inline void aes_tile_neon(const struct aes_rounds_neon *r, uint8x16_t x[AES_TILE_NEON]) {
  aes_some_neon(r, x, AES_TILE_NEON);
}

static inline uint8x16_t aes_one_neon(const struct aes_rounds_neon *r, uint8x16_t x) {
  aes_some_neon(r, &x, 1);
  return x;
}

/** The next key of the FIPS-197 schedule; rcon: its round constant. AESE of four equal columns under a zero key leaves
 *  each of them substituted, and nothing shifted. */
static inline uint8x16_t aes_next_key_neon(uint8x16_t key, uint32_t rcon) {
  const uint8x16_t zero = vdupq_n_u8(0);
  const uint8x16_t last = vreinterpretq_u8_u32(vdupq_laneq_u32(vreinterpretq_u32_u8(key), 3));
  const uint32x4_t word = vreinterpretq_u32_u8(vaeseq_u8(last, zero));
  const uint32x4_t turned = vsriq_n_u32(vshlq_n_u32(word, 24), word, 8);
  key = veorq_u8(key, vextq_u8(zero, key, 12));
  key = veorq_u8(key, vextq_u8(zero, key, 8));
  return veorq_u8(key, vreinterpretq_u8_u32(veorq_u32(turned, vdupq_n_u32(rcon))));
}

/** The whole schedule of the key at round[0]. */
static inline void aes_expand_neon(block round[AES_ROUND_KEYS]) {
  static const uint8_t rcon[AES_ROUND_KEYS] = {0, 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36};
  uint8x16_t key = aes_load_neon(&round[0]);
  for (int i = 1; i < AES_ROUND_KEYS; i++) {
    key = aes_next_key_neon(key, rcon[i]);
    aes_store_neon(&round[i], key);
  }
}

#endif
