/** How fast this machine is, for predictions: measured once, kept in the user's cache. */
#ifndef FUSION_TOOLS_MACHINE_SPEEDS_H
#define FUSION_TOOLS_MACHINE_SPEEDS_H

#include <limits.h>

#include "cli.h"

/** Where they are kept, $XDG_CACHE_HOME/fusion/speeds-TIER or ~/.cache/fusion/speeds-TIER; false: nowhere. */
bool cli_speeds_path(char path[PATH_MAX]);
/** Those of any machine, from a file. */
bool cli_speeds_load(const char *path, fusion_speeds *out);
/** Measures this machine, about a second, and keeps what it finds; *kept: whether that could be written (errno). */
fusion_status cli_speeds_measure(fusion_speeds *out, const char *path, bool *kept, fusion_error *err);
/** This machine's, measured if none of this processor, tier and release are kept, with a line on standard error
 *  (command NULL: without).
 *  False: predict for the usual machine, since the user wants no calibration or it failed (a line says so). */
bool cli_speeds(const char *command, fusion_speeds *out);
/** The same if they are kept already; nothing is measured, and nothing said. */
bool cli_speeds_kept(fusion_speeds *out);
/** False when FUSION_CALIBRATION=no. */
bool cli_speeds_wanted(void);

#endif
