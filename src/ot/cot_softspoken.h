/** A stream of correlations made by SoftSpoken alone, both directions: extension is one message from the receiver to
 *  the sender, so that traffic is about 16 / k bytes a correlation, as in OT extension before silence, but nothing is
 *  ever grown from a code.
 *
 *  Functionality: `struct cot` (ot/cot.h), any number of correlations in each direction, in the order taken. A take
 * that finds a direction's stock empty extends it by SOFTSPOKEN_CHUNK, or by what is left of the expectation if that is
 * less, whatever is wanted: so when messages go depends on how many were taken before alone. Why a cheating server
 * learns nothing: SoftSpoken's argument (ot/softspoken.h), once a chunk: a chunk's check has passed before any of it is
 * handed out. The session number is hashed from both parties' nonces, the client's last. Cost:
 * cot_open_softspoken_cost(), cost_take_cots(). Source: Roy, CRYPTO 2022. */
#ifndef FUSION_OT_COT_SOFTSPOKEN_H
#define FUSION_OT_COT_SOFTSPOKEN_H

#include "ot/softspoken.h"

/** Public; the same on both sides. */
struct cot_softspoken_params {
  unsigned field_bits;  /* k; 0: the default */
  uint64_t expected[2]; /* correlations that the session will take, by who is the OT sender; 0: unknown. A hint: more or
                           fewer may be taken */
  bool begun_early;     /* what directions that are expected to be used begin with is made when the source is completed,
                           where the server sends, and by cot_begin(), which is called before anything is taken */
};
/** The default k, and no expectation. */
extern const struct cot_softspoken_params cot_softspoken_usual;

/** Opens both directions; both parties call it at the same point with equal `params`. Returns owned (cot_close). */
fusion_status cot_open_softspoken(struct cot **out, const struct cot_opening *opening,
                                  const struct cot_softspoken_params *params) FUSION_MUST_CHECK;

/** Most memory that one party's end holds, both directions together. */
size_t cot_softspoken_memory(const struct cot_softspoken_params *params);

/** Model of one session's stream for its costs: what is in stock. Owned by the caller, who must keep it as long as the
 *  cost that points to it is added to. */
struct cot_softspoken_cost {
  struct cost_source source;
  struct cot_softspoken_params params;
  uint64_t made[2];                      /* so far, by who is the OT sender */
  uint64_t ready[2];                     /* by who is the OT sender */
  bool begun;                            /* the direction in which the client sends has been extended */
  uint32_t opened_server, opened_client; /* depths */
};
/** Declares cot_open_softspoken() and attaches `model` to the cost: takes then declare their refills. */
void cot_open_softspoken_cost(struct cost *cost, struct cot_softspoken_cost *model,
                              const struct cot_softspoken_params *params);

#endif
