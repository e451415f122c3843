/** mixcheck: tampering that changes the answers of some samples only. A server that tampers with a position changes the
 * answer there with probability rho, the part of all samples, queries and public ones alike, that its tampering is
 * sensitive to. rho = 1 is the game of bound.h. docs/protocols/mix-and-check.md has the theorem and its proof. */
#ifndef FUSION_MIXCHECK_SENSITIVE_H
#define FUSION_MIXCHECK_SENSITIVE_H

#include "mixcheck/bound.h"

/** What the server wants. */
enum sensitive_event {
  SENSITIVE_GIVEN, /**< a wrong answer to one query, which is sensitive, is accepted */
  SENSITIVE_ANY,   /**< a wrong answer to any query is accepted */
};

/** The server tampers with s positions. With x marking a tampered position, every sample of m copies brings the factor
 *
 *      a_m = (1 - rho) (1 + x)^m + rho      nothing is wrong: not sensitive, or no copy touched
 *      v_m = rho x^m                        all copies are wrong, and so agree
 *
 *  and the chance is, with P_e = sum over k <= e of C(T,k) v_K^k a_K^(T-k) for the public samples of K copies,
 *
 *      given:  [x^s]  x^B (a_B + v_B)^(R-1) P_e  /  C(N,s)
 *      any:    [x^s]  ((a_B + v_B)^R - a_B^R) P_e  /  C(N,s).
 *
 *  The coefficient is Cauchy's integral over the circle through the saddle point, by a sum over its points: all terms
 *  of the polynomials are positive, so nothing cancels there. The value at the saddle point alone is an upper bound
 *  (Chernoff), which tells where the largest s may be. Error below 2^-30 of the value. */

/** log2 of the chance with s positions, 1 <= s <= N. 0 < rho <= 1. */
long double sensitive_log2_at(const struct mix_choice *c, double rho, enum sensitive_event event, uint64_t s);

/** log2 of the best chance, and the s that reaches it. */
long double sensitive_log2(const struct mix_choice *c, double rho, enum sensitive_event event, uint64_t *worst);

#endif
