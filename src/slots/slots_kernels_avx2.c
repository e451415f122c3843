#include "slots/slots_kernels_loops.h"

const struct slots_kernels slots_kernels_avx2 = SLOTS_KERNELS;
