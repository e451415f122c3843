#include "gates/product_loops.h"

const struct product_kernels product_kernels_avx512 = PRODUCT_KERNELS;
