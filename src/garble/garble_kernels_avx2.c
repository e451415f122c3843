/* AES-NI kernels of half_gates.c: the hashes of an AND's instances fill tiles of eight, so nothing is stored between.
 */
#include "garble/garble_kernels.h"

#include "rand/aes_avx2.h"

enum { AND_INSTANCES = AES_TILE_AVX2 / 4, PAIR_INSTANCES = AES_TILE_AVX2 / 2 };

/* x[i] = TCCR(x[i], tweak[i]). */
static inline void tccr_tile(const struct aes_rounds_avx2 *r, __m128i x[AES_TILE_AVX2],
                             const __m128i tweak[AES_TILE_AVX2]) {
  __m128i y[AES_TILE_AVX2];
  aes_tile_avx2(r, x);
  for (int i = 0; i < AES_TILE_AVX2; i++) y[i] = _mm_xor_si128(x[i], tweak[i]);
  aes_tile_avx2(r, y);
  for (int i = 0; i < AES_TILE_AVX2; i++) x[i] = _mm_xor_si128(x[i], y[i]);
}

/* v where the label's lowest bit is set, else 0. */
static inline __m128i where_lsb(__m128i label, __m128i v) {
  const __m128i bit = _mm_slli_epi64(_mm_shuffle_epi32(label, 0x44), 63);
  return _mm_and_si128(v, _mm_sub_epi64(_mm_setzero_si128(), _mm_srli_epi64(bit, 63)));
}

static inline __m128i tweak_at(const struct garble_and *g, size_t index) {
  return _mm_set_epi64x((int64_t)g->tweak.hi, (int64_t)(g->tweak.lo + index));
}

/* The last tile may have fewer instances: its spare lanes repeat the last one. */
static inline size_t lane(const struct garble_and *g, size_t first, size_t i) {
  return size_min(first + i, g->count - 1);
}

void and_garble_avx2(const struct garble_and *g) {
  const struct aes_rounds_avx2 r = aes_rounds_avx2(aes_fixed_rounds);
  const __m128i delta = aes_load_avx2(&g->delta);
  for (size_t e = 0; e < g->count; e += AND_INSTANCES) {
    __m128i x[AES_TILE_AVX2], tweak[AES_TILE_AVX2];
    for (size_t i = 0; i < AND_INSTANCES; i++) {
      const size_t at = lane(g, e, i);
      x[4 * i] = aes_load_avx2(&g->a[at]);
      x[4 * i + 1] = _mm_xor_si128(x[4 * i], delta);
      x[4 * i + 2] = aes_load_avx2(&g->b[at]);
      x[4 * i + 3] = _mm_xor_si128(x[4 * i + 2], delta);
      tweak[4 * i] = tweak[4 * i + 1] = tweak_at(g, at);
      tweak[4 * i + 2] = tweak[4 * i + 3] = tweak_at(g, g->count + at);
    }
    tccr_tile(&r, x, tweak);
    for (size_t i = 0; i < AND_INSTANCES; i++) {
      const size_t at = lane(g, e, i);
      const __m128i a = aes_load_avx2(&g->a[at]), b = aes_load_avx2(&g->b[at]);
      const __m128i row = _mm_xor_si128(_mm_xor_si128(x[4 * i], x[4 * i + 1]), where_lsb(b, delta));
      const __m128i differ = _mm_xor_si128(x[4 * i + 2], x[4 * i + 3]);
      const __m128i first = _mm_xor_si128(x[4 * i], where_lsb(a, row));
      const __m128i second = _mm_xor_si128(x[4 * i + 2], where_lsb(b, differ));
      aes_store_avx2(&g->table[at], row);
      aes_store_avx2(&g->table[g->count + at], _mm_xor_si128(differ, a));
      aes_store_avx2(&g->out[at], _mm_xor_si128(first, second));
    }
  }
}

void and_evaluate_avx2(const struct garble_and *g) {
  const struct aes_rounds_avx2 r = aes_rounds_avx2(aes_fixed_rounds);
  for (size_t e = 0; e < g->count; e += PAIR_INSTANCES) {
    __m128i x[AES_TILE_AVX2], tweak[AES_TILE_AVX2];
    for (size_t i = 0; i < PAIR_INSTANCES; i++) {
      const size_t at = lane(g, e, i);
      x[2 * i] = aes_load_avx2(&g->a[at]);
      x[2 * i + 1] = aes_load_avx2(&g->b[at]);
      tweak[2 * i] = tweak_at(g, at);
      tweak[2 * i + 1] = tweak_at(g, g->count + at);
    }
    tccr_tile(&r, x, tweak);
    for (size_t i = 0; i < PAIR_INSTANCES; i++) {
      const size_t at = lane(g, e, i);
      const __m128i a = aes_load_avx2(&g->a[at]), b = aes_load_avx2(&g->b[at]);
      const __m128i row = aes_load_avx2(&g->table[at]), second = aes_load_avx2(&g->table[g->count + at]);
      const __m128i opened = _mm_xor_si128(where_lsb(a, row), where_lsb(b, _mm_xor_si128(second, a)));
      aes_store_avx2(&g->out[at], _mm_xor_si128(_mm_xor_si128(x[2 * i], x[2 * i + 1]), opened));
    }
  }
}

void half_garble_avx2(const struct garble_and *g) {
  const struct aes_rounds_avx2 r = aes_rounds_avx2(aes_fixed_rounds);
  const __m128i delta = aes_load_avx2(&g->delta);
  for (size_t e = 0; e < g->count; e += PAIR_INSTANCES) {
    __m128i x[AES_TILE_AVX2], tweak[AES_TILE_AVX2];
    for (size_t i = 0; i < PAIR_INSTANCES; i++) {
      const size_t at = lane(g, e, i);
      x[2 * i] = aes_load_avx2(&g->a[at]);
      x[2 * i + 1] = _mm_xor_si128(x[2 * i], delta);
      tweak[2 * i] = tweak[2 * i + 1] = tweak_at(g, at);
    }
    tccr_tile(&r, x, tweak);
    for (size_t i = 0; i < PAIR_INSTANCES; i++) {
      const size_t at = lane(g, e, i);
      const __m128i known = _mm_and_si128(delta, _mm_set1_epi64x((int64_t)g->known[at]));
      const __m128i row = _mm_xor_si128(_mm_xor_si128(x[2 * i], x[2 * i + 1]), known);
      const __m128i out = _mm_xor_si128(x[2 * i], where_lsb(aes_load_avx2(&g->a[at]), row));
      aes_store_avx2(&g->table[at], row);
      aes_store_avx2(&g->out[at], out);
    }
  }
}

void half_evaluate_avx2(const struct garble_and *g) {
  const struct aes_rounds_avx2 r = aes_rounds_avx2(aes_fixed_rounds);
  for (size_t e = 0; e < g->count; e += AES_TILE_AVX2) {
    __m128i x[AES_TILE_AVX2], tweak[AES_TILE_AVX2];
    for (size_t i = 0; i < AES_TILE_AVX2; i++) {
      x[i] = aes_load_avx2(&g->a[lane(g, e, i)]);
      tweak[i] = tweak_at(g, lane(g, e, i));
    }
    tccr_tile(&r, x, tweak);
    for (size_t i = 0; i < AES_TILE_AVX2; i++) {
      const size_t at = lane(g, e, i);
      const __m128i row = where_lsb(aes_load_avx2(&g->a[at]), aes_load_avx2(&g->table[at]));
      aes_store_avx2(&g->out[at], _mm_xor_si128(x[i], row));
    }
  }
}

const struct garble_kernels garble_kernels_avx2 = {.and_garble = and_garble_avx2,
                                                   .and_evaluate = and_evaluate_avx2,
                                                   .half_garble = half_garble_avx2,
                                                   .half_evaluate = half_evaluate_avx2};
