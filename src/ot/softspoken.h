/** SoftSpokenOT: correlated OT from 127 base OTs, secure against a cheating party on either side. It makes the
 *  correlations that the silent extension starts from, and can serve a whole session by itself.
 *
 *  Functionality: random correlated OT. The sender holds Delta, uniform but for its least significant bit, which is 1;
 *  it gets keys K_i with least significant bit 0. The receiver gets macs M_i = K_i ^ x_i * Delta with uniform x_i, the
 *  least significant bit of M_i. That Delta is odd and the K_i even is not a promise of the sender: the code of block 0
 *  has no other words, so a cheating sender cannot have x_i leak through the low bit.
 *  A cheating receiver may guess a set that holds Delta; a wrong guess ends the session, a right one (chance: the share
 *  of all Deltas that the set holds) goes unseen. So c bits of Delta cost it failure with probability 1 - 2^-c.
 *
 *  Per direction: ceil(128 / k) punctured GGM trees of depth k (tree 0 of depth k - 1), built on the base OTs with the
 *  check that pins every leaf; an extension is one message, receiver to sender: corrections for the repetition code,
 *  and the universal-hash check, its challenge hashed from everything the receiver had sent (Fiat-Shamir), which is
 *  wrong with probability < 2^-115 per attempt.
 *  Source: Roy, "SoftSpokenOT", CRYPTO 2022 (ePrint 2022/192), sec. 3 (small-field VOLE), 4 (subspace VOLE and its
 *  check), 6 (punctured PRF and its check); we differ in the fixed low bit and the hashed challenge. */
#ifndef FUSION_OT_SOFTSPOKEN_H
#define FUSION_OT_SOFTSPOKEN_H

#include "base/block.h"
#include "net/channel.h"
#include "net/cost.h"
#include "ot/cot.h"
#include "rand/prg.h"

enum {
  SOFTSPOKEN_OTS = 127, /**< OTs that a direction is built on: one a bit of Delta, but for the lowest, which is 1 */
  SOFTSPOKEN_FIELD_BITS = 4,  /**< the default k: one of 1, 2, 4, 8. Traffic is about 16 / k bytes a correlation */
  SOFTSPOKEN_CHUNK = 1 << 14, /**< correlations a message at most; a longer extension is several messages */
};

struct softspoken_sender;
struct softspoken_receiver;

/** OTs that a set-up has made for the next one, which then needs no base OTs: random ones, of 128-bit keys, between the
 *  same parties. Secret. A party that uses them once more would choose the same Delta again, so its holder spends them
 *  before it uses them (session/keep.h); their keys are hashed with the new session's number before use, so that even
 *  then no pad and no correlation would be used twice. */
struct softspoken_kept {
  enum role chooser;               /* who holds `choices`; public */
  uint8_t choices[SOFTSPOKEN_OTS]; /* the chooser's, 0 or 1 */
  block keys[2 * SOFTSPOKEN_OTS];  /* [i]: of choice i, the chooser's; [2 * i + choice]: the other's */
};

/** The points that the server says for the base OTs: its choices, the bits of its Delta. Owned, secret. */
struct softspoken_points;
/** Makes and sends them. `number`: public, the same on both sides; what is known of the session number will do. */
fusion_status softspoken_points_post(struct softspoken_points **out, struct channel *channel, struct prg *prg,
                                     enum role role, uint64_t number) FUSION_MUST_CHECK;
void softspoken_points_free(struct softspoken_points *p);

struct softspoken_setup {
  struct channel *channel;          /* borrowed for the life of what is opened */
  struct prg *prg;                  /* borrowed during the call */
  enum role role;                   /* this party */
  uint64_t session;                 /* public, the same on both sides, fresh */
  uint64_t points_number;           /* of the base OTs' points: public, the same on both sides */
  struct softspoken_points *points; /* borrowed: this party's points, if it has posted them; NULL: it does so now */
  unsigned field_bits;              /* k: 1, 2, 4 or 8; the same on both sides */
  /** Of both directions only; borrowed during the call. */
  const struct softspoken_kept *use; /* in place of base OTs, on both sides; NULL: base OTs */
  struct softspoken_kept *keep;      /* filled, for the next set-up; valid if this one succeeds; NULL: not wanted */
};

/** Sets up the direction in which this party is the sender (*sender) and the one in which it is the receiver
 *  (*receiver). Either may be NULL, if the other party leaves out its counterpart. Returns owned.
 *
 *  Of both directions one is set up on base OTs (that in which the server sends) or kept ones (that in which their
 *  chooser does). It is extended at once, by twice as many correlations as Delta has free bits. Hashed they are random
 *  OTs: half of them stand for the base OTs of the other direction, whose Delta their choice bits are; the other half
 *  may be kept. The other direction's trees travel with its first extension.
 *  Security: OTs by a maliciously secure extension in place of base OTs, with the hash as a random oracle
 *  (docs/protocols/softspoken.md).
 *  Errors: FUSION_E_PEER, FUSION_E_CRYPTO (both poison the channel), those of the channel, memory.
 *  Cost, of both directions: softspoken_open_cost() or, with kept OTs, softspoken_resume_cost(). */
fusion_status softspoken_open(struct softspoken_sender **sender, struct softspoken_receiver **receiver,
                              const struct softspoken_setup *setup) FUSION_MUST_CHECK;
/** The same for a source of correlations, both directions, in two parts. The first is the agreement on a session number
 *  in messages of type `nonces`, with which the server's points leave; it keeps what `opening` borrows. The second
 * takes the first one's result. */
struct softspoken_opening;
fusion_status softspoken_begin_source(struct softspoken_opening **out, uint64_t *session,
                                      const struct cot_opening *opening, message_type nonces,
                                      unsigned field_bits) FUSION_MUST_CHECK;
fusion_status softspoken_complete_source(struct softspoken_sender **sender, struct softspoken_receiver **receiver,
                                         struct softspoken_opening *o) FUSION_MUST_CHECK;
/** Of one that is given up. NULL is allowed. */
void softspoken_opening_free(struct softspoken_opening *o);
/** Bytes that both directions hold. */
size_t softspoken_memory(unsigned field_bits);
void softspoken_sender_free(struct softspoken_sender *s);
void softspoken_receiver_free(struct softspoken_receiver *r);

/** The sender's Delta: secret. */
block softspoken_delta(const struct softspoken_sender *s);

/** Extends by `count` correlations (any number; multiples of 128 waste nothing). One flight, receiver to sender; the
 *  sender's keys are written only after the check has passed. Both sides call with the same count.
 *  Cost: softspoken_extend_cost(). */
fusion_status softspoken_send(struct softspoken_sender *s, block *keys, size_t count) FUSION_MUST_CHECK;
fusion_status softspoken_receive(struct softspoken_receiver *r, block *macs, size_t count) FUSION_MUST_CHECK;

void softspoken_open_cost(struct cost *cost, unsigned field_bits);
void softspoken_open_source_cost(struct cost *cost, unsigned field_bits); /* with base OTs */
void softspoken_resume_cost(struct cost *cost, unsigned field_bits, enum role chooser);
/** The trees of the second direction, in which `sender` sends, before its first extension. */
void softspoken_begin_cost(struct cost *cost, unsigned field_bits, enum role sender);
void softspoken_extend_cost(struct cost *cost, unsigned field_bits, enum role sender, size_t count);

#endif
