#include <arm_neon.h>

#include "base/bits.h"
#include "base/bits_kernels.h"

/* A pair of values lies in 16 bytes, a register, wherever it begins: its values have at most BITS_WINDOW bits. Pair p
 * of a group begins in byte p*2*bits / 8. */
enum { PAIRS = BITS_GROUP / 2, PAIR_LEN = 16 };

static inline unsigned pair_at(unsigned pair, unsigned bits) {
  return pair * 2 * bits / 8;
}

/* Groups whose last pair has all its 16 bytes within len. */
static size_t whole_groups(size_t count, size_t len, unsigned bits) {
  const size_t last = pair_at(PAIRS - 1, bits) + PAIR_LEN;
  return len < last ? 0 : size_min(count / BITS_GROUP, (len - last) / bits + 1);
}

static inline int64x2_t two(unsigned low, unsigned high) {
  return vcombine_s64(vcreate_s64(low), vcreate_s64(high));
}

/* A pair's first value shifted to its bits within the bytes is there; the second one is moved to its bytes. The first
 * byte also has the highest bits of the value before the pair: a store replaces the last byte of the one before. */
struct pack_places {
  int64x2_t shift[PAIRS], before[PAIRS];
  uint8x16_t move[PAIRS];
};

static struct pack_places pack_places_make(unsigned bits) {
  struct pack_places p;
  for (unsigned i = 0; i < PAIRS; i++) {
    const unsigned at = i * 2 * bits & 7, second = at + bits;
    uint8_t move[PAIR_LEN];
    for (unsigned k = 0; k < PAIR_LEN; k++)
      move[k] = (uint8_t)(k - second / 8 < 8 ? 8 + k - second / 8 : 0x80); /* 0x80: zero */
    p.shift[i] = two(at, second & 7);
    p.before[i] = vnegq_s64(two(at ? bits - at : 64, 64)); /* to the right; by 64: nothing is left */
    p.move[i] = vld1q_u8(move);
  }
  return p;
}

/* before: the pair before, whose second value counts. */
static inline uint8x16_t pack_pair(uint64x2_t values, uint64x2_t before, const struct pack_places *p, size_t pair) {
  const uint64x2_t shifted = vshlq_u64(values, p->shift[pair]);
  const uint64x2_t first = vsetq_lane_u64(0, shifted, 1);
  const uint8x16_t second = vqtbl1q_u8(vreinterpretq_u8_u64(shifted), p->move[pair]);
  const uint64x2_t rest = vshlq_u64(vextq_u64(before, before, 1), p->before[pair]);
  return vorrq_u8(second, vreinterpretq_u8_u64(vorrq_u64(first, rest)));
}

static void pack_wide(uint8_t *out, const uint64_t *values, size_t groups, unsigned bits) {
  const struct pack_places places = pack_places_make(bits);
  const uint64x2_t mask = vdupq_n_u64(low_mask(bits));
  const size_t at[PAIRS] = {0, pair_at(1, bits), pair_at(2, bits), pair_at(3, bits)};
  for (size_t g = 0; g < groups; g++, values += BITS_GROUP, out += bits) {
    uint64x2_t before = vdupq_n_u64(0); /* nothing before pair 0, which begins a byte */
    for (size_t i = 0; i < PAIRS; i++) {
      const uint64x2_t pair = vandq_u64(vld1q_u64(values + 2 * i), mask);
      vst1q_u8(out + at[i], pack_pair(pair, before, &places, i));
      before = pair;
    }
  }
}

/* Up to seven bits: a group is one word, the sum of its values at their places. */
static void pack_narrow(uint8_t *out, const uint64_t *values, size_t groups, unsigned bits) {
  const uint64x2_t mask = vdupq_n_u64(low_mask(bits));
  int64x2_t shift[PAIRS];
  for (unsigned i = 0; i < PAIRS; i++) shift[i] = two(2 * i * bits, (2 * i + 1) * bits);
  for (size_t g = 0; g < groups; g++, values += BITS_GROUP, out += bits) {
    uint64x2_t sum = vdupq_n_u64(0);
    for (size_t i = 0; i < PAIRS; i++)
      sum = vorrq_u64(sum, vshlq_u64(vandq_u64(vld1q_u64(values + 2 * i), mask), shift[i]));
    const uint64_t word = vgetq_lane_u64(sum, 0) | vgetq_lane_u64(sum, 1);
    memcpy(out, &word, sizeof word);
  }
}

static void pack_neon(uint8_t *out, const uint64_t *values, size_t count, unsigned bits) {
  size_t groups = 0;
  if (bits <= BITS_WINDOW && count >= BITS_FEW) groups = whole_groups(count, bits_len(count, bits), bits);
  if (groups && bits < 8) pack_narrow(out, values, groups, bits);
  if (groups && bits >= 8) pack_wide(out, values, groups, bits);
  const size_t done = groups * BITS_GROUP;
  bits_kernels_c.pack(out + groups * bits, values + done, count - done, bits);
}

/* Every value's eight bytes, from its pair's 16, and the shift that is left. */
struct unpack_places {
  uint8x16_t window[PAIRS];
  int64x2_t shift[PAIRS];
  size_t at[PAIRS];
};

static struct unpack_places unpack_places_make(unsigned bits, unsigned skip) {
  struct unpack_places p;
  for (unsigned i = 0; i < PAIRS; i++) {
    const unsigned begin = skip + 2 * i * bits, second = begin + bits, pair = begin / 8;
    const uint64_t step = UINT64_C(0x0101010101010101), bytes = UINT64_C(0x0706050403020100);
    p.at[i] = pair;
    p.shift[i] = vnegq_s64(two(begin & 7, second & 7));
    p.window[i] = vcombine_u8(vcreate_u8(bytes), vcreate_u8(bytes + (second / 8 - pair) * step));
  }
  return p;
}

static void unpack_groups(uint64_t *values, const uint8_t *in, size_t groups, unsigned bits, unsigned skip) {
  const struct unpack_places p = unpack_places_make(bits, skip);
  const uint64x2_t mask = vdupq_n_u64(low_mask(bits));
  for (size_t g = 0; g < groups; g++, values += BITS_GROUP, in += bits)
    for (size_t i = 0; i < PAIRS; i++) {
      const uint64x2_t windows = vreinterpretq_u64_u8(vqtbl1q_u8(vld1q_u8(in + p.at[i]), p.window[i]));
      vst1q_u64(values + 2 * i, vandq_u64(vshlq_u64(windows, p.shift[i]), mask));
    }
}

static void unpack_neon(uint64_t *values, const uint8_t *in, size_t count, unsigned bits, unsigned skip) {
  size_t groups = 0;
  /* One byte of room: where a stream begins within a byte, a pair may begin one byte later. */
  if (bits <= BITS_WINDOW && count >= BITS_FEW) groups = whole_groups(count, bits_len(count, bits) - 1, bits);
  if (groups) unpack_groups(values, in, groups, bits, skip);
  const size_t done = groups * BITS_GROUP;
  bits_kernels_c.unpack(values + done, in + groups * bits, count - done, bits, skip);
}

const struct bits_kernels bits_kernels_neon = {.pack = pack_neon, .unpack = unpack_neon};
