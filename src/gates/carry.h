/** Carries of a sum of two private numbers: the comparison tree of DESIGN 6.5, steps 1 to 3, bit-sliced.
 *
 *  Ideal functionality: the server has a, the client b, of `top` bits each; both get XOR shares of the carry of a + b
 *  into bit `top` and of the carry into bit `middle`.
 *
 *  1. Digits of 1 to 4 bits (see carry_tree_make). Both parties get shares of G = [a_j + b_j >= 2^w] and
 *     P = [a_j + b_j = 2^w - 1] from one random 1-of-2^w OT in which one party is the sender: the client (in the
 *     fixed tree the server), so that the server's choices can travel with a linear layer's answer. The receiver says
 *     e = X ^ digit (w bits), the sender answers entry z = 1 .. 2^w - 1 as T[z ^ e] ^ share ^ pad_z with
 *     share = T[e] ^ pad_0, so entry 0 needs no message. P of the lowest digit is not used and not made.
 *  2. Merges G = G_hi ^ P_hi G_lo, P = P_hi P_lo, with triples (a; b1, b2; a b1, a b2) from a random OT in
 *     each direction. A party's share of a is its choice bit where it receives, its share of (b1, b2) is r0 ^ r1
 *     where it sends, its share of the cross terms is r0 and what it received. So a triple needs no message, and one
 *     flight opens (P_hi ^ a, G_lo ^ b1, P_lo ^ b2).
 *     Upwards from bit 0 grows a chain, whose G is the carry itself: at each level it absorbs a block, the larger the
 *     later, or a single bit without a digit: carry ^ (a ^ carry)(b ^ carry), one product of shared bits.
 *  3. Late digits: the sender of the table knows its share cT of the carry below when it makes the table of
 *     A = G ^ P cT; so the carry above is A ^ P cR, which takes one correlation in place of a merge's two. A is shared
 *     as G is. P is sent under r0 ^ r1 of a random OT whose choice u masks the receiver's d = cR ^ u; shares of
 *     cR (r0 ^ r1) are r0 ^ d (r0 ^ r1) and the receiver's string. The choices e travel a level ahead. The parties take
 *     turns as sender, which spreads hashing and traffic.
 *
 *  Why a cheating peer learns nothing: e and d are masked by the uniform choices X and u. A table entry that the peer
 *  did not choose is masked by a pad unknown to it; the one that it chose by the share, hence by pad_0, which it knows
 *  only if X = 0, and then no entry of the message is the chosen one; entries of a late P also by r0 ^ r1, of which it
 *  knows at most one. So are the openings, or by a choice bit. Every entry and bit has a uniform mask of its own; only
 *  the entry that the peer chose rests on the share, or on r0 ^ r1. Cheating can only make the carries wrong.
 *
 *  Leaks: nothing. Error probability: 0.
 *  Source: DESIGN 6.5; tree after CrypTFlow2 (Rathee et al. 2020) sec. 3.1; the one-flight triples are ours. */
#ifndef FUSION_GATES_CARRY_H
#define FUSION_GATES_CARRY_H

#include "gates/carry_shape.h"
#include "gates/planes.h"

/** What a one-way delay is worth in traffic, in bits. 250 kB take 6 ms at 44 MB/s, less than the delay of such a line
 * (20 ms), as the connections of a job fill one another's gaps. The cheapest tree is for nearer parties, with 100 kB:
 * the delay of 0.15 ms at 382 MB/s would be 57. */
static inline uint64_t carry_flight_bits(enum carry_shape shape) {
  return shape == CARRY_CHEAPEST ? 800000 : 2000000;
}

enum { CARRY_DIGIT_BITS_MAX = 4, CARRY_DIGITS_MAX = 62, CARRY_MERGES_MAX = 61 };

struct carry_digit {
  uint8_t low, width; /* bits low .. low + width - 1 */
  uint8_t level;      /* of its table: 0, or for a late digit that of the merge that absorbs it */
  bool propagate;     /* P is used */
  enum role sender;
};

/** Nodes are named by their lowest digit; the result of a merge takes the place of `low`. */
struct carry_merge {
  uint8_t high, low, level;
  bool propagate;
  bool single; /* low is node 0, a carry, and `high` the number of the bit that it goes over */
  bool late;   /* low is node 0, a carry, and `high` a digit whose table is made with the sender's share of it */
};

/** The public shape. Level 0 is the table; a merge of level i needs results of level i - 1. A level has one late digit
 *  at most. */
struct carry_tree {
  unsigned digits, merges, levels;
  unsigned middle_level; /* after this level node 0 is the carry into bit `middle` (if middle > 0) */
  struct carry_digit digit[CARRY_DIGITS_MAX];
  struct carry_merge merge[CARRY_MERGES_MAX];
};

/** 0 <= middle <= top <= 62. CARRY_CHEAPEST and CARRY_SHORTEST: when `count` elements share the flights, of which
 *  `behind` follow the tree; traffic, correlations and flights each have their price (carry_tree.c), so that few
 * elements take few flights. Both parties must pass the same numbers. */
struct carry_tree carry_tree_make(enum carry_shape shape, unsigned middle, unsigned top, size_t count, unsigned behind);

/** Bytes that `from` sends: its choices, its tables, its part of a level (1 .. levels). */
size_t carry_choices_len(const struct carry_tree *tree, enum role from, size_t count);
size_t carry_tables_len(const struct carry_tree *tree, enum role from, size_t count);
size_t carry_level_len(const struct carry_tree *tree, enum role from, unsigned level, size_t count);

/** A late digit's random OTs and choices, from the stage before its level on. */
struct carry_late {
  uint64_t *choice; /* [width]: the receiver's X; the sender's e, once it has come */
  uint64_t *pads;   /* A and P of each entry at the sender, of entry X at the receiver */
  uint64_t *pair;   /* r0 and r0 ^ r1 at the sender; u and its string at the receiver */
};

/** One chunk's state at one party. Secret. */
struct carry {
  const struct carry_tree *tree; /* borrowed */
  enum role role;
  struct heap *heap; /* borrowed */
  size_t count, stride;
  uint64_t *memory; /* owned */
  size_t memory_words;
  uint64_t *gen[CARRY_DIGITS_MAX], *prop[CARRY_DIGITS_MAX]; /* shares of the nodes */
  uint64_t *scratch;                                        /* 6 planes */
  struct carry_late late[2];                                /* of the levels in turn */
  /* Random OTs of the stage at hand, in memory that is borrowed while it runs. */
  uint64_t *pads[CARRY_DIGITS_MAX];   /* of a digit's table: the sender's strings, the receiver's choice */
  uint64_t *triple[CARRY_MERGES_MAX]; /* a, b1 [b2], c1 [c2] of a merge */
};

/** Bytes that a party's state for chunks of at most `count` takes. */
size_t carry_memory(const struct carry_tree *tree, size_t count);
/** Takes that memory. */
fusion_status carry_open(struct carry *c, const struct carry_tree *tree, const struct party *p,
                         size_t count) FUSION_MUST_CHECK;
void carry_close(struct carry *c);

/** Starts a chunk of `count` elements. */
void carry_start(struct carry *c, size_t count);

/** Draws the random OTs of a stage, 0 for the tables, else the level (no message but refills), into carry_pads_words()
 *  of memory that is left alone until the stage is over. In stage 0 a refill's check is postponed to the exchange of
 *  choices (cot_postpone_check): what a caller adds to that flight must not depend on a string that it receives. */
fusion_status carry_draw(struct carry *c, struct party *p, unsigned stage, uint64_t *pads) FUSION_MUST_CHECK;
void carry_draw_cost(struct cost *cost, const struct carry_tree *tree, unsigned stage, size_t count);
size_t carry_pads_words(const struct carry_tree *tree, enum role role, unsigned stage, size_t count);

/** The messages in turn; `bits`: `top` planes of this party's number. */
void carry_put_choices(const struct carry *c, const uint64_t *bits, struct flight *out);
void carry_answer(struct carry *c, const uint64_t *bits, struct flight *choices, struct flight *out);
void carry_select(struct carry *c, struct flight *tables);
void carry_put_level(const struct carry *c, unsigned level, const uint64_t *bits, struct flight *out);
/** `own`: what carry_put_level wrote at this party, rewound. */
void carry_get_level(struct carry *c, unsigned level, struct flight *own, struct flight *peer);

#endif
