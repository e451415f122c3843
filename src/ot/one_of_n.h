/** Random oblivious transfer of short strings, derived from correlations without a message.
 *
 *  Ideal functionality: for each of `count` instances the sender gets 2^width uniform strings, the receiver a uniform
 *  choice X in [0, 2^width) and the string of that number. A gate corrects choice and strings to what it wants.
 *
 *  One instance packs `width` correlations M_i = K_i ^ x_i * Delta into one block: K = sum alpha^i K_i and
 *  M = sum alpha^i M_i = K ^ X * Delta with X = sum x_i alpha^i, blocks read as pairs over GF(2^64) = GF(2)[alpha].
 *  The sender's string z is TCCR(K ^ z * Delta), the receiver's is TCCR(M). For z != X the two inputs differ by
 *  (z ^ X) * Delta; multiplying by a non-zero field element permutes the blocks, so that difference is as unknown to
 *  the receiver as Delta itself, and differs for every z: the setting of TCCR with 2^width - 1 public injective
 *  linear maps of the secret in place of the identity alone.
 *
 *  Tweaks: an instance hashes under (domain, index), one index for all its 2^width inputs, which are distinct. The
 *  domain names session and direction. A call consumes correlations first .. first + width*n - 1 and uses indices
 *  first .. first + n - 1 for its n instances: a subset of its own range, since width >= 1, and ranges never overlap.
 *
 *  A cheating peer: the receiver's choice bits are uniform and independent of all that a malicious sender sees, and a
 *  malicious receiver does not know the strings of z != X, as far as the correlations are malicious-secure
 *  (silent.h).
 *
 *  Bits are bit-sliced: a plane is one bit of each instance, instance e in bit e % 64 of word e / 64, in
 *  plane_words(count) words, bits past the count zero. Secret: all outputs. Time depends on counts alone.
 *  Cost: no message but refills of the correlations; 2^width (sender) or 1 (receiver) hashes an instance.
 *  Source: random 1-of-n OT after Kolesnikov and Kumaresan 2013, the packing ours; hash: rand/tccr.h. */
#ifndef FUSION_OT_ONE_OF_N_H
#define FUSION_OT_ONE_OF_N_H

#include "ot/cot.h"

enum { OT_WIDTH_MAX = 5 };

/** Words and bytes of one plane. */
static inline size_t plane_words(size_t count) {
  return div_up(count, 64);
}
static inline size_t plane_len(size_t count) {
  return div_up(count, 8);
}

/** Strings of `string_bits` (1 or 2) bits. pads: [2^width][string_bits][plane_words(count)]. */
fusion_status ot_bits_send(struct cot *c, unsigned width, unsigned string_bits, size_t count,
                           uint64_t *pads) FUSION_MUST_CHECK;
/** choices: [width][plane_words(count)], bit i of X in plane i; pads: [string_bits][plane_words(count)]. */
fusion_status ot_bits_receive(struct cot *c, unsigned width, unsigned string_bits, size_t count, uint64_t *choices,
                              uint64_t *pads) FUSION_MUST_CHECK;

/** 1-of-2 strings of 64 bits: pad0[e] is the string of choice 0, pad1[e] of choice 1. */
fusion_status ot_words_send(struct cot *c, size_t count, uint64_t *pad0, uint64_t *pad1) FUSION_MUST_CHECK;
/** choices: one plane. */
fusion_status ot_words_receive(struct cot *c, size_t count, uint64_t *choices, uint64_t *pads) FUSION_MUST_CHECK;

/** 1-of-2^width strings of 64 bits. pads: [2^width][stride], stride >= count. */
fusion_status ot_entries_send(struct cot *c, unsigned width, size_t count, uint64_t *pads,
                              size_t stride) FUSION_MUST_CHECK;
/** choices: [width][plane_words(count)]; pads: [count]. */
fusion_status ot_entries_receive(struct cot *c, unsigned width, size_t count, uint64_t *choices,
                                 uint64_t *pads) FUSION_MUST_CHECK;

/** Correlations taken by ot_bits_* and ot_entries_* of `count` instances (ot_words_*: width 1). */
void ot_random_cost(struct cost *cost, enum role sender, unsigned width, size_t count);

#endif
