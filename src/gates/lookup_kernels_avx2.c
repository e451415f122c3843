#include "gates/lookup_loops.h"

const struct lookup_kernels lookup_kernels_avx2 = LOOKUP_KERNELS;
