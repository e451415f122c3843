/* How fast this machine is, for predictions: measured once, kept in the user's cache. */
#include "machine_speeds.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 8192, KEY_LEN = 512 };

static const char magic[] = "fusion speeds 1\n";

/* What tells one processor from another in /proc/cpuinfo, on x86 and on ARM. */
static const char *const cpu_lines[] = {"vendor_id", "cpu family",      "model",       "model name",
                                        "stepping",  "CPU implementer", "CPU variant", "CPU part"};

static bool is_cpu_line(const char *line) {
  const size_t len = strcspn(line, "\t:");
  for (size_t i = 0; i < sizeof cpu_lines / sizeof *cpu_lines; i++)
    if (strlen(cpu_lines[i]) == len && strncmp(line, cpu_lines[i], len) == 0) return true;
  return false;
}

static void append(char key[KEY_LEN], const char *text) {
  const size_t at = strlen(key);
  snprintf(key + at, KEY_LEN - at, "%s ", text);
}

/* The release, the kernels and the first processor: what speeds are of. One line. */
static void machine_key(char key[KEY_LEN]) {
  char line[KEY_LEN];
  key[0] = '\0';
  append(key, fusion_version());
  append(key, fusion_cpu_tier());
  FILE *f = fopen("/proc/cpuinfo", "re");
  while (f && fgets(line, sizeof line, f) && line[0] != '\n') {
    const char *value = strchr(line, ':');
    line[strcspn(line, "\n")] = '\0';
    if (value && value[1] && is_cpu_line(line)) append(key, value + 2);
  }
  if (f) fclose(f);
}

/* $XDG_CACHE_HOME/fusion/speeds-TIER, or below ~/.cache; false when there is no such place. */
static bool cache_path(char path[PATH_MAX], const char *end) {
  const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  if (cache && cache[0] == '/') return snprintf(path, PATH_MAX, "%s/fusion%s", cache, end) < PATH_MAX;
  return home && home[0] == '/' && snprintf(path, PATH_MAX, "%s/.cache/fusion%s", home, end) < PATH_MAX;
}

bool cli_speeds_path(char path[PATH_MAX]) {
  char end[CLI_TEXT_LEN];
  snprintf(end, sizeof end, "/speeds-%s", fusion_cpu_tier());
  return cache_path(path, end);
}

/* "NAME VALUE" for each speed, in order, and nothing else. */
static bool parse_speeds(const char *text, fusion_speeds *out) {
  const char *name;
  for (size_t i = 0; (name = fusion_speed_name(i)); i++) {
    const size_t len = strlen(name);
    char *end;
    if (strncmp(text, name, len) != 0 || text[len] != ' ') return false;
    out->seconds[i] = strtod(text + len + 1, &end);
    if (*end != '\n') return false;
    text = end + 1;
  }
  return !*text;
}

/* Owned text; NULL with errno set. */
static char *read_text(const char *path) {
  FILE *f = fopen(path, "re");
  if (!f) return NULL;
  char *text = calloc(1, FILE_MAX);
  const size_t len = text ? fread(text, 1, FILE_MAX - 1, f) : 0;
  if (text && strlen(text) != len) text[0] = '\0'; /* zeros inside: no text */
  fclose(f);
  return text;
}

static bool plausible(const fusion_speeds *speeds) {
  fusion_speeds usual;
  fusion_speeds_init(&usual, sizeof usual);
  for (size_t i = 0; fusion_speed_name(i); i++) {
    const double ratio = speeds->seconds[i] / usual.seconds[i];
    if (!(ratio >= 1.0 / 128 && ratio <= 128)) return false;
  }
  return true;
}

/* KEPT_OLD: what another release wrote, which measured other things. */
enum kept { KEPT_NONE, KEPT_DAMAGED, KEPT_OLD, KEPT_OTHER, KEPT_THIS };

static enum kept parse_file(const char *text, fusion_speeds *out) {
  char key[KEY_LEN];
  if (strncmp(text, magic, strlen(magic)) != 0) return KEPT_DAMAGED;
  text += strlen(magic);
  machine_key(key);
  const size_t len = strcspn(text, "\n");
  const bool same = len == strlen(key) && strncmp(text, key, len) == 0;
  const bool whole = text[len] && parse_speeds(text + len + 1, out) && plausible(out);
  if (!whole) return same || !text[len] ? KEPT_DAMAGED : KEPT_OLD;
  return same ? KEPT_THIS : KEPT_OTHER;
}

static enum kept load(const char *path, fusion_speeds *out) {
  char *text = read_text(path);
  if (!text) return KEPT_NONE;
  const enum kept kept = parse_file(text, out);
  free(text);
  return kept;
}

bool cli_speeds_load(const char *path, fusion_speeds *out) {
  const enum kept kept = load(path, out);
  return kept == KEPT_THIS || kept == KEPT_OTHER;
}

/* Makes the folders above the file. */
static void make_folders(void) {
  char path[PATH_MAX];
  if (!cache_path(path, "")) return;
  char *last = strrchr(path, '/');
  *last = '\0';
  mkdir(path, 0700);
  *last = '/';
  mkdir(path, 0700);
}

/* It appears under its name complete or not at all. */
static bool save(const char *path, const fusion_speeds *speeds) {
  char key[KEY_LEN], part[PATH_MAX];
  if (snprintf(part, sizeof part, "%s.XXXXXX", path) >= (int)sizeof part) return false;
  const int fd = mkstemp(part);
  FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
  if (!f) {
    if (fd >= 0) close(fd);
    return false;
  }
  machine_key(key);
  bool well = fprintf(f, "%s%s\n", magic, key) > 0;
  for (size_t i = 0; fusion_speed_name(i); i++)
    well = fprintf(f, "%s %.6g\n", fusion_speed_name(i), speeds->seconds[i]) > 0 && well;
  well = fclose(f) == 0 && well;
  if (well && rename(part, path) == 0) return true;
  unlink(part);
  return false;
}

fusion_status cli_speeds_measure(fusion_speeds *out, const char *path, bool *kept, fusion_error *err) {
  const fusion_status status = fusion_bench_calibrate(out, err);
  *kept = false;
  if (status != FUSION_OK) return status;
  make_folders();
  *kept = save(path, out);
  return FUSION_OK;
}

bool cli_speeds_wanted(void) {
  const char *wanted = getenv("FUSION_CALIBRATION");
  return !wanted || strcmp(wanted, "no") != 0;
}

bool cli_speeds_kept(fusion_speeds *out) {
  char path[PATH_MAX];
  return cli_speeds_wanted() && cli_speeds_path(path) && load(path, out) == KEPT_THIS;
}

bool cli_speeds(const char *command, fusion_speeds *out) {
  char path[PATH_MAX];
  bool kept = false;
  fusion_error err = {.status = FUSION_OK};
  if (!cli_speeds_wanted() || !cli_speeds_path(path)) return false;
  const enum kept found = load(path, out);
  if (found == KEPT_THIS) return true;
  if (command && found == KEPT_DAMAGED)
    cli_error(command, "'%s': damaged; measuring this machine again", path);
  else if (command)
    cli_error(command, "measuring this machine once, for predictions");
  if (cli_speeds_measure(out, path, &kept, &err) != FUSION_OK) {
    if (command) cli_error(command, "%s; predicting for another processor", err.text);
    return false;
  }
  if (command && !kept) cli_error(command, "'%s': cannot be written: %s", path, strerror(errno));
  return true;
}
