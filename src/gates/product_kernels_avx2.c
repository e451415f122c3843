#include "gates/product_loops.h"

const struct product_kernels product_kernels_avx2 = PRODUCT_KERNELS;
