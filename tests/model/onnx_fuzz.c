/* Fuzz target of the ONNX importer. With libFuzzer (clang -fsanitize=fuzzer) the entry point is called by it; else
 * `onnx_fuzz SECONDS FILE...` mutates the given files itself. Whatever imports must be valid and run. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { RUN_LIMIT = 1 << 16 };

/* Runs one sample of zeros when no tensor is large. */
static void run_small(const struct graph *g) {
  size_t total = 0;
  for (uint32_t i = 0; i < g->count; i++) total += shape_size(g->nodes[i].shape);
  if (total > RUN_LIMIT) return;
  float *x = mem_alloc(shape_size(g->nodes[0].shape), sizeof *x);
  float *y = mem_alloc(shape_size(g->nodes[g->count - 1].shape), sizeof *y);
  if (!x || !y || graph_run(g, x, 1, y, NULL, NULL) != FUSION_OK) abort();
  mem_free(x);
  mem_free(y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  char path[64];
  struct graph *g = NULL;
  fusion_error err = {0};
  const int fd = memfd_create("model", 0);
  if (fd < 0 || pwrite(fd, data, len, 0) != (ssize_t)len) abort();
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  const fusion_status status = graph_from_onnx(&g, path, &err);
  close(fd);
  if (status != FUSION_OK) {
    if (g || !err.text[0]) abort();
    return 0;
  }
  if (graph_validate(g, NULL) != FUSION_OK) abort();
  run_small(g);
  graph_free(g);
  return 0;
}

#ifndef FUSION_LIBFUZZER
enum { MAX_LEN = 1 << 16 };

static uint64_t next(uint64_t *s) {
  *s ^= *s << 13;
  *s ^= *s >> 7;
  *s ^= *s << 17;
  return *s;
}

/* A few flipped bits, overwritten or interesting bytes, or a piece copied elsewhere. */
static size_t mutate(uint8_t *d, size_t len, uint64_t *s) {
  for (uint64_t k = next(s) % 6 + 1; k > 0 && len > 1; k--) {
    const size_t at = next(s) % len, from = next(s) % len, count = next(s) % 16 % (len - (at > from ? at : from));
    switch (next(s) % 5) {
      case 0: d[at] ^= (uint8_t)(1u << next(s) % 8); break;
      case 1: d[at] = (uint8_t)next(s); break;
      case 2: d[at] = (uint8_t[]){0, 1, 0x7f, 0x80, 0xff, 2, 3, 4}[next(s) % 8]; break;
      case 3: memmove(d + at, d + from, count); break;
      default: len -= next(s) % 8 == 0 ? len - at : 0; break;
    }
  }
  return len;
}

int main(int argc, char **argv) {
  static uint8_t data[MAX_LEN], work[MAX_LEN];
  const double end = clock_seconds() + (argc > 1 ? atof(argv[1]) : 0);
  uint64_t s = UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)getpid();
  size_t runs = 0;
  while (argc > 2 && clock_seconds() < end) {
    FILE *f = fopen(argv[2 + next(&s) % (uint64_t)(argc - 2)], "rb");
    if (!f) return 1;
    const size_t len = fread(data, 1, sizeof data, f);
    fclose(f);
    for (int i = 0; i < 200; i++, runs++) {
      memcpy(work, data, len);
      LLVMFuzzerTestOneInput(work, mutate(work, len, &s));
    }
  }
  printf("%zu runs\n", runs);
  return 0;
}
#endif
