#include "gates/product_loops.h"

const struct product_kernels product_kernels_c = PRODUCT_KERNELS;
