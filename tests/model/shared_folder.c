#include "model/shared_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void shared_path(char *out, size_t capacity, const char *name) {
  const char *folder = getenv("FUSION_SHARED");
  snprintf(out, capacity, "%s/data/%s", folder ? folder : "", name);
}

bool shared_there(void) {
  char path[4096];
  shared_path(path, sizeof path, "");
  if (!access(path, R_OK)) return true;
  printf("skipped: no folder %s (FUSION_SHARED names the folder above it)\n", path);
  return false;
}
