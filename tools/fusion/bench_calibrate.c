/* fusion bench calibrate: how fast this machine is, for predictions. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench_line.h"
#include "machine_speeds.h"

static const char about[] =
    "Measures in about a second how fast this machine does what predictions count, and keeps it in the user's cache "
    "for the times that compile, inspect and query predict and serve tells its clients. All but query do it by "
    "themselves when nothing is kept for this processor and release.";

static json_t *speeds_json(const fusion_speeds *speeds, const char *path) {
  json_t *seconds = json_object();
  for (size_t i = 0; fusion_speed_name(i); i++)
    json_object_set_new(seconds, fusion_speed_name(i), json_real(speeds->seconds[i]));
  return json_pack("{s:s, s:s, s:s, s:o}", "version", fusion_version(), "tier", fusion_cpu_tier(), "file", path,
                   "seconds", seconds);
}

int bench_calibrate(int argc, char **argv) {
  bool json = false, kept;
  struct cli_option options[CLI_OPTIONS_MAX + 1] = {{.name = NULL}};
  char path[PATH_MAX];
  cli_add_json(options, &json);
  const struct cli_syntax syntax = {
      .command = "bench calibrate", .synopsis = "[options]", .about = about, .options = options};
  const int done = cli_parse(&syntax, argc, argv, NULL, NULL);
  if (done != CLI_GO) return done;
  fusion_error err = {.status = FUSION_OK};
  fusion_speeds speeds = {.size = sizeof speeds};
  if (!cli_speeds_path(path)) {
    cli_error("bench", "no place to keep speeds: set HOME or XDG_CACHE_HOME");
    return CLI_EXIT_IO;
  }
  const fusion_status status = cli_speeds_measure(&speeds, path, &kept, &err);
  if (status != FUSION_OK) return cli_failed("bench", status, &err);
  if (!kept) {
    cli_error("bench", "'%s': cannot be written: %s", path, strerror(errno));
    return CLI_EXIT_IO;
  }
  if (json) return cli_print_json(speeds_json(&speeds, path));
  for (size_t i = 0; fusion_speed_name(i); i++)
    printf("%-24s %11.4g ns\n", fusion_speed_name(i), 1e9 * speeds.seconds[i]);
  printf("written                  %s\n", path);
  return CLI_EXIT_OK;
}
