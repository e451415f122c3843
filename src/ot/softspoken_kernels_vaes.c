/* SoftSpoken's loops by VAES and VPCLMULQDQ on 256-bit registers. */
#include "ot/softspoken_counter_avx2.h"
#include "ot/softspoken_no_cipher.h"

/* ---- AES-128 in counter mode: two blocks a register ---- */

enum { TILE = COUNTER_REGISTERS, LANES = SOFTSPOKEN_GRANULE / 2 };

static inline __m256i round_key_vaes(const struct leaf_key *key, size_t r) {
  return _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)&key->round[r]));
}

/* The stream from `counter` on; a constant number of registers. */
static inline void leaf_vaes(__m256i *v, const struct leaf_key *key, uint64_t nonce, uint64_t counter,
                             size_t registers) {
  const long long n = (long long)nonce, c = (long long)counter;
  const __m256i two = _mm256_set_epi64x(0, 2, 0, 2), first = round_key_vaes(key, 0), last = round_key_vaes(key, 10);
  __m256i counters = _mm256_set_epi64x(n, c + 1, n, c);
  for (size_t i = 0; i < registers; i++) {
    v[i] = _mm256_xor_si256(counters, first);
    counters = _mm256_add_epi64(counters, two);
  }
  for (size_t r = 1; r < 10; r++) {
    const __m256i k = round_key_vaes(key, r);
    for (size_t i = 0; i < registers; i++) v[i] = _mm256_aesenc_epi128(v[i], k);
  }
  for (size_t i = 0; i < registers; i++) v[i] = _mm256_aesenclast_epi128(v[i], last);
}

static void stream_vaes(block *out, const struct leaf_key *key, uint64_t nonce, uint64_t counter, size_t blocks,
                        void *cipher) {
  (void)cipher;
  for (size_t j = 0; j < blocks; j += SOFTSPOKEN_GRANULE) {
    __m256i v[LANES];
    leaf_vaes(v, key, nonce, counter + j, LANES);
    for (size_t i = 0; i < LANES; i++) _mm256_storeu_si256((__m256i *)(void *)&out[j + 2 * i], v[i]);
  }
}

static void tree_vaes(const struct tree_job *job) {
  struct counter_avx2 sums;
  for (size_t at = 0; at < job->blocks; at += 2 * TILE) {
    counter_clear_avx2(&sums, job->depth, TILE);
    for (size_t x = job->punctured; x < (size_t)1 << job->depth; x++) {
      __m256i v[TILE];
      leaf_vaes(v, &job->leaves[x], job->nonce, job->counter + at, TILE);
      counter_add_avx2(&sums, x, job->depth, v, TILE);
    }
    counter_store_avx2(&sums, job, at, TILE);
  }
  mem_wipe(&sums, sizeof sums);
}

/* ---- the universal hash ---- */

static inline __m128i lanes_vaes(__m256i x) {
  return _mm_xor_si128(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}

/* (hi, lo), 256 bits, modulo X^128 + X^7 + X^2 + X + 1: twice times 0x87, upper word first. */
static inline __m128i reduce_vaes(__m128i lo, __m128i hi) {
  const __m128i poly = _mm_set_epi64x(0, 0x87);
  const __m128i upper = _mm_clmulepi64_si128(hi, poly, 0x01);
  lo = _mm_xor_si128(lo, _mm_slli_si128(upper, 8));
  hi = _mm_xor_si128(hi, _mm_srli_si128(upper, 8));
  return _mm_xor_si128(lo, _mm_clmulepi64_si128(hi, poly, 0x00));
}

static inline __m256i pair_vaes(const block *b, size_t count) {
  const __m128i *at = (const __m128i *)(const void *)b;
  return count > 1 ? _mm256_loadu_si256((const __m256i *)(const void *)b)
                   : _mm256_set_m128i(_mm_setzero_si128(), _mm_loadu_si128(at));
}

static void hash_vaes(block out[128], const block *planes, size_t stride, const block *chi, size_t blocks) {
  for (size_t p = 0; p < 128; p++) {
    __m256i lo = _mm256_setzero_si256(), mid = lo, hi = lo;
    for (size_t j = 0; j < blocks; j += 2) {
      const __m256i a = pair_vaes(&planes[p * stride + j], blocks - j), b = pair_vaes(&chi[j], blocks - j);
      lo = _mm256_xor_si256(lo, _mm256_clmulepi64_epi128(a, b, 0x00));
      hi = _mm256_xor_si256(hi, _mm256_clmulepi64_epi128(a, b, 0x11));
      mid = _mm256_xor_si256(
          mid, _mm256_xor_si256(_mm256_clmulepi64_epi128(a, b, 0x01), _mm256_clmulepi64_epi128(a, b, 0x10)));
    }
    const __m128i middle = lanes_vaes(mid);
    _mm_store_si128((__m128i *)&out[p], reduce_vaes(_mm_xor_si128(lanes_vaes(lo), _mm_slli_si128(middle, 8)),
                                                    _mm_xor_si128(lanes_vaes(hi), _mm_srli_si128(middle, 8))));
  }
}

const struct softspoken_kernels softspoken_kernels_vaes = {
    .cipher_new = no_cipher,
    .cipher_free = no_cipher_free,
    .schedule = softspoken_schedule_avx2,
    .tree = tree_vaes,
    .stream = stream_vaes,
    .hash = hash_vaes,
    .transpose = softspoken_transpose_avx2,
};
