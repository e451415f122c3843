#include <immintrin.h>

#include "ot/softspoken_counter_avx2.h"
#include "ot/softspoken_no_cipher.h"

/* ---- AES-128 in counter mode ---- */

#define SCHEDULE_STEP(i, rcon)                                                 \
  do {                                                                         \
    __m128i t = _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key, rcon), 0xff); \
    key = _mm_xor_si128(key, _mm_slli_si128(key, 4));                          \
    key = _mm_xor_si128(key, _mm_slli_si128(key, 8));                          \
    key = _mm_xor_si128(key, t);                                               \
    _mm_store_si128((__m128i *)&out->round[i], key);                           \
  } while (0)

/* FIPS 197, 5.2. Shifts by 4 and then 8 bytes make the running sum of the four words. */
void softspoken_schedule_avx2(struct leaf_key *out, block seed) {
  __m128i key = _mm_set_epi64x((long long)seed.hi, (long long)seed.lo);
  _mm_store_si128((__m128i *)&out->round[0], key);
  SCHEDULE_STEP(1, 0x01);
  SCHEDULE_STEP(2, 0x02);
  SCHEDULE_STEP(3, 0x04);
  SCHEDULE_STEP(4, 0x08);
  SCHEDULE_STEP(5, 0x10);
  SCHEDULE_STEP(6, 0x20);
  SCHEDULE_STEP(7, 0x40);
  SCHEDULE_STEP(8, 0x80);
  SCHEDULE_STEP(9, 0x1b);
  SCHEDULE_STEP(10, 0x36);
}

enum { LANES = 4 }; /* blocks in flight: the granule */

static void stream_avx2(block *out, const struct leaf_key *key, uint64_t nonce, uint64_t counter, size_t blocks,
                        void *cipher) {
  const __m128i *round = (const __m128i *)key->round;
  (void)cipher;
  for (size_t j = 0; j < blocks; j += LANES) {
    __m128i x[LANES];
    for (size_t i = 0; i < LANES; i++)
      x[i] = _mm_xor_si128(_mm_set_epi64x((long long)nonce, (long long)(counter + j + i)), round[0]);
    for (size_t r = 1; r < 10; r++)
      for (size_t i = 0; i < LANES; i++) x[i] = _mm_aesenc_si128(x[i], round[r]);
    for (size_t i = 0; i < LANES; i++) _mm_store_si128((__m128i *)&out[j + i], _mm_aesenclast_si128(x[i], round[10]));
  }
}

/* The streams of eight blocks, two in a register. */
enum { TILE = 4 };

static inline void leaf_avx2(__m256i v[TILE], const struct leaf_key *key, uint64_t nonce, uint64_t counter) {
  const __m128i *round = (const __m128i *)key->round;
  __m128i x[2 * TILE];
  for (size_t i = 0; i < 2 * TILE; i++)
    x[i] = _mm_xor_si128(_mm_set_epi64x((long long)nonce, (long long)(counter + i)), round[0]);
  for (size_t r = 1; r < 10; r++)
    for (size_t i = 0; i < 2 * TILE; i++) x[i] = _mm_aesenc_si128(x[i], round[r]);
  for (size_t i = 0; i < 2 * TILE; i++) x[i] = _mm_aesenclast_si128(x[i], round[10]);
  for (size_t i = 0; i < TILE; i++) v[i] = _mm256_set_m128i(x[2 * i + 1], x[2 * i]);
}

static void tree_avx2(const struct tree_job *job) {
  struct counter_avx2 sums;
  for (size_t at = 0; at < job->blocks; at += 2 * TILE) {
    counter_clear_avx2(&sums, job->depth, TILE);
    for (size_t x = job->punctured; x < (size_t)1 << job->depth; x++) {
      __m256i v[TILE];
      leaf_avx2(v, &job->leaves[x], job->nonce, job->counter + at);
      counter_add_avx2(&sums, x, job->depth, v, TILE);
    }
    counter_store_avx2(&sums, job, at, TILE);
  }
  mem_wipe(&sums, sizeof sums);
}

/* ---- the universal hash ---- */

/* (hi, lo), 256 bits, modulo X^128 + X^7 + X^2 + X + 1: twice times 0x87, upper word first. */
static inline __m128i reduce(__m128i lo, __m128i hi) {
  const __m128i poly = _mm_set_epi64x(0, 0x87);
  const __m128i upper = _mm_clmulepi64_si128(hi, poly, 0x01);
  lo = _mm_xor_si128(lo, _mm_slli_si128(upper, 8));
  hi = _mm_xor_si128(hi, _mm_srli_si128(upper, 8));
  return _mm_xor_si128(lo, _mm_clmulepi64_si128(hi, poly, 0x00));
}

static void hash_avx2(block out[128], const block *planes, size_t stride, const block *chi, size_t blocks) {
  for (size_t p = 0; p < 128; p++) {
    __m128i lo = _mm_setzero_si128(), mid = lo, hi = lo;
    for (size_t j = 0; j < blocks; j++) {
      const __m128i a = _mm_load_si128((const __m128i *)&planes[p * stride + j]);
      const __m128i b = _mm_load_si128((const __m128i *)&chi[j]);
      lo = _mm_xor_si128(lo, _mm_clmulepi64_si128(a, b, 0x00));
      hi = _mm_xor_si128(hi, _mm_clmulepi64_si128(a, b, 0x11));
      mid = _mm_xor_si128(mid, _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10)));
    }
    lo = _mm_xor_si128(lo, _mm_slli_si128(mid, 8));
    hi = _mm_xor_si128(hi, _mm_srli_si128(mid, 8));
    _mm_store_si128((__m128i *)&out[p], reduce(lo, hi));
  }
}

/* ---- transposition ---- */

/* 16x16 bytes in each 128-bit lane: every pass turns the 8 address bits by one, four passes swap row and column. */
static inline void transpose_bytes(__m256i rows[16]) {
  __m256i next[16];
  for (int pass = 0; pass < 4; pass++) {
    for (int i = 0; i < 8; i++) {
      next[2 * i] = _mm256_unpacklo_epi8(rows[i], rows[i + 8]);
      next[2 * i + 1] = _mm256_unpackhi_epi8(rows[i], rows[i + 8]);
    }
    memcpy(rows, next, sizeof next);
  }
}

void softspoken_transpose_avx2(block *out, const block *planes, size_t stride, size_t blocks) {
  for (size_t j = 0; j < blocks; j++)
    for (size_t group = 0; group < 4; group++) { /* 32 planes: 16 in each lane */
      __m256i rows[16];
      const block *from = planes + 32 * group * stride + j;
      for (size_t i = 0; i < 16; i++)
        rows[i] = _mm256_set_m128i(_mm_load_si128((const __m128i *)(from + (16 + i) * stride)),
                                   _mm_load_si128((const __m128i *)(from + i * stride)));
      transpose_bytes(rows);
      for (size_t c = 0; c < 16; c++)
        for (size_t bit = 8; bit-- > 0; rows[c] = _mm256_add_epi8(rows[c], rows[c])) {
          const uint32_t word = (uint32_t)_mm256_movemask_epi8(rows[c]);
          memcpy((uint8_t *)&out[128 * j + 8 * c + bit] + 4 * group, &word, sizeof word);
        }
    }
}

const struct softspoken_kernels softspoken_kernels_avx2 = {
    .cipher_new = no_cipher,
    .cipher_free = no_cipher_free,
    .schedule = softspoken_schedule_avx2,
    .tree = tree_avx2,
    .stream = stream_avx2,
    .hash = hash_avx2,
    .transpose = softspoken_transpose_avx2,
};
