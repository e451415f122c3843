#include <immintrin.h>

#include "ot/one_of_n_kernels.h"

/* Low halves of eight blocks. */
static inline __m512i low_halves(const block *in) {
  const __m512i take = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
  return _mm512_permutex2var_epi64(_mm512_loadu_si512(in), take, _mm512_loadu_si512(in + 4));
}

static void bit_planes_avx512(uint64_t *plane0, uint64_t *plane1, const block *in, size_t words) {
  const __m512i first = _mm512_set1_epi64(1), second = _mm512_set1_epi64(2);
  for (size_t w = 0; w < words; w++, in += 64) {
    uint64_t low = 0, high = 0;
    for (unsigned i = 0; i < 64; i += 8) {
      const __m512i halves = low_halves(in + i);
      low |= (uint64_t)_mm512_test_epi64_mask(halves, first) << i;
      high |= (uint64_t)_mm512_test_epi64_mask(halves, second) << i;
    }
    plane0[w] = low;
    if (plane1) plane1[w] = high;
  }
}

static void pack_avx512(block *out, const block *in, size_t count, unsigned width) {
  const __m512i reduce = _mm512_set1_epi64(0x1b);
  for (size_t k = 0; k < count; k += 4) {
    __m512i sum = _mm512_loadu_si512(in + (width - 1) * count + k);
    for (unsigned i = width - 1; i-- > 0;) {
      const __m512i over = _mm512_and_si512(_mm512_srai_epi64(sum, 63), reduce);
      const __m512i next = _mm512_loadu_si512(in + i * count + k);
      sum = _mm512_ternarylogic_epi64(_mm512_add_epi64(sum, sum), over, next, 0x96);
    }
    _mm512_storeu_si512(out + k, sum);
  }
}

static void low_words_avx512(uint64_t *out, const block *in, size_t count) {
  size_t k = 0;
  for (; k + 8 <= count; k += 8) _mm512_storeu_si512(out + k, low_halves(in + k));
  for (; k < count; k++) out[k] = in[k].lo;
}

const struct one_of_n_kernels one_of_n_kernels_avx512 = {
    .bit_planes = bit_planes_avx512, .pack = pack_avx512, .low_words = low_words_avx512};
