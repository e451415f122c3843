#include <immintrin.h>

#include "ot/softspoken_no_cipher.h"

/* ---- AES-128 in counter mode: four blocks a vector ---- */

enum { VECTORS = SOFTSPOKEN_TILE / 4, COUNTER_DEPTH = 8 }; /* of a tile: enough to hide the latency of a round */

static inline __m512i first_counters(uint64_t nonce, uint64_t counter) {
  const long long n = (long long)nonce, c = (long long)counter;
  return _mm512_set_epi64(n, c + 3, n, c + 2, n, c + 1, n, c);
}

static inline __m512i round_key(const struct leaf_key *key, size_t r) {
  return _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)&key->round[r]));
}

/* One vector; for the end of a stream. */
static inline __m512i stream_one(const struct leaf_key *key, __m512i counters) {
  __m512i x = _mm512_xor_si512(counters, round_key(key, 0));
  for (size_t r = 1; r < 10; r++) x = _mm512_aesenc_epi128(x, round_key(key, r));
  return _mm512_aesenclast_epi128(x, round_key(key, 10));
}

static inline void stream_tile(block *out, const struct leaf_key *key, __m512i counters) {
  const __m512i four = _mm512_set_epi64(0, 4, 0, 4, 0, 4, 0, 4);
  __m512i x[VECTORS], k = round_key(key, 0);
  for (size_t i = 0; i < VECTORS; i++) {
    x[i] = _mm512_xor_si512(counters, k);
    counters = _mm512_add_epi64(counters, four);
  }
  for (size_t r = 1; r < 10; r++) {
    k = round_key(key, r);
    for (size_t i = 0; i < VECTORS; i++) x[i] = _mm512_aesenc_epi128(x[i], k);
  }
  k = round_key(key, 10);
  for (size_t i = 0; i < VECTORS; i++) _mm512_storeu_si512(out + 4 * i, _mm512_aesenclast_epi128(x[i], k));
}

static void stream_avx512(block *out, const struct leaf_key *key, uint64_t nonce, uint64_t counter, size_t blocks,
                          void *cipher) {
  size_t j = 0;
  (void)cipher;
  for (; blocks - j >= SOFTSPOKEN_TILE; j += SOFTSPOKEN_TILE)
    stream_tile(out + j, key, first_counters(nonce, counter + j));
  for (; j < blocks; j += 4) _mm512_storeu_si512(out + j, stream_one(key, first_counters(nonce, counter + j)));
}

/* As softspoken_counter_avx2.h has it, but two leaves at a time, so that neither they nor the lowest bit's plane touch
 * memory. */
struct counter {
  __m512i waiting[COUNTER_DEPTH + 1][VECTORS]; /* [depth]: the sum of all; [0] is not used */
  __m512i plane[COUNTER_DEPTH][VECTORS];
};

/* The streams of leaves 2 * pair and 2 * pair + 1. */
static inline void stream_pair(__m512i a[], __m512i b[], const struct leaf_key *leaves, __m512i counters,
                               size_t vectors) {
  const __m512i four = _mm512_set_epi64(0, 4, 0, 4, 0, 4, 0, 4);
  __m512i ka = round_key(leaves, 0), kb = round_key(leaves + 1, 0);
  for (size_t i = 0; i < vectors; i++) {
    a[i] = _mm512_xor_si512(counters, ka);
    b[i] = _mm512_xor_si512(counters, kb);
    counters = _mm512_add_epi64(counters, four);
  }
  for (size_t r = 1; r < 10; r++) {
    ka = round_key(leaves, r);
    kb = round_key(leaves + 1, r);
    for (size_t i = 0; i < vectors; i++) a[i] = _mm512_aesenc_epi128(a[i], ka);
    for (size_t i = 0; i < vectors; i++) b[i] = _mm512_aesenc_epi128(b[i], kb);
  }
  ka = round_key(leaves, 10);
  kb = round_key(leaves + 1, 10);
  for (size_t i = 0; i < vectors; i++) a[i] = _mm512_aesenclast_epi128(a[i], ka);
  for (size_t i = 0; i < vectors; i++) b[i] = _mm512_aesenclast_epi128(b[i], kb);
}

/* 4 * vectors blocks from block `at` on; a constant number of vectors. */
static inline void tree_tile(const struct tree_job *job, struct counter *c, size_t at, size_t vectors) {
  const __m512i counters = first_counters(job->nonce, job->counter + at);
  __m512i lowest[VECTORS];
  for (size_t i = 0; i < vectors; i++) lowest[i] = _mm512_setzero_si512();
  for (unsigned bit = 1; bit < job->depth; bit++)
    for (size_t i = 0; i < vectors; i++) c->plane[bit][i] = _mm512_setzero_si512();
  for (size_t pair = 0; pair < (size_t)1 << (job->depth - 1); pair++) {
    __m512i a[VECTORS], b[VECTORS];
    stream_pair(a, b, job->leaves + 2 * pair, counters, vectors);
    if (job->punctured && !pair)
      for (size_t i = 0; i < vectors; i++) a[i] = _mm512_setzero_si512();
    for (size_t i = 0; i < vectors; i++) {
      lowest[i] = _mm512_xor_si512(lowest[i], b[i]);
      a[i] = _mm512_xor_si512(a[i], b[i]);
    }
    unsigned bit = 1;
    for (; bit < job->depth && (pair >> (bit - 1) & 1); bit++)
      for (size_t i = 0; i < vectors; i++) {
        c->plane[bit][i] = _mm512_xor_si512(c->plane[bit][i], a[i]);
        a[i] = _mm512_xor_si512(a[i], c->waiting[bit][i]);
      }
    for (size_t i = 0; i < vectors; i++) c->waiting[bit][i] = a[i];
  }
  for (size_t i = 0; i < vectors; i++) {
    _mm512_storeu_si512(job->total + at + 4 * i, c->waiting[job->depth][i]);
    _mm512_storeu_si512(job->planes + at + 4 * i, lowest[i]);
    for (unsigned bit = 1; bit < job->depth; bit++)
      _mm512_storeu_si512(job->planes + bit * job->stride + at + 4 * i, c->plane[bit][i]);
  }
}

static void tree_avx512(const struct tree_job *job) {
  struct counter c;
  size_t at = 0;
  if (!job->depth) { /* k = 1: the first tree is a leaf */
    if (job->punctured) memset(job->total, 0, job->blocks * sizeof *job->total);
    if (!job->punctured) stream_avx512(job->total, job->leaves, job->nonce, job->counter, job->blocks, NULL);
    return;
  }
  for (; job->blocks - at >= 4 * VECTORS; at += 4 * VECTORS) tree_tile(job, &c, at, VECTORS);
  for (; at < job->blocks; at += 4) tree_tile(job, &c, at, 1);
  mem_wipe(&c, sizeof c);
}

/* ---- the universal hash ---- */

static inline __m128i fold_lanes(__m512i x) {
  const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
  return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* (hi, lo), 256 bits, modulo X^128 + X^7 + X^2 + X + 1: twice times 0x87, upper word first. */
static inline __m128i reduce(__m128i lo, __m128i hi) {
  const __m128i poly = _mm_set_epi64x(0, 0x87);
  const __m128i upper = _mm_clmulepi64_si128(hi, poly, 0x01);
  lo = _mm_xor_si128(lo, _mm_slli_si128(upper, 8));
  hi = _mm_xor_si128(hi, _mm_srli_si128(upper, 8));
  return _mm_xor_si128(lo, _mm_clmulepi64_si128(hi, poly, 0x00));
}

enum { PLANES_AT_ONCE = 4 };

struct sums {
  __m512i lo[PLANES_AT_ONCE], mid[PLANES_AT_ONCE], hi[PLANES_AT_ONCE];
};

static inline void hash_add(struct sums *s, size_t i, __m512i a, __m512i b) {
  const __m512i cross = _mm512_clmulepi64_epi128(a, b, 0x01);
  s->lo[i] = _mm512_xor_si512(s->lo[i], _mm512_clmulepi64_epi128(a, b, 0x00));
  s->hi[i] = _mm512_xor_si512(s->hi[i], _mm512_clmulepi64_epi128(a, b, 0x11));
  s->mid[i] = _mm512_ternarylogic_epi64(s->mid[i], cross, _mm512_clmulepi64_epi128(a, b, 0x10), 0x96); /* xor of 3 */
}

static void hash_avx512(block out[128], const block *planes, size_t stride, const block *chi, size_t blocks) {
  const size_t whole = blocks / 4 * 4;
  const __mmask8 rest = (__mmask8)((1u << 2 * (blocks - whole)) - 1); /* words of the last vector */
  for (size_t p = 0; p < 128; p += PLANES_AT_ONCE) {
    struct sums s;
    for (size_t i = 0; i < PLANES_AT_ONCE; i++) s.lo[i] = s.mid[i] = s.hi[i] = _mm512_setzero_si512();
    for (size_t j = 0; j < whole; j += 4) {
      const __m512i b = _mm512_loadu_si512(chi + j);
      for (size_t i = 0; i < PLANES_AT_ONCE; i++) hash_add(&s, i, _mm512_loadu_si512(planes + (p + i) * stride + j), b);
    }
    if (rest) {
      const __m512i b = _mm512_maskz_loadu_epi64(rest, chi + whole);
      for (size_t i = 0; i < PLANES_AT_ONCE; i++)
        hash_add(&s, i, _mm512_maskz_loadu_epi64(rest, planes + (p + i) * stride + whole), b);
    }
    for (size_t i = 0; i < PLANES_AT_ONCE; i++) {
      const __m128i mid = fold_lanes(s.mid[i]);
      const __m128i lo = _mm_xor_si128(fold_lanes(s.lo[i]), _mm_slli_si128(mid, 8));
      const __m128i hi = _mm_xor_si128(fold_lanes(s.hi[i]), _mm_srli_si128(mid, 8));
      _mm_store_si128((__m128i *)&out[p + i], reduce(lo, hi));
    }
  }
}

/* ---- transposition ---- */

/* In each 128-bit lane. A pass turns the address bits (row, byte) by one. */
static inline void shuffle_16(__m512i rows[16]) {
  __m512i next[16];
  for (int i = 0; i < 8; i++) {
    next[2 * i] = _mm512_unpacklo_epi8(rows[i], rows[i + 8]);
    next[2 * i + 1] = _mm512_unpackhi_epi8(rows[i], rows[i + 8]);
  }
  memcpy(rows, next, sizeof next);
}

static inline void shuffle_8(__m512i rows[8]) {
  __m512i next[8];
  for (int i = 0; i < 4; i++) {
    next[2 * i] = _mm512_unpacklo_epi8(rows[i], rows[i + 4]);
    next[2 * i + 1] = _mm512_unpackhi_epi8(rows[i], rows[i + 4]);
  }
  memcpy(rows, next, sizeof next);
}

/* 16 planes of 4 blocks. squares[c]: in the lane of a block, two 8x8 bit squares (planes 0-7, planes 8-15) of the
 * correlations 8c to 8c + 7, one byte a correlation. The affine instruction takes the rows of a square last first. */
static inline void squares_of(__m512i squares[16], const block *planes, size_t stride) {
  const __m512i identity = _mm512_set1_epi64((long long)0x8040201008040201);
  __m512i rows[16];
  for (size_t i = 0; i < 16; i++) rows[i] = _mm512_loadu_si512(planes + (i ^ 7) * stride);
  for (int pass = 0; pass < 4; pass++) shuffle_16(rows);
  for (size_t c = 0; c < 16; c++) squares[c] = _mm512_gf2p8affine_epi64_epi8(identity, rows[c], 0);
}

/* 8 correlations of each of 4 blocks: bytes (plane group, half, correlation) become (correlation, plane group, half).
 */
static inline void correlations_of(block *out, __m512i rows[8], size_t blocks) {
  for (int pass = 0; pass < 4; pass++) shuffle_8(rows);
  for (size_t i = 0; i < 8; i++) {
    block four[4];
    _mm512_storeu_si512(four, rows[i]);
    for (size_t j = 0; j < blocks; j++) out[128 * j + i] = four[j];
  }
}

static void transpose_avx512(block *out, const block *planes, size_t stride, size_t blocks) {
  __m512i squares[8][16], rows[8];
  for (size_t j = 0; j < blocks; j += 4) { /* planes are whole vectors long: the last may have blocks not wanted */
    for (size_t group = 0; group < 8; group++) squares_of(squares[group], planes + 16 * group * stride + j, stride);
    for (size_t c = 0; c < 16; c++) {
      for (size_t group = 0; group < 8; group++) rows[group] = squares[group][c];
      correlations_of(out + 128 * j + 8 * c, rows, size_min(4, blocks - j));
    }
  }
  mem_wipe(squares, sizeof squares);
  mem_wipe(rows, sizeof rows);
}

const struct softspoken_kernels softspoken_kernels_avx512 = {
    .cipher_new = no_cipher,
    .cipher_free = no_cipher_free,
    .schedule = softspoken_schedule_avx2,
    .tree = tree_avx512,
    .stream = stream_avx512,
    .hash = hash_avx512,
    .transpose = transpose_avx512,
};
