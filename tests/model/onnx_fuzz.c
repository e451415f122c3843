/* Fuzz target of the ONNX importer. Whatever imports must be valid and run. */
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
