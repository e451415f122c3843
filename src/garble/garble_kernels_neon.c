/* Kernels of half_gates.c by the ARMv8 AES instructions: the hashes of an AND's instances fill tiles of eight, so
 * nothing is stored between. */
#include "garble/garble_kernels.h"

#include "rand/aes_neon.h"

enum { AND_INSTANCES = AES_TILE_NEON / 4, PAIR_INSTANCES = AES_TILE_NEON / 2 };

/* x[i] = TCCR(x[i], tweak[i]). */
static inline void tccr_tile(const struct aes_rounds_neon *r, uint8x16_t x[AES_TILE_NEON],
                             const uint8x16_t tweak[AES_TILE_NEON]) {
  uint8x16_t y[AES_TILE_NEON];
  aes_tile_neon(r, x);
  for (int i = 0; i < AES_TILE_NEON; i++) y[i] = veorq_u8(x[i], tweak[i]);
  aes_tile_neon(r, y);
  for (int i = 0; i < AES_TILE_NEON; i++) x[i] = veorq_u8(x[i], y[i]);
}

/* v where the label's lowest bit is set, else 0. */
static inline uint8x16_t where_lsb(uint8x16_t label, uint8x16_t v) {
  const uint64x2_t bit = vshlq_n_u64(vdupq_laneq_u64(vreinterpretq_u64_u8(label), 0), 63);
  return vandq_u8(v, vreinterpretq_u8_s64(vshrq_n_s64(vreinterpretq_s64_u64(bit), 63)));
}

static inline uint8x16_t tweak_at(const struct garble_and *g, size_t index) {
  return aes_make_neon(g->tweak.hi, g->tweak.lo + index);
}

/* The last tile may have fewer instances: its spare lanes repeat the last one. */
static inline size_t lane(const struct garble_and *g, size_t first, size_t i) {
  return size_min(first + i, g->count - 1);
}

static void and_garble_neon(const struct garble_and *g) {
  const struct aes_rounds_neon r = aes_rounds_neon(aes_fixed_rounds);
  const uint8x16_t delta = aes_load_neon(&g->delta);
  for (size_t e = 0; e < g->count; e += AND_INSTANCES) {
    uint8x16_t x[AES_TILE_NEON], tweak[AES_TILE_NEON];
    for (size_t i = 0; i < AND_INSTANCES; i++) {
      const size_t at = lane(g, e, i);
      x[4 * i] = aes_load_neon(&g->a[at]);
      x[4 * i + 1] = veorq_u8(x[4 * i], delta);
      x[4 * i + 2] = aes_load_neon(&g->b[at]);
      x[4 * i + 3] = veorq_u8(x[4 * i + 2], delta);
      tweak[4 * i] = tweak[4 * i + 1] = tweak_at(g, at);
      tweak[4 * i + 2] = tweak[4 * i + 3] = tweak_at(g, g->count + at);
    }
    tccr_tile(&r, x, tweak);
    for (size_t i = 0; i < AND_INSTANCES; i++) {
      const size_t at = lane(g, e, i);
      const uint8x16_t a = aes_load_neon(&g->a[at]), b = aes_load_neon(&g->b[at]);
      const uint8x16_t row = veorq_u8(veorq_u8(x[4 * i], x[4 * i + 1]), where_lsb(b, delta));
      const uint8x16_t differ = veorq_u8(x[4 * i + 2], x[4 * i + 3]);
      const uint8x16_t first = veorq_u8(x[4 * i], where_lsb(a, row));
      const uint8x16_t second = veorq_u8(x[4 * i + 2], where_lsb(b, differ));
      aes_store_neon(&g->table[at], row);
      aes_store_neon(&g->table[g->count + at], veorq_u8(differ, a));
      aes_store_neon(&g->out[at], veorq_u8(first, second));
    }
  }
}

static void and_evaluate_neon(const struct garble_and *g) {
  const struct aes_rounds_neon r = aes_rounds_neon(aes_fixed_rounds);
  for (size_t e = 0; e < g->count; e += PAIR_INSTANCES) {
    uint8x16_t x[AES_TILE_NEON], tweak[AES_TILE_NEON];
    for (size_t i = 0; i < PAIR_INSTANCES; i++) {
      const size_t at = lane(g, e, i);
      x[2 * i] = aes_load_neon(&g->a[at]);
      x[2 * i + 1] = aes_load_neon(&g->b[at]);
      tweak[2 * i] = tweak_at(g, at);
      tweak[2 * i + 1] = tweak_at(g, g->count + at);
    }
    tccr_tile(&r, x, tweak);
    for (size_t i = 0; i < PAIR_INSTANCES; i++) {
      const size_t at = lane(g, e, i);
      const uint8x16_t a = aes_load_neon(&g->a[at]), b = aes_load_neon(&g->b[at]);
      const uint8x16_t row = aes_load_neon(&g->table[at]), second = aes_load_neon(&g->table[g->count + at]);
      const uint8x16_t opened = veorq_u8(where_lsb(a, row), where_lsb(b, veorq_u8(second, a)));
      aes_store_neon(&g->out[at], veorq_u8(veorq_u8(x[2 * i], x[2 * i + 1]), opened));
    }
  }
}

static void half_garble_neon(const struct garble_and *g) {
  const struct aes_rounds_neon r = aes_rounds_neon(aes_fixed_rounds);
  const uint8x16_t delta = aes_load_neon(&g->delta);
  for (size_t e = 0; e < g->count; e += PAIR_INSTANCES) {
    uint8x16_t x[AES_TILE_NEON], tweak[AES_TILE_NEON];
    for (size_t i = 0; i < PAIR_INSTANCES; i++) {
      const size_t at = lane(g, e, i);
      x[2 * i] = aes_load_neon(&g->a[at]);
      x[2 * i + 1] = veorq_u8(x[2 * i], delta);
      tweak[2 * i] = tweak[2 * i + 1] = tweak_at(g, at);
    }
    tccr_tile(&r, x, tweak);
    for (size_t i = 0; i < PAIR_INSTANCES; i++) {
      const size_t at = lane(g, e, i);
      const uint8x16_t known = vandq_u8(delta, vreinterpretq_u8_u64(vdupq_n_u64(g->known[at])));
      const uint8x16_t row = veorq_u8(veorq_u8(x[2 * i], x[2 * i + 1]), known);
      const uint8x16_t out = veorq_u8(x[2 * i], where_lsb(aes_load_neon(&g->a[at]), row));
      aes_store_neon(&g->table[at], row);
      aes_store_neon(&g->out[at], out);
    }
  }
}

static void half_evaluate_neon(const struct garble_and *g) {
  const struct aes_rounds_neon r = aes_rounds_neon(aes_fixed_rounds);
  for (size_t e = 0; e < g->count; e += AES_TILE_NEON) {
    uint8x16_t x[AES_TILE_NEON], tweak[AES_TILE_NEON];
    for (size_t i = 0; i < AES_TILE_NEON; i++) {
      x[i] = aes_load_neon(&g->a[lane(g, e, i)]);
      tweak[i] = tweak_at(g, lane(g, e, i));
    }
    tccr_tile(&r, x, tweak);
    for (size_t i = 0; i < AES_TILE_NEON; i++) {
      const size_t at = lane(g, e, i);
      const uint8x16_t row = where_lsb(aes_load_neon(&g->a[at]), aes_load_neon(&g->table[at]));
      aes_store_neon(&g->out[at], veorq_u8(x[i], row));
    }
  }
}

const struct garble_kernels garble_kernels_neon = {.and_garble = and_garble_neon,
                                                   .and_evaluate = and_evaluate_neon,
                                                   .half_garble = half_garble_neon,
                                                   .half_evaluate = half_evaluate_neon};
