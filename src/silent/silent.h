/** Iterations of the silent extension (Ferret): base correlations in, many more out, several iterations at a time.
 *
 *  Functionality, of each: random correlated OT of silent_set_outputs(set) correlations, in the form of ot/cot.h: the
 * low bit of K is 0, that of M the choice bit. A cheating sender may guess a set of noise positions per block; a wrong
 * guess ends the session. A cheating receiver may test guesses of Delta. Why a cheating server learns nothing: as the
 * sender it sees the masked bits of the check and whether it passed; a passed check with a wrong correction tells it
 * what it had guessed before, at the risk of being found out. As the receiver it sees corrections that are masked by
 * keys it lacks.
 *
 *  One flight of corrections (one block a tree level, none for the first of chained iterations), the receiver's
 * challenge, the sender's digest. A batch of iterations, in either or both directions, shares these three flights: a
 * challenge is drawn after the last correction of the whole batch has arrived, and until the receiver has compared all
 * digests nothing that depends on a mac leaves it but for the choice bits in them. The iterations of a batch have
 * independent base correlations, so they are so many runs of the protocol side by side. Those that share a matrix are
 * LPN with several secrets: by a hybrid argument as hard as with one but for a factor of their number, which the sets'
 * estimates contain. Error probability of a check: below 2^-115 for these sets.
 *
 *  Source: Yang, Weng, Lan, Zhang, Wang, "Ferret", CCS 2020 (ePrint 2020/924), with regular noise and the check against
 *  cheating; trees after Guo, Yang, Wang, Zhang et al., "Half-Tree", EUROCRYPT 2023 (ePrint 2022/1431). Differences are
 *  listed in docs/protocols/silent-cot.md. */
#ifndef FUSION_SILENT_SILENT_H
#define FUSION_SILENT_SILENT_H

#include "base/block.h"
#include "base/byte_stream.h"
#include "base/heap.h"
#include "net/channel.h"
#include "net/cost.h"
#include "rand/prg.h"
#include "silent/silent_set.h"

enum { SILENT_CHALLENGE_LEN = 32, SILENT_DIGEST_LEN = 32 };

/** What the iterations yield that share a matrix, kept as seeds: the correlations are grown tree by tree when they are
 * asked for, into the nearest cache of who uses them, rather than stored. Secret; belongs to one party. */
struct silent_harvest;

/** One party's end, the same for all iterations of a batch. */
struct silent_party {
  enum role role;
  struct channel *channel; /* borrowed */
  struct heap *heap;       /* borrowed, also by harvests; NULL: none */
  struct prg *prg;         /* borrowed: this party's secret randomness */
  uint64_t session;        /* public, the same on both sides */
  block delta;             /* this party's, as OT sender */
};

struct silent_iteration {
  const struct silent_set *set;
  enum role sender; /* who is the OT sender */
  uint64_t number;  /* of the iteration in its direction, from 0 */
  block *base;      /* silent_set_base(set) correlations, used up */
  /* They come from iterations of the session. Then each tree grows from the first of its own, and its first level
   * needs no correction. Not if the receiver could choose their macs (SoftSpoken): see silent-cot.md. */
  bool chained;
  /* From the heap, with base in it; taken over, also on failure. NULL: base is in that of an earlier iteration which
   * will share its matrix. */
  block *memory;
  size_t memory_len; /* bytes */
  /* Result, owned by the caller; NULL on failure, and in all but the first of those that share a matrix (up to
   * silent_set.together in a row, of one set and sender). */
  struct silent_harvest *harvest;
};

/** What a batch's receiver still waits for: the peer's digests. */
struct silent_check;

/** Runs a batch up to the peer's digests: both parties name the same iterations in the same order; the corrections of
 *  each direction together are at most CHANNEL_EXCHANGE_MAX bytes. silent_settle() ends it, before the next message is
 *  received. Until then nothing may leave this party that depends on a mac of the batch otherwise than by its choice
 *  bit. Those do not depend on what the sender has sent, so what they mask stays masked whatever that was. Whether the
 *  check fails tells a cheating sender one bit, after it has seen that: docs/protocols/silent-cot.md, "Choices before
 *  the check".
 *  Errors: those of the channel; memory. Cost: silent_iterate_cost(). */
fusion_status silent_iterate(const struct silent_party *p, struct silent_iteration *its, size_t count,
                             struct silent_check **check) FUSION_MUST_CHECK;
/** Receives and compares the digests; *check becomes NULL. FUSION_E_CRYPTO (the channel is then poisoned) when they
 *  differ: nothing of the batch may be used any more. */
fusion_status silent_settle(struct silent_check **check) FUSION_MUST_CHECK;
void silent_check_free(struct silent_check *check);

/** The iterations of a batch in one direction. */
struct silent_part {
  const struct silent_set *set;
  size_t count;
  bool chained;
};
/** What silent_settle() makes of the depths. */
struct silent_settled {
  uint32_t depth_server, depth_client;
};
/** A batch up to the digests; parts by sender. What is left for silent_settle() joins *settled, zeroed by the caller.
 */
void silent_iterate_cost(struct cost *cost, const struct silent_part parts[2], struct silent_settled *settled);
void silent_settle_cost(struct cost *cost, const struct silent_settled *settled);

/** How many iterations share this harvest. */
size_t silent_members(const struct silent_harvest *h);
/** The correlations of trees [first, first + count) of each of the iterations: silent_members() * 2^depth for each
 * number, the iterations one after the other. Asking twice gives the same. */
void silent_grow(const struct silent_harvest *h, block *out, size_t first, size_t count);
void silent_free(struct silent_harvest *h);

/** A harvest as bytes, for the party that has it: what its correlations grow from. The first of its iterations names
 * it: set, sender and number, and the session. */
struct silent_iteration silent_origin(const struct silent_harvest *h);
size_t silent_harvest_len(const struct silent_set *set, size_t members, bool sends);
fusion_status silent_harvest_write(const struct silent_harvest *h, const struct byte_stream *to) FUSION_MUST_CHECK;
/** Of `p`: role, heap, session, and as the sender delta. `members` at most first->set->together. */
fusion_status silent_harvest_read(struct silent_harvest **out, const struct silent_party *p,
                                  const struct silent_iteration *first, size_t members,
                                  const struct byte_stream *from) FUSION_MUST_CHECK;

#endif
