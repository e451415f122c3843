/** mixcheck: an audit, which is a job without queries: T public samples, each K >= 2 times in the batch, whose copies
 * are compared bit for bit. What it hands out are the answers to all of them. docs/protocols/mix-and-check.md has the
 * proof.
 */
#ifndef FUSION_MIXCHECK_AUDIT_H
#define FUSION_MIXCHECK_AUDIT_H

#include "base/base.h"

/** A server that answers some positions with another model than the others is not noticed exactly when its positions
 * are all copies of 1 <= k < T samples: chance C(T,k) / C(TK,kK). It falls up to the middle and is symmetric, so that k
 * = 1 is the server's best: T / C(TK,K). With k = T there is one model again, which is the one that the audit is of.
 *
 *  -log2 of that chance; T >= 1, K >= 2, T*K < 2^32. Infinite for T = 1, where there is nothing in between. */
long double audit_bits(uint64_t samples, uint64_t copies);

/** True when the chance is at most 2^-bits. Exact. */
bool audit_holds(uint64_t samples, uint64_t copies, uint32_t bits);

#endif
