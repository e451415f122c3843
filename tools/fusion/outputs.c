#include "outputs.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

bool cli_ends_in(const char *path, const char *end) {
  const size_t len = strlen(path), end_len = strlen(end);
  return len > end_len && strcasecmp(path + len - end_len, end) == 0;
}

int cli_check_answers_name(const char *command, const char *path) {
  struct stat info;
  if (!path || cli_ends_in(path, ".npy") || cli_ends_in(path, ".csv")) return CLI_GO;
  if (stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) return CLI_GO;
  return cli_usage(command, "--output-file: '%s': the kind of file is unknown; answers are written as .npy or .csv",
                   path);
}
