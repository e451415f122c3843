/** Integer matrix products of the plaintext executor, per CPU tier.
 *
 *  A tile is GEMM_COLUMNS columns wide. The narrow product takes 16-bit inputs in pairs along the inner dimension (one
 *  multiply-add instruction forms w0*x0 + w1*x1) and accumulates modulo 2^32; the wide one takes any 64-bit inputs and
 *  accumulates modulo 2^64. Both are exact in their modulus, so every tier gives the same result. */
#ifndef FUSION_EXECUTE_GEMM_KERNELS_H
#define FUSION_EXECUTE_GEMM_KERNELS_H

#include "base/kernel_tables.h"

enum { GEMM_COLUMNS = 48, GEMM_ROWS = 8 };

/** out[row][column] = sum over pairs of w[row][pair] . x[pair][column], for the first `columns` columns at least; what
 *  the others hold is undefined. w: [rows][pairs][2], x: [pairs][GEMM_COLUMNS][2], out: [rows][GEMM_COLUMNS]; x and out
 *  aligned to 64 bytes. */
typedef void (*gemm_narrow_fn)(uint32_t *out, const int16_t *w, const int16_t *x, size_t rows, size_t pairs,
                               size_t columns);

/** out[row][column] = sum over k of w[row][k] * x[k][column]; w has a row stride of `stride` elements. */
typedef void (*gemm_wide_fn)(uint64_t *out, const int16_t *w, size_t stride, const int64_t *x, size_t rows,
                             size_t depth);

/** A filter of one output channel: weight k meets x[at[k]] for the first output. */
struct gemm_taps {
  const int16_t *weights, *x;
  const size_t *at;
  size_t count;
};

/** A row of outputs: out[i] = sum over k of weights[k] * x[at[k] + i * stride] modulo 2^32, i < width. */
typedef void (*gemm_taps_fn)(uint32_t *out, const struct gemm_taps *taps, size_t width, size_t stride);

struct gemm_kernels {
  gemm_narrow_fn narrow;
  gemm_taps_fn taps;
  gemm_wide_fn wide;
};

KERNEL_TABLES_NEON(gemm);

#endif
