#include <arm_neon.h>

#include "ot/one_of_n_kernels.h"

static inline uint64x2_t load(const block *b) {
  return vld1q_u64(&b->lo);
}

/* Low bytes of 16 blocks: halving steps that keep the lower part of each lane. */
static inline uint8x16_t low_bytes(const block *in) {
  uint32x4_t words[4];
  for (size_t i = 0; i < 4; i++) {
    const block *at = in + 4 * i;
    const uint64x2_t a = vuzp1q_u64(load(at), load(at + 1)), b = vuzp1q_u64(load(at + 2), load(at + 3));
    words[i] = vuzp1q_u32(vreinterpretq_u32_u64(a), vreinterpretq_u32_u64(b));
  }
  const uint16x8_t a = vuzp1q_u16(vreinterpretq_u16_u32(words[0]), vreinterpretq_u16_u32(words[1]));
  const uint16x8_t b = vuzp1q_u16(vreinterpretq_u16_u32(words[2]), vreinterpretq_u16_u32(words[3]));
  return vuzp1q_u8(vreinterpretq_u8_u16(a), vreinterpretq_u8_u16(b));
}

/* The bit `mask` of 64 bytes: sums of eight bytes, each with a bit of its own. */
static inline uint64_t gather_bits(const uint8x16_t bytes[4], uint8_t mask) {
  const uint8x16_t place = vreinterpretq_u8_u64(vdupq_n_u64(UINT64_C(0x8040201008040201))), m = vdupq_n_u8(mask);
  uint8x16_t v[4];
  for (size_t i = 0; i < 4; i++) v[i] = vandq_u8(vtstq_u8(bytes[i], m), place);
  const uint8x16_t four = vpaddq_u8(vpaddq_u8(v[0], v[1]), vpaddq_u8(v[2], v[3]));
  return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(four, four)), 0);
}

static void bit_planes_neon(uint64_t *plane0, uint64_t *plane1, const block *in, size_t words) {
  for (size_t w = 0; w < words; w++, in += 64) {
    uint8x16_t bytes[4];
    for (size_t i = 0; i < 4; i++) bytes[i] = low_bytes(in + 16 * i);
    plane0[w] = gather_bits(bytes, 1);
    if (plane1) plane1[w] = gather_bits(bytes, 2);
  }
}

/* Four blocks at a time: while one waits for its sum, the others have work. */
static void pack_neon(block *out, const block *in, size_t count, unsigned width) {
  const uint64x2_t reduce = vdupq_n_u64(0x1b);
  for (size_t k = 0; k < count; k += 4) {
    uint64x2_t sum[4];
    const block *at = in + (width - 1) * count + k;
    for (size_t j = 0; j < 4; j++) sum[j] = load(at + j);
    for (unsigned i = width - 1; i-- > 0;) {
      at -= count;
      for (size_t j = 0; j < 4; j++) {
        const uint64x2_t sign = vreinterpretq_u64_s64(vshrq_n_s64(vreinterpretq_s64_u64(sum[j]), 63));
        const uint64x2_t twice = veorq_u64(vaddq_u64(sum[j], sum[j]), vandq_u64(sign, reduce));
        sum[j] = veorq_u64(twice, load(at + j));
      }
    }
    for (size_t j = 0; j < 4; j++) vst1q_u64(&out[k + j].lo, sum[j]);
  }
}

static void low_words_neon(uint64_t *out, const block *in, size_t count) {
  for (size_t k = 0; k < count; k++) out[k] = in[k].lo;
}

const struct one_of_n_kernels one_of_n_kernels_neon = {
    .bit_planes = bit_planes_neon, .pack = pack_neon, .low_words = low_words_neon};
