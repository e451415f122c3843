/** The `sci-he` engine: CrypTFlow2 with homomorphic encryption (Rathee et al., CCS 2020; SCI_HE in its code).
 *
 *  Linear layers are slot encryption with Gazelle's packing (slots/slots_linear.h); their sums are shares modulo a
 * prime and go to the ring by one comparison (gates/field_ring.h). Comparisons are those of gates/ with CrypTFlow2's
 * fixed tree. Shares sum to the very values: no tensor has guard bits. Rotation keys are sent when a layer first needs
 * them. docs/protocols/slots.md. */
#ifndef FUSION_ENGINE_SCI_HE_SCI_HE_H
#define FUSION_ENGINE_SCI_HE_SCI_HE_H

#include "engine/engine.h"
#include "gates/gates.h"
#include "ot/cot_softspoken.h"
#include "silent/cot_silent_cost.h"
#include "silent/silent_set.h"
#include "slots/slots_linear.h"
#include "steps/step_gates.h"

/** Traffic of linear layers that a sample may take: 4 GiB. SqueezeNet 1.1 takes 0.2 GiB. */
#define SCI_HE_SAMPLE_MAX ((uint64_t)4 << 30)

/** They differ in where correlations come from, their tuning: a SoftSpoken stream, in place of the original's IKNP, or
 *  silent OT. */
extern const struct engine engine_sci_he, engine_sci_he_silent;

struct sci_he_tuning {
  bool silent;
};

enum { SCI_HE_PIECES_MAX = 16 };

/** engine_layout.own. */
struct sci_he_layout {
  struct step_style style;
  uint8_t *pieces;             /* owned: [steps]: into so many the client's share of a linear layer's input is cut */
  struct silent_params silent; /* of a session of expected_samples */
  /* The source that open_cost leaves in a cost: one of them, by the tuning. */
  struct cot_softspoken_cost stream_cost;
  struct cot_cost silent_cost;
  struct slots_elements sent; /* rotation keys that the cost at hand has declared, since open_cost */
};

static inline bool sci_he_is_silent(const struct engine_layout *layout) {
  return ((const struct sci_he_tuning *)layout->engine->tuning)->silent;
}
static inline struct sci_he_layout *sci_he_own(const struct engine_layout *layout) {
  return layout->own;
}

fusion_status sci_he_layout_open(struct engine_layout *layout, fusion_error *err) FUSION_MUST_CHECK;
void sci_he_layout_close(struct engine_layout *layout);

/* How a program's step maps to the protocols' public parameters: one place for the run, its cost and its memory. */

/** A linear layer runs once for each piece of the client's x, which is their sum, each times 2^shift: one where the
 *  sums of whole numbers fit a plaintext modulus. Pieces are signed. */
struct sci_he_piece {
  struct layer_shape layer; /* its ring_bits: the piece's width */
  unsigned shift;
};
struct sci_he_piece sci_he_piece(const struct engine_layout *layout, uint32_t number, unsigned piece);
/** Its conversion, to a ring of what the shift leaves. */
struct field_ring sci_he_field(const struct slots_layout *l, const struct engine_layout *layout, uint32_t number,
                               unsigned shift);

/** Declares a linear layer's run; `have` are the rotation keys that the session has, and gets those it lacks. */
void sci_he_linear_cost(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples,
                        struct slots_elements *have);

/** A session's state. */
struct sci_he {
  struct party party;
  struct cot *cot;     /* owned; the party's */
  struct slots *slots; /* owned */
};
extern const struct engine_gate sci_he_gates[GATE_COUNT];

void sci_he_open_cost(const struct engine_layout *layout, struct cost *cost);
size_t sci_he_memory(const struct engine_layout *layout, enum role role);
struct engine_seconds sci_he_open_seconds(const struct engine_layout *layout, size_t samples,
                                          const struct engine_speeds *speeds);
struct engine_seconds sci_he_gate_seconds(const struct engine_layout *layout, const struct engine_step *step,
                                          const struct engine_speeds *speeds);

#endif
