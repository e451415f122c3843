/** The sum of a tree's leaf streams and its planes, for kernels on 256-bit registers: leaf by leaf, as a binary counter
 *  counts. Where bit b of the leaf's number is set, the sum of the 2^b leaves up to it is that of bit b's plane, and
 * joins the sum of the 2^b before. So what is touched stays in the first-level cache, whatever the number of leaves. */
#ifndef FUSION_OT_SOFTSPOKEN_COUNTER_AVX2_H
#define FUSION_OT_SOFTSPOKEN_COUNTER_AVX2_H

#include <immintrin.h>

#include "ot/softspoken_kernels.h"

enum { COUNTER_REGISTERS = 8, COUNTER_DEPTH = 8 };

struct counter_avx2 {
  __m256i waiting[COUNTER_DEPTH + 1][COUNTER_REGISTERS]; /* [depth]: the sum of all */
  __m256i plane[COUNTER_DEPTH][COUNTER_REGISTERS];
};

/** Before the first leaf; leaf 0 is zero unless it is added. */
static inline void counter_clear_avx2(struct counter_avx2 *c, unsigned depth, size_t registers) {
  for (size_t i = 0; i < registers; i++) c->waiting[0][i] = _mm256_setzero_si256();
  for (unsigned b = 0; b < depth; b++)
    for (size_t i = 0; i < registers; i++) c->plane[b][i] = _mm256_setzero_si256();
}

/** Adds leaf x, one after the other; a constant number of registers. */
static inline void counter_add_avx2(struct counter_avx2 *c, size_t x, unsigned depth, __m256i *v, size_t registers) {
  unsigned b = 0;
  for (; b < depth && (x >> b & 1); b++)
    for (size_t i = 0; i < registers; i++) {
      c->plane[b][i] = _mm256_xor_si256(c->plane[b][i], v[i]);
      v[i] = _mm256_xor_si256(v[i], c->waiting[b][i]);
    }
  for (size_t i = 0; i < registers; i++) c->waiting[b][i] = v[i];
}

/** After the last leaf: a tile of 2 * registers blocks, at most those that the job has (an even number), from block
 * `at` on. */
static inline void counter_store_avx2(const struct counter_avx2 *c, const struct tree_job *job, size_t at,
                                      size_t registers) {
  const size_t count = size_min(registers, (job->blocks - at) / 2);
  for (size_t i = 0; i < count; i++)
    _mm256_storeu_si256((__m256i *)(void *)&job->total[at + 2 * i], c->waiting[job->depth][i]);
  for (unsigned b = 0; b < job->depth; b++)
    for (size_t i = 0; i < count; i++)
      _mm256_storeu_si256((__m256i *)(void *)&job->planes[b * job->stride + at + 2 * i], c->plane[b][i]);
}

#endif
