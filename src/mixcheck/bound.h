/** mixcheck: the client's side of mix-and-check (DESIGN 3): plan, mix, verify, verdict. Pure: no cryptography, no
 * operating system; randomness comes from the caller. This file: the probability that a cheating server is not noticed.
 */
#ifndef FUSION_MIXCHECK_BOUND_H
#define FUSION_MIXCHECK_BOUND_H

#include "base/base.h"

/** A choice: R queries, B >= 2 copies, T public samples, of which e < T may be wrong, each K >= 1 times in the batch.
 *  N = R*B + T*K < 2^63. */
struct mix_choice {
  uint64_t queries, copies, public_samples, errors, public_copies;
};

/** N: samples in all. */
uint64_t mix_choice_samples(const struct mix_choice *c);

/** The server corrupts s positions. It passes exactly when they are all copies of i >= 1 queries and all copies of
 * k <= e public samples, so its best chance is
 *
 *      P = max over s of  sum over {i >= 1, 0 <= k <= e, i*B + k*K = s} of  t(i,k),   t(i,k) = C(R,i) C(T,k) / C(N,s).
 *
 *  How this is decided without visiting every s:
 *  - For a given s each i has at most one k. So with g(i) = max over k of t(i,k): max g <= P <= sum g.
 *  - C(N,s) >= C(RB,iB) C(TK,kK), and C(nm,jm) >= C(n,j)^m (Vandermonde, twice), so
 *    t(i,k) <= C(R,i)^-(B-1) C(T,k)^-(K-1): all i but a few at both ends are far below any security asked for.
 *  - K = 1: t(i,k) rises in k up to k = i*(T+1)/R and falls after it (the ratio of neighbours is linear in k), so g(i)
 *    costs one evaluation. K >= 2: t(i,k) may fall, rise and fall again, but all k except a few at both ends are
 *    negligible as well, so g(i) looks at these.
 *  - What floating point (64-bit mantissa, error below bound_margin()) cannot tell apart, integers do.
 */

/** log2 of C(n,k). */
long double bound_log2_choose(uint64_t n, uint64_t k);

/** log2 of t(i,k). */
long double bound_term(const struct mix_choice *c, uint64_t i, uint64_t k);

/** The largest single term; never above log2 P. */
struct bound_peak {
  uint64_t i, k;
  long double log2;
};
struct bound_peak bound_largest_term(const struct mix_choice *c);

/** True when P <= 2^-bits. Exact. */
bool bound_holds(const struct mix_choice *c, uint32_t bits);

/** log2 P, and the s that reaches it. */
long double bound_log2(const struct mix_choice *c, uint64_t *worst);

/** Exactly: does a server that corrupts `s` positions succeed with probability at most 2^-bits? */
bool bound_holds_at(const struct mix_choice *c, uint64_t s, uint32_t bits);

/** -log2 of the paper's bound R / C(N,B). */
long double bound_paper_bits(const struct mix_choice *c);

/** Floating-point results nearer than this to a limit, in bits, are decided by integers: of a term's nine logarithms of
 *  factorials, each below N log2 N, each is right to a few units in the last of 64 places. */
long double bound_margin(const struct mix_choice *c);
/** The largest of these margins, of N up to about 2^42. */
#define BOUND_MARGIN 0x1p-8L

#endif
