#include "base/machine.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PATH_LEN = 4096 };

/* "max", or a number. */
static uint64_t read_limit(const char *path) {
  uint64_t limit = UINT64_MAX;
  FILE *f = fopen(path, "re");
  if (!f) return limit;
  if (fscanf(f, "%20" SCNu64, &limit) != 1) limit = UINT64_MAX;
  fclose(f);
  return limit;
}

/* The group's path, "/a/b", from the line "0::/a/b". */
static bool read_group(const char *self, char out[PATH_LEN]) {
  FILE *f = fopen(self, "re");
  bool found = false;
  while (f && !found && fgets(out, PATH_LEN, f)) {
    found = strncmp(out, "0::/", 4) == 0;
    if (found) memmove(out, out + 3, strlen(out + 3) + 1);
  }
  if (f) fclose(f);
  out[strcspn(out, "\n")] = '\0';
  return found;
}

uint64_t machine_cgroup_limit(const char *self, const char *mount) {
  char group[PATH_LEN] = "", path[2 * PATH_LEN];
  uint64_t least = UINT64_MAX;
  if (!read_group(self, group)) return least;
  for (;;) {
    if (snprintf(path, sizeof path, "%s%s/memory.max", mount, group) < (int)sizeof path) {
      const uint64_t limit = read_limit(path);
      if (limit < least) least = limit;
    }
    char *slash = strrchr(group, '/');
    if (!slash) return least;
    *slash = '\0';
  }
}

/* `failed`: what getrlimit returned. */
static uint64_t process_limit(int failed, const struct rlimit *limit) {
  return failed || limit->rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit->rlim_cur;
}

uint64_t mem_half_of_machine(void) {
  const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  struct rlimit space = {0}, data = {0};
  const uint64_t limits[] = {machine_cgroup_limit("/proc/self/cgroup", "/sys/fs/cgroup"),
                             process_limit(getrlimit(RLIMIT_AS, &space), &space),
                             process_limit(getrlimit(RLIMIT_DATA, &data), &data)};
  uint64_t all = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_C(2) << 30;
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
    if (limits[i] < all) all = limits[i];
  return all / 2;
}
