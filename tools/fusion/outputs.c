#include "outputs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

bool cli_ends_in(const char *path, const char *end) {
  const size_t len = strlen(path), end_len = strlen(end);
  return len > end_len && strcasecmp(path + len - end_len, end) == 0;
}

/* Devices and pipes are written through: they may be named twice. */
static bool is_device(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

static bool same_file(const char *a, const char *b) {
  struct stat first, second;
  if (is_device(a)) return false;
  if (strcmp(a, b) == 0) return true;
  if (stat(a, &first) != 0 || stat(b, &second) != 0) return false;
  return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

/* The input, or where it is FILE:PART its file. */
static bool is_input(const char *output, const char *input) {
  char file[4096];
  const char *colon = strrchr(input, ':');
  if (same_file(output, input)) return true;
  if (!colon || (size_t)(colon - input) >= sizeof file) return false;
  snprintf(file, sizeof file, "%.*s", (int)(colon - input), input);
  return same_file(output, file);
}

static int check_writable(const char *command, const char *path) {
  struct stat info;
  if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
    cli_error(command, "'%s': is a folder; give a file", path);
    return CLI_EXIT_IO;
  }
  const char *slash = strrchr(path, '/');
  char folder[4096] = ".";
  if (slash) snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
  if (is_device(path) ? access(path, W_OK) == 0 : access(folder, W_OK | X_OK) == 0) return CLI_GO;
  cli_error(command, is_device(path) ? "'%s': cannot be written" : "'%s': cannot write to this folder", path);
  return CLI_EXIT_IO;
}

int cli_check_outputs(const char *command, const struct cli_file *outputs, const struct cli_file *inputs) {
  for (const struct cli_file *o = outputs; o->option; o++) {
    if (!o->path) continue;
    for (const struct cli_file *i = inputs; i->option; i++)
      if (i->path && is_input(o->path, i->path))
        return cli_usage(command, "%s '%s': would overwrite the file that %s names", o->option, o->path, i->option);
    for (const struct cli_file *other = outputs; other < o; other++)
      if (other->path && same_file(o->path, other->path))
        return cli_usage(command, "%s '%s': is also the file of %s", o->option, o->path, other->option);
    const int code = check_writable(command, o->path);
    if (code != CLI_GO) return code;
  }
  return CLI_GO;
}

int cli_check_stdout(const char *command) {
  if (fcntl(STDOUT_FILENO, F_GETFL) != -1) return CLI_GO;
  cli_error(command, "standard output is closed");
  return CLI_EXIT_IO;
}

int cli_flush_stdout(const char *command) {
  if (fflush(stdout) == 0 && !ferror(stdout)) return CLI_EXIT_OK;
  cli_error(command, "standard output cannot be written");
  return CLI_EXIT_IO;
}

void cli_tell_old(const char *command, const char *path, const char *why) {
  struct stat info;
  if (path && stat(path, &info) == 0 && S_ISREG(info.st_mode))
    cli_error(command, "note: '%s' is an older file: %s", path, why);
}

int cli_check_answers_name(const char *command, const char *path) {
  if (!path || is_device(path) || cli_ends_in(path, ".npy") || cli_ends_in(path, ".csv")) return CLI_GO;
  return cli_usage(command, "--output-file: '%s': the name must end in .npy or .csv", path);
}
