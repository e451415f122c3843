/** The `cheetah` engine (docs/design.md 6): batched RLWE for linear layers, silent OT for everything else.
 *
 *  What it derives from a program: that of all engines with encrypted linear layers (steps/encrypted_steps.h); the
 *  session's keys and correlations. */
#ifndef FUSION_ENGINE_CHEETAH_CHEETAH_H
#define FUSION_ENGINE_CHEETAH_CHEETAH_H

#include "engine/engine.h"
#include "lattice/matrix.h"
#include "ot/cot_softspoken.h"
#include "silent/cot_silent_cost.h"
#include "silent/cot_stock.h"
#include "silent/silent_set.h"
#include "steps/encrypted_steps.h"

/** They differ in the correlations' parameter set (silent/silent_set.h), their tuning: `wan` moves less and computes
 *  more. */
extern const struct engine engine_cheetah, engine_cheetah_wan;

/** engine_layout.own. */
struct cheetah_layout {
  struct encrypted_steps steps;
  uint8_t *levels;            /* owned: [steps], of products of matrices (lattice/matrix.h); 0: by correlations */
  bool linear_first;          /* the first gate of a run is a linear layer; not where it was prepared */
  struct cot_stock_plan plan; /* the correlations of a session. By a SoftSpoken stream where they are so few that it has
                                 fewer bytes than silent OT, which begins with 67,000 */
  /* The source that open_cost leaves in a cost: one of them. */
  struct cot_cost refill;
  struct cot_softspoken_cost stream_cost;
};

static inline const struct cheetah_layout *cheetah_own(const struct engine_layout *layout) {
  return layout->own;
}

/** The correlations of a run of `samples` samples. */
struct cot_stock_plan cheetah_plan(const struct engine_layout *layout, size_t samples, bool *out_of_memory);

fusion_status cheetah_prepare(const struct engine *engine, struct model *model, fusion_error *err) FUSION_MUST_CHECK;
fusion_status cheetah_layout_open(struct engine_layout *layout, fusion_error *err) FUSION_MUST_CHECK;
void cheetah_layout_close(struct engine_layout *layout);

/** A session's state. */
struct cheetah {
  struct party party;
  struct cot *cot;    /* owned; the party's. Online the run's; NULL ahead and before the first */
  struct rlwe *rlwe;  /* owned; the same */
  struct prg *ot_prg; /* owned: of the correlations' set-up */
  bool incomplete;    /* that is not over */
  bool first_layer;   /* is still to come, and does what is left of it */
  uint64_t stocks;    /* made ahead so far */
  uint64_t begun;     /* runs from such, so far */
};
extern const struct engine_gate cheetah_gates[GATE_COUNT];

/** The linear layer behind step `number`; 0: there is none, or a product of matrices comes first, for which what is
 * begun of a layer would be dropped. */
uint32_t cheetah_next_linear(const struct program *program, uint32_t number);
/** While this party waits for a message: a piece of what it will need (channel_set_idle). */
bool cheetah_work_ahead(void *state);

/** Before a session's first layer: the layer does what is left of the correlations' set-up. */
fusion_status cheetah_first_layer(struct cheetah *c) FUSION_MUST_CHECK;

/** Fills own->levels, and adds to the keys. */
fusion_status cheetah_choose_matrices(const struct engine_layout *layout) FUSION_MUST_CHECK;
/** Zeros where the product is not encrypted. */
struct matrix_work cheetah_matrix_work(const struct engine_layout *layout, uint32_t number, size_t samples);
fusion_status cheetah_matmul_run(void *state, const struct gate_call *call);
void cheetah_matmul_cost(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples);
size_t cheetah_matmul_memory(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role);

/** Runs prepared ahead: their keys and correlations are made and kept, and restored online. */
fusion_status cheetah_stock(void *state, const struct engine_party *party, size_t samples) FUSION_MUST_CHECK;
void cheetah_stock_cost(const struct engine_layout *layout, struct cost *cost, size_t samples);
fusion_status cheetah_begin(void *state, const struct engine_party *party) FUSION_MUST_CHECK;

void cheetah_open_cost(const struct engine_layout *layout, struct cost *cost);
size_t cheetah_memory(const struct engine_layout *layout, enum role role);
/** Of the next layer, which the server begins while this step runs. */
size_t cheetah_memory_beside(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role);
struct engine_seconds cheetah_open_seconds(const struct engine_layout *layout, size_t samples,
                                           const struct engine_speeds *speeds);
struct engine_seconds cheetah_gate_seconds(const struct engine_layout *layout, const struct engine_step *step,
                                           const struct engine_speeds *speeds);

#endif
