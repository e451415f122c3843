/** Products of a private bit of one party with a private ring value of the other: one flight, one correlation each.
 *
 *  Ideal functionality: the receiver has bits x, the sender values v; both get additive shares of x * v modulo
 *  2^bits.
 *
 *  From a random OT (sender r0, r1; receiver its choice c and r_c): the receiver says d = c ^ x, the sender, at the
 *  same time, D = v - (r1 - r0). Then r_c + c*D = r0 + c*v, and d tells both whether c is x or its complement: the
 *  receiver's share is (-1)^d (r_c + c*D), the sender's -r0 (d = 0) or v + r0 (d = 1).
 *
 *  Why a cheating peer learns nothing: d is masked by the uniform c; D by r1 - r0, of which the receiver knows one
 *  string. A lie can only make the product wrong. Leaks: nothing. Error probability: 0.
 *  Source: Gilboa 1999 and Cheetah's COT multiplexer, brought into one flight by Beaver's derandomisation. */
#ifndef FUSION_GATES_CROSS_H
#define FUSION_GATES_CROSS_H

#include "gates/cross_kernels.h"
#include "gates/planes.h"

/** Elements handled at a time: r1 and D are needed for so many only. A multiple of 64, so that messages part at bytes.
 */
enum { CROSS_BLOCK = 1 << 14 };

/** One chunk's products at one party. Arrays are borrowed from the gate. Secret. */
struct cross {
  enum role sender;
  unsigned bits;     /* 1..64 */
  uint64_t *pad;     /* [count] sender: r0; receiver: r_c */
  uint64_t *bit;     /* [plane] receiver: c; sender: d */
  uint64_t *scratch; /* [cross_scratch_words(count)], may be shared by products */
};

/** What the sender multiplies: row[e]; where there is a plane, (-1)^bit row[e], and its bit where there is no row. */
struct cross_values {
  const uint64_t *row, *plane;
};

static inline size_t cross_scratch_words(size_t count) {
  return 2 * div_up(size_min(count, CROSS_BLOCK), 8) * 8;
}

/** Correlations that the receiver takes in cross_draw_bits() and the sender, at the same point, in
 * cross_put_values(). */
static inline void cross_draw_cost(struct cost *cost, enum role sender, size_t count) {
  ot_random_cost(cost, sender, 1, count);
}

/** Bytes that `from` sends. */
static inline size_t cross_len(enum role sender, unsigned bits, enum role from, size_t count) {
  return sender == from ? bits_len(count, bits) : plane_len(count);
}

/** Receiver: draws the random OTs. */
fusion_status cross_draw_bits(struct cross *x, struct party *p, size_t count) FUSION_MUST_CHECK;
/** Receiver: d. own: plane of x. spare: one plane. */
void cross_put_bits(const struct cross *x, const uint64_t *own, uint64_t *spare, size_t count, struct flight *out);
/** Sender: draws the random OTs and writes D. */
fusion_status cross_put_values(struct cross *x, struct party *p, struct cross_values values, size_t count,
                               struct flight *out) FUSION_MUST_CHECK;
/** share[e] += factor * (this party's share of the product) modulo 2^64: right modulo 2^(bits + factor.shift). `own`:
 * x. */
void cross_get_receiver(struct cross *x, const uint64_t *own, struct cross_factor factor, uint64_t *share, size_t count,
                        struct flight *in);
void cross_get_sender(struct cross *x, struct cross_values values, struct cross_factor factor, uint64_t *share,
                      size_t count, struct flight *in);
/** The sender's end where its values were (-1)^keep share: share[e] = keep * share[e] + (its share of the product). */
void cross_get_kept(struct cross *x, const uint64_t *keep, uint64_t *share, size_t count, struct flight *in);

#endif
