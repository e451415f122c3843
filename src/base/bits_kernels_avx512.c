#include <immintrin.h>

#include "base/bits_kernels.h"

/* Where the bits of a group go. Value i begins at bit i*bits of the group; turned left by that modulo 8 its bytes are
 * the group's, but for the first and the last one, which it shares with its neighbours. So byte k of the group has its
 * low bits from one value and the others from the next one: two permutations and a selection by bits. From bits = 8 on,
 * no byte has three values. */
struct pack_places {
  __m512i turn;        /* of each value */
  __m512i from, after; /* [64] bytes of the turned values: of the value that byte k begins in, and of the next one */
  __m512i first;       /* [64] bits of byte k that are the first value's */
};

static struct pack_places pack_places_make(unsigned bits) {
  _Alignas(64) uint64_t turn[BITS_GROUP];
  _Alignas(64) uint8_t from[64], after[64], first[64];
  /* floor(8k / bits) = 8k * inverse >> 16: 8k * (inverse * bits - 2^16) < 504 * 64 is below 2^16. */
  const unsigned inverse = 65535 / bits + 1;
  for (unsigned i = 0; i < BITS_GROUP; i++) turn[i] = i * bits & 7;
  for (unsigned k = 0; k < 64; k++) {
    const unsigned i = 8 * k * inverse >> 16, next = i + 1, held = next * bits - 8 * k;
    from[k] = (uint8_t)((8 * i + ((k - (i * bits >> 3)) & 7)) & 63);
    after[k] = (uint8_t)((8 * next + ((k - (next * bits >> 3)) & 7)) & 63);
    first[k] = (uint8_t)((1u << (held < 8 ? held : 8)) - 1);
  }
  return (struct pack_places){_mm512_load_si512(turn), _mm512_load_si512(from), _mm512_load_si512(after),
                              _mm512_load_si512(first)};
}

static inline __m512i pack_group(__m512i values, const struct pack_places *p) {
  const __m512i turned = _mm512_rolv_epi64(values, p->turn);
  const __m512i from = _mm512_permutexvar_epi8(p->from, turned), after = _mm512_permutexvar_epi8(p->after, turned);
  return _mm512_ternarylogic_epi64(p->first, from, after, 0xca);
}

static void pack_wide(uint8_t *out, const uint64_t *values, size_t count, unsigned bits) {
  const struct pack_places places = pack_places_make(bits);
  const __mmask64 group = low_mask(bits);
  for (; count >= BITS_GROUP; count -= BITS_GROUP, values += BITS_GROUP, out += bits)
    _mm512_mask_storeu_epi8(out, group, pack_group(_mm512_loadu_si512(values), &places));
  if (!count) return;
  const unsigned left = (unsigned)count * bits;
  const __m512i rest = _mm512_maskz_loadu_epi64((__mmask8)low_mask((unsigned)count), values);
  _mm512_mask_storeu_epi8(out, low_mask((left + 7) / 8), pack_group(rest, &places));
}

/* Up to seven bits: a group is one word, the sum of its values at their places. */
static void pack_narrow(uint8_t *out, const uint64_t *values, size_t count, unsigned bits) {
  const __m512i mask = _mm512_set1_epi64((long long)low_mask(bits));
  const __m512i at = _mm512_setr_epi64(0, bits, 2 * bits, 3 * bits, 4 * bits, 5 * bits, 6 * bits, 7 * bits);
  for (; count; values += BITS_GROUP, out += bits) {
    const size_t n = size_min(BITS_GROUP, count);
    const __m512i group = _mm512_maskz_loadu_epi64((__mmask8)low_mask((unsigned)n), values);
    const __m512i placed = _mm512_sllv_epi64(_mm512_and_si512(group, mask), at);
    const __m512i four = _mm512_or_si512(placed, _mm512_shuffle_i64x2(placed, placed, 0x4e));
    const __m512i two = _mm512_or_si512(four, _mm512_shuffle_i64x2(four, four, 0xb1));
    const __m512i word = _mm512_or_si512(two, _mm512_shuffle_epi32(two, 0x4e));
    _mm512_mask_storeu_epi8(out, low_mask(((unsigned)n * bits + 7) / 8), word);
    count -= n;
  }
}

static void pack_avx512(uint8_t *out, const uint64_t *values, size_t count, unsigned bits) {
  if (bits < 8)
    pack_narrow(out, values, count, bits);
  else if (count < BITS_FEW)
    bits_kernels_c.pack(out, values, count, bits);
  else
    pack_wide(out, values, count, bits);
}

/* Every value's eight bytes from the one that it begins in, and the ninth, where a value wider than BITS_WINDOW may
 * end. */
struct unpack_places {
  __m512i window, shift, ninth, rise;
};

static struct unpack_places unpack_places_make(unsigned bits, unsigned skip) {
  _Alignas(64) uint64_t window[BITS_GROUP], shift[BITS_GROUP], ninth[BITS_GROUP], rise[BITS_GROUP];
  for (unsigned i = 0; i < BITS_GROUP; i++) {
    const uint64_t at = skip + i * bits;
    window[i] = (at >> 3) * UINT64_C(0x0101010101010101) + UINT64_C(0x0706050403020100);
    ninth[i] = ((at >> 3) + 8) & 63; /* beyond the last byte only where no bit of it is used */
    shift[i] = at & 7;
    rise[i] = 64 - shift[i];
  }
  return (struct unpack_places){_mm512_load_si512(window), _mm512_load_si512(shift), _mm512_load_si512(ninth),
                                _mm512_load_si512(rise)};
}

static inline __m512i unpack_group(__m512i bytes, const struct unpack_places *p, __m512i mask, bool wide) {
  const __m512i low = _mm512_srlv_epi64(_mm512_permutexvar_epi8(p->window, bytes), p->shift);
  if (!wide) return _mm512_and_si512(low, mask);
  const __m512i high = _mm512_sllv_epi64(_mm512_permutexvar_epi8(p->ninth, bytes), p->rise);
  return _mm512_and_si512(_mm512_or_si512(low, high), mask);
}

static inline void unpack_groups(uint64_t *values, const uint8_t *in, size_t count, unsigned bits, unsigned skip,
                                 bool wide) {
  const struct unpack_places places = unpack_places_make(bits, skip);
  const __m512i mask = _mm512_set1_epi64((long long)low_mask(bits));
  const __mmask64 group = low_mask(bits + (skip + 7) / 8);
  for (; count >= BITS_GROUP; count -= BITS_GROUP, values += BITS_GROUP, in += bits)
    _mm512_storeu_si512(values, unpack_group(_mm512_maskz_loadu_epi8(group, in), &places, mask, wide));
  if (!count) return;
  const __m512i rest = _mm512_maskz_loadu_epi8(low_mask((skip + (unsigned)count * bits + 7) / 8), in);
  _mm512_mask_storeu_epi64(values, (__mmask8)low_mask((unsigned)count), unpack_group(rest, &places, mask, wide));
}

static void unpack_avx512(uint64_t *values, const uint8_t *in, size_t count, unsigned bits, unsigned skip) {
  const bool wide = bits > BITS_WINDOW;
  if (count < BITS_FEW || (wide && skip)) /* a group of 64 bytes and one more is no register */
    bits_kernels_c.unpack(values, in, count, bits, skip);
  else if (wide)
    unpack_groups(values, in, count, bits, 0, true);
  else
    unpack_groups(values, in, count, bits, skip, false);
}

const struct bits_kernels bits_kernels_avx512 = {.pack = pack_avx512, .unpack = unpack_avx512};
