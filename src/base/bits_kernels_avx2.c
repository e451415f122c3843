#include <immintrin.h>

#include "base/bits.h"
#include "base/bits_kernels.h"

/* A pair of values lies in 16 bytes, half a register, wherever it begins: its values have at most BITS_WINDOW bits.
 * Pair p of a group begins in byte p*2*bits / 8. A group is two registers, `half` 0 and 1. */
enum { PAIR_LEN = 16 };

static inline unsigned pair_at(unsigned pair, unsigned bits) {
  return pair * 2 * bits / 8;
}

/* Groups whose last pair has all its 16 bytes within len. */
static size_t whole_groups(size_t count, size_t len, unsigned bits) {
  const size_t last = pair_at(3, bits) + PAIR_LEN;
  return len < last ? 0 : size_min(count / BITS_GROUP, (len - last) / bits + 1);
}

static inline __m256i load4(const void *p) {
  return _mm256_loadu_si256((const __m256i *)p);
}

/* A pair's first value shifted to its bits within the bytes is there; the second one is moved to its bytes. The first
 * byte also has the highest bits of the value before the pair: a store replaces the last byte of the one before. */
struct pack_places {
  __m256i shift[2], move[2], before[2];
};

static struct pack_places pack_places_make(unsigned bits) {
  struct pack_places p;
  for (unsigned half = 0; half < 2; half++) {
    uint64_t shift[4], before[4] = {64, 64, 64, 64};
    uint8_t move[32];
    for (unsigned i = 0; i < 2; i++) {
      const unsigned at = (2 * half + i) * 2 * bits & 7, second = at + bits;
      shift[2 * i] = at;
      shift[2 * i + 1] = second & 7;
      if (at) before[2 * i] = bits - at;
      for (unsigned k = 0; k < PAIR_LEN; k++)
        move[PAIR_LEN * i + k] = (uint8_t)(k - second / 8 < 8 ? 8 + k - second / 8 : 0x80);
    }
    p.shift[half] = load4(shift);
    p.before[half] = load4(before);
    p.move[half] = load4(move);
  }
  return p;
}

static inline void store_pairs(uint8_t *first, uint8_t *second, __m256i pairs) {
  _mm_storeu_si128((__m128i *)first, _mm256_castsi256_si128(pairs));
  _mm_storeu_si128((__m128i *)second, _mm256_extracti128_si256(pairs, 1));
}

/* before: in each half of the register, the value before the pair. */
static inline __m256i pack_pairs(__m256i values, __m256i before, const struct pack_places *p, unsigned half) {
  const __m256i shifted = _mm256_sllv_epi64(values, p->shift[half]);
  const __m256i first = _mm256_blend_epi32(shifted, _mm256_setzero_si256(), 0xcc);
  const __m256i second = _mm256_shuffle_epi8(shifted, p->move[half]);
  return _mm256_or_si256(_mm256_or_si256(first, second), _mm256_srlv_epi64(before, p->before[half]));
}

static void pack_wide(uint8_t *out, const uint64_t *values, size_t groups, unsigned bits) {
  const struct pack_places places = pack_places_make(bits);
  const __m256i mask = _mm256_set1_epi64x((long long)low_mask(bits));
  const size_t at[3] = {pair_at(1, bits), pair_at(2, bits), pair_at(3, bits)};
  for (size_t g = 0; g < groups; g++, values += BITS_GROUP, out += bits) {
    const __m256i low = _mm256_and_si256(load4(values), mask), high = _mm256_and_si256(load4(values + 4), mask);
    const __m256i before_low = _mm256_permute4x64_epi64(low, 0x50); /* value 1 before pair 1; nothing before pair 0 */
    const __m256i before_high = _mm256_and_si256(load4(values + 3), mask);
    store_pairs(out, out + at[0], pack_pairs(low, before_low, &places, 0));
    store_pairs(out + at[1], out + at[2], pack_pairs(high, before_high, &places, 1));
  }
}

/* Up to seven bits: a group is one word, the sum of its values at their places. */
static void pack_narrow(uint8_t *out, const uint64_t *values, size_t groups, unsigned bits) {
  const __m256i mask = _mm256_set1_epi64x((long long)low_mask(bits));
  const __m256i at_low = _mm256_setr_epi64x(0, bits, 2 * bits, 3 * bits);
  const __m256i at_high = _mm256_add_epi64(at_low, _mm256_set1_epi64x(4 * bits));
  for (size_t g = 0; g < groups; g++, values += BITS_GROUP, out += bits) {
    const __m256i low = _mm256_sllv_epi64(_mm256_and_si256(load4(values), mask), at_low);
    const __m256i four = _mm256_or_si256(low, _mm256_sllv_epi64(_mm256_and_si256(load4(values + 4), mask), at_high));
    const __m128i two = _mm_or_si128(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1));
    _mm_storel_epi64((__m128i *)out, _mm_or_si128(two, _mm_unpackhi_epi64(two, two)));
  }
}

static void pack_avx2(uint8_t *out, const uint64_t *values, size_t count, unsigned bits) {
  size_t groups = 0;
  if (bits <= BITS_WINDOW && count >= BITS_FEW) groups = whole_groups(count, bits_len(count, bits), bits);
  if (groups && bits < 8) pack_narrow(out, values, groups, bits);
  if (groups && bits >= 8) pack_wide(out, values, groups, bits);
  const size_t done = groups * BITS_GROUP;
  bits_kernels_c.pack(out + groups * bits, values + done, count - done, bits);
}

/* Every value's eight bytes, from its pair's 16, and the shift that is left. */
struct unpack_places {
  __m256i window[2], shift[2];
  size_t at[4];
};

static struct unpack_places unpack_places_make(unsigned bits, unsigned skip) {
  struct unpack_places p;
  for (unsigned half = 0; half < 2; half++) {
    uint64_t window[4], shift[4];
    for (unsigned i = 0; i < 4; i++) {
      const unsigned begin = skip + (4 * half + i) * bits, pair = (skip + (4 * half + i / 2 * 2) * bits) / 8;
      window[i] = (begin / 8 - pair) * UINT64_C(0x0101010101010101) + UINT64_C(0x0706050403020100);
      shift[i] = begin & 7;
      p.at[2 * half + i / 2] = pair;
    }
    p.window[half] = load4(window);
    p.shift[half] = load4(shift);
  }
  return p;
}

static inline __m256i load_pairs(const uint8_t *first, const uint8_t *second) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)first)),
                                 _mm_loadu_si128((const __m128i *)second), 1);
}

static void unpack_groups(uint64_t *values, const uint8_t *in, size_t groups, unsigned bits, unsigned skip) {
  const struct unpack_places p = unpack_places_make(bits, skip);
  const __m256i mask = _mm256_set1_epi64x((long long)low_mask(bits));
  for (size_t g = 0; g < groups; g++, values += BITS_GROUP, in += bits) {
    for (unsigned half = 0; half < 2; half++) {
      const __m256i bytes = load_pairs(in + p.at[2 * half], in + p.at[2 * half + 1]);
      const __m256i low = _mm256_srlv_epi64(_mm256_shuffle_epi8(bytes, p.window[half]), p.shift[half]);
      _mm256_storeu_si256((__m256i *)(values + 4 * half), _mm256_and_si256(low, mask));
    }
  }
}

static void unpack_avx2(uint64_t *values, const uint8_t *in, size_t count, unsigned bits, unsigned skip) {
  size_t groups = 0;
  /* One byte of room: where a stream begins within a byte, a pair may begin one byte later. */
  if (bits <= BITS_WINDOW && count >= BITS_FEW) groups = whole_groups(count, bits_len(count, bits) - 1, bits);
  if (groups) unpack_groups(values, in, groups, bits, skip);
  const size_t done = groups * BITS_GROUP;
  bits_kernels_c.unpack(values + done, in + groups * bits, count - done, bits, skip);
}

const struct bits_kernels bits_kernels_avx2 = {.pack = pack_avx2, .unpack = unpack_avx2};
