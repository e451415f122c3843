/** Two parties run a circuit: the client garbles, the server evaluates.
 *
 *  Ideal functionality: the server's input words and the client's known and factor words in; additive shares of the
 *  circuit's output words out, the server's modulo 2^bits, the client's uniform. Exact; error probability 0.
 *
 *  Course, a chunk of instances at a time: the server takes correlations, in which the client is the sender, and says
 *  for each of its input bits whether it differs from the correlation's random choice (one bit). The client takes
 *  K ^ d * Delta as the wire's label for 0, with K the correlation's key, d that bit and Delta its correlation secret,
 *  which is also the offset of free XOR: so the server's mac is the label for its bit, and labels need no message. The
 *  client garbles (half_gates.h) and sends the tables; the server evaluates and has its share. The bits of the next
 *  chunk are under way while the client garbles.
 *
 *  Ahead of the inputs: the client takes K ^ E as the label for 0, E from a seeded generator, and sends the tables; the
 *  server stores them with its macs. Online the server says its bits and the client answers E ^ d * Delta, 16 bytes a
 *  bit; with them the macs become labels. So the client keeps a seed and Delta, and one round trip is left. What was
 *  made ahead serves once: a second answer to the same E would tell Delta.
 *
 *  Why a cheating server learns nothing. It gets tables and no more. Its correlations are malicious-secure (ot/cot.h):
 *  whatever it did for them, it knows one label of each input wire, that for the bit which it committed to by d, and
 *  Delta has enough entropy left. With those labels the tables are simulatable from nothing (half_gates.h), and a value
 *  of a term is masked by a hash that it cannot compute. So d is all it can choose: it changes its own input bits, as
 * if it had used another share, an error that mix-and-check sees or that changes nothing. The client decodes nothing
 * that the server sends: there is no selective failure, and its messages have the same length and distribution for all
 *  values. Ahead of the inputs, the server has the tables before it chooses d. Its labels, the rows that it opens and
 * so its share do not depend on d in the simulation; with the hash's permutation as an ideal one, every row that it
 * does not open is random to it until it guesses Delta. An answer E ^ d * Delta is masked by E, which is used once. The
 *  client learns nothing either: d is masked by the correlation's random choice. Leaks: nothing.
 *
 *  Tweaks: the hash's domain is the correlations' session and direction with a bit of its own; the index counts all
 *  hashes of the session.
 *  Cost: garbled_run_cost(). Source: Mishra et al., "Delphi", USENIX Security 2020, sec. 4, with the roles of garbler
 *  and evaluator exchanged; Zahur, Rosulek, Evans 2015; labels from correlations after Asharov et al. 2013. */
#ifndef FUSION_GARBLE_GARBLED_H
#define FUSION_GARBLE_GARBLED_H

#include "base/byte_stream.h"
#include "garble/circuit.h"
#include "net/cost.h"
#include "ot/cot.h"
#include "rand/prg.h"

/** When a gate is garbled. */
enum garbling {
  GARBLED_NOT,    /* it runs by another protocol */
  GARBLED_NOW,    /* in one go */
  GARBLED_AHEAD,  /* before there are inputs: the client's words are its own, the server's are ignored */
  GARBLED_ONLINE, /* what was made ahead: the client's words are ignored, its shares are those that it got ahead */
};

/** One party's end, for a session; what it points to is borrowed. Both parties run the same circuits in one order. */
struct garble {
  enum role role;
  struct channel *channel;
  struct cot *cot;   /* NULL online */
  struct heap *heap; /* large temporaries; NULL: none */
  uint64_t tweaks;   /* used so far; begins at 0 */
  /* Ahead and online: */
  const struct byte_stream *store; /* the server's macs and tables */
  struct prg *masks;               /* the client's E; the same generator ahead and online */
  block delta;                     /* the client's, online */
  uint64_t domain;                 /* the server's, online: garbled_domain() of what was made ahead */
};
/** Domain of the hashes, while there are correlations. */
uint64_t garbled_domain(const struct garble *g);

/** A circuit in `count` instances. Words are [count] each, in the order of the circuit's; bits above a word's are
 *  ignored. Errors: closed, peer, memory. */
struct garbled_words {
  const uint64_t *inputs[CIRCUIT_WORDS_MAX];  /* the server's */
  const uint64_t *known[CIRCUIT_WORDS_MAX];   /* the client's */
  const uint64_t *factors[CIRCUIT_WORDS_MAX]; /* the client's */
  uint64_t *outputs[CIRCUIT_WORDS_MAX];       /* shares, reduced; may be inputs, known or factors too. Zeros at the
                                                 server ahead, at the client online */
};
fusion_status garbled_run(struct garble *g, const struct circuit *c, enum garbling phase,
                          const struct garbled_words *words, size_t count) FUSION_MUST_CHECK;
void garbled_run_cost(struct cost *cost, const struct circuit *c, enum garbling phase, size_t count);
/** Bytes that a party takes while it works, words not counted. */
size_t garbled_run_memory(const struct circuit *c, enum garbling phase, size_t count, enum role role);

/** Instances that share their messages: about 8 MiB of tables. */
size_t garbled_chunk(const struct circuit *c);

#endif
