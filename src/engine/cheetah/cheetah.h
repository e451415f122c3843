/** The `cheetah` engine (DESIGN 6): batched RLWE for linear layers, silent OT for everything else. */
#ifndef FUSION_ENGINE_CHEETAH_CHEETAH_H
#define FUSION_ENGINE_CHEETAH_CHEETAH_H

#include "engine/engine.h"
#include "gates/gates.h"
#include "lattice/linear.h"
#include "silent/silent_set.h"

/** They differ in the correlations' parameter set (ot/silent_set.h): `wan` moves less and computes more. */
extern const struct engine engine_cheetah, engine_cheetah_wan;

/* How a program's step maps to the protocols' public parameters: one place for the run, its cost and its memory. */

struct linear_layer cheetah_linear(const struct program *program, const struct program_step *step);
struct relu_truncate cheetah_relu(const struct program *program, const struct program_step *step);
struct maxpool cheetah_maxpool(const struct program *program, const struct program_step *step);
struct top_k cheetah_top_k(const struct program *program);

/** Correlations for a session of `expected_samples`: how many it will take in each direction. */
fusion_status cheetah_silent_params(struct silent_params *out, const struct program *program, size_t expected_samples,
                                    enum silent_profile profile) FUSION_MUST_CHECK;

/** Keys for a session of `expected_samples`. */
struct rlwe_keys cheetah_rlwe_keys(const struct program *program, size_t expected_samples);

/** Bits of one share of the step's tensor: ring and guard. */
static inline unsigned cheetah_share_bits(const struct program_tensor *t) {
  return (unsigned)t->ring_bits + t->guard_bits;
}

/** Length of the one message that opens the answers of `samples` samples to the client. */
size_t cheetah_output_len(const struct program *program, size_t samples);

fusion_status cheetah_cost(const struct program *program, const size_t *shard_samples, size_t shards,
                           struct cost *cost);
fusion_status cheetah_wan_cost(const struct program *program, const size_t *shard_samples, size_t shards,
                               struct cost *cost);
struct engine_work cheetah_work(const struct program *program, size_t samples);
size_t cheetah_memory(const struct program *program, size_t samples, enum role role);
size_t cheetah_wan_memory(const struct program *program, size_t samples, enum role role);

#endif
