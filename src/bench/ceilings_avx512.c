/* Ceilings of the AVX-512 tier. */
#include "bench/ceilings.h"

#include <immintrin.h>

#include "bench/ceilings_loops.h"

CEILING_LOOP(loop_wide, __m512i, 16, _mm512_set1_epi64(3), _mm512_mul_epu32(a[c], w))
CEILING_LOOP(loop_low, __m512i, 16, _mm512_set1_epi64(3), _mm512_mullo_epi32(a[c], w))
CEILING_LOOP(loop_dot, __m512i, 16, _mm512_set1_epi64(3), _mm512_dpwssd_epi32(a[c], w, w))
CEILING_LOOP(loop_madd, __m512i, 16, _mm512_set1_epi64(3), _mm512_madd52lo_epu64(a[c], w, w))
CEILING_LOOP(loop_float, __m512, 16, _mm512_set1_ps(1), _mm512_fmadd_ps(a[c], w, w))
CEILING_LOOP(loop_aes, __m512i, 16, _mm512_set1_epi64(3), _mm512_aesenc_epi128(a[c], w))
CEILING_LOOP(loop_carryless, __m512i, 16, _mm512_set1_epi64(3), _mm512_clmulepi64_epi128(a[c], w, 0))
CEILING_LOOP(loop_logic, __m512i, 16, _mm512_set1_epi64(3), _mm512_ternarylogic_epi64(a[c], w, w, 0x78))

const struct ceiling_loop ceiling_loops_avx512[CEILING_L1] = {
    [CEILING_MULTIPLY_WIDE] = {.units = 128, .run = loop_wide},
    [CEILING_MULTIPLY_LOW] = {.units = 256, .run = loop_low},
    [CEILING_DOT] = {.units = 512, .run = loop_dot},
    [CEILING_MADD] = {.units = 128, .run = loop_madd},
    [CEILING_FLOAT] = {.units = 256, .run = loop_float},
    [CEILING_AES] = {.units = 6.4, .run = loop_aes},
    [CEILING_CARRYLESS] = {.units = 64, .run = loop_carryless},
    [CEILING_LOGIC] = {.units = 128, .run = loop_logic},
};

CEILING_STREAM(ceiling_stream_avx512, __m512i)
