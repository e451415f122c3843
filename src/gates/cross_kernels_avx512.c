#include "gates/cross_loops.h"

const struct cross_kernels cross_kernels_avx512 = CROSS_KERNELS;
