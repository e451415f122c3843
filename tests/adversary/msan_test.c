/* Does a mark follow a secret through every AVX-512 instruction that the kernels use? For random operands with random
 * marked bits: every bit of the result that changes when marked bits change must be marked. A build with -Dmsan=true
 * only (msan_intrinsics.h). */
#include <stdio.h>

#include "base/cpu_tier.h"
#include "support/support.h"

#ifdef FUSION_MSAN

#include <immintrin.h>

enum { TRIALS = 2000, BYTES = 64 };

typedef void (*operation)(__m512i *result, const __m512i *operands);

/* The mask of a comparison, one lane each. */
#define LANES32(mask) _mm512_maskz_mov_epi32(mask, _mm512_set1_epi32(-1))
#define LANES64(mask) _mm512_maskz_mov_epi64(mask, _mm512_set1_epi64(-1))
#define LANES8(mask) _mm512_maskz_mov_epi8(mask, _mm512_set1_epi8(-1))
#define PS(x) _mm512_castsi512_ps(x)
#define NEAREST (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
/* Of the lower half. */
#define ROUND(x) \
  _mm512_zextsi256_si512(_mm256_castpd_si256(_mm256_round_pd(_mm256_castsi256_pd(_mm512_castsi512_si256(x)), NEAREST)))
#define OPERATIONS                                                           \
  OP(aesenc, _mm512_aesenc_epi128(a, b))                                     \
  OP(aesenclast, _mm512_aesenclast_epi128(a, b))                             \
  OP(clmul, _mm512_clmulepi64_epi128(a, b, 0x10))                            \
  OP(gf2p8affine, _mm512_gf2p8affine_epi64_epi8(a, b, 0))                    \
  OP(ternarylogic64, _mm512_ternarylogic_epi64(a, b, c, 0x96))               \
  OP(ternarylogic32, _mm512_ternarylogic_epi32(a, b, c, 0xca))               \
  OP(shuffle_epi8, _mm512_shuffle_epi8(a, b))                                \
  OP(permutexvar32, _mm512_permutexvar_epi32(a, b))                          \
  OP(permutex2var32, _mm512_permutex2var_epi32(a, b, c))                     \
  OP(permutex2var64, _mm512_permutex2var_epi64(a, b, c))                     \
  OP(madd52hi, _mm512_madd52hi_epu64(a, b, c))                               \
  OP(madd52lo, _mm512_madd52lo_epu64(a, b, c))                               \
  OP(dpwssd, _mm512_dpwssd_epi32(a, b, c))                                   \
  OP(add32, _mm512_add_epi32(a, b))                                          \
  OP(add64, _mm512_add_epi64(a, b))                                          \
  OP(sub32, _mm512_sub_epi32(a, b))                                          \
  OP(mul_epu32, _mm512_mul_epu32(a, b))                                      \
  OP(mullo32, _mm512_mullo_epi32(a, b))                                      \
  OP(mullo64, _mm512_mullo_epi64(a, b))                                      \
  OP(min_epu32, _mm512_min_epu32(a, b))                                      \
  OP(permutexvar8, _mm512_permutexvar_epi8(a, b))                            \
  OP(rolv64, _mm512_rolv_epi64(a, b))                                        \
  OP(sllv64, _mm512_sllv_epi64(a, b))                                        \
  OP(srlv64, _mm512_srlv_epi64(a, b))                                        \
  OP(or, _mm512_or_si512(a, b))                                              \
  OP(xor, _mm512_xor_si512(a, b))                                            \
  OP(and, _mm512_and_si512(a, b))                                            \
  OP(srli64, _mm512_srli_epi64(a, 7))                                        \
  OP(srli32, _mm512_srli_epi32(a, 7))                                        \
  OP(slli64, _mm512_slli_epi64(a, 4))                                        \
  OP(slli32, _mm512_slli_epi32(a, 4))                                        \
  OP(srai64, _mm512_srai_epi64(a, 5))                                        \
  OP(srai32, _mm512_srai_epi32(a, 5))                                        \
  OP(unpacklo8, _mm512_unpacklo_epi8(a, b))                                  \
  OP(unpackhi8, _mm512_unpackhi_epi8(a, b))                                  \
  OP(unpacklo32, _mm512_unpacklo_epi32(a, b))                                \
  OP(unpackhi32, _mm512_unpackhi_epi32(a, b))                                \
  OP(unpacklo64, _mm512_unpacklo_epi64(a, b))                                \
  OP(unpackhi64, _mm512_unpackhi_epi64(a, b))                                \
  OP(shuffle_i64x2, _mm512_shuffle_i64x2(a, b, 0x4e))                        \
  OP(shuffle_i32x4, _mm512_shuffle_i32x4(a, b, 0x4e))                        \
  OP(shuffle_epi32, _mm512_shuffle_epi32(a, 0x4e))                           \
  OP(shuffle_ps, _mm512_castps_si512(_mm512_shuffle_ps(PS(a), PS(b), 0x88))) \
  OP(cvtepi32_epi64, _mm512_cvtepi32_epi64(_mm512_castsi512_si256(a)))       \
  OP(broadcast, _mm512_broadcast_i32x4(_mm512_castsi512_si128(a)))           \
  OP(mask_blend32, _mm512_mask_blend_epi32(0x5a5a, a, b))                    \
  OP(mask_blend16, _mm512_mask_blend_epi16(0x5a5a1234, a, b))                \
  OP(mask_mov64, _mm512_mask_mov_epi64(a, 0x5a, b))                          \
  OP(maskz_mov64, _mm512_maskz_mov_epi64(0x5a, a))                           \
  OP(maskz_xor64, _mm512_maskz_xor_epi64(0x5a, a, b))                        \
  OP(cmplt_mask, LANES32(_mm512_cmplt_epu32_mask(a, b)))                     \
  OP(cmpeq_mask, LANES64(_mm512_cmpeq_epi64_mask(a, b)))                     \
  OP(cmpneq_mask, LANES64(_mm512_cmpneq_epi64_mask(a, b)))                   \
  OP(test_mask, LANES64(_mm512_test_epi64_mask(a, b)))                       \
  OP(test_mask8, LANES8(_mm512_test_epi8_mask(a, b)))                        \
  OP(round_pd, ROUND(a))                                                     \
  OP(compress, _mm512_maskz_compress_epi32(0x5a5a, a))

#define OP(name, expression)                                                                   \
  static __attribute__((noinline)) void run_##name(__m512i *result, const __m512i *operands) { \
    const __m512i a = operands[0], b = operands[1], c = operands[2];                           \
    (void)a, (void)b, (void)c;                                                                 \
    *result = (expression);                                                                    \
  }
OPERATIONS
#undef OP

static const struct {
  const char *name;
  operation run;
} operations[] = {
#define OP(name, expression) {#name, run_##name},
    OPERATIONS
#undef OP
};

/* Small lanes, random bits, and bytes that are all alike: operands as kernels have them. */
static void draw(uint64_t *out, size_t words, int kind, uint64_t *random) {
  for (size_t i = 0; i < words; i++) {
    const uint64_t r = test_random(random);
    out[i] = kind == 0 ? r & 0x07ffffff07ffffff : kind == 1 || r % 4 == 0 ? r : (uint64_t)0 - (r >> 40 & 1);
  }
}

/* Bits of the result that changed without being marked. */
static unsigned missed(operation run, int kind, uint64_t *random, unsigned *changed) {
  enum { WORDS = 3 * BYTES / 8 };
  _Alignas(64) uint64_t in[WORDS], other[WORDS], marks[WORDS] = {0}, first[BYTES / 8], second[BYTES / 8];
  uint8_t shadow[BYTES];
  unsigned count = 0;
  draw(in, WORDS, kind, random);
  for (uint64_t k = 0; k <= test_random(random) % 6; k++)
    marks[test_random(random) % WORDS] |= kind ? test_random(random) : UINT64_C(1) << test_random(random) % 64;
  for (size_t i = 0; i < WORDS; i++) other[i] = in[i] ^ (marks[i] & test_random(random));
  run((__m512i *)(void *)second, (const __m512i *)(const void *)other);
  for (size_t i = 0; i < WORDS; i++) __msan_partial_poison(&in[i], &marks[i], sizeof in[i]);
  run((__m512i *)(void *)first, (const __m512i *)(const void *)in);
  for (size_t i = 0; i < BYTES; i++) {
    /* The shadow has a bit for each bit: a marked one is found by unmarking all others. */
    shadow[i] = 0;
    for (unsigned b = 0; b < 8; b++) {
      uint8_t one = (uint8_t)(((uint8_t *)first)[i] & (1u << b));
      if (__msan_test_shadow(&one, 1) >= 0) shadow[i] |= (uint8_t)(1u << b);
    }
  }
  __msan_unpoison(first, sizeof first);
  for (size_t i = 0; i < BYTES; i++) {
    const uint8_t differs = ((uint8_t *)first)[i] ^ ((uint8_t *)second)[i];
    *changed += (unsigned)__builtin_popcount(differs);
    count += (unsigned)__builtin_popcount(differs & (uint8_t)~shadow[i]);
  }
  return count;
}

static void marks__follow_a_secret_through_every_instruction(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (size_t k = 0; k < sizeof operations / sizeof operations[0]; k++) {
    unsigned changed = 0, lost = 0;
    for (int i = 0; i < TRIALS; i++) lost += missed(operations[k].run, i % 3, &random, &changed);
    if (lost || changed < 100) fail_msg("%s: %u of %u changed bits were not marked", operations[k].name, lost, changed);
  }
}

#endif

int main(void) {
#ifdef FUSION_MSAN
  const struct CMUnitTest tests[] = {cmocka_unit_test(marks__follow_a_secret_through_every_instruction)};
  if (cpu_tier_best() < CPU_TIER_AVX512) return 77;
  return cmocka_run_group_tests(tests, NULL, NULL);
#else
  return 77;
#endif
}
