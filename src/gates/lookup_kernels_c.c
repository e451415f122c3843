#include "gates/lookup_loops.h"

const struct lookup_kernels lookup_kernels_c = LOOKUP_KERNELS;
