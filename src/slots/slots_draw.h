/** What the files of slot encryption have in common: sampling, and residues on the wire. */
#ifndef FUSION_SLOTS_SLOTS_DRAW_H
#define FUSION_SLOTS_SLOTS_DRAW_H

#include "base/bits.h"
#include "lattice/lattice_kernels.h"
#include "slots/slots.h"

/** N uniform values below p, from a public stream. */
void slots_draw_uniform(struct prg *stream, uint64_t *out, uint64_t p);
/** N noise / ternary coefficients from the party's secret generator. */
void slots_draw_noise(struct slots *s, int32_t *out);
void slots_draw_ternary(struct slots *s, int32_t *out);
/** Small coefficients modulo a limb's prime, transformed. */
void slots_small_forward(const struct slots *s, uint64_t *out, const int32_t *small, size_t limb);
/** Reads polynomials whose limbs follow one another; FUSION_E_PEER when a value is not below its prime. */
fusion_status slots_get_residues(struct channel *c, struct bit_reader *b, uint64_t *out, size_t polys,
                                 size_t limbs) FUSION_MUST_CHECK;

#endif
