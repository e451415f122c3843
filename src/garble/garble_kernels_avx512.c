/* The AVX2 kernels serve here too: garbling waits for the link, at 20 bytes of table a hash. */
#include "garble/garble_kernels.h"

const struct garble_kernels garble_kernels_avx512 = {.and_garble = and_garble_avx2,
                                                     .and_evaluate = and_evaluate_avx2,
                                                     .half_garble = half_garble_avx2,
                                                     .half_evaluate = half_evaluate_avx2};
