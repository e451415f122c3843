/** The innermost loop of the float executor: one tile of a matrix product, for the CPU tier at hand. */
#ifndef FUSION_GRAPH_FLOAT_TILE_H
#define FUSION_GRAPH_FLOAT_TILE_H

#include "base/base.h"

enum { FLOAT_TILE_MAX = 512 }; /* rows * columns of the largest tile */

/** c[row][column] = sum over k of a[k][row] * b[k][column], summed in the order of k; c has `columns` columns. */
typedef void (*float_tile_fn)(float *c, const float *a, const float *b, size_t depth);

struct float_tile {
  float_tile_fn multiply;
  size_t rows, columns;
};

/** The kernel of the tier in force. */
struct float_tile float_tile_best(void);

void float_tile_c(float *c, const float *a, const float *b, size_t depth);
#ifdef FUSION_X86_TIERS
void float_tile_avx2(float *c, const float *a, const float *b, size_t depth);
void float_tile_avx512(float *c, const float *a, const float *b, size_t depth);
#endif

#endif
