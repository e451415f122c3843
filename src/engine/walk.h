/** What the walker's files share. A session is an engine's state and what is common to all engines; a walk is one run.
 */
#ifndef FUSION_ENGINE_WALK_H
#define FUSION_ENGINE_WALK_H

#include "engine/engine.h"

struct engine_session {
  struct engine_layout layout;
  struct engine_party party;
  const struct program_weights *weights; /* borrowed; NULL at the client */
  void *state;                           /* the engine's */
  struct engine_stats stats;
};

/** What a run is called with. */
struct walk_call {
  size_t samples;
  const int64_t *inputs;            /* the client's; NULL at the server and ahead */
  int64_t *answers;                 /* the same */
  const struct byte_stream *stream; /* NULL in one go */
};

/** One run: the shares of every tensor that a later step still reads. */
struct walk {
  struct engine_session *session;
  size_t samples;
  uint64_t **shares; /* [steps] owned; NULL before and after a tensor's life */
  bool *zero;     /* [steps] this party's share is known to be all zeros: the server's, until the first protocol step */
  uint32_t *uses; /* [steps] reads that are still to come */
};

/** A moment, and how much this session's channel has moved until then. */
struct walk_mark {
  struct channel_stats stats;
  double seconds, cpu_seconds;
};
struct walk_mark walk_mark_now(const struct engine_session *s);
/** Adds what happened since the mark to the stage. */
void walk_account(struct engine_session *s, enum operator_stage stage, struct walk_mark since);

/** The shares of the input, in w->shares[0], which holds zeros. In one go the input is the client's share. Ahead the
 *  client draws its share from a seed, which it keeps. Online it sends the input less that share. */
fusion_status walk_input(struct walk *w, const struct walk_call *call) FUSION_MUST_CHECK;
void walk_input_cost(struct cost *cost, const struct engine_layout *layout, size_t samples);

/** Shares of what is opened, in the order in which the output message packs them: the last tensor, or the winners'
 *  indices and then their values. The counts and bits are public. */
struct output_shares {
  uint64_t *first, *second; /* owned */
  size_t first_count, second_count;
  unsigned first_bits, second_bits;
};
/** Counts and bits of an output of `samples` samples. */
struct output_shares output_layout(const struct program *program, size_t samples);
/** Length of the one message that opens it to the client. */
size_t output_len(const struct output_shares *o);
/** Selects and opens the answers, [samples][program_answer_size]; NULL at the server. Ahead the client keeps its
 * shares, online it reads them. */
fusion_status walk_output(struct walk *w, int64_t *answers) FUSION_MUST_CHECK;

#endif
