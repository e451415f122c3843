/** The `sci-ot` engine (docs/protocols/sci-ot.md): CrypTFlow2's SCI_OT, oblivious transfer for everything. Linear
 * layers are products from correlations (gates/product_cot.h), nonlinear steps use the fixed tree of four-bit digits
 *  (gates/carry.h). Shares are of the very values: no guard bits, no section of the program. */
#ifndef FUSION_ENGINE_SCI_OT_SCI_OT_H
#define FUSION_ENGINE_SCI_OT_SCI_OT_H

#include "engine/engine.h"
#include "gates/gates.h"
#include "ot/cot_softspoken.h"
#include "silent/cot_silent_cost.h"
#include "silent/silent_set.h"
#include "steps/step_gates.h"

/** They differ in where correlations come from, their tuning: a SoftSpoken stream, in place of the original's IKNP, or
 *  silent OT. */
extern const struct engine engine_sci_ot, engine_sci_ot_silent;

struct sci_ot_tuning {
  bool silent;
};

/** Traffic of linear layers that a sample may take: 1 GiB. ResNet-20 for CIFAR-10 takes about 0.6 GiB. What takes more
 *  takes minutes a sample on a fast line: other engines do it in a hundredth of the bytes. */
#define SCI_OT_SAMPLE_MAX ((uint64_t)1 << 30)

/** engine_layout.own. */
struct sci_ot_layout {
  struct step_style style;
  struct silent_params silent; /* of a session of expected_samples */
  /* The source that open_cost leaves in a cost: one of them, by the tuning. */
  struct cot_softspoken_cost stream_cost;
  struct cot_cost silent_cost;
};

static inline const struct sci_ot_tuning *sci_ot_tuning(const struct engine_layout *layout) {
  return layout->engine->tuning;
}

fusion_status sci_ot_layout_open(struct engine_layout *layout, fusion_error *err) FUSION_MUST_CHECK;
void sci_ot_layout_close(struct engine_layout *layout);

/** A session's state. */
struct sci_ot {
  struct party party;
  struct cot *cot; /* owned; the party's */
};
extern const struct engine_gate sci_ot_gates[GATE_COUNT];

#endif
