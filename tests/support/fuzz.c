/* A fuzz target's own main, for builds without libFuzzer: `NAME SECONDS PATH...` gives the target every file (of a
 * folder: all in it) as it is, then, until the time is over, damaged copies of them. Any finding is a crash. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t max_len);
/* A target may have its own, which calls LLVMFuzzerMutate for the rest. */
__attribute__((weak)) size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max_len, unsigned seed);

enum { MAX_LEN = 1 << 16, MAX_SEEDS = 1024, DAMAGED_COPIES = 100 };

static struct seed {
  uint8_t *data;
  size_t len;
} seeds[MAX_SEEDS];
static size_t seed_count;

static bool add_file(const char *path) {
  static uint8_t buffer[MAX_LEN];
  FILE *f = fopen(path, "rb");
  if (!f) return false;
  const size_t len = fread(buffer, 1, sizeof buffer, f);
  fclose(f);
  struct seed *s = &seeds[seed_count];
  s->data = malloc(len + 1);
  if (!s->data) return false;
  memcpy(s->data, buffer, len);
  s->len = len;
  seed_count++;
  return true;
}

static bool add_path(const char *path) {
  struct stat st;
  if (stat(path, &st)) return false;
  if (!S_ISDIR(st.st_mode)) return seed_count < MAX_SEEDS && add_file(path);
  DIR *d = opendir(path);
  if (!d) return false;
  bool ok = true;
  for (const struct dirent *e = readdir(d); e && ok; e = readdir(d)) {
    char name[4096];
    if (e->d_name[0] == '.') continue;
    snprintf(name, sizeof name, "%s/%s", path, e->d_name);
    ok = seed_count < MAX_SEEDS && add_file(name);
  }
  closedir(d);
  return ok;
}

static uint64_t next(uint64_t *s) {
  *s ^= *s << 13;
  *s ^= *s >> 7;
  *s ^= *s << 17;
  return *s;
}

/* A few flipped, overwritten or telling bytes, pieces copied elsewhere, or a lost end; half of it in the first part,
 * where formats keep their headers. */
static size_t damage(uint8_t *d, size_t len, uint64_t *s) {
  static const uint8_t telling[] = {0, 1, 2, 3, 4, 62, 0x7f, 0x80, 0xff};
  for (uint64_t k = next(s) % 6 + 1; k > 0 && len > 1; k--) {
    const size_t at = next(s) % (next(s) % 2 ? len : len / 2 + 1), from = next(s) % len;
    const size_t count = next(s) % 16 % (len - size_max(at, from));
    switch (next(s) % 6) {
      case 0: d[at] ^= (uint8_t)(1u << next(s) % 8); break;
      case 1: d[at] = (uint8_t)next(s); break;
      case 2: d[at] = telling[next(s) % sizeof telling]; break;
      case 3: d[at]++; break;
      case 4: memmove(d + at, d + from, count); break;
      default: len = next(s) % 8 ? len : at; break;
    }
  }
  return len;
}

static uint64_t state;

size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t max_len) {
  (void)max_len;
  return damage(data, len, &state);
}

static size_t mutate(uint8_t *data, size_t len) {
  if (LLVMFuzzerCustomMutator) return LLVMFuzzerCustomMutator(data, len, MAX_LEN, (unsigned)next(&state));
  return damage(data, len, &state);
}

/* The target sees exact allocations, so that a memory checker notices one byte too many. */
static void run(const uint8_t *data, size_t len) {
  uint8_t *copy = malloc(len ? len : 1);
  if (!copy) abort();
  memcpy(copy, data, len);
  LLVMFuzzerTestOneInput(copy, len);
  free(copy);
}

int main(int argc, char **argv) {
  static uint8_t work[MAX_LEN];
  if (argc < 3) {
    fprintf(stderr, "usage: %s SECONDS FILE-OR-FOLDER...\n", argv[0]);
    return 2;
  }
  for (int i = 2; i < argc; i++) {
    if (add_path(argv[i])) continue;
    fprintf(stderr, "%s: cannot be read, or is more than %d files\n", argv[i], (int)MAX_SEEDS);
    return 1;
  }
  for (size_t i = 0; i < seed_count; i++) run(seeds[i].data, seeds[i].len);
  const double end = clock_seconds() + atof(argv[1]);
  uint64_t runs = 0;
  state = UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)getpid();
  printf("%zu files, then damage from state %016llx\n", seed_count, (unsigned long long)state);
  fflush(stdout);
  while (seed_count && clock_seconds() < end) {
    const struct seed *from = &seeds[next(&state) % seed_count];
    for (int i = 0; i < DAMAGED_COPIES && clock_seconds() < end; i++, runs++) {
      memcpy(work, from->data, from->len);
      run(work, mutate(work, from->len));
    }
  }
  printf("%llu damaged copies\n", (unsigned long long)runs);
  for (size_t i = 0; i < seed_count; i++) free(seeds[i].data);
  return 0;
}
