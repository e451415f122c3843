#include "lattice/params.h"

const uint32_t rlwe_primes[RLWE_LIMBS_MAX] = {67084289, 67043329, 66994177};
const uint32_t rlwe_roots[RLWE_LIMBS_MAX] = {14362246, 54277638, 41178354};
const unsigned rlwe_ring_log_n[RLWE_RINGS] = {11, 12};
const size_t rlwe_ring_limbs[RLWE_RINGS] = {2, 3};

static const struct rlwe_params sets[RLWE_SETS] = {
    {.log_n = 11, .n = 2048, .limbs = 2, .q_bits = 52, .low_bits = 10, .ring = 0, .security_bits = 128},
    {.log_n = 12, .n = 4096, .limbs = 2, .q_bits = 52, .low_bits = 11, .ring = 1, .security_bits = 176},
    {.log_n = 12, .n = 4096, .limbs = 3, .q_bits = 78, .low_bits = 11, .ring = 1, .security_bits = 176},
};

const struct rlwe_params *rlwe_params_find(unsigned id) {
  return id >= 1 && id <= RLWE_SETS ? &sets[id - 1] : NULL;
}
