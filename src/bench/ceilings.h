/** What one core can do at most, by small loops: the lines against which kernels are measured. */
#ifndef FUSION_BENCH_CEILINGS_H
#define FUSION_BENCH_CEILINGS_H

#include "base/cpu_tier.h"

enum ceiling {
  CEILING_NONE,
  /* Arithmetic: loops of one instruction of the tier on registers. These share the processor's multipliers, so what a
   * kernel asks of several of them adds up. */
  CEILING_MULTIPLY_WIDE, /* 32 x 32 -> 64 bits */
  CEILING_MULTIPLY_LOW,  /* 32 x 32 -> 32 bits */
  CEILING_DOT,           /* 16 x 16 bits, multiplied and added in pairs */
  CEILING_MADD,          /* 52-bit (AVX-512) or 32-bit multiply-add to 64 bits */
  CEILING_FLOAT,         /* 32-bit float multiply-add */
  CEILING_AES,           /* AES-128 blocks under a fixed key */
  CEILING_CARRYLESS,     /* 64 x 64 -> 128 bits over F_2 */
  CEILING_LOGIC,         /* 64-bit words of and, or, xor */
  /* Memory, each by itself: bytes read and written, two to one; beyond the first level what is written is also read
   * (its line is fetched), and counts so. */
  CEILING_L1,        /* bytes read or written, from 16 KiB */
  CEILING_L2,        /* in 256 KiB */
  CEILING_L3,        /* in 8 MiB */
  CEILING_DRAM,      /* in 128 MiB */
  CEILING_GATHER_1M, /* 16-byte blocks from random places of 1 MiB */
  CEILING_GATHER_4M, /* of 4 MiB */
  CEILING_COUNT,
};

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
