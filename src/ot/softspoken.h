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
  SOFTSPOKEN_FIELD_BITS = 4,  /**< the default k: one of 1, 2, 4, 8. Traffic is about 16 / k bytes a correlation */
  SOFTSPOKEN_CHUNK = 1 << 14, /**< correlations a message at most; a longer extension is several messages */
};

struct softspoken_sender;
struct softspoken_receiver;

struct softspoken_setup {
  struct channel *channel; /* borrowed for the life of what is opened */
  struct prg *prg;         /* borrowed during the call */
  enum role role;          /* this party */
  uint64_t session;        /* public, the same on both sides, fresh */
  unsigned field_bits;     /* k: 1, 2, 4 or 8; the same on both sides */
};

/** Sets up the direction in which this party is the sender (*sender) and the one in which it is the receiver
 *  (*receiver), both in two flights. Either may be NULL, if the other party leaves out its counterpart. Returns owned.
 *  Errors: FUSION_E_PEER, FUSION_E_CRYPTO (both poison the channel), those of the channel, memory.
 *  Cost: softspoken_open_cost(). */
fusion_status softspoken_open(struct softspoken_sender **sender, struct softspoken_receiver **receiver,
                              const struct softspoken_setup *setup) FUSION_MUST_CHECK;
void softspoken_sender_free(struct softspoken_sender *s);
void softspoken_receiver_free(struct softspoken_receiver *r);

/** The sender's Delta: secret. */
block softspoken_delta(const struct softspoken_sender *s);

/** Extends by `count` correlations (any number; multiples of 128 waste nothing). One flight, receiver to sender; the
 *  sender's keys are written only after the check has passed. Both sides call with the same count.
 *  Cost: softspoken_extend_cost(). */
fusion_status softspoken_send(struct softspoken_sender *s, block *keys, size_t count) FUSION_MUST_CHECK;
fusion_status softspoken_receive(struct softspoken_receiver *r, block *macs, size_t count) FUSION_MUST_CHECK;

/** `server_sends`, `client_sends`: which directions are set up. */
void softspoken_open_cost(struct cost *cost, unsigned field_bits, bool server_sends, bool client_sends);
void softspoken_extend_cost(struct cost *cost, unsigned field_bits, enum role sender, size_t count);

#endif
