/* Ceilings of the portable tier, and those of memory. A loop's values are chained through registers and hidden from the
 * compiler by empty assembly, so that no step can be left out. */
#include "bench/ceilings.h"

#include "bench/ceilings_loops.h"
#include "rand/aes_kernels.h"

#ifdef __SSE2__ /* part of every x86-64: what the compiler has for the portable tier */
#include <emmintrin.h>
#endif

static const struct {
  const char *name, *unit;
} kinds[CEILING_COUNT] = {
    [CEILING_NONE] = {"", ""},
    [CEILING_MULTIPLY_WIDE] = {"multiply 32x32->64", "product"},
    [CEILING_MULTIPLY_LOW] = {"multiply 32x32->32", "product"},
    [CEILING_DOT] = {"dot 16x16", "product"},
    [CEILING_MADD] = {"multiply-add", "product"},
    [CEILING_FLOAT] = {"float multiply-add", "product"},
    [CEILING_AES] = {"AES", "block"},
    [CEILING_CARRYLESS] = {"carry-less 64x64", "product"},
    [CEILING_LOGIC] = {"logic", "word"},
    [CEILING_L1] = {"L1", "byte"},
    [CEILING_L2] = {"L2", "byte"},
    [CEILING_L3] = {"L3", "byte"},
    [CEILING_DRAM] = {"DRAM", "byte"},
    [CEILING_GATHER_1M] = {"gather 1 MiB", "block"},
    [CEILING_GATHER_4M] = {"gather 4 MiB", "block"},
};

const char *ceiling_name(enum ceiling c) {
  return kinds[c].name;
}
const char *ceiling_unit(enum ceiling c) {
  return kinds[c].unit;
}

typedef uint64_t words __attribute__((vector_size(16)));
typedef float floats __attribute__((vector_size(16)));

#ifdef __SSE2__
static words widen(words a, words w) {
  return (words)_mm_mul_epu32((__m128i)a, (__m128i)w);
}
#else
static words widen(words a, words w) {
  return (a & 0xffffffff) * (w & 0xffffffff);
}
#endif
static words exclusive(words a, words w) {
  return a ^ w;
}
typedef uint32_t halves __attribute__((vector_size(16)));
static words low_product(words a, words w) {
  return (words)((halves)a * (halves)w);
}
static floats float_product(floats a, floats w) {
  return a * w + a;
}

CEILING_LOOP(loop_wide, words, 10, (words){3}, widen(a[c], w))
CEILING_LOOP(loop_low, words, 10, (words){3}, low_product(a[c], w))
CEILING_LOOP(loop_logic, words, 10, (words){3}, exclusive(a[c], w))
CEILING_LOOP(loop_float, floats, 10, (floats){1}, float_product(a[c], w))

/* The portable AES is OpenSSL's, which is its own ceiling: a long run in the first-level cache. */
static void loop_aes(uint64_t steps) {
  enum { BLOCKS = 256 };
  static const uint8_t bytes[AES_KEY_LEN] = {1};
  struct aes_key key;
  block work[BLOCKS] = {{0, 0}};
  if (aes_kernels_of(CPU_TIER_C)->open(&key, bytes) != FUSION_OK) return;
  for (uint64_t i = 0; i < steps; i++) aes_kernels_of(CPU_TIER_C)->encrypt(&key, work, work, BLOCKS);
  aes_kernels_of(CPU_TIER_C)->close(&key);
}

const struct ceiling_loop ceiling_loops_c[CEILING_L1] = {
    [CEILING_MULTIPLY_WIDE] = {.units = 20, .run = loop_wide}, [CEILING_MULTIPLY_LOW] = {.units = 40, .run = loop_low},
    [CEILING_FLOAT] = {.units = 40, .run = loop_float},        [CEILING_AES] = {.units = 256, .run = loop_aes},
    [CEILING_LOGIC] = {.units = 20, .run = loop_logic},
};

const struct ceiling_loop *ceiling_loops(enum cpu_tier tier) {
#ifdef FUSION_X86_TIERS
  if (tier == CPU_TIER_AVX512) return ceiling_loops_avx512;
  if (tier == CPU_TIER_AVX2 || tier == CPU_TIER_VAES) return ceiling_loops_avx2;
#endif
#ifdef FUSION_ARM_TIERS
  if (tier == CPU_TIER_NEON) return ceiling_loops_neon;
#endif
  (void)tier;
  return ceiling_loops_c;
}

CEILING_STREAM(ceiling_stream_c, words)

void ceiling_stream(enum cpu_tier tier, void *data, size_t len, size_t passes) {
#ifdef FUSION_X86_TIERS
  if (tier == CPU_TIER_AVX512) {
    ceiling_stream_avx512(data, len, passes);
    return;
  }
  if (tier == CPU_TIER_AVX2 || tier == CPU_TIER_VAES) {
    ceiling_stream_avx2(data, len, passes);
    return;
  }
#endif
  (void)tier;
  ceiling_stream_c(data, len, passes);
}

uint64_t ceiling_gather(const void *blocks, unsigned log_blocks, uint64_t steps) {
  const uint8_t *const at = blocks;
  const uint64_t mask = low_mask(log_blocks) << 4;
  uint64_t state[4] = {1, 2, 3, 4};
  words sum[4] = {{0}};
  for (uint64_t i = 0; i < steps; i++) {
    for (int k = 0; k < 4; k++) {
      const uint64_t s = state[k] = state[k] * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
      const words *x = (const words *)(const void *)(at + (s >> 8 & mask));
      const words *y = (const words *)(const void *)(at + (s >> 26 & mask));
      const words *z = (const words *)(const void *)(at + (s >> 42 & mask));
      sum[k] ^= *x ^ *y ^ *z;
    }
  }
  const words all = sum[0] ^ sum[1] ^ sum[2] ^ sum[3];
  return all[0] ^ all[1];
}
