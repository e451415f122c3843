/** Files that a command writes: checked before the work, not after it. */
#ifndef FUSION_TOOLS_OUTPUTS_H
#define FUSION_TOOLS_OUTPUTS_H

#include "cli.h"

/** True when the name ends so, in any case. */
bool cli_ends_in(const char *path, const char *end);
/** A file that the line names. `path` NULL: the option was not given. */
struct cli_file {
  const char *option; /* "--report", for error texts */
  const char *path;
};
/** Lists end with a NULL option. Every output can be written as far as can be told before, and is no input (FILE:PART
 *  counts as FILE), nor another output, also not by another path. CLI_GO, or the exit code. */
int cli_check_outputs(const char *command, const struct cli_file *outputs, const struct cli_file *inputs);
/** Standard output is open. CLI_GO, or the exit code. */
int cli_check_stdout(const char *command);
/** What was printed has been written; an exit code. */
int cli_flush_stdout(const char *command);
/** Says, when a file of that name is there, that it is none of this command's. */
void cli_tell_old(const char *command, const char *path, const char *why);
/** Answers go to .npy or .csv files, or as .npy to a device. NULL: none are wanted. CLI_GO, or the exit code. */
int cli_check_answers_name(const char *command, const char *path);

#endif
