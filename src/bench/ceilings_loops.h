/** The shapes of the ceilings' loops, compiled by each tier's file with its own instructions. */
#ifndef FUSION_BENCH_CEILINGS_LOOPS_H
#define FUSION_BENCH_CEILINGS_LOOPS_H

#include "base/base.h"

/* Register operand of the tier: SSE or AVX registers on x86, vector registers on ARM, any memory elsewhere. */
#if defined(__AVX512F__)
#define CEILING_REGISTER "+v"
#elif defined(__x86_64__)
#define CEILING_REGISTER "+x"
#elif defined(__aarch64__)
#define CEILING_REGISTER "+w"
#else
#define CEILING_REGISTER "+m"
#endif
/* A chain that is not unrolled would live in memory. */
#if defined(__clang__)
#define CEILING_UNROLL _Pragma("clang loop unroll(full)")
#else
#define CEILING_UNROLL _Pragma("GCC unroll 16")
#endif
#define CEILING_HIDE(v) __asm__ volatile("" : CEILING_REGISTER(v))

/* `chains` independent chains of `step`, an expression in a[c] and w. */
#define CEILING_LOOP(name, type, chains, start, step)                     \
  static void name(uint64_t steps) {                                      \
    type a[chains], w = start;                                            \
    CEILING_HIDE(w);                                                      \
    CEILING_UNROLL for (int c = 0; c < (chains); c++) a[c] = w;           \
    for (uint64_t i = 0; i < steps; i++) {                                \
      CEILING_UNROLL for (int c = 0; c < (chains); c++) {                 \
        a[c] = step;                                                      \
        CEILING_HIDE(a[c]);                                               \
      }                                                                   \
    }                                                                     \
    CEILING_UNROLL for (int c = 0; c < (chains); c++) CEILING_HIDE(a[c]); \
  }

/* c = a ^ b over the thirds of `len` bytes, `passes` times: two bytes read for one written. */
#define CEILING_STREAM(name, type)                                                    \
  void name(void *data, size_t len, size_t passes) {                                  \
    const size_t third = len / (3 * 8 * sizeof(type)) * 8;                            \
    type *a = data, *b = a + third, *c = b + third;                                   \
    for (size_t p = 0; p < passes; p++) {                                             \
      for (size_t i = 0; i < third; i += 8) {                                         \
        CEILING_UNROLL for (size_t k = 0; k < 8; k++) c[i + k] = a[i + k] ^ b[i + k]; \
      }                                                                               \
      __asm__ volatile("" : : "r"(data) : "memory");                                  \
    }                                                                                 \
  }

#endif
