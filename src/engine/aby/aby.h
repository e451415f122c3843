/** The `aby` engine (docs/protocols/aby.md): multiplication triples for linear layers and products, garbled circuits
 * for everything else. After Demmler, Schneider, Zohner: "ABY", NDSS 2015, with the roles of garbler and evaluator
 * exchanged, so that a cheating server learns nothing. Shares are of the very values: no guard bits, no section of the
 * program. */
#ifndef FUSION_ENGINE_ABY_ABY_H
#define FUSION_ENGINE_ABY_ABY_H

#include "engine/engine.h"
#include "gates/gates.h"
#include "ot/cot_softspoken.h"
#include "steps/step_gates.h"

/** They differ in how linear layers use triples, their tuning: one for each product, as ABY, or one in the form of
 *  matrices for a layer, as SecureML, for a seventh of the traffic. */
extern const struct engine engine_aby, engine_aby_matrix;

struct aby_tuning {
  bool matrix;
};
static inline const struct aby_tuning *aby_tuning(const struct engine_layout *layout) {
  return layout->engine->tuning;
}

/** Traffic of triples that a sample may take: 1 GiB, some 4 million multiplications in rings of 24 bits. What takes
 * more takes minutes a sample on a fast line. */
#define ABY_SAMPLE_MAX ((uint64_t)1 << 30)

/** engine_layout.own: the source that open_cost leaves in a cost. */
struct aby_layout {
  struct step_style style;
  struct cot_softspoken_cost stream_cost;
};

fusion_status aby_layout_open(struct engine_layout *layout, fusion_error *err) FUSION_MUST_CHECK;
void aby_layout_close(struct engine_layout *layout);

/** A session's state. */
struct aby {
  struct party party;
  struct garble garble; /* the party's */
  struct cot *cot;      /* owned; the party's */
};
extern const struct engine_gate aby_gates[GATE_COUNT];

#endif
