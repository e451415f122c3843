#include "lattice/params.h"

const uint32_t rlwe_primes[RLWE_LIMBS_MAX] = {134176769, 134111233, 134012929};
const uint32_t rlwe_roots[RLWE_LIMBS_MAX] = {51707741, 133095912, 89697661};
const unsigned rlwe_ring_log_n[RLWE_RINGS] = {11, 12};
const size_t rlwe_ring_limbs[RLWE_RINGS] = {2, 3};

static const struct rlwe_params sets[RLWE_SETS] = {
    {.log_n = 11, .n = 2048, .limbs = 2, .q_bits = 54, .low_bits = 10, .ring = 0},
    {.log_n = 12, .n = 4096, .limbs = 2, .q_bits = 54, .low_bits = 11, .ring = 1},
    {.log_n = 12, .n = 4096, .limbs = 3, .q_bits = 81, .low_bits = 11, .ring = 1},
};

const struct rlwe_params *rlwe_params_find(unsigned id) {
  return id >= 1 && id <= RLWE_SETS ? &sets[id - 1] : NULL;
}
