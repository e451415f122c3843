/** A public function of a shared value, by a table: plain for few values, else a spline of straight pieces.
 *
 *  Ideal functionality: shares of x modulo 2^w in, w = index_bits + low_bits <= 16, shares of y modulo 2^out_bits out:
 *      h = x >> low_bits,  l = x mod 2^low_bits - 2^(low_bits-1),  y = base[h] + slope[h] * l
 *  with x read as 0 .. 2^w - 1. Without low bits: y = base[x]. Exact.
 *
 *  Let t = x - 2^(low_bits-1), taken off by the server. l is t's low part, read as signed: relu_truncate() extends it,
 *  and t - l is a multiple of 2^low_bits. Hence h = hS + hC with hS the server's share of t - l shifted down and hC the
 *  client's, rounded up: no comparison. Now y = (base[h] + slope[h] * lS) + slope[h] * lC. Each summand is a function
 * of h alone to the party that knows its share of l, so that party sends it as a table over the other's share of h, by
 *  1-of-2^index_bits OT (ot/one_of_n.h): no product. The two OTs share their flights. A plain table and pieces without
 * slopes need the server's alone.
 *
 *  An OT: the receiver says e = X ^ j, X its random choice and j its share of h. The sender answers, for z = 1 ..
 *  2^index_bits - 1, V(z ^ e) - r + pad_z with V(j) its summand and r = V(e) + pad_0, which is the sender's share; so
 * entry 0 needs no message. The receiver's share is entry X less pad_X.
 *
 *  Why a cheating server learns nothing: e is masked by the uniform choice X. The client's entries that the server did
 * not choose are masked by pads unknown to it, the one that it chose by r, hence by pad_0, which it knows only if X =
 * 0, and then no entry of the message is the chosen one. The extension's messages are those of relu_truncate.h. Every
 * mask is uniform and used once; nothing is opened. A lie can only make the result wrong. Leaks: nothing. The table is
 * public. Error probability: 0. Cost: lookup_cost(); the extension's flights and two more. Source: tables by OT after
 * SIRNN (Rathee et al., S&P 2021) sec. 3.2 and splines after it; the split of the product over two OTs is ours. */
#ifndef FUSION_GATES_LOOKUP_H
#define FUSION_GATES_LOOKUP_H

#include "gates/carry_shape.h"
#include "gates/party.h"

enum { LOOKUP_INDEX_BITS_MAX = 5, LOOKUP_BITS_MAX = 16, LOOKUP_PIECES_MAX = 1 << LOOKUP_INDEX_BITS_MAX };

/** Elements that share their flights: a party's table takes 31 * out_bits / 8 bytes an element, 15 MiB at most. */
#define LOOKUP_CHUNK ((size_t)1 << 16)

struct lookup {
  uint8_t index_bits;     /* 1..LOOKUP_INDEX_BITS_MAX */
  uint8_t low_bits;       /* 0: a plain table; else 2..LOOKUP_BITS_MAX - index_bits */
  uint8_t out_bits;       /* ring of y, 1..62 */
  const int64_t *base;    /* borrowed: [2^index_bits] */
  const int64_t *slope;   /* borrowed: the same; not read without low bits */
  enum carry_shape shape; /* of the extension's comparison tree */
  enum garbling garbled;  /* by a garbled circuit (lookup_garbled.h) in place of the course above */
};

/** x, y: `count` shares; y == x allowed. Errors: closed, peer, memory; internal for parameters out of range. */
fusion_status lookup(struct party *p, const struct lookup *params, const uint64_t *x, uint64_t *y,
                     size_t count) FUSION_MUST_CHECK;
void lookup_cost(struct cost *cost, const struct lookup *params, size_t count);
/** Bytes that a party takes while it works, x and y not counted. */
size_t lookup_memory(const struct lookup *params, enum role role, size_t count);

#endif
