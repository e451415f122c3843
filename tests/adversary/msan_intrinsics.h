/* Included before every file in a build with -Dmsan=true: vector instructions that MemorySanitizer does not follow, or
 * follows bit by bit where bits mix, carry marks by hand: a result is secret, all of it, when any bit of an operand is.
 *
 * Measured with clang 14 (msan_test.c measures every instruction that the kernels use): it reports every marked operand
 * of vpternlog, gf2p8affine, compress, aeskeygenassist and roundpd, and takes their results for public; for aesenc,
 * pclmulqdq, permutations by a register, madd52, dpwssd, minimum, less-than, and for sums and products, it takes bit i
 * of the result to depend on bits i of the operands alone, so that the high half of a product of small secrets would
 * pass for public. Loads, stores, logic, shifts, tests for equality, blends, unpacks and fixed shuffles it follows
 * soundly: these are left alone. */
#ifndef FUSION_TESTS_MSAN_INTRINSICS_H
#define FUSION_TESTS_MSAN_INTRINSICS_H

#include <immintrin.h>
#include <sanitizer/msan_interface.h>
#include <stdbool.h>
#include <stddef.h>

/* Whether a variable has a mark; the mark is taken off, so that the instruction is not reported. */
#define MSAN_TAKE(v)                                              \
  ({                                                              \
    const int marked_ = __msan_test_shadow(&(v), sizeof(v)) >= 0; \
    if (marked_) __msan_unpoison(&(v), sizeof(v));                \
    marked_;                                                      \
  })
#define MSAN_GIVE(v, marked) ((marked) ? __msan_poison(&(v), sizeof(v)) : __msan_unpoison(&(v), sizeof(v)))

#define MSAN_1(type, expression, x) \
  ({                                \
    type a_ = (x);                  \
    const int m_ = MSAN_TAKE(a_);   \
    type r_ = (type)(expression);   \
    MSAN_GIVE(r_, m_);              \
    r_;                             \
  })
#define MSAN_2(type, expression, x, y)            \
  ({                                              \
    type a_ = (x), b_ = (y);                      \
    const int m_ = MSAN_TAKE(a_) | MSAN_TAKE(b_); \
    type r_ = (type)(expression);                 \
    MSAN_GIVE(r_, m_);                            \
    r_;                                           \
  })
#define MSAN_3(type, expression, x, y, z)                         \
  ({                                                              \
    type a_ = (x), b_ = (y), c_ = (z);                            \
    const int m_ = MSAN_TAKE(a_) | MSAN_TAKE(b_) | MSAN_TAKE(c_); \
    type r_ = (type)(expression);                                 \
    MSAN_GIVE(r_, m_);                                            \
    r_;                                                           \
  })

/* ---- with an immediate operand: the compiler's own names, as the headers' are macros ---- */

#undef _mm_aeskeygenassist_si128
#define _mm_aeskeygenassist_si128(x, imm) MSAN_1(__m128i, __builtin_ia32_aeskeygenassist128((__v2di)a_, (char)(imm)), x)
#undef _mm_clmulepi64_si128
#define _mm_clmulepi64_si128(x, y, imm) \
  MSAN_2(__m128i, __builtin_ia32_pclmulqdq128((__v2di)a_, (__v2di)b_, (char)(imm)), x, y)

#ifdef __AVX__
#undef _mm256_round_pd
#define _mm256_round_pd(x, how) MSAN_1(__m256d, __builtin_ia32_roundpd256((__v4df)a_, (int)(how)), x)
#endif

#ifdef __AVX512F__
#undef _mm512_clmulepi64_epi128
#define _mm512_clmulepi64_epi128(x, y, imm) \
  MSAN_2(__m512i, __builtin_ia32_pclmulqdq512((__v8di)a_, (__v8di)b_, (char)(imm)), x, y)
#undef _mm512_gf2p8affine_epi64_epi8
#define _mm512_gf2p8affine_epi64_epi8(x, y, imm) \
  MSAN_2(__m512i, __builtin_ia32_vgf2p8affineqb_v64qi((__v64qi)a_, (__v64qi)b_, (char)(imm)), x, y)
#undef _mm512_ternarylogic_epi64
#define _mm512_ternarylogic_epi64(x, y, z, imm)                                                                      \
  MSAN_3(__m512i, __builtin_ia32_pternlogq512_mask((__v8di)a_, (__v8di)b_, (__v8di)c_, (int)(imm), (__mmask8)-1), x, \
         y, z)
#undef _mm512_ternarylogic_epi32
#define _mm512_ternarylogic_epi32(x, y, z, imm)                                                                       \
  MSAN_3(__m512i, __builtin_ia32_pternlogd512_mask((__v16si)a_, (__v16si)b_, (__v16si)c_, (int)(imm), (__mmask16)-1), \
         x, y, z)
#undef _mm_ternarylogic_epi64
#define _mm_ternarylogic_epi64(x, y, z, imm)                                                                         \
  MSAN_3(__m128i, __builtin_ia32_pternlogq128_mask((__v2di)a_, (__v2di)b_, (__v2di)c_, (int)(imm), (__mmask8)-1), x, \
         y, z)

/* ---- functions of the headers (and one comparison): a macro of the same name is not expanded inside itself ---- */

#undef _mm512_cmplt_epu32_mask
#define _mm512_cmplt_epu32_mask(x, y)                                                        \
  ({                                                                                         \
    __m512i a_ = (x), b_ = (y);                                                              \
    const int m_ = MSAN_TAKE(a_) | MSAN_TAKE(b_);                                            \
    __mmask16 r_ = __builtin_ia32_ucmpd512_mask((__v16si)a_, (__v16si)b_, 1, (__mmask16)-1); \
    MSAN_GIVE(r_, m_);                                                                       \
    r_;                                                                                      \
  })
#define _mm512_maskz_compress_epi32(mask, x)          \
  ({                                                  \
    __mmask16 k_ = (mask);                            \
    __m512i a_ = (x);                                 \
    const int m_ = MSAN_TAKE(k_) | MSAN_TAKE(a_);     \
    __m512i r_ = _mm512_maskz_compress_epi32(k_, a_); \
    MSAN_GIVE(r_, m_);                                \
    r_;                                               \
  })
#define _mm512_aesenc_epi128(x, y) MSAN_2(__m512i, _mm512_aesenc_epi128(a_, b_), x, y)
#define _mm512_aesenclast_epi128(x, y) MSAN_2(__m512i, _mm512_aesenclast_epi128(a_, b_), x, y)
#define _mm512_shuffle_epi8(x, y) MSAN_2(__m512i, _mm512_shuffle_epi8(a_, b_), x, y)
#define _mm512_permutexvar_epi32(x, y) MSAN_2(__m512i, _mm512_permutexvar_epi32(a_, b_), x, y)
#define _mm512_permutexvar_epi8(x, y) MSAN_2(__m512i, _mm512_permutexvar_epi8(a_, b_), x, y)
#define _mm512_permutex2var_epi32(x, y, z) MSAN_3(__m512i, _mm512_permutex2var_epi32(a_, b_, c_), x, y, z)
#define _mm512_permutex2var_epi64(x, y, z) MSAN_3(__m512i, _mm512_permutex2var_epi64(a_, b_, c_), x, y, z)
#define _mm512_madd52hi_epu64(x, y, z) MSAN_3(__m512i, _mm512_madd52hi_epu64(a_, b_, c_), x, y, z)
#define _mm512_madd52lo_epu64(x, y, z) MSAN_3(__m512i, _mm512_madd52lo_epu64(a_, b_, c_), x, y, z)
#define _mm512_dpwssd_epi32(x, y, z) MSAN_3(__m512i, _mm512_dpwssd_epi32(a_, b_, c_), x, y, z)
#define _mm512_add_epi32(x, y) MSAN_2(__m512i, _mm512_add_epi32(a_, b_), x, y)
#define _mm512_add_epi64(x, y) MSAN_2(__m512i, _mm512_add_epi64(a_, b_), x, y)
#define _mm512_sub_epi32(x, y) MSAN_2(__m512i, _mm512_sub_epi32(a_, b_), x, y)
#define _mm512_mul_epu32(x, y) MSAN_2(__m512i, _mm512_mul_epu32(a_, b_), x, y)
#define _mm512_mullo_epi32(x, y) MSAN_2(__m512i, _mm512_mullo_epi32(a_, b_), x, y)
#define _mm512_mullo_epi64(x, y) MSAN_2(__m512i, _mm512_mullo_epi64(a_, b_), x, y)
#define _mm512_min_epu32(x, y) MSAN_2(__m512i, _mm512_min_epu32(a_, b_), x, y)
#endif

#endif
