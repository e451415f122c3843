/** ReLU and exact truncation of a shared vector in one gate, and truncation alone (DESIGN 6.5).
 *
 *  Ideal functionality: additive shares of x modulo 2^in_bits in, shares of y modulo 2^out_bits out, with
 *  y = max(x + add, 0) >> shift or (x + add) >> shift, x + add read as signed in its ring. Exact: error probability
 *  0.
 *
 *  `fast`: both parties drop the low `shift` bits of their shares first. The result is one of the two neighbours of
 *  (x + add) / 2^shift - 1/2, at random and right on average (with add = 2^(shift-1): of x / 2^shift), and at most
 *  one unit from the exact one while |x + add| <= 2^(in_bits-1) - 2^shift. Which neighbour depends on the low bits of
 *  the shares, so this is a slightly leaky functionality: y tells a little more of x than its rounding, and behind
 *  an encrypted layer of the noise that its weights made.
 *
 *  Course: shares of the carries of the sum of both shares (carry.h: choices, tables, one flight a tree level), the
 *  low carry made arithmetic during the next level, then y = keep * t (cross.h) in one more flight. Extension to a ring
 *  of more than in_bits - shift bits comes last, in a flight of its own, where it costs less than wider products do:
 *  y < 2^(in_bits-shift-1), so the shares wrap exactly when either has its top bit. Truncation alone
 *  takes the wrap from one more bit of the tree instead of the sign, needs no keep, and without extension (out_bits
 *  <= in_bits - shift) only the carry out of the low `shift` bits.
 *
 *  Random OTs are drawn directly before the flight that uses them, so that flights share their memory.
 *
 *  Why a cheating server learns nothing: all that the client sends is masked by fresh uniform bits of its
 *  correlations, as carry.h and cross.h argue, and nothing is ever opened. But for choice bits in the first flight
 *  (cot_postpone_check), which no sender can move, correlations are used after their check has passed; whether it
 *  passes depends on their own randomness and on what the peer
 *  sent for them, not on shares, so a refill between two flights tells no more than one between two gates. Leaks:
 *  nothing.
 *  Cost: relu_truncate_cost(); 2 + (levels of the tree) + 1 or 2 flights a chunk.
 *  Source: DESIGN 6.5; spec relu_truncate_model.py; comparison tree after CrypTFlow2 sec. 3.1. */
#ifndef FUSION_GATES_RELU_TRUNCATE_H
#define FUSION_GATES_RELU_TRUNCATE_H

#include "gates/carry_shape.h"
#include "gates/party.h"

/** Elements that share their flights: enough that message delays do not count beside the traffic (44 MB/s, 40 ms).
 *  Memory is 16 to 44 bytes each at either party, more in the wide trees of few elements (relu_truncate_memory()).
 *
 *  A party that writes a message of flight i has read all earlier flights, and the peer cannot pass flight i without
 *  that message: what is under way to a blocked writer is one flight. The longest takes 9 bytes an element each way,
 *  17 in the wide trees of few elements: 19 MiB, where CHANNEL_EXCHANGE_MAX is 64. With the fixed tree, whose tables go
 * one way and take up to 64 bytes an element, a chunk is a quarter of this.
 */
#define RELU_TRUNCATE_CHUNK ((size_t)1 << 21)

struct relu_truncate {
  uint8_t in_bits;       /* ring of x, guard included, 2..62 */
  uint8_t shift;         /* bits dropped, guard included, < in_bits - 1 */
  uint8_t out_bits;      /* ring of y, 1..62 */
  uint64_t add;          /* public constant added to x first (rounding, guard correction) */
  bool relu;             /* y = max(x + add, 0) >> shift; else y = (x + add) >> shift, arithmetic */
  bool fast;             /* rounding may be one unit off: the low bits are dropped locally (DESIGN 6.5) */
  enum garbling garbled; /* by a garbled circuit (relu_garbled.h) in place of the course above */
  /** Plan for so many elements, if the call has fewer: it decides between traffic and flights. Public. */
  size_t planned_count;
  enum carry_shape shape; /* of the comparison tree */
};

/** x, y: `count` shares; y == x allowed. Errors: closed, peer, memory; internal for parameters out of range. */
fusion_status relu_truncate(struct party *p, const struct relu_truncate *params, const uint64_t *x, uint64_t *y,
                            size_t count) FUSION_MUST_CHECK;
void relu_truncate_cost(struct cost *cost, const struct relu_truncate *params, size_t count);
/** Bytes that a party takes while it works, x and y not counted. */
size_t relu_truncate_memory(const struct relu_truncate *params, enum role role, size_t count);

#endif
