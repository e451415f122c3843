/** What the tiers of SoftSpoken's kernels share: the summing of a tile of leaf streams into its planes, plain loops
 * that each tier compiles with its own vectors; and the cipher of the x86 tiers, which need none. */
#ifndef FUSION_OT_SOFTSPOKEN_FOLD_H
#define FUSION_OT_SOFTSPOKEN_FOLD_H

#include "ot/softspoken_kernels.h"

static inline void *no_cipher(bool *ok) {
  *ok = true;
  return NULL;
}

static inline void no_cipher_free(void *cipher) {
  (void)cipher;
}

/* a ^= b, plane ^= b (or plane = b the first time), `blocks` long. */
static inline void fold_row(block *restrict a, block *restrict plane, const block *restrict b, size_t blocks,
                            bool first) {
  if (first) {
    for (size_t j = 0; j < blocks; j++) {
      a[j] = block_xor(a[j], b[j]);
      plane[j] = b[j];
    }
    return;
  }
  for (size_t j = 0; j < blocks; j++) {
    a[j] = block_xor(a[j], b[j]);
    plane[j] = block_xor(plane[j], b[j]);
  }
}

/** rows[x * SOFTSPOKEN_TILE ..]: the tile of leaf x, overwritten; the results go to job->total and job->planes from
 *  block `at` on. The rows are halved bit by bit: what stood in the upper half is the plane of that bit. */
static inline void fold_tile(const struct tree_job *job, block *rows, size_t at, size_t blocks) {
  for (unsigned b = job->depth; b-- > 0;) {
    const size_t half = (size_t)1 << b;
    for (size_t x = 0; x < half; x++)
      fold_row(rows + x * SOFTSPOKEN_TILE, job->planes + b * job->stride + at, rows + (half + x) * SOFTSPOKEN_TILE,
               blocks, x == 0);
  }
  memcpy(job->total + at, rows, blocks * sizeof *rows);
}

#endif
