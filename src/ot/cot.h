/** ot: oblivious transfer: base OT, SoftSpoken bootstrap, silent correlated OT, and what is derived from them.
 *  This file: where correlations come from. A `struct cot` is one party's end of both directions. In the direction in
 *  which a party is the sender it holds Delta (least significant bit 1) and keys K_i (least significant bit 0); the
 *  receiver holds macs M_i = K_i ^ x_i * Delta, so the uniform choice bit x_i is the least significant bit of M_i.
 *
 *  Both parties make the same calls in the same order; a call may send and receive (refill). */
#ifndef FUSION_OT_COT_H
#define FUSION_OT_COT_H

#include "base/block.h"
#include "base/heap.h"
#include "base/kept.h"
#include "net/channel.h"
#include "net/cost.h"
#include "rand/prg.h"

struct cot;

struct cot_ops {
  fusion_status (*take_sender)(struct cot *c, block *keys, size_t count);
  fusion_status (*take_receiver)(struct cot *c, block *macs, size_t count);
  bool (*work_ahead)(struct cot *c);     /* NULL: there is nothing to do ahead */
  void (*postpone_check)(struct cot *c); /* both NULL: there is none */
  fusion_status (*settle_check)(struct cot *c);
  fusion_status (*complete)(struct cot *c); /* NULL: sources are complete when they are open */
  fusion_status (*begin)(struct cot *c);    /* NULL: a direction begins with its first take */
  void (*close)(struct cot *c);
};

/** Kinds embed this as their first member. */
struct cot {
  const struct cot_ops *ops;
  enum role role;
  struct channel *channel; /* borrowed */
  struct heap *heap;       /* borrowed: large temporaries; NULL: none */
  block delta;             /* this party's, as sender */
  uint64_t session;        /* public, the same on both sides: enters every tweak */
  uint64_t sent, received; /* correlations taken so far in each direction: the tweak index */
};

/** What a source of correlations is opened with: one party's end. */
struct cot_opening {
  enum role role;
  struct channel *channel; /* borrowed for the source's life */
  struct heap *heap;       /* the same; NULL: none */
  struct prg *prg;         /* borrowed during the call; where it is deferred until the source is complete */
  struct keeping *keeping; /* the same; NULL: nothing is kept */
  bool deferred;           /* the source gives nothing before cot_complete() */
};

/** Completes a source that was opened as deferred; else does nothing. What goes to the server is the same as in one go,
 *  but for other messages between the client's nonce and the rest. From base OTs nothing goes to the client here.
 *
 *  Why a cheating server learns nothing: until then the client has sent a nonce. All that depends on its secrets of
 *  these correlations, or on what the server has sent for them, follows here, and nothing that goes between depends on
 *  either. When that is, only the order of the calls decides. */
fusion_status cot_complete(struct cot *c) FUSION_MUST_CHECK;
/** Of a complete source: what the direction in which the client sends begins with, if it is expected to be used, before
 *  anything is taken: messages of the server alone. Does nothing unless the source's parameters say begun_early.
 * Declared by the first take as what the server sends once the source is complete: the client's next message is to wait
 * for another one of the server's behind these. Why a cheating server learns nothing: the client sends nothing here. */
fusion_status cot_begin(struct cot *c) FUSION_MUST_CHECK;

/** Takes `count` correlations in which this party is the sender: keys K_i. *first_index (may be NULL) is the index of
 * the first, the same number that the receiver sees: with the direction it makes the hash tweak unique. */
fusion_status cot_take_sender(struct cot *c, block *keys, size_t count, uint64_t *first_index) FUSION_MUST_CHECK;
/** Takes `count` correlations in which this party is the receiver: macs M_i. */
fusion_status cot_take_receiver(struct cot *c, block *macs, size_t count, uint64_t *first_index) FUSION_MUST_CHECK;
/** Makes a little of what the next takes will want, without a message and mostly in a few microseconds, for when this
 *  party would wait. False: there is nothing to do. It changes nothing but when the work is done, so each party calls
 *  it when it likes, also while it waits inside another call of the same source.
 *
 *  Why a cheating server learns nothing: no message depends on it but by when it leaves, and what there is to do
 *  follows from counts that both parties know. */
bool cot_work_ahead(struct cot *c);
/** From here to cot_settle_check() the caller sends nothing that depends on a mac taken meanwhile otherwise than by its
 *  choice bit, and receives nothing. So a refill need not wait for the last message of its check, which only tells
 *  whether macs are right. Both parties call the pair at the same places; who fails in between gives the source up.
 *
 *  Why a cheating server learns nothing: silent_iterate() says what choice bits that are used before the check passes
 *  give away. */
void cot_postpone_check(struct cot *c);
/** Receives it, if a refill has left it. FUSION_E_CRYPTO as from the take. */
fusion_status cot_settle_check(struct cot *c) FUSION_MUST_CHECK;
/** TCCR domain for the correlations in which `sender` is the sender. */
uint64_t cot_domain(const struct cot *c, enum role sender);
void cot_close(struct cot *c);

/** A session number from a nonce of each party, in a message of `type` each. The server's goes first, so that a
 *  cheating server cannot choose the number; what it makes from its nonce alone can go with it. */
enum { COT_NONCE_LEN = 16 };
struct cot_session {
  struct channel *channel; /* borrowed */
  enum role role;
  message_type type;
  uint8_t nonces[2 * COT_NONCE_LEN]; /* the server's first; public */
};
/** The server's nonce, and a number that follows from it. */
fusion_status cot_session_begin(struct cot_session *s, uint64_t *begun, enum role role, struct channel *channel,
                                struct prg *prg, message_type type) FUSION_MUST_CHECK;
/** The client's, and the session number. */
fusion_status cot_session_agree(struct cot_session *s, uint64_t *session) FUSION_MUST_CHECK;

/** Declares one cot_take_* call for `count` correlations in which `sender` is the sender, with what it sets off where
 * the cost knows the correlations' source. A gate's cost twin calls it wherever the gate takes correlations. */
void cost_take_cots(struct cost *cost, enum role sender, uint64_t count);
/** Declare cot_postpone_check() and cot_settle_check(). */
void cost_postpone_check(struct cost *cost);
void cost_settle_check(struct cost *cost);

#endif
