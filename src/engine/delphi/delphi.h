/** The `delphi` engine (docs/protocols/delphi.md): batched RLWE for linear layers, garbled circuits for everything
 * else. After Mishra, Lehmkuhl, Srinivasan, Zheng, Popa: "Delphi", USENIX Security 2020, with the roles of garbler and
 *  evaluator exchanged, so that a cheating server learns nothing, and over the program's rings, so that it is exact.
 *
 *  The client's share of every tensor follows from its own randomness and its input's share alone: of a linear layer
 *  from the encrypted product, of every other gate from its masks. Nothing that the server sends changes it, but for
 * the masks of encrypted products. */
#ifndef FUSION_ENGINE_DELPHI_DELPHI_H
#define FUSION_ENGINE_DELPHI_DELPHI_H

#include "engine/engine.h"
#include "silent/cot_silent_cost.h"
#include "silent/silent_set.h"
#include "steps/encrypted_steps.h"

extern const struct engine engine_delphi;

/** engine_layout.own. */
struct delphi_layout {
  struct encrypted_steps steps;
  struct silent_params silent;
  struct cot_cost refill; /* the source that open_cost leaves in a cost */
};

static inline const struct delphi_layout *delphi_own(const struct engine_layout *layout) {
  return layout->own;
}

fusion_status delphi_layout_open(struct engine_layout *layout, fusion_error *err) FUSION_MUST_CHECK;
void delphi_layout_close(struct engine_layout *layout);

/** A session's state. */
struct delphi {
  struct party party;
  struct garble garble; /* the party's */
  struct cot *cot;      /* owned; the client is always the sender */
  struct rlwe *rlwe;    /* owned; NULL online, as is cot */
  struct prg *masks;    /* owned: the run's, of garble (ahead and online) */
};

/** y [samples][outputs] += 2^guard * (W (*) x), modulo 2^64: the server's own product on its own share, online. */
void delphi_add_product(const struct linear_layer *layer, const int16_t *weights, const uint64_t *x, uint64_t *y,
                        size_t samples);

fusion_status delphi_begin(void *state, const struct engine_party *party) FUSION_MUST_CHECK;
void delphi_begin_cost(const struct engine_layout *layout, struct cost *cost);
extern const struct engine_gate delphi_gates[GATE_COUNT];

void delphi_open_cost(const struct engine_layout *layout, struct cost *cost);
size_t delphi_memory(const struct engine_layout *layout, enum role role);
struct engine_seconds delphi_open_seconds(const struct engine_layout *layout, size_t samples,
                                          const struct engine_speeds *speeds);
struct engine_seconds delphi_gate_seconds(const struct engine_layout *layout, const struct engine_step *step,
                                          const struct engine_speeds *speeds);

#endif
