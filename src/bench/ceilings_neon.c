/* Ceilings of the NEON tier. Memory is read as by the portable tier, whose registers are the same. */
#include <arm_neon.h>

#include "bench/ceilings.h"
#include "bench/ceilings_loops.h"

static inline uint32x4_t wide(uint32x4_t a, uint32x4_t w) {
  return vreinterpretq_u32_u64(vmull_u32(vget_low_u32(a), vget_low_u32(w)));
}
static inline uint64x2_t carryless(uint64x2_t a, uint64x2_t w) {
  return vreinterpretq_u64_p128(vmull_high_p64(vreinterpretq_p64_u64(a), vreinterpretq_p64_u64(w)));
}

CEILING_LOOP(loop_wide, uint32x4_t, 12, vdupq_n_u32(3), wide(a[c], w))
CEILING_LOOP(loop_low, uint32x4_t, 12, vdupq_n_u32(3), vmulq_u32(a[c], w))
CEILING_LOOP(loop_dot, int32x4_t, 12, vdupq_n_s32(3),
             vmlal_high_s16(a[c], vreinterpretq_s16_s32(w), vreinterpretq_s16_s32(w)))
CEILING_LOOP(loop_madd, int64x2_t, 12, vdupq_n_s64(3),
             vmlal_high_s32(a[c], vreinterpretq_s32_s64(w), vreinterpretq_s32_s64(w)))
CEILING_LOOP(loop_float, float32x4_t, 12, vdupq_n_f32(1), vaddq_f32(a[c], vmulq_f32(a[c], w)))
CEILING_LOOP(loop_aes, uint8x16_t, 12, vdupq_n_u8(3), vaesmcq_u8(vaeseq_u8(a[c], w)))
CEILING_LOOP(loop_carryless, uint64x2_t, 12, vdupq_n_u64(3), carryless(a[c], w))
CEILING_LOOP(loop_logic, uint64x2_t, 12, vdupq_n_u64(3), veorq_u64(a[c], w))

const struct ceiling_loop ceiling_loops_neon[CEILING_L1] = {
    [CEILING_MULTIPLY_WIDE] = {.units = 24, .run = loop_wide},
    [CEILING_MULTIPLY_LOW] = {.units = 48, .run = loop_low},
    [CEILING_DOT] = {.units = 48, .run = loop_dot},
    [CEILING_MADD] = {.units = 24, .run = loop_madd},
    [CEILING_FLOAT] = {.units = 48, .run = loop_float},
    [CEILING_AES] = {.units = 1.2, .run = loop_aes},
    [CEILING_CARRYLESS] = {.units = 12, .run = loop_carryless},
    [CEILING_LOGIC] = {.units = 24, .run = loop_logic},
};
