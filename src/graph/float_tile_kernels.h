/** The innermost loop of the float executor: one tile of a matrix product, for the CPU tier at hand. */
#ifndef FUSION_GRAPH_FLOAT_TILE_KERNELS_H
#define FUSION_GRAPH_FLOAT_TILE_KERNELS_H

#include "base/kernel_tables.h"

enum { FLOAT_TILE_MAX = 512 }; /* rows * columns of the largest tile */

struct float_tile_kernels {
  /** c[row][column] = sum over k of a[k][row] * b[k][column]; c has `columns` columns. Summed in the order of k, and
   * products and sums are rounded apart, so that every tier gives the same: a network compiles to the same bytes
   * everywhere. */
  void (*multiply)(float *c, const float *a, const float *b, size_t depth);
  size_t rows, columns; /* of a tile: as many as keep all sums in registers, with the columns few enough that the small
                           maps late in a network still fill a tile */
};

KERNEL_TABLES(float_tile);

#endif
