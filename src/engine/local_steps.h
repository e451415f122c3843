/** Steps that each party runs on its own shares, without a message: sums, rearrangements, openings of public constants.
 *  Shares are [samples][shape_size] of uint64_t; bits above the ring are ignored on input and zero on output. */
#ifndef FUSION_ENGINE_LOCAL_STEPS_H
#define FUSION_ENGINE_LOCAL_STEPS_H

#include "program/program.h"

/** out = (a << shift_a) + (b << shift_b) modulo 2^bits, `count` elements. */
void local_add(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t count, unsigned shift_a, unsigned shift_b,
               unsigned bits);

/** Sums over a sliding window, [samples][channels][h][w]; positions outside the image count as 0. */
void local_sumpool(uint64_t *out, const uint64_t *x, struct shape in, struct shape shape, const struct window *w,
                   size_t samples, unsigned bits);

/** One source a tensor element, see struct gather_source. inputs[k] has in_sizes[k] elements a sample. */
void local_gather(uint64_t *out, const uint64_t *const *inputs, const size_t *in_sizes,
                  const struct gather_source *sources, size_t out_size, size_t samples, unsigned bits);

/** bias + x, or bias - x, one bias a channel; bias NULL: zeros (the client's part). */
void local_offset(uint64_t *out, const uint64_t *x, const int64_t *bias, struct shape shape, bool negate,
                  size_t samples, unsigned bits);

#endif
