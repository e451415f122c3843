/** Files that a command writes: checked before the work, not after it. */
#ifndef FUSION_TOOLS_OUTPUTS_H
#define FUSION_TOOLS_OUTPUTS_H

#include "cli.h"

/** True when the name ends so, in any case. */
bool cli_ends_in(const char *path, const char *end);
/** Answers go to .npy or .csv files, or as .npy to a device. NULL: none are wanted. CLI_GO, or the exit code. */
int cli_check_answers_name(const char *command, const char *path);

#endif
