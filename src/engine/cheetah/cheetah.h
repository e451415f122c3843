/** The `cheetah` engine (docs/design.md 6): batched RLWE for linear layers, silent OT for everything else.
 *
 *  What it derives from a program: for each linear layer the parameter set of its encryption, which its section of the
 *  program holds; for each raw tensor how many noise terms its shares carry and how many guard bits hold them; the
 *  session's keys and correlations. */
#ifndef FUSION_ENGINE_CHEETAH_CHEETAH_H
#define FUSION_ENGINE_CHEETAH_CHEETAH_H

#include "engine/engine.h"
#include "gates/gates.h"
#include "lattice/linear.h"
#include "silent/cot_silent_cost.h"
#include "silent/silent_set.h"

/** They differ in the correlations' parameter set (silent/silent_set.h), their tuning: `wan` moves less and computes
 *  more. */
extern const struct engine engine_cheetah, engine_cheetah_wan;

/** engine_layout.own. The shares of a raw tensor sum to value * 2^guard + eps modulo 2^(ring + guard), where
 *  -2 * terms <= eps <= 0 and 2^guard > 2 * terms: a linear layer makes one term, an addition sums its inputs'. */
struct cheetah_layout {
  uint8_t *terms;        /* owned: [steps], 0: clean */
  uint8_t *sets;         /* owned: [steps], rlwe_set of linear layers (lattice/params.h) */
  struct rlwe_keys keys; /* of a session of expected_samples */
  struct silent_params silent;
  struct cot_cost refill; /* the source that open_cost leaves in a cost */
};

static inline const struct cheetah_layout *cheetah_own(const struct engine_layout *layout) {
  return layout->own;
}

fusion_status cheetah_prepare(const struct engine *engine, struct model *model, fusion_error *err) FUSION_MUST_CHECK;
fusion_status cheetah_layout_open(struct engine_layout *layout, fusion_error *err) FUSION_MUST_CHECK;
void cheetah_layout_close(struct engine_layout *layout);

/* How a program's step maps to the protocols' public parameters: one place for the run, its cost and its memory. */
struct linear_layer cheetah_linear(const struct engine_layout *layout, uint32_t number);
struct relu_truncate cheetah_relu(const struct engine_layout *layout, uint32_t number);
struct maxpool cheetah_maxpool(const struct program *program, uint32_t number);
struct top_k cheetah_top_k(const struct program *program);

/** A session's state. */
struct cheetah {
  struct party party;
  struct cot *cot;   /* owned; the party's */
  struct rlwe *rlwe; /* owned */
};
extern const struct engine_gate cheetah_gates[GATE_COUNT];

void cheetah_open_cost(const struct engine_layout *layout, struct cost *cost);
size_t cheetah_memory(const struct engine_layout *layout, enum role role);
void cheetah_seconds(const struct engine_layout *layout, size_t samples, struct engine_seconds *opening,
                     struct engine_seconds *run);

#endif
