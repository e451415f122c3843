/** The noise of linear layers' answers. */
#ifndef FUSION_LATTICE_LINEAR_NOISE_H
#define FUSION_LATTICE_LINEAR_NOISE_H

#include "lattice/params.h"

/** Bound on the noise of one output channel in units of the lowest kept bit, with the norms of its weights, low bits of
 *  the query dropped; must stay below 1/2. */
double linear_noise_bound(const struct rlwe_params *p, unsigned kept_bits, unsigned dropped, double norm_1,
                          double norm_2);

/** For a layer whose answers are interleaved in so many levels, with keys of that cut: the most bits that queries may
 * drop, -1 where none fit. dropped: as linear_choose_set found it from the weights. They stay unknown: all that holds
 * of their norms follows from `dropped`, which is public, and the number of rows. */
int linear_interleaved_dropped(const struct rlwe_params *p, unsigned kept_bits, unsigned dropped, size_t rows,
                               unsigned levels, size_t cut);

#endif
