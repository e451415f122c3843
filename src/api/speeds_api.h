/** Speeds as callers give them, inside the library. */
#ifndef FUSION_API_SPEEDS_API_H
#define FUSION_API_SPEEDS_API_H

#include <fusion/model.h>

#include "engine/speeds.h"

/** NULL: those of the usual machine. FUSION_E_USAGE, with `what` first, for speeds that no machine has. */
fusion_status speeds_take(struct engine_speeds *out, const fusion_speeds *theirs, const char *what,
                          fusion_error *err) FUSION_MUST_CHECK;

#endif
