#include "slots/slots_kernels_loops.h"

const struct slots_kernels slots_kernels_avx512 = SLOTS_KERNELS;
