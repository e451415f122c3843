#include "gates/cross_loops.h"

const struct cross_kernels cross_kernels_c = CROSS_KERNELS;
