/** The sign of a shared value as a shared 0 or 1.
 *
 *  Ideal functionality: shares of x modulo 2^in_bits in, shares of y modulo 2^out_bits out, y = 1 if x + add >= 0, else
 *  0, with x + add read as signed in its ring. Exact: error probability 0.
 *
 *  Course: XOR shares b_S, b_C of "not negative" from the top bits of the shares and the carry into them (carry.h:
 *  choices, tables, one flight a tree level), then y = b_S + b_C - 2 b_S b_C. The product is needed modulo
 *  2^(out_bits-1) alone and takes one correlation (cross.h), in which the server is the sender: it sends out_bits - 1
 *  bits an element, the client one. With out_bits = 1 the XOR shares are the result.
 *
 *  `garbled`: the server's share is its input, the client's is known to the garbler (garble/circuit_gates.h); the
 *  circuit gives shares of "negative". in_bits - 1 ANDs and out_bits bits an element, two messages.
 *
 *  Why a cheating server learns nothing: all that the client sends is masked by fresh uniform bits of its correlations,
 *  as carry.h and cross.h argue, and nothing is opened; garbled, as garble/garbled.h argues. A lie can only make the
 *  result wrong. Leaks: nothing.
 *  Cost: compare_cost(); 2 + (levels of the tree) + 1 flights a chunk. Source: the comparison after CrypTFlow2
 * sec. 3.1, as relu_truncate.h; the bit's conversion after CrypTFlow2 sec. 3.1.1 (B2A), its two messages in one flight.
 */
#ifndef FUSION_GATES_COMPARE_H
#define FUSION_GATES_COMPARE_H

#include "gates/carry_shape.h"
#include "gates/party.h"

/** Elements that share their flights; the bounds are those of RELU_TRUNCATE_CHUNK, whose messages are longer. */
#define COMPARE_CHUNK ((size_t)1 << 21)

struct compare {
  uint8_t in_bits;       /* ring of x, guard included, 2..62 */
  uint8_t out_bits;      /* ring of y, 1..62 */
  uint64_t add;          /* public constant added to x first (guard correction) */
  enum garbling garbled; /* by a garbled circuit in place of the tree */
  enum carry_shape shape;
};

/** x, y: `count` shares; y == x allowed. Errors: closed, peer, memory; internal for parameters out of range. */
fusion_status compare(struct party *p, const struct compare *params, const uint64_t *x, uint64_t *y,
                      size_t count) FUSION_MUST_CHECK;
void compare_cost(struct cost *cost, const struct compare *params, size_t count);
/** Bytes that a party takes while it works, x and y not counted. */
size_t compare_memory(const struct compare *params, enum role role, size_t count);

#endif
