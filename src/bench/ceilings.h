/** What one core can do at most, by small loops: the lines against which kernels are measured. */
#ifndef FUSION_BENCH_CEILINGS_H
#define FUSION_BENCH_CEILINGS_H

#include "base/cpu_tier.h"
#include "kernels/ceiling.h"

struct ceiling_loop {
  const char *name, *unit;
  double units;                /* of one step */
  void (*run)(uint64_t steps); /* NULL: the tier has no such instruction */
};

/** The arithmetic loops of a tier, up to and including CEILING_LOGIC. */
const struct ceiling_loop *ceiling_loops(enum cpu_tier tier);
extern const struct ceiling_loop ceiling_loops_c[CEILING_L1];
#ifdef FUSION_X86_TIERS
extern const struct ceiling_loop ceiling_loops_avx2[CEILING_L1], ceiling_loops_avx512[CEILING_L1];
#endif
#ifdef FUSION_ARM_TIERS
extern const struct ceiling_loop ceiling_loops_neon[CEILING_L1];
#endif

/** c = a ^ b over the thirds of `len` bytes, `passes` times. */
void ceiling_stream(enum cpu_tier tier, void *data, size_t len, size_t passes);
void ceiling_stream_c(void *data, size_t len, size_t passes);
#ifdef FUSION_X86_TIERS
void ceiling_stream_avx2(void *data, size_t len, size_t passes);
void ceiling_stream_avx512(void *data, size_t len, size_t passes);
#endif
/** Sums 12 * `steps` blocks from random places of 2^log_blocks, log_blocks <= 18. */
uint64_t ceiling_gather(const void *blocks, unsigned log_blocks, uint64_t steps);

const char *ceiling_name(enum ceiling c);
const char *ceiling_unit(enum ceiling c);

#endif
