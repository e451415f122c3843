#include <immintrin.h>

#include "ot/one_of_n_kernels.h"

/* Low halves of four blocks. */
static inline __m256i low_halves(const block *in) {
  const __m256i a = _mm256_loadu_si256((const __m256i *)in), b = _mm256_loadu_si256((const __m256i *)(in + 2));
  return _mm256_permute4x64_epi64(_mm256_unpacklo_epi64(a, b), 0xd8);
}

/* The sign bits of four words. */
static inline uint64_t signs(__m256i words) {
  return (uint64_t)(unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(words));
}

static void bit_planes_avx2(uint64_t *plane0, uint64_t *plane1, const block *in, size_t words) {
  for (size_t w = 0; w < words; w++, in += 64) {
    uint64_t low = 0, high = 0;
    for (unsigned i = 0; i < 64; i += 4) {
      const __m256i halves = low_halves(in + i);
      low |= signs(_mm256_slli_epi64(halves, 63)) << i;
      high |= signs(_mm256_slli_epi64(halves, 62)) << i;
    }
    plane0[w] = low;
    if (plane1) plane1[w] = high;
  }
}

static void pack_avx2(block *out, const block *in, size_t count, unsigned width) {
  const __m256i reduce = _mm256_set1_epi64x(0x1b), zero = _mm256_setzero_si256();
  for (size_t k = 0; k < count; k += 2) {
    __m256i sum = _mm256_loadu_si256((const __m256i *)(in + (width - 1) * count + k));
    for (unsigned i = width - 1; i-- > 0;) {
      const __m256i over = _mm256_and_si256(_mm256_cmpgt_epi64(zero, sum), reduce);
      const __m256i next = _mm256_loadu_si256((const __m256i *)(in + i * count + k));
      sum = _mm256_xor_si256(_mm256_xor_si256(_mm256_add_epi64(sum, sum), over), next);
    }
    _mm256_storeu_si256((__m256i *)(out + k), sum);
  }
}

static void low_words_avx2(uint64_t *out, const block *in, size_t count) {
  size_t k = 0;
  for (; k + 4 <= count; k += 4) _mm256_storeu_si256((__m256i *)(out + k), low_halves(in + k));
  for (; k < count; k++) out[k] = in[k].lo;
}

const struct one_of_n_kernels one_of_n_kernels_avx2 = {
    .bit_planes = bit_planes_avx2, .pack = pack_avx2, .low_words = low_words_avx2};
