/** steps: processor seconds of what gates of every engine are made of. */
#ifndef FUSION_STEPS_STEP_SECONDS_H
#define FUSION_STEPS_STEP_SECONDS_H

#include "engine/engine.h"
#include "lattice/linear.h"

/** Seconds of the gates that a cost declares, garbled ones left out: correlations at the price of making one,
 *  `correlation`, and of using it; tables; messages. */
struct engine_seconds step_seconds(const struct cost *cost, const struct engine_speeds *speeds, double correlation);

/** Of an encrypted linear layer. */
struct engine_seconds step_linear_seconds(const struct linear_layer *layer, const struct rlwe_keys *keys,
                                          size_t samples, const struct engine_speeds *speeds);

static inline void step_seconds_add(struct engine_seconds *sum, struct engine_seconds more) {
  sum->server += more.server;
  sum->client += more.client;
}

#endif
