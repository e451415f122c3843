/** What the tests of model/ share: random graphs and arrays. */
#ifndef FUSION_TESTS_MODEL_SUPPORT_H
#define FUSION_TESTS_MODEL_SUPPORT_H

#include "compile/quantise.h"
#include "support/support.h"

/** Uniform in [-1, 1). */
float random_unit(uint64_t *state);
/** `count` such values times `scale`; freed by mem_free. */
float *random_floats(uint64_t *state, size_t count, float scale);

/** A graph with the named shape of network, random weights:
 *  "mlp", "conv" (strides, pads, pools), "residual" (raw + clean and raw + raw additions), "concat", "pooled" (Relus
 * behind their pools), "quadratic", "clip" (offsets), "depthwise" (groups, affine maps, linear bottleneck addition),
 * "average" (padded averages, averages in additions).
 */
struct graph *random_network(const char *kind, uint64_t *state);
extern const char *const network_kinds[];

/** Compiles a random network with fixed widths on random samples. Fails the test when it cannot. */
struct model *random_model(const char *kind, uint64_t *state, unsigned weight_bits, unsigned activation_bits);
struct model *random_model_with(const char *kind, uint64_t *state, const struct quantise_options *options);

#endif
