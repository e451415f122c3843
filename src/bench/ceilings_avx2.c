/* Ceilings of the AVX2 tier. */
#include "bench/ceilings.h"

#include <immintrin.h>

#include "bench/ceilings_loops.h"

CEILING_LOOP(loop_wide, __m256i, 12, _mm256_set1_epi64x(3), _mm256_mul_epu32(a[c], w))
CEILING_LOOP(loop_low, __m256i, 12, _mm256_set1_epi64x(3), _mm256_mullo_epi32(a[c], w))
CEILING_LOOP(loop_dot, __m256i, 12, _mm256_set1_epi64x(3), _mm256_add_epi32(a[c], _mm256_madd_epi16(a[c], w)))
CEILING_LOOP(loop_madd, __m256i, 12, _mm256_set1_epi64x(3), _mm256_add_epi64(a[c], _mm256_mul_epi32(a[c], w)))
CEILING_LOOP(loop_float, __m256, 12, _mm256_set1_ps(1), _mm256_add_ps(a[c], _mm256_mul_ps(a[c], w)))
CEILING_LOOP(loop_aes, __m128i, 12, _mm_set1_epi64x(3), _mm_aesenc_si128(a[c], w))
CEILING_LOOP(loop_carryless, __m128i, 12, _mm_set1_epi64x(3), _mm_clmulepi64_si128(a[c], w, 0))
CEILING_LOOP(loop_logic, __m256i, 12, _mm256_set1_epi64x(3), _mm256_xor_si256(a[c], w))

const struct ceiling_loop ceiling_loops_avx2[CEILING_L1] = {
    [CEILING_MULTIPLY_WIDE] = {.units = 48, .run = loop_wide},
    [CEILING_MULTIPLY_LOW] = {.units = 96, .run = loop_low},
    [CEILING_DOT] = {.units = 192, .run = loop_dot},
    [CEILING_MADD] = {.units = 48, .run = loop_madd},
    [CEILING_FLOAT] = {.units = 96, .run = loop_float},
    [CEILING_AES] = {.units = 1.2, .run = loop_aes},
    [CEILING_CARRYLESS] = {.units = 12, .run = loop_carryless},
    [CEILING_LOGIC] = {.units = 48, .run = loop_logic},
};

CEILING_STREAM(ceiling_stream_avx2, __m256i)
