/** Base oblivious transfers: the only public-key step of the OT tower. Ristretto255, one round.
 *
 *  Functionality: `count` endemic 1-of-2 OTs. The sender gets pairs (k_0, k_1) of 128-bit keys, the receiver gets k_c
 * for its choice bits c. Keys are uniform when both are honest; a cheating party may fix the keys that it gets itself,
 * but a receiver learns nothing of the other key and a sender nothing of c. Used as pads for messages that the sender
 *  chooses, this is plain 1-of-2 OT (nothing is lost by a party that fixes its own pads).
 *
 *  Each party posts first and finishes afterwards; the two posts do not depend on each other, so a session that needs
 *  both directions posts both before it finishes either: one round in all.
 *
 *  Security: computational Diffie-Hellman in ristretto255, random oracle (BLAKE2b); every hash is bound to the
 * direction, the index, the branch and a number: those to the group to the points', those to keys to the session's.
 * Source: Masny, Rindal, "Endemic Oblivious Transfer", CCS 2019, the one-round protocol from key agreement; a fresh
 * sender exponent for every OT, so that no gap assumption is needed. */
#ifndef FUSION_OT_BASE_OT_H
#define FUSION_OT_BASE_OT_H

#include "base/block.h"
#include "net/channel.h"
#include "net/cost.h"
#include "rand/prg.h"

/** Names the receiver's points of a batch of base OTs; the same on both sides. The receiver's part of a session number
 * is enough: its points may leave before the session is agreed, which enters the keys. */
struct base_ot_id {
  uint64_t points;
  enum role sender; /* who plays the base-OT sender */
};

struct base_ot_sender;
struct base_ot_receiver;

enum {
  BASE_OT_COUNT_MAX = 1024,
  BASE_OT_PIECE = 32, /**< OTs a message of the receiver at most: the sender works on one while the next is made */
};

/** Sends the sender's points (32 bytes an OT). Returns owned. */
fusion_status base_ot_sender_post(struct base_ot_sender **out, struct base_ot_id id, struct channel *channel,
                                  struct prg *prg, size_t count) FUSION_MUST_CHECK;
/** Reads the receiver's points, writes keys[2*i + branch]. `session`: the same on both sides, never used twice with one
 *  peer. FUSION_E_PEER for bytes that are no group element. */
fusion_status base_ot_sender_finish(struct base_ot_sender *s, uint64_t session, block *keys) FUSION_MUST_CHECK;
void base_ot_sender_free(struct base_ot_sender *s);

/** Sends the receiver's points (64 bytes an OT). `choices` holds one secret bit (0 or 1) per OT; copied. */
fusion_status base_ot_receiver_post(struct base_ot_receiver **out, struct base_ot_id id, struct channel *channel,
                                    struct prg *prg, const uint8_t *choices, size_t count) FUSION_MUST_CHECK;
/** Reads the sender's points, writes keys[i] = k_{c_i} of OT i. */
fusion_status base_ot_receiver_finish(struct base_ot_receiver *r, uint64_t session, block *keys) FUSION_MUST_CHECK;
void base_ot_receiver_free(struct base_ot_receiver *r);

/** Declares the receiver's messages of a flight that begins at `begun`. */
void base_ot_receiver_cost(struct cost *cost, const struct cost *begun, enum role receiver, size_t count);

/** Payload bytes of the two posts; the receiver's come in pieces. */
static inline size_t base_ot_sender_len(size_t count) {
  return 32 * count;
}
static inline size_t base_ot_receiver_len(size_t count) {
  return 64 * count;
}

#endif
