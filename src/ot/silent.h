/** One iteration of the silent extension (Ferret): base correlations in, many more out.
 *
 *  Functionality: random correlated OT of silent_set_outputs(set) correlations, in the form of ot/cot.h: the low bit
 *  of K is 0, that of M the choice bit. A cheating sender may guess a set of noise positions per block; a wrong guess
 *  ends the session. A cheating receiver may test guesses of Delta.
 *  Why a cheating server learns nothing: as the sender it sees the masked bits of the check and whether it passed; a
 *  passed check with a wrong correction tells it what it had guessed before, at the risk of being found out. As the
 *  receiver it sees corrections that are masked by keys it lacks.
 *
 *  One flight of corrections (one block a tree level), the receiver's challenge, the sender's digest. The challenge is
 *  drawn after the last correction has arrived; the receiver compares the digest before it releases anything.
 *  Error probability of the check: below 2^-115 for these sets.
 *
 *  Source: Yang, Weng, Lan, Zhang, Wang, "Ferret", CCS 2020 (ePrint 2020/924), with regular noise and the check against
 *  cheating; trees after Guo, Yang, Wang, Zhang et al., "Half-Tree", EUROCRYPT 2023 (ePrint 2022/1431). Differences are
 *  listed in docs/protocols/silent-cot.md. */
#ifndef FUSION_OT_SILENT_H
#define FUSION_OT_SILENT_H

#include "base/block.h"
#include "net/channel.h"
#include "net/cost.h"
#include "ot/silent_set.h"
#include "rand/prg.h"

enum { SILENT_CHALLENGE_LEN = 32, SILENT_DIGEST_LEN = 32 };

/** What an iteration needs beside its correlations. */
struct silent_iteration {
  const struct silent_set *set;
  struct channel *channel; /* borrowed */
  struct prg *prg;         /* borrowed: this party's secret randomness */
  uint64_t session;        /* public, the same on both sides */
  enum role sender;        /* who is the OT sender */
  uint64_t number;         /* of the iteration in its direction, from 0 */
};

/** What one iteration yields, kept as seeds: the correlations are grown tree by tree when they are asked for, into the
 *  nearest cache of who uses them, rather than stored. Secret; belongs to one party. */
struct silent_harvest;

/** Runs the iteration. base: silent_set_base(set) correlations from mem_alloc(); taken over, also on failure. *out is
 *  owned, and set only when the check has passed.
 *  Errors: those of the channel; FUSION_E_CRYPTO (the channel is then poisoned) when the check fails; memory. Cost:
 *  silent_iterate_cost(). */
fusion_status silent_iterate_sender(struct silent_harvest **out, const struct silent_iteration *it, block delta,
                                    block *base) FUSION_MUST_CHECK;
fusion_status silent_iterate_receiver(struct silent_harvest **out, const struct silent_iteration *it,
                                      block *base) FUSION_MUST_CHECK;
void silent_iterate_cost(struct cost *cost, const struct silent_set *set, enum role sender);

/** The correlations of trees [first, first + count) of the iteration, 2^depth a tree. Asking twice gives the same. */
void silent_grow(const struct silent_harvest *h, block *out, size_t first, size_t count);
void silent_free(struct silent_harvest *h);

#endif
