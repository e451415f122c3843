/** Measures this machine for predictions. */
#ifndef FUSION_BENCH_BENCH_SPEEDS_H
#define FUSION_BENCH_BENCH_SPEEDS_H

#include "engine/speeds.h"

/** The unit prices on this machine, in about a second. FUSION_E_MEMORY, FUSION_E_RESOURCE; FUSION_E_INTERNAL when they
 *  are not plausible, as on a machine that stood still meanwhile. */
fusion_status bench_calibrate(struct engine_speeds *out, fusion_error *err) FUSION_MUST_CHECK;

#endif
